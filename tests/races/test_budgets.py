"""A budget is never over-spent and never refuses while money is left, whatever comes at once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.spending import budgets
from incentives.vouchers.tables import vouchers
from tests.crew import Crew, count
from tests.races.conftest import DropConstraint
from tests.races.deeds import broken, counters, give, issue, rows
from tests.small_catalog import PRICE_MINOR, budget, catalog
from tests.world import publish_catalog

CAP_CHECK = ("budget_periods", "ck_budget_periods_within_cap_minor")


@contextmanager
def without_lock() -> Iterator[None]:
    """Read the budgets, decide, and write: as one does who thinks of one user at a time."""

    def read(tx: Connection, core: Core, wanted: Iterable[budgets.Wanted], now: datetime, **_newcomers: Any) -> Any:
        return budgets.read(tx, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "lock", read)
        yield


@pytest.mark.timeout(300)
def test_two_thousand_at_once_get_exactly_what_there_is_room_for(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget(cap_minor=1234 * PRICE_MINOR)))
    outcomes = crew.share(issue, range(2000), core.settings.database_url)
    assert count(outcomes) == {"Issued": 1234, "BudgetExhausted": 766}
    assert counters(core) == {"committed_minor": 1234 * PRICE_MINOR, "committed_count": 1234}
    assert rows(core, vouchers) == 1234
    assert broken(core) == []


def test_without_the_lock_and_the_check_the_budget_bursts(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    publish_catalog(core, catalog(budget(cap_minor=20 * PRICE_MINOR)))
    give(core)  # There must be a pot to read.
    drop_constraint(*CAP_CHECK)
    outcomes = crew.share(issue, range(80), core.settings.database_url, twin=without_lock)
    assert count(outcomes)["Issued"] > 19
    assert broken(core) == ["no budget is over its cap: all organization 2026-01-01"]


def test_without_the_lock_the_database_itself_keeps_the_cap(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget(cap_minor=20 * PRICE_MINOR)))
    give(core)
    outcomes = crew.share(issue, range(80), core.settings.database_url, twin=without_lock)
    found = count(outcomes)
    assert found["Issued"] == 19
    assert found["IntegrityError"] > 0  # So the lock is what makes it a polite refusal.
    assert broken(core) == []


def test_without_the_check_the_lock_keeps_the_cap(crew: Crew, core: Core, drop_constraint: DropConstraint) -> None:
    publish_catalog(core, catalog(budget(cap_minor=20 * PRICE_MINOR)))
    drop_constraint(*CAP_CHECK)
    outcomes = crew.share(issue, range(80), core.settings.database_url)
    assert count(outcomes) == {"Issued": 20, "BudgetExhausted": 60}
    assert broken(core) == []
