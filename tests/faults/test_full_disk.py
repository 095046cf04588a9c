"""The disk is full: what cannot be written is refused whole, what was can be read, and with room all goes on."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
import sqlalchemy as sa

from incentives.books.tables import ledger_entries
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.vouchers.tables import issuances, vouchers
from tests.faults.programs import Shop, is_told_to_ask_again
from tests.races.deeds import broken, rows
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.small_catalog import catalog
from tests.world import make_core, publish_catalog

_DISK_BYTES = 96 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_MOST_GIFTS = 400
_REFUSED_IN_A_ROW = 5


class Disk(Protocol):
    """Where a database lies."""

    url: str

    def fill(self) -> None:
        """Leave no room."""
        ...

    def free(self) -> None:
        """Make room."""
        ...


class SmallDisk:
    """A small disk of its own, in memory, on which PostgreSQL keeps one database; its log has room elsewhere."""

    def __init__(self, server: Postgres, path: Path) -> None:
        self._filler = path / "filler"
        data = path / "data"
        data.mkdir()
        if server._user:
            shutil.chown(data, server._user)
        with psycopg.connect(server.url("template1"), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{data}'".encode())
            connection.execute("CREATE DATABASE shop TEMPLATE postgres TABLESPACE small")
        self.url = server.url("shop")

    def fill(self) -> None:
        chunk = bytes(_CHUNK_BYTES)
        with self._filler.open("wb", buffering=0) as file:
            while chunk:
                try:
                    file.write(chunk)
                except OSError:
                    chunk = chunk[: len(chunk) // 2]  # Down to the last byte.

    def free(self) -> None:
        self._filler.unlink()


class RefusingServer:
    """A server that says what one with a full disk says, where nobody may make a disk: at the table that grows most."""

    def __init__(self, server: Postgres) -> None:
        self.url = server.url()

    def fill(self) -> None:
        self._run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON budget_movements EXECUTE FUNCTION full_disk()",
        )

    def free(self) -> None:
        self._run("DROP FUNCTION full_disk CASCADE")

    def _run(self, *statements: Any) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@contextlib.contextmanager
def mounted(run: RunFolder, path: Path) -> Iterator[bool]:
    """Make a small disk at a path; False where this machine does not let us."""
    path.mkdir()
    unmount = ["umount", "--lazy", str(path)]
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0711", "incentives-tests", str(path)]
    there = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    if there:
        run.to_stop(path.name, {"command": unmount, "user": None})  # The run may be killed.
    try:
        yield there
    finally:
        if there:
            subprocess.run(unmount, check=True)


@pytest.fixture(params=["disk", "server"])
def disk(request: pytest.FixtureRequest, own_postgres: Postgres, run: RunFolder) -> Iterator[Disk]:
    if request.param == "server":
        yield RefusingServer(own_postgres)
        return
    path = run.path / f"disk-{uuid.uuid4().hex[:8]}"
    with mounted(run, path) as there:
        yield SmallDisk(own_postgres, path) if there else RefusingServer(own_postgres)
        if there:
            own_postgres.stop("immediate")  # Nobody may have a file there when it goes.


def give_until_full(shop: Shop) -> tuple[list[str], list[str]]:
    """Give until there is no room; return the issuances that were made, and the keys of those that were not."""
    given, refused = [], []
    for number in range(_MOST_GIFTS):
        answer = shop.give(f"gift-{number}")
        if answer.status_code == 201:
            given.append(answer.get_json()["id"])
        else:
            assert is_told_to_ask_again(answer), answer.get_data(as_text=True)
            assert "disk of the database is full" in answer.get_json()["detail"]
            refused.append(f"gift-{number}")
        if len(refused) == _REFUSED_IN_A_ROW:
            return given, refused
    raise AssertionError("there was always room")


def check(shop: Shop, given: int) -> None:
    """Check that there are so many gifts, and nothing of any other."""
    found = {table.name: rows(shop.core, table) for table in (issuances, vouchers, ledger_entries)}
    assert found == dict.fromkeys(found, given)
    assert broken(shop.core) == []


def opened(url: str) -> Shop:
    core = make_core(url)
    publish_catalog(core, catalog())
    return Shop(core)


def test_postgresql_refuses_whole_and_goes_on_with_room(own_postgres: Postgres, disk: Disk) -> None:
    shop = opened(disk.url)
    first = shop.give("first").get_json()["id"]
    disk.fill()
    given, refused = give_until_full(shop)
    given.append(first)
    check(shop, len(given))
    assert {shop.read(each).status_code for each in given} == {200}  # Reading needs no room.
    disk.free()
    for key in refused:
        answer = shop.give(key)
        assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (201, None)
    own_postgres.kill9()
    own_postgres.start()
    shop.read(first)  # Whose connection was cut.
    assert shop.read(first).status_code == 200
    check(shop, len(given) + len(refused))
    shop.core.database.dispose()


def test_sqlite_refuses_whole_and_goes_on_with_room(sqlite: Any) -> None:
    url = sqlite.new()
    shop = opened(url)
    shop.give("first")
    with no_page_more(shop.core):
        given, refused = give_until_full(shop)
        check(shop, len(given) + 1)
        assert {shop.read(each).status_code for each in given} <= {200}
    for key in refused:
        answer = shop.give(key)
        assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (201, None)
    check(shop, len(given) + 1 + len(refused))
    shop.core.database.dispose()
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    sqlite.drop(url)


@contextlib.contextmanager
def no_page_more(core: Core) -> Iterator[None]:
    """Let the file of a database grow no more: to SQLite that is a disk without room."""
    database: Database = core.database

    def limit(connection: Any, _record: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(database.engine, "connect", limit)
    database.dispose()
    yield
    sa.event.remove(database.engine, "connect", limit)
    database.dispose()
