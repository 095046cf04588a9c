"""The benchmarks' own test: one tiny round of everything that ``make bench`` writes down, against real servers."""

import json
from pathlib import Path

from bench.servers import World
from bench.side_by_side import KINDS, Pace, side_by_side
from tests.run_folder import RunFolder

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
