"""Two providers a channel: the second carries while the first is ill, and nothing is sent twice for it."""

from datetime import timedelta
from itertools import pairwise

import pytest

from incentives.deeds import carrying
from incentives.messages import providers
from incentives.messages.port import (
    OURS,
    PACE,
    Accepted,
    Outcome,
    TryLater,
    WillNeverWork,
)
from incentives.messages.providers import ILL_FROM, LONGEST_REST, REST, STEADY
from incentives.messages.tables import message_providers, outbox_messages
from incentives.queries.health import DEGRADED, OK, readiness
from tests.flows.shop import PHONE, Shop, named
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


# --- who carries -------------------------------------------------------------------------------------------------


def test_the_second_is_not_asked_while_the_first_works(house: Shop, first: Provider, second: Provider) -> None:
    give(house, 3)
    assert house.deliver() == ["sent"] * 3
    assert (len(first.letters), len(second.letters)) == (3, 0)
    assert house.all(message_providers) == []
    assert {row.provider for row in house.all(outbox_messages)} == {"first"}


def test_what_fails_now_and_then_goes_on(house: Shop, first: Provider, second: Provider) -> None:
    for _ in range(30):
        first.outcomes = [ILL, Accepted(None), Accepted(None)]
        give(house, 3)
        house.deliver()
    assert second.letters == []
    assert changes(house) == []
    assert state(house, "first").score <= 1


def test_who_is_ill_is_relieved(house: Shop, first: Provider, second: Provider) -> None:
    fall_ill(house, first)
    give(house, 5)
    assert house.deliver() == ["sent"] * 5
    assert (len(first.letters), len(second.letters)) == (0, 5)
    house.later(seconds=10)
    assert house.deliver() == ["sent"] * ILL_FROM  # those that had failed
    at_rest(house)
    assert changes(house) == [("resting", START)]
    house.check()


def test_one_message_finds_out_whether_it_works_again(house: Shop, first: Provider, second: Provider) -> None:
    fall_ill(house, first)
    house.clock.advance(REST)
    first.usual = Accepted(None)
    give(house, 1)
    house.deliver()
    assert len(first.letters) >= 1
    assert [each for each, _ in changes(house)] == ["resting", "working"]
    before = len(second.letters)
    give(house, 3)
    house.deliver()
    assert len(second.letters) == before
    at_rest(house)


def test_a_probe_that_fails_lets_it_rest_for_longer(house: Shop, first: Provider, second: Provider) -> None:
    fall_ill(house, first)
    rests, began = [], house.clock.now()
    while house.clock.now() < START + timedelta(hours=1):
        house.later(seconds=60)
        give(house, 1)
        house.deliver()
        if first.letters:
            assert len(first.letters) == 1, "one message only is the probe"
            rests.append(house.clock.now() - began)
            began = house.clock.now()
            first.letters.clear()
    assert rests[:4] == [REST, REST * 2, REST * 4, REST * 8]
    assert max(rests) == LONGEST_REST
    assert [each for each, _ in changes(house)] == ["resting"]


def test_nobody_swings_with_every_gust(house: Shop, first: Provider) -> None:
    fall_ill(house, first)
    house.clock.advance(REST)
    first.usual = Accepted(None)
    give(house, 1)
    house.deliver()
    assert state(house, "first").status == "working"
    first.usual = ILL
    give(house, 2 * ILL_FROM)
    house.deliver()
    assert state(house, "first").status == "working", "it has only just begun to work"
    house.clock.advance(STEADY)
    give(house, 1)
    house.deliver()
    at = [instant for _, instant in changes(house)]
    assert [name for name, _ in changes(house)] == ["resting", "working", "resting"]
    assert all(later - earlier >= STEADY for earlier, later in pairwise(at))


def test_where_both_are_ill_messages_wait_and_burn_no_tries(house: Shop, first: Provider, second: Provider) -> None:
    fall_ill(house, first)
    second.usual = ILL
    give(house, ILL_FROM)
    house.deliver()
    assert state(house, "second").status == "resting"
    give(house, 20)
    assert house.deliver() == []
    first.usual = Accepted(None)
    house.clock.advance(REST)
    house.deliver()
    house.later(minutes=20)
    house.deliver()
    at_rest(house)


def test_a_lone_provider_is_asked_however_it_does(shop: Shop, first: Provider) -> None:
    house = with_senders(shop, first)
    fall_ill(house, first)
    give(house, 3)
    assert house.deliver() == ["queued"] * 3
    assert len(first.letters) == 3
    first.usual = Accepted(None)
    house.later(minutes=2)
    house.deliver()
    at_rest(house)
    assert [each for each, _ in changes(house)] == ["resting", "working"]


