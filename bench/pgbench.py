"""pgbench doing our own statements: what PostgreSQL alone makes of them, from 32 clients that do nothing else.

Each statement is one prepared statement and one round trip here, whether or not we send several together.
"""

import os
import re
import subprocess
from pathlib import Path

import psycopg

from bench.load import CONNECTIONS
from bench.recorded import SAMPLES, Written, recorded, statistics
from bench.servers import World

PROGRAM = "pgbench"
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_APART = 10_000_000  # between the numbers of one client and the next
_NUMBER = rf"\set i :i + 1{os.linesep}\set n :client_id * {_APART} + :i{os.linesep}"
_ANY = rf"\set n :client_id * {_APART} + random(1, :known){os.linesep}"
_THREADS = 2


class Differs(Exception):
    """The script does not write what our requests wrote, so its figure would be of something else."""


class Pgbench:
    """Scripts of our statements, and how far each has come."""

    def __init__(self, world: World, folder: Path, samples: int) -> None:
        """Record our statements and try each script once: it must write as many rows as we did."""
        self._url, self._folder = world.database_url, folder
        self._program = world.server.programs / PROGRAM
        self._done = {"issue": 0, "redeem": 0}
        made = recorded(world, samples)
        for kind, script in made.scripts.items():
            start = _ANY if kind == "lookup" else _NUMBER
            (folder / f"{kind}.sql").write_text(start + script, encoding="utf-8")
        for kind in ("issue", "redeem"):
            self._check(kind, made.written[kind], samples)

    @classmethod
    def opened(cls, world: World, folder: Path, samples: int = SAMPLES) -> "Pgbench | None":
        """Return it ready to run, or None where the server that the tests bring comes without it."""
        return cls(world, folder, samples) if (world.server.programs / PROGRAM).exists() else None

    def per_second(self, kind: str, seconds: float, *, pilot: int) -> float:
        """Return how many transactions a second 32 clients do, in about so many seconds after a few each."""
        rate = self._run(kind, pilot)
        return self._run(kind, max(pilot, int(rate * seconds / CONNECTIONS)))

    def _run(self, kind: str, each: int, clients: int = CONNECTIONS) -> float:
        if kind == "redeem":
            short = self._done["redeem"] + each - self._done["issue"]
            if short > 0:
                self._run("issue", short)
        known = max(1, self._done["issue"])
        command = [
            str(self._program), "--no-vacuum", "--protocol", "prepared", "--client", str(clients),
            "--jobs", str(min(clients, _THREADS)), "--transactions", str(each), "--define", f"known={known}",
            "--define", f"i={self._done.get(kind, 0)}", "--file", str(self._folder / f"{kind}.sql"), self._url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = _TPS.search(done.stdout)
        if done.returncode or found is None or "aborted" in done.stderr:
            raise Differs(f"pgbench could not do our statements ({kind}): {done.stderr[-2000:]}")
        if kind in self._done:
            self._done[kind] += each
        return float(found[1])

    def _check(self, kind: str, ours: Written, samples: int) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            before = statistics(connection)
            self._run(kind, 1, clients=samples)
            theirs = statistics(connection) - before
        if ours != theirs:
            more, less = sorted((ours - theirs).items()), sorted((theirs - ours).items())
            raise Differs(f"{kind}: we wrote {more} more, {less} less")
