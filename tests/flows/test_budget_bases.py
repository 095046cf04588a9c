"""The three bases of charge, what each counts as used, and how fast budgets are used."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.kernel import errors
from incentives.queries.budget_holds import holds_of
from incentives.queries.budgets import BASES, Budget, list_budgets, one_pot
from incentives.spending.tables import COUNTERS, budget_allocations, budget_movements, budget_periods
from tests.flows.shop import Shop, budget, catalog, named
from tests.flows.till_shop import pounds, redeem, reverse
from tests.world import START, actor, publish_catalog

BY_BASIS: dict[str, dict[str, Any]] = {
    "face": {},
    "expected": {"basis": "expected", "expected_percent": 40},
    "redemption": {"basis": "redemption"},
}


def pot(shop: Shop, budget_id: str = "small") -> Budget:
    return one_pot(core=shop.core, actor=shop.manager, budget_id=budget_id)


def recounted(shop: Shop, key: str = "small") -> dict[str, int]:
    """Return the counters of a budget, counted from its movements."""
    moved = budget_movements.c
    sums = [sa.func.coalesce(sa.func.sum(moved[name]), 0) for name in COUNTERS]
    of_this = budget_periods.c.budget == key
    with shop.core.database.read() as tx:
        query = sa.select(*sums).join(budget_periods, budget_periods.c.id == moved.budget_period_id).where(of_this)
        return dict(zip(COUNTERS, map(int, tx.execute(query).one()), strict=True))


def used_by(basis: str, sums: dict[str, int], percent: int) -> int:
    """Return what a basis counts as used, by another way than the engine's."""
    promised, spent = sums["held_minor"] + sums["committed_minor"], sums["spent_minor"]
    if basis == "redemption":
        return spent
    return promised + spent if basis == "face" else spent + (promised * percent + 99) // 100


@pytest.mark.parametrize(("basis", "most"), [("face", 2), ("expected", 5), ("redemption", 12)])
def test_issuing_is_refused_by_the_basis_and_redeeming_never(
    open_shop: Callable[..., Shop], basis: str, most: int
) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=2000, **BY_BASIS[basis])))
    codes = [shop.voucher(customer=named(f"c{number}@example.com")).code for number in range(most)]
    if basis != "redemption":
        shop.refused(errors.BudgetExhausted, shop.issue)
    for code in codes:
        shop.redeem(code)
    assert shop.pot("small") == (0, 0, most * 1000)
    assert pot(shop).money.available == 0
    shop.refused(errors.BudgetExhausted, shop.issue)
    shop.check()


@pytest.mark.parametrize("basis", BASES)
def test_every_verb_works_under_each_basis(open_shop: Callable[..., Shop], basis: str) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=50_000, cap_count=20, **BY_BASIS[basis])))
    shop.redeem(shop.voucher(amount_minor=3000).code)
    granted, declined, _waits = (shop.ask(amount_minor=2500, customer=named(f"{n}@example.com")) for n in "abc")
    shop.decide(granted.approval_id)
    shop.decide(declined.approval_id, "decline")
    shop.issue(amount_minor=1000)
    shop.issue(incentive="gift")
    sums = recounted(shop)
    assert (sums["held_minor"], sums["committed_minor"], sums["spent_minor"]) == (2500, 3500, 3000)
    found = pot(shop).money
    assert {each: found.used_under(each) for each in BASES} == {
        each: used_by(each, sums, BY_BASIS[basis].get("expected_percent", 100)) for each in BASES
    }
    assert found.available == 50_000 - found.used
    assert (found.promised, found.spent) == (6000, 3000)
    shop.later(days=40)
    shop.expire()
    sums = recounted(shop)
    assert (sums["held_minor"], sums["committed_minor"], sums["spent_minor"]) == (0, 0, 3000)
    shop.check()


def test_switching_the_basis_is_as_if_it_had_been_so_all_along(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5000)))
    first = shop.voucher(amount_minor=4000)
    shop.issue(amount_minor=1000)
    shop.refused(errors.BudgetExhausted, shop.issue, amount_minor=500)
    shop.redeem(first.code)
    for basis, available in (("expected", 5000 - 4000 - 400), ("redemption", 1000), ("face", 0)):
        # The key stays, for the numbers go on as they are; what they mean changes.
        publish_catalog(shop.core, catalog(budget("small", cap_minor=5000, **BY_BASIS[basis])))
        assert pot(shop).money.available == available
        assert pot(shop).money.used == used_by(basis, recounted(shop), 40)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=5000, **BY_BASIS["redemption"])))
    shop.issue(amount_minor=500)
    last = shop.voucher(amount_minor=900)
    assert shop.pot("small") == (0, 2400, 4000)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=5000)))
    assert pot(shop).money.available == 0  # More was promised than the cap: nothing more is, and nothing is broken.
    shop.refused(errors.BudgetExhausted, shop.issue, amount_minor=500)
    shop.redeem(last.code)
    shop.check()


def test_the_database_keeps_a_cap_by_face_and_no_other(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5000)))
    shop.issue()
    table = budget_periods
    over = table.update().where(table.c.budget == "small").values(committed_minor=5001)
    with pytest.raises(sa.exc.IntegrityError), shop.core.database.write() as tx:
        tx.execute(over)
    with shop.core.database.write() as tx:
        tx.execute(over.values(basis="redemption"))


