"""Feedback as it comes, what waits for a person, and what nothing in the catalog is named by."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor, may, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import FeedbackNotFound, FeedbackNotWaiting, KeyRetired
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.recovery import inbox
from incentives.recovery.customers import Contact
from incentives.recovery.feedback_tables import (
    criteria_firings,
    feedback,
    feedback_inbox,
    feedback_revisions,
    feedback_tags,
    feedback_unmapped,
)

BODY_SHOWN = 20_000
"""How much of a kept request is shown; it is whole in the inbox."""
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of feedback. ``score_percent`` is comparable: 0 is the worst on any scale, 100 the best."""

    id: uuid.UUID
    source: str
    external_id: str
    kind: str
    event: str | None
    score: str | None
    scale: str | None
    score_percent: Decimal | None
    comment: str | None
    issue_tag: str | None
    tagged_by: str | None
    severity: int | None
    location: str | None
    product: str | None
    agent: str | None
    order_ref: str | None
    occurred_at: datetime
    received_at: datetime
    revision: int
    status: str
    reason: str | None
    case_id: uuid.UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a piece's score and words."""

    revision: int
    score: str | None
    score_percent: Decimal | None
    comment: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A criterion that held for a piece, and what came of it."""

    criterion: str
    mode: str
    outcome: str
    issuance_id: uuid.UUID | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceWithStory:
    """A piece with all that is known of it: its customer's name, earlier versions, and the criteria that held."""

    piece: Piece
    customer_name: str | None
    issue_tags: tuple[str, ...]
    choices: Sequence[str] | Mapping[str, Any] | None
    story: Mapping[str, str]
    unmapped: tuple[tuple[str, str], ...]
    versions: tuple[Version, ...]
    firings: tuple[Firing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPiece:
    """A kept request that nobody could understand yet; ``body`` is its text, cut where it is very long."""

    id: uuid.UUID
    source: str
    received_at: datetime
    reason: str | None
    tries: int
    media_type: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """A value that a source said and nothing is named by: how often, and when last."""

    source: str
    field: str
    value: str
    count: int
    last_at: datetime


def list_feedback(
    *,
    core: Core,
    actor: Actor,
    limit: int = 50,
    after: str | None = None,
    source: str | None = None,
    kind: str | None = None,
    status: str | None = None,
    issue_tag: str | None = None,
    location: str | None = None,
    untagged: bool = False,
) -> Page[Piece]:
    """Return feedback, the newest first, of the actor's own place where they have one."""
    permit(actor, "feedback:read")
    table = feedback.c
    wanted = {"source": source, "kind": kind, "status": status, "issue_tag": issue_tag, "location": location}
    query = sa.select(feedback).where(
        seen_by(actor, table.location), *(table[name] == value for name, value in wanted.items() if value is not None)
    )
    if untagged:
        query = query.where(table.issue_tag.is_(None), table.case_id.is_(None), table.status.in_(("waiting", "acted")))
        # Praise without a tag is nothing to do; trouble without one is, and so is what its source did name.
        named = sa.exists().where(
            feedback_unmapped.c.feedback_id == table.id, feedback_unmapped.c.field == "issue_tags"
        )
        query = query.where(sa.or_(table.status == "waiting", named))
    with core.database.read() as tx:
        return page(tx, query, table.id, lambda row: _piece(core, row), limit=limit, after=after)


def one_feedback(*, core: Core, actor: Actor, feedback_id: uuid.UUID) -> PieceWithStory:
    """Return a piece with all that is known of it. Raises ``FeedbackNotFound``."""
    permit(actor, "feedback:read")
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(feedback).where(feedback.c.id == feedback_id, seen_by(actor, feedback.c.location))
        ).one_or_none()
        if row is None:
            raise FeedbackNotFound
        tags, unmapped = feedback_tags.c, feedback_unmapped.c
        keys = tx.execute(sa.select(tags.issue_tag).where(tags.feedback_id == feedback_id)).scalars()
        others = tx.execute(sa.select(unmapped.field, unmapped.value).where(unmapped.feedback_id == feedback_id))
        return PieceWithStory(
            piece=_piece(core, row),
            customer_name=Contact.from_text(core.contacts.decrypt(row.contact)).name,
            issue_tags=tuple(sorted(keys, key=lambda key: key != row.issue_tag)),
            choices=row.choices,
            story=json.loads(core.contacts.decrypt(row.story) or "{}"),
            unmapped=tuple((each.field, each.value) for each in others),
            versions=tuple(_versions(tx, core, feedback_id)),
            firings=tuple(_firings(tx, feedback_id)),
        )


def _versions(tx: sa.Connection, core: Core, feedback_id: uuid.UUID) -> list[Version]:
    table = feedback_revisions.c
    rows = tx.execute(sa.select(feedback_revisions).where(table.feedback_id == feedback_id).order_by(table.revision))
    return [
        Version(
            revision=row.revision,
            score=row.score_given,
            score_percent=_percent(row.score_bp),
            comment=core.contacts.decrypt(row.comment),
            at=row.at,
        )
        for row in rows
    ]


