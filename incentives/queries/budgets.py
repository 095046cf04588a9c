"""Budgets as they stand in a period: cap, allotted, held, committed, spent, available, and when they will run dry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.definitions import BudgetRule
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, NotFound
from incentives.kernel.periods import Period, period_of, period_of_key
from incentives.queries import budget_rates
from incentives.queries.budget_rates import NO_RATES, Rates
from incentives.spending.budgets import used_of
from incentives.spending.tables import COUNTERS, budget_periods

_MOST_SUBJECTS = 200
WHOLE = "organization"
BASES = ("face", "expected", "redemption")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    basis: str
    expected_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """One kind of counting, money (minor units) or number; ``cap`` None does not limit, then ``available`` is None.

    ``allotted`` is what was put on top of the cap, below zero what was taken from it.
    """

    cap: int | None
    held: int
    committed: int
    spent: int
    allotted: int = 0
    basis: str = "face"
    expected_percent: int = 100

    @property
    def ceiling(self) -> int | None:
        """Return what may be used in all."""
        return None if self.cap is None else self.cap + self.allotted

    @property
    def promised(self) -> int:
        """Return what is promised and not spent yet."""
        return self.held + self.committed

    @property
    def used(self) -> int:
        """Return what counts as used by the budget's basis."""
        return self.used_under(self.basis)

    def used_under(self, basis: str) -> int:
        """Return what would count as used, had the budget been charged by a basis all along."""
        return used_of(self.promised, self.spent, _Basis(basis=basis, expected_percent=self.expected_percent))

    @property
    def available(self) -> int | None:
        """Return what is left, never below zero: a cap may have been lowered under what was promised."""
        return None if self.ceiling is None else max(0, self.ceiling - self.used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A pot in a period. ``subject`` is the one it is for: a location, a team, an agent, a customer.

    ``of`` is the subject that the catalog names, None where the budget is a pot for each. ``run_dry_at`` is when
    nothing will be left at the present rate, None where the period ends first, or nobody can say.
    """

    key: str
    name: str
    scope: str
    of: str | None
    subject: str | None
    issue_tags: tuple[str, ...]
    currency: str | None
    period: str
    period_key: str
    start_at: datetime | None
    end_at: datetime | None
    time_zone: str
    week_start: int
    on_expiry: str
    basis: str
    expected_percent: int
    rollover: str
    break_glass_percent: int
    money: Counters
    count: Counters
    rates: Rates = NO_RATES

    @property
    def id(self) -> str:
        """Return the key, and the subject where the budget has a pot for each."""
        for_each = self.of is None and self.scope != WHOLE and self.subject is not None
        return f"{self.key}:{self.subject}" if for_each else self.key

    @property
    def run_dry_at(self) -> datetime | None:
        """Return when it is used up at the present rate, of its money or its number, whichever comes first."""
        return self.rates.run_dry_at


def list_budgets(*, core: Core, actor: Actor) -> list[Budget]:
    """Return every budget of the approved catalog; one that has a pot for each appears once for each in use."""
    permit(actor, "budgets:read")
    now = core.clock.now()
    with core.database.read() as tx:
        rules = list(releases.cached_current(tx, core).catalog.budgets.values())
        found = [each for rule in rules for each in _pots(tx, rule, now)]
        return _rated(tx, found, now)


def one_budget(*, core: Core, actor: Actor, key: str) -> list[Budget]:
    """Return the pots of one budget, or raise ``NotFound``."""
    found = [each for each in list_budgets(core=core, actor=actor) if each.key == key]
    if not found:
        raise NotFound("There is no such budget.")
    return found


def one_pot(*, core: Core, actor: Actor, budget_id: str, period_key: str | None = None) -> Budget:
    """Return one pot by its id, in a period by its first day (None: the present one).

    Raises ``NotFound`` and ``InputInvalid``.
    """
    permit(actor, "budgets:read")
    now = core.clock.now()
    with core.database.read() as tx:
        return _rated(tx, [pot_of(tx, core, budget_id, period_key, now)[0]], now)[0]


def _rated(tx: Connection, pots: Sequence[Budget], now: datetime) -> list[Budget]:
    rates = budget_rates.rates_of(tx, pots, now)
    return [replace(each, rates=found) for each, found in zip(pots, rates, strict=True)]


def pot_of(tx: Connection, core: Core, budget_id: str, period_key: str | None, now: datetime) -> tuple[Budget, Any]:
    """Return a pot with its row, None where nothing has happened to it. Raises ``NotFound`` and ``InputInvalid``."""
    key, _, subject = budget_id.partition(":")
    if "\x00" in budget_id:  # PostgreSQL would not even look for it
        raise NotFound("There is no such budget.")
    rule = releases.cached_current(tx, core).catalog.budgets.get(key)
    if rule is None:
        raise NotFound("There is no such budget.")
    period = _period(rule, period_key, now)
    fixed = WHOLE if rule.scope == WHOLE else rule.of
    if fixed is not None and subject:
        raise NotFound("This budget has one pot. GET /api/v1/budgets lists them.")
    row = _row(tx, key, fixed or subject, period.key)
    if row is None and fixed is None and (subject or _in_use(tx, key, period.key)):
        raise NotFound("This budget has a pot for each subject, and none for this one. GET /api/v1/budgets lists them.")
    return _budget(rule, period, row), row


def period_after(pot: Budget) -> str:
    """Return the key of the period that follows a pot's own; the empty one where it has no periods."""
    if pot.end_at is None:
        return ""
    return period_of(pot.end_at, pot.period, pot.time_zone, pot.week_start).key


def _row(tx: Connection, key: str, subject: str, period_key: str) -> Any:
    table = budget_periods.c
    this = sa.and_(table.budget == key, table.subject == subject, table.period_key == period_key)
    return tx.execute(sa.select(budget_periods).where(this)).one_or_none()


def _in_use(tx: Connection, key: str, period_key: str) -> bool:
    table = budget_periods.c
    this = sa.and_(table.budget == key, table.period_key == period_key)
    return tx.execute(sa.select(table.id).where(this).limit(1)).first() is not None


def _period(rule: BudgetRule, period_key: str | None, now: datetime) -> Period:
    if period_key is None:
        return period_of(now, rule.period, rule.time_zone, rule.week_start_number)
    try:
        return period_of_key(period_key, rule.period, rule.time_zone, rule.week_start_number)
    except ValueError:
        message = "No period of this budget begins on that day."
        raise InputInvalid(errors=[{"field": "period", "message": message}]) from None


def _pots(tx: Connection, rule: BudgetRule, now: datetime) -> list[Budget]:
    period = _period(rule, None, now)
    table = budget_periods.c
    rows: Sequence[Any] = tx.execute(
        sa.select(budget_periods)
        .where(table.budget == rule.key, table.period_key == period.key)
        .order_by((table.held_minor + table.committed_minor + table.spent_minor).desc(), table.subject)
        .limit(_MOST_SUBJECTS),
    ).all()
    return [_budget(rule, period, row) for row in rows] or [_budget(rule, period, None)]


def _budget(rule: BudgetRule, period: Period, row: Any) -> Budget:
    return Budget(
        key=rule.key,
        name=rule.name,
        scope=rule.scope,
        of=rule.of,
        subject=row.subject if row else rule.of,
        issue_tags=rule.issue_tags,
        currency=rule.currency,
        period=rule.period,
        period_key=period.key,
        start_at=period.start_at,
        end_at=period.end_at,
        time_zone=rule.time_zone,
        week_start=rule.week_start_number,
        on_expiry=rule.on_expiry,
        basis=rule.basis,
        expected_percent=rule.expected_percent,
        rollover=rule.rollover,
        break_glass_percent=rule.break_glass_percent,
        money=_counters(rule, row, "minor", rule.cap_minor),
        count=_counters(rule, row, "count", rule.cap_count),
    )


def _counters(rule: BudgetRule, row: Any, unit: str, cap: int | None) -> Counters:
    names = [f"{state}_{unit}" for state in ("held", "committed", "spent")]
    held, committed, spent = (getattr(row, name) if row else 0 for name in names if name in COUNTERS)
    return Counters(
        cap=cap,
        allotted=getattr(row, f"allotted_{unit}") if row else 0,
        held=held,
        committed=committed,
        spent=spent,
        basis=rule.basis,
        expected_percent=rule.expected_percent,
    )
