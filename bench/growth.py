"""What a request costs as the tables grow: ``python -m bench.growth [--sizes 10000,1000000,10000000]``.

For each size a database of its own on one PostgreSQL, filled by ``bench/growth_rows.py``; then the sizes take turns,
request by request of the same kinds, so that whatever else the machine does touches all alike. Each request goes
through the application in this process, its API key being known. What is printed are medians, and what they are of the
smallest size's:

- milliseconds that a request takes, and of these what this process computes;
- milliseconds that PostgreSQL computes for it, and the pages of 8 kB that it touches: no other program on the machine
  adds to these two, and the pages do not even depend on the machine.

A goal of the design: the hot requests take no more than 1.2 times as long at ten million as at ten thousand.
"""

import argparse
import contextlib
import itertools
import json
import shutil
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

import wsgi
from bench.growth_rows import Filled, fill
from bench.load import Request
from bench.servers import World
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from tests import run_folder
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.world import PASSWORD, make_core, person

SIZES = (10_000, 1_000_000, 10_000_000)
HOT = ("look-up", "redeem", "issue", "offers")
PAGES = ("approvals page", "spend report")
_EACH = 20  # requests of a kind that a size makes before it is another's turn
_PAGES_EACH = 3
_WARM = 12
_BYTES_A_VOUCHER = 3_500
_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB", "maintenance_work_mem": "512MB", "wal_level": "minimal"}
_WHILE_FILLING = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, measure, print, and leave nothing behind."""
    parser = argparse.ArgumentParser(description="What requests cost as the tables grow.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args(arguments)
    sizes = [int(each) for each in options.sizes.split(",")]
    with grown(sizes, samples(options.rounds)) as subjects:
        print(table(sizes, measure(subjects, options.rounds)))


def samples(rounds: int) -> int:
    """Return how many vouchers so many rounds use up."""
    return rounds * _EACH + _WARM


@dataclass
class Cost:
    """What requests of one kind cost at one size; the last two are of rounds, for one request."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    postgres_ms: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)


class Subject:
    """A filled database, the application on it, and the requests that are yet to be made."""

    def __init__(self, world: World, size: int, filled: Filled) -> None:
        """Sign a manager in, and let everything that is kept in mind be known."""
        self.size, self._world, self._filled = size, world, filled
        self._core: Core = make_core(world.database_url, clock=SystemClock(), INCENTIVES_DATABASE_POOL_SIZE="1")
        self._app = wsgi.create_app(self._core)
        self._browser = _signed_in(self._core, self._app.test_client())
        self._database = world.database_url.rpartition("/")[2]
        self._looked_up, self._redeemable = itertools.cycle(filled.looked_up), iter(filled.redeemable)
        self._emails = itertools.cycle(filled.emails)
        world.core.database.dispose()
        for kind in (*HOT, *PAGES):
            for _ in range(_WARM if kind in HOT else 1):
                self._made(kind)()

    def close(self) -> None:
        """Let go of the database."""
        self._core.database.dispose()

    def run(self, kind: str, admin: psycopg.Connection, cost: Cost) -> None:
        """Make some requests of a kind, and add what they cost."""
        deeds = [self._made(kind) for _ in range(_EACH if kind in HOT else _PAGES_EACH)]
        before = self._of_postgres(admin)
        for deed in deeds:
            began, began_cpu = time.perf_counter(), time.thread_time()
            deed()
            cost.wall_ms.append((time.perf_counter() - began) * 1000)
            cost.cpu_ms.append((time.thread_time() - began_cpu) * 1000)
        after = self._of_postgres(admin)
        cost.postgres_ms.append((after[0] - before[0]) / len(deeds))
        cost.pages.append((after[1] - before[1]) / len(deeds))

    def _made(self, kind: str) -> Callable[[], None]:
        """Return a deed that sends the next request of a kind; what it needs was made before."""
        if kind == "approvals page":
            return lambda: _fine(self._browser.get("/approvals").status_code)
        environ = _environ(self._request(kind))
        return lambda: self._send(environ)

    def _request(self, kind: str) -> Request:
        if kind == "look-up":
            return self._world.lookup(next(self._looked_up))
        if kind == "redeem":
            return self._world.redemption(next(self._redeemable))
        if kind == "spend report":
            headers = {"Authorization": f"Bearer {self._world.secret}"}
            return Request("GET", "/api/v1/reports/costs", headers, b"")
        made = self._world.offers() if kind == "offers" else self._world.issues(1)[0]
        body = json.loads(made.body)
        body["customer"]["email"] = next(self._emails)  # somebody who was given some before
        return replace(made, body=json.dumps(body).encode())

    def _send(self, environ: dict[str, Any]) -> None:
        statuses: list[str] = []
        answer = self._app.wsgi_app(environ, lambda status, *_rest: statuses.append(status))  # type: ignore[arg-type]  # a server's start_response, less what nobody calls
        b"".join(answer)
        _fine(int(statuses[0][:3]))

    def _of_postgres(self, admin: psycopg.Connection) -> tuple[float, int]:
        """Return the milliseconds that this database's backends have computed, and the pages that they have touched."""
        for engine in (self._core.database.engine, self._core.database._reader):  # noqa: SLF001 - nobody else has a need to see the reader
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
        asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
        pids = [row[0] for row in admin.execute(asked, [self._database])]
        nanoseconds = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids)
        row = admin.execute(
            "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = %s", [self._database]
        ).fetchone()
        assert row is not None
        return nanoseconds / 1e6, int(row[0])


