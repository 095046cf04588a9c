"""Approval limits: over them somebody is asked and the budget holds it; small vouchers cannot walk around them."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from incentives.books.tables import audit_events
from incentives.deeds.deciding import APPROVAL_LIFETIME
from incentives.kernel.errors import BudgetExhausted, CustomerCapReached
from incentives.spending.tables import approvals, budget_movements
from incentives.vouchers.tables import issuances
from tests.flows.shop import LIMITS, Shop, budget, catalog, moved, named
from tests.world import START, actor

OpenShop = Callable[..., Shop]


def test_over_the_limit_somebody_is_asked_and_the_budget_holds_it(shop: Shop) -> None:
    asked = shop.ask(amount_minor=2001, channels=("email",), note="She missed her wedding.")
    assert asked.status == "pending_approval"
    assert asked.reasons == ("over-voucher-limit",)
    assert asked.expires_at == START + APPROVAL_LIFETIME == START + timedelta(days=3)
    assert shop.count() == {
        "customers": 1,
        "customer_identities": 1,
        "recovery_cases": 1,
        "case_tags": 1,
        "issuances": 1,
        "approvals": 1,
        "budget_periods": 1,
        "budget_movements": 1,
        "audit_events": 3,
    }
    assert shop.pots() == {("all-gbp", "organization"): (2001, 0, 0)}
    assert shop.pot("all-gbp", "count") == (1, 0, 0)
    row = shop.one(approvals)
    assert (row.id, row.issuance_id, row.status) == (asked.approval_id, asked.id, "pending")
    assert (row.requested_amount_minor, row.requested_by, row.requested_at) == (2001, shop.agent.label, START)
    issuance = shop.one(issuances)
    assert (issuance.status, issuance.issued_at, issuance.amount_minor) == ("pending_approval", None, 2001)
    assert shop.one(budget_movements).kind == "hold"
    event = shop.one(audit_events, audit_events.c.action == "approval.requested")
    assert event.reason == "long-wait"  # what staff write about people is not for books that nobody can alter
    assert event.facts["reasons"] == ["over-voucher-limit"]
    assert shop.balances() == {}
    shop.check()


def test_up_to_the_limit_nobody_is_asked(shop: Shop) -> None:
    shop.issue(shop.agent, amount_minor=2000)
    shop.issue(shop.supervisor, amount_minor=4000)
    shop.ask(shop.supervisor, amount_minor=4001)
    shop.issue(shop.manager, amount_minor=5000)


def test_what_is_held_is_gone_for_everybody_else(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=4000)))
    shop.ask(amount_minor=3000)
    shop.refused(BudgetExhausted, shop.issue, amount_minor=1001)
    shop.issue(amount_minor=1000)
    shop.check()


def test_a_budget_refuses_even_what_would_have_to_be_asked_for(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=2500)))
    shop.refused(BudgetExhausted, shop.ask, amount_minor=2501)


def test_twenty_small_vouchers_are_no_way_around_the_daily_limit(shop: Shop) -> None:
    for number in range(10):
        shop.issue(shop.agent, customer=named(f"c{number}@example.com"))
    asked = shop.ask(customer=named("another@example.com"), amount_minor=500)
    assert asked.reasons == ("over-daily-limit",)
    assert shop.pot("role:frontline:GBP/day") == (0, 10000, 0)  # what must be asked for does not use it up
    # Another agent has a limit of their own.
    shop.issue(moved(shop.agent, id=shop.core.ids.new(START)), customer=named("another@example.com"))
    shop.check()


def test_the_daily_limit_counts_too(open_shop: OpenShop) -> None:
    few = {**LIMITS[0], "per_day_count": 2}
    shop = open_shop(catalog(limits=(few, *LIMITS[1:])))
    shop.issue(shop.agent, customer=named(), incentive="gift")
    shop.issue(shop.agent, customer=named(), incentive="gift")
    assert shop.ask(customer=named(), incentive="gift").reasons == ("over-daily-limit",)
    shop.issue(shop.agent, customer=named(), incentive="sorry")  # words are not counted


def test_the_day_ends_where_the_brand_is(open_shop: OpenShop) -> None:
    small = {**LIMITS[0], "per_day_minor": 1000}
    shop = open_shop(catalog(limits=(small, *LIMITS[1:])))
    shop.issue(shop.agent)
    shop.later(hours=11, minutes=59)
    shop.ask()
    shop.later(minutes=1)  # midnight in London
    shop.issue(shop.agent)


def test_small_vouchers_are_no_way_around_the_limit_for_a_customer(shop: Shop) -> None:
    shop.issue(shop.agent, amount_minor=2000)
    # Whoever gives it: the limit of a role is for a customer, not for an agent.
    colleague = moved(shop.agent, id=shop.core.ids.new(START))
    shop.issue(colleague, amount_minor=1500, customer=named("ANALOPEZ+2@example.com"))
    assert shop.ask(amount_minor=501).reasons == ("over-customer-limit",)
    shop.issue(shop.agent, amount_minor=500)  # to the last penny, and it is the third
    assert shop.ask(incentive="gift").reasons == ("over-customer-limit",)
    shop.issue(shop.agent, customer=named("somebody@example.com"))
    shop.later(days=11)  # the first of December
    shop.expire()  # what waited for so long holds nothing any more
    shop.issue(shop.agent)
    shop.check()


def test_every_reason_is_told(shop: Shop) -> None:
    for number in range(4):
        shop.issue(shop.agent, amount_minor=2000, customer=named(f"c{number}@example.com"))
    shop.issue(shop.agent, amount_minor=2000)
    asked = shop.ask(amount_minor=2500)
    assert asked.reasons == ("over-voucher-limit", "over-daily-limit", "over-customer-limit")


def test_a_hard_budget_for_agents_and_customers_refuses(open_shop: OpenShop) -> None:
    shop = open_shop(
        catalog(budget("agent", "agent", period="day", cap_minor=1500), budget("customer", "customer", cap_minor=1500))
    )
    shop.issue(shop.agent)
    assert shop.refused(BudgetExhausted, shop.issue, shop.agent, customer=named()).facts["budget"] == "agent"
    shop.refused(CustomerCapReached, shop.issue)
    # What waits for an approval counts as well: caps count what is promised, not what is given or spent.
    shop.ask(actor(shop.core, "integrator"), incentive="points")
    shop.issue(incentive="points")
    shop.refused(CustomerCapReached, shop.issue, incentive="points")


def test_where_nobody_set_a_limit_everything_of_value_is_asked_for(shop: Shop) -> None:
    integrator = actor(shop.core, "integrator")
    for incentive in ("voucher", "fixed", "percent", "points"):
        assert shop.ask(integrator, incentive=incentive).reasons == ("over-voucher-limit",)
    assert shop.ask(moved(shop.agent, location="new-york"), incentive="dollars").reasons == ("over-voucher-limit",)
    shop.issue(integrator, incentive="sorry")
    shop.issue(integrator, incentive="gift")  # of no value


def test_a_limit_of_nothing_asks_for_everything(open_shop: OpenShop) -> None:
    nothing = {"role": "frontline", "currency": "GBP", "per_voucher_minor": 0}
    shop = open_shop(catalog(limits=(nothing,)))
    assert shop.ask(incentive="points").reasons == ("over-voucher-limit",)


def test_a_person_s_limit_takes_the_place_of_the_role_s(open_shop: OpenShop) -> None:
    ana = {"person": "Ana@Example.com", "currency": "GBP", "per_voucher_minor": 4000, "per_day_minor": 4000}
    shop = open_shop(catalog(limits=(*LIMITS, ana)))
    own = moved(shop.agent, email="ana@example.com")
    shop.issue(own, amount_minor=3000)
    assert shop.ask(own, amount_minor=1001, customer=named()).reasons == ("over-daily-limit",)
    shop.issue(own, amount_minor=1000)  # the role's limit for a customer is not hers
    assert set(shop.pots()) == {("all-gbp", "organization"), ("person:ana@example.com:GBP/day", own.label)}


def test_two_agents_cannot_share_a_day_by_sharing_a_name(shop: Shop) -> None:
    twin = moved(shop.agent, id=shop.core.ids.new(START))
    shop.issue(shop.agent)
    shop.issue(twin, customer=named())
    assert shop.pots()["role:frontline:GBP/day", shop.agent.label] == (0, 1000, 0)
    assert shop.pots()["role:frontline:GBP/day", twin.label] == (0, 1000, 0)


# --- periods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "zone", "until"),
    [
        ("day", "Europe/London", timedelta(hours=12)),
        ("day", "America/New_York", timedelta(hours=17)),
        ("day", "Pacific/Kiritimati", timedelta(hours=22)),
        ("week", "Europe/London", timedelta(days=2, hours=12)),  # START is a Friday
        ("month", "Europe/London", timedelta(days=10, hours=12)),
        ("quarter", "Asia/Kathmandu", timedelta(days=41, hours=6, minutes=15)),
        ("year", "America/New_York", timedelta(days=41, hours=17)),
    ],
)
def test_a_budget_begins_anew_with_its_period_in_its_own_zone(
    open_shop: OpenShop, period: str, zone: str, until: timedelta
) -> None:
    shop = open_shop(catalog(budget("pot", period=period, time_zone=zone, cap_minor=1000)))
    shop.issue()
    shop.clock.advance(until - timedelta(microseconds=1))
    shop.refused(BudgetExhausted, shop.issue)
    shop.clock.advance(timedelta(microseconds=1))
    shop.issue()
    shop.refused(BudgetExhausted, shop.issue)
    assert shop.pot("pot") == (0, 2000, 0)
    shop.check()


def test_a_week_begins_on_the_day_that_the_budget_says(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", period="week", week_start="saturday", cap_count=1)))
    shop.issue()
    shop.later(hours=12)
    shop.issue()
    shop.refused(BudgetExhausted, shop.issue)


def test_a_budget_without_a_period_never_begins_anew(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", period="none", cap_count=1)))
    shop.issue()
    shop.later(days=4000)
    shop.refused(BudgetExhausted, shop.issue)


def test_what_is_spent_later_is_spent_from_the_period_of_its_promise(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", period="day", cap_minor=3000)))
    voucher, asked = shop.voucher(), shop.ask(amount_minor=2001 - 1000, by=actor(shop.core, "integrator"))
    shop.later(days=2)
    shop.redeem(voucher.code)
    shop.decide(asked.approval_id)
    assert shop.pot("pot") == (0, 1001, 1000)
    shop.issue(amount_minor=3000)
    shop.check()
