"""Other people's programs that do the same work, beside ours, in turn, in one run: only the ratios count.

``python -m bench.peers --pretix ENVIRONMENT --oscar ENVIRONMENT [quick]``. An environment is a virtual one, outside
this repository, that whoever runs this has made (docs/performance.md says how); what is not named is left out. All have
a database each on the same PostgreSQL server, and two processes. An answer that is no success ends the run.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from bench import peers_oscar, peers_pretix
from bench.load import Result, run
from bench.peer import Environment, PeerMissing, Side, Work
from bench.servers import WORKERS, Server, World
from bench.side_by_side import Void, median
from tests.run_folder import RunFolder
from tests.servers import Redis, ServerMissing

KINDS = ("issue", "redeem", "look-up")
CONNECTIONS = (8, 32)
_MOST = 20_000
_PEERS = {"pretix": "pretix", "oscar": "django-oscar"}


@dataclass(frozen=True)
class Pace:
    """How often, and for how long each."""

    rounds: int = 3
    seconds: float = 2.5
    warm: int = 48  # requests, before it is known how many fit

    @classmethod
    def asked(cls, *, quick: bool) -> "Pace":
        """Return a short one for ``quick``."""
        return cls(rounds=1, seconds=1.0) if quick else cls()


@dataclass(frozen=True)
class Asked:
    """What somebody typed: the environments of the peers by name, and the pace."""

    environments: Mapping[str, Environment]
    pace: Pace

    @classmethod
    def read(cls, arguments: Sequence[str]) -> "Asked":
        """Read the command line; what is wrong with it is said on standard error, and nothing begins."""
        parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Peers beside ours, in one run.")
        for name, package in _PEERS.items():
            parser.add_argument(
                f"--{name}", type=Path, metavar="ENVIRONMENT", help=f"a virtual environment with {package} and gunicorn"
            )
        parser.add_argument("--threads", type=int, default=1, help="threads of each process of a peer (1)")
        parser.add_argument("pace", nargs="?", choices=["quick"], help="one short round")
        given = vars(parser.parse_args(arguments))
        if given["threads"] < 1:
            parser.error("--threads: a process has at least 1")
        found = {
            # Not resolved: a virtual environment's python is a link that must not be followed.
            name: Environment(f"--{name}", Path(given[name]).expanduser().absolute(), given["threads"])
            for name in _PEERS
            if given[name]
        }
        if not found:
            parser.error("name at least one: --pretix ENVIRONMENT, --oscar ENVIRONMENT (docs/performance.md)")
        return cls(found, Pace.asked(quick=given["pace"] == "quick"))


Found = dict[tuple[str, str, int], list[Result]]  # by the side's name, the work's kind and name, the connections


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    asked = Asked.read(arguments)
    try:
        for name, environment in asked.environments.items():
            environment.demand(_PEERS[name])
        before = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder, _sides(asked, Path(folder)) as (ours, peers):
            found = measured(ours, peers, asked.pace)
            megabytes = {each.name: each.server.worker_megabytes for each in (ours, *peers)}
    except (PeerMissing, ServerMissing, Void) as reason:
        raise SystemExit(str(reason)) from None
    print(table(ours, peers, found, asked.pace))
    print("Memory of a worker: " + ", ".join(f"{name} {size} MB" for name, size in megabytes.items()))
    print(f"The machine's load: {before:.1f} before, {os.getloadavg()[0]:.1f} at the end, with ours and theirs")
    for name, package in _PEERS.items():
        if name not in asked.environments:
            print(f"{package} was left out: --{name} ENVIRONMENT measures it.")


@contextlib.contextmanager
def _sides(asked: Asked, folder: Path) -> Iterator[tuple[Side, list[Side]]]:
    """Start everything; peers make their tables at the same time."""
    with RunFolder.opened() as run_folder, contextlib.ExitStack() as stack:
        redis = Redis(run_folder) if "pretix" in asked.environments else None
        world = stack.enter_context(World.within(run_folder))
        coming: list[Callable[[], Side]] = []
        if redis:
            redis.start()
            stack.callback(redis.stop)
            there = peers_pretix.started(
                asked.environments["pretix"],
                _empty(world, "pretix"),
                redis.url().rpartition("/")[0],
                folder / "pretix",
            )
            coming.append(stack.enter_context(there))
        if "oscar" in asked.environments:
            there = peers_oscar.started(asked.environments["oscar"], _empty(world, "oscar"), folder / "oscar")
            coming.append(stack.enter_context(there))
        server = Server("wsgi:app", world.environ, factory=True)
        stack.callback(server.stop)
        server.start()
        yield Side(name="ours", server=server, works=ours_works(world)), [each() for each in coming]


def _empty(world: World, name: str) -> str:
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return world.server.url(name)


def ours_works(world: World) -> list[Work]:
    """Return what peers are compared with: everything on, an idempotency key with each that changes something."""
    return [
        Work(kind="issue", name="", make=world.issues, status=201, holds=b'"code":'),
        Work(kind="redeem", name="", make=world.redemptions, status=201, holds=b'"redeemed_at":'),
        Work(kind="look-up", name="", make=world.lookups, status=200, holds=b'"issued"'),
    ]


def measured(ours: Side, peers: Sequence[Side], pace: Pace) -> Found:
    """Measure in turn, so that the machine's drift touches all alike. Raises ``Void``."""
    found: Found = defaultdict(list)
    meter = _Meter(pace)
    for _ in range(pace.rounds):
        for connections in CONNECTIONS:
            for kind in KINDS:
                for side in (*peers, ours):
                    for work in side.works:
                        if work.kind == kind:
                            found[_key(side, work, connections)].append(meter.measure(side, work, connections))
    return found


