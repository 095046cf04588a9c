"""Try out: what would be understood of a payload, if it came now? It reads as taking in reads, and writes nothing."""

from dataclasses import dataclass
from datetime import datetime

from incentives.catalog import protocols, releases
from incentives.deeds import reported
from incentives.deeds.understanding import Understood, understand
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.recovery.customers import Contact
from incentives.recovery.inbox import Raw

OUR_OWN_WORDS = ""
"""Stands for no source of the catalog: the payload is what ``POST /feedback`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOut:
    """A payload, and the source whose mapping reads it (``OUR_OWN_WORDS``: none)."""

    source: str
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a payload would mean. ``problem`` says why it would wait for a person; then nothing else is known.

    ``protocol`` is the key of the protocol that covers it, None where none does. ``status`` is what it would get.
    """

    problem: str | None
    field: str | None = None
    source: str = ""
    external_id: str = ""
    kind: str = ""
    event: str | None = None
    score: str | None = None
    scale: str | None = None
    score_bp: int | None = None
    comment: str | None = None
    issue_tags: tuple[str, ...] = ()
    tagged_by: str | None = None
    severity: int | None = None
    location: str | None = None
    segment: str | None = None
    contact: Contact | None = None
    agent: str | None = None
    order_ref: str | None = None
    customer_value_minor: int | None = None
    currency: str | None = None
    occurred_at: datetime | None = None
    unmapped: tuple[tuple[str, str], ...] = ()
    protocol: str | None = None
    late: str | None = None
    echo: bool = False


def try_out(*, core: Core, actor: Actor, command: TryOut) -> Tried:
    """Return what a payload would mean under the catalog in force. Raises ``NoCatalog`` and ``NotPermitted``."""
    permit(actor, "feedback:read")
    now = core.clock.now()
    raw = Raw(body=command.payload.encode(), mapped=command.source != OUR_OWN_WORDS)
    with core.database.read() as tx:
        current = releases.cached_current(tx, core)
    try:
        piece = reported.command_of(current.catalog, command.source, raw)
        found = understand(core, current, actor, piece, now)
    except Refusal as refusal:
        errors = refusal.facts.get("errors") or [{"field": refusal.facts.get("field"), "message": refusal.detail}]
        return Tried(problem=errors[0]["message"], field=errors[0]["field"])
    return _tried(found, _protocol(current, found))


def _protocol(current: releases.CurrentCatalog, found: Understood) -> str | None:
    if not found.issue_tags:
        return None
    try:
        return protocols.resolve(
            current.catalog,
            issue_tag=found.issue_tags[0],
            severity=found.command.severity,
            location=found.location,
            segment=found.segment,
        ).protocol.key
    except Refusal:
        return None


def _tried(found: Understood, protocol: str | None) -> Tried:
    piece, score = found.command, found.score
    return Tried(
        problem=None,
        source=piece.source,
        external_id=piece.external_id,
        kind=piece.kind,
        event=found.event,
        score=score.given if score else None,
        scale=score.scale if score else None,
        score_bp=score.bp if score else None,
        comment=piece.comment,
        issue_tags=found.issue_tags,
        tagged_by=found.tagged_by,
        severity=piece.severity,
        location=found.location,
        segment=found.segment,
        contact=found.contact,
        agent=piece.agent,
        order_ref=piece.order_ref,
        customer_value_minor=piece.customer_value_minor,
        currency=found.currency,
        occurred_at=found.occurred_at,
        unmapped=found.unmapped,
        protocol=protocol,
        late=found.late,
        echo=found.echo,
    )
