"""Everything at once: processes that each live the whole life of one small shop, on the same few vouchers and cases."""

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa

from incentives.deeds import casework
from incentives.deeds.wanting import IssueVoucher
from incentives.kernel.actors import Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.errors import Refusal, StorageUnavailable
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import recovery_cases
from tests.crew import freeze, processes
from tests.flows.shop import Shop
from tests.machines.lives import Life, one_by_dice
from tests.world import START, make_core

PROCESSES = 8
_ANSWER_SECONDS = 300
_FEW = 6
_CUSTOMERS = 4


class SharedClock(FixedClock):
    """A clock that all processes read: whoever lets time pass does so for all of them."""

    def __init__(self, seconds: Any) -> None:
        """Read the seconds since the beginning from a shared value."""
        super().__init__(START)
        self._seconds = seconds

    def now(self) -> datetime:
        """Return the present instant."""
        return START + timedelta(seconds=self._seconds.value, microseconds=time.monotonic_ns() // 1000 % 1_000_000)

    def advance(self, step: timedelta) -> None:
        """Let time pass, for everybody."""
        with self._seconds.get_lock():
            self._seconds.value += int(step.total_seconds())


class Stressed(Life):
    """A life among others: what is done is only counted, for others may have changed everything since it was chosen."""

    def _let_in(self) -> None:
        self.bugs: list[str] = []

    def do(self, verb: str, flow: Callable[..., Any], who: str, given: Any, **_: Any) -> None:
        """Do something; what is neither done nor refused is a bug, and kept."""
        said = given if isinstance(given, dict) else {"command": self._keyed(given)}
        self.tried(verb, partial(flow, core=self.core, actor=self.people[who], **said))

    def tried(self, verb: str, deed: Callable[[], Any]) -> None:
        """Try a deed and count what came of it."""
        try:
            deed()
        except StorageUnavailable:  # what PostgreSQL answers to a ring of locks
            self.bugs.append(f"{verb}: {traceback.format_exc()}")
        except Refusal as refusal:
            self.refused[verb, refusal.slug] += 1
        except Exception:  # noqa: BLE001 - whatever it is, the test shows it
            self.bugs.append(f"{verb}: {traceback.format_exc()}")
        else:
            self.done[verb] += 1

    def recent(self, table: sa.Table, *where: Any) -> Any:
        """Return one of very few rows, on which all processes are at once."""
        query = sa.select(table).where(*where).order_by(*(each.desc() for each in table.primary_key.columns))
        with self.core.database.read() as tx:
            rows = tx.execute(query.limit(_FEW)).all()
        return self.dice.choice(rows) if rows else None

    def _wish(self) -> IssueVoucher:
        wish = super()._wish()
        email = f"customer{self.dice.randrange(_CUSTOMERS)}@example.com"
        return wish if wish.case_id else replace(wish, customer=CustomerGiven(email=email))

    def close_case(self) -> None:
        """Close a case as somebody who has documented everything: a purchase shows from then on that it was mended."""
        case = self.recent(recovery_cases, recovery_cases.c.status != "closed")
        if case is not None:
            self.tried("close_case", partial(self._close, case.id))

    def _close(self, case_id: Any) -> None:
        with self.core.database.write() as tx:
            casework.work_on(tx, self.people["manager"], case_id)
            values = {"status": "closed", "outcome": "not_recovered", "closed_at": self.now}
            casework.change(tx, case_id, self.now, **values)

    def one(self) -> None:
        """Do whatever the dice say."""
        if self.chance(25):
            self.close_case()
        else:
            one_by_dice(self)


@dataclass(slots=True)
class Stress:
    """What all of them did, what was refused, and every bug with its lines."""

    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    bugs: list[str] = field(default_factory=list)


def run(database_url: str, people: dict[str, Actor], seconds: float, seed: int) -> Stress:
    """Let all processes live for some seconds."""
    shared = processes.Value("q", 0)
    members = [_start((database_url, people, shared, seconds, seed + number)) for number in range(PROCESSES)]
    found = Stress()
    for process, pipe in members:
        if not pipe.poll(seconds + _ANSWER_SECONDS):
            raise AssertionError("a life does not end")
        mine: Stress = pipe.recv()
        found.done += mine.done
        found.refused += mine.refused
        found.bugs += mine.bugs
        process.join(timeout=5)
    return found


def _start(args: tuple[Any, ...]) -> tuple[Any, Connection]:
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_live, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _live(
    pipe: Connection, database_url: str, people: dict[str, Actor], shared: Any, seconds: float, seed: int
) -> None:
    freeze()
    core = make_core(database_url, clock=SharedClock(shared), INCENTIVES_DATABASE_POOL_SIZE="2")
    shop = Shop(
        core=core,
        clock=core.clock,  # type: ignore[arg-type]  # a FixedClock, shared
        manager=people["manager"],
        agent=people["agent"],
        supervisor=people["supervisor"],
        till=people["till"],
    )
    life = Stressed(shop)
    life.people, life.dice = people, random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        life.tried("choosing", life.one)
    pipe.send(Stress(life.done, life.refused, life.bugs))
    core.database.dispose()
