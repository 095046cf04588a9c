"""PostgreSQL crashes while 32 programs give and redeem over HTTP: ``python -m tests.faults.restarts --seconds 60``.

Two servers' worth of processes answer. The database is stopped as in a crash (``immediate``), killed with SIGKILL and
stopped once more, and comes back each time. Programs may be told nothing but to ask again, for three seconds at most
from when it is back; and whatever they asked for was done exactly once.
"""

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from incentives.vouchers.tables import redemptions, vouchers
from tests.faults.serving import House, Program, Seen, at_work, give, house_at, postgres, redeem, started
from tests.races.deeds import broken, rows
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.small_catalog import catalog

THREADS = 32
HICCUP_SECONDS_MAX = 3.0
_DOWN_SECONDS = 0.3

CRASHES: tuple[tuple[str, Callable[[Postgres], None]], ...] = (
    ("pg_ctl stop -m immediate", lambda server: server.stop("immediate")),
    ("kill -9 of the postmaster", lambda server: server.kill9()),
    ("pg_ctl stop -m immediate", lambda server: server.stop("immediate")),
)


@dataclass(slots=True)
class Crash:
    """One crash, when it came, when the database took connections again, and how long programs noticed after that."""

    name: str
    at: float
    back_at: float
    hiccup_seconds: float = 0.0


@dataclass(slots=True)
class Story:
    """What came of it."""

    keys: int = 0
    codes: set[str] = field(default_factory=set)
    seen: Seen = field(default_factory=Seen)
    crashes: list[Crash] = field(default_factory=list)
    vouchers: int = 0
    redeemed: int = 0
    redemptions: int = 0
    broken: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        looked_at = {
            "answers that no program may get": self.seen.wrong[:3],
            "statuses": sorted(set(self.seen.statuses) - {"201", "503 storage-unavailable"}),
            "lines that were cut": self.seen.cut,
            "books": self.broken,
            "hiccups": [each for each in self.crashes if each.hiccup_seconds > HICCUP_SECONDS_MAX],
            "vouchers": (self.keys, self.vouchers, self.redeemed, self.redemptions, len(self.codes)),
        }
        exactly = looked_at.pop("vouchers")
        found = [f"{name}: {what}" for name, what in looked_at.items() if what]
        return found if exactly == (self.keys,) * 5 else [*found, f"keys and vouchers: {exactly}"]


def play(run: RunFolder, seconds: float, *, processes: int = 2) -> Story:
    """Let everybody work for so long, with three crashes in between, and look what came of it."""
    story, over = Story(), threading.Event()
    lock = threading.Lock()

    def numbers() -> Iterator[int]:
        for number in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
            story.keys = number + 1
            yield number

    with postgres(run) as database, house_at(database.url(), catalog()) as place:

        def deed(program: Program, number: int) -> None:
            code = _give_and_redeem(program, place, number)
            with lock:
                story.codes.add(code)

        server = place.server(processes=processes)
        with started(server):
            work = at_work(THREADS, [server.port], story.seen, numbers(), deed)
            began = time.monotonic()
            for turn, (name, how) in enumerate(CRASHES, start=1):
                time.sleep(max(0.0, began + seconds * turn / (len(CRASHES) + 1) - time.monotonic()))
                story.crashes.append(_crash(database, name, how))
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            over.set()
            work.end()
        _look(story, place)
    return story


def _give_and_redeem(program: Program, place: House, number: int) -> str:
    status, given = give(program, place, f"give-{number}")
    assert status == 201, given
    code = str(given["voucher"]["code"])
    status, done = redeem(program, place, code, f"redeem-{number}")
    assert status == 201, done
    return code


def _crash(server: Postgres, name: str, how: Callable[[Postgres], None]) -> Crash:
    at = time.monotonic()
    how(server)
    time.sleep(_DOWN_SECONDS)
    server.start()
    return Crash(name, at, time.monotonic())


def _look(story: Story, place: House) -> None:
    ends = [*(each.at for each in story.crashes[1:]), time.monotonic()]
    for crash, end in zip(story.crashes, ends, strict=True):
        told = [at - crash.back_at for at in story.seen.away_at if crash.at <= at < end]
        crash.hiccup_seconds = max([0.0, *told])
        assert told, f"nobody noticed: {crash.name}"
    place.core.database.dispose()  # Its own lines were cut by the crashes.
    story.vouchers = rows(place.core, vouchers)
    story.redeemed = rows(place.core, vouchers, vouchers.c.status == "redeemed")
    with place.core.database.read() as tx:
        story.redemptions = len(set(tx.execute(sa.select(redemptions.c.voucher_id)).scalars()))
    assert story.redemptions == rows(place.core, redemptions)
    story.broken = broken(place.core)


def main() -> int:
    """Tell what happened; return 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.restarts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    with RunFolder.opened() as run:
        story = play(run, parser.parse_args().seconds)
    for crash in story.crashes:
        away = crash.back_at - crash.at
        sys.stdout.write(f"{crash.name}: away for {away:.2f} s, 503 until {crash.hiccup_seconds:.2f} s after\n")
    sys.stdout.write(f"answers: {dict(story.seen.statuses)}, p99 {story.seen.p99_seconds * 1000:.0f} ms\n")
    sys.stdout.write(f"{story.keys} keys, {story.vouchers} vouchers, {story.redemptions} redemptions\n")
    faults = story.faults()
    sys.stdout.write("\n".join(faults) + "\n" if faults else "all as it must be\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
