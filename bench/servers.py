"""The world that is measured: a PostgreSQL of its own, a catalog, a key, and the server that production uses."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.load import Request
from incentives.flows.issue import Issued, IssueVoucher, issue_vouchers
from incentives.kernel.clock import SystemClock
from incentives.kernel.migrate import HOUSE, upgrade
from tests.run_folder import RunFolder
from tests.servers import Postgres, free_port
from tests.small_catalog import INCENTIVE, TAG, budget, catalog
from tests.world import api_key, environ, make_core, publish_catalog

START_SECONDS = 90
_STOP_SECONDS = 20
_PLACES = 50
TAGS = tuple(f"late-{number}" for number in range(50))
_KNOWN = 500
_TOGETHER = 500


WORKERS, THREADS = 2, 16


@dataclass(frozen=True, kw_only=True)
class Way:
    """A server program and how it is told what to serve: with a target, whether that is a factory, and a port."""

    name: str
    command: Callable[[str, bool, int], list[str]]


def granian(workers: int = WORKERS, threads: int = THREADS) -> Way:
    """Return the server that production uses, started as ``incentives serve`` starts it."""

    def command(target: str, factory: bool, port: int) -> list[str]:  # noqa: FBT001 - each way has the same three
        options = {"target": target, "port": port, "workers": workers, "threads": threads, "factory": factory}
        return [sys.executable, "-m", "bench.serving", json.dumps(options)]

    return Way(name=f"granian, {workers} x {threads}", command=command)


class Server:
    """A server with two workers of sixteen threads, unless it is told another way."""

    def __init__(self, target: str, environment: dict[str, str], *, factory: bool, way: Way | None = None) -> None:
        self.port = free_port()
        self._environment = {**os.environ, "PYTHONPATH": str(HOUSE), **environment}
        self._command = (way or granian()).command(target, factory, self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers, whatever it answers."""
        self._process = subprocess.Popen(self._command, env=self._environment, cwd=HOUSE)
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/health/live", timeout=2).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            left = [self._pid, *self.worker_kilobytes]
            self._process.terminate()
            try:
                self._process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self._process.wait()

    @property
    def cpu_seconds(self) -> float:
        """Return what the server's processes have computed so far; 0 where the system does not tell (not Linux)."""
        ticks = 0
        for pid in (self._pid, *self.worker_kilobytes):
            with contextlib.suppress(FileNotFoundError):
                told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(told[11]) + int(told[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def worker_megabytes(self) -> int:
        """Return what the largest of the processes that answer requests holds in memory."""
        return max(self.worker_kilobytes.values()) // 1024

    @property
    def worker_kilobytes(self) -> dict[int, int]:
        """Return what each of the processes that answer requests holds in memory, by process id."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True)
        rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        return {pid: size for pid, parent, size in rows if parent == self._pid} or {
            pid: size for pid, _, size in rows if pid == self._pid
        }

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class World:
    """A database, a catalog with fifty locations and a budget for each, an agent's key and a till's."""

    def __init__(self, database_url: str, catalog_text: str, *, server: Postgres | None = None) -> None:
        """Migrate a database, put a catalog in force and let two programs in."""
        self._server, self.database_url = server, database_url
        upgrade(self.database_url)
        self.core = make_core(self.database_url, clock=SystemClock())
        publish_catalog(self.core, catalog_text)
        self.secret, self.key = api_key(self.core, "manager")
        self._till, _ = api_key(self.core, "till")
        self.environ = environ(self.database_url)
        self._known: list[str] = []

    @classmethod
    @contextlib.contextmanager
    def opened(cls, _folder: Path) -> Iterator["World"]:
        """Start everything, and stop it at the end."""
        with RunFolder.opened() as run, cls.within(run) as world:
            yield world

    @classmethod
    @contextlib.contextmanager
    def within(cls, run: RunFolder) -> Iterator["World"]:
        """Start a PostgreSQL within a run, with a world on it, and stop it at the end."""
        server = Postgres(run, durable=True)
        server.start()
        try:
            world = cls(server.url("postgres"), cls.catalog(), server=server)
            try:
                yield world
            finally:
                world.core.database.dispose()
        finally:
            server.remove()

    @property
    def server(self) -> Postgres:
        """Return the server that the database is on."""
        assert self._server is not None
        return self._server

    @contextlib.contextmanager
    def another(self, database: str, catalog_text: str) -> Iterator["World"]:
        """Make one more database beside this one, with a catalog of its own."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        world = type(self)(self.server.url(database), catalog_text, server=self.server)
        try:
            yield world
        finally:
            world.core.database.dispose()

    @staticmethod
    def catalog() -> str:
        """Return a catalog with a budget for the organization, one a location, one a customer and a limit."""
        text: dict[str, Any] = json.loads(
            catalog(
                budget("all", cap_minor=10**12),
                budget("each-location", scope="location", cap_minor=10**12),
                budget("each-customer", scope="customer", cap_count=1000),
            )
        )
        text["locations"] += [{**text["locations"][0], "key": f"place-{number}"} for number in range(_PLACES)]
        return json.dumps(text)

    @staticmethod
    def catalog_of_fifty() -> str:
        """Return a catalog in which each of fifty issue tags has a budget of its own, and nothing else is charged."""
        pots = [budget(f"for-{tag}", cap_minor=10**12, issue_tags=[tag]) for tag in TAGS]
        text: dict[str, Any] = json.loads(catalog(*pots))
        text["issue_tags"] += [{**text["issue_tags"][0], "key": tag} for tag in TAGS]
        return json.dumps(text)

    def issues(self, count: int, *, location: str | None = None, tags: Sequence[str] = (TAG,)) -> list[Request]:
        """Return requests to issue, each for another customer; in all places in turn unless one is named."""
        each_tag = itertools.cycle(tags)
        places = itertools.cycle([f"place-{number}" for number in range(_PLACES)] if location is None else [location])
        return [
            self._post(
                "/api/v1/issuances",
                self.secret,
                {
                    "issue_tag": next(each_tag),
                    "incentive": INCENTIVE,
                    "location": next(places),
                    "customer": {"email": f"{uuid.uuid4().hex}@example.com", "name": "Ada"},
                    "channels": ["email"],
                },
            )
            for _ in range(count)
        ]

    def offers(self) -> Request:
        """Return a request for what may be offered to somebody new."""
        customer = {"email": f"{uuid.uuid4().hex}@example.com"}
        return self._post("/api/v1/offers", self.secret, {"issue_tag": TAG, "location": "here", "customer": customer})

    def lookups(self, count: int) -> list[Request]:
        """Return look-ups of vouchers that are there, some of them often."""
        if not self._known:
            self._known = self._vouchers(_KNOWN)
        codes = itertools.islice(itertools.cycle(self._known), count)
        return [self.lookup(code) for code in codes]

    def redemptions(self, count: int) -> list[Request]:
        """Return redemptions, each of another voucher."""
        return [self.redemption(code) for code in self._vouchers(count)]

    def lookup(self, code: str) -> Request:
        """Return the look-up of a voucher."""
        return self._post("/api/v1/vouchers/lookup", self._till, {"code": code})

    def redemption(self, code: str) -> Request:
        """Return the redemption of a voucher."""
        return self._post("/api/v1/redemptions", self._till, {"code": code})

    def _vouchers(self, count: int) -> list[str]:
        """Return the codes of new vouchers, given in all places in turn."""
        codes: list[str] = []
        for start in range(0, count, _TOGETHER):
            places = [f"place-{number % _PLACES}" for number in range(start, min(start + _TOGETHER, count))]
            commands = [IssueVoucher(issue_tag=TAG, incentive=INCENTIVE, location=place) for place in places]
            issued = issue_vouchers(core=self.core, actor=self.key, commands=commands)
            codes += [each.voucher.code for each in issued if isinstance(each, Issued) and each.voucher]
        assert len(codes) == count
        return codes

    @staticmethod
    def _post(path: str, secret: str, body: dict[str, Any]) -> Request:
        headers = {
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        return Request("POST", path, headers, json.dumps(body).encode())
