"""Whoever left and asks for messages again is written to again: the later word wins, in whatever order both come."""

import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.hear import START, STOP, OptOut, StatusReport, hear_opt_out, hear_reports
from incentives.flows.suppressions import LiftSuppression, lift_suppression
from incentives.messages import suppression
from incentives.messages.suppression import RESUBSCRIBED
from incentives.messages.tables import suppressions
from tests.flows.shop import EMAIL, PHONE, Shop
from tests.world import START as NOON

GROUP, OTHER = "group 7", "group 8"
OUT, BACK = "unsubscribed", "again"


def said(word: str, minute: int, *, code: str | None = GROUP, to: str = EMAIL, key: str = "") -> StatusReport:
    """Return what somebody said at a minute past noon: ``again``, or a reason why nothing may be sent to them."""
    return StatusReport(
        provider="sendgrid",
        channel="email",
        event_key=key or f"{word}-{minute}-{code}",
        status=word,
        means=None,
        occurred_at=NOON + timedelta(minutes=minute),
        code=code,
        suppresses=None if word == BACK else word,
        wants_again=word == BACK,
        to=to,
    )


def hear(shop: Shop, *reports: StatusReport) -> None:
    for each in reports:
        hear_reports(core=shop.core, said=[each])


def stands(shop: Shop) -> list[str]:
    return [row.reason for row in shop.all(suppressions, suppressions.c.lifted_at.is_(None))]


def is_sent(shop: Shop) -> bool:
    """Return whether a message is sent to the address."""
    (delivery,) = shop.issue(channels=("email",)).deliveries
    return delivery.status == "queued"


# --- the later word ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "written_to"),
    [
        ([(OUT, 1), (BACK, 2)], True),
        ([(OUT, 1), (OUT, 3), (BACK, 2)], False),
        ([(OUT, 1), (BACK, 2), (OUT, 3), (BACK, 4)], True),
        ([(OUT, 1), (BACK, 2), (BACK, 4), (OUT, 5)], False),
        ([(OUT, 2), (BACK, 2)], False),  # at the same second: who wants no more is heard
    ],
)
def test_in_every_order_the_later_word_wins(
    open_shop: Callable[..., Shop], words: list[tuple[str, int]], *, written_to: bool, backend: str
) -> None:
    orders = list(permutations(words))
    for order in orders if backend == "sqlite" else orders[::3]:
        shop = open_shop()
        shop.later(hours=1)
        hear(shop, *(said(word, minute) for word, minute in order))
        assert stands(shop) == ([] if written_to else [OUT]), order
        assert is_sent(shop) is written_to, order


def test_both_in_one_call_are_as_good_as_one_after_the_other(shop: Shop) -> None:
    hear_reports(core=shop.core, said=[said(BACK, 2), said(OUT, 1)])
    assert stands(shop) == []
    hear_reports(core=shop.core, said=[said(OUT, 4), said(BACK, 3)])
    assert stands(shop) == [OUT]


def test_taking_it_back_is_told_to_the_audit_trail_once(shop: Shop) -> None:
    hear(shop, said(OUT, 1), said(BACK, 2), said(BACK, 2), said(OUT, 1))
    events = [row.action for row in shop.all(audit_events) if row.action.startswith("suppression.")]
    assert events == ["suppression.added", "suppression.lifted"]
    row = shop.one(suppressions)
    assert (row.lifted_at, row.lift_reason) == (NOON + timedelta(minutes=2), RESUBSCRIBED)
    assert EMAIL not in str(shop.everything())


def test_any_spelling_of_the_address_takes_it_back(shop: Shop) -> None:
    hear(shop, said(OUT, 1), said(BACK, 2, to=EMAIL.upper()))
    assert stands(shop) == []


def test_a_later_word_that_commits_meanwhile_wins_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hears the earlier one has looked at the list before the later one stands there."""
    real, heard = suppression.lifted_since, list[bool]()

    def lifted_since(*arguments: Any, **more: Any) -> bool:
        found = real(*arguments, **more)
        if not heard:
            heard.append(True)
            thread = threading.Thread(target=hear, args=(shop, said(BACK, 2)))
            thread.start()
            thread.join(0 if shop.core.database.engine.dialect.name == "sqlite" else 10)
        return found

    monkeypatch.setattr(suppression, "lifted_since", lifted_since)
    hear(shop, said(OUT, 1))
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(10)
    assert heard
    assert stands(shop) == []


# --- what it does not take back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["complained", "bounced", "invalid", "blocked"])
def test_nothing_else_is_taken_back_by_it(shop: Shop, reason: str) -> None:
    hear(shop, said(reason, 1, code=None), said(BACK, 2))
    assert stands(shop) == [reason]


@pytest.mark.parametrize("reason", ["complained", "bounced"])
def test_nor_is_what_comes_late_of_another_kind(shop: Shop, reason: str) -> None:
    hear(shop, said(BACK, 2), said(reason, 1, code=None))
    assert stands(shop) == [reason]


@pytest.mark.parametrize("code", [None, OTHER])
def test_what_was_said_of_all_messages_or_of_others_stands(shop: Shop, code: str | None) -> None:
    hear(shop, said(OUT, 1, code=code), said(BACK, 2))
    assert stands(shop) == [OUT]
    assert not is_sent(shop)


def test_whoever_left_two_groups_and_joins_one_is_not_written_to(shop: Shop) -> None:
    hear(shop, said(OUT, 1), said(OUT, 2, code=OTHER), said(BACK, 3))
    assert stands(shop) == [OUT]


def test_what_comes_late_is_held_against_its_own_group_only(shop: Shop) -> None:
    hear(shop, said(BACK, 5), said(OUT, 1, code=OTHER))
    assert stands(shop) == [OUT]


def test_one_that_bounced_and_left_late_is_not_held_to_have_left(shop: Shop) -> None:
    hear(shop, said("bounced", 1, code=None), said(BACK, 3), said(OUT, 2))
    assert stands(shop) == ["bounced"]


def test_a_person_s_lift_holds_as_before(shop: Shop) -> None:
    hear(shop, said(OUT, 1))
    shop.later(minutes=10)
    lifted = LiftSuppression(id=shop.one(suppressions).id, reason="They asked for it on the phone.")
    lift_suppression(core=shop.core, actor=shop.manager, command=lifted)
    hear(shop, said(OUT, 5))
    assert stands(shop) == []
    hear(shop, said(OUT, 11))
    assert stands(shop) == [OUT]


# --- SMS ----------------------------------------------------------------------------------------------------------


def test_the_stop_of_an_sms_is_taken_back_by_start_alone(shop: Shop) -> None:
    def write(word: str, key: str) -> None:
        told = OptOut(provider="twilio", channel="sms", word=word, event_key=key, address=PHONE)
        hear_opt_out(core=shop.core, opt_out=told)

    write(STOP, "SM1")
    hear(shop, said(BACK, 60, code=STOP), said(BACK, 60, code=None, key="other"))
    assert stands(shop) == [OUT]
    write(START, "SM2")
    assert stands(shop) == []
    shop.later(minutes=1)
    write(STOP, "SM3")
    write(START, "SM2")  # the same once more
    assert stands(shop) == [OUT]
