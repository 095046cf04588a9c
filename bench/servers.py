"""The world that is measured: a PostgreSQL of its own, a catalog, a key, and the server that production uses."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.load import Request
from incentives.flows.issue import Issued, IssueVoucher, issue_vouchers
from incentives.kernel.actors import Actor
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.migrate import HOUSE, upgrade
from tests.run_folder import RunFolder
from tests.servers import Postgres, free_port
from tests.small_catalog import INCENTIVE, TAG, budget, catalog
from tests.world import api_key, environ, make_core, publish_catalog

START_SECONDS = 30
_PLACES = 50


class Server:
    """One granian with two workers of eight threads."""

    def __init__(self, target: str, environment: dict[str, str], *, factory: bool) -> None:
        self.port = free_port()
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(HOUSE)}
        self._command = [
            sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "2", "--blocking-threads", "8",
            "--host", "127.0.0.1", "--port", str(self.port), "--no-ws", "--log-level", "error", "--backpressure", "64",
            *(["--factory"] if factory else []), target,
        ]  # fmt: skip
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
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)

    @property
    def worker_megabytes(self) -> int:
        """Return what the largest of the processes that answer requests holds in memory."""
        assert self._process is not None
        command = ["ps", "-o", "rss=", "--ppid", str(self._process.pid)]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        return max(int(line) for line in listed.stdout.split()) // 1024


class World:
    """A database, a catalog with fifty locations and a budget for each, an agent's key and a till's."""

    def __init__(self, core: Core, secret: str, key: Actor, till: str, database_url: str) -> None:
        self.core, self.key, self.database_url = core, key, database_url
        self.environ = environ(database_url)
        self.secret, self._till = secret, till
        self._codes: Iterator[str] = iter(())

    @classmethod
    @contextlib.contextmanager
    def opened(cls, _folder: Path) -> Iterator["World"]:
        """Start everything, and stop it at the end."""
        with RunFolder.opened() as run:
            server = Postgres(run, durable=True)
            server.start()
            try:
                upgrade(server.url())
                core = make_core(server.url(), clock=SystemClock())
                publish_catalog(core, cls.catalog())
                secret, key = api_key(core, "manager")
                till, _ = api_key(core, "till")
                yield cls(core, secret, key, till, server.url())
                core.database.dispose()
            finally:
                server.remove()

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

    def issues(self, count: int, *, location: str | None) -> list[Request]:
        """Return requests to issue, each for another customer, with everything on."""
        places = itertools.cycle([f"place-{number}" for number in range(_PLACES)] if location is None else [location])
        return [
            self._post(
                "/api/v1/issuances",
                self.secret,
                {
                    "issue_tag": TAG,
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
        """Return look-ups of vouchers that are there."""
        return [self._post("/api/v1/vouchers/lookup", self._till, {"code": code}) for code in self._vouchers(count)]

    def redemptions(self, count: int) -> list[Request]:
        """Return redemptions, each of another voucher."""
        return [self._post("/api/v1/redemptions", self._till, {"code": code}) for code in self._vouchers(count)]

    def _vouchers(self, count: int) -> list[str]:
        commands = [IssueVoucher(issue_tag=TAG, incentive=INCENTIVE, location="here") for _ in range(count)]
        issued = issue_vouchers(core=self.core, actor=self.key, commands=commands)
        return [each.voucher.code for each in issued if isinstance(each, Issued) and each.voucher]

    @staticmethod
    def _post(path: str, secret: str, body: dict[str, Any]) -> Request:
        headers = {
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        return Request("POST", path, headers, json.dumps(body).encode())
