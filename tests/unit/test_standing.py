"""Where a message stands follows from what was reported of it, whatever the order and however often it was said."""

from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from types import SimpleNamespace
from typing import Any

import pytest

from incentives.messages.reports import moves, standing

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def report(means: str, minutes: int = 0, copy: str = "SM1") -> Any:
    return SimpleNamespace(
        provider="twilio",
        provider_message_id=copy,
        means=means,
        occurred_at=START + timedelta(minutes=minutes),
        event_key=f"{copy}:{means}:{minutes}",
        code=None,
    )


def test_all_orders_and_numbers_of_times_end_alike() -> None:
    said = [report("sent"), report("delivered", 1), report("failed", 2), report("delivered", 3), report("opened", 4)]
    orders = 0
    for times in product((1, 2, 3), repeat=2):
        for order in permutations(said):
            heard = [each for number, each in enumerate(order) for _ in range(times[number % 2])]
            found = standing(heard)
            assert (found.status, found.at) == ("delivered", START + timedelta(minutes=4))
            orders += 1
    assert orders == 9 * 120


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (("sent",), "sent"),
        (("delivered", "sent"), "delivered"),
        (("delivered", "bounced"), "bounced"),  # a mailbox that took it and sent it back
        (("bounced", "opened"), "delivered"),
        (("failed", "sent"), "failed"),
        (("suppressed", "sent"), "suppressed"),
    ],
)
def test_one_copy(said: tuple[str, ...], status: str) -> None:
    for order in permutations(said):
        assert standing([report(each) for each in order]).status == status


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (("sent", "bounced"), ("sent", "delivered"), "delivered"),
        (("sent", "delivered"), ("sent", "failed"), "delivered"),
        (("sent", "failed"), ("sent",), "failed"),
        (("sent", "delivered", "bounced"), ("sent", "delivered"), "delivered"),
    ],
)
def test_of_two_copies_the_one_that_arrived_counts(
    first: tuple[str, ...], second: tuple[str, ...], status: str
) -> None:
    said = [report(each, copy="SM1") for each in first] + [report(each, copy="SM2") for each in second]
    for order in permutations(said):
        assert standing(list(order)).status == status


def test_of_two_reports_that_say_the_same_the_first_says_when() -> None:
    said = [report("delivered", 5), report("delivered", 2), report("sent", 1)]
    assert {standing(list(order)).at for order in permutations(said)} == {START + timedelta(minutes=2)}


@pytest.mark.parametrize("now", ["queued", "held", "sending"])
def test_what_nobody_knew_to_be_taken_is_sent_by_a_report(now: str) -> None:
    assert moves(SimpleNamespace(status=now, reason=None), standing([report("sent")]))


@pytest.mark.parametrize("now", ["sent", "delivered", "bounced", "failed", "suppressed", "withdrawn", "captured"])
def test_that_it_is_on_its_way_takes_nothing_back(now: str) -> None:
    assert not moves(SimpleNamespace(status=now, reason=None), standing([report("sent")]))


@pytest.mark.parametrize("now", ["queued", "sending", "sent", "failed", "withdrawn"])
def test_how_it_ended_overrules_what_we_thought(now: str) -> None:
    assert moves(SimpleNamespace(status=now, reason=None), standing([report("delivered")]))
