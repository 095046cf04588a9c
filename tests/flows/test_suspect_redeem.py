"""Signals of abuse at the till, the alarm about unknown codes, and caps of customers that somebody overrides."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import worker
from channels.rendering import render_email
from incentives.access.tables import users
from incentives.books.tables import audit_events
from incentives.flows.listing import ListValue, add_listed
from incentives.flows.review import DecideReview, decide_review
from incentives.flows.watch_codes import watch_codes
from incentives.kernel.errors import (
    BlockedBySafeguards,
    BudgetExhausted,
    CodeMalformed,
    CustomerCapReached,
    InputInvalid,
    NotPermitted,
    StepUpRequired,
    VoucherFrozen,
    VoucherNotFound,
)
from incentives.messages.port import SafetyLetter
from incentives.messages.tables import outbox_messages
from incentives.safeguards.tables import reviews, switches
from incentives.spending.tables import budget_allocations
from incentives.vouchers.tables import redemption_attempts
from tests import dump
from tests.flows.guarded import decide, suspicious
from tests.flows.shop import EMAIL, Shop, budget, catalog, named
from tests.flows.till_shop import commit, hold, release

TRIED = ("redemption_attempts", "reviews", "audit_events")
UNKNOWN = "0000-0000-0000-0"


def refused(shop: Shop, kind: Any, code: str, **more: Any) -> Any:
    """Redeem what must be refused; nothing is left but the try, a review and its audit entry. Return the review."""
    before = dump.of(shop.core, without=TRIED)
    with pytest.raises(kind) as caught:
        shop.redeem(code, **more)
    assert caught.value.facts == {}
    assert dump.differences(before, dump.of(shop.core, without=TRIED)) == {}
    assert shop.all(redemption_attempts)[-1].outcome == caught.value.slug
    return shop.all(reviews)[-1]


@pytest.mark.parametrize("name", ["redemptions_per_till", "redemptions_per_ip_block"])
def test_a_till_that_redeems_too_much_needs_a_supervisor(open_shop: Callable[..., Shop], name: str) -> None:
    """One is normal; the next is refused to the till and done by whoever leads."""
    shop = open_shop(suspicious(**{name: {"count": 1, "minutes": 10, "action": "step_up"}}))
    till = replace(shop.till, ip="198.51.100.20")
    first, second, third = (shop.voucher() for _ in range(3))
    shop.redeem(first.code, till)
    row = refused(shop, StepUpRequired, second.code, by=till)
    assert (row.kind, row.action, row.signals[0]["name"], row.signals[0]["count"]) == ("redemption", "step_up", name, 2)
    shop.redeem(second.code, replace(shop.supervisor, ip=till.ip))
    shop.later(minutes=11)
    shop.redeem(third.code, till)
    assert {each.ip_block for each in shop.all(redemption_attempts)} == {"198.51.100.0/24"}
    shop.check()


def test_a_till_that_redeems_too_much_can_be_blocked_and_stopped(open_shop: Callable[..., Shop]) -> None:
    """Nothing of why is said at the till; its redeeming is stopped until somebody lifts that."""
    signal = {"count": 1, "action": "block", "stop_actor": True}
    shop = open_shop(suspicious(redemptions_per_till=signal))
    first, second = shop.voucher(), shop.voucher()
    shop.redeem(first.code)
    with pytest.raises(BlockedBySafeguards):
        shop.redeem(second.code)
    row = shop.one(switches)
    assert (row.stops, row.subject) == ("redeeming", shop.till.label)


def test_what_is_held_at_the_till_is_frozen_until_reviewed(open_shop: Callable[..., Shop]) -> None:
    """The voucher is frozen; released, it is good again."""
    shop = open_shop(suspicious(redemptions_per_till={"count": 1, "action": "hold"}))
    first, second = shop.voucher(), shop.voucher()
    shop.redeem(first.code)
    with pytest.raises(BlockedBySafeguards):
        shop.redeem(second.code)
    with pytest.raises(VoucherFrozen):
        shop.redeem(second.code)
    decide(shop, "release", shop.supervisor)
    shop.later(hours=2)
    shop.redeem(second.code)
    shop.check()


def test_what_was_given_from_the_same_network_just_before(open_shop: Callable[..., Shop]) -> None:
    """Where the house says so, giving and redeeming from one network within an hour needs a supervisor."""
    shop = open_shop(suspicious(same_device_issue_and_redeem={"action": "step_up"}))
    till = replace(shop.till, ip="203.0.113.5")
    here, there = shop.voucher(replace(shop.manager, ip="203.0.113.77")), shop.voucher()
    shop.redeem(there.code, till)
    refused(shop, StepUpRequired, here.code, by=till)
    shop.later(minutes=61)
    shop.redeem(here.code, till)


def test_a_denied_till_redeems_nothing(shop: Shop) -> None:
    """A till on the deny list is refused, whatever it scans."""
    command = ListValue(list="deny", kind="actor", value=shop.till.label, reason="Stolen.")
    code = shop.voucher().code
    add_listed(core=shop.core, actor=shop.manager, command=command)
    assert refused(shop, BlockedBySafeguards, code).signals[0]["name"] == "deny_list"


# --- holds ------------------------------------------------------------------------------------------------


def test_what_is_held_is_counted_when_it_is_committed_and_only_then(open_shop: Callable[..., Shop]) -> None:
    """Holding counts nothing, or whoever held much first would pass; of a hold that is refused a review is left."""
    shop = open_shop(suspicious(redemptions_per_till={"count": 1, "minutes": 10, "action": "step_up"}))
    held = [hold(shop, shop.voucher().code).id for _ in range(3)]
    commit(shop, held[0])
    before = dump.of(shop.core, without=TRIED)
    with pytest.raises(StepUpRequired):
        commit(shop, held[1])
    assert dump.differences(before, dump.of(shop.core, without=TRIED)) == {}
    assert shop.all(redemption_attempts)[-1].outcome == "step-up-required"
    row = shop.one(reviews)
    assert (row.kind, row.signals[0]["name"], row.signals[0]["count"]) == ("redemption", "redemptions_per_till", 2)
    release(shop, held[2])  # it was held, though the till had redeemed all it may
    shop.later(minutes=11)
    commit(shop, held[1])
    shop.check()


def test_a_hold_that_waits_for_a_review_is_frozen_and_can_be_committed_after(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(redemptions_per_till={"count": 1, "minutes": 5, "action": "hold"}))
    first, second = (hold(shop, shop.voucher().code).id for _ in range(2))
    commit(shop, first)
    with pytest.raises(BlockedBySafeguards):
        commit(shop, second)
    with pytest.raises(VoucherFrozen):
        commit(shop, second)
    assert decide(shop, "release", shop.manager).unfrozen == 1
    shop.later(minutes=6)
    commit(shop, second)
    shop.check()


def test_a_denied_till_holds_and_commits_nothing(shop: Shop) -> None:
    held = hold(shop, shop.voucher().code).id
    free = shop.voucher().code
    command = ListValue(list="deny", kind="actor", value=shop.till.label, reason="Stolen.")
    add_listed(core=shop.core, actor=shop.manager, command=command)
    before = dump.of(shop.core, without=TRIED)
    for deed in (lambda: hold(shop, free), lambda: commit(shop, held)):
        with pytest.raises(BlockedBySafeguards):
            deed()
        assert shop.all(redemption_attempts)[-1].outcome == "blocked-by-safeguards"
    assert len(shop.all(reviews)) == 2
    assert dump.differences(before, dump.of(shop.core, without=TRIED)) == {}


def test_what_was_given_from_the_same_network_is_asked_at_committing(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(same_device_issue_and_redeem={"action": "step_up"}))
    till = replace(shop.till, ip="203.0.113.5")
    held = hold(shop, shop.voucher(replace(shop.manager, ip="203.0.113.77")).code, till).id
    with pytest.raises(StepUpRequired):
        commit(shop, held, till)


# --- unknown codes ----------------------------------------------------------------------------------------


def guess(shop: Shop, times: int, till: Any = None) -> None:
    for _ in range(times):
        with pytest.raises((VoucherNotFound, CodeMalformed)):
            shop.redeem(UNKNOWN, till)


def lead(shop: Shop) -> None:
    row = {
        "id": shop.manager.id, "email": "lead@example.com", "name": "Lead", "role": "manager",
        "password_hash": "-", "created_at": shop.clock.now(),
    }  # fmt: skip
    with shop.core.database.write() as tx:
        tx.execute(users.insert(), row)


def test_a_flood_of_unknown_codes_is_told_once_a_window(open_shop: Callable[..., Shop]) -> None:
    """Over all tills together; whoever leads is told, and again only in another window."""
    shop = open_shop(suspicious(unknown_codes={"count": 3, "minutes": 15, "action": "allow"}))
    lead(shop)
    other = replace(shop.till, id=shop.core.ids.new(shop.clock.now()))
    guess(shop, 2)
    guess(shop, 1, other)
    assert not watch_codes(core=shop.core)
    guess(shop, 1, other)
    worker.sweep(shop.core)
    row = shop.one(reviews)
    assert (row.kind, row.status, row.signals[0]["count"], row.signals[0]["tries"]) == ("unknown_codes", "open", 4, 4)
    (letter,) = shop.all(outbox_messages)
    assert (letter.user_id, letter.about, letter.about_id) == (shop.manager.id, "unknown_codes", row.id)
    assert shop.deliver() == ["captured"]
    letters: list[Any] = list(shop.sender("email").letters)
    (sent,) = letters
    assert isinstance(sent, SafetyLetter)
    assert (sent.to, sent.unknown, sent.tries) == ("lead@example.com", 4, 4)
    email = render_email(sent)
    assert "4 unknown codes of 4 tries within 15 minutes" in email.text
    assert "4 unknown codes of 4 tries within 15 minutes" in email.html
    guess(shop, 1)
    assert not watch_codes(core=shop.core)
    decide_review(
        core=shop.core, actor=shop.manager, command=DecideReview(review_id=row.id, decision="note", note="A scan.")
    )
    assert not watch_codes(core=shop.core)
    shop.later(minutes=16)
    guess(shop, 4)
    assert watch_codes(core=shop.core)
    assert len(shop.all(reviews)) == 2


def test_a_review_that_nobody_looks_at_does_not_hide_the_next_flood(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(unknown_codes={"count": 3, "minutes": 15, "action": "allow"}))
    for _ in range(2):
        guess(shop, 4)
        assert watch_codes(core=shop.core)
        assert not watch_codes(core=shop.core)
        shop.later(minutes=16)
    assert [each.status for each in shop.all(reviews)] == ["open", "open"]


def test_a_busy_day_with_typing_mistakes_is_no_flood(open_shop: Callable[..., Shop]) -> None:
    """Unknown codes alarm only where they are a fifth of all tries or more."""
    shop = open_shop(suspicious(unknown_codes={"count": 1, "minutes": 15, "action": "allow"}))
    for _ in range(9):
        shop.redeem(shop.voucher().code)
    guess(shop, 2)
    assert not watch_codes(core=shop.core)
    guess(shop, 1)
    assert watch_codes(core=shop.core)


# --- caps of customers ------------------------------------------------------------------------------------

CAP = budget("each", "customer", cap_minor=1500, cap_count=2)


@pytest.fixture
def capped(open_shop: Callable[..., Shop]) -> Shop:
    """A shop whose customers get fifteen pounds a month at most."""
    return open_shop(catalog(CAP, budget("tight", cap_minor=4000)))


def test_says_by_what_the_customer_was_recognized(capped: Shop) -> None:
    """Whoever seems a stranger is told to be none, and how."""
    capped.issue(customer=named(EMAIL, phone="+442079460018"))
    refusal = capped.refused(
        CustomerCapReached, capped.issue, customer=named("new@example.com", phone="+44 20 7946 0018")
    )
    assert (refusal.facts["matched_by"], refusal.facts["linked_customers"]) == (["phone"], 1)


def test_whoever_leads_overrides_with_a_reason(capped: Shop) -> None:
    """The customer's pot is allotted just what it lacks, and the trail says why and how much."""
    capped.issue()
    capped.refused(CustomerCapReached, capped.issue)
    given = capped.issue(capped.supervisor, amount_minor=1000, override_reason="Two guests with one address.")
    row = capped.one(budget_allocations)
    assert (row.kind, row.amount_minor, row.amount_count, row.reason) == (
        "override", 500, 0, "Two guests with one address.",
    )  # fmt: skip
    assert (row.source_id, row.actor) == (given.id, capped.supervisor.label)
    (event,) = [each for each in capped.all(audit_events) if each.facts.get("allocations")]
    assert event.action == "voucher.issued"
    assert event.facts["allocations"][0]["amount_minor"] == 500
    capped.refused(CustomerCapReached, capped.issue)
    capped.check()


def test_an_override_that_is_not_needed_takes_nothing(capped: Shop) -> None:
    """Where the cap has room nothing is allotted."""
    capped.issue(override_reason="To be sure.")
    assert capped.all(budget_allocations) == []


def test_only_whoever_may_and_only_with_a_reason(capped: Shop) -> None:
    """Frontline staff do not override, and nobody without saying why."""
    capped.issue()
    capped.refused(NotPermitted, capped.issue, capped.agent, amount_minor=1000, override_reason="Please.")
    capped.refused(InputInvalid, capped.issue, override_reason=" ")


def test_the_organization_is_never_overridden(capped: Shop) -> None:
    """A budget of the organization says no, whatever the reason."""
    for _ in range(4):
        capped.issue(override_reason="Again.")
    refusal = capped.refused(BudgetExhausted, capped.issue, override_reason="Once more.")
    assert refusal.facts["budget"] == "tight"