def _firings(tx: sa.Connection, feedback_id: uuid.UUID) -> list[Firing]:
    table = criteria_firings.c
    rows = tx.execute(sa.select(criteria_firings).where(table.feedback_id == feedback_id).order_by(table.at, table.id))
    return [Firing(**{name: getattr(row, name) for name in Firing.__dataclass_fields__}) for row in rows]


def _piece(core: Core, row: Any) -> Piece:
    plain = set(Piece.__dataclass_fields__) - {"score", "score_percent", "comment"}
    return Piece(
        score=row.score_given,
        score_percent=_percent(row.score_bp),
        comment=core.contacts.decrypt(row.comment),
        **{name: getattr(row, name) for name in plain},
    )


def _percent(score_bp: int | None) -> Decimal | None:
    return None if score_bp is None else Decimal(score_bp) / 100


def list_waiting(*, core: Core, actor: Actor, limit: int = 50, after: str | None = None) -> Page[WaitingPiece]:
    """Return the kept requests that wait for a person, the newest first.

    Where its sender is stands encrypted, so who belongs to a location may get fewer than a page of them.
    """
    permit(actor, "feedback:repair")
    with core.database.read() as tx:
        query = sa.select(feedback_inbox).where(feedback_inbox.c.status == "waiting")
        found = page(tx, query, feedback_inbox.c.id, lambda row: _opened(core, row), limit=limit, after=after)
    return Page(items=[_waiting(each) for each in found.items if inbox.is_seen_by(actor, each)], next=found.next)


def one_waiting(*, core: Core, actor: Actor, inbox_id: uuid.UUID) -> WaitingPiece:
    """Return a kept request that waits. Raises ``FeedbackNotWaiting``."""
    permit(actor, "feedback:repair")
    with core.database.read() as tx:
        table = feedback_inbox.c
        query = sa.select(feedback_inbox).where(table.id == inbox_id, table.status == "waiting")
        row = tx.execute(query).one_or_none()
        piece = _opened(core, row) if row is not None else None
        if piece is None or not inbox.is_seen_by(actor, piece):
            raise FeedbackNotWaiting
        return _waiting(piece)


def _opened(core: Core, row: Any) -> inbox.Piece:
    """Return a kept request; one that no key opens any more has no body, and hides none of the others."""
    try:
        return inbox.opened(core, row)
    except KeyRetired:
        names = ("id", "source", "status", "received_at", "tries", "feedback_id")
        known = {name: getattr(row, name) for name in names}
        return inbox.Piece(**known, reason=f"{KeyRetired.title}.", raw=inbox.Raw(body=b""), location=None, command=None)


def _waiting(piece: inbox.Piece) -> WaitingPiece:
    return WaitingPiece(
        id=piece.id,
        source=piece.source,
        received_at=piece.received_at,
        reason=piece.reason,
        tries=piece.tries,
        media_type=piece.raw.media_type,
        body=piece.raw.body[:BODY_SHOWN].decode(errors="replace"),
    )


def count_waiting(*, core: Core, actor: Actor) -> int:
    """Return how many pieces wait for a person: those that nobody could understand, and those without a tag.

    Nobody is told of what they may not mend.
    """
    if not may(actor, "feedback:repair"):
        return 0
    with core.database.read() as tx:
        kept = sa.select(sa.func.count()).where(feedback_inbox.c.status == "waiting").scalar_subquery()
        here = seen_by(actor, feedback.c.location)
        pieces = sa.select(sa.func.count()).where(feedback.c.status == "waiting", here).scalar_subquery()
        return int(tx.execute(sa.select(kept + pieces)).scalar_one())


def unmapped_values(*, core: Core, actor: Actor, days: int = 7, limit: int = 200) -> tuple[Unmapped, ...]:
    """Return what sources said within so many days that nothing is named by, the most frequent first."""
    permit(actor, "feedback:read")
    since = core.clock.now() - timedelta(days=days)
    table = feedback_unmapped.c
    count, last_at = sa.func.count().label("count"), sa.type_coerce(sa.func.max(table.at), table.at.type)
    query = (
        sa.select(
            table.source, table.field, table.value, count, sa.type_coerce(last_at, table.at.type).label("last_at")
        )
        .join(feedback, feedback.c.id == table.feedback_id)
        .where(table.at >= since, seen_by(actor, feedback.c.location))
        .group_by(table.source, table.field, table.value)
        .order_by(count.desc(), table.source, table.field, table.value)
    )
    with core.database.read() as tx:
        return tuple(Unmapped(**row._mapping) for row in tx.execute(query.limit(limit)))  # noqa: SLF001 - its public name
