"""Mailing under fire: ``python -m tests.faults.mailing --messages 3000 [--crash-database]``.

Workers are killed all the time, the provider fails, asks for patience, and takes messages without saying so; the
database crashes too where that is wanted. Everything must arrive, and copies must be few. What was struck three times
is not sent again; a person is told that it may have arrived, and that must be seldom.
"""

import argparse
import contextlib
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.context import ForkServerProcess

import sqlalchemy as sa

import worker
from incentives.flows import deliver
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.errors import StorageUnavailable
from incentives.kernel.migrate import upgrade
from incentives.messages import outbox, providers
from incentives.messages.tables import outbox_messages
from incentives.queries.books import check_books
from tests.faults.doomed import start
from tests.faults.sending import ACCEPTED, at, give_by_email, recipient, sending_core
from tests.providers.stand_in import Answer, Asked, StandIn
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.world import make_core

WORKERS = 3
COPIES_MOST = 3
BACK_SECONDS_MOST = 10
UNCERTAIN_MOST = 0.01  # of the messages, and one
_PATIENCE_SECONDS = 1500
_BETWEEN_KILLS_SECONDS = (0.3, 0.9)
_BETWEEN_KILLS_MESSAGES, _BETWEEN_KILLS_SECONDS_MOST = 12, 4.0
_CRASHES = 0.15  # of the ticks
_FAILS, _WANTS_PATIENCE, _TAKES_AND_RESETS = 0.05, 0.03, 0.02


