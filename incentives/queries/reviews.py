"""Reviews: what waits for a second look, what is held meanwhile, and how often each signal was right."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ReviewNotFound
from incentives.kernel.money import Money
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.safeguards import signals
from incentives.safeguards.tables import reviews
from incentives.vouchers.tables import issuances

SHOWN_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One review. ``signals`` are {"name", "count", "limit", "minutes", …}; ``own`` says that the actor caused it."""

    id: uuid.UUID
    kind: str
    status: str
    action: str
    signals: Sequence[Mapping[str, Any]]
    location: str | None
    amount: Money | None
    issuance_id: uuid.UUID | None
    case_id: uuid.UUID | None
    actor: str
    actor_name: str
    opened_at: datetime
    due_at: datetime
    late: bool
    own: bool
    decided_by_name: str | None
    decided_at: datetime | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What waits for reviews, frozen: how many gifts, and their money in one currency."""

    count: int
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How often a signal was right: of its decided reviews, what was released and what was blocked."""

    signal: str
    open: int
    released: int
    blocked: int
    noted: int

    @property
    def percent(self) -> int | None:
        """Return the part of those decided either way that was blocked, in whole percent; None before the first."""
        decided = self.released + self.blocked
        return None if not decided else round(100 * self.blocked / decided)


_REVIEWS = sa.select(reviews, issuances.c.case_id).outerjoin(issuances, issuances.c.id == reviews.c.issuance_id)


def list_reviews(
    *,
    core: Core,
    actor: Actor,
    status: str | None = "open",
    kind: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[Review]:
    """Return reviews of a status and kind (None: any), the newest first."""
    permit(actor, "reviews:read")
    query = _REVIEWS.where(seen_by(actor, reviews.c.location))
    if status is not None:
        query = query.where(reviews.c.status == status)
    if kind is not None:
        query = query.where(reviews.c.kind == kind)
    with core.database.read() as tx:
        return page(tx, query, reviews.c.id, lambda row: _review(core, actor, row), limit=limit, after=after)


def waiting_reviews(*, core: Core, actor: Actor, limit: int = SHOWN_MOST) -> list[Review]:
    """Return open reviews, the one that is due first first: the order in which people decide them."""
    permit(actor, "reviews:read")
    query = _REVIEWS.where(seen_by(actor, reviews.c.location), reviews.c.status == "open")
    with core.database.read() as tx:
        rows = tx.execute(query.order_by(reviews.c.due_at, reviews.c.id).limit(limit)).all()
        return [_review(core, actor, row) for row in rows]


def one_review(*, core: Core, actor: Actor, review_id: uuid.UUID) -> Review:
    """Return a review. Raises ``ReviewNotFound``."""
    permit(actor, "reviews:read")
    query = _REVIEWS.where(reviews.c.id == review_id, seen_by(actor, reviews.c.location))
    with core.database.read() as tx:
        row = tx.execute(query).one_or_none()
    if row is None:
        raise ReviewNotFound
    return _review(core, actor, row)


def count_open(*, core: Core, actor: Actor) -> int:
    """Return how many reviews wait for somebody else's look than the actor's own."""
    permit(actor, "reviews:read")
    query = (
        sa.select(sa.func.count())
        .select_from(reviews)
        .where(reviews.c.status == "open", reviews.c.actor != actor.label, seen_by(actor, reviews.c.location))
    )
    with core.database.read() as tx:
        return int(tx.execute(query).scalar_one())


def held_money(*, core: Core, actor: Actor) -> list[Held]:
    """Return what is frozen until its review is decided, by currency."""
    permit(actor, "reviews:read")
    table = reviews.c
    query = (
        sa.select(table.currency, sa.func.count().label("number"), sa.func.sum(table.amount_minor).label("sum"))
        .where(table.status == "open", table.action == signals.HOLD, table.amount_minor.is_not(None))
        .where(seen_by(actor, table.location))
        .group_by(table.currency)
        .order_by(table.currency)
    )
    with core.database.read() as tx:
        return [Held(count=row.number, amount=Money(int(row.sum), row.currency)) for row in tx.execute(query)]


def precision(*, core: Core, actor: Actor, days: int = 90) -> list[Precision]:
    """Return how often each signal was right in so many days, by the reviews opened in them; the busiest first."""
    permit(actor, "reviews:read")
    table = reviews.c
    since = core.clock.now() - timedelta(days=days)
    query = sa.select(table.signals, table.status).where(table.opened_at > since, seen_by(actor, table.location))
    found: dict[str, dict[str, int]] = {}
    with core.database.read() as tx:
        for row in tx.execute(query):
            for each in row.signals:
                counts = found.setdefault(str(each["name"]), dict.fromkeys(("open", "released", "blocked", "noted"), 0))
                counts[row.status] += 1
    busiest = sorted(found, key=lambda name: (-sum(found[name].values()), name))
    return [Precision(signal=name, **found[name]) for name in busiest]


def _review(core: Core, actor: Actor, row: Any) -> Review:
    return Review(
        id=row.id,
        kind=row.kind,
        status=row.status,
        action=row.action,
        signals=[{**each, "words": signals.WORDS.get(each["name"], each["name"])} for each in row.signals],
        location=row.location,
        amount=None if row.amount_minor is None else Money(row.amount_minor, row.currency),
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        actor=row.actor,
        actor_name=row.actor_name,
        opened_at=row.opened_at,
        due_at=row.due_at,
        late=row.status == "open" and row.due_at < core.clock.now(),
        own=row.actor == actor.label,
        decided_by_name=row.decided_by_name,
        decided_at=row.decided_at,
        note=core.contacts.decrypt(row.note),
    )