def _fine(status: int) -> None:
    assert status in (200, 201), status


def _environ(request: Request) -> dict[str, Any]:
    builder = EnvironBuilder(request.path, method=request.method, headers=Headers(request.headers), data=request.body)
    return builder.get_environ()


def _signed_in(core: Core, browser: FlaskClient) -> FlaskClient:
    email = f"{uuid.uuid4().hex}@example.com"
    person(core, "manager", email=email)
    token = browser.get("/sign-in").text.split('name="csrf_token" value="')[1].split('"')[0]
    browser.post("/sign-in", data={"csrf_token": token, "email": email, "password": PASSWORD})
    return browser


@contextlib.contextmanager
def grown(sizes: Sequence[int], most: int) -> Iterator[list[Subject]]:
    """Make a filled database for each size on a disk, and remove all of it at the end, whatever happened."""
    needed = sum(sizes) * _BYTES_A_VOUCHER
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        raise SystemExit(f"{needed // 10**9} GB are needed, and {free // 10**9} GB are free")
    # On a disk, not in memory: what is large must not fit there.
    with patch.object(run_folder, "_base", _on_disk), RunFolder.opened() as run, within(run, sizes, most) as subjects:
        yield subjects


@contextlib.contextmanager
def within(run: RunFolder, sizes: Sequence[int], most: int) -> Iterator[list[Subject]]:
    """Start a PostgreSQL within a run, with a filled database for each size, and remove it at the end."""
    server = Postgres(run, durable=True)
    subjects: list[Subject] = []
    try:
        server.start()
        _set(server, {**_SETTINGS, "max_wal_senders": "0", **_WHILE_FILLING})
        server.stop()
        server.start()
        worlds = [_filled(server, size, most) for size in sizes]
        _set(server, dict.fromkeys(("fsync", "full_page_writes"), "on"))
        subjects += [Subject(*each) for each in worlds]
        yield subjects
    finally:
        for each in subjects:
            each.close()
        server.remove()


def _on_disk() -> Path:
    return Path(tempfile.gettempdir())


def _set(server: Postgres, settings: dict[str, str]) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        connection.execute("SELECT pg_reload_conf()")


def _filled(server: Postgres, size: int, most: int) -> tuple[World, int, Filled]:
    name = f"vouchers_{size}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    world = World(server.url(name), World.catalog(), server=server)
    began = time.monotonic()
    filled = fill(world.core, world.database_url, size, world.key.label, most)
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    print(f"{size:,} vouchers: {row[0] / 1e9:.1f} GB, filled in {time.monotonic() - began:.0f} s", flush=True)
    return world, size, filled


def measure(subjects: Sequence[Subject], rounds: int) -> dict[tuple[str, int], Cost]:
    """Let the sizes take turns, each round in another order, and return what every kind cost."""
    found: dict[tuple[str, int], Cost] = defaultdict(Cost)
    with psycopg.connect(subjects[0]._world.server.url(), autocommit=True) as admin:  # noqa: SLF001 - one bench
        for number in range(rounds):
            turned = [*subjects[number % len(subjects) :], *subjects[: number % len(subjects)]]
            for kind in (*HOT, *PAGES):
                if kind in HOT or number % 3 == 0:
                    for each in turned:
                        each.run(kind, admin, found[kind, each.size])
    return found


def table(sizes: Sequence[int], found: dict[tuple[str, int], Cost]) -> str:
    """Return the figures, each with what it is of the smallest size's."""
    lines = [f"\n{'':18}{'vouchers':>12}" + "".join(f"{name:>22}" for name in _COLUMNS)]
    for kind in (*HOT, *PAGES):
        for size in sizes:
            cells = (_cell(found[kind, size], found[kind, sizes[0]], name) for name in _COLUMNS.values())
            lines.append(f"{kind:18}{size:12,}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


_COLUMNS = {"ms": "wall_ms", "Python ms": "cpu_ms", "PostgreSQL ms": "postgres_ms", "pages of 8 kB": "pages"}


def _cell(cost: Cost, smallest: Cost, name: str) -> str:
    median, least = statistics.median(getattr(cost, name)), min(getattr(cost, name))
    return f"{median:.2f} ({least:.2f}) x{median / statistics.median(getattr(smallest, name)):.2f}"


if __name__ == "__main__":
    main()
