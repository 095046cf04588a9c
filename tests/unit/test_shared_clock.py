"""One time for all machines: the database's, whatever a machine's own clock says and however it is set."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incentives.kernel import shared_clock
from incentives.kernel.clock import SystemClock
from incentives.kernel.database import Database
from incentives.kernel.errors import StorageUnavailable
from incentives.kernel.shared_clock import ASK_EVERY_SECONDS, SharedClock, clock_of

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TWO_MINUTES = timedelta(minutes=2)


class Machine:
    """A machine and a database: what has passed, how wrong either's clock is, and how long an answer takes."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.off = self.database_off = timedelta(0)
        self.takes_seconds = 0.0
        self.asked = 0
        self.away = False

    def seconds(self) -> float:
        return self.passed

    def now(self) -> datetime:
        """Return what the machine's own clock says."""
        return NOON + timedelta(seconds=self.passed) + self.off

    @property
    def truth(self) -> datetime:
        return NOON + timedelta(seconds=self.passed) + self.database_off

    @contextmanager
    def read(self) -> Iterator["Machine"]:
        self.asked += 1
        if self.away:
            raise StorageUnavailable(retry_after_seconds=2)
        yield self

    def execute(self, _question: Any) -> "Machine":
        self.passed += self.takes_seconds / 2
        self._said = self.truth
        self.passed += self.takes_seconds / 2
        return self

    def scalar_one(self) -> datetime:
        return self._said


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(shared_clock, "elapsed_seconds", machine.seconds)
    return machine


def clock_on(machine: Machine) -> SharedClock:
    return SharedClock(machine, machine)  # type: ignore[arg-type]  # all that the clock asks of a database


@pytest.mark.parametrize("off", [TWO_MINUTES, -TWO_MINUTES, timedelta(days=2), timedelta(0)])
def test_a_machine_that_is_wrong_tells_the_database_s_time(machine: Machine, off: timedelta) -> None:
    machine.off = off
    clock = clock_on(machine)
    assert clock.now() == machine.truth
    machine.passed += 3
    assert clock.now() == machine.truth


def test_the_database_is_asked_every_few_seconds_and_no_more(machine: Machine) -> None:
    clock = clock_on(machine)
    for _ in range(1000):
        clock.now()
        machine.passed += ASK_EVERY_SECONDS / 100
    assert machine.asked == 10


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(days=2)])
def test_setting_a_machine_s_clock_changes_nothing(machine: Machine, step: timedelta) -> None:
    clock = clock_on(machine)
    clock.now()
    machine.off = step
    assert clock.now() == machine.truth
    machine.away = True  # nor when nobody can be asked
    machine.off = -step
    machine.passed += 2
    assert clock.now() == machine.truth


def test_a_machine_that_was_asleep_asks_before_it_tells_a_time(machine: Machine) -> None:
    clock = clock_on(machine)
    clock.now()
    machine.off = machine.database_off = timedelta(minutes=30)  # The clock of what has passed stood still.
    assert clock.now() == machine.truth


def test_a_database_whose_clock_is_set_is_followed(machine: Machine) -> None:
    clock = clock_on(machine)
    clock.now()
    machine.database_off = timedelta(hours=-1)
    machine.passed += ASK_EVERY_SECONDS
    assert clock.now() == machine.truth


def test_a_slow_answer_does_not_push_the_time_to_and_fro(machine: Machine) -> None:
    clock = clock_on(machine)
    clock.now()
    for machine.takes_seconds in (0.4, 0.0, 0.9):
        machine.passed += ASK_EVERY_SECONDS
        clock.now()
        assert clock.now() == machine.truth


def test_a_slow_first_answer_is_off_by_no_more_than_it_took(machine: Machine) -> None:
    machine.off, machine.takes_seconds = TWO_MINUTES, 0.4
    assert abs(clock_on(machine).now() - machine.truth) <= timedelta(seconds=0.2)


def test_while_the_database_is_away_it_is_asked_once_a_second(machine: Machine) -> None:
    machine.away, machine.off = True, TWO_MINUTES
    clock = clock_on(machine)
    for _ in range(10):
        assert clock.now() == machine.now()
    assert machine.asked == 1
    machine.away = False
    machine.passed += 1
    assert clock.now() == machine.truth


def test_a_wrong_clock_is_logged_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.off = TWO_MINUTES
    clock = clock_on(machine)
    for _ in range(5):
        clock.now()
        machine.passed += ASK_EVERY_SECONDS
    assert [record.getMessage() for record in caplog.records] == [
        "this machine's clock is +120 s off the database's, which decides"
    ]


def test_while_one_asks_the_others_go_on(machine: Machine) -> None:
    clock = clock_on(machine)
    clock.now()
    machine.passed += ASK_EVERY_SECONDS
    told: list[datetime] = []
    with clock._asking:  # somebody is at it
        other = threading.Thread(target=lambda: told.append(clock.now()))
        other.start()
        other.join(timeout=30)
    assert told == [machine.truth]
    assert machine.asked == 1


def test_a_file_has_no_clock_but_its_machine_s() -> None:
    assert isinstance(clock_of(Database("sqlite://")), SystemClock)
    assert isinstance(clock_of(Database("postgresql://nobody@127.0.0.1:1/none")), SharedClock)
