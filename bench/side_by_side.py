"""The three hot requests beside their floors, in turn, in one run: only the ratios count.

``python -m bench.side_by_side [quick]`` alone, ``make bench`` among other figures. Each round measures a hello of the
same server (raw WSGI, Flask), pgbench doing our own statements, a program by hand doing the least of the same work
(``bench/handwritten.py``), and ours with everything on. A figure of which an answer was no success is void.
"""

import json
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.handwritten import Floor
from bench.load import CONNECTIONS, Request, Result, run
from bench.pgbench import Pgbench
from bench.recorded import SAMPLES
from bench.servers import TAGS, THREADS, WORKERS, Server, World, granian
from incentives.kernel.migrate import HOUSE

KINDS = ("issue", "redeem", "lookup")
EXPECTED = {"issue": 201, "redeem": 201, "lookup": 200, "hello": 200}
WRITTEN = HOUSE / "var" / "bench.json"
_MOST = 40_000

Maker = Callable[[int], list[Request]]


@dataclass(frozen=True)
class Pace:
    """How often, and for how long each."""

    rounds: int = 5
    seconds: float = 3.0
    warm: int = 256  # requests, before anything counts
    samples: int = SAMPLES
    workers: int = WORKERS

    @classmethod
    def asked(cls, arguments: Sequence[str]) -> "Pace":
        """Return a short one for ``quick``."""
        return cls(rounds=1, seconds=1.0) if "quick" in arguments else cls()


class Void(Exception):
    """An answer was no success, so the figure would be of something else."""


