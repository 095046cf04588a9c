"""The benchmarks' own test: one tiny round of what ``make bench`` writes down, and of growth, against real servers."""

import json
import statistics
from pathlib import Path

from bench import ceiling, ceiling_sqlite, growth
from bench.on_sqlite import on_sqlite
from bench.servers import World
from bench.side_by_side import KINDS, Pace, side_by_side
from tests.run_folder import RunFolder

# So much more is looked at where each index has grown by a level; a table that is read whole shows up as more.
A_LEVEL_MORE = 1.4
TINY = Pace(rounds=1, seconds=0.05, warm=32, samples=2, workers=1)


def test_the_hot_requests_and_their_floors_are_measured_side_by_side(run: RunFolder, tmp_path: Path) -> None:
    with World.within(run) as world:
        table = side_by_side(world, tmp_path, TINY, written=tmp_path / "var" / "bench.json")
    figures = json.loads((tmp_path / "var" / "bench.json").read_text())
    assert list(figures) == list(KINDS) == ["issue", "redeem", "lookup"]
    for each in figures.values():
        assert sorted(each) == [
            "handwritten_per_s",
            "hello_per_s",
            "ours_per_s",
            "p99_ms",
            "pgbench_per_s",
            "ratio_handwritten",
        ]
        assert all(value > 0 for value in each.values())
    assert "One hot budget beside fifty" in table


def test_a_hot_request_touches_no_more_pages_of_a_table_that_has_grown_fivefold(run: RunFolder) -> None:
    """Ten thousand are where PostgreSQL begins to weigh an index against the whole table, and must choose the index."""
    sizes = (2_000, 10_000)
    with growth.within(run, sizes, growth.samples(1)) as subjects:
        found = growth.measure(subjects, rounds=1)
    for kind in growth.HOT:
        small, large = (statistics.median(found[kind, size].pages) for size in sizes)
        assert 5 < large < small * A_LEVEL_MORE, (kind, small, large)


def test_the_hot_requests_are_measured_on_sqlite_too(tmp_path: Path) -> None:
    lines = on_sqlite(tmp_path, TINY).splitlines()
    assert [line.split()[0] for line in lines[3:]] == list(KINDS)
    assert all(float(line.split()[3]) > 0 for line in lines[3:])


def test_what_our_rows_alone_allow_is_measured(run: RunFolder, tmp_path: Path) -> None:
    with World.within(run) as world:
        lines = ceiling.ceiling(world, TINY, batches=8).splitlines()
        assert [line[:14].strip() for line in lines[3:]] == [
            f"{kind}, by {n}" for kind in ("issue", "redeem") for n in (16, 32)
        ]
        assert all(float(line[14:].split()[0]) > 0 for line in lines[3:])
        assert "gifts a transaction" in ceiling.in_numbers(world, rounds=1, batches=3)
    lines = ceiling_sqlite.ceiling(tmp_path, TINY, batches=3).splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["issue", "redeem", "lookup"]
    assert all(float(line.split()[1]) > 0 for line in lines[3:])
