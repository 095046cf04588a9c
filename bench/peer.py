"""What it takes to measure somebody else's program beside ours: its environment, its steward, its server, its works."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import Request
from bench.servers import WORKERS, Server, Way

PROJECTS = Path(__file__).with_name("peer_projects")
_GUNICORN = ("--log-level", "warning", "--timeout", "120", "--chdir", str(PROJECTS))
_LINES_TOLD = 12


class PeerMissing(Exception):
    """A peer cannot be measured, and why, in words for whoever runs the command."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One thing that is asked of a program, beside the same of another."""

    kind: str
    name: str
    make: Callable[[int], list[Request]]
    status: int
    holds: bytes  # what the body of each answer has to contain: some programs answer 200 to what they do not know


@dataclass(frozen=True, kw_only=True)
class Side:
    """A program that is measured: its server and what it is asked."""

    name: str
    server: Server
    works: Sequence[Work]


@dataclass(frozen=True)
class Environment:
    """A virtual environment of a peer's own, made by whoever runs the command."""

    option: str
    path: Path
    threads: int = 1  # of each process that serves it

    def program(self, name: str) -> str:
        """Return the path of one of its programs. Raises ``PeerMissing``."""
        found = self.path / "bin" / name
        if not os.access(found, os.X_OK):
            raise PeerMissing(
                f"{self.option} {self.path}: there is no {found}. docs/performance.md says how to make the environment."
            )
        return str(found)

    def demand(self, package: str) -> None:
        """Look whether it has what is measured, and the server that serves it. Raises ``PeerMissing``."""
        python, _ = self.program("python"), self.program("gunicorn")
        asked = f"import importlib.metadata as m; m.version({package!r})"
        done = subprocess.run([python, "-I", "-c", asked], check=False, capture_output=True, text=True)
        if done.returncode:
            raise PeerMissing(f"{self.option} {self.path}: {package} is not installed there.")


class Steward:
    """A process in the peer's environment that fills its database before anything is measured, and then on demand."""

    def __init__(self, environment: Environment, script: str, variables: Mapping[str, str], log: Path) -> None:
        """Start it; it makes its tables meanwhile."""
        self._name, self._log = script, log
        self._facts: dict[str, Any] | None = None
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [environment.program("python"), "-B", str(PROJECTS / script)],
                env={**os.environ, "PYTHONPATH": "", **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    @property
    def facts(self) -> dict[str, Any]:
        """Return what it told at the beginning, waiting until it does. Raises ``PeerMissing``."""
        if self._facts is None:
            self._facts = self._hear()
        return self._facts

    def make(self, what: str, count: int) -> list[Any]:
        """Return so many new ones. Raises ``PeerMissing``."""
        assert self.facts
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # Why it is gone is told by what it does not answer.
            self._process.stdin.write(json.dumps({"make": what, "count": count}) + "\n")
            self._process.stdin.flush()
        made: list[Any] = self._hear()
        return made

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _hear(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            last = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LINES_TOLD:])
            raise PeerMissing(f"{self._name} has ended before it answered:\n{last}")
        return json.loads(line)


def gunicorn(environment: Environment) -> Way:
    """Return the server that peers are run with: two processes, a request at a time each unless they have threads."""

    def command(target: str, _factory: bool, port: int) -> list[str]:  # noqa: FBT001 - each way has the same three
        many = ("--workers", str(WORKERS), "--threads", str(environment.threads), "--keep-alive", "30")
        return [environment.program("gunicorn"), *_GUNICORN, *many, "--bind", f"127.0.0.1:{port}", target]

    return Way(name=f"gunicorn, {WORKERS} x {environment.threads}", command=command)


def start(server: Server, environment: Environment) -> None:
    """Start a peer's server. Raises ``PeerMissing``."""
    try:
        server.start()
    except OSError as reason:
        raise PeerMissing(f"What is in {environment.option} {environment.path} does not serve: {reason}") from reason


def post(path: str, body: object, headers: Mapping[str, str]) -> Request:
    """Return a request with a JSON body."""
    return Request("POST", path, {"Content-Type": "application/json", **headers}, json.dumps(body).encode())
