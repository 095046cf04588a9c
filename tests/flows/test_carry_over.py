"""Carry-over: what a period leaves goes to the present one, conserved, again when more comes free."""

from collections.abc import Callable
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.budget_requests import PotName
from incentives.flows.carry_over import carry_over_due
from incentives.queries.budget_history import history_of
from incentives.queries.budgets import one_pot
from incentives.spending.tables import budget_allocations, budget_periods
from tests import dump
from tests.flows.shop import Shop, budget, catalog
from tests.flows.test_budget_requests import decide, propose
from tests.world import actor, make_core, publish_catalog

CARRIES: dict[str, Any] = {"rollover": "carry_over"}
BUDGETS = (
    budget("small", cap_minor=5000, break_glass_percent=50, **CARRIES),
    budget("number", cap_count=3, **CARRIES),
    budget("places", "location", cap_minor=20000, **CARRIES),
    budget("strict", cap_minor=5000),
)


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop(catalog(*BUDGETS))


def carry(shop: Shop) -> int:
    """Carry over until nothing is left to do; return how many rows that was."""
    total = 0
    while done := carry_over_due(core=shop.core):
        total += done
    return total


def available(shop: Shop, budget_id: str = "small", period_key: str | None = None) -> int:
    found = one_pot(core=shop.core, actor=shop.manager, budget_id=budget_id, period_key=period_key)
    return (found.money.available if found.money.cap is not None else found.count.available) or 0


def test_what_a_month_leaves_goes_to_the_next(shop: Shop) -> None:
    carry(shop)
    shop.issue(amount_minor=1000, location="leeds")
    shop.later(days=15)
    carry(shop)
    assert (available(shop, period_key="2026-11-01"), available(shop)) == (0, 5000 + 4000)
    assert available(shop, "number") == 3 + 2
    assert available(shop, "places:leeds") == 20000 + 19000
    assert available(shop, "strict") == 5000
    before = dump.of(shop.core)
    assert carry_over_due(core=shop.core) == 0
    assert dump.differences(before, dump.of(shop.core)) == {}
    shop.check()


def test_it_is_conserved_to_the_penny_whatever_happens(shop: Shop) -> None:
    carry(shop)
    for amount_minor in (1000, 700, 1300):
        shop.issue(amount_minor=amount_minor)
        shop.later(days=9)
        carry(shop)
    rows = shop.all(budget_allocations)
    assert sum(row.amount_minor for row in rows) == sum(row.amount_count for row in rows) == 0
    months = shop.all(budget_periods, budget_periods.c.budget == "small")
    used = sum(row.committed_minor for row in months)
    assert available(shop) == sum(row.cap_minor for row in months) - used
    shop.check()


def test_what_comes_free_later_follows(shop: Shop) -> None:
    carry(shop)
    shop.ask(amount_minor=3000)
    shop.later(days=15)
    carry(shop)
    assert available(shop) == 7000
    shop.expire()  # nobody decided
    carry(shop)
    assert available(shop) == 10000
    found = history_of(core=shop.core, actor=shop.manager, budget_id="small", only_allocations=True).lines
    assert [line.changes["allotted_minor"] for line in found] == [3000, 2000]
    shop.check()


def test_a_month_in_which_nothing_was_given_leaves_everything(shop: Shop) -> None:
    assert carry(shop)
    shop.later(days=90)  # and nobody swept for two months
    carry(shop)
    assert available(shop) == 4 * 5000
    assert available(shop, "number") == 4 * 3
    shop.check()


def test_what_is_promised_stays_behind_whatever_the_basis(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5000, basis="redemption", **CARRIES)))
    carry(shop)
    voucher = shop.voucher(amount_minor=4000)
    shop.later(days=15)
    carry(shop)
    assert available(shop) == 6000
    shop.redeem(voucher.code)
    carry(shop)
    assert available(shop) == 6000
    shop.check()


def test_money_for_emergencies_is_nobody_s_to_keep(shop: Shop) -> None:
    carry(shop)
    finance = actor(shop.core, "finance")
    decide(shop, propose(shop, "break_glass", amount_minor=2000).id, finance)
    shop.issue(amount_minor=1000)
    shop.later(days=15)
    carry(shop)
    assert available(shop) == 5000 + 4000


def test_what_was_topped_up_goes_along(shop: Shop) -> None:
    carry(shop)
    decide(shop, propose(shop, pot=PotName(budget="small"), amount_minor=300).id, actor(shop.core, "finance"))
    shop.later(days=15)
    carry(shop)
    assert available(shop) == 10300


def test_a_budget_that_carries_from_now_on_brings_nothing_from_before(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5000)))
    shop.issue()
    shop.later(days=15)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=6000, **CARRIES)))
    carry(shop)
    assert available(shop) == 6000
    # One whose policy changes within the month brings what that month leaves, by the cap that it has now.
    shop.later(days=30)
    carry(shop)
    assert available(shop) == 12000


def test_a_month_keeps_the_cap_that_it_had(shop: Shop) -> None:
    carry(shop)
    shop.issue()
    shop.later(days=15)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=1000, **CARRIES), *BUDGETS[1:]))
    carry(shop)
    assert available(shop) == 1000 + 4000
    old = shop.one(budget_periods, budget_periods.c.budget == "small", budget_periods.c.period_key == "2026-11-01")
    assert (old.cap_minor, old.allotted_minor) == (5000, -4000)
    shop.check()


def test_a_month_that_was_overspent_leaves_nothing_and_takes_nothing(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5000, **CARRIES)))
    carry(shop)
    shop.issue(amount_minor=4000)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=1000, **CARRIES)))
    carry(shop)
    shop.later(days=15)
    carry(shop)
    # The database could not agree to the lower cap while more was promised, so that the month kept the one it had.
    assert available(shop) in (1000, 2000)
    shop.check()


def test_it_stands_in_the_history_and_the_audit_trail(shop: Shop) -> None:
    carry(shop)
    shop.later(days=15)
    carry(shop)
    found = history_of(core=shop.core, actor=shop.manager, budget_id="small")
    (line,) = found.lines
    assert (line.kind, line.changes["allotted_minor"], line.actor_name) == ("carry_in", 5000, "the system")
    assert found.agrees
    events = shop.all(audit_events, audit_events.c.action == "budget.carry_over")
    moved = [(*each["pot"], each["amount_minor"]) for row in events for each in row.facts["allocations"]]
    assert ("small", "organization", "2026-11-01", -5000) in moved
    assert ("small", "organization", "2026-12-01", 5000) in moved


def test_before_the_first_catalog_there_is_nothing_to_carry(database_url: str) -> None:
    core = make_core(database_url)
    assert carry_over_due(core=core) == 0
    core.database.dispose()