def test_one_process_of_many_probes(house: Shop, first: Provider, second: Provider) -> None:
    fall_ill(house, first)
    house.clock.advance(REST)
    give(house, 2)
    with house.core.database.write() as tx:
        route = carrying.routes(tx, house.core, ("email",), house.clock.now())
        other = carrying.routes(tx, house.core, ("email",), house.clock.now())
        now = house.clock.now() + REST
        taken = [providers.take_probe(tx, "first", now) for _ in range(2)]
    assert (route.carriers, other.carriers) == ({"email": "first"}, {"email": "second"})
    assert taken == [True, False], "whoever looked at the same moment comes second"


def test_a_probe_that_nobody_needs_is_given_back(house: Shop, first: Provider, second: Provider) -> None:
    fall_ill(house, first)
    house.later(seconds=10)
    house.deliver()
    house.clock.advance(REST)
    assert house.deliver() == []  # nothing is due
    give(house, 1)
    house.deliver()
    assert len(first.letters) == 1


@pytest.mark.parametrize("outcome", [WillNeverWork("No such mailbox."), TryLater("A bug.", None, OURS)])
def test_what_says_nothing_of_the_provider_counts_for_nothing(house: Shop, first: Provider, outcome: Outcome) -> None:
    first.usual = outcome
    give(house, 2 * ILL_FROM)
    house.deliver()
    assert house.all(message_providers) == []


# --- what it asks for --------------------------------------------------------------------------------------------


def test_who_wants_us_slower_is_not_asked_meanwhile(house: Shop, first: Provider, second: Provider) -> None:
    first.outcomes = [TryLater("Slow down.", 20.0, PACE)]
    give(house, 5)
    house.issue(customer=named(phone=PHONE), channels=("sms",))
    assert sorted(house.deliver()) == ["queued", "sent"]  # the SMS is somebody else's
    assert (len(first.letters), len(second.letters)) == (1, 0)
    house.later(seconds=19.999)
    assert house.deliver() == []
    house.later(seconds=0.001)
    assert house.deliver() == ["sent"] * 5
    assert second.letters == []


def test_a_whole_channel_does_not_wait_for_as_long_as_one_message_may(house: Shop, first: Provider) -> None:
    first.outcomes = [TryLater("Come back tomorrow.", 86_400.0, PACE)]
    give(house, 2)
    house.deliver()
    house.later(minutes=1)
    assert house.deliver() == ["sent"]


def test_wrong_settings_open_the_circuit_at_once_and_tell_administrators(
    house: Shop, first: Provider, second: Provider
) -> None:
    person(house.core, "admin", email="ada@example.com")
    first.usual = WRONG
    give(house, 3)
    house.deliver()
    assert len(first.letters) == 1, "one call"
    (notice,) = notices(second)
    assert (notice.to, notice.provider, notice.carries, notice.reason) == (
        "ada@example.com", "first", "email", WRONG.reason,
    )  # fmt: skip
    house.later(seconds=10)
    house.deliver()
    at_rest(house)
    assert len(first.letters) == 1
    house.later(minutes=1)
    give(house, 1)
    house.deliver()
    assert len(first.letters) == 2, "a probe"
    assert len(notices(second)) == 1, "told once"


def test_a_lone_provider_with_wrong_settings_is_asked_by_one_message_only(shop: Shop, first: Provider) -> None:
    house = with_senders(shop, first)
    person(house.core, "admin", email="ada@example.com")
    first.usual = WRONG
    give(house, 20)
    for _ in range(60):
        house.deliver()
        house.later(minutes=1)
    assert 10 <= len(first.letters) <= 15, "one in five minutes"
    first.usual = Accepted(None)
    house.later(minutes=5)
    house.deliver()
    house.later(hours=1)
    house.deliver()
    rows = house.all(outbox_messages, outbox_messages.c.about.is_(None))
    assert {row.status for row in rows} == {"sent"}
    (notice,) = house.all(outbox_messages, outbox_messages.c.about == "provider")
    assert notice.status in ("withdrawn", "sent"), "it is mended: nobody needs to hear it"
    assert notices(first) == []


def test_the_health_check_names_who_does_not_work(house: Shop, first: Provider) -> None:
    def part() -> tuple[str, str]:
        (found,) = [each for each in readiness(core=house.core) if each.name == "providers"]
        return found.status, found.detail

    assert part()[0] == OK
    fall_ill(house, first)
    assert part() == (DEGRADED, "first did not work when last asked")
