"""Processes that do the same thing at the same instant, each with connections of its own, and commits that are real.

They are forked from a server that has imported the application once, so that sixteen start as fast as one.
"""

import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from tests.world import START, make_core

SIZE = 16
A_MOMENT_SECONDS = 0.1
"""It passes between looking and writing on any busy machine: by it a guard that is missing shows."""
_MISTAKES = (
    "TypeError",
    "AttributeError",
    "NameError",
    "KeyError",
)  # A twin that no longer fits would look like a race.
_ANSWER_SECONDS = 240  # A machine may be busy with much else.

Deed = Callable[[Core, Any], Any]
Twin = Callable[[], AbstractContextManager[Any]]

processes = multiprocessing.get_context("forkserver")
# Whatever a member imports only when it needs it is imported here, once for all.
processes.set_forkserver_preload(
    [
        "tests.crew",
        "tests.faults.deeds",
        "tests.faults.sending",
        "tests.races.deeds",
        "tests.schema",
        "pytest",
        "psycopg",
        "cryptography.fernet",
        "email_validator",
        "phonenumbers",
        "python_http_client",
        "sendgrid",
        "worker",
        "channels.sendgrid_email",
        "incentives.flows.approve",
        "incentives.flows.redeem",
        "incentives.queries.books",
        "sqlalchemy.dialects.postgresql",
        "sqlalchemy.dialects.sqlite",
    ]
)


class Outcome(NamedTuple):
    """What became of a job: what the deed returned, or the name of what it raised with its text."""

    name: str
    value: Any = None


class Work(NamedTuple):
    """What one member of the crew is told to do. Deeds and twins are functions of a module, found again by name."""

    deed: Deed
    jobs: Sequence[Any]
    database_url: str
    at: datetime
    twin: Twin | None
    in_step: bool


class Crew:
    """Sixteen processes that wait for work."""

    def __init__(self) -> None:
        """Start them all."""
        self._barrier = processes.Barrier(SIZE)
        self._members = [self._start() for _ in range(SIZE)]

    def share(
        self, deed: Deed, jobs: Sequence[Any], database_url: str, *, at: datetime = START, twin: Twin | None = None
    ) -> list[Outcome]:
        """Let the crew do jobs as fast as it can, and return what became of each, in no order."""
        hands = [list(jobs[number::SIZE]) for number in range(SIZE)]
        return self._run([Work(deed, hand, database_url, at, twin, in_step=False) for hand in hands])

    def at_once(
        self,
        deed: Deed,
        rounds: Sequence[Sequence[Any]],
        database_url: str,
        *,
        at: datetime = START,
        twin: Twin | None = None,
    ) -> list[list[Outcome]]:
        """Let the jobs of each round (at most sixteen) be done at the same instant, round after round."""
        hands = [[each[number] if number < len(each) else None for each in rounds] for number in range(SIZE)]
        outcomes = self._run([Work(deed, hand, database_url, at, twin, in_step=True) for hand in hands])
        by_hand = [outcomes[start : start + len(rounds)] for start in range(0, len(outcomes), len(rounds))]
        return [[by_hand[number][turn] for number in range(len(jobs))] for turn, jobs in enumerate(rounds)]

    def dismiss(self) -> None:
        """Let them go."""
        for process, pipe in self._members:
            pipe.close()
            process.join(timeout=5)
            process.kill()
            process.join()
            process.close()

    def _start(self) -> tuple[Any, Connection]:
        ours, theirs = processes.Pipe()
        process = processes.Process(target=_serve, args=(theirs, self._barrier), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _run(self, work: Sequence[Work]) -> list[Outcome]:
        for (_, pipe), each in zip(self._members, work, strict=True):
            pipe.send(each)
        found: list[Outcome] = []
        for _, pipe in self._members:
            if not pipe.poll(_ANSWER_SECONDS):
                raise AssertionError("a member of the crew does not answer")
            found += pipe.recv()
        if mistaken := [each for each in found if each.name in _MISTAKES]:
            raise AssertionError(f"the test itself is wrong: {mistaken[0]}")
        return found


def freeze() -> None:
    """Keep the garbage collector from all that was inherited: looking through it would copy every page of it."""
    gc.freeze()


def count(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how often each outcome was seen."""
    return dict(Counter(each.name for each in outcomes))


def flat(rounds: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """Return the outcomes of all rounds."""
    return [each for outcomes in rounds for each in outcomes]


def _serve(pipe: Connection, barrier: Any) -> None:
    """Do what comes through the pipe until it is closed."""
    freeze()
    core: Core | None = None
    while True:
        try:
            work: Work = pipe.recv()
        except EOFError:
            os._exit(0)
        if core is None or core.settings.database_url != work.database_url or core.clock.now() != work.at:
            if core is not None:
                core.database.dispose()
            core = make_core(work.database_url, clock=FixedClock(work.at), INCENTIVES_DATABASE_POOL_SIZE="2")
        pipe.send(_work(core, work, barrier))


def _work(core: Core, work: Work, barrier: Any) -> list[Outcome]:
    outcomes = []
    with core.database.read(), core.database.write():
        pass  # Connected before the start, so that all start at once.
    with work.twin() if work.twin else nullcontext():
        barrier.wait(_ANSWER_SECONDS)
        for job in work.jobs:
            if work.in_step:
                barrier.wait(_ANSWER_SECONDS)
            outcomes.append(_outcome(core, work.deed, job))
    return outcomes


def _outcome(core: Core, deed: Deed, job: Any) -> Outcome:
    if job is None:
        return Outcome("idle")
    try:
        value = deed(core, job)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test counts it
        return Outcome(type(error).__name__, str(error)[:500])
    return value if isinstance(value, Outcome) else Outcome(type(value).__name__, value)