class Fickle(StandIn):
    """A provider that fails, wants patience, and sometimes takes a message and hangs up without a word."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(ACCEPTED)
        self.taken: Counter[str] = Counter()
        self.taken_at: list[float] = []
        self.replies_lost = 0
        self.refusals = 0
        self._dice = dice

    def usual_to(self, asked: Asked) -> Answer:
        """Throw the dice for a message."""
        fate = self._dice.random()
        if fate < _FAILS + _WANTS_PATIENCE:
            self.refusals += 1
            return Answer(503 if fate < _FAILS else 429)
        self.taken[recipient(asked.json)] += 1
        self.taken_at.append(time.monotonic())
        if fate > 1 - _TAKES_AND_RESETS:
            self.replies_lost += 1
            return Answer(deed="reset")
        return ACCEPTED


@dataclass
class Story:
    """What happened, in numbers."""

    messages: int
    kills: int = 0
    crashes: int = 0
    replies_lost: int = 0
    refusals: int = 0
    seconds: float = 0
    back_seconds: float = 0  # the longest that nothing was sent after a crash
    copies: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, int] = field(default_factory=dict)
    uncertain: int = 0  # so many a person was told to ask about
    broken: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return max(self.messages - len(self.copies) - self.uncertain, 0)

    @property
    def duplicates(self) -> int:
        return sum(self.copies.values()) - len(self.copies)

    def faults(self) -> list[str]:
        """Return what is not as it must be; a crash may cost a copy of what each worker had in hand."""
        allowed = self.kills + self.replies_lost + WORKERS * self.crashes
        wrong = {
            f"{self.lost} messages were lost": self.lost > 0,
            f"one was sent {max(self.copies.values(), default=0)} times": max(self.copies.values()) > COPIES_MOST,
            f"{self.duplicates} copies, {allowed} are excused": self.duplicates > allowed,
            f"not all are sent: {self.statuses}": self.statuses.get("sent", 0) + self.uncertain != self.messages,
            f"{self.uncertain} are uncertain": self.uncertain > UNCERTAIN_MOST * self.messages + 1,
            f"nothing was sent for {self.back_seconds:.1f} s after a crash": self.back_seconds > BACK_SECONDS_MOST,
            f"the books do not hold: {self.broken}": bool(self.broken),
        }
        return [what for what, is_so in wrong.items() if is_so]

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.messages} messages, {self.kills} kills, {self.crashes} crashes of the database, {self.refusals} "
            f"refusals, {self.replies_lost} replies lost: lost {self.lost}, {self.duplicates} copies too many, at most "
            f"{max(self.copies.values())} of one, {self.uncertain} uncertain, {self.seconds:.0f} s, "
            f"{self.statuses}; after a crash nothing was sent for {self.back_seconds:.1f} s at most"
        )


def work_for_ever(database_url: str, provider_url: str) -> None:
    """Work as ``incentives worker`` does, with leases and pauses so short that somebody can wait for their end."""
    outbox.LEASE_MARGIN_SECONDS = 1
    outbox.RETRY_SECONDS = (1, 2, 3, 5)  # type: ignore[assignment]  # fewer and shorter
    deliver.UNSURE_SECONDS = 2.0
    providers.HOLD = timedelta(seconds=5)
    worker.IDLE_SECONDS = 0.05
    worker._TROUBLE_SECONDS = 0.5
    worker.run(sending_core(database_url, provider_url, clock=SystemClock()), threading.Event())


def play(database_url: str, messages: int, *, server: Postgres | None = None, seed: int = 1) -> Story:
    """Let so many messages go out under fire; ``server`` is crashed now and then."""
    dice = random.Random(seed)
    story = Story(messages)
    core = make_core(database_url)
    give_by_email(core, messages)
    began = time.monotonic()
    with Fickle(random.Random(seed)).serving() as provider:
        assert isinstance(provider, Fickle)
        with _workers(database_url, provider.url) as workers:
            while not _is_drained(core, messages):
                assert time.monotonic() - began < _PATIENCE_SECONDS, _statuses(core)
                time.sleep(dice.uniform(*_BETWEEN_KILLS_SECONDS))
                _let_some_go_out(provider)
                _kill_one(workers, dice, database_url, provider.url)
                story.kills += 1
                if server is not None and dice.random() < _CRASHES:
                    _crash(server, dice, provider, story, core)
        story.seconds = time.monotonic() - began
        story.copies, story.replies_lost, story.refusals = provider.taken, provider.replies_lost, provider.refusals
    story.statuses, story.uncertain = _statuses(core), _uncertain(core)
    checks = check_books(core=at(core, SystemClock().now()), actor=SYSTEM)
    story.broken = [line for check in checks for line in check.broken]
    core.database.dispose()
    return story


def _let_some_go_out(provider: Fickle) -> None:
    """Wait until some messages went out, for a while: a machine that is busy with much else would be killing only.

    How often one message is struck depends on how many are sent between two kills, and not on the machine.
    """
    wanted, until = len(provider.taken_at) + _BETWEEN_KILLS_MESSAGES, time.monotonic() + _BETWEEN_KILLS_SECONDS_MOST
    while len(provider.taken_at) < wanted and time.monotonic() < until:
        time.sleep(0.02)


@contextlib.contextmanager
def _workers(database_url: str, provider_url: str) -> Iterator[list[ForkServerProcess]]:
    workers = [start(work_for_ever, database_url, provider_url) for _ in range(WORKERS)]
    try:
        yield workers
    finally:
        for each in workers:
            _kill(each)


def _kill_one(workers: list[ForkServerProcess], dice: random.Random, database_url: str, provider_url: str) -> None:
    victim = dice.randrange(len(workers))
    _kill(workers[victim])
    workers[victim] = start(work_for_ever, database_url, provider_url)


def _kill(process: ForkServerProcess) -> None:
    process.kill()
    process.join()
    process.close()


def _crash(server: Postgres, dice: random.Random, provider: Fickle, story: Story, core: Core) -> None:
    """Crash the database and start it again; note how long afterwards something is sent, if anything was left."""
    if dice.random() < 0.5:
        server.kill9()
    else:
        server.stop("immediate")
    server.start()
    story.crashes += 1
    back_at = time.monotonic()
    while not any(each > back_at for each in provider.taken_at[-50:]):
        if not _something_is_due(core) or time.monotonic() - back_at > 3 * BACK_SECONDS_MOST:
            return
        time.sleep(0.05)
    story.back_seconds = max(story.back_seconds, time.monotonic() - back_at)


def _something_is_due(core: Core) -> bool:
    """Return whether much is due; a few that failed have pauses of their own."""
    table = outbox_messages.c
    query = sa.select(sa.func.count()).where(table.status == "queued", table.available_at <= SystemClock().now())
    with contextlib.suppress(StorageUnavailable), core.database.read() as tx:
        return int(tx.execute(query).scalar_one()) > WORKERS
    return True


def _is_drained(core: Core, messages: int) -> bool:
    found = _statuses(core)
    return sum(found.values()) == messages and set(found) <= {"sent", "failed"}


def _statuses(core: Core) -> dict[str, int]:
    table = outbox_messages.c
    query = sa.select(table.status, sa.func.count()).group_by(table.status)
    with contextlib.suppress(StorageUnavailable), core.database.read() as tx:
        return {str(row[0]): int(row[1]) for row in tx.execute(query)}
    return {}


def _uncertain(core: Core) -> int:
    table = outbox_messages.c
    query = sa.select(sa.func.count()).where(table.status == "failed", table.reason == outbox.UNCERTAIN)
    with core.database.read() as tx:
        return int(tx.execute(query).scalar_one())


def main() -> int:
    """Tell what happened; return 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mailing", description=__doc__)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crash-database", action="store_true")
    said = parser.parse_args()
    with RunFolder.opened() as run:
        server = Postgres(run, durable=True)
        server.start()
        try:
            upgrade(server.url())
            crashed = server if said.crash_database else None
            story = play(server.url(), said.messages, server=crashed, seed=said.seed)
        finally:
            server.remove()
    sys.stdout.write(f"{story}\n")
    faults = story.faults()
    sys.stdout.write("\n".join(faults) + "\n" if faults else "all as it must be\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
