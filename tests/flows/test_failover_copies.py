"""What one provider may have taken is not given to the other: nothing is sent twice for it."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from incentives.flows.deliver import UNSURE_SECONDS, deliver_next
from incentives.flows.hear import hear_reports
from incentives.messages import providers
from incentives.messages.port import (
    Letter,
    Outcome,
    StatusReport,
)
from incentives.messages.providers import HOLD
from incentives.messages.tables import outbox_messages
from tests.flows.shop import Shop
from tests.flows.two_providers import (
    BROKE,
    Asked,
    Provider,
    fall_ill,
    give,
    with_senders,
)
from tests.world import START


@pytest.fixture
def first() -> Provider:
    return Provider("first")


@pytest.fixture
def second() -> Provider:
    return Provider("second")


@pytest.fixture
def house(shop: Shop, first: Provider, second: Provider) -> Shop:
    """The shop with two providers of emails and one of SMS."""
    return with_senders(shop, first, second)


def ill_after(house: Shop, first: Provider, outcome: Outcome) -> Letter:
    """Give one message an outcome at the first provider, which then falls ill; return what it was asked to send."""
    first.outcomes = [outcome]
    give(house, 1)
    house.deliver()
    (letter,) = first.letters
    fall_ill(house, first)
    return letter


def copies(letter: Letter, *senders: Provider) -> int:
    return sum(each.message_id == letter.message_id for sender in senders for each in sender.letters)


def test_what_one_may_have_taken_is_kept_from_the_other(house: Shop, first: Provider, second: Provider) -> None:
    letter = ill_after(house, first, BROKE)
    row = house.one(outbox_messages, outbox_messages.c.id == letter.message_id)
    assert (row.status, row.unsure_of, row.unsure_since_at) == ("queued", "first", START)
    assert row.available_at >= START + timedelta(seconds=UNSURE_SECONDS)
    while house.clock.now() < START + HOLD - timedelta(seconds=60):
        house.later(seconds=60)
        give(house, 1)
        house.deliver()
        assert copies(letter, second) == 0
    house.later(seconds=61)
    house.deliver()
    assert copies(letter, second) == 1, "in the end somebody must send it"


def test_who_can_be_asked_is_asked(shop: Shop, second: Provider) -> None:
    asked = Asked("first")
    house = with_senders(shop, asked, second)
    letter = ill_after(house, asked, BROKE)
    asked.has = ["it-has-it"]
    house.later(seconds=UNSURE_SECONDS + 10)
    house.deliver()
    row = house.one(outbox_messages, outbox_messages.c.id == letter.message_id)
    assert (row.status, row.provider, row.provider_message_id) == ("sent", "first", "it-has-it")
    assert (copies(letter, asked, second), asked.questions) == (0, 1)
    house.check()


def test_what_was_never_taken_goes_by_the_other_at_once(shop: Shop, second: Provider) -> None:
    asked = Asked("first")
    house = with_senders(shop, asked, second)
    letter = ill_after(house, asked, BROKE)
    asked.has = []
    house.later(seconds=UNSURE_SECONDS + 10)
    house.deliver()
    assert (copies(letter, asked), copies(letter, second)) == (0, 1)


def test_the_same_provider_is_asked_before_it_gets_a_second_copy(shop: Shop) -> None:
    asked = Asked("first")
    house = with_senders(shop, asked)
    asked.outcomes = [BROKE]
    give(house, 1)
    house.deliver()
    asked.has = ["it-has-it"]
    house.later(minutes=1)
    assert house.deliver() == ["sent"]
    assert len(asked.letters) == 1


def test_whoever_died_while_sending_leaves_it_open_too(house: Shop, first: Provider, second: Provider) -> None:
    class Death(BaseException):
        """kill -9, as near as a test comes to it."""

    def die(_letter: Any) -> Outcome:
        raise Death

    give(house, 1)
    dying = Provider("first")
    dying.send = die  # type: ignore[method-assign, assignment]
    with pytest.raises(Death):
        deliver_next(core=replace(house.core, senders={"email": dying}))
    (message,) = house.all(outbox_messages)
    fall_ill(house, first)
    house.later(seconds=40)
    house.deliver()
    row = house.one(outbox_messages, outbox_messages.c.id == message.id)
    assert (row.status, row.unsure_of) == ("queued", "first")
    assert message.id not in {each.message_id for each in second.letters}
    house.clock.advance(HOLD)
    house.deliver()
    sent = Counter(each.message_id for each in first.letters + second.letters)
    assert sent[message.id] == 1


def test_a_callback_settles_what_was_open(house: Shop, first: Provider, second: Provider) -> None:
    letter = ill_after(house, first, BROKE)
    said = StatusReport(
        provider="first", channel="email", event_key="1", status="processed", means="sent",
        occurred_at=house.clock.now(), message_id=letter.message_id, provider_message_id="it-has-it",
    )  # fmt: skip
    hear_reports(core=house.core, said=[said])
    house.clock.advance(HOLD * 2)
    house.deliver()
    assert copies(letter, second, first) == 0
    assert house.one(outbox_messages, outbox_messages.c.id == letter.message_id).status == "sent"


# --- its twin: without the hold there is a second copy -----------------------------------------------------------


def test_without_the_hold_it_would_be_sent_twice(
    house: Shop, first: Provider, second: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "HOLD", timedelta(0))
    letter = ill_after(house, first, BROKE)
    house.later(seconds=UNSURE_SECONDS + 10)
    house.deliver()
    assert copies(letter, second) == 1
