"""Play seeds: ``python -m tests.simulation --seeds 1000``, and one of them again: ``--seed 17``."""

import argparse
import sys
import time
from collections import Counter

from tests.databases import PostgresDatabases, SqliteDatabases
from tests.run_folder import RunFolder
from tests.simulation.places import Place, PostgresPlace, SqlitePlace
from tests.simulation.play import Story, play
from tests.simulation.schedule import Found

_TOLD_EVERY = 25


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one, and show the digests of what happened")
    parser.add_argument("--seeds", type=int, default=50, help="play so many")
    parser.add_argument("--first", type=int, default=0, help="begin with this one")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL instead of SQLite")
    return parser.parse_args()


def _place(run: RunFolder, *, postgresql: bool) -> Place:
    return PostgresPlace(PostgresDatabases(run)) if postgresql else SqlitePlace(SqliteDatabases(run))


def main() -> int:
    """Play, and return how many seeds found something."""
    said = _arguments()
    seeds = [said.seed] if said.seed is not None else range(said.first, said.first + said.seeds)
    faults: Counter[str] = Counter()
    failed = []
    began = time.monotonic()
    with RunFolder.opened() as run:
        place = _place(run, postgresql=said.postgresql)
        for number, seed in enumerate(seeds, start=1):
            try:
                story = play(seed, place)
            except Found as found:
                failed.append(seed)
                on = " --postgresql" if said.postgresql else ""
                _say(f"{found}\n\nOnce more: python -m tests.simulation --seed {seed}{on}\n")
                continue
            faults.update(story.faults)
            if said.seed is not None:
                _show(story)
            elif number % _TOLD_EVERY == 0:
                _say(f"{number} seeds, {len(failed)} failed, {time.monotonic() - began:.0f} s")
        place.close()
    _say(f"{len(seeds)} seeds in {time.monotonic() - began:.0f} s, failed: {failed or 'none'}. Faults: {dict(faults)}")
    return min(len(failed), 100)


def _show(story: Story) -> None:
    _say(f"seed {story.seed}: {story.steps} steps, told {story.told}, stored {story.stored}")
    for name, count in story.deeds.most_common():
        _say(f"  {count:4} {name}")


if __name__ == "__main__":
    sys.exit(main())
