"""The approvals queue, and each request as its approver must see it."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.catalog import releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ApprovalNotFound
from incentives.kernel.money import Money
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.spending.tables import approvals
from incentives.vouchers.history import EarlierRecovery, earlier_recoveries
from incentives.vouchers.tables import issuances


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


_QUERY = sa.select(
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
    issuances.c.customer_id,
).join(issuances, issuances.c.id == approvals.c.issuance_id)


def list_approvals(
    *, core: Core, actor: Actor, status: str | None = "pending", limit: int = 50, after: str | None = None
) -> Page[Approval]:
    """Return requests of a status (None: all), the newest first. One past its time is not pending any more."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    query = _QUERY if status is None else _QUERY.where(approvals.c.status == status)
    if status == "pending":
        query = query.where(approvals.c.expires_at > now)
    with core.database.read() as tx:
        return page(
            tx, query, approvals.c.id, lambda row: _approval(tx, core, actor, row, now), limit=limit, after=after
        )


def count_pending(*, core: Core, actor: Actor) -> int:
    """Return how many requests wait for somebody else's decision than the actor's own."""
    permit(actor, "approvals:read")
    table = approvals.c
    waiting = sa.and_(table.status == "pending", table.expires_at > core.clock.now(), table.requested_by != actor.label)
    with core.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(approvals).where(waiting)).scalar_one())


def one_approval(*, core: Core, actor: Actor, approval_id: uuid.UUID) -> Approval:
    """Return one request, or raise ``ApprovalNotFound``."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    with core.database.read() as tx:
        row = tx.execute(_QUERY.where(approvals.c.id == approval_id)).one_or_none()
        if row is None:
            raise ApprovalNotFound
        return _approval(tx, core, actor, row, now)


def _approval(tx: sa.Connection, core: Core, actor: Actor, row: Any, now: datetime) -> Approval:
    incentive = releases.incentive_of(tx, row.incentive_item_id, core.cache)
    catalog = releases.cached_current(tx, core.cache).catalog
    names = actor_names(tx, {row.requested_by, row.decided_by} - {None})
    earlier = earlier_recoveries(tx, [row.customer_id] if row.customer_id else [], now)
    amount_minor = row.requested_amount_minor
    return Approval(
        id=row.id,
        status=row.status,
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        issue_tag=row.issue_tag,
        severity=row.severity,
        incentive=row.incentive,
        title=catalog.words(incentive.title, None),
        amount=Money(amount_minor, row.currency),
        least_minor=min(incentive.amount_bounds[0], amount_minor) if incentive.amount_bounds else amount_minor,
        reasons=tuple(row.reasons),
        note=row.note,
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
