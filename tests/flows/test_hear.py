"""What providers report is kept, once; a message goes on by it in whatever order it comes, and nobody is told twice."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise, permutations
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.flows.deliver import deliver_next
from incentives.flows.hear import StatusReport, hear_reports
from incentives.messages.port import Accepted, Letter, Outcome
from incentives.messages.tables import delivery_attempts, delivery_events, outbox_messages, suppressions
from tests.flows.shop import EMAIL, Shop, named
from tests.world import Recording

SAID = ("sent", "delivered", "failed", "delivered", "opened")  # the second delivered is another report than the first


def report(shop: Shop, means: str | None, *, key: str | None = None, **more: Any) -> StatusReport:
    """Return a report about a message whose id at the provider is m-1."""
    return StatusReport(
        **{
            "provider": "sendgrid",
            "channel": "email",
            "event_key": key or f"e-{means}",
            "status": f"{means}",
            "means": means,
            "occurred_at": shop.clock.now(),
            "provider_message_id": "m-1",
            **more,
        }
    )


def hear(shop: Shop, *said: StatusReport) -> int:
    return hear_reports(core=shop.core, said=said)


def sent(shop: Shop, provider_message_id: str | None = "m-1", **more: Any) -> uuid.UUID:
    """Give something whose message a provider takes; return the message's id."""
    shop.sender().outcomes.append(Accepted(provider_message_id))
    given = shop.issue(channels=("email",), **more)
    assert shop.deliver() == ["sent"]
    return given.deliveries[0].id


def status(shop: Shop, message_id: uuid.UUID | None = None) -> str:
    row = shop.one(outbox_messages, *([outbox_messages.c.id == message_id] if message_id else []))
    return str(row.status)


def told(shop: Shop) -> list[str]:
    """Return what the audit trail says of messages."""
    return [each.action for each in shop.all(audit_events) if each.action.startswith("message.")]


def test_a_report_moves_its_message_on_and_tells_the_audit_trail_once(shop: Shop) -> None:
    message_id = sent(shop)
    assert hear(shop, report(shop, "delivered", message_id=message_id)) == 1
    assert hear(shop, report(shop, "delivered", message_id=message_id)) == 0
    assert hear(shop, report(shop, "sent", message_id=message_id)) == 1
    assert (status(shop), told(shop)) == ("delivered", ["message.sent", "message.delivered"])
    events = shop.all(delivery_events)
    assert [(each.status, each.means, each.message_id) for each in events] == [
        ("delivered", "delivered", message_id),
        ("sent", "sent", message_id),
    ]
    assert EMAIL not in str(events)


def test_any_order_and_any_number_of_times_ends_alike(open_shop: Any, backend: str) -> None:
    """All orders are walked in memory; a third of them, with duplicates, through the database."""
    shop, chance = open_shop(), Random(7)
    orders = list(permutations(range(len(SAID))))
    for order in orders if backend == "sqlite" else orders[::6]:
        message_id = sent(shop, f"m-{order}", customer=named(f"{'-'.join(map(str, order))}@example.com"))
        before, statuses = len(told(shop)), ["sent"]
        for number in [each for each in order for _ in range(chance.randint(1, 3))]:
            hear(shop, report(shop, SAID[number], key=f"{order}-{number}", message_id=message_id))
            statuses.append(status(shop, message_id))
        assert statuses[-1] == "delivered"
        changes = [now for was, now in pairwise(statuses) if was != now]
        assert "sent" not in changes
        assert told(shop)[before:] == [f"message.{each}" for each in changes]


def test_all_of_it_at_once_ends_alike(shop: Shop) -> None:
    message_id = sent(shop)
    said = [report(shop, means, key=f"e-{number}", message_id=message_id) for number, means in enumerate(SAID)] * 3
    gate, chance = threading.Barrier(6), Random(11)

    def tell(number: int) -> int:
        mine = said[number::6]
        chance.shuffle(mine)
        gate.wait()
        return sum(hear(shop, each) for each in mine)

    with ThreadPoolExecutor(6) as people:
        new = sum(people.map(tell, range(6)))
    assert (new, status(shop)) == (len(SAID), "delivered")
    changes = told(shop)[1:]
    assert len(changes) <= 3
    assert all(was != now for was, now in pairwise(changes))
    assert "message.sent" not in changes


class CallsBack(Recording):
    """A provider that reports before it has even answered that it takes a message."""

    def __init__(self, shop: Shop, means: str, **more: Any) -> None:
        super().__init__("email")
        self.shop, self.means, self.more = shop, means, more

    def send(self, letter: Letter) -> Outcome:
        super().send(letter)
        ours: dict[str, Any] = {"message_id": letter.message_id} if "event_key" not in self.more else {}
        assert hear(self.shop, report(self.shop, self.means, **ours, **self.more)) == 1
        return Accepted("m-1")


