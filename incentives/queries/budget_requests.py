"""Requests to change budgets: what waits for a second person, and what was decided."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import BudgetRequestNotFound
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.spending.tables import REQUEST_KINDS, REQUEST_STATUSES, budget_requests

__all__ = ["REQUEST_KINDS", "REQUEST_STATUSES", "BudgetRequest", "list_requests", "one_request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedPot:
    """A pot by its budget's id and its period's first day."""

    budget_id: str
    name: str
    subject: str
    period_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRequest:
    """One request. ``own`` is whether whoever looks asked for it; they cannot decide it."""

    id: uuid.UUID
    kind: str
    status: str
    pot: RequestedPot
    from_pot: RequestedPot | None
    amount_minor: int
    amount_count: int
    currency: str | None
    reason: str
    requested_by: str
    requested_by_name: str
    requested_at: datetime
    own: bool
    decided_by: str | None
    decided_by_name: str | None
    decided_at: datetime | None
    comment: str | None


def list_requests(
    *,
    core: Core,
    actor: Actor,
    status: str | None = None,
    budget: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[BudgetRequest]:
    """Return requests of a status, of a budget by its key (None: all), the newest first."""
    permit(actor, "budgets:read")
    table = budget_requests.c
    query = sa.select(budget_requests)
    if status is not None:
        query = query.where(table.status == status)
    if budget is not None:
        query = query.where(sa.or_(table.budget == budget, table.from_budget == budget))
    with core.database.read() as tx:
        found = page(tx, query, table.id, lambda row: row, limit=limit, after=after)
        return Page(items=_requests(tx, core, actor, list(found.items)), next=found.next)


def one_request(*, core: Core, actor: Actor, request_id: uuid.UUID) -> BudgetRequest:
    """Return one request, or raise ``BudgetRequestNotFound``."""
    permit(actor, "budgets:read")
    with core.database.read() as tx:
        row = tx.execute(sa.select(budget_requests).where(budget_requests.c.id == request_id)).one_or_none()
        if row is None:
            raise BudgetRequestNotFound
        return _requests(tx, core, actor, [row])[0]


def _requests(tx: Connection, core: Core, actor: Actor, rows: list[Any]) -> list[BudgetRequest]:
    if not rows:
        return []
    names = actor_names(tx, {row.decided_by for row in rows if row.decided_by})
    budgets = releases.cached_current(tx, core).catalog.budgets
    return [_request(actor, row, names, budgets) for row in rows]


def _request(actor: Actor, row: Any, names: Any, budgets: Any) -> BudgetRequest:
    same = ("id", "kind", "status", "amount_minor", "amount_count", "currency", "reason", "requested_by")
    more = ("requested_by_name", "requested_at", "decided_by", "decided_at", "comment")
    return BudgetRequest(
        **{name: getattr(row, name) for name in (*same, *more)},
        pot=_pot(budgets, row.budget, row.subject, row.period_key),
        from_pot=_pot(budgets, row.from_budget, row.from_subject, row.from_period_key) if row.from_budget else None,
        own=row.requested_by == actor.label,
        decided_by_name=names.get(row.decided_by, row.decided_by) if row.decided_by else None,
    )


def _pot(budgets: Any, key: str, subject: str, period_key: str) -> RequestedPot:
    rule = budgets.get(key)
    for_each = rule is not None and rule.of is None and rule.scope != "organization"
    return RequestedPot(
        budget_id=f"{key}:{subject}" if for_each else key,
        name=rule.name if rule else key,
        subject=subject,
        period_key=period_key,
    )
