"""Redeeming on an order: minima, products, places, persons, groups, conditions; several uses; and what is recorded."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.deeds import valuing
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AlreadyRedeemed,
    ConditionNotMet,
    CurrencyMismatch,
    InputInvalid,
    NotCombinable,
    NothingEligible,
    NotUsableHere,
    OrderItemsMissing,
    OrderTooSmall,
    OrderTotalMissing,
    RedeemerNotAllowed,
    SelfRedemption,
)
from incentives.kernel.money import Money
from incentives.queries.redemptions import one_redemption
from incentives.queries.vouchers import customer_voucher, lookup
from incentives.vouchers.tables import redemptions, vouchers
from tests.flows.shop import Shop, moved
from tests.flows.till_shop import hold, item, other_till, pounds, redeem, release, reverse, till_catalog, tried

OpenShop = Callable[..., Shop]


def test_the_order_is_kept_with_the_redemption(shop: Shop) -> None:
    items = (item("tea", 300, quantity=2), item("cake", 700, collection="bakery"))
    done = redeem(
        shop,
        shop.voucher().code,
        order_ref="T-1",
        order_total=pounds(900),
        order_initial_total=pounds(1000),
        items=items,
    )
    assert done.amount == pounds(900)
    row = shop.one(redemptions)
    assert (row.order_total_minor, row.order_initial_minor, row.settled_minor) == (900, 1000, 1000)
    kept = one_redemption(core=shop.core, actor=shop.till, redemption_id=done.id)
    assert (kept.order_total, kept.order_initial_total) == (pounds(900), pounds(1000))
    assert [each["product"] for each in kept.items] == ["tea", "cake"]


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"order_total": pounds(900), "order_initial_total": pounds(899)}, "order_initial_total.amount_minor"),
        ({"items": ()}, "items"),
        ({"items": (item("tea", 1),) * 501}, "items"),
    ],
)
def test_an_order_that_cannot_be(shop: Shop, order: dict[str, Any], field: str) -> None:
    found = tried(shop, InputInvalid, redeem, shop.voucher().code, **order)
    assert found.facts["errors"][0]["field"] == field


def test_the_total_before_discounts_is_in_the_voucher_s_currency_too(shop: Shop) -> None:
    found = tried(shop, CurrencyMismatch, redeem, shop.voucher().code, order_initial_total=Money(9000, "USD"))
    assert found.facts["field"] == "order_initial_total.currency"


# --- what counts -------------------------------------------------------------------------------------------------


def test_a_sale_below_the_minimum_takes_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"min_order_minor": 3000}))
    voucher = shop.voucher()
    assert lookup(core=shop.core, actor=shop.till, code=voucher.code).min_order == pounds(3000)
    found = tried(shop, OrderTooSmall, redeem, voucher.code, order_total=pounds(2999))
    assert found.facts == {"field": "order_total", "min_order_minor": 3000, "counted_minor": 2999}
    # What it was before other discounts does not help.
    tried(shop, OrderTooSmall, redeem, voucher.code, order_total=pounds(2999), order_initial_total=pounds(9000))
    assert tried(shop, OrderTotalMissing, redeem, voucher.code).facts["min_order_minor"] == 3000
    assert redeem(shop, voucher.code, order_total=pounds(3000)).amount == pounds(1000)


ONLY_TEA = {"products": ["tea"], "collections": ["hot-drinks"], "excluded_products": ["gift-card"]}


@pytest.mark.parametrize("incentive", ["voucher", "percent", "meal"])
def test_only_what_is_named_counts(open_shop: OpenShop, incentive: str) -> None:
    shop = open_shop(till_catalog(**{incentive: ONLY_TEA}))
    voucher = shop.voucher(incentive=incentive, location="london")
    looked_up = lookup(core=shop.core, actor=shop.till, code=voucher.code)
    assert (looked_up.needs_items, looked_up.products) == (True, ("tea",))
    tried(shop, OrderItemsMissing, redeem, voucher.code, order_total=pounds(9000))
    others = (item("cake", 9000), item("gift-card", 500, collection="hot-drinks"))
    found = tried(shop, NothingEligible, redeem, voucher.code, items=others)
    assert found.facts["products"] == ["tea"]
    items = (*others, item("tea", 200), item("cocoa", 300, collection="hot-drinks"))
    done = redeem(shop, voucher.code, order_total=pounds(9900), items=items)
    assert done.amount == {"voucher": pounds(500), "percent": pounds(75), "meal": pounds(800)}[incentive]
    shop.check()


def test_what_is_excluded_never_counts(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"excluded_products": ["tobacco"], "min_order_minor": 500}))
    voucher = shop.voucher()
    tried(shop, OrderItemsMissing, redeem, voucher.code, order_total=pounds(9000))
    tried(shop, OrderTooSmall, redeem, voucher.code, items=(item("tobacco", 9000), item("tea", 499)))
    # Discounts of others lower the whole order: no more is taken off than is to be paid.
    done = redeem(shop, voucher.code, order_total=pounds(550), items=(item("tobacco", 900), item("tea", 700)))
    assert done.amount == pounds(550)


def test_without_a_total_the_items_are_it(shop: Shop) -> None:
    voucher = shop.voucher(incentive="percent")
    assert redeem(shop, voucher.code, items=(item("tea", 400), item("cake", 600))).amount == pounds(150)


# --- who and where -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["person", "key"])
def test_who_gives_does_not_redeem(shop: Shop, kind: str) -> None:
    giver = replace(shop.supervisor, kind=kind)
    voucher = shop.voucher(giver)
    tried(shop, SelfRedemption, redeem, voucher.code, giver)
    tried(shop, SelfRedemption, hold, voucher.code, giver)
    looked_up = lookup(core=shop.core, actor=giver, code=voucher.code)
    assert (looked_up.redeemable, looked_up.reason) == (False, "self-redemption")
    redeem(shop, voucher.code, other_till(shop))


def test_only_those_redeem_who_are_named(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"redeemers": ["supervisor", "till@example.com", "Kiosk 7"]}))
    allowed = [
        shop.supervisor,
        moved(shop.till, email="till@example.com"),
        Actor(kind="key", id=shop.core.ids.new(shop.clock.now()), name="Kiosk 7", role="till"),
    ]
    refused = [shop.till, moved(shop.till, name="Kiosk 7"), moved(shop.till, email="other@example.com")]
    for who in refused:
        voucher = shop.voucher()
        tried(shop, RedeemerNotAllowed, redeem, voucher.code, who)
        assert lookup(core=shop.core, actor=who, code=voucher.code).reason == "redeemer-not-allowed"
    for who in allowed:
        redeem(shop, shop.voucher().code, who)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"redeem_locations": ["leeds"]}, "leeds", "london"),
        ({"locations": ["london"], "redeem_locations": ["leeds"]}, "leeds", "london"),
        ({"excluded_locations": ["leeds"]}, "london", "leeds"),
    ],
)
def test_it_is_usable_where_the_incentive_says(open_shop: OpenShop, rule: dict[str, Any], good: str, bad: str) -> None:
    shop = open_shop(till_catalog(voucher=rule))
    voucher = shop.voucher(location="london")
    tried(shop, NotUsableHere, redeem, voucher.code, moved(shop.till, location=bad))
    assert lookup(core=shop.core, actor=moved(shop.till, location=bad), code=voucher.code).reason == "not-usable-here"
    redeem(shop, voucher.code, moved(shop.till, location=good))


def test_one_voucher_of_a_group_for_one_order(open_shop: OpenShop) -> None:
    group = {"exclusive_group": "meals"}
    shop = open_shop(till_catalog(voucher=group, fixed=group))
    first, second, other = (
        shop.voucher(incentive=each, issue_tag="service") for each in ("voucher", "fixed", "credit")
    )
    done = redeem(shop, first.code, order_ref="T-1")
    found = tried(shop, NotCombinable, redeem, second.code, order_ref="T-1")
    assert found.facts == {"field": "order_ref", "exclusive_group": "meals"}
    tried(shop, NotCombinable, hold, second.code, order_ref="T-1")
    redeem(shop, other.code, order_ref="T-1")
    held = hold(shop, second.code, order_ref="T-1", by=moved(shop.till, location="leeds"))  # another till's T-1
    release(shop, held.id, moved(shop.till, location="leeds"))
    reverse(shop, done.id)
    redeem(shop, second.code, order_ref="T-1")
    tried(shop, NotCombinable, redeem, first.code, order_ref="T-1")
    redeem(shop, first.code, order_ref="T-2")


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("deed", [redeem, hold])
def test_two_tills_cannot_both_find_a_group_s_place_in_an_order_free(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch, deed: Callable[..., Any]
) -> None:
    """Whoever looks whether it is free has it locked until the transaction ends."""
    shop = open_shop(till_catalog(voucher={"exclusive_group": "meals"}))
    voucher, real, held = shop.voucher(), valuing.check_alone, []

    def looked_at(tx: Any, *arguments: Any) -> None:
        real(tx, *arguments)
        mine = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
        held.append(tx.exec_driver_sql(mine).scalar_one())

    monkeypatch.setattr(valuing, "check_alone", looked_at)
    deed(shop, voucher.code, order_ref="T-1")
    assert held == [1]


def test_a_condition_that_fails_says_on_what(open_shop: OpenShop) -> None:
    rule = {
        "redeem_when": {"all": [{"fact": "order.total_minor", "at_least": 2000}, {"fact": "location", "is": "leeds"}]},
        "redeem_when_message": {"en": "Only for large orders in Leeds.", "es": "Solo en Leeds."},
    }
    shop = open_shop(till_catalog(voucher=rule))
    voucher = shop.voucher()
    found = tried(shop, ConditionNotMet, redeem, voucher.code, order_total=pounds(1000))
    assert found.detail == "Only for large orders in Leeds."
    assert len(found.facts["failed"]) == 2
    redeem(shop, voucher.code, moved(shop.till, location="leeds"), order_total=pounds(2000))


# --- several uses ------------------------------------------------------------------------------------------------


def three_times(open_shop: OpenShop) -> Shop:
    return open_shop(till_catalog(voucher={"max_redemptions": 3}, percent={"max_redemptions": 3}))


def test_it_is_redeemed_so_often_and_no_more(open_shop: OpenShop) -> None:
    shop = three_times(open_shop)
    voucher = shop.voucher()
    assert shop.pot("all-gbp") == (0, 3000, 0)
    for use in (1, 2, 3):
        looked_up = lookup(core=shop.core, actor=shop.till, code=voucher.code)
        assert (looked_up.uses_left, looked_up.amount, looked_up.redeemable) == (4 - use, pounds(1000), True)
        page = customer_voucher(core=shop.core, token=voucher.token)
        assert page is not None
        assert (page.uses_left, page.max_redemptions, page.amount) == (4 - use, 3, pounds(1000))
        done = redeem(shop, voucher.code, order_total=pounds(900))
        assert (done.amount, done.use_number, done.max_redemptions) == (pounds(900), use, 3)
        assert shop.pot("all-gbp") == (0, 3000 - 1000 * use, 900 * use)
        assert shop.pot("all-gbp", "count") == (0, 0, 1)
        assert shop.balances()["voucher-liability"] == -3000 + 1000 * use
        shop.check()
    assert shop.one(vouchers).status == "redeemed"
    tried(shop, AlreadyRedeemed, redeem, voucher.code)
    assert customer_voucher(core=shop.core, token=voucher.token) is None


def test_a_use_that_is_held_leaves_none_to_others(open_shop: OpenShop) -> None:
    shop = three_times(open_shop)
    voucher = shop.voucher()
    redeem(shop, voucher.code)
    held = hold(shop, voucher.code)
    assert held.amount == pounds(1000)
    release(shop, held.id)
    redeem(shop, voucher.code)
    shop.check()


def test_what_was_used_in_part_lapses_for_the_rest(open_shop: OpenShop) -> None:
    shop = three_times(open_shop)
    voucher = shop.voucher()
    redeem(shop, voucher.code)
    shop.later(days=40)
    assert shop.expire() == (1, 0)
    assert shop.balances() == {
        "recovery-expense": 3000,
        "voucher-liability": 0,
        "redemption-settlement": -1000,
        "breakage": -2000,
    }
    assert shop.pot("all-gbp") == (0, 0, 1000)
    shop.check()


@pytest.mark.parametrize(("restore", "number"), [("same_code", 1), ("new_code", 2), ("none", 2)])
def test_a_use_is_had_again_only_where_the_same_code_has_it_again(
    open_shop: OpenShop, restore: str, number: int
) -> None:
    shop = three_times(open_shop)
    voucher = shop.voucher()
    first = redeem(shop, voucher.code)
    assert first.use_number == 1
    reverse(shop, first.id, restore)
    assert redeem(shop, voucher.code).use_number == number
    shop.check()


def test_any_uses_and_reversals_keep_the_books(open_shop: OpenShop) -> None:
    """Whatever is undone in whatever order: every use is worth the same, and the numbers come round."""
    shop = three_times(open_shop)
    voucher = shop.voucher()
    standing = [redeem(shop, voucher.code) for _ in range(3)]
    for undone, restored in itertools.product((0, 1), ("same_code", "new_code", "none")):
        reverse(shop, standing.pop(undone).id, restored)
        shop.check()
        if restored == "same_code":
            again = redeem(shop, voucher.code)
            assert again.use_number not in {each.use_number for each in standing}
            standing.append(again)
        if len(standing) < 2:
            break
    shop.check()


# --- what can be counted again -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("incentive", "total_minor", "spent", "lapsed", "over", "rest"),
    [
        ("voucher", 700, 700, 300, 0, 0),
        ("credit", 700, 700, 0, 0, 1300),
        ("percent", 1000, 150, 0, 2850, 0),
        ("meal", None, 800, 0, 0, 0),
    ],
)
def test_the_audit_trail_says_what_became_of_every_penny(
    shop: Shop, incentive: str, total_minor: int | None, spent: int, lapsed: int, over: int, rest: int
) -> None:
    voucher = shop.voucher(incentive=incentive, location="london")
    done = redeem(shop, voucher.code, order_total=pounds(total_minor) if total_minor else None)
    facts = shop.one(audit_events, audit_events.c.action == "voucher.redeemed").facts
    assert (facts["spent_minor"], facts["lapsed_minor"], facts["overestimated_minor"]) == (spent, lapsed, over)
    assert (facts["remainder_minor"], facts["use_number"], facts["max_redemptions"]) == (rest, 1, 1)
    assert (facts["voucher_id"], facts["redemption_id"]) == (str(voucher.id), str(done.id))
    assert facts["remainder_id"] == (str(done.remainder.id) if done.remainder else None)
    assert spent + lapsed + over + rest == voucher.amount.amount_minor
    assert shop.one(redemptions).settled_minor == spent + lapsed + over
