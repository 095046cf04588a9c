"""The database: column types that refuse what they must, and the ways in.

``write`` is a unit of work, opened by flows only. ``read`` and ``read_snapshot`` are sessions in which the database
itself refuses to write. Nothing here knows a table of the business.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeDecorator

from incentives.kernel.errors import IdempotencyKeyInFlight, StorageUnavailable

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

_IS_APPEND_ONLY = "is append-only"  # how the triggers of such tables end what they say
_DISK_FULL = "53100"  # PostgreSQL's code for it
_NO_ROOM = "The disk of the database is full, so this was not recorded. Whoever runs this installation must make room."
_MAKING_ROOM_SECONDS = 30


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


def index_where_given(name: str, *columns: str, unique: bool = False) -> sa.Index:
    """Return an index of the rows whose first column has a value: where most have none, it costs those nothing."""
    given = sa.text(f"{columns[0]} IS NOT NULL")
    return sa.Index(name, *columns, unique=unique, postgresql_where=given, sqlite_where=given)


def sqlalchemy_url(url: str) -> sa.URL:
    """Return a database address with the driver that is installed."""
    parsed = sa.make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


class Database:
    """Engines to one database: one that writes, and one whose connections cannot."""

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        """Prepare engines; nothing is connected yet."""
        self.url = sqlalchemy_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = _engine(self.url, pool_size, read_only=False)
        self._reader = _engine(self.url, pool_size, read_only=True)

    @contextmanager
    def write(self, *, shared: bool = False) -> Iterator[Connection]:
        """Open one unit of work: it commits when the block ends, and leaves nothing behind when it raises.

        One that several requests share waits for no lock for long: each of them can wait by itself. Raises
        ``StorageUnavailable`` when the database cannot be reached or went away.
        """
        try:
            with self.engine.begin() as connection:
                if shared and not self.sqlite:
                    from incentives.kernel import postgres  # noqa: PLC0415 - its driver is there for those who have a PostgreSQL

                    postgres.share(connection)
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            _let_go(self._reader, error)
            raise unavailable(error) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a session that the database itself keeps from writing.

        On PostgreSQL each statement sees what was committed before it; ``read_snapshot`` is for those who compare.
        """
        try:
            with self._reader.connect() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            _let_go(self.engine, error)
            raise unavailable(error) from error

    @contextmanager
    def read_snapshot(self) -> Iterator[Connection]:
        """Open a session that cannot write, and in which all statements see the database at one instant."""
        with self.read() as connection:
            # SQLite's readers have a transaction anyway, and one transaction is one snapshot there.
            yield connection if self.sqlite else connection.execution_options(isolation_level="REPEATABLE READ")

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._reader.dispose()


def insert_unless_there(tx: Connection, table: sa.Table, unique: Sequence[str], row: Mapping[str, Any]) -> bool:
    """Insert a row, unless one with the same unique columns is there; return whether it was inserted.

    A row that another transaction has not committed yet is waited for. The answer comes by RETURNING, for the row
    count of an INSERT is not kept, and reads as -1 on PostgreSQL.
    """
    try:
        return tx.execute(_insert_unless_there(tx.dialect.name, table, tuple(unique)), row).first() is not None
    except IntegrityError as error:
        # SQLite's guard of a table that only grows sees the row before the database would pass it over.
        if not str(error.orig).endswith(_IS_APPEND_ONLY):
            raise
        return False


@cache
def _insert_unless_there(dialect: str, table: sa.Table, unique: tuple[str, ...]) -> sa.Executable:
    """Return the statement, made once: building it costs more than PostgreSQL takes to run it."""
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    unless_there = make(table).on_conflict_do_nothing(index_elements=unique)
    return unless_there.returning(sa.literal_column("1", sa.Integer()))


def _let_go(other: Engine, error: Exception) -> None:
    """Throw away the other engine's idle connections too when one was cut: both were to the same server.

    Otherwise a restart of PostgreSQL would cost two answers, one for each pool.
    """
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        other.dispose()


