"""Random operations on one shop, and a model beside the books that must agree to the cent.

``python -m bench.recount --operations 10000 [--postgresql] [--seed 7]`` prints what was done, what was refused and as
what, how many pots and accounts were compared, and where the model disagrees, which must be nowhere. It works in this
process, on SQLite unless it is told otherwise; what it prints at first is enough to do the same again.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator

from incentives.kernel.migrate import upgrade
from tests.machines.lives import Life, one_by_dice, opened
from tests.run_folder import RunFolder
from tests.servers import Postgres

CHECKED_EVERY = 100
COUNTED_ONE_IN, DUMPED_ONE_IN = 10, 500  # of so many deeds one is watched by the numbers of rows, one by all of them


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and return how many pots and accounts disagree."""
    parser = argparse.ArgumentParser(description="Random operations, recounted from the audit trail alone.")
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)
    print(f"{options.operations} operations on {'PostgreSQL' if options.postgresql else 'SQLite'}, --seed {seed}")
    began = time.monotonic()
    with _database(postgresql=options.postgresql) as url:
        life = opened(url, count_one_in=COUNTED_ONE_IN, dump_one_in=DUMPED_ONE_IN)
        life.dice = random.Random(seed)
        wrong = lived(life, options.operations)
        life.core.database.dispose()
    _print(life, wrong, time.monotonic() - began)
    return len(wrong)


def lived(life: Life, operations: int) -> list[str]:
    """Do so many operations by the dice of a life; return where the model disagrees at the end, or before."""
    for number in range(1, operations + 1):
        one_by_dice(life)
        if number % CHECKED_EVERY == 0:
            wrong = life.recount()
            if wrong:
                return [f"after {number} operations: {each}" for each in wrong]
    life.check()
    return life.recount()


@contextlib.contextmanager
def _database(*, postgresql: bool) -> Iterator[str]:
    """Return the address of a migrated database that goes away with the run."""
    if not postgresql:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/recount.db"
            upgrade(url)
            yield url
        return
    with RunFolder.opened() as run:
        server = Postgres(run, durable=False)
        server.start()
        try:
            upgrade(server.url())
            yield server.url()
        finally:
            server.remove()


def _print(life: Life, wrong: list[str], seconds: float) -> None:
    print("\nDone")
    for verb, number in sorted(life.done.items()):
        print(f"  {verb:32}{number:8}")
    print("Refused")
    for (verb, slug), number in sorted(life.refused.items()):
        print(f"  {verb:32}{slug:36}{number:8}")
    print(f"\nRepeated under its key, and nothing happened {life.repeated:12}")
    print(f"Pots at the end        {len(life.model.pots()):34}")
    print(f"Accounts at the end    {len(life.model.balances()):34}")
    print(f"Compared in all        {life.compared:34}")
    print(f"Disagreements          {len(wrong):34}")
    print(f"Seconds                {seconds:34.1f}")
    for each in wrong[:20]:
        print(f"  {each}")


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
