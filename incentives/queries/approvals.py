"""The approvals queue, and each request as its approver must see it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.incentive import Incentive
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ApprovalNotFound
from incentives.kernel.money import Money
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.recovery.tables import customers
from incentives.spending.tables import approvals
from incentives.vouchers.history import WINDOW, EarlierRecovery
from incentives.vouchers.tables import issuances

_MOST_EARLIER = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One request. ``least_minor`` is how far the approver may lower it; equal to the amount where it is fixed."""

    id: uuid.UUID
    status: str
    issuance_id: uuid.UUID
    case_id: uuid.UUID
    issue_tag: str
    severity: int
    incentive: str
    title: str
    amount: Money
    least_minor: int
    reasons: tuple[str, ...]
    note: str | None
    location: str | None
    order_ref: str | None
    requested_by: str
    requested_by_name: str
    requested_at: datetime
    expires_at: datetime
    own: bool
    granted: Money | None
    decided_by_name: str | None
    decided_at: datetime | None
    comment: str | None
    earlier_recoveries: tuple[EarlierRecovery, ...]


_COLUMNS = sa.select(
    approvals,
    issuances.c.case_id,
    issuances.c.issue_tag,
    issuances.c.severity,
    issuances.c.incentive,
    issuances.c.incentive_item_id,
    issuances.c.currency,
    issuances.c.note,
    issuances.c.location,
    issuances.c.order_ref,
    customers.c.group_id,
)
_QUERY = _COLUMNS.join(issuances, issuances.c.id == approvals.c.issuance_id).outerjoin(
    customers, customers.c.id == issuances.c.customer_id
)


def list_approvals(
    *, core: Core, actor: Actor, status: str | None = "pending", limit: int = 50, after: str | None = None
) -> Page[Approval]:
    """Return requests of a status (None: all), the newest first. One past its time is not pending any more."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    query = _QUERY.where(seen_by(actor, issuances.c.location))
    if status is not None:
        query = query.where(approvals.c.status == status)
    if status == "pending":
        query = query.where(approvals.c.expires_at > now)
    with core.database.read() as tx:
        found = page(tx, query, approvals.c.id, lambda row: row, limit=limit, after=after)
        return Page(items=_approvals(tx, core, actor, found.items, now), next=found.next)


def waiting(*, core: Core, actor: Actor, limit: int = 50, after: uuid.UUID | None = None) -> Page[Approval]:
    """Return requests that nobody has decided, the longest waiting first: the order in which people decide them."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    query = _QUERY.where(
        seen_by(actor, issuances.c.location), approvals.c.status == "pending", approvals.c.expires_at > now
    )
    if after is not None:
        query = query.where(approvals.c.id > after)
    with core.database.read() as tx:
        rows = tx.execute(query.order_by(approvals.c.id).limit(limit + 1)).all()
        shown = rows[:limit]
        more = shown[-1].id.hex if len(rows) > limit else None
        return Page(items=_approvals(tx, core, actor, shown, now), next=more)


def count_pending(*, core: Core, actor: Actor) -> int:
    """Return how many requests wait for somebody else's decision than the actor's own."""
    permit(actor, "approvals:read")
    table = approvals.c
    waiting = sa.and_(table.status == "pending", table.expires_at > core.clock.now(), table.requested_by != actor.label)
    with core.database.read() as tx:
        return int(
            tx.execute(
                sa.select(sa.func.count())
                .select_from(approvals)
                .join(issuances, issuances.c.id == table.issuance_id)
                .where(waiting, seen_by(actor, issuances.c.location))
            ).scalar_one()
        )


def one_approval(*, core: Core, actor: Actor, approval_id: uuid.UUID) -> Approval:
    """Return one request, or raise ``ApprovalNotFound``."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    with core.database.read() as tx:
        row = tx.execute(
            _QUERY.where(approvals.c.id == approval_id, seen_by(actor, issuances.c.location))
        ).one_or_none()
        if row is None:
            raise ApprovalNotFound
        return _approvals(tx, core, actor, [row], now)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the rows of one page need beside themselves, read for all of them at once."""

    catalog: Catalog
    incentives: Mapping[uuid.UUID, Incentive]
    names: Mapping[str, str]
    earlier: Mapping[uuid.UUID, Sequence[EarlierRecovery]]


def _approvals(tx: sa.Connection, core: Core, actor: Actor, rows: Sequence[Any], now: datetime) -> list[Approval]:
    if not rows:
        return []
    known = _Known(
        catalog=releases.cached_current(tx, core).catalog,
        incentives=releases.incentives_of(tx, {row.incentive_item_id for row in rows}),
        names=actor_names(tx, {label for row in rows for label in (row.requested_by, row.decided_by) if label}),
        earlier=_earlier(tx, {row.group_id for row in rows if row.group_id}, now),
    )
    return [_approval(known, core, actor, row) for row in rows]


def _earlier(tx: sa.Connection, people: set[uuid.UUID], now: datetime) -> Mapping[uuid.UUID, list[EarlierRecovery]]:
    """Return by the groups of customers who are one person what ``earlier_recoveries`` says of each, in one query."""
    table = issuances.c
    newest_first = (table.requested_at.desc(), table.id.desc())
    place = sa.func.row_number().over(partition_by=customers.c.group_id, order_by=newest_first).label("place")
    ranked = (
        sa.select(issuances, customers.c.group_id, place)
        .join(customers, customers.c.id == table.customer_id)
        .where(
            customers.c.group_id.in_(people),
            table.status.in_(("issued", "pending_approval")),
            table.requested_at > now - WINDOW,
        )
        .subquery()
    )
    query = sa.select(ranked).where(ranked.c.place <= _MOST_EARLIER).order_by(ranked.c.place)
    found: dict[uuid.UUID, list[EarlierRecovery]] = {}
    for row in tx.execute(query) if people else ():
        found.setdefault(row.group_id, []).append(_recovery(row))
    return found


def _recovery(row: Any) -> EarlierRecovery:
    return EarlierRecovery(
        issuance_id=row.id,
        case_id=row.case_id,
        issue_tag=row.issue_tag,
        incentive=row.incentive,
        amount=Money(row.amount_minor, row.currency),
        status=row.status,
        location=row.location,
        requested_at=row.requested_at,
    )


def _approval(known: _Known, core: Core, actor: Actor, row: Any) -> Approval:
    incentive, names = known.incentives[row.incentive_item_id], known.names
    earlier = known.earlier.get(row.group_id, ())
    amount_minor = row.requested_amount_minor
    return Approval(
        id=row.id,
        status=row.status,
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        issue_tag=row.issue_tag,
        severity=row.severity,
        incentive=row.incentive,
        title=known.catalog.words(incentive.title, None),
        amount=Money(amount_minor, row.currency),
        least_minor=min(incentive.amount_bounds[0], amount_minor) if incentive.amount_bounds else amount_minor,
        reasons=tuple(row.reasons),
        note=core.contacts.decrypt(row.note),
        location=row.location,
        order_ref=row.order_ref,
        requested_by=row.requested_by,
        requested_by_name=names.get(row.requested_by, row.requested_by),
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        own=row.requested_by == actor.label,
        granted=Money(row.granted_amount_minor, row.currency) if row.granted_amount_minor is not None else None,
        decided_by_name=names.get(row.decided_by) if row.decided_by else None,
        decided_at=row.decided_at,
        comment=row.comment,
        earlier_recoveries=tuple(each for each in earlier if each.issuance_id != row.issuance_id),
    )
