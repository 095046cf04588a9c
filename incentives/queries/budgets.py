"""Budgets as they stand in their present period: cap, held, committed, spent, available."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.catalog import releases
from incentives.catalog.definitions import BudgetRule
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import NotFound
from incentives.kernel.periods import period_of
from incentives.spending.tables import COUNTERS, budget_periods

_MOST_SUBJECTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """One kind of counting, money (minor units) or number; ``cap`` None does not limit, then ``available`` is None."""

    cap: int | None
    held: int
    committed: int
    spent: int

    @property
    def available(self) -> int | None:
        """Return what is left, never below zero: a cap may have been lowered under what was promised."""
        return None if self.cap is None else max(0, self.cap - self.held - self.committed - self.spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A pot in its present period. ``subject`` is the one it is for: a location, a team, an agent, a customer.

    ``of`` is the subject that the catalog names, None where the budget is a pot for each.
    """

    key: str
    name: str
    scope: str
    of: str | None
    subject: str | None
    currency: str | None
    period: str
    start_at: datetime | None
    end_at: datetime | None
    time_zone: str
    on_expiry: str
    money: Counters
    count: Counters


def list_budgets(*, core: Core, actor: Actor) -> list[Budget]:
    """Return every budget of the approved catalog; one that has a pot for each appears once for each in use."""
    permit(actor, "budgets:read")
    now = core.clock.now()
    with core.database.read() as tx:
        rules = releases.cached_current(tx, core).catalog.budgets.values()
        return [each for rule in rules for each in _pots(tx, rule, now)]


def one_budget(*, core: Core, actor: Actor, key: str) -> list[Budget]:
    """Return the pots of one budget, or raise ``NotFound``."""
    found = [each for each in list_budgets(core=core, actor=actor) if each.key == key]
    if not found:
        raise NotFound("There is no such budget.")
    return found


def _pots(tx: sa.Connection, rule: BudgetRule, now: datetime) -> list[Budget]:
    period = period_of(now, rule.period, rule.time_zone, rule.week_start_number)
    table = budget_periods.c
    rows = tx.execute(
        sa.select(budget_periods)
        .where(table.budget == rule.key, table.period_key == period.key)
        .order_by((table.held_minor + table.committed_minor + table.spent_minor).desc(), table.subject)
        .limit(_MOST_SUBJECTS),
    ).all()
    bounds = (period.start_at, period.end_at)
    return [_budget(rule, bounds, row) for row in rows] or [_budget(rule, bounds, None)]


def _budget(rule: BudgetRule, bounds: tuple[datetime | None, datetime | None], row: Any) -> Budget:
    counted = {name: getattr(row, name) if row else 0 for name in COUNTERS}
    money = {state: counted[f"{state}_minor"] for state in ("held", "committed", "spent")}
    count = {state: counted[f"{state}_count"] for state in ("held", "committed", "spent")}
    return Budget(
        key=rule.key,
        name=rule.name,
        scope=rule.scope,
        of=rule.of,
        subject=row.subject if row else rule.of,
        currency=rule.currency,
        period=rule.period,
        start_at=bounds[0],
        end_at=bounds[1],
        time_zone=rule.time_zone,
        on_expiry=rule.on_expiry,
        money=Counters(cap=rule.cap_minor, **money),
        count=Counters(cap=rule.cap_count, **count),
    )
