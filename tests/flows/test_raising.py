"""Raising what was promised: which budgets take the difference, and under whose terms."""

from collections.abc import Callable

import pytest

from incentives.flows.carry_over import carry_over_due
from incentives.kernel.errors import BudgetExhausted, CustomerCapReached, Refusal
from incentives.spending.tables import budget_periods
from tests.flows.aftercare import Care
from tests.flows.shop import Shop, budget, catalog, named
from tests.flows.till_shop import reverse
from tests.world import publish_catalog

OpenShop = Callable[..., Shop]
CARRIES = {"rollover": "carry_over"}


def _of_people(shop: Shop) -> dict[str, tuple[int, int, int]]:
    """Return what is held, committed and spent of each person's own budget."""
    return {name[1]: pot for name, pot in shop.pots().items() if name[0] == "mine"}


def _carry(shop: Shop) -> None:
    while carry_over_due(core=shop.core):
        pass


def _months(shop: Shop) -> dict[str, tuple[int | None, int, int]]:
    """Return the cap, what was allotted and what is promised of a budget, by month."""
    rows = shop.all(budget_periods, budget_periods.c.budget == "small")
    return {row.period_key: (row.cap_minor, row.allotted_minor, row.committed_minor) for row in rows}


def test_a_month_that_is_over_keeps_its_cap_and_leaves_nothing_that_nobody_allotted(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5000, **CARRIES)))
    desk = Care(shop)
    _carry(shop)
    raised, lowered = shop.voucher(amount_minor=1000), shop.voucher(amount_minor=1000, customer=named("b@example.com"))
    (month,) = _months(shop)
    shop.later(days=15)
    _carry(shop)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=50_000, **CARRIES)))
    _carry(shop)
    desk.adjust(lowered.id, 900)  # so that there is room in the month of the promise
    desk.adjust(raised.id, 1100)
    _carry(shop)
    months = _months(shop)
    assert months.pop(month) == (5000, -3000, 2000)
    assert list(months.values()) == [(50_000, 3000, 0)]
    shop.check()


@pytest.mark.parametrize(("scope", "refusal"), [("organization", BudgetExhausted), ("customer", CustomerCapReached)])
@pytest.mark.parametrize("then", ["raised", "gone"])
def test_a_month_that_is_over_holds_no_more_than_it_did(
    open_shop: OpenShop, scope: str, refusal: type[Refusal], then: str
) -> None:
    shop = open_shop(catalog(budget("small", scope, cap_minor=1000)))
    voucher = shop.voucher(amount_minor=1000)
    shop.later(days=15)
    pots = (budget("small", scope, cap_minor=50_000),) if then == "raised" else ()
    publish_catalog(shop.core, catalog(*pots))
    # Of what the catalog has no more nobody knows whose it was.
    found = shop.refused(refusal if pots else BudgetExhausted, Care(shop).adjust, voucher.id, 1001)
    assert found.facts == {"budget": "small", "scope": scope if pots else "organization"}


def test_only_what_holds_the_promise_now_takes_the_difference(open_shop: OpenShop) -> None:
    dear = budget("p-dear", "incentive", of="dear", cap_minor=4000)
    shop = open_shop(catalog(dear, budget("p-voucher", "incentive", of="voucher", cap_minor=9000)))
    asked = shop.ask(incentive="dear", amount_minor=4000)
    issued = shop.decide(asked.approval_id, incentive="voucher", amount_minor=1000).issued
    assert issued is not None
    assert issued.voucher is not None
    shop.voucher(incentive="dear", amount_minor=4000, customer=named("t@example.com"))
    Care(shop).adjust(issued.voucher.id, 1500)
    assert (shop.pot("p-dear"), shop.pot("p-voucher")) == ((0, 4000, 0), (0, 1500, 0))
    shop.check()


def test_who_raises_has_their_own_budget_charged_too(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("mine", "agent", cap_minor=1000)))
    desk = Care(shop)
    shop.voucher(amount_minor=800)
    theirs = shop.voucher(shop.agent, amount_minor=500, customer=named("j@example.com"))
    refusal = shop.refused(BudgetExhausted, desk.adjust, theirs.id, 750)
    assert refusal.facts == {"budget": "mine", "scope": "agent"}
    desk.adjust(theirs.id, 700)
    assert _of_people(shop) == {shop.manager.label: (0, 1000, 0), shop.agent.label: (0, 700, 0)}
    desk.void(theirs.id)
    assert shop.pot("mine") == (0, 800, 0)
    shop.check()


def test_of_what_is_spent_whoever_raised_it_has_spent_what_they_added(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("mine", "agent", cap_minor=1000)))
    voucher = shop.voucher(shop.agent, amount_minor=500, customer=named("j@example.com"))
    Care(shop).adjust(voucher.id, 700)
    shop.redeem(voucher.code)
    assert _of_people(shop) == {shop.manager.label: (0, 0, 200), shop.agent.label: (0, 0, 700)}
    shop.check()


@pytest.mark.parametrize("restore", ["same_code", "new_code", "none"])
def test_and_has_promised_no_more_than_that_once_it_is_undone(open_shop: OpenShop, restore: str) -> None:
    shop = open_shop(catalog(budget("mine", "agent", cap_minor=1000)))
    voucher = shop.voucher(shop.agent, amount_minor=500, customer=named("j@example.com"))
    Care(shop).adjust(voucher.id, 700)
    reverse(shop, shop.redeem(voucher.code).id, restore)
    again = {shop.manager.label: (0, 200, 0), shop.agent.label: (0, 700, 0)}
    assert _of_people(shop) == ({} if restore == "none" else again)
    shop.check()


@pytest.mark.parametrize("days", [0, 1])
def test_a_person_s_own_budget_is_charged_once_in_each_period(open_shop: OpenShop, days: int) -> None:
    shop = open_shop(catalog(budget("mine", "agent", period="day", cap_minor=1000)))
    voucher = shop.voucher(amount_minor=500)
    shop.later(days=days)
    Care(shop).adjust(voucher.id, 900)
    rows = shop.all(budget_periods, budget_periods.c.budget == "mine")
    assert sorted(row.committed_minor for row in rows) == ([900] if days == 0 else [400, 900])
    shop.redeem(voucher.code)
    assert shop.pot("mine")[1] == 0
    shop.check()
