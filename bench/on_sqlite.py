"""The three hot requests on SQLite, one process of eight threads, beside a program by hand on SQLite, in turn.

``python -m bench.on_sqlite [quick]``.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.handwritten_sqlite import Floor
from bench.load import Result
from bench.servers import Server, World, granian
from bench.side_by_side import KINDS, Contender, Pace, median

_THREADS = 8


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    with TemporaryDirectory() as folder:
        print(on_sqlite(Path(folder), Pace.asked(arguments)))


def on_sqlite(folder: Path, pace: Pace) -> str:
    """Return requests a second of both, and their ratio."""
    world = World(f"sqlite:///{folder / 'ours.db'}", World.catalog())
    floor, way = Floor(str(folder / "floor.db")), granian(1, _THREADS)
    floor_makers = {"issue": floor.issues, "redeem": floor.redemptions, "lookup": floor.lookups}
    makers = {"issue": world.issues, "redeem": world.redemptions, "lookup": world.lookups}
    by_hand = Server("bench.handwritten_sqlite:app", floor.environ, factory=False, way=way)
    both = (
        Contender("by hand", by_hand, floor_makers),
        Contender("ours", Server("wsgi:app", world.environ, factory=True, way=way), makers),
    )
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    try:
        for each in both:
            each.server.start()
        for _ in range(pace.rounds):
            for kind in KINDS:
                for each in both:
                    found[each.name, kind].append(each.measure(kind, pace))
    finally:
        for each in both:
            each.server.stop()
        world.core.database.dispose()
    lines = [
        f"\nSQLite, 1 worker x {_THREADS} threads, medians of {pace.rounds} rounds of {pace.seconds:g} s in turn",
        f"{'':10}{'by hand/s':>12}{'ours/s':>10}{'ratio':>8}{'p99/median':>12}{'server ms':>11}",
    ]
    for kind in KINDS:
        floor_rate, ours = median(found["by hand", kind], "per_second"), found["ours", kind]
        rate, usual, p99, computed = (median(ours, each) for each in ("per_second", "median_ms", "p99_ms", "cpu_ms"))
        row = f"{floor_rate:12.0f}{rate:10.0f}{rate / floor_rate:8.2f}{p99 / usual:12.1f}{computed:11.2f}"
        lines.append(f"{kind:10}{row}")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
