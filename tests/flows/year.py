"""A small year of trouble on each database, filled once for all tests that only look."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from bench.trouble import SMALL, Plan
from bench.trouble_rows import fill
from incentives.kernel.actors import Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.database import UtcDateTime
from tests.databases import Databases
from tests.world import actor, make_core


class Year:
    """The rows that were written, and the core that reads them."""

    def __init__(self, databases: Databases, plan: Plan = SMALL) -> None:
        self.plan, self.url = plan, databases.new()
        self.core: Core = make_core(self.url, clock=FixedClock(plan.end))
        self.rows = fill(self.core, plan)
        self.manager: Actor = actor(self.core, "manager")

    def count(self, text: str, **values: Any) -> int:
        """Return what plain SQL counts; instants go in as the columns keep them."""
        return int(self.all(text, **values)[0][0] or 0)

    def all(self, text: str, **values: Any) -> list[Any]:
        """Return the rows of plain SQL."""
        kinds = [sa.bindparam(name, type_=UtcDateTime()) for name in values if name.endswith("_at")]
        with self.core.database.read() as tx:
            return list(tx.execute(sa.text(text).bindparams(*kinds), values).all())


@pytest.fixture(scope="module", name="years")
def all_years() -> Iterator[dict[str, Year]]:
    """The years that were filled so far, by database."""
    made: dict[str, Year] = {}
    yield made
    for year in made.values():
        year.core.database.dispose()


@pytest.fixture(name="year")
def a_year(years: dict[str, Year], databases: Databases, backend: str) -> Year:
    """A year that nobody changes."""
    if backend not in years:
        years[backend] = Year(databases)
    return years[backend]
