"""The worker's loops: one for each channel, begun on a migrated database only, and ended when told."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

import worker
from incentives.books.tables import books_checks
from incentives.flows.deliver import deliver_next
from incentives.kernel import migrate
from incentives.kernel.core import Core
from incentives.kernel.errors import StorageNotMigrated, StorageUnavailable
from incentives.messages.port import Accepted, Letter, Outcome
from tests.faults.sending import wait_until
from tests.flows.shop import Shop, named
from tests.world import Recording, make_core

BOTH = named("ana@customer.example", phone="+12125550123")


class Hanging(Recording):
    """A provider that does not come back before it is let go."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel)
        self.released = threading.Event()

    def send(self, letter: Letter) -> Outcome:
        self.letters.append(letter)
        self.released.wait(30)
        return Accepted("late")


@contextmanager
def working(core: Core) -> Iterator[threading.Thread]:
    """Run the loops until the block ends; then they must end too."""
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(core, stop), daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert [each for each in threading.enumerate() if each.name.startswith("deliver-")] == []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(worker, "_TROUBLE_SECONDS", 0.02)


def test_a_channel_that_hangs_does_not_hold_up_the_other(shop: Shop) -> None:
    sms, email = Hanging("sms"), Recording("email")
    for _ in range(3):
        shop.issue(customer=BOTH, channels=("email", "sms"))
    with working(replace(shop.core, senders={"sms": sms, "email": email})):
        wait_until(lambda: len(email.letters) == 3 and sms.letters)
        assert len(sms.letters) == 1
        sms.released.set()
        wait_until(lambda: len(sms.letters) == 3)


def test_the_message_that_is_being_sent_at_the_end_is_written_down(shop: Shop) -> None:
    sms = Hanging("sms")
    shop.issue(customer=BOTH, channels=("sms",))
    with working(replace(shop.core, senders={"sms": sms, "email": Recording("email")})):
        wait_until(lambda: sms.letters)
        threading.Timer(0.3, sms.released.set).start()
    assert deliver_next(core=shop.core) is None
    with shop.core.database.read() as tx:
        assert tx.exec_driver_sql("SELECT status FROM outbox_messages").scalars().all() == ["sent"]


def test_only_the_messages_of_a_channel_are_claimed(shop: Shop) -> None:
    shop.issue(customer=BOTH, channels=("sms",))
    assert deliver_next(core=shop.core, channel="email") is None
    assert deliver_next(core=shop.core, channel="sms") is not None
    assert deliver_next(core=shop.core) is None


def test_a_database_that_is_not_migrated_is_said_once_and_ends_it(blank_database_url: str) -> None:
    core = make_core(blank_database_url)
    with pytest.raises(StorageNotMigrated) as refusal:
        worker.run(core, threading.Event())
    assert "no tables" in refusal.value.detail
    assert "incentives db upgrade" in refusal.value.next_step
    core.database.dispose()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_in_a_serving_process_that_is_one_line_of_the_log(
    blank_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    core = make_core(blank_database_url)
    worker.start_thread(core)
    wait_until(lambda: caplog.records)
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.exc_info is None
    assert "incentives db upgrade" in record.message
    core.database.dispose()


def test_a_database_that_is_away_at_the_start_is_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    check: Callable[..., None] = migrate.check
    tries: list[int] = []

    def away_at_first(*args: object) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise StorageUnavailable
        check(*args)

    monkeypatch.setattr(migrate, "check", away_at_first)
    shop.issue(customer=BOTH, channels=("email",))
    email = Recording("email")
    with working(replace(shop.core, senders={"sms": Recording("sms"), "email": email})):
        wait_until(lambda: email.letters)
    assert len(tries) == 3


def test_the_books_are_proved_even_when_they_cannot_be_sealed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(**_given: object) -> None:
        message = "a head that cannot be read"
        raise ValueError(message)

    monkeypatch.setattr(worker, "seal_due", stumble)
    with working(shop.core):
        wait_until(lambda: [row for row in shop.all(books_checks) if row.ended_at is not None])
    assert shop.one(books_checks).holds is True
