"""Several workers share the outbox: each message goes out once."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.flows.deliver import deliver_next
from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_vouchers
from incentives.kernel.core import Core
from incentives.messages import outbox
from incentives.messages.tables import delivery_attempts, outbox_messages
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, flat
from tests.races.deeds import MANAGER, rows
from tests.small_catalog import TAG, catalog
from tests.world import publish_catalog

MESSAGES = 160


def enqueue(core: Core, number: int) -> None:
    publish_catalog(core, catalog())
    commands = [
        IssueVoucher(issue_tag=TAG, customer=CustomerGiven(email=f"a{each}@example.com"), channels=("email",))
        for each in range(number)
    ]
    issue_vouchers(core=core, actor=MANAGER, commands=commands)


def deliver(core: Core, _turn: int) -> Outcome:
    """Deliver until nothing is due; the value is what this process has sent."""
    sent = core.senders["email"].letters
    before = len(sent)
    while deliver_next(core=core) is not None:
        pass
    return Outcome("Delivered", [letter.message_id for letter in sent[before:]])


@contextmanager
def look_then_lease() -> Iterator[None]:
    """Look for the message that has waited longest, and then lease it."""

    def naive(tx: Connection, *, lease_id: UUID, now: datetime, lease_seconds: float, **_: Any) -> Any:
        table = outbox_messages.c
        first = tx.execute(sa.select(table.id).where(table.status == "queued").order_by(table.id).limit(1)).scalar()
        time.sleep(A_MOMENT_SECONDS)
        until = now + timedelta(seconds=lease_seconds)
        leased = (
            outbox_messages.update()
            .where(table.id == first)
            .values(status="sending", lease_id=lease_id, lease_until_at=until, attempts=table.attempts + 1)
            .values(provider="recording")
        )
        return tx.execute(leased.returning(*outbox_messages.c)).one_or_none()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "claim_next", naive)
        yield


def copies(outcomes: list[Outcome]) -> Counter[UUID]:
    """Return how often each message was sent."""
    assert {each.name for each in outcomes} == {"Delivered"}, outcomes
    return Counter(message for each in outcomes for message in each.value)


def test_sixteen_workers_send_each_message_once(crew: Crew, core: Core) -> None:
    enqueue(core, MESSAGES)
    sent = copies(flat(crew.at_once(deliver, [[1] * SIZE], core.settings.database_url)))
    assert len(sent) == MESSAGES
    assert set(sent.values()) == {1}
    assert rows(core, outbox_messages, outbox_messages.c.status == "captured") == MESSAGES
    assert rows(core, delivery_attempts) == MESSAGES


def test_workers_that_look_first_and_lease_then_send_copies(crew: Crew, core: Core) -> None:
    enqueue(core, 16)
    sent = copies(flat(crew.at_once(deliver, [[1] * SIZE], core.settings.database_url, twin=look_then_lease)))
    assert max(sent.values()) > 1
