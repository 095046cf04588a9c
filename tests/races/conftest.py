"""One crew for all races of a test process; races are run on PostgreSQL, for SQLite lets one writer in at a time."""

from collections.abc import Iterator

import pytest

from incentives.kernel.core import Core
from incentives.kernel.database import Database
from tests.crew import Crew
from tests.world import make_core


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.dismiss()


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def core(database_url: str) -> Iterator[Core]:
    """A core of the test's own, on the database that the crew works on."""
    core = make_core(database_url)
    yield core
    core.database.dispose()


@pytest.fixture
def drop_constraint(database: Database) -> "DropConstraint":
    return DropConstraint(database)


class DropConstraint:
    """Takes a guard out of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, table: str, name: str) -> None:
        with self._database.write() as tx:
            tx.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")

    def index(self, name: str) -> None:
        with self._database.write() as tx:
            tx.exec_driver_sql(f"DROP INDEX {name}")