def insert_new(
    tx: Connection,
    table: sa.Table,
    unique: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    where: str | None = None,
) -> set[Any]:
    """Insert rows in one statement, but for those whose unique columns are there; return the ids of the new ones.

    They go in by their unique columns' order, so that two transactions cannot wait for each other in a ring. ``where``
    is the condition of an index that is unique among some rows only, in its own words. Of a table that only grows ask
    first which are there: on SQLite its guard refuses all of them for the sake of one.
    """
    if not rows:
        return set()
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in unique))
    statement = _insert_new(tx.dialect.name, table, tuple(unique), where)
    # One row by itself is told as one: many ask SQLAlchemy to write a statement that fits their number.
    return set(tx.execute(statement, ordered if len(ordered) > 1 else dict(ordered[0])).scalars())


@cache
def _insert_new(dialect: str, table: sa.Table, unique: tuple[str, ...], where: str | None) -> Any:
    """Return the statement, made once: SQLAlchemy knows one that it has met by its identity."""
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    condition = None if where is None else sa.text(where)
    unless_there = make(table).on_conflict_do_nothing(index_elements=unique, index_where=condition)
    return unless_there.returning(table.c.id)


def unavailable(error: Exception) -> Exception:
    """Return the refusal for an error of reaching the database; a mistake in our SQL stays what it is."""
    orig = error.orig if isinstance(error, DBAPIError) else None
    sqlite = type(orig).__module__ == "sqlite3"
    if "disk is full" in str(orig) if sqlite else getattr(orig, "sqlstate", None) == _DISK_FULL:
        return StorageUnavailable(_NO_ROOM, retry_after_seconds=_MAKING_ROOM_SECONDS)
    # SQLite calls a mistake in SQL by the same name as a file that is locked; PostgreSQL does not.
    if sqlite and not any(sign in str(orig) for sign in ("locked", "full", "I/O", "unable to open", "readonly")):
        return error
    return StorageUnavailable(retry_after_seconds=2)


def is_away(error: BaseException) -> bool:
    """Return whether an error is about reaching the database, and not about what stands in it."""
    if isinstance(error, (OperationalError, InterfaceError)):
        error = unavailable(error)
    return isinstance(error, (StorageUnavailable, PoolTimeout))


def _engine(url: sa.URL, pool_size: int, *, read_only: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        made = _sqlite_engine(url, pool_size, read_only=read_only)
    else:
        from incentives.kernel import postgres  # noqa: PLC0415 - its driver is there for those who have a PostgreSQL

        made = postgres.engine(url, pool_size, read_only=read_only)
    _close_what_is_left_over(made)
    return made


def _close_what_is_left_over(engine: Engine) -> None:
    """Let a connection be closed that comes back to a pool that was thrown away while it was in use.

    Nobody would take it from there again: it would stay open until the collector finds it.
    """

    @sa.event.listens_for(engine, "connect")
    def remember(_connection: Any, record: Any) -> None:
        record.info["pool"] = engine.pool

    @sa.event.listens_for(engine, "checkin")
    def close(_connection: Any, record: Any) -> None:
        if record.info.get("pool", engine.pool) is not engine.pool:
            record.invalidate()


def is_of_one_deed(error: BaseException) -> bool:
    """Return whether a transaction of several deeds failed for the sake of one: without it the others may go through.

    A deadlock or a lock that did not come is; a database that cannot be reached is not.
    """
    return not isinstance(error, StorageUnavailable) or is_for_want_of_a_lock(error)


def is_for_want_of_a_lock(error: BaseException) -> bool:
    """Return whether a transaction failed since it waited in vain: it may go through when it is tried again."""
    if isinstance(error, IdempotencyKeyInFlight):
        return True
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) in _OF_ONE_DEED


_OF_ONE_DEED = ("40P01", "55P03", "57014")  # a deadlock, a lock that did not come in time, a statement that took long


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