@pytest.mark.parametrize("means", ["sent", "delivered", "bounced", "failed"])
@pytest.mark.parametrize("by", ["our id", "theirs"])
def test_a_report_that_comes_before_we_know_the_providers_id_is_not_lost(shop: Shop, means: str, by: str) -> None:
    shop.core.senders["email"] = CallsBack(shop, means, **({} if by == "our id" else {"event_key": "e-1"}))  # type: ignore[index]  # a dict
    shop.issue(channels=("email",))
    while deliver_next(core=shop.core) is not None:
        pass
    row = shop.one(outbox_messages)
    assert (row.status, row.provider_message_id, row.lease_id) == (means, "m-1", None)
    assert len(shop.core.senders["email"].letters) == 1
    expected = [f"message.{means}"] if by == "our id" else list(dict.fromkeys(["message.sent", f"message.{means}"]))
    assert told(shop) == expected
    assert [each.outcome for each in shop.all(delivery_attempts)] == ["accepted"]


def test_a_report_says_that_a_try_was_taken_whose_answer_never_came(shop: Shop) -> None:
    given = shop.issue(channels=("email",))
    with shop.core.database.write() as tx:  # as a time-out leaves it: it would be sent once more
        tx.execute(outbox_messages.update().values(attempts=1, available_at=shop.clock.now() + timedelta(minutes=1)))
    hear(shop, report(shop, "sent", message_id=given.deliveries[0].id))
    shop.later(hours=1)
    assert shop.deliver() == []
    assert (status(shop), told(shop)) == ("sent", ["message.sent"])


def test_an_answer_after_the_lease_still_says_that_it_was_taken(shop: Shop) -> None:
    class Slow(Recording):
        def send(self, letter: Letter) -> Outcome:
            super().send(letter)
            shop.later(minutes=10)
            with shop.core.database.write() as tx:  # another process has claimed it and died
                tx.execute(outbox_messages.update().values(lease_id=uuid.uuid4(), attempts=2))
            return Accepted("m-1")

    shop.core.senders["email"] = Slow("email")  # type: ignore[index]  # a dict
    shop.issue(channels=("email",))
    assert deliver_next(core=shop.core) is not None
    row = shop.one(outbox_messages)
    assert (row.status, row.provider_message_id, row.lease_id) == ("sent", "m-1", None)
    assert told(shop) == ["message.sent"]
    assert shop.deliver() == []


def test_what_was_given_up_and_arrived_all_the_same_is_delivered(shop: Shop) -> None:
    message_id = sent(shop)
    with shop.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(status="failed", reason="SendGrid did not answer in time."))
    hear(shop, report(shop, "sent", message_id=message_id))
    assert status(shop) == "failed"
    hear(shop, report(shop, "delivered", message_id=message_id))
    assert (status(shop), shop.one(outbox_messages).reason) == ("delivered", None)


def test_what_is_nobodys_is_kept_and_moves_nothing(shop: Shop) -> None:
    sent(shop)
    before = shop.all(outbox_messages), told(shop)
    strange = uuid.uuid4()
    assert hear(shop, report(shop, "delivered", message_id=strange, provider_message_id="m-9")) == 1
    assert hear(shop, report(shop, None, key="e-none")) == 1
    assert (shop.all(outbox_messages), told(shop)) == before
    assert [each.message_id for each in shop.all(delivery_events)] == [strange, None]


def test_reports_come_in_numbers(shop: Shop) -> None:
    ids = [sent(shop, f"m-{number}", customer=named(f"c{number}@example.com")) for number in range(5)]
    said = [
        report(shop, means, key=f"{number}-{means}", message_id=message_id, provider_message_id=f"m-{number}")
        for number, message_id in enumerate(ids)
        for means in ("sent", "delivered")
    ]
    assert hear(shop, *said, *said) == 10
    assert {row.status for row in shop.all(outbox_messages)} == {"delivered"}
    assert told(shop).count("message.delivered") == 5


def test_a_bounce_says_why_and_suppresses_the_address(shop: Shop) -> None:
    message_id = sent(shop)
    hear(shop, report(shop, "bounced", message_id=message_id, code="5.1.1", suppresses="bounced", to=EMAIL.upper()))
    row, entry = shop.one(outbox_messages), shop.one(suppressions)
    assert row.reason == "It came back: the provider could not deliver it to this address. (sendgrid 5.1.1)"
    assert (entry.reason, entry.source, entry.code, entry.message_id) == ("bounced", "sendgrid", "5.1.1", message_id)
    given = shop.issue(channels=("email",))
    assert [(each.status, each.reason) for each in given.deliveries] == [
        ("suppressed", "Not sent: the last message to this address came back.")
    ]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_report_asks_little_of_the_database_and_the_same_again_less(shop: Shop) -> None:
    """Who calls must have an answer soon: one that came before costs two statements, a new one six."""
    message_id, asked = sent(shop), list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sa.event.listen(shop.core.database.engine, "before_cursor_execute", note)
    try:
        for most in (6, 2, 2):
            asked.clear()
            hear(shop, report(shop, "delivered", message_id=message_id))
            assert len(asked) == most, asked
    finally:
        sa.event.remove(shop.core.database.engine, "before_cursor_execute", note)


def test_no_event_is_altered(shop: Shop) -> None:
    hear(shop, report(shop, "sent"))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), shop.core.database.write() as tx:
        tx.execute(delivery_events.update().values(status="delivered"))
