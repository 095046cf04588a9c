"""Four hundred days of a daily budget, each beginning once at midnight of its place, though nobody swept for three."""

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from incentives.flows.carry_over import carry_over_due
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.errors import BudgetExhausted
from incentives.spending.tables import budget_periods
from tests.races.deeds import broken, give
from tests.small_catalog import PRICE_MINOR, budget, catalog
from tests.world import make_core, publish_catalog

DAYS = 400
FIRST = date(2026, 3, 1)
NOBODY_SWEEPS = range(100, 103)
ZONE = "America/Santiago"  # where clocks jump over midnight, so that a day has none, or two
MOMENT = timedelta(microseconds=1)


def midnights(zone: ZoneInfo, number: int) -> Iterator[datetime]:
    """Yield the first instant of each day, found by looking at the place's clock and nothing else."""
    for day in (FIRST + timedelta(days=each) for each in range(number)):
        low = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=2)
        high = low + timedelta(days=4)
        while high - low > MOMENT:
            middle = low + (high - low) / 2
            low, high = (low, middle) if middle.astimezone(zone).date() >= day else (middle, high)
        yield high


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 2, 20, tzinfo=UTC))


@pytest.fixture
def core(database_url: str, clock: FixedClock) -> Iterator[Core]:
    core = make_core(database_url, clock=clock)
    daily = {"period": "day", "time_zone": ZONE}
    once = budget("once", cap_minor=PRICE_MINOR, **daily)
    kept = budget("kept", cap_minor=2 * PRICE_MINOR, rollover="carry_over", **daily)
    publish_catalog(core, catalog(once, kept))
    yield core
    core.database.dispose()


@pytest.mark.timeout(300)
def test_each_day_has_its_own_and_no_moment_has_two_or_none(core: Core, clock: FixedClock) -> None:
    begins = list(midnights(ZoneInfo(ZONE), DAYS + 1))
    for number, (start_at, end_at) in enumerate(itertools.pairwise(begins)):
        clock.advance(start_at - clock.now())
        give(core)  # in the day's first moment, though the day before had nothing left in its last
        clock.advance(end_at - MOMENT - clock.now())
        with pytest.raises(BudgetExhausted):
            give(core)
        while number not in NOBODY_SWEEPS and carry_over_due(core=core):
            pass
    found = pots(core, "once")
    assert [(row.start_at, row.end_at) for row in found] == list(itertools.pairwise(begins))
    assert [row.period_key for row in found] == [str(FIRST + timedelta(days=each)) for each in range(DAYS)]
    assert {row.committed_count for row in found} == {1}
    *before, today = pots(core, "kept")
    assert len(before) + 1 == DAYS
    assert {left_minor(row) for row in before} == {0}
    assert left_minor(today) == DAYS * PRICE_MINOR  # of two a day one was used
    assert broken(core) == []


def left_minor(pot: Any) -> int:
    """Return what a pot has left."""
    return int(pot.cap_minor + pot.allotted_minor - pot.committed_minor)


def pots(core: Core, name: str) -> list[Any]:
    """Return a budget's pots in order, those of the days before the first aside."""
    table = budget_periods.c
    query = (
        sa.select(budget_periods).where(table.budget == name, table.period_key >= str(FIRST)).order_by(table.start_at)
    )
    with core.database.read() as tx:
        return list(tx.execute(query).all())
