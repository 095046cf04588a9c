"""What may have been taken is sent three times at the most, and then a person is told to ask whether it arrived."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from channels.twilio_asking import looked_for
from incentives.books.tables import audit_events
from incentives.flows.deliver import GIVE_UP_AFTER, deliver_next
from incentives.flows.freeze import FreezeVoucher, UnfreezeVoucher, freeze_voucher, unfreeze_voucher
from incentives.flows.hear import hear_reports
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.messages import outbox
from incentives.messages.outbox import UNCERTAIN, UNSURE_MOST
from incentives.messages.port import Accepted, Letter, NotWritten, Outcome, StatusReport, TryLater, Unsure
from incentives.messages.tables import delivery_attempts, message_providers, outbox_messages
from incentives.queries import letters
from incentives.queries.health import DEGRADED, OK, readiness
from tests.flows.shop import PHONE, SHOP, Shop, named
from tests.flows.two_providers import BROKE, Asked, Provider, give, with_senders
from tests.world import Recording


class Death(BaseException):
    """kill -9, as near as a test comes to it."""


class Deadly(Provider):
    """Whoever sends by it dies, once the message has gone out."""

    def send(self, letter: Letter) -> Outcome:
        self.letters.append(letter)
        raise Death


def days_pass(house: Shop, days: float, step: timedelta = timedelta(minutes=5)) -> None:
    """Let a worker that is started anew whenever it dies deliver what is due."""
    for _ in range(int(timedelta(days=days) / step)):
        house.clock.advance(step)
        try:
            while deliver_next(core=house.core) is not None:
                pass
        except Death:
            continue


def uncertain(house: Shop) -> Any:
    """Return the only message, of which nobody knows whether it arrived, as people see it."""
    row = house.one(outbox_messages)
    assert (row.status, row.reason, row.unsure_tries >= 1) == ("failed", UNCERTAIN, True)
    event = house.one(audit_events, audit_events.c.action == "message.failed")
    assert event.reason == UNCERTAIN
    house.check()
    return row


# --- who takes it and says nothing --------------------------------------------------------------------------------


def test_who_never_answers_is_sent_three_copies_and_no_more(shop: Shop) -> None:
    first = Provider("first")
    first.usual = BROKE
    house = with_senders(shop, first)
    give(house, 1)
    days_pass(house, 2)
    assert len(first.letters) == UNSURE_MOST == 3
    assert uncertain(house).unsure_of == "first"


def test_two_that_never_answer_are_sent_three_copies_together(shop: Shop) -> None:
    first, second = Provider("first"), Provider("second")
    first.usual = second.usual = BROKE
    house = with_senders(shop, first, second)
    give(house, 12)
    days_pass(house, 2)
    copies = [each.message_id for each in (*first.letters, *second.letters)]
    assert {copies.count(each) for each in copies} == {3}
    assert second.letters
    assert {(row.status, row.reason) for row in house.all(outbox_messages)} == {("failed", UNCERTAIN)}


def test_failures_between_do_not_count(shop: Shop) -> None:
    first = Provider("first")
    first.outcomes = [BROKE, *[TryLater("503", None)] * 5, BROKE, TryLater("503", None), Accepted("in-the-end")]
    house = with_senders(shop, first)
    give(house, 1)
    days_pass(house, 1)
    assert (house.one(outbox_messages).status, len(first.letters)) == ("sent", 9)


def test_what_is_given_up_after_it_may_have_been_taken_says_so(shop: Shop) -> None:
    first = Provider("first")
    first.outcomes, first.usual = [BROKE], TryLater("503", None)
    house = with_senders(shop, first)
    give(house, 1)
    days_pass(house, 2)
    assert uncertain(house).unsure_tries == 1


@pytest.mark.parametrize("means", ["sent", "delivered", "bounced"])
def test_a_callback_still_tells_what_became_of_it(shop: Shop, means: str) -> None:
    first = Provider("first")
    first.usual = BROKE
    house = with_senders(shop, first)
    give(house, 1)
    days_pass(house, 1)
    said = StatusReport(
        provider="first", channel="email", event_key="1", status=means, means=means,
        occurred_at=house.clock.now(), message_id=uncertain(house).id,
    )  # fmt: skip
    hear_reports(core=house.core, said=[said])
    assert house.one(outbox_messages).status == means


class Stumbling(Asked):
    """A sender with a bug, before it asks its provider to take a letter or after that has."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(name)
        self.error = error

    def send(self, letter: Letter) -> Outcome:
        super().send(letter)
        raise self.error


