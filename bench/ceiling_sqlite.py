"""The same on SQLite, in one process: ``python -m bench.ceiling_sqlite [quick]``.

What was sent for sixteen gifts, and sixteen redemptions, is sent over and over by one thread on one connection, with
the pragmas of ours; nothing else is done (``bench/ceiling.py``). SQLite is in the very process that answers requests:
what it takes and what Python takes add up on one core. So a hello of Flask stands beside it too.
"""

import sqlite3
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.ceiling import Sent, recorded, renewed
from bench.handwritten_sqlite import Floor
from bench.load import Request, Result
from bench.servers import Server, World, granian
from bench.side_by_side import Contender, Pace, median

GOAL = 0.5
TOGETHER = 16  # twice as many as there are threads
_THREADS = 8
_PRAGMAS = ("journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL")
_WRITTEN = {"issue": "vouchers", "redeem": "redemptions"}


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    with TemporaryDirectory() as folder:
        print(ceiling(Path(folder), Pace.asked(arguments), batches=60 if "quick" in arguments else 300))


def per_second(file: Path, batches: Sequence[Sequence[Sent]], table: str) -> float:
    """Return how many requests a second the batches stand for. Each must have written its row of a table."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        count = f"SELECT count(*) FROM {table}"  # noqa: S608 - a name of ours
        (before,) = connection.execute(count).fetchone()
        began = time.perf_counter()
        for batch in batches:
            for statement, parameters in batch:
                many = isinstance(parameters, list)
                cursor = (connection.executemany if many else connection.execute)(statement, parameters)
                if cursor.description:
                    cursor.fetchall()
            connection.execute("COMMIT")
        seconds = time.perf_counter() - began
        (after,) = connection.execute(count).fetchone()
    assert after - before == len(batches) * TOGETHER, "each request writes its rows"
    return len(batches) * TOGETHER / seconds


def ceiling(folder: Path, pace: Pace, *, batches: int) -> str:
    """Return the table: what the rows alone allow, beside the floor that the goals refer to."""
    file = folder / "ours.db"
    world = World(f"sqlite:///{file}", World.catalog())
    sent, way = recorded(world, TOGETHER), granian(1, _THREADS)
    world.core.database.dispose()
    floor = Floor(str(folder / "floor.db"))
    others = (
        Contender(
            "Flask hello",
            Server("bench.hello:flask", {}, factory=True, way=way),
            {"hello": lambda count: [Request("POST", "/x", {}, b"{}")] * count},
        ),
        Contender(
            "by hand",
            Server("bench.handwritten_sqlite:app", floor.environ, factory=False, way=way),
            {"issue": floor.issues, "redeem": floor.redemptions, "lookup": floor.lookups},
        ),
    )
    rates: dict[str, list[float]] = defaultdict(list)
    found: dict[str, list[Result]] = defaultdict(list)
    try:
        for each in others:
            each.server.start()
        for turn in range(pace.rounds):
            made = [renewed(sent, turn * batches + number) for number in range(batches)]
            for kind, table in _WRITTEN.items():
                rates[kind].append(per_second(file, [each[kind] for each in made], table))
            for each in others:
                for kind in each.makers:
                    found[kind].append(each.measure(kind, pace))
    finally:
        for each in others:
            each.server.stop()
    return _table(rates, found, pace)


def _table(rates: dict[str, list[float]], found: dict[str, list[Result]], pace: Pace) -> str:
    hello = 1000 / median(found["hello"], "per_second")
    how = f"SQLite, one process, {TOGETHER} requests a transaction"
    lines = [
        f"\n{how}, medians of {pace.rounds} rounds in turn; milliseconds a request",
        f"{'':10}{'by hand/s':>11}{'goal':>6}{'goal, ms':>10}{'rows take':>11}{'Flask hello':>13}{'left':>8}",
    ]
    for kind in ("issue", "redeem", "lookup"):
        hand = median(found[kind], "per_second")
        allowed, rows = 1000 / (GOAL * hand), 1000 / statistics.median(rates[kind]) if kind in rates else 0.0
        lines.append(
            f"{kind:10}{hand:11.0f}{GOAL:6.2f}{allowed:10.3f}{rows:11.3f}{hello:13.3f}{allowed - rows - hello:8.3f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
