"""PostgreSQL: how its connections are made, and for how long one is waited for that says nothing.

A server that is gone without a word (a cable, a firewall, a host that stands still) leaves its clients waiting. Whoever
waits for long asks by a connection of its own whether anybody is there: a statement that takes its time is waited for,
one that nobody works on is given up. The network's own timers alone would not do: they count what was not received,
and something between the two may receive everything.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.errors import _WaitTimeout
from psycopg.pq import TransactionStatus

PATIENCE_SECONDS = 2.0
"""So long an answer may take before anybody asks whether the server is there."""

_PROBE_SECONDS = 3
_CONNECT_SECONDS = 5
_KNOWN_SECONDS = 1.0
_POOL_TIMEOUT_SECONDS = 5
# A connection keeps its plans, whatever became of the tables meanwhile: who comes after it plans for what there is.
_RECYCLED_AFTER_SECONDS = 300
_PREPARED_MOST = 400  # Deeds that go together spell what they write in more ways than the driver's hundred.
_COLUMNS_MOST = 1000
_GIVEN_UP = "the server does not answer"
# Those who share a transaction wait for no lock for long. They go by keys, and PostgreSQL would make its plan anew each
# time for a list that is sent as one value. Whoever looks for what is rare among all (a message that waits, of millions
# that do not) needs a plan for the very values: a plan for any would read everything.
_SHARED = b"SELECT set_config('lock_timeout', '1s', true), set_config('plan_cache_mode', 'force_generic_plan', true)"

# No statement here runs for so long that compiling it first would pay; the reports lose half a second to it. The server
# looks after its side of the line as we do after ours: what a client that is gone has locked is free in ten seconds.
_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000 "
    "-c jit=off -c tcp_user_timeout=10000 -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 "
    "-c tcp_keepalives_count=2"
)
_OF_READERS = " -c default_transaction_read_only=on"
# Who writes goes by keys, row by row. Of rows that are sent as one JSON text PostgreSQL always expects a hundred, and
# would read all of a table to find one. So it would for a few keys of a table that is nearly empty, and a plan is kept
# until the table is analyzed: by then it reads every budget of every customer. And nobody waits for processes that are
# to help with what takes a fraction of their start.
_OF_WRITERS = (
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c max_parallel_workers_per_gather=0"
)
# What was sent and not even received within this time never will be.
_LINE = {"tcp_user_timeout": 5000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}
# At READ COMMITTED a transaction gives a reader nothing: each statement has a snapshot of its own anyway. Without one,
# BEGIN, ROLLBACK and the switch to READ ONLY and back are saved, which cost more than a small query.
_READER: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}


class Watch:
    """Knows whether a server that does not answer is busy or gone. All connections of an engine share one."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._looked_at = self._gone_at = -math.inf
        self._how: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def connect(self, *arguments: Any, **options: Any) -> "Watched":
        """Connect. A server that was gone a moment ago is not waited for again, so that no request waits twice."""
        self._how = arguments, options
        if self._is_gone():
            raise psycopg.errors.ConnectionTimeout(_GIVEN_UP)
        try:
            connection = Watched.connect(*arguments, **options)
        except psycopg.errors.ConnectionTimeout:
            self._gone_at = time.monotonic()
            raise
        connection.watch = self
        connection.prepared_max = _PREPARED_MOST
        return connection

    def finds_nobody(self) -> bool:
        """Return whether the server is gone: it does not even take a new connection. Of many who ask, one looks."""
        asked_at = time.monotonic()
        with self._lock:
            if self._looked_at < asked_at:
                self._look()
        return self._is_gone()

    def _look(self) -> None:
        arguments, options = self._how
        try:
            psycopg.connect(*arguments, **{**options, "connect_timeout": _PROBE_SECONDS}).close()
        except psycopg.errors.ConnectionTimeout:
            self._gone_at = time.monotonic()
        except psycopg.Error:
            self._gone_at = -math.inf  # It refuses another connection: somebody is there.
        else:
            self._gone_at = -math.inf
        self._looked_at = time.monotonic()

    def _is_gone(self) -> bool:
        return time.monotonic() - self._gone_at < _KNOWN_SECONDS


