"""Callbacks that were lost: whoever took a message is asked what became of it, seldom, and not for ever."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from incentives.books.tables import audit_events
from incentives.flows import reconcile
from incentives.flows.hear import hear_reports
from incentives.flows.reconcile import (
    ASK_AFTER,
    ASK_EVERY,
    MOST_ASKED,
    SETTLED_AFTER,
    Reconciled,
    reconcile_due,
)
from incentives.messages.outbox import UNTOLD
from incentives.messages.port import Accepted, Letter, Outcome, StatusReport
from incentives.messages.tables import delivery_events, message_providers, outbox_messages
from tests.flows.shop import PHONE, Shop, named
from tests.world import START, Recording

NOTHING = Reconciled(asked=0, heard=0, settled=0)


class Desk(Recording):
    """A provider of SMS that takes everything, and can be asked."""

    provider = "desk"

    def __init__(self) -> None:
        super().__init__("sms")
        self.says: dict[str, str] = {}  # by its id, what a message means by now
        self.silent = False
        self.questions: list[str] = []

    def send(self, letter: Letter) -> Outcome:
        self.letters.append(letter)
        return Accepted(f"id-{len(self.letters)}")

    def look_for(self, _letter: Letter, _since: datetime) -> list[str] | None:
        return None

    def ask(self, provider_message_id: str, now: datetime) -> StatusReport | None:
        self.questions.append(provider_message_id)
        means = self.says.get(provider_message_id, "delivered")
        return None if self.silent else report(provider_message_id, means, now)


def report(provider_message_id: str, means: str, now: datetime, provider: str = "desk") -> StatusReport:
    return StatusReport(
        provider=provider,
        channel="sms",
        event_key=f"{provider_message_id}:{means}",
        status=means,
        means=means,
        occurred_at=now,
        provider_message_id=provider_message_id,
    )


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def house(shop: Shop, desk: Desk) -> Shop:
    mail = Recording("email")
    return replace(shop, core=replace(shop.core, senders={"email": mail, "sms": desk}))


def send(house: Shop, number: int) -> None:
    for each in range(number):
        house.issue(customer=named(f"c{each}@example.com", phone=f"+4474001{each:05}"), channels=("sms",))
    assert house.deliver() == ["sent"] * number


def statuses(house: Shop) -> list[str]:
    return [row.status for row in house.all(outbox_messages)]


def test_nobody_is_asked_before_it_can_know(house: Shop, desk: Desk) -> None:
    send(house, 2)
    house.clock.advance(ASK_AFTER - timedelta(seconds=1))
    assert reconcile_due(core=house.core) == NOTHING
    house.later(seconds=1)
    assert reconcile_due(core=house.core) == Reconciled(asked=2, heard=2, settled=0)
    assert statuses(house) == ["delivered"] * 2
    assert reconcile_due(core=house.core) == NOTHING
    assert sorted(desk.questions) == ["id-1", "id-2"]
    actions = [row.action for row in house.all(audit_events) if row.action.startswith("message.")]
    assert actions == ["message.sent"] * 2 + ["message.delivered"] * 2
    house.check()


def test_what_was_told_is_not_asked_about(house: Shop, desk: Desk) -> None:
    send(house, 2)
    hear_reports(core=house.core, said=[report("id-1", "delivered", START)])
    house.clock.advance(ASK_AFTER)
    assert reconcile_due(core=house.core).asked == 1
    assert desk.questions == ["id-2"]


def test_the_answer_and_a_late_callback_are_one(house: Shop, desk: Desk) -> None:
    send(house, 1)
    house.clock.advance(ASK_AFTER)
    reconcile_due(core=house.core)
    assert hear_reports(core=house.core, said=[report("id-1", "delivered", house.clock.now())]) == 0
    hear_reports(core=house.core, said=[report("id-1", "sent", START)])
    assert statuses(house) == ["delivered"]
    assert len(house.all(delivery_events)) == 2


def test_what_is_still_on_its_way_is_asked_about_again(house: Shop, desk: Desk) -> None:
    send(house, 1)
    desk.says["id-1"] = "sent"
    house.clock.advance(ASK_AFTER)
    assert reconcile_due(core=house.core).asked == 1
    assert reconcile_due(core=house.core).asked == 0
    house.clock.advance(ASK_EVERY)
    desk.says["id-1"] = "bounced"
    assert reconcile_due(core=house.core) == Reconciled(asked=1, heard=1, settled=0)
    assert statuses(house) == ["bounced"]


def test_a_provider_is_not_flooded_with_questions(house: Shop, desk: Desk) -> None:
    send(house, MOST_ASKED + 5)
    house.clock.advance(ASK_AFTER)
    assert reconcile_due(core=house.core).asked == MOST_ASKED
    assert reconcile_due(core=house.core).asked == 5
    assert len(set(desk.questions)) == MOST_ASKED + 5


def test_one_that_does_not_say_is_left_in_peace(house: Shop, desk: Desk) -> None:
    send(house, 10)
    desk.silent = True
    house.clock.advance(ASK_AFTER)
    assert reconcile_due(core=house.core) == Reconciled(asked=3, heard=0, settled=0)
    desk.silent = False
    house.clock.advance(ASK_EVERY)
    assert reconcile_due(core=house.core).asked == 10
    assert statuses(house) == ["delivered"] * 10


def test_one_that_does_not_work_is_not_asked(house: Shop, desk: Desk) -> None:
    send(house, 1)
    house.clock.advance(ASK_AFTER)
    row = {"id": house.core.ids.new(START), "provider": "desk", "channel": "sms", "status": "resting"}
    with house.core.database.write() as tx:
        tx.execute(message_providers.insert(), row)
    assert reconcile_due(core=house.core) == NOTHING


def test_nobody_is_waited_for_for_ever(house: Shop, desk: Desk) -> None:
    send(house, 3)
    desk.silent = True
    house.clock.advance(SETTLED_AFTER)
    assert reconcile_due(core=house.core).settled == 3
    assert statuses(house) == ["sent"] * 3
    assert {row.reason for row in house.all(outbox_messages)} == {UNTOLD}
    questions = len(desk.questions)
    house.later(days=1)
    assert reconcile_due(core=house.core) == NOTHING
    assert len(desk.questions) == questions
    # A word that comes after all still counts.
    hear_reports(core=house.core, said=[report("id-1", "delivered", house.clock.now())])
    assert sorted(statuses(house)) == ["delivered", "sent", "sent"]


def test_those_of_today_have_their_turn_however_many_old_ones_there_are(
    house: Shop, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade nothing that was ever sent is settled: what is of days ago is not asked about, but settled."""
    monkeypatch.setattr(reconcile, "_MOST_SETTLED", 10)
    send(house, MOST_ASKED + 5)
    house.clock.advance(SETTLED_AFTER)
    send(house, MOST_ASKED + 5)
    house.later(hours=1)
    house.issue(customer=named(phone=PHONE), channels=("sms",))
    assert house.deliver() == ["sent"]
    house.clock.advance(ASK_AFTER)
    assert reconcile_due(core=house.core) == Reconciled(asked=MOST_ASKED, heard=MOST_ASKED, settled=10)
    newest = 2 * (MOST_ASKED + 5) + 1
    assert desk.questions[0] == f"id-{newest}"
    assert reconcile_due(core=house.core) == Reconciled(asked=6, heard=6, settled=10)
    old = {f"id-{each}" for each in range(1, MOST_ASKED + 6)}
    assert old.isdisjoint(desk.questions)
    assert [reconcile_due(core=house.core).settled for _ in range(3)] == [10, 5, 0]


def test_everything_comes_to_an_end_within_a_day_though_every_callback_is_lost(house: Shop, desk: Desk) -> None:
    send(house, 100)
    for each in range(0, 100, 7):
        desk.says[f"id-{each}"] = "bounced"
    for _ in range(24 * 12):
        house.later(minutes=5)
        reconcile_due(core=house.core)
    ended = [status for status in statuses(house) if status in ("delivered", "bounced")]
    assert len(ended) == 100
    assert len(desk.questions) == 100
    assert house.clock.now() - START == timedelta(days=1)


def test_no_connection_is_held_while_somebody_is_asked(house: Shop, desk: Desk) -> None:
    seen: list[str] = []
    real = desk.ask

    def ask(provider_message_id: str, now: datetime) -> StatusReport | None:
        seen.append(house.one(outbox_messages).status)  # on SQLite a transaction that writes would be in the way
        with house.core.database.write() as tx:
            tx.execute(message_providers.delete())
        return real(provider_message_id, now)

    desk.ask = ask  # type: ignore[method-assign]  # the test's own eyes
    send(house, 1)
    house.clock.advance(ASK_AFTER)
    assert reconcile_due(core=house.core).heard == 1
    assert seen == ["sent"]
