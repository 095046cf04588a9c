"""Outages of providers by a fake clock: ``python -m tests.faults.outage --messages 5000``, or ``--failover``.

One provider that is down for hours, and two of which the first fails for five minutes. Nothing waits: the clock jumps
to whatever is due next.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.flows.deliver import deliver_next
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.messages.port import Accepted, AnyLetter, Outcome, TryLater
from incentives.messages.tables import outbox_messages
from tests.databases import SqliteDatabases
from tests.faults.sending import give_by_email
from tests.run_folder import RunFolder
from tests.world import START, make_core

DOWN = timedelta(hours=4)
CALLS_MOST = 12
ONE_SECOND_MOST = 0.05  # of all retries
FAILS_FROM, FAILS_UNTIL = START + timedelta(minutes=10), START + timedelta(minutes=15)
FAILOVER_ENDS = START + timedelta(minutes=75)


class Down:
    """A provider that is not available within some time, and works else."""

    channel = "email"

    def __init__(self, name: str, clock: FixedClock, from_at: datetime, until_at: datetime) -> None:
        self.provider = name
        self.calls: list[tuple[datetime, str, bool]] = []  # when, whose message, whether it was taken
        self._clock, self._from_at, self._until_at = clock, from_at, until_at

    def send(self, letter: AnyLetter) -> Outcome:
        """Take it or not, as the time says."""
        now = self._clock.now()
        down = self._from_at <= now < self._until_at
        self.calls.append((now, letter.to, not down))
        return TryLater("It is not available.", None) if down else Accepted(None)


@dataclass
class Outage:
    """What came of an outage of hours."""

    messages: int
    calls_most: int
    in_one_second: float  # the largest share of all retries that one second holds
    copies: Counter[str]
    drained_after: timedelta

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        wrong = {
            f"one message was tried {self.calls_most} times": self.calls_most > CALLS_MOST,
            f"one second holds {self.in_one_second:.1%} of the retries": self.in_one_second > ONE_SECOND_MOST,
            f"{self.messages - len(self.copies)} were lost": len(self.copies) != self.messages,
            f"one was sent {max(self.copies.values(), default=0)} times": set(self.copies.values()) != {1},
        }
        return [what for what, is_so in wrong.items() if is_so]

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.messages} messages, down for {DOWN}: at most {self.calls_most} calls for one meanwhile, one second "
            f"holds {self.in_one_second:.2%} of the retries at most, {len(self.copies)} sent, the last "
            f"{self.drained_after} after it was back"
        )


def outage(database_url: str, messages: int) -> Outage:
    """Let one provider be down for hours with so many messages waiting, and then work."""
    core = make_core(database_url)
    give_by_email(core, messages)
    clock = FixedClock(START)
    back_at = START + DOWN
    provider = Down("only", clock, START, back_at)
    core = replace(core, clock=clock, senders={"email": provider})
    while (due_at := _next_due(core)) is not None:
        _goes_on(clock, due_at)
        while deliver_next(core=core) is not None:
            pass
    core.database.dispose()
    in_vain = [call for call in provider.calls if not call[2]]
    retries = Counter(at.replace(microsecond=0) for at, _, _ in provider.calls if at > START)
    taken = [call for call in provider.calls if call[2]]
    return Outage(
        messages=messages,
        calls_most=max(Counter(whose for _, whose, _ in in_vain).values()),
        in_one_second=max(retries.values()) / retries.total(),
        copies=Counter(whose for _, whose, _ in taken),
        drained_after=max(at for at, _, _ in taken) - back_at,
    )


@dataclass
class Failover:
    """What came of five minutes in which the first of two providers failed."""

    messages: int
    relieved_after: timedelta  # until nine of ten went by the second
    share_of_second: float  # from two minutes on, while the first failed
    back_after: timedelta  # since the first worked again, until everything went by it
    copies: Counter[str]
    changes: list[tuple[str, datetime]] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        at = [instant for _, instant in self.changes]
        gaps = [later - earlier for earlier, later in pairwise(at)]
        wrong = {
            f"{self.share_of_second:.0%} went by the second": self.share_of_second < 0.9,
            f"relieved after {self.relieved_after}": self.relieved_after > timedelta(minutes=2),
            f"back after {self.back_after}": self.back_after > timedelta(minutes=60),
            f"changes {gaps} after each other": any(gap < timedelta(minutes=1) for gap in gaps),
            "some were lost or sent twice": self.copies != Counter(dict.fromkeys(self.copies, 1)),
            f"{len(self.copies)} of {self.messages}": len(self.copies) != self.messages,
        }
        return [what for what, is_so in wrong.items() if is_so]

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.messages} messages, the first fails for {FAILS_UNTIL - FAILS_FROM}: relieved after "
            f"{self.relieved_after}, {self.share_of_second:.1%} by the second from two minutes on, back "
            f"{self.back_after} after it worked again, {len(self.changes)} changes"
        )


def failover(database_url: str, messages: int) -> Failover:
    """Let so many messages come in evenly over 75 minutes, in which the first of two providers fails for five."""
    core = make_core(database_url)
    give_by_email(core, messages)
    clock = FixedClock(START)
    first = Down("first", clock, FAILS_FROM, FAILS_UNTIL)
    second = Down("second", clock, FAILS_UNTIL, FAILS_FROM)
    core = replace(core, clock=clock, senders={"email": first}, spares={"email": second})
    _spread(core, (FAILOVER_ENDS - START) / messages)
    while (due_at := _next_due(core)) is not None:
        clock.advance(max(due_at - clock.now(), timedelta(seconds=1)))
        while deliver_next(core=core) is not None:
            pass
    table = audit_events.c
    with core.database.read() as tx:
        query = sa.select(table.action, table.at).where(table.action.like("provider.%")).order_by(table.at)
        changes = [(str(row.action), row.at) for row in tx.execute(query)]
    core.database.dispose()
    return _told(messages, first, second, changes)


def _told(messages: int, first: Down, second: Down, changes: list[tuple[str, datetime]]) -> Failover:
    settled = FAILS_FROM + timedelta(minutes=2)
    asked = {one: sum(settled <= at < FAILS_UNTIL for at, _, _ in one.calls) for one in (first, second)}
    by_second = [at for at, _, _ in second.calls]
    return Failover(
        messages=messages,
        relieved_after=min(by_second, default=FAILOVER_ENDS) - FAILS_FROM,
        share_of_second=asked[second] / max(1, asked[first] + asked[second]),
        back_after=max(by_second, default=FAILOVER_ENDS) - FAILS_UNTIL,
        copies=Counter(whose for one in (first, second) for _, whose, taken in one.calls if taken),
        changes=changes,
    )


def _spread(core: Core, apart: timedelta) -> None:
    """Let the messages be due one after the other."""
    table = outbox_messages.c
    with core.database.write() as tx:
        for number, message_id in enumerate(tx.execute(sa.select(table.id).order_by(table.id)).scalars().all()):
            later = {"available_at": START + apart * number}
            tx.execute(outbox_messages.update().where(table.id == message_id).values(**later))


def _goes_on(clock: FixedClock, due_at: datetime) -> None:
    """Go on to the end of the second in which something is due; the first time to that instant."""
    if due_at > clock.now():
        clock.advance(due_at.replace(microsecond=0) + timedelta(seconds=1) - clock.now())


def _next_due(core: Core) -> datetime | None:
    table = outbox_messages.c
    with core.database.read() as tx:
        found: datetime | None = tx.execute(
            sa.select(table.available_at).where(table.status == "queued").order_by(table.available_at).limit(1)
        ).scalar_one_or_none()
    return found


def main() -> int:
    """Tell what happened; return 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.outage", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--failover", action="store_true")
    said = parser.parse_args()
    with RunFolder.opened() as run:
        url = SqliteDatabases(run).new()
        story = failover(url, said.messages) if said.failover else outage(url, said.messages)
    sys.stdout.write(f"{story}\n")
    faults = story.faults()
    sys.stdout.write("\n".join(faults) + "\n" if faults else "all as it must be\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
