"""Adjusting: worth more or less, on all books; and no way around what somebody may give."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from incentives.books.tables import audit_events, ledger_entries
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AmountAboveProtocol,
    AmountNotAdjustable,
    AmountOutOfRange,
    BudgetExhausted,
    CustomerCapReached,
    InputInvalid,
    NotPermitted,
    OverLimit,
    VoucherExpired,
    VoucherFrozen,
    VoucherNotFound,
    VoucherUsed,
    VoucherVoided,
)
from incentives.kernel.money import Money
from incentives.vouchers.tables import issuances
from tests.flows.aftercare import Care
from tests.flows.shop import LIMITS, Shop, budget, catalog, moved, named
from tests.world import actor

OpenShop = Callable[..., Shop]
SUPERVISOR = {
    "role": "supervisor",
    "currency": "GBP",
    "per_voucher_minor": 4000,
    "per_day_minor": 5000,
    "per_customer_minor": 4500,
}
OTHERS = [each for each in LIMITS if each["role"] != "supervisor"]
POTS = (budget("money", cap_minor=6000), budget("each", "customer", cap_minor=4800), budget("counted", cap_count=9))


@pytest.fixture
def desk(open_shop: OpenShop) -> Care:
    return Care(open_shop(catalog(*POTS, limits=[SUPERVISOR, *OTHERS])))


def another(shop: Shop) -> Actor:
    return actor(shop.core, "supervisor", location="london", email="second@example.com")


def test_more_is_charged_posted_and_told(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(amount_minor=1000, channels=("email",))
    done = desk.adjust(voucher.id, 1700)
    assert (done.amount, done.left) == (Money(1700, "GBP"), Money(1700, "GBP"))
    assert shop.pot("money") == shop.pot("each") == (0, 1700, 0)
    assert shop.pot("counted", "count") == shop.pot("money", "count") == (0, 1, 0)
    assert shop.balances() == {"recovery-expense": 1700, "voucher-liability": -1700}
    assert [row.kind for row in shop.all(ledger_entries)] == ["voucher-issued", "voucher-adjusted"]
    assert shop.one(issuances).amount_minor == 1700
    event = shop.one(audit_events, audit_events.c.action == "voucher.adjusted")
    assert (event.facts["delta_minor"], event.facts["amount_minor"], event.facts["before_minor"]) == (700, 1700, 1000)
    assert sorted(each[0] for each in event.facts["charged"]) == ["all-gbp", "each", "money"]
    shop.deliver()
    assert shop.sender().letters[0].amount == Money(1700, "GBP")
    assert shop.redeem(voucher.code).amount == Money(1700, "GBP")
    assert shop.pot("money") == (0, 0, 1700)
    shop.check()


def test_less_is_free(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(amount_minor=1700)
    desk.adjust(voucher.id, 600)
    assert shop.pot("money") == (0, 600, 0)
    assert shop.balances() == {"recovery-expense": 600, "voucher-liability": -600}
    desk.void(voucher.id)
    assert shop.pots() == {}
    assert set(shop.balances().values()) == {0}
    shop.check()


def test_the_whole_counts_for_the_limit_of_one_voucher(desk: Care) -> None:
    shop, by = desk.shop, desk.shop.supervisor
    voucher = shop.voucher(by, amount_minor=3900)
    refusal = shop.refused(OverLimit, desk.adjust, voucher.id, 4100, by)
    assert refusal.facts["reasons"] == ["over-voucher-limit"]
    desk.adjust(voucher.id, 4000, by)
    shop.refused(OverLimit, desk.adjust, voucher.id, 4001, by)
    shop.refused(OverLimit, desk.adjust, voucher.id, 4001, another(shop))


def test_a_day_s_limit_counts_every_difference(desk: Care) -> None:
    shop, by = desk.shop, desk.shop.supervisor
    first = shop.voucher(by, amount_minor=1000)
    second = shop.voucher(by, amount_minor=2000, customer=named("b@example.com"))
    desk.adjust(first.id, 2000, by)
    desk.adjust(first.id, 3000, by)
    refusal = shop.refused(OverLimit, desk.adjust, second.id, 2100, by)
    assert refusal.facts["reasons"] == ["over-daily-limit"]
    desk.adjust(first.id, 2000, by)
    desk.adjust(second.id, 3000, by)
    shop.refused(OverLimit, desk.adjust, first.id, 2001, by)
    shop.check()


def test_another_day_s_difference_counts_on_that_day(desk: Care) -> None:
    shop, by = desk.shop, desk.shop.supervisor
    voucher = shop.voucher(by, amount_minor=3000)
    shop.clock.advance(timedelta(days=1))
    shop.issue(by, amount_minor=2500, customer=named("b@example.com"))
    desk.adjust(voucher.id, 500, by)
    refusal = shop.refused(OverLimit, desk.adjust, voucher.id, 3001, by)
    assert refusal.facts["reasons"] == ["over-daily-limit"]
    desk.adjust(voucher.id, 3000, by)
    shop.check()


def test_another_person_s_difference_counts_under_their_own_limits(desk: Care) -> None:
    shop, by, other = desk.shop, desk.shop.supervisor, another(desk.shop)
    voucher = shop.voucher(by, amount_minor=2000)
    desk.adjust(voucher.id, 3500, other)
    days = {name[1]: pot[1] for name, pot in shop.pots().items() if name[0] == "role:supervisor:GBP/day"}
    assert days == {by.label: 2000, other.label: 1500}
    desk.extend(voucher.id, 30, other)
    refusal = shop.refused(OverLimit, desk.adjust, voucher.id, 4001, other)
    assert refusal.facts["reasons"] == ["over-voucher-limit"]
    # The limit for a customer is the role's: 4500 in all, whoever of the role gives it.
    small = shop.voucher(other, amount_minor=500)
    refusal = shop.refused(OverLimit, desk.adjust, small.id, 1001, by)
    assert refusal.facts["reasons"] == ["over-customer-limit"]
    desk.void(small.id)
    desk.adjust(voucher.id, 1000, by)  # each keeps of what they hold as much as is still owed
    days = {name[1]: pot[1] for name, pot in shop.pots().items() if name[0] == "role:supervisor:GBP/day"}
    assert days == {by.label: 1000, other.label: 1000}
    shop.redeem(voucher.code)
    assert {pot[:2] for pot in shop.pots().values()} == {(0, 0)}
    shop.check()


def test_budgets_and_customers_caps_hold(desk: Care) -> None:
    shop = desk.shop
    first = shop.voucher(amount_minor=3000)
    other = shop.voucher(amount_minor=2500, customer=named("b@example.com"))
    assert shop.refused(BudgetExhausted, desk.adjust, other.id, 3001).facts["budget"] == "money"
    desk.void(other.id)
    shop.voucher(amount_minor=1000)
    assert shop.refused(CustomerCapReached, desk.adjust, first.id, 3801).facts["budget"] == "each"
    desk.adjust(first.id, 3800)
    shop.check()


def test_who_has_no_limit_at_all_may_not_raise(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(amount_minor=1000)
    admin = actor(shop.core, "admin")
    shop.refused(OverLimit, desk.adjust, voucher.id, 1001, admin)
    desk.adjust(voucher.id, 900, admin)


def test_only_what_could_be_given(desk: Care) -> None:
    shop = desk.shop
    voucher, fixed = shop.voucher(), shop.voucher(incentive="fixed", customer=named())
    dear = shop.voucher(incentive="dear", amount_minor=4000, customer=named())
    shop.refused(AmountOutOfRange, desk.adjust, voucher.id, 499)
    shop.refused(AmountOutOfRange, desk.adjust, voucher.id, 8001)
    shop.refused(AmountNotAdjustable, desk.adjust, fixed.id, 800)
    assert shop.refused(AmountAboveProtocol, desk.adjust, dear.id, 5001).facts["most_minor"] == 5000
    shop.refused(InputInvalid, desk.adjust, voucher.id, 1000)
    shop.refused(InputInvalid, desk.adjust, voucher.id, 1100, reason="")


def test_only_before_anything_was_spent(desk: Care) -> None:
    shop = desk.shop
    spent = shop.redeem(shop.voucher(incentive="credit").code, order_total=Money(700, "GBP"))
    assert spent.remainder
    shop.refused(VoucherUsed, desk.adjust, spent.remainder.id, 1000)
    voided, frozen, late = (shop.voucher(amount_minor=500, customer=named()) for _ in range(3))
    desk.void(voided.id)
    desk.freeze(frozen.id)
    shop.refused(VoucherVoided, desk.adjust, voided.id, 900)
    shop.refused(VoucherFrozen, desk.adjust, frozen.id, 900)
    shop.later(days=31)
    shop.refused(VoucherExpired, desk.adjust, late.id, 900)


def test_who_may_not(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(location="london")
    shop.refused(NotPermitted, desk.adjust, voucher.id, 1100, shop.agent)
    shop.refused(NotPermitted, desk.adjust, voucher.id, 1100, actor(shop.core, "integrator"))
    shop.refused(VoucherNotFound, desk.adjust, voucher.id, 1100, moved(shop.supervisor, location="leeds"))
    first = desk.adjust(voucher.id, 1100, idempotency_key="k")
    before = shop.everything()
    assert desk.adjust(voucher.id, 1100, idempotency_key="k").amount == first.amount
    assert shop.everything() == before


def test_it_expires_at_what_it_is_worth_then(desk: Care) -> None:
    shop = desk.shop
    desk.adjust(shop.voucher(amount_minor=1000).id, 2500)
    shop.later(days=31)
    shop.expire()
    assert shop.pots() == {}
    assert shop.balances() == {"recovery-expense": 2500, "voucher-liability": 0, "breakage": -2500}
    shop.check()