class _Meter:
    """Sends as many requests as take about as long as is asked. How many that are is found at the first."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._rates: dict[tuple[str, str, int], float] = {}

    def measure(self, side: Side, work: Work, connections: int) -> Result:
        key, any_number = _key(side, work, connections), _key(side, work, 0)
        if any_number not in self._rates:
            self._rates[any_number] = _send(side, work, self._pace.warm, connections).per_second
            # Half a round that does not count: caches fill, drivers prepare what they have sent a few times.
            self._rates[any_number] = self._round(side, work, connections, self._rates[any_number] / 2).per_second
        result = self._round(side, work, connections, self._rates.get(key, self._rates[any_number]))
        self._rates[key] = self._rates[any_number] = result.per_second
        return result

    def _round(self, side: Side, work: Work, connections: int, rate: float) -> Result:
        return _send(side, work, min(_MOST, max(self._pace.warm, int(rate * self._pace.seconds))), connections)


def _send(side: Side, work: Work, count: int, connections: int) -> Result:
    requests, before = work.make(count), side.server.cpu_seconds
    try:
        result = run(side.server.port, requests, expected=work.status, keep=True, connections=connections)
    except (TimeoutError, ConnectionError) as reason:
        raise Void(f"{side.name}, {_name(work)}: {reason}") from reason
    computed = side.server.cpu_seconds - before
    wrong = result.wrong + sum(work.holds not in body for body in result.bodies)
    if wrong:
        first = result.first_wrong or next(body for body in result.bodies if work.holds not in body)
        raise Void(f"{side.name}, {_name(work)}: {wrong} of {count} answers were wrong: {first[:1000]!r}")
    return replace(result, bodies=[], cpu_ms=computed / count * 1000)


def _key(side: Side, work: Work, connections: int) -> tuple[str, str, int]:
    return side.name, _name(work), connections


def _name(work: Work) -> str:
    return f"{work.kind} {work.name}".rstrip()


def table(ours: Side, peers: Sequence[Side], found: Found, pace: Pace) -> str:
    """Return each work of each peer beside ours of the same kind."""
    rounds = f"medians of {pace.rounds} rounds of {pace.seconds:g} s in turn"
    lines = [f"{WORKERS} processes each, PostgreSQL (fsync on), {rounds}; no answer was wrong"]
    least: list[tuple[float, str]] = []
    for connections in CONNECTIONS:
        lines.append(f"\n{f'{connections} connections':52}{_HEAD}")
        for mine in ours.works:
            for side in peers:
                for work in side.works:
                    if work.kind == mine.kind:
                        name = f"{work.kind}: {side.name}, {work.name}"
                        both = (found[_key(each, its, connections)] for each, its in ((side, work), (ours, mine)))
                        ratio, row = _row(*both)
                        least.append((ratio, f"{name}, {connections} connections"))
                        lines.append(f"{name:52}{row}")
    lines.append(f"\nThe least ratio: {min(least)[0]:.1f} ({min(least)[1]})")
    return "\n".join(lines)


_COLUMNS = ("theirs/s", "ours/s", "ratio", "p99 ms", "ours", "server ms", "ours", "ratio")
_WIDTHS = (10, 9, 8, 9, 8, 11, 8, 8)
_HEAD = "".join(f"{each:>{width}}" for each, width in zip(_COLUMNS, _WIDTHS, strict=True))


def _row(theirs: Sequence[Result], ours: Sequence[Result]) -> tuple[float, str]:
    rate, mine = median(theirs, "per_second"), median(ours, "per_second")
    waits = [median(each, "p99_ms") for each in (theirs, ours)]
    computed = [median(each, "cpu_ms") for each in (theirs, ours)]
    values = (f"{rate:.0f}", f"{mine:.0f}", f"{mine / rate:.1f}", *(f"{each:.0f}" for each in waits))
    # What servers compute for a request: no other program on the machine adds to it, so it drifts less than the rates.
    less = computed[0] / computed[1] if computed[1] else 0.0
    cells = (*values, *(f"{each:.2f}" for each in computed), f"{less:.1f}")
    return mine / rate, "".join(f"{each:>{width}}" for each, width in zip(cells, _WIDTHS, strict=True))


if __name__ == "__main__":
    main(sys.argv[1:])
