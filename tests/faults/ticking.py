"""Celery's workers and beat under fire: ``python -m tests.faults.ticking --messages 1000``.

Redis is killed at the half and comes back empty, is emptied once more, and hangs; workers are killed with SIGKILL all
the time, whole or one of their processes. Every message must be sent, none more than three times, and none more than a
minute after it was given.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis as RedisClient

from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_vouchers
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.migrate import upgrade
from incentives.queries.books import check_books
from tests.faults.sending import ACCEPTED, recipient, sending_core, wait_until
from tests.faults.test_killed_workers import statuses
from tests.providers.stand_in import Answer, Asked, StandIn
from tests.races.deeds import MANAGER
from tests.run_folder import RunFolder
from tests.servers import Postgres, Redis
from tests.small_catalog import TAG, catalog
from tests.world import HOUSE, environ, publish_catalog

WORKERS = 2
CHILDREN = 2
COPIES_MOST = 3
DELAY_SECONDS_MOST = 60
_AT_ONCE = 20
_SENDING_SECONDS = 0.02
_AWAY_SECONDS = 6  # longer than a turn
_BETWEEN_PORTIONS_SECONDS = 0.5
_BETWEEN_KILLS_SECONDS = (5.0, 8.0)
_PATIENCE_SECONDS = 240


class Tick:
    """One ``celery -A … worker`` or ``… beat``, in a group of processes of its own."""

    def __init__(self, environment: dict[str, str], log: Path, *words: str, module: str = "worker") -> None:
        program = str(Path(sys.executable).with_name("celery"))
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program, "-A", module, *words],
                cwd=HOUSE,
                env={"PATH": os.environ["PATH"], **environment},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.words = words

    @property
    def pid(self) -> int:
        return self._process.pid

    def children(self) -> list[int]:
        """Return the processes that it forked."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(each) for each in listed.split()]

    def kill9(self) -> None:
        """Kill it with all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def end(self, seconds: float = 60) -> int:
        """Ask it to end, and return how it did."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)


@dataclass
class Ticking:
    """A database, a broker, and the processes of Celery that work for them."""

    environment: dict[str, str]
    folder: Path
    module: str = "worker"
    running: list[Tick] = field(default_factory=list)

    def worker(self, *words: str) -> Tick:
        return self._started("worker", "-c", str(CHILDREN), "-n", f"w{len(self.running)}@here", *words)

    def beat(self) -> Tick:
        return self._started("beat")

    def replace(self, which: Tick) -> None:
        """Kill one with all its processes and start another in its place."""
        which.kill9()
        self.running.remove(which)
        self._started(*which.words)

    def said(self) -> str:
        """Return what all of them wrote to their log."""
        return (self.folder / "celery.log").read_text()

    def end(self) -> None:
        for each in self.running:
            each.kill9()

    def _started(self, *words: str) -> Tick:
        tick = Tick(self.environment, self.folder / "celery.log", *words, module=self.module)
        self.running.append(tick)
        return tick


@contextlib.contextmanager
def ticking(
    database_url: str, redis: Redis, provider_url: str, folder: Path, module: str = "worker"
) -> Iterator[Ticking]:
    """Let Celery's processes of a house be started; none outlives the block."""
    more = {
        "INCENTIVES_BROKER_URL": redis.url(),
        "INCENTIVES_SENDGRID_API_KEY": "SG.test",
        "INCENTIVES_SENDGRID_BASE_URL": provider_url,
        "INCENTIVES_PROVIDER_TIMEOUT_SECONDS": "2",
    }
    house = Ticking(environ(database_url, **more), folder, module)
    try:
        yield house
    finally:
        house.end()


class Patient(StandIn):
    """A provider that takes a moment, so that workers are killed while they send; it notes when it took what."""

    def __init__(self) -> None:
        super().__init__(ACCEPTED)
        self.taken: Counter[str] = Counter()
        self.first_at: dict[str, float] = {}

    def usual_to(self, asked: Asked) -> Answer:
        """Take a message."""
        to = recipient(asked.json)
        self.taken[to] += 1
        self.first_at.setdefault(to, time.monotonic())
        time.sleep(_SENDING_SECONDS)
        return ACCEPTED


def give(core: Core, first: int, number: int) -> list[str]:
    """Give so many vouchers by email and return whom."""
    names = [f"{each}@customer.example" for each in range(first, first + number)]
    commands = [IssueVoucher(issue_tag=TAG, customer=CustomerGiven(email=name), channels=("email",)) for name in names]
    issue_vouchers(core=core, actor=MANAGER, commands=commands)
    return names


