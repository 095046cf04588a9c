"""What a provider refuses: our settings, told once and soon; or one recipient, who holds up nobody else."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

from incentives.messages.port import EITHER, PACE, SETTINGS, Accepted, Letter, Outcome, TryLater
from incentives.messages.providers import ENOUGH_TRIES, ILL_FROM, LONGEST_TO_MEND, REST, STEADY
from incentives.messages.tables import outbox_messages
from tests.flows.shop import Shop, named
from tests.flows.two_providers import (
    ILL,
    WRONG,
    Provider,
    at_rest,
    changes,
    fall_ill,
    give,
    notices,
    state,
    with_senders,
)
from tests.world import START, person

PERHAPS = TryLater("It does not let us send to this customer, or to anybody.", None, EITHER)
A_DAY = 86_400.0


class Picky(Provider):
    """A provider that takes everything, but for what goes to some."""

    def __init__(self, refused: Collection[str] = ()) -> None:
        super().__init__("first")
        self.refused = set(refused)

    def send(self, letter: Letter) -> Outcome:
        outcome = super().send(letter)
        return PERHAPS if letter.to in self.refused else outcome


@pytest.fixture
def second() -> Provider:
    return Provider("second")


def tell(house: Shop, *names: str) -> None:
    for name in names:
        house.issue(customer=named(name), channels=("email",))


def messages(house: Shop) -> list[Any]:
    return house.all(outbox_messages, outbox_messages.c.about.is_(None))


def hours_pass(house: Shop, hours: float) -> None:
    for _ in range(int(hours * 60)):
        house.clock.advance(timedelta(minutes=1))
        house.deliver()


# --- one recipient -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [True, False])
def test_one_recipient_who_is_refused_holds_up_nobody(shop: Shop, second: Provider, alone: bool) -> None:
    first = Picky({"bad@example.com"})
    house = with_senders(shop, first, None if alone else second)
    person(house.core, "admin", email="ada@example.com")
    tell(house, "bad@example.com")
    for number in range(60):
        house.deliver()
        tell(house, f"good{number}@example.com")
        assert house.deliver()[-1] == "sent"
        house.later(minutes=1)
    assert changes(house) == []
    assert second.letters == []
    refused, *others = messages(house)
    assert {row.status for row in others} == {"sent"}
    assert (refused.status, refused.attempts) == ("failed", ENOUGH_TRIES)
    assert refused.reason == f"{PERHAPS.reason} Messages to others were taken meanwhile."
    house.check()


def test_one_message_that_is_refused_again_and_again_is_one_refusal(shop: Shop) -> None:
    first = Picky({"bad@example.com"})
    house = with_senders(shop, first)
    tell(house, "bad@example.com")
    hours_pass(house, 2)
    (refused,) = messages(house)
    assert (refused.status, refused.attempts > ENOUGH_TRIES) == ("queued", True), "nobody else says whose doing it is"
    assert changes(house) == []


def test_who_was_refused_before_others_were_taken_says_nothing_of_our_settings(shop: Shop) -> None:
    first = Picky({"bad0@example.com", "bad1@example.com"})
    house = with_senders(shop, first)
    tell(house, "bad0@example.com", "good0@example.com", "bad1@example.com", "good1@example.com")
    assert house.deliver() == ["queued", "sent", "queued", "sent"]
    hours_pass(house, 1)
    assert changes(house) == []
    assert sorted(row.status for row in messages(house)) == ["failed", "failed", "sent", "sent"]


# --- everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [True, False])
def test_two_recipients_who_are_refused_in_succession_mean_our_settings(
    shop: Shop, second: Provider, alone: bool
) -> None:
    first = Provider("first")
    first.usual = PERHAPS
    house = with_senders(shop, first, None if alone else second)
    person(house.core, "admin", email="ada@example.com")
    give(house, 20)
    house.deliver()
    assert len(first.letters) == 2, "the second one is enough"
    assert (state(house, "first").status, state(house, "first").to_mend) == ("resting", True)
    if alone:
        hours_pass(house, 1)
        assert 10 <= len(first.letters) <= 20
        first.usual = Accepted(None)
    else:
        hours_pass(house, 0.2)
        assert len(notices(second)) == 1
    hours_pass(house, 1)
    assert {row.status for row in messages(house)} == {"sent"}


def test_a_rest_for_wrong_settings_is_never_longer_than_one_may_have_to_wait_for_their_mending(shop: Shop) -> None:
    first = Provider("first")
    house = with_senders(shop, first)
    for _ in range(6):
        first.usual = WRONG
        give(house, 1)
        house.deliver()
        row = state(house, "first")
        assert row.status == "resting"
        assert row.probe_at - house.clock.now() <= LONGEST_TO_MEND
        first.usual = Accepted(None)
        house.later(minutes=6)
        house.deliver()
        house.clock.advance(STEADY)
    assert state(house, "first").rests > 4, "each is longer than the one before, but for that"


@pytest.mark.parametrize("alone", [True, False])
def test_who_is_ill_and_then_refuses_our_settings_is_told_of(shop: Shop, second: Provider, alone: bool) -> None:
    first = Provider("first")
    house = with_senders(shop, first, None if alone else second)
    person(house.core, "admin", email="ada@example.com")
    fall_ill(house, first)
    assert not state(house, "first").to_mend
    first.usual = WRONG
    hours_pass(house, 1)
    row = state(house, "first")
    assert (row.status, row.to_mend, row.reason) == ("resting", True, WRONG.reason)
    told = house.all(outbox_messages, outbox_messages.c.about == "provider")
    assert len(told) == 1, "once"
    assert len(first.letters) <= 60 / 5 + 2, "one asks in five minutes"
    first.usual = Accepted(None)
    give(house, 1)
    hours_pass(house, 2)
    assert {each.status for each in messages(house)} == {"sent"}
    assert state(house, "first").status == "working"


# --- what it asks for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome", [TryLater("Not available.", A_DAY), TryLater("The day's limit is reached.", A_DAY, SETTINGS)]
)
def test_what_was_tried_first_does_not_wait_for_a_day_where_the_second_works(
    shop: Shop, second: Provider, outcome: TryLater
) -> None:
    first = Provider("first")
    first.usual = outcome
    house = with_senders(shop, first, second)
    give(house, ILL_FROM + 2)
    house.deliver()
    hours_pass(house, 0.2)
    at_rest(house)
    assert len(second.letters) == ILL_FROM + 2


@pytest.mark.parametrize("outcome", [TryLater("Not available.", 3600.0), TryLater("Slow down.", 3600.0, PACE)])
def test_where_nobody_else_works_it_waits_for_as_long_as_it_was_asked(
    shop: Shop, second: Provider, outcome: TryLater
) -> None:
    first = Provider("first")
    house = with_senders(shop, first, second)
    fall_ill(house, first)
    second.usual = ILL
    give(house, ILL_FROM)
    house.deliver()
    assert state(house, "second").status == "resting"
    house.clock.advance(REST)
    first.usual = second.usual = outcome
    house.deliver()
    rows = [row for row in messages(house) if row.reason == outcome.reason]
    assert rows
    assert all(row.available_at >= START + timedelta(hours=1) for row in rows)
