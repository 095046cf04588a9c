"""The database: column types that refuse what they must, and the two ways in.

``write`` is a unit of work, opened by flows only. ``read`` is a session in which the database itself refuses to
write. Nothing here knows a table of the business.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeDecorator

from incentives.kernel.errors import StorageUnavailable

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)

SQLITE_BUSY_TIMEOUT_MS = 30_000
_POOL_TIMEOUT_SECONDS = 5


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware going in, UTC coming out. A naive one is a bug and is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse naive instants; SQLite has no zone, so it stores UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a naive datetime cannot be stored"
            raise TypeError(message)
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class AmountMinor(TypeDecorator[int]):
    """Whole minor units. A float, a bool or a text is a bug and is refused."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Refuse everything but int."""
        if value is not None and type(value) is not int:
            message = f"an amount must be an int, not {type(value).__name__}"
            raise TypeError(message)
        return value


JsonColumn = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def sqlalchemy_url(url: str) -> sa.URL:
    """Return a database address with the driver that is installed."""
    parsed = sa.make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


class Database:
    """Engines to one database. SQLite gets a private reader engine that cannot write."""

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        """Prepare engines; nothing is connected yet."""
        self.url = sqlalchemy_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = (
            _sqlite_engine(self.url, pool_size, read_only=False)
            if self.sqlite
            else _postgres_engine(self.url, pool_size)
        )
        self._reader = (
            _sqlite_engine(self.url, pool_size, read_only=True)
            if self.sqlite
            else self.engine.execution_options(postgresql_readonly=True)
        )

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open one unit of work: it commits when the block ends, and leaves nothing behind when it raises.

        Raises ``StorageUnavailable`` when the database cannot be reached or went away.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise unavailable(error) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a session that the database itself keeps from writing."""
        try:
            with self._reader.connect() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise unavailable(error) from error

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._reader.dispose()


def insert_unless_there(tx: Connection, table: sa.Table, unique: Sequence[str], row: Mapping[str, Any]) -> bool:
    """Insert a row, unless one with the same unique columns is there; return whether it was inserted.

    A row that another transaction has not committed yet is waited for. The answer comes by RETURNING, for the row
    count of an INSERT is not kept, and reads as -1 on PostgreSQL.
    """
    make = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    unless_there = make(table).on_conflict_do_nothing(index_elements=unique)
    statement = unless_there.returning(sa.literal_column("1", sa.Integer()))
    return tx.execute(statement, row).first() is not None


def unavailable(error: Exception) -> Exception:
    """Return the refusal for an error of reaching the database; a mistake in our SQL stays what it is."""
    # SQLite calls a mistake in SQL by the same name as a full disk; PostgreSQL does not.
    if isinstance(error, DBAPIError) and type(error.orig).__module__ == "sqlite3":
        busy = any(sign in str(error.orig) for sign in ("locked", "full", "I/O", "unable to open", "readonly"))
        return StorageUnavailable(retry_after_seconds=2) if busy else error
    return StorageUnavailable(retry_after_seconds=2)


def _postgres_engine(url: sa.URL, pool_size: int) -> Engine:
    # No ping before each use: a broken connection costs one 503 and its pool is thrown away by the dialect.
    return sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,  # what customers and staff wrote does not go into logs with an error
        connect_args={
            "connect_timeout": 5,
            "options": "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000"
            " -c idle_in_transaction_session_timeout=60000",
        },
    )


def _sqlite_engine(url: sa.URL, pool_size: int, *, read_only: bool) -> Engine:
    engine = sa.create_engine(
        url,
        poolclass=sa.pool.QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_TIMEOUT_MS / 1000},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver's own idea of transactions upgrades a reader to a writer and then fails at once
        # (SQLITE_BUSY_SNAPSHOT); with it off, writers queue at BEGIN IMMEDIATE.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            "synchronous=NORMAL",
        ):
            connection.execute(f"PRAGMA {pragma}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
