"""Where a simulation plays: a database that is as on the first day for each seed, without being made anew."""

import shutil
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

from incentives.kernel.database import Database
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.flows.shop import Shop
from tests.machines.lives import Life
from tests.machines.lives_catalog import lives_catalog
from tests.simulation.chance import Truth, seeded
from tests.simulation.wires import Wires

_POOL = 40  # more than there are players


class Place(Protocol):
    """A database under observation, and the shop that stands in it on the first day."""

    database: Database
    wires: Wires
    life: Life
    waits: bool  # whether a statement may wait for a lock

    def fresh(self) -> None:
        """Make it the first day again."""

    def close(self) -> None:
        """Let go of it."""


def _first_day(database: Database) -> Life:
    """Open the shop; its ids are the same every time."""
    with seeded("the first day", Truth()):
        shop = Shop.opened(database.url.render_as_string(hide_password=False), lives_catalog(), database)
        return Life(shop)


def _settle_in(database: Database, wires: Wires) -> None:
    """Connect once: SQLAlchemy asks what database it is, and lets nobody else connect meanwhile."""
    wires.forget()
    for engine in (database.engine, database._reader):
        engine.connect().close()


class SqlitePlace:
    """A file, of which the first day is a copy. Writers queue, so one transaction writes at a time."""

    waits = False

    def __init__(self, databases: SqliteDatabases) -> None:
        """Open the shop in a new file."""
        self._databases, self._url = databases, databases.new()
        self._path = Path(self._url.removeprefix("sqlite:///"))
        self._template = self._path.with_suffix(".first-day")
        self.database = Database(self._url, pool_size=_POOL)
        self.wires = Wires(self.database, writers_most=1)
        self.life = _first_day(self.database)
        self.database.dispose()
        shutil.copyfile(self._path, self._template)

    def fresh(self) -> None:
        """Put the first day's file in the place of the last one."""
        self.database.dispose()
        self._databases.drop(self._url)
        shutil.copyfile(self._template, self._path)
        _settle_in(self.database, self.wires)

    def close(self) -> None:
        """Remove both files."""
        self.database.dispose()
        self._databases.drop(self._url)
        self._template.unlink()


class PostgresPlace:
    """A database made from a template. Two transactions write at once, statement by statement, and wait for locks.

    With three, two could wait for a third, and the server would choose which of them goes on.
    """

    waits = True

    def __init__(self, databases: PostgresDatabases) -> None:
        """Open the shop in a new database, and keep it as the template of others."""
        self._databases, template_url = databases, databases.new()
        self._template = str(conninfo_to_dict(template_url)["dbname"])
        database = Database(template_url)
        self.life = _first_day(database)
        database.dispose()
        self._name = f"{self._template}_now"
        self._url = databases._create(self._name, self._template)
        self.watcher: psycopg.Connection[Any] = psycopg.connect(databases.server_url, autocommit=True)
        self.database = Database(self._url, pool_size=_POOL)
        self.wires = Wires(self.database, writers_most=2, watcher=self.watcher)

    def fresh(self) -> None:
        """Make the database anew from its template."""
        self.database.dispose()
        self._databases.drop(self._url)
        self._databases._create(self._name, self._template)
        _settle_in(self.database, self.wires)

    def close(self) -> None:
        """Remove both databases."""
        self.database.dispose()
        self.watcher.close()
        self._databases.drop(self._url)
        self._databases.drop(self._url.replace(self._name, self._template))
