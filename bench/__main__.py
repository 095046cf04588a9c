"""``make bench``: the hot requests beside their floors, statements per request, start-up, weights, intake, reports.

``python -m bench quick`` does one short round.
"""

import sys
import tempfile
from pathlib import Path

from bench import figures, seeing
from bench.asked import asked
from bench.intake import intake
from bench.servers import World
from bench.side_by_side import Pace, side_by_side


def main() -> None:
    """Print every figure, and write those that ``var/bench.json`` holds."""
    pace, quick = Pace.asked(sys.argv), "quick" in sys.argv
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(figures.start_up(world.environ))
        print(asked(world))
        print(figures.weights(world))
        print(figures.codes())
        print(side_by_side(world, Path(folder), pace))
        print(intake(world, rounds=1 if quick else 3, count=300 if quick else 600))
    if not quick:
        seeing.main()


if __name__ == "__main__":
    main()
