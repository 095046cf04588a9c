"""64 programs write to one SQLite file while it is read and copied: ``python -m tests.faults.busy_file --gifts 2000``.

Two processes answer them over HTTP. One reader keeps a transaction open all the time, and the file is backed up online
again and again, as ``sqlite3 incentives.db ".backup copy.db"`` does. Nobody is told that the file is locked, and each
copy is whole.
"""

import argparse
import contextlib
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from incentives.kernel.clock import SystemClock
from incentives.vouchers.tables import redemptions, vouchers
from tests.faults.serving import House, Program, Seen, Work, at_work, give, house_at, redeem, started
from tests.races.deeds import broken, rows
from tests.run_folder import RunFolder
from tests.small_catalog import catalog
from tests.world import make_core

THREADS = 64
PROCESSES = 2
_PAGES = 64
_PAUSE_SECONDS = 0.001
_BETWEEN_SECONDS = 0.2


@dataclass(slots=True)
class Story:
    """What came of it."""

    gifts: int
    seen: Seen = field(default_factory=Seen)
    seconds: float = 0.0
    read: list[int] = field(default_factory=list)  # what the long reader saw at its beginning and at its end
    copies: list[int] = field(default_factory=list)  # the vouchers in each backup
    stored: tuple[int, int] = (0, 0)
    broken: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        looked_at = {
            "statuses": sorted(set(self.seen.statuses) - {"201"}),
            "lines that were cut": self.seen.cut,
            "stored": self.stored if self.stored != (self.gifts, self.gifts) else (),
            "the long reader": self.read if self.read != [0, 0] else [],
            "backups": self.copies if not self.copies or self.copies != sorted(self.copies) else [],
            "books": self.broken,
        }
        return [f"{name}: {what}" for name, what in looked_at.items() if what]


def play(folder: Path, gifts: int) -> Story:
    """Let all give and redeem, and look what came of it."""
    story, file = Story(gifts), folder / "house.db"
    with house_at(f"sqlite:///{file}", catalog()) as place:

        def deed(program: Program, number: int) -> None:
            status, given = give(program, place, f"give-{number}")
            if status == 201:
                redeem(program, place, given["voucher"]["code"], f"redeem-{number}")

        server = place.server(processes=PROCESSES)
        with started(server), contextlib.closing(sqlite3.connect(file, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            story.read.append(_vouchers(reader))
            began = time.monotonic()
            work = at_work(THREADS, [server.port], story.seen, iter(range(gifts)), deed)
            _back_up_again_and_again(file, folder, work, story)
            work.end()
            story.seconds = time.monotonic() - began
            story.read.append(_vouchers(reader))
        _look(story, place)
    return story


def _vouchers(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM vouchers").fetchone()[0])


def _back_up_again_and_again(file: Path, folder: Path, work: Work, story: Story) -> None:
    """Copy the file as long as anybody is at work, and look that the books of each copy hold."""
    while work.goes_on:
        copy = folder / f"copy{len(story.copies)}.db"
        with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target, pages=_PAGES, sleep=_PAUSE_SECONDS)
            story.copies.append(_vouchers(target))
        core = make_core(f"sqlite:///{copy}", clock=SystemClock())
        story.broken += [f"{copy.name}: {each}" for each in broken(core)]
        core.database.dispose()
        time.sleep(_BETWEEN_SECONDS)


def _look(story: Story, place: House) -> None:
    story.stored = (rows(place.core, vouchers), rows(place.core, redemptions))
    story.broken += broken(place.core)


def main() -> int:
    """Tell what happened; return 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.busy_file", description=__doc__)
    parser.add_argument("--gifts", type=int, default=2000)
    with RunFolder.opened(), tempfile.TemporaryDirectory() as folder:
        story = play(Path(folder), parser.parse_args().gifts)
    seen = story.seen
    sys.stdout.write(f"{story.gifts} given and redeemed in {story.seconds:.1f} s, {len(story.copies)} backups\n")
    sys.stdout.write(f"answers: {dict(seen.statuses)}, p99 {seen.p99_seconds * 1000:.0f} ms\n")
    faults = story.faults()
    sys.stdout.write("\n".join(faults) + "\n" if faults else "all as it must be\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
