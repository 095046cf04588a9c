"""What is given after the gift is asked what the gift was: switches and lists hold for raises and grants too."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from incentives.books.tables import audit_events
from incentives.flows.listing import ListValue, add_listed
from incentives.flows.switch import SetSwitch, lift_switch, set_switch
from incentives.kernel.errors import BlockedBySafeguards, IncentiveNotOfferable, IssuingStopped, VoucherFrozen
from incentives.safeguards.tables import reviews
from incentives.vouchers.tables import vouchers
from tests import dump
from tests.flows.aftercare import Care
from tests.flows.approvals_shop import Board, policed
from tests.flows.guarded import decide, suspicious
from tests.flows.shop import EMAIL, PHONE, Shop, catalog, moved, named
from tests.world import publish_catalog

OpenShop = Callable[..., Shop]
LEFT = ("reviews", "audit_events", "switches")
LINKED = named(EMAIL, phone=PHONE)


def put_on(shop: Shop, name: str, kind: str, value: str) -> None:
    command = ListValue(list=name, kind=kind, value=value, reason="Known to us.")
    add_listed(core=shop.core, actor=shop.manager, command=command)


def blocked(shop: Shop, deed: Any, *arguments: Any, **more: Any) -> Any:
    """Do what rules against abuse must refuse; nothing is left but a review, which is returned."""
    before = dump.of(shop.core, without=LEFT)
    with pytest.raises(BlockedBySafeguards):
        deed(*arguments, **more)
    assert dump.differences(before, dump.of(shop.core, without=LEFT)) == {}
    return shop.all(reviews)[-1]


def stopped(shop: Shop) -> Any:
    command = SetSwitch(stops="issuing", scope="incentive", subject="voucher", reason="Looks wrong.")
    return set_switch(core=shop.core, actor=shop.manager, command=command).id


# --- switches ----------------------------------------------------------------------------------------------------


def test_a_switch_stops_what_gives_more_or_to_others(shop: Shop) -> None:
    voucher = shop.voucher(channels=("email",), amount_minor=1000)
    care, switch_id = Care(shop), stopped(shop)
    shop.refused(IssuingStopped, care.adjust, voucher.id, 2000)
    shop.refused(IssuingStopped, care.reissue, voucher.id, channels=())
    shop.refused(IssuingStopped, care.reissue, voucher.id, customer=named("new@example.com"))
    care.adjust(voucher.id, 800)
    voucher = care.reissue(voucher.id).voucher  # to whom has it anyway
    lift_switch(core=shop.core, actor=shop.manager, switch_id=switch_id, reason="Over.")
    care.adjust(voucher.id, 2000)


# --- lists, by whom customers are known to be --------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "value"), [("email", EMAIL), ("phone", PHONE), ("external_ref", "C-1")])
def test_a_denied_customer_is_denied_under_every_name(shop: Shop, kind: str, value: str) -> None:
    """Neither within their case without a name, nor by the address that nobody listed."""
    case_id = shop.issue(customer=named(EMAIL, phone=PHONE, external_ref="C-1")).case_id
    put_on(shop, "deny", kind, value)
    given = [named(EMAIL), named(phone=PHONE), named(external_ref="C-1")]
    for customer in given:
        assert blocked(shop, shop.issue, customer=customer).signals[0]["name"] == "deny_list"
    blocked(shop, shop.issue, customer=named(), case_id=case_id)
    shop.issue(customer=named("other@example.com"))


def test_what_is_listed_before_a_customer_is_met_finds_them(shop: Shop) -> None:
    put_on(shop, "review", "phone", PHONE)
    shop.issue(customer=LINKED)
    voucher = shop.issue(customer=named(EMAIL)).voucher
    assert voucher is not None
    assert shop.one(vouchers, vouchers.c.id == voucher.id).frozen_at is not None


def test_nobody_raises_for_a_denied_customer(shop: Shop) -> None:
    shop.issue(customer=LINKED)
    voucher = shop.voucher(customer=named(EMAIL), amount_minor=1000)
    put_on(shop, "deny", "phone", PHONE)
    row = blocked(shop, Care(shop).adjust, voucher.id, 2000)
    assert (row.issuance_id, row.amount_minor) == (shop.one(vouchers, vouchers.c.id == voucher.id).issuance_id, 2000)
    Care(shop).adjust(voucher.id, 800)


def test_nobody_raises_what_they_have_themselves(shop: Shop) -> None:
    voucher = shop.voucher(customer=named("mona@example.com"), amount_minor=1000)
    mona = moved(shop.manager, id=shop.core.ids.new(shop.clock.now()), email="Mona+x@example.com")
    assert blocked(shop, Care(shop).adjust, voucher.id, 2000, mona).signals[0]["name"] == "self_dealing"


def test_a_raise_that_somebody_must_look_at_waits_frozen(shop: Shop) -> None:
    voucher = shop.voucher(customer=LINKED, amount_minor=1000)
    put_on(shop, "review", "email", EMAIL)
    cared = Care(shop).adjust(voucher.id, 2000)
    assert (cared.frozen, cared.amount.amount_minor) == (True, 2000)
    assert shop.all(audit_events, audit_events.c.action == "voucher.adjusted")[0].facts["held_for"] == ["review_list"]
    with pytest.raises(VoucherFrozen):
        shop.redeem(voucher.code)
    decide(shop, "release", moved(shop.supervisor, location=None))
    assert shop.redeem(voucher.code).amount.amount_minor == 2000
    shop.check()


# --- granting ----------------------------------------------------------------------------------------------------


def test_what_is_denied_by_now_is_not_granted(shop: Shop) -> None:
    shop.issue(customer=LINKED)
    asked = shop.ask(customer=named(EMAIL), amount_minor=3000)
    put_on(shop, "deny", "phone", PHONE)
    row = blocked(shop, shop.decide, asked.approval_id)
    assert (row.actor, row.issuance_id) == (shop.manager.label, asked.id)
    shop.decide(asked.approval_id, "decline")


def test_nor_what_somebody_asked_for_who_is_denied_by_now(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000)
    put_on(shop, "deny", "actor", shop.agent.label)
    blocked(shop, shop.decide, asked.approval_id)


@pytest.mark.parametrize("gone", [False, True])
def test_what_is_out_of_use_by_now_is_not_granted(shop: Shop, gone: bool) -> None:
    asked = shop.ask(incentive="credit", amount_minor=3000)
    text = orjson.loads(catalog())
    for each in text["incentives"]:
        if each["key"] == "credit":
            each["active"] = False
    if gone:
        text["incentives"] = [each for each in text["incentives"] if each["key"] != "credit"]
        text["protocols"][0]["incentives"].remove("credit")
    publish_catalog(shop.core, orjson.dumps(text).decode())
    found = shop.refused(IncentiveNotOfferable, shop.decide, asked.approval_id)
    assert found.facts["blocked_reasons"] == ["inactive"]
    shop.decide(asked.approval_id, incentive="voucher", amount_minor=3000)


# --- another incentive is agreed to by so many -------------------------------------------------------------------

TWO = [{"key": "two", "name": "Two", "levels": [{"roles": ["manager", "finance"], "needed": 2}]}]


def test_the_last_one_does_not_choose_another_incentive_alone(open_shop: OpenShop) -> None:
    board = Board(open_shop(policed(policies=TWO)))
    asked = board.ask(5000)
    assert board.vote(asked, board.mona).still_needed == 1
    swapped = board.vote(asked, board.fay, incentive="credit", amount_minor=5000, idempotency_key="swap")
    assert (swapped.status, swapped.still_needed) == ("pending", 1)
    again = board.vote(asked, board.fay, incentive="credit", amount_minor=5000, idempotency_key="swap")
    assert (again.replayed, again.status, again.still_needed) == (True, "pending", 1)
    agreed = board.vote(asked, board.max, incentive="credit")  # it is named, and what is on the table
    assert agreed.status == "granted"
    assert agreed.issued is not None
    assert agreed.issued.voucher is not None
    assert board.shop.one(vouchers).amount_minor == 5000
    board.shop.check()


# --- offers ------------------------------------------------------------------------------------------------------


def _offer(shop: Shop, **trouble: Any) -> Any:
    return next(each for each in shop.offer(**trouble).offers if each.incentive == "voucher")


def test_an_offer_says_what_issuing_would(shop: Shop) -> None:
    shop.issue(customer=LINKED)
    put_on(shop, "deny", "phone", PHONE)
    found = _offer(shop, customer=named(EMAIL))
    assert (found.offerable, found.blocked_reasons) == (False, ("blocked-by-safeguards",))
    assert "list" not in found.explanations[0].words
    assert _offer(shop, customer=named("other@example.com")).offerable
    mona = moved(shop.manager, email="mona@example.com")
    own = next(e for e in shop.offer(mona, customer=named("mona+x@example.com")).offers if e.incentive == "voucher")
    assert own.blocked_reasons == ("blocked-by-safeguards",)
    sorry = next(e for e in shop.offer(customer=named(EMAIL)).offers if e.incentive == "sorry")
    assert sorry.offerable  # an apology is for everybody


def test_an_offer_says_that_signals_want_two(open_shop: OpenShop) -> None:
    shop = open_shop(suspicious(just_below_limit={"action": "step_up"}))
    agent = moved(shop.agent, location=None)
    limit: dict[str, Any] = {"issue_tag": "long-wait", "customer": named("a@example.com")}
    shop.issue(agent, **limit, amount_minor=2000)
    offered = next(each for each in shop.offer(agent, **limit).offers if each.incentive == "credit")
    assert offered.approval_reasons == ("abuse:just_below_limit",)
    asked = shop.ask(agent, **limit, incentive="credit")
    assert asked.reasons == offered.approval_reasons
