"""PostgreSQL: how its connections are made, and for how long one is waited for that says nothing.

A server that is gone without a word (a cable, a firewall, a host that stands still) leaves its clients waiting. Whoever
waits for long asks by a connection of its own whether anybody is there: a statement that takes its time is waited for,
one that nobody works on is given up. The network's own timers alone would not do: they count what was not received,
and something between the two may receive everything.
"""

import math
import threading
import time
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.errors import _WaitTimeout

PATIENCE_SECONDS = 2.0
"""So long an answer may take before anybody asks whether the server is there."""

_PROBE_SECONDS = 3
_CONNECT_SECONDS = 5
_KNOWN_SECONDS = 1.0
_POOL_TIMEOUT_SECONDS = 5
_PREPARED_MOST = 400  # Deeds that go together spell what they write in more ways than the driver's hundred.
_GIVEN_UP = "the server does not answer"

# No statement here runs for so long that compiling it first would pay; the reports lose half a second to it. The server
# looks after its side of the line as we do after ours: what a client that is gone has locked is free in ten seconds.
_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000 "
    "-c jit=off -c tcp_user_timeout=10000 -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 "
    "-c tcp_keepalives_count=2"
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


class Watched(psycopg.Connection[Any]):
    """A connection that does not wait for a server that is gone."""

    watch: Watch

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer, as long as somebody may be working on it.

        An error says what is wrong and no more: its details and its context quote rows, which go into no log.
        """
        try:
            return super().wait(gen, interval, timeout) if timeout is not None else self._wait(gen, interval)
        except psycopg.Error as error:
            if error.diag.message_primary:
                error.args = (error.diag.message_primary,)
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
        pool_use_lifo=True,
        hide_parameters=True,  # what customers and staff wrote does not go into logs with an error
        connect_args={
            **_LINE,
            "connect_timeout": _CONNECT_SECONDS,
            "options": f"{_OPTIONS} -c default_transaction_read_only={'on' if read_only else 'off'}",
        },
        **(_READER if read_only else {}),
    )
    # Not by the event for it: whoever listens for that may still say where to connect to.
    made.dialect.connect = Watch().connect  # type: ignore[assignment]  # the one place where a driver is called
    return made
