"""Stands between the engine and its database: each statement waits for its turn, and may be the last of its process.

Nothing of it is in the product: it listens to SQLAlchemy and stands before the dialect's own methods.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from incentives.kernel.database import Database
from tests.simulation.schedule import Player, current


class Judge(Protocol):
    """Whoever says what befalls a player."""

    def point(self, player: Player, what: str) -> bool:
        """Give up the turn before something; return whether the connection is lost then. Raises ``Crashed``."""
        ...

    def committed(self, player: Player) -> bool:
        """Hear that a player's transaction is committed; return whether the reply is lost. Raises ``Crashed``."""
        ...


class Wires:
    """A database under observation. Without a judge, and for whoever is no player, it is as it always was."""

    def __init__(
        self, database: Database, *, writers_most: int, watcher: psycopg.Connection[Any] | None = None
    ) -> None:
        """Let so many transactions write at once; ``watcher`` sees who waits for whom, on PostgreSQL."""
        self.judge: Judge | None = None
        self._writers_most, self._watcher = writers_most, watcher
        self._writing: dict[int, Player] = {}  # by the driver's connection
        for engine in (database.engine, database._reader):
            sa.event.listen(engine, "do_execute", self._executing("do_execute"))
            sa.event.listen(engine, "do_executemany", self._executing("do_executemany"))
        if not database.sqlite:
            sa.event.listen(database.engine, "begin", lambda each: self._begins(each.connection.dbapi_connection))
        self._stand_before(database.engine)

    def forget(self) -> None:
        """Forget who writes: the database is another one now."""
        self._writing.clear()

    # --- statements ---------------------------------------------------------------------------------------

    def _executing(self, how: str) -> Callable[..., bool | None]:
        def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
            player = current()
            if player is None or self.judge is None:
                return None
            if self.judge.point(player, statement):
                raise self._lost(cursor.connection)
            if statement == "BEGIN IMMEDIATE":
                self._begins(cursor.connection)
            # COMMIT does not go along with the last statement here: whoever waited for a lock would be committed before
            # it has its turn again. What may befall between the two is more than what may in truth.
            if not isinstance(cursor.connection, sqlite3.Connection):
                cursor.connection.ends = False
            player.connection = cursor.connection
            try:
                getattr(context.dialect, how)(cursor, statement, parameters, context)
            finally:
                player.connection = None
                if player.blocked:  # Others have gone on meanwhile: it waits for its turn again.
                    player.pause()
            return True

        return execute

    # --- transactions -------------------------------------------------------------------------------------

    def _begins(self, driver: Any) -> None:
        """Wait until another transaction may write."""
        player = current()
        if player is not None and self.judge is not None:
            player.pause(lambda: len(self._writing) < self._writers_most)
            self._writing[id(driver)] = player

    def _stand_before(self, engine: Engine) -> None:
        dialect: Any = engine.dialect
        commit, rollback = dialect.do_commit, dialect.do_rollback
        close, terminate = dialect.do_close, dialect.do_terminate

        def do_commit(proxied: Any) -> None:
            player, judge = current(), self.judge
            if player is None or judge is None:
                commit(proxied)
                return
            driver = proxied.dbapi_connection
            if judge.point(player, "COMMIT"):
                raise self._lost(driver)
            commit(proxied)
            self._writing.pop(id(driver), None)
            if judge.committed(player):
                raise self._lost(driver)

        def do_rollback(proxied: Any) -> None:
            driver = getattr(proxied, "dbapi_connection", proxied)
            try:
                rollback(proxied)
            finally:
                self._writing.pop(id(driver), None)

        dialect.do_commit, dialect.do_rollback = do_commit, do_rollback
        dialect.do_close = lambda driver: self._closed(driver, close)
        dialect.do_terminate = lambda driver: self._closed(driver, terminate)

    def _closed(self, driver: Any, close: Callable[[Any], None]) -> None:
        """Close a connection, and wait until the server has undone what was begun in it."""
        was_writing = self._writing.pop(id(driver), None) is not None
        server_pid = driver.info.backend_pid if was_writing and self._watcher and not driver.closed else None
        close(driver)
        if server_pid:
            self._await_end(server_pid)

    def _lost(self, driver: Any) -> Exception:
        """Lose a connection, and return what its driver says then."""
        if isinstance(driver, sqlite3.Connection):
            return sqlite3.OperationalError("disk I/O error")
        server_pid = driver.info.backend_pid
        driver.close()
        self._await_end(server_pid)
        return psycopg.OperationalError("the connection is lost")

    def _await_end(self, server_pid: int) -> None:
        while self._asked("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", server_pid):
            time.sleep(0.0005)

    # --- who waits for whom -------------------------------------------------------------------------------

    def stuck(self, player: Player) -> bool:
        """Return whether a player's statement waits for a lock that another transaction holds."""
        server_pid = _server_pid(player)
        return server_pid is not None and bool(self._asked("SELECT cardinality(pg_blocking_pids(%s))", server_pid))

    def cut(self, player: Player) -> None:
        """End the server's side of a player's connection: its process has died while it waited for a lock."""
        self._asked("SELECT pg_terminate_backend(%s)::int", _server_pid(player))

    def _asked(self, query: str, server_pid: int | None) -> Any:
        if self._watcher is None:
            raise AssertionError("only PostgreSQL lets anybody wait")
        row = self._watcher.execute(query, [server_pid]).fetchone()
        return row and row[0]


def _server_pid(player: Player) -> int | None:
    connection = player.connection  # It may come back at this very moment.
    return None if connection is None else int(connection.info.backend_pid)
