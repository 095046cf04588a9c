"""Real servers on a real PostgreSQL, and programs that ask them over HTTP as programs should.

Such a program keeps its idempotency key until it has an answer: it asks again when it is told to (503), and when the
line is cut in the middle.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bench.servers import Server, granian
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.migrate import upgrade
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.small_catalog import TAG
from tests.world import api_key, environ, make_core, publish_catalog

PATIENCE_SECONDS = 90
_ASK_AGAIN_SECONDS = 0.1
_ANSWER_SECONDS = 30
_WORKER_KILOBYTES_MIN = 30_000  # what else is a child of the server holds less

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class House:
    """A database, what stands in it, and the keys of who gives and of who redeems."""

    url: str
    core: Core
    secret: str
    till_secret: str

    def server(self, *, processes: int = 2, target: str = "wsgi:app", **more: str) -> Server:
        """Return a server, not yet started, that answers from this house."""
        return Server(target, {**environ(self.url), **more}, factory=True, way=granian(processes))


@contextlib.contextmanager
def house_at(url: str, catalog: str) -> Iterator[House]:
    """Migrate a database and put a catalog in force."""
    upgrade(url)
    core = make_core(url, clock=SystemClock())
    publish_catalog(core, catalog)
    try:
        yield House(url, core, api_key(core, "manager")[0], api_key(core, "till")[0])
    finally:
        core.database.dispose()


@contextlib.contextmanager
def postgres(run: RunFolder) -> Iterator[Postgres]:
    """Start a PostgreSQL that syncs as in production, and may be crashed."""
    server = Postgres(run, durable=True)
    server.start()
    try:
        yield server
    finally:
        server.remove()


@contextlib.contextmanager
def house(run: RunFolder, catalog: str) -> Iterator[House]:
    """Start a PostgreSQL with a house on it."""
    with postgres(run) as server, house_at(server.url(), catalog) as place:
        yield place


@contextlib.contextmanager
def started(*servers: Server) -> Iterator[None]:
    """Let servers run until the block ends."""
    try:
        for each in servers:
            each.start()
        yield
    finally:
        for each in servers:
            each.stop()


def worker_pids(server: Server) -> list[int]:
    """Return the processes that answer requests."""
    return [pid for pid, size in server.worker_kilobytes.items() if size > _WORKER_KILOBYTES_MIN]


def kill(pid: int) -> None:
    """Kill a process as the kernel does when memory runs out."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass(slots=True)
class Seen:
    """What all programs were told."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[Any] = field(default_factory=list)
    away_at: list[float] = field(default_factory=list)  # when somebody was told to ask again
    well_at: list[float] = field(default_factory=list)
    slowest_seconds: list[float] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: int, headers: http.client.HTTPMessage, content: Answer, took_seconds: float) -> None:
        """Write down an answer; of those from 500 on only one is right: 503 that says when to ask again."""
        slug = str(content.get("type", "")).rpartition("/")[2]
        with self.lock:
            self.statuses[f"{status} {slug}".strip()] += 1
            self.slowest_seconds.append(took_seconds)
            if status == 503:
                self.away_at.append(time.monotonic())
            elif status < 300:
                self.well_at.append(time.monotonic())
            told_when = headers.get("Retry-After")
            if status >= 500 and (status, slug, bool(told_when)) != (503, "storage-unavailable", True):
                self.wrong.append((status, told_when, content))

    def was_cut(self, how: Exception) -> None:
        """Write down that a line was cut before the answer came."""
        with self.lock:
            self.cut.append(f"{time.monotonic():.2f} {how!r}")

    @property
    def p99_seconds(self) -> float:
        """Return what one of a hundred answers took longer than."""
        times = sorted(self.slowest_seconds)
        return times[int(len(times) * 0.99)]


class Program:
    """One connection to one server, and a key for each request until it is answered."""

    def __init__(self, port: int, seen: Seen) -> None:
        self.port, self._seen = port, seen
        self._line: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def ask(self, secret: str, path: str, body: Answer, key: str) -> tuple[int, Answer]:
        """Ask until there is an answer that is not 503; return its status and content."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                status, content = self._once(secret, path, body, key)
            except (OSError, http.client.HTTPException) as error:
                self._seen.was_cut(error)
                self.close()
            else:
                if status != 503:
                    return status, content
            time.sleep(_ASK_AGAIN_SECONDS)
        raise AssertionError(f"{key} was never answered")

    def _once(self, secret: str, path: str, body: Answer, key: str) -> tuple[int, Answer]:
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key, "Content-Type": "application/json"}
        began = time.monotonic()
        self._line.request("POST", f"/api/v1/{path}", json.dumps(body), headers)
        answer = self._line.getresponse()
        content: Answer = json.loads(answer.read())
        self._seen.note(answer.status, answer.headers, content, time.monotonic() - began)
        return answer.status, content


def give(program: Program, house: House, key: str) -> tuple[int, Answer]:
    """Ask for a voucher."""
    return program.ask(house.secret, "issuances", {"issue_tag": TAG, "channels": [], "customer": {}}, key)


def redeem(program: Program, house: House, code: str, key: str) -> tuple[int, Answer]:
    """Ask to spend one."""
    return program.ask(house.till_secret, "redemptions", {"code": code}, key)


def at_work(
    threads: int, ports: list[int], seen: Seen, numbers: Iterator[int], deed: Callable[[Program, int], None]
) -> "Work":
    """Let so many threads, each a program at one of the ports, do numbered deeds as long as there are numbers."""
    pool = ThreadPoolExecutor(threads)
    lock = threading.Lock()

    def one(port: int) -> None:
        program = Program(port, seen)
        with contextlib.closing(program):
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                deed(program, number)

    return Work(pool, [pool.submit(one, port) for port in itertools.islice(itertools.cycle(ports), threads)])


class Work:
    """Threads that are at it."""

    def __init__(self, pool: ThreadPoolExecutor, all_of_it: list[Any]) -> None:
        self._pool, self._all = pool, all_of_it

    @property
    def goes_on(self) -> bool:
        """Return whether somebody is still at it."""
        return not all(each.done() for each in self._all)

    def end(self) -> None:
        """Wait for all; what one of them met is raised here."""
        self._pool.shutdown(wait=True)
        for each in self._all:
            each.result()
