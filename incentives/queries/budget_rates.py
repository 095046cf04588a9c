"""How fast budgets are used, and when they will run dry.

The rate is what was used, by the budget's basis, within the last 28 days, whatever period that was in, divided by the
days since the first of those movements; by one day where that was less than a day ago. What was released counts
against it. A budget runs dry when what is available is used at that rate; a period that ends first ends the
forecast with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.spending.budgets import used_of
from incentives.spending.tables import COUNTERS, budget_movements, budget_periods

WINDOW = timedelta(days=28)
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What is used in a day, rounded to whole minor units and tenths of a voucher; ``run_dry_at`` None is not soon."""

    a_day_minor: int
    a_day_count: float
    run_dry_at: datetime | None


NO_RATES = Rates(a_day_minor=0, a_day_count=0.0, run_dry_at=None)


class Counted(Protocol):
    """One kind of counting of a pot."""

    @property
    def available(self) -> int | None:
        """Return what is left; None where nothing limits it."""


class Rated(Protocol):
    """What of a pot its rates go by."""

    @property
    def key(self) -> str:
        """Return the budget's key."""

    @property
    def subject(self) -> str | None:
        """Return whom it is for."""

    @property
    def end_at(self) -> datetime | None:
        """Return when its period ends."""

    @property
    def basis(self) -> str:
        """Return face, expected or redemption."""

    @property
    def expected_percent(self) -> int:
        """Return how much of what is promised is expected to be spent."""

    @property
    def money(self) -> Counted:
        """Return its minor units."""

    @property
    def count(self) -> Counted:
        """Return its number of vouchers."""


def rates_of(tx: Connection, pots: Sequence[Rated], now: datetime) -> list[Rates]:
    """Return the rates of pots, in their order, read for all of them at once."""
    moved = _moved(tx, {each.key for each in pots}, now)
    return [_rates(each, moved.get((each.key, each.subject or "organization")), now) for each in pots]


def _moved(tx: Connection, keys: set[str], now: datetime) -> Mapping[tuple[str, str], Any]:
    """Return what the movements of the window sum up to, by budget and subject, with the first of them."""
    pot, table = budget_periods.c, budget_movements.c
    recent = sa.or_(pot.end_at.is_(None), pot.end_at > now - WINDOW)
    query = (
        sa.select(
            pot.budget,
            pot.subject,
            sa.func.min(table.at).label("first_at"),
            *(sa.func.sum(table[name]).label(name) for name in COUNTERS),
        )
        .join(budget_periods, pot.id == table.budget_period_id)
        .where(pot.budget.in_(keys), recent, table.at > now - WINDOW, table.at <= now)
        .group_by(pot.budget, pot.subject)
    )
    return {(row.budget, row.subject): row for row in tx.execute(query)}


def _rates(each: Rated, row: Any, now: datetime) -> Rates:
    if row is None:
        return NO_RATES
    days = max(Fraction(int((now - row.first_at).total_seconds()), int(_DAY.total_seconds())), Fraction(1))
    minor, count = (_a_day(row, unit, each, days) for unit in ("minor", "count"))
    ends = [end for end in (_end(each.money, minor, now), _end(each.count, count, now)) if end is not None]
    run_dry_at = min(ends, default=None)
    if run_dry_at is not None and each.end_at is not None and run_dry_at >= each.end_at:
        run_dry_at = None
    return Rates(a_day_minor=round(minor), a_day_count=float(round(count, 1)), run_dry_at=run_dry_at)


def _a_day(row: Any, unit: str, rule: Rated, days: Fraction) -> Fraction:
    held, committed, spent = (int(getattr(row, f"{state}_{unit}")) for state in ("held", "committed", "spent"))
    used = used_of(held + committed, spent, rule)
    return max(Fraction(used), Fraction(0)) / days


def _end(counters: Counted, a_day: Fraction, now: datetime) -> datetime | None:
    """Return when what is available is used; None where nothing limits it, it is used up, or that is years away."""
    if not counters.available or not a_day:
        return None
    days = counters.available / a_day
    return now + timedelta(seconds=int(days * int(_DAY.total_seconds()))) if days < _LONGEST.days else None
