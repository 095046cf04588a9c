"""A worker is killed at every point between claiming, sending and recording: nothing is lost, and copies are few."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import worker
from incentives.flows import deliver
from incentives.flows.deliver import deliver_next
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.messages import outbox
from incentives.messages.tables import outbox_messages
from incentives.queries import letters
from incentives.queries.books import check_books
from tests.faults.doomed import DEAD, die, exit_code, start
from tests.faults.sending import at, copies, give_by_email, provider, sending_core, wait_until
from tests.providers.stand_in import Answer
from tests.world import START, make_core

MESSAGES = 3
LEASE_ENDED = START + timedelta(minutes=1)

# Where a worker dies, and how many copies the customer then gets of the message that it had in hand.
POINTS = {
    "claiming": 1,  # before the lease was committed
    "claimed": 1,
    "written": 1,
    "sent": 2,  # accepted, but nobody knows
    "recording": 2,  # before the record was committed
    "recorded": 1,
}


def then_die(patch: pytest.MonkeyPatch, room: Any, name: str) -> None:
    """Let a function do its work, and then die before anybody learns of it."""
    real: Callable[..., Any] = getattr(room, name)

    def fatal(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        die()

    patch.setattr(room, name, fatal)


def deliver_until_dead(database_url: str, provider_url: str, point: str) -> None:
    core = sending_core(database_url, provider_url, clock=FixedClock(START))
    patch = pytest.MonkeyPatch()
    where = {
        "claiming": (outbox, "claim_next"),
        "claimed": (deliver, "_claim"),
        "written": (letters, "compose"),
        "sent": (type(core.senders["email"]), "send"),
        "recording": (outbox, "end"),
        "recorded": (deliver, "_record"),
    }
    then_die(patch, *where[point])
    deliver_next(core=core)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_dies_and_another_does_its_work(database_url: str, point: str) -> None:
    core = make_core(database_url)
    give_by_email(core, MESSAGES)
    with provider().serving() as stand_in:
        assert exit_code(deliver_until_dead, database_url, stand_in.url, point) == DEAD
        another = sending_core(database_url, stand_in.url, clock=FixedClock(START))
        worker.drain(another)
        at_once = copies(stand_in)
        worker.drain(at(another, LEASE_ENDED))
        another.database.dispose()
        seen = copies(stand_in)
    assert sorted(seen.values()) == sorted([1] * (MESSAGES - 1) + [POINTS[point]])
    assert sum((seen - at_once).values()) == (point not in ("claiming", "recorded"))  # Not before the lease ended.
    assert statuses(core.database) == {"sent": MESSAGES}
    assert all(check.holds for check in check_books(core=core, actor=SYSTEM))
    core.database.dispose()


def test_a_worker_dies_while_the_provider_thinks(database_url: str) -> None:
    core = make_core(database_url)
    give_by_email(core, MESSAGES)
    with provider().serving() as stand_in:
        stand_in.will(Answer(202, deed="hang"))
        killed = start(deliver_all, database_url, stand_in.url)
        wait_until(lambda: stand_in.asked)
        killed.kill()
        killed.join()
        killed.close()
        another = sending_core(database_url, stand_in.url, clock=FixedClock(LEASE_ENDED))
        worker.drain(another)
        another.database.dispose()
        assert sorted(copies(stand_in).values()) == [1, 1, 2]
    assert statuses(core.database) == {"sent": MESSAGES}
    core.database.dispose()


def deliver_all(database_url: str, provider_url: str) -> None:
    worker.drain(sending_core(database_url, provider_url, clock=FixedClock(START), timeout_seconds=30))


def statuses(database: Database) -> dict[str, int]:
    table = outbox_messages.c
    with database.read() as tx:
        rows = tx.execute(sa.select(table.status, sa.func.count()).group_by(table.status)).all()
    return {str(row[0]): int(row[1]) for row in rows}


def test_one_message_that_cannot_be_written_does_not_hold_up_the_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    core = make_core(database_url)
    give_by_email(core, MESSAGES)
    broken = oldest(core)
    real = letters.compose
    address = "ana@customer.example"

    def compose(tx: Any, core: Core, message: Any, now: Any) -> Any:
        if message.id == broken:
            raise KeyError(address)
        return real(tx, core, message, now)

    monkeypatch.setattr(letters, "compose", compose)
    worker.drain(core)
    assert statuses(core.database) == {"captured": MESSAGES - 1, "queued": 1}
    assert "KeyError" in caplog.text
    assert address not in caplog.text
    worker.drain(at(core, START + timedelta(days=1)))
    assert statuses(core.database) == {"captured": MESSAGES - 1, "failed": 1}
    core.database.dispose()


def oldest(core: Core) -> Any:
    with core.database.read() as tx:
        return tx.execute(sa.select(outbox_messages.c.id).order_by(outbox_messages.c.id).limit(1)).scalar_one()