@dataclass
class Story:
    """What happened, in numbers."""

    messages: int
    kills: int = 0
    copies: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    back_seconds: float = 0  # until something was sent once Redis was back
    statuses: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what is not as it must be; a worker's death may cost a copy of what each of its processes sent."""
        most, delay = max(self.copies.values(), default=0), max(self.delays, default=0)
        extra = sum(self.copies.values()) - len(self.copies)
        wrong = {
            f"{self.messages - len(self.copies)} messages were lost": len(self.copies) != self.messages,
            f"one was sent {most} times": most > COPIES_MOST,
            f"{extra} copies too many": extra > CHILDREN * self.kills,
            f"one left {delay:.0f} s late": delay > DELAY_SECONDS_MOST,
            f"not all are sent: {self.statuses}": self.statuses != {"sent": self.messages},
            f"the books do not hold: {self.broken}": bool(self.broken),
        }
        return [what for what, is_so in wrong.items() if is_so]

    def __str__(self) -> str:
        """Say it in a line."""
        delays, copies = sorted(self.delays), list(self.copies.values())
        return (
            f"{self.messages} messages, {self.kills} kills: lost {self.messages - len(self.copies)}, "
            f"{sum(copies) - len(copies)} copies too many, at most {max(copies)} of one, "
            f"sent after {delays[len(delays) // 2]:.1f} s (half of them), {delays[-1]:.1f} s (the last); "
            f"{self.back_seconds:.1f} s after Redis was back"
        )


def play(database_url: str, redis: Redis, folder: Path, messages: int, *, module: str = "worker") -> Story:
    """Give so many vouchers while Redis, workers and beat die."""
    story, given_at, provider = Story(messages), dict[str, float](), Patient()
    core = sending_core(database_url, provider.url, clock=SystemClock())
    publish_catalog(core, catalog())
    with provider.serving(), ticking(database_url, redis, provider.url, folder, module) as house:
        for _ in range(WORKERS):
            house.worker()
        house.beat()
        stop = threading.Event()
        killer = threading.Thread(target=_kill_now_and_then, args=(house, story, provider, stop))
        killer.start()
        try:
            _give_all(core, redis, story, provider, given_at)
        finally:
            stop.set()
            killer.join()
        with contextlib.suppress(AssertionError):  # What is missing then is a fault that the story tells.
            wait_until(lambda: statuses(core.database) == {"sent": messages}, _PATIENCE_SECONDS)
    story.copies, story.statuses = provider.taken, statuses(core.database)
    story.delays = [provider.first_at[to] - given for to, given in given_at.items() if to in provider.first_at]
    story.broken = [line for check in check_books(core=core, actor=SYSTEM) for line in check.broken]
    core.database.dispose()
    return story


def _give_all(core: Core, redis: Redis, story: Story, provider: Patient, given_at: dict[str, float]) -> None:
    """Give everything; at the half Redis dies, then it is emptied, and then it hangs."""
    portions = range(0, story.messages, _AT_ONCE)
    half, later, last = (portions[int(part * len(portions))] for part in (0.5, 0.75, 0.9))
    for first in portions:
        if first == half:
            wait_until(lambda: provider.taken, _PATIENCE_SECONDS)
            redis.kill9()
            time.sleep(_AWAY_SECONDS)
        now = time.monotonic()
        given_at.update(dict.fromkeys(give(core, first, min(_AT_ONCE, story.messages - first)), now))
        if first == half:
            story.back_seconds = _seconds_until_something_is_sent(redis, provider)
        if first == later:
            with RedisClient.from_url(redis.url()) as client:
                client.flushall()
        if first == last:
            os.kill(redis.pid, signal.SIGSTOP)
            time.sleep(_AWAY_SECONDS)
            os.kill(redis.pid, signal.SIGCONT)
        time.sleep(_BETWEEN_PORTIONS_SECONDS)


def _seconds_until_something_is_sent(redis: Redis, provider: Patient) -> float:
    """Start Redis again; the turns that were begun before it died are over by then."""
    redis.start()
    back_at, before = time.monotonic(), provider.taken.total()
    wait_until(lambda: provider.taken.total() > before, DELAY_SECONDS_MOST)
    return time.monotonic() - back_at


def _kill_now_and_then(house: Ticking, story: Story, provider: Patient, stop: threading.Event) -> None:
    """Kill a worker or beat with all that it has, or one of its processes, as the kernel does when memory runs out."""
    dice = random.Random(story.messages)
    while not provider.taken and not stop.wait(0.05):
        pass
    while not stop.is_set():
        victim = dice.choice(house.running)
        children = victim.children()
        if children and dice.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(children[0], signal.SIGKILL)
        else:
            house.replace(victim)
        story.kills += 1
        stop.wait(dice.uniform(*_BETWEEN_KILLS_SECONDS))


def main() -> int:
    """Tell what happened; return 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.ticking", description=__doc__)
    parser.add_argument("--messages", type=int, default=1000)
    said = parser.parse_args()
    with RunFolder.opened() as run:
        server, redis = Postgres(run, durable=True), Redis(run)
        server.start()
        redis.start()
        try:
            upgrade(server.url())
            story = play(server.url(), redis, run.path, said.messages)
        finally:
            redis.stop()
            server.remove()
    sys.stdout.write(f"{story}\n")
    faults = story.faults()
    sys.stdout.write("\n".join(faults) + "\n" if faults else "all as it must be\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