def test_a_bug_after_the_letter_has_gone_out_counts_as_an_answer_that_was_lost(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Stumbling("first", KeyError("a secret"))
    house = with_senders(shop, sender)
    give(house, 1)
    assert house.deliver() == ["queued"]
    row = house.one(outbox_messages)
    assert (row.unsure_of, row.unsure_since_at, row.unsure_tries) == ("first", house.clock.now(), 1)
    assert "KeyError" in row.reason
    assert "a secret" not in row.reason + caplog.text
    assert house.all(message_providers) == [], "it says nothing of the provider"
    days_pass(house, 2)
    assert len(sender.letters) == UNSURE_MOST
    uncertain(house)


def test_a_bug_after_which_the_provider_says_that_it_has_it_is_sent(shop: Shop) -> None:
    sender = Stumbling("first", KeyError("a bug"))
    sender.has = ["taken-all-the-same"]
    house = with_senders(shop, sender)
    give(house, 1)
    house.deliver()
    house.later(minutes=1)
    assert house.deliver() == ["sent"]
    assert (house.one(outbox_messages).provider_message_id, len(sender.letters)) == ("taken-all-the-same", 1)


def test_a_bug_before_anybody_was_asked_is_later(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    error = NotWritten()
    error.__cause__ = KeyError("a secret")
    sender = Stumbling("first", error)
    house = with_senders(shop, sender)
    give(house, 1)
    assert house.deliver() == ["queued"]
    row = house.one(outbox_messages)
    assert (row.unsure_of, row.unsure_tries) == (None, 0)
    assert "KeyError" in row.reason
    assert "a secret" not in row.reason + caplog.text
    days_pass(house, 2)
    assert len(sender.letters) > UNSURE_MOST
    assert house.one(outbox_messages).reason != UNCERTAIN


# --- who can be asked ---------------------------------------------------------------------------------------------


def test_who_says_that_it_has_none_of_them_is_sent_it_again(shop: Shop) -> None:
    asked = Asked("first")
    asked.outcomes, asked.has = [BROKE] * 7, []
    house = with_senders(shop, asked)
    give(house, 1)
    days_pass(house, 1)
    row = house.one(outbox_messages)
    assert (row.status, len(asked.letters), row.unsure_tries) == ("sent" if asked.outcomes == [] else "", 8, 1)


def test_one_that_took_it_is_not_forgotten_for_another_that_may_have(shop: Shop) -> None:
    first, second = Asked("first"), Asked("second")
    first.usual = second.usual = BROKE
    house = with_senders(shop, first, second)
    give(house, 1)
    house.deliver()
    with house.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(unsure_of="second", unsure_tries=2))
    first.has, second.has = ["the-first-has-it"], []
    house.later(minutes=2)
    assert house.deliver() == ["sent"]
    row = house.one(outbox_messages)
    assert (row.provider, row.provider_message_id) == ("first", "the-first-has-it")


def test_a_third_doubt_is_asked_about_before_a_person_is(shop: Shop) -> None:
    asked = Asked("first")
    asked.usual = BROKE
    house = with_senders(shop, asked)
    give(house, 1)
    while len(asked.letters) < UNSURE_MOST:
        house.later(minutes=2)
        house.deliver()
    asked.has = ["the-third"]
    days_pass(house, 0.1)
    assert (house.one(outbox_messages).status, len(asked.letters)) == ("sent", UNSURE_MOST)


class Desk(Asked):
    """Twilio as a copy meets it: what it has taken before says the same."""

    def __init__(self) -> None:
        super().__init__("desk")
        self.channel = "sms"
        self.made: list[Any] = []

    def send(self, letter: Letter) -> Outcome:
        outcome = super().send(letter)
        if isinstance(outcome, Accepted):
            made = {"sid": outcome.provider_message_id, "body": letter.url, "date_created": None}
            self.made.insert(0, type("Made", (), made))
        return outcome

    def look_for(self, letter: Letter, since: Any) -> list[str] | None:
        listed = type("Messages", (), {"list": lambda *_a, **_m: self.made})
        return looked_for(type("Client", (), {"messages": listed()}), letter, "what it says", since)


def test_a_copy_that_staff_asked_for_is_not_found_in_the_first_one(shop: Shop) -> None:
    desk = Desk()
    house = replace(shop, core=replace(shop.core, senders={"email": Recording("email"), "sms": desk}))
    desk.outcomes = [Accepted("SM1"), BROKE, Accepted("SM2")]
    voucher = house.voucher(customer=named(phone=PHONE), channels=("sms",))
    house.deliver()
    house.later(minutes=3)
    again = ResendVoucher(voucher_id=voucher.id, reason="They deleted it")
    resend_voucher(core=house.core, actor=house.manager, command=again)
    assert house.deliver() == ["queued"]
    house.later(minutes=1)
    assert house.deliver() == ["sent"]
    assert [row.provider_message_id for row in house.all(outbox_messages)] == ["SM1", "SM2"]


# --- who dies over it ---------------------------------------------------------------------------------------------


def test_a_message_that_kills_whoever_sends_it_ends_before_a_person(shop: Shop) -> None:
    first = Deadly("first")
    house = with_senders(shop, first)
    give(house, 1)
    days_pass(house, 2)
    assert len(first.letters) == UNSURE_MOST
    uncertain(house)


def test_a_message_that_kills_whoever_writes_it_does_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Provider("first")
    house = with_senders(shop, first)
    give(house, 1)

    def die(*_args: object) -> None:
        raise Death

    monkeypatch.setattr(letters, "compose", die)
    days_pass(house, 1)
    assert first.letters == []
    uncertain(house)


def test_what_cannot_be_recorded_is_not_sent_for_ever(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Provider("first")
    first.usual = Accepted("an-id")
    house = with_senders(shop, first)
    give(house, 1)
    real = outbox_end(monkeypatch)
    days_pass(house, 1)
    assert len(first.letters) == UNSURE_MOST
    monkeypatch.setattr(outbox, "end", real)
    days_pass(house, 0.1)
    uncertain(house)


def outbox_end(patch: pytest.MonkeyPatch) -> Any:
    """Let recording that something was taken fail; return how it is recorded otherwise."""
    real = outbox.end

    def end(tx: Any, **values: Any) -> bool:
        if values.get("provider_message_id"):
            raise Death
        return real(tx, **values)

    patch.setattr(outbox, "end", end)
    return real


def test_the_health_check_counts_what_was_left_in_the_middle(shop: Shop) -> None:
    house = with_senders(shop, Deadly("first"))
    give(house, 1)
    with pytest.raises(Death):
        deliver_next(core=house.core)

    def part() -> str:
        (found,) = [each for each in readiness(core=house.core) if each.name == "outbox"]
        return found.status

    assert part() == OK, "it is being sent"
    house.later(minutes=20)
    assert part() == DEGRADED


# --- how long ------------------------------------------------------------------------------------------------------


def test_asking_and_sending_both_fit_into_a_lease(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(SHOP, INCENTIVES_PROVIDER_TIMEOUT_SECONDS="60")

    class Slow(Asked):
        def look_for(self, _letter: Letter, _since: Any) -> list[str] | None:
            shop.later(seconds=60)
            return None

        def send(self, letter: Letter) -> Outcome:
            outcome = super().send(letter)
            shop.later(seconds=60)
            return outcome if isinstance(outcome, Unsure) or deliver_next(core=house.core) is None else BROKE

    first, second = Slow("first"), Slow("second")
    house = with_senders(shop, first, second)
    first.outcomes = [BROKE]
    give(house, 1)
    assert house.deliver() == ["queued"]
    house.later(minutes=2)
    assert house.deliver() == ["sent"]
    assert len(first.letters + second.letters) == 2


def test_what_was_frozen_for_a_day_has_its_day_afterwards(shop: Shop) -> None:
    voucher = shop.voucher(channels=("email",))
    freeze = FreezeVoucher(voucher_id=voucher.id, reason="We look at it")
    freeze_voucher(core=shop.core, actor=shop.manager, command=freeze)
    assert shop.deliver() == ["held"]
    shop.clock.advance(GIVE_UP_AFTER + timedelta(hours=1))
    thaw = UnfreezeVoucher(voucher_id=voucher.id, reason="All is well")
    unfreeze_voucher(core=shop.core, actor=shop.manager, command=thaw)
    shop.sender().outcomes = [TryLater("503", None)]
    assert shop.deliver() == ["queued"]
    shop.later(minutes=1)
    assert shop.deliver() == ["captured"]
    with shop.core.database.read() as tx:
        asked = tx.execute(sa.select(delivery_attempts.c.provider).order_by(delivery_attempts.c.number)).scalars().all()
    assert asked == ["none", "recording", "recording"]