class _Cursor(psycopg.Cursor[Any]):
    """Sends a transaction's BEGIN along with its first statement, and its COMMIT with the last where that is said.

    Each of them is a round trip otherwise, which costs both sides more than most statements do. And it remembers which
    columns a statement has: to look at each of forty takes as long as reading the row.
    """

    _conn: "Watched"

    @property
    def description(self) -> list[psycopg.Column] | None:
        """Return the columns of the answer, as they were when the statement was first answered."""
        if not isinstance(self._last_query, str) or self.pgresult is None or not self.pgresult.nfields:
            return super().description
        known = self._conn.columns.get(self._last_query)
        if known is None or len(known) != self.pgresult.nfields:
            if len(self._conn.columns) >= _COLUMNS_MOST:
                self._conn.columns.clear()
            known = self._conn.columns[self._last_query] = super().description or []
        return known

    def execute(self, query: Any, params: Any = None, **options: Any) -> "_Cursor":
        """Run a statement, and what stands around it."""
        connection = self._conn
        begins = not connection.autocommit and connection.pgconn.transaction_status == TransactionStatus.IDLE
        if not begins and not connection.ends:
            return super().execute(query, params, **options)
        with _telling_what_failed(), connection.pipeline():
            super().execute(query, params, **options)
            if connection.ends:
                connection.add_commit()
        connection.is_over = connection.ends
        return self

    def executemany(self, *arguments: Any, **options: Any) -> None:
        """Run a statement for each of many rows, which the driver sends together."""
        with _telling_what_failed():
            super().executemany(*arguments, **options)


@contextmanager
def _telling_what_failed() -> Iterator[None]:
    """Raise what a pipeline was aborted for: the driver tells of what came after it where that is answered later."""
    try:
        yield
    except psycopg.errors.PipelineAborted as aborted:
        error: BaseException = aborted
        while isinstance(error, psycopg.errors.PipelineAborted) and error.__context__ is not None:
            error = error.__context__
        raise _quoting_nothing(error) from None


def _quoting_nothing(error: BaseException) -> BaseException:
    """Let an error say what is wrong and no more: its details and its context quote rows, which go into no log."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        error.args = (error.diag.message_primary,)
    return error


class Watched(psycopg.Connection[Any]):
    """A connection that does not wait for a server that is gone."""

    watch: Watch
    first: bytes | None = None  # what the next transaction does before anything else
    ends = False  # whether the statement that comes now is the last
    is_over = False  # whether the last one was sent, and COMMIT with it

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Begin without having met a statement."""
        super().__init__(*arguments, **options)
        self.columns: dict[str, list[psycopg.Column]] = {}
        self.cursor_factory = _Cursor

    def _start_query(self) -> Any:
        """Begin a transaction if there is none; in a pipeline without waiting for the answer.

        Every statement comes through here, so that none comes after the last.
        """
        if self.is_over:
            raise AssertionError("a transaction went on after its last statement")
        if self.autocommit or self.pgconn.transaction_status != TransactionStatus.IDLE:
            return
        yield from self._exec_command(self._get_tx_start_command())
        if self.first is not None:
            yield from self._exec_command(self.first)
            self.first = None

    def add_commit(self) -> None:
        """Put COMMIT behind what is in the pipeline: where that fails, the server passes it over."""
        self.wait(self._exec_command(b"COMMIT"))

    def commit(self) -> None:
        """Commit, unless the last statement did."""
        try:
            super().commit()
        finally:
            self.first, self.is_over = None, False

    def rollback(self) -> None:
        """Roll back."""
        try:
            super().rollback()
        finally:
            self.first, self.is_over = None, False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer, as long as somebody may be working on it."""
        try:
            return super().wait(gen, interval, timeout) if timeout is not None else self._wait(gen, interval)
        except psycopg.Error as error:
            _quoting_nothing(error)
            raise

    def _wait(self, gen: Any, interval: float) -> Any:
        while True:
            try:
                return super().wait(gen, interval, PATIENCE_SECONDS)
            except _WaitTimeout:
                if self.watch.finds_nobody():
                    self.close()  # What comes of the statement is unknown, and so is what would be answered next.
                    raise psycopg.OperationalError(_GIVEN_UP) from None


def engine(url: sa.URL, pool_size: int, *, read_only: bool) -> sa.Engine:
    """Return an engine whose connections are watched; nothing is connected yet."""
    # No ping before each use: a broken connection costs one 503 and its pool is thrown away by the dialect.
    made = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        pool_recycle=_RECYCLED_AFTER_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,  # what customers and staff wrote does not go into logs with an error
        connect_args={
            **_LINE,
            "connect_timeout": _CONNECT_SECONDS,
            "options": _OPTIONS + (_OF_READERS if read_only else _OF_WRITERS),
        },
        **(_READER if read_only else {}),
    )
    # Not by the event for it: whoever listens for that may still say where to connect to.
    made.dialect.connect = Watch().connect  # type: ignore[assignment]  # the one place where a driver is called
    return made


def share(connection: sa.Connection) -> None:
    """Let the transaction that is about to begin be one that several requests share."""
    connection.connection.driver_connection.first = _SHARED  # type: ignore[union-attr]  # a Watched


@contextmanager
def ending(connection: sa.Connection) -> Iterator[None]:
    """Let COMMIT go along with the one statement of the block. Whatever came after it would be refused."""
    watched: Any = connection.connection.driver_connection
    watched.ends = True
    try:
        yield
    finally:
        watched.ends = False