@dataclass
class Contender:
    """A server, and the requests that are sent to it by kind. How many fit into a round is found at the first."""

    name: str
    server: Server
    makers: Mapping[str, Maker]

    def __post_init__(self) -> None:
        self._rates: dict[str, float] = {}

    def measure(self, kind: str, pace: Pace) -> Result:
        """Send requests of one kind for about as long as is asked. Raises ``Void``."""
        if kind not in self._rates:
            self._send(kind, pace.warm)
            self._rates[kind] = self._send(kind, pace.warm).per_second
        result = self._send(kind, min(_MOST, max(pace.warm, int(self._rates[kind] * pace.seconds))))
        self._rates[kind] = result.per_second
        return result

    def _send(self, kind: str, count: int) -> Result:
        requests, before = self.makers[kind](count), self.server.cpu_seconds
        result = run(self.server.port, requests, expected=EXPECTED[kind.partition(",")[0]])
        if result.wrong:
            wrong = f"{self.name}, {kind}: {result.wrong} of {count} answers were wrong"
            raise Void(f"{wrong}: {result.first_wrong[:500]!r}")
        return replace(result, cpu_ms=(self.server.cpu_seconds - before) / count * 1000)


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table and write ``var/bench.json``."""
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(side_by_side(world, Path(folder), Pace.asked(arguments)))


def side_by_side(world: World, folder: Path, pace: Pace, written: Path = WRITTEN) -> str:
    """Return the table of all, and write what ``make bench`` promises to write."""
    with contenders(world, pace.workers) as (everybody, hot):
        pgbench = Pgbench.opened(world, folder, pace.samples)
        found = _measured(everybody, hot, pgbench, pace)
        megabytes = next(each.server.worker_megabytes for each in everybody if each.name == "ours")
    figures = {kind: _figures(found, kind) for kind in KINDS}
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return _table(found, pace, megabytes, missing=pgbench is None) + f"\n{json.dumps(figures)}"


Found = dict[tuple[str, str], list[Result]]


@contextmanager
def contenders(world: World, workers: int) -> Iterator[tuple[list[Contender], Contender]]:
    """Start every server; the second that is given is ours again, where fifty issue tags have a budget each."""
    floor, way = Floor(world.database_url), granian(workers)
    hello: Mapping[str, Maker] = {"hello": lambda count: [Request("POST", "/x", {}, b"{}")] * count}
    ours: Mapping[str, Maker] = {
        "issue": lambda count: world.issues(count, location=None),
        "redeem": world.redemptions,
        "lookup": world.lookups,
    }
    by_hand: Mapping[str, Maker] = {"issue": floor.issues, "redeem": floor.redemptions, "lookup": floor.lookups}
    with world.another("of_fifty", world.catalog_of_fifty()) as other:
        one_or_fifty: Mapping[str, Maker] = {
            "issue, one budget": lambda count: other.issues(count, location="here", tags=TAGS[:1]),
            "issue, fifty budgets": lambda count: other.issues(count, location="here", tags=TAGS),
        }
        hot = Contender("ours", Server("wsgi:app", other.environ, factory=True, way=way), one_or_fifty)
        everybody = [
            Contender("hello, raw WSGI", Server("bench.hello:raw", {}, factory=False, way=way), hello),
            Contender("hello, Flask", Server("bench.hello:flask", {}, factory=True, way=way), hello),
            Contender("by hand", Server("bench.handwritten:app", floor.environ, factory=False, way=way), by_hand),
            Contender("ours", Server("wsgi:app", world.environ, factory=True, way=way), ours),
        ]
        servers = [each.server for each in (*everybody, hot)]
        try:
            for server in servers:
                server.start()
            yield everybody, hot
        finally:
            for server in servers:
                server.stop()


def _measured(everybody: Sequence[Contender], hot: Contender, pgbench: Pgbench | None, pace: Pace) -> Found:
    """Measure in turn, so that the machine's drift touches all alike."""
    found: Found = defaultdict(list)
    for _ in range(pace.rounds):
        for kind in ("hello", *KINDS):
            for each in everybody:
                if kind in each.makers:
                    found[each.name, kind].append(each.measure(kind, pace))
            if pgbench and kind != "hello":
                rate = pgbench.per_second(kind, pace.seconds, pilot=max(1, pace.warm // CONNECTIONS))
                found["pgbench", kind].append(Result(rate, 0.0, 0.0, 0))
        for kind in hot.makers:
            found[hot.name, kind].append(hot.measure(kind, pace))
    return found


def median(results: Sequence[Result], name: str) -> float:
    """Return the median of one figure over the rounds."""
    return float(statistics.median(getattr(each, name) for each in results))


def _figures(found: Found, kind: str) -> dict[str, Any]:
    ours, by_hand = found["ours", kind], found["by hand", kind]
    rate, floor = median(ours, "per_second"), median(by_hand, "per_second")
    pgbench = found.get(("pgbench", kind))
    return {
        "ours_per_s": round(rate, 1),
        "hello_per_s": round(median(found["hello, raw WSGI", "hello"], "per_second"), 1),
        "handwritten_per_s": round(floor, 1),
        "pgbench_per_s": round(median(pgbench, "per_second"), 1) if pgbench else None,
        "ratio_handwritten": round(rate / floor, 3),
        "p99_ms": round(median(ours, "p99_ms"), 1),
    }


def _table(found: Found, pace: Pace, megabytes: int, *, missing: bool) -> str:
    here = f"{pace.workers} workers x {THREADS} threads, {CONNECTIONS} connections, PostgreSQL (fsync on)"
    head = f"{'':32}{'a second':>10}{'of by hand':>12}{'of pgbench':>12}{'of Flask hello':>16}"
    lines = [
        f"\n{here}, medians of {pace.rounds} rounds of {pace.seconds:g} s in turn; no answer was wrong",
        f"{head}{'median ms':>11}{'p99 ms':>9}{'p99/median':>12}{'server ms':>11}",
    ]
    flask = median(found["hello, Flask", "hello"], "per_second")
    for name, kind in sorted(found, key=lambda each: ("hello", *KINDS).index(each[1].partition(",")[0])):
        results = found[name, kind]
        rate, usual, p99 = (median(results, each) for each in ("per_second", "median_ms", "p99_ms"))
        computed = f"{median(results, 'cpu_ms'):11.2f}"
        waits = f"{usual:11.1f}{p99:9.1f}{p99 / usual:12.1f}{computed}" if usual else ""
        shares = "".join(_share(rate, found.get((floor, kind)), 12) for floor in ("by hand", "pgbench"))
        lines.append(
            f"{name if kind == 'hello' else kind + ', ' + name:32}{rate:10.0f}{shares}{rate / flask:16.3f}{waits}"
        )
    one, fifty = (median(found["ours", f"issue, {many} budget{s}"], "per_second") for many, s in _ONE_OR_FIFTY)
    lines.append(f"One hot budget beside fifty: {one / fifty:.2f}.  Memory of a worker of ours: {megabytes} MB")
    if missing:
        lines.append("pgbench did not come with this PostgreSQL, so its figures are missing.")
    return "\n".join(lines)


_ONE_OR_FIFTY = (("one", ""), ("fifty", "s"))


def _share(rate: float, floor: Sequence[Result] | None, width: int) -> str:
    return f"{rate / median(floor, 'per_second'):{width}.2f}" if floor else " " * width


if __name__ == "__main__":
    main(sys.argv[1:])
