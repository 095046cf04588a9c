"""Open a case: somebody reports trouble, with what must be known about it, before anything is given for it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.definitions import Protocol
from incentives.deeds import assessment, caring, casework, owning
from incentives.deeds.assessment import Trouble
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid
from incentives.recovery import customers
from incentives.recovery.customers import CustomerGiven

_LONGEST_AGO = timedelta(days=10 * 366)
_REQUEST_LEAVES_OUT = "idempotency_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """One customer's trouble. ``story`` answers the protocol's questions: what, who, when, differently.

    With ``answers_to_come`` those that are required may be answered later. ``issue_tags`` are more than the first.
    """

    issue_tag: str
    severity: int | None = None
    issue_tags: tuple[str, ...] = ()
    customer: CustomerGiven = field(default_factory=CustomerGiven)
    location: str | None = None
    order_ref: str | None = None
    product: str | None = None
    occurred_at: datetime | None = None
    source: str = "staff"
    story: Mapping[str, str] = field(default_factory=dict)
    answers_to_come: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOpened:
    """The case that was opened."""

    id: uuid.UUID
    replayed: bool = False


def open_case(*, core: Core, actor: Actor, command: OpenCase) -> CaseOpened:
    """Open a case, which belongs to whoever opens it, unless that is a program.

    Raises ``InputInvalid`` naming every required question that has no answer, what ``assessment.ground`` raises,
    ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    case_id = core.ids.new(now)
    request = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != _REQUEST_LEAVES_OUT}
    with core.database.write() as tx:
        before = casework.claimed_before(tx, core, actor, "cases", command.idempotency_key, request, case_id, now)
        if before:
            return CaseOpened(id=before, replayed=True)
        rows = _rows(tx, core, actor, command, case_id, now)
        caring.write(tx, [rows])
        casework.say(tx, core, actor, now, case_id, "opened", {"issue_tag": command.issue_tag, "source": rows.source})
        owning.tell_if_grave(tx, core, actor, now, rows.case)
    return CaseOpened(id=case_id)


def _rows(
    tx: Connection, core: Core, actor: Actor, command: OpenCase, case_id: uuid.UUID, now: datetime
) -> caring.CaseRows:
    current = releases.cached_current(tx, core)
    trouble = Trouble(
        issue_tag=command.issue_tag,
        severity=command.severity,
        customer=command.customer,
        location=command.location,
        order_ref=command.order_ref,
    )
    ground = assessment.ground(current, actor, trouble)
    for tag in command.issue_tags:
        current.catalog.issue_tag(tag)
    story = casework.checked_story(command.story)
    protocol = ground.resolution.protocol
    if not command.answers_to_come:
        _check_answers(protocol, story)
    if command.occurred_at is not None and not now - _LONGEST_AGO <= command.occurred_at <= now:
        wrong = "This is yet to come." if command.occurred_at > now else "This is too long ago."
        raise InputInvalid(errors=[{"field": "occurred_at", "message": wrong}])
    (people,), _ = customers.settle(tx, core, [(ground.contact, ground.locale)], now)
    new = caring.NewCase(
        id=case_id,
        issue_tag=ground.issue_tag,
        issue_tags=command.issue_tags,
        severity=ground.severity,
        protocol=protocol,
        customer_id=people[0] if people else None,
        contact=ground.contact,
        locale=ground.locale,
        segment=ground.segment,
        location=ground.location,
        team=ground.team,
        order_ref=casework.text(command.order_ref, "order_ref", longest=200),
        product=casework.text(command.product, "product", longest=64),
        source=casework.text(command.source, "source", longest=64) or "staff",
        occurred_at=command.occurred_at,
        story=story,
        owner=actor.label if actor.kind == "person" else None,
    )
    return caring.lay_out(core, actor, now, current, new)


def _check_answers(protocol: Protocol, story: Mapping[str, str]) -> None:
    missing = [question for question in protocol.questions if question not in story]
    if missing:
        raise InputInvalid(
            errors=[
                {"field": f"story.{question}", "message": "This must be known before the case is worked on."}
                for question in missing
            ],
        )