# --- counts, tags, customers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", ["expected", "redemption"])
def test_what_is_promised_again_is_allotted_only_where_promises_are_charged_in_full(
    open_shop: Callable[..., Shop], basis: str
) -> None:
    """Else each undone sale would let such a budget hold more than its cap, for good."""
    shop = open_shop(catalog(budget("small", period="none", cap_minor=1500, **BY_BASIS[basis])))
    codes = [shop.voucher(customer=named(f"c{number}@example.com")).code for number in range(3)]
    done = redeem(shop, codes[0], order_total=pounds(700))  # of 1000: what lapsed is promised again
    reverse(shop, done.id)
    assert shop.pot("small") == (0, 3000, 0)
    assert shop.all(budget_allocations) == []
    assert shop.one(budget_periods, budget_periods.c.budget == "small").allotted_minor == 0
    shop.check()


def test_a_customer_has_so_many_for_one_kind_of_trouble(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("waits", "customer", cap_count=2, cap_minor=1500, issue_tags=["long-wait"])))
    shop.issue(amount_minor=1000)
    shop.refused(errors.CustomerCapReached, shop.issue, incentive="fixed")  # 700 more than 1,500
    shop.issue(amount_minor=500)
    shop.refused(errors.CustomerCapReached, shop.issue, incentive="gift")  # a third, though it costs nothing
    shop.issue(issue_tag="service", amount_minor=500)  # other trouble
    shop.issue(customer=named("bob@example.com"), amount_minor=1500)
    assert pot(shop, list_id(shop, "waits")).issue_tags == ("long-wait",)
    shop.check()


def list_id(shop: Shop, key: str) -> str:
    """Return the id of the fullest pot of a budget."""
    return next(each.id for each in list_budgets(core=shop.core, actor=shop.manager) if each.key == key)


def test_a_tag_means_all_below_it(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("all-service", cap_count=1, issue_tags=["service"])))
    shop.issue(issue_tag="long-wait")
    shop.refused(errors.BudgetExhausted, shop.issue, issue_tag="service")


# --- holds -------------------------------------------------------------------------------------------------------


def test_holds_say_whose_they_are_and_since_when(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=50_000)))
    first = shop.ask(amount_minor=2500)
    shop.later(hours=2)
    second = shop.ask(amount_minor=3000)
    shop.issue()
    held = holds_of(core=shop.core, actor=shop.manager, budget_id="small")
    assert [(each.kind, each.amount_minor, each.count, each.approval_id, each.case_id) for each in held] == [
        ("approval", 2500, 1, first.approval_id, first.case_id),
        ("approval", 3000, 1, second.approval_id, second.case_id),
    ]
    assert [each.since_at for each in held] == [START, START + timedelta(hours=2)]
    assert {each.owner for each in held} == {shop.agent.label}
    # Who may read budgets but no cases sees whose money it is, and no link; elsewhere neither.
    integrator = actor(shop.core, "integrator", location="leeds")
    elsewhere = holds_of(core=shop.core, actor=integrator, budget_id="small")
    assert [(each.amount_minor, each.approval_id, each.case_id) for each in elsewhere] == [
        (2500, None, None), (3000, None, None)
    ]  # fmt: skip
    with pytest.raises(errors.NotPermitted):
        holds_of(core=shop.core, actor=shop.agent, budget_id="small")
    shop.decide(first.approval_id)
    shop.decide(second.approval_id, "decline")
    assert holds_of(core=shop.core, actor=shop.manager, budget_id="small") == []


# --- how fast ----------------------------------------------------------------------------------------------------


def test_the_rate_is_what_was_used_by_the_day_and_tells_when_nothing_is_left(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=50_000, period="year"), budget("tight", cap_minor=30_000)))
    assert (pot(shop).rates.a_day_minor, pot(shop).run_dry_at) == (0, None)
    shop.issue(amount_minor=2000)
    # Within the first day a day is a whole day.
    assert pot(shop).rates.a_day_minor == 2000
    for _ in range(3):
        shop.later(days=1)
        shop.issue(amount_minor=2000)
    found = pot(shop)
    assert found.rates.a_day_minor == round(8000 / 3)
    days = (found.money.available or 0) / (8000 / 3)
    assert found.run_dry_at is not None
    assert abs((found.run_dry_at - shop.clock.now()) - timedelta(days=days)) < timedelta(seconds=2)
    # Its month ends first: in seven days, and it would last for eight.
    tight = pot(shop, "tight")
    assert (tight.rates.a_day_minor, tight.run_dry_at) == (2667, None)
    assert tight.end_at is not None
    assert shop.clock.now() + timedelta(days=22_000 / (8000 / 3)) > tight.end_at


def test_what_was_long_ago_and_what_was_released_are_no_rate(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=50_000, period="year")))
    asked = shop.ask(amount_minor=3000)
    shop.decide(asked.approval_id, "decline")
    assert pot(shop).rates.a_day_minor == 0
    shop.issue(amount_minor=3000)
    assert pot(shop).rates.a_day_minor == 3000
    shop.later(days=29)
    assert (pot(shop).rates.a_day_minor, pot(shop).run_dry_at) == (0, None)


def test_a_number_runs_dry_before_the_money(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5_000_000, cap_count=4, period="year")))
    shop.issue()
    shop.issue()
    found = pot(shop)
    assert found.rates.a_day_count == 2.0
    assert found.run_dry_at == shop.clock.now() + timedelta(days=1)
    shop.issue()
    shop.issue()
    assert pot(shop).run_dry_at is None  # It has run dry.
