"""A new address for what was given already is asked what giving to it would be: nobody gives to a stranger first."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.listing import ListValue, add_listed
from incentives.kernel.actors import Actor
from incentives.kernel.errors import BlockedBySafeguards, CustomerCapReached, VoucherFrozen, VoucherReplaced
from incentives.messages.tables import outbox_messages
from incentives.safeguards.tables import reviews, switches
from incentives.vouchers.tables import vouchers
from tests import dump
from tests.flows.aftercare import Care
from tests.flows.guarded import decide, suspicious
from tests.flows.shop import EMAIL, PHONE, Shop, budget, catalog, moved, named

NEW = "new@example.com"
LEFT = ("reviews", "audit_events")


def put_on(shop: Shop, name: str, kind: str, value: str) -> None:
    command = ListValue(list=name, kind=kind, value=value, reason="Known to us.")
    add_listed(core=shop.core, actor=shop.manager, command=command)


def given(shop: Shop, **more: Any) -> Any:
    return shop.voucher(channels=("email",), customer=named(EMAIL), **more)


def blocked(shop: Shop, voucher: Any, by: Actor | None = None, email: str = NEW, **more: Any) -> Any:
    """Change an address where that must be refused; nothing is left but a review and its entry. Return the review."""
    before = dump.of(shop.core, without=LEFT)
    with pytest.raises(BlockedBySafeguards) as caught:
        Care(shop).reissue(voucher.id, by, customer=named(email), **more)
    assert caught.value.facts == {}
    assert dump.differences(before, dump.of(shop.core, without=LEFT)) == {}
    assert shop.all(audit_events)[-1].action == "review.opened"
    return shop.all(reviews)[-1]


@pytest.mark.parametrize(("kind", "value"), [("email", NEW), ("email_domain", "example.com"), ("phone", PHONE)])
def test_a_denied_address_is_refused_as_at_issuing(shop: Shop, kind: str, value: str) -> None:
    voucher = given(shop)
    put_on(shop, "deny", kind, value)
    with pytest.raises(BlockedBySafeguards):
        shop.issue(customer=named(NEW, phone=PHONE))
    if kind == "phone":
        with pytest.raises(BlockedBySafeguards):
            Care(shop).reissue(voucher.id, customer=named(phone=PHONE), channels=("sms",))
        row = shop.all(reviews)[-1]
    else:
        row = blocked(shop, voucher, idempotency_key="k")
    assert (row.kind, row.action, row.signals[0]["name"], row.actor) == (
        "issuance", "block", "deny_list", shop.manager.label,
    )  # fmt: skip
    assert NEW not in str(row)
    shop.redeem(voucher.code)


def test_whoever_stands_on_the_deny_list_changes_no_address(shop: Shop) -> None:
    voucher = given(shop)
    clerk = moved(shop.manager, id=shop.core.ids.new(shop.clock.now()))
    put_on(shop, "deny", "actor", clerk.label)
    blocked(shop, voucher, clerk)
    Care(shop).reissue(voucher.id, clerk)  # the same address: it goes to whom it was given


def test_nobody_sends_a_voucher_to_themselves(shop: Shop) -> None:
    """Any spelling of their own address is theirs, and so is every customer whom they are known to be."""
    voucher = given(shop)
    clerk = moved(shop.manager, id=shop.core.ids.new(shop.clock.now()), email="mona@example.com")
    assert blocked(shop, voucher, clerk, "Mona+x@example.com").signals[0]["name"] == "self_dealing"
    shop.issue(customer=named("mona@example.com", phone="+442079460099"))
    shop.issue(customer=named("home@example.com", phone="+442079460099"))
    assert blocked(shop, voucher, clerk, "home@example.com").signals[0]["name"] == "self_dealing"
    assert len(shop.all(reviews)) == 2
    assert blocked(shop, voucher, clerk, "home@example.com").id == shop.all(reviews)[-1].id  # one try is one review
    assert len(shop.all(reviews)) == 2
    Care(shop).reissue(voucher.id, customer=named("home@example.com"))  # somebody else may


def test_what_is_blocked_can_stop_whoever_tries(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(self_dealing={"count": 1, "action": "block", "stop_actor": True}))
    clerk = moved(shop.manager, id=shop.core.ids.new(shop.clock.now()), email="mona@example.com")
    voucher = given(shop)
    with pytest.raises(BlockedBySafeguards):
        Care(shop).reissue(voucher.id, clerk, customer=named("mona@example.com"))
    row = shop.one(switches)
    assert (row.stops, row.subject) == ("issuing", clerk.label)


@pytest.mark.parametrize("decision", ["release", "block"])
def test_an_address_on_the_review_list_waits_frozen(shop: Shop, decision: str) -> None:
    old = given(shop)
    put_on(shop, "review", "email", NEW)
    done = Care(shop).reissue(old.id, customer=named(NEW), idempotency_key="k")
    assert [each.status for each in done.deliveries] == ["held"]
    assert Care(shop).reissue(old.id, customer=named(NEW), idempotency_key="k") == replace(done, replayed=True)
    with pytest.raises(VoucherFrozen):
        shop.redeem(done.voucher.code)
    with pytest.raises(VoucherReplaced):
        shop.redeem(old.code)
    assert shop.deliver() == []
    row = shop.one(reviews)
    assert (row.action, row.issuance_id, row.amount_minor) == ("hold", done.issuance_id, 1000)
    event = shop.one(audit_events, audit_events.c.action == "voucher.reissued")
    assert event.facts["held_for"] == ["review_list"]
    found = decide(shop, decision, shop.supervisor)
    if decision == "release":
        assert (found.unfrozen, found.messages) == (1, 1)
        assert shop.deliver() == ["captured"]
        shop.redeem(done.voucher.code)
    else:
        assert found.voided == 1
        assert shop.pots() == {}
    shop.check()


def test_who_is_trusted_is_asked_nothing(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(same_customer_by_person={"count": 1, "action": "block"}))
    voucher = given(shop)
    shop.issue(customer=named(NEW))
    put_on(shop, "allow", "email", NEW)
    Care(shop).reissue(voucher.id, customer=named(NEW))
    assert shop.all(reviews) == []


@pytest.mark.parametrize(("action", "held"), [("block", False), ("hold", True), ("step_up", True), ("allow", False)])
def test_the_same_people_again_and_again(open_shop: Callable[..., Shop], action: str, *, held: bool) -> None:
    """What one person gave to a customer, by whichever address, counts where an address becomes theirs too."""
    shop = open_shop(suspicious(same_customer_by_person={"count": 1, "action": action}))
    voucher = given(shop)
    shop.issue(customer=named("other@example.com", phone=PHONE))
    shop.issue(shop.supervisor, customer=named(NEW, phone=PHONE))  # the same customer, by their number
    if action == "block":
        row = blocked(shop, voucher)
        assert (row.signals[0]["name"], row.signals[0]["count"]) == ("same_customer_by_person", 2)
        return
    Care(shop).reissue(voucher.id, customer=named(NEW))
    newest = shop.all(vouchers)[-1]
    assert (newest.frozen_at is not None, len(shop.all(outbox_messages))) == (held, 2)
    assert bool(shop.all(reviews)) is held


def test_their_caps_count_over_all_that_they_are(open_shop: Callable[..., Shop]) -> None:
    """The new address is linked to another by a number: the cap that was used up there is theirs."""
    shop = open_shop(catalog(budget("each", "customer", cap_minor=1500)))
    voucher = given(shop)
    shop.issue(customer=named("other@example.com", phone=PHONE))
    refusal = shop.refused(
        CustomerCapReached, Care(shop).reissue, voucher.id, customer=named(NEW, phone=PHONE), channels=("email",)
    )
    assert refusal.facts["budget"] == "each"
