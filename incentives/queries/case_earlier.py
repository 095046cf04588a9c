"""What was before and beside a case: the customer's earlier recoveries, with what they cost, and linked cases."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor
from incentives.kernel.money import Money
from incentives.queries.case_parts import Tools
from incentives.queries.scope import case_seen_by
from incentives.recovery import customers
from incentives.recovery.tables import case_links, recovery_cases
from incentives.vouchers.tables import issuances

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierCase:
    """An earlier trouble of the same customer. ``may_open`` is whether the actor sees that case itself."""

    id: uuid.UUID
    issue_tag: str
    opened_at: datetime
    status: str
    outcome: str | None
    recovered: bool | None
    given: tuple[Money, ...]
    may_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """All earlier recoveries of a customer, and of those who were found to be the same: how many, what they cost."""

    cases: tuple[EarlierCase, ...] = ()
    count: int = 0
    recovered: int = 0
    cost: tuple[Money, ...] = ()


def earlier(tx: Connection, actor: Actor, customer_id: uuid.UUID | None, leave_out: Collection[uuid.UUID]) -> Earlier:
    """Return a customer's other cases, the newest first; whoever they were merged with counts as the same customer.

    At most twenty are shown; the count and the cost are of all. What was said in them stays there.
    """
    if customer_id is None:
        return Earlier()
    people = customers.together(tx, [customer_id])
    table = recovery_cases.c
    others = sa.and_(table.customer_id.in_(people), table.id.not_in(list(leave_out)))
    columns = (table.id, table.issue_tag, table.opened_at, table.status, table.outcome, table.recovered)
    rows = tx.execute(
        sa.select(*columns, case_seen_by(actor).label("may_open")).where(others).order_by(table.id.desc())
    ).all()
    given = _given(tx, [row.id for row in rows])
    cost: dict[str, int] = {}
    for amounts in given.values():
        for currency, amount_minor in amounts.items():
            cost[currency] = cost.get(currency, 0) + amount_minor
    return Earlier(
        cases=tuple(_earlier_case(row, given.get(row.id, {})) for row in rows[:_MOST_SHOWN]),
        count=len(rows),
        recovered=sum(1 for row in rows if row.recovered),
        cost=_amounts(cost),
    )


def _given(tx: Connection, case_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    """Return what was given in cases, by case and currency."""
    table = issuances.c
    query = (
        sa.select(table.case_id, table.currency, sa.func.sum(table.amount_minor).label("amount_minor"))
        .where(table.case_id.in_(list(case_ids)), table.status == "issued")
        .group_by(table.case_id, table.currency)
    )
    found: dict[uuid.UUID, dict[str, int]] = {}
    for row in tx.execute(query):
        found.setdefault(row.case_id, {})[row.currency] = int(row.amount_minor)
    return found


def _amounts(by_currency: Mapping[str, int]) -> tuple[Money, ...]:
    return tuple(Money(amount_minor, currency) for currency, amount_minor in sorted(by_currency.items()))


def _earlier_case(row: Any, given: Mapping[str, int]) -> EarlierCase:
    same = ("id", "issue_tag", "opened_at", "status", "outcome", "recovered")
    return EarlierCase(
        **{name: getattr(row, name) for name in same}, given=_amounts(given), may_open=bool(row.may_open)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedCase:
    """A case that has to do with this one: related, merged or split."""

    id: uuid.UUID
    kind: str
    issue_tag: str
    status: str
    outcome: str | None
    opened_at: datetime


def linked(tools: Tools) -> tuple[LinkedCase, ...]:
    """Return the cases that this one is linked with and that the actor sees, the oldest first."""
    link, case = case_links.c, recovery_cases.c
    this = tools.case.id
    other = sa.case((link.case_id == this, link.other_id), else_=link.case_id)
    query = (
        sa.select(case.id, link.kind, case.issue_tag, case.status, case.outcome, case.opened_at)
        .select_from(case_links.join(recovery_cases, case.id == other))
        .where(sa.or_(link.case_id == this, link.other_id == this), case_seen_by(tools.actor))
        .order_by(case.id)
    )
    names = LinkedCase.__dataclass_fields__
    return tuple(LinkedCase(**{name: getattr(row, name) for name in names}) for row in tools.tx.execute(query))
