"""A cap was lowered below what is used: what adds nothing passes, and an override is for one gift and no more."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.flows.issue import Issued
from incentives.kernel.errors import BudgetExhausted, CustomerCapReached
from incentives.spending.tables import budget_allocations, budget_periods
from tests.flows.aftercare import Care
from tests.flows.shop import Shop, budget, catalog, named, wish
from tests.world import publish_catalog

OpenShop = Callable[..., Shop]
BAD = "It was really bad."
BO = named("bo@example.com")


def _lower(shop: Shop, scope: str = "organization", **caps: Any) -> None:
    publish_catalog(shop.core, catalog(budget("cap", scope, **caps)))


def _row(shop: Shop) -> Any:
    return shop.one(budget_periods, budget_periods.c.budget == "cap")


def _allotted(shop: Shop) -> tuple[int, int]:
    return _row(shop).allotted_minor, _row(shop).allotted_count


def _lets_nothing_be_added(shop: Shop, state: str) -> None:
    """Look that the database itself refuses more in a row."""
    table = budget_periods
    more = table.update().where(table.c.budget == "cap").values({state: table.c[state] + 1})
    with pytest.raises(sa.exc.IntegrityError), shop.core.database.write() as tx:
        tx.execute(more)


# --- overriding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["the one that was overridden for", "the first"])
def test_an_override_allots_no_more_than_its_gift(open_shop: OpenShop, last: str) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000)))
    desk = Care(shop)
    first = shop.voucher(amount_minor=3000)
    _lower(shop, "customer", cap_minor=2000)
    other = shop.voucher(amount_minor=1000, override_reason=BAD)
    assert (_row(shop).committed_minor, _allotted(shop)) == (4000, (1000, 0))
    shop.refused(CustomerCapReached, shop.issue, amount_minor=500)
    _lets_nothing_be_added(shop, "committed_minor")
    shop.check()
    for each in (first, other) if last == "the one that was overridden for" else (other, first):
        desk.void(each.id)
    assert (_row(shop).committed_minor, _allotted(shop)) == (0, (0, 0))
    shop.refused(CustomerCapReached, shop.issue, amount_minor=2500)
    shop.issue(amount_minor=2000)
    assert _row(shop).cap_minor == 2000
    shop.check()


def test_an_override_allots_one_of_a_number(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_count=3)))
    desk = Care(shop)
    given = [shop.voucher() for _ in range(3)]
    _lower(shop, "customer", cap_count=1)
    given += [shop.voucher(override_reason=BAD) for _ in range(2)]
    assert (_row(shop).committed_count, _allotted(shop)) == (5, (0, 2))
    shop.check()
    for each in reversed(given):
        desk.void(each.id)
    assert _allotted(shop) == (0, 0)
    shop.issue()
    shop.refused(CustomerCapReached, shop.issue)
    shop.check()


def test_the_books_say_what_was_allotted_and_no_more(open_shop: OpenShop) -> None:
    """The trail is what budgets are counted again from, so it has the same number as the pot."""
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000, cap_count=2)))
    shop.voucher(amount_minor=2000)
    shop.voucher(amount_minor=1000)
    _lower(shop, "customer", cap_minor=500, cap_count=1)
    shop.issue(amount_minor=700, override_reason=BAD)
    row = shop.one(budget_allocations)
    event = shop.all(audit_events, audit_events.c.action == "voucher.issued")[-1]
    told = [(each["amount_minor"], each["amount_count"]) for each in event.facts["allocations"]]
    assert told == [(row.amount_minor, row.amount_count)] == [(700, 1)]
    assert _allotted(shop) == (700, 1)
    shop.check()


def test_what_is_redeemed_past_a_lowered_cap_is_not_allotted_either(open_shop: OpenShop) -> None:
    by_use = {"basis": "redemption"}
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000, **by_use)))
    shop.redeem(shop.voucher(amount_minor=3000).code)
    _lower(shop, "customer", cap_minor=1000, **by_use)
    shop.issue(amount_minor=500, override_reason=BAD)
    assert _allotted(shop) == (500, 0)
    shop.refused(CustomerCapReached, shop.issue, amount_minor=500)
    shop.check()


def test_an_override_fits_the_cap_that_was_raised_while_the_other_was_lowered(open_shop: OpenShop) -> None:
    """The row takes from the catalog what it can: with what it had, the database would refuse a second one."""
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000, cap_count=1)))
    shop.issue(amount_minor=3000)
    _lower(shop, "customer", cap_minor=2000, cap_count=5)
    shop.issue(amount_minor=1000, override_reason=BAD)
    assert (_row(shop).cap_minor, _row(shop).cap_count, _allotted(shop)) == (3000, 5, (1000, 0))
    shop.check()


def test_several_overrides_at_once_allot_each_its_own(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000)))
    shop.issue(amount_minor=3000)
    _lower(shop, "customer", cap_minor=2000)
    wishes = [wish(amount_minor=each, override_reason=BAD) for each in (1000, 500)]
    given = shop.issue_many(*wishes, wish(amount_minor=500))
    assert [type(each) for each in given] == [Issued, Issued, CustomerCapReached]
    assert _allotted(shop) == (1500, 0)
    _lets_nothing_be_added(shop, "committed_minor")
    shop.check()


def test_a_request_past_a_lowered_cap_that_is_declined_leaves_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000)))
    first = shop.voucher(amount_minor=3000)
    _lower(shop, "customer", cap_minor=1000)
    asked = shop.ask(by=shop.supervisor, amount_minor=5000, override_reason=BAD)
    assert (shop.pot("cap"), _allotted(shop)) == ((5000, 3000, 0), (5000, 0))
    shop.decide(asked.approval_id, "decline")
    assert _allotted(shop) == (0, 0)
    Care(shop).void(first.id)
    shop.refused(CustomerCapReached, shop.issue, amount_minor=1500)
    shop.check()


# --- what adds nothing -------------------------------------------------------------------------------------------


def test_a_number_that_is_passed_lets_a_gift_be_raised(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", cap_minor=2000, cap_count=3)))
    desk = Care(shop)
    first = shop.voucher(amount_minor=1000)
    shop.issue(amount_minor=1000, customer=BO)
    _lower(shop, cap_minor=9000, cap_count=1)
    desk.adjust(first.id, 1500)
    row = _row(shop)
    assert (row.cap_minor, row.cap_count, row.committed_minor, row.committed_count) == (9000, 2, 2500, 2)
    _lets_nothing_be_added(shop, "committed_count")
    shop.refused(BudgetExhausted, shop.issue, customer=BO)
    shop.refused(BudgetExhausted, shop.issue, incentive="gift", customer=BO)
    desk.void(first.id)
    shop.refused(BudgetExhausted, shop.issue, customer=BO)
    shop.check()


@pytest.mark.parametrize(("scope", "refusal"), [("organization", BudgetExhausted), ("customer", CustomerCapReached)])
def test_money_that_is_passed_lets_through_what_costs_nothing(
    open_shop: OpenShop, scope: str, refusal: type[BudgetExhausted]
) -> None:
    shop = open_shop(catalog(budget("cap", scope, cap_minor=3000, cap_count=1)))
    desk = Care(shop)
    first = shop.voucher(amount_minor=2000)
    _lower(shop, scope, cap_minor=1500, cap_count=2)
    shop.refused(refusal, shop.issue, incentive="points")
    shop.refused(refusal, desk.adjust, first.id, 2100)
    shop.issue(incentive="gift")
    row = _row(shop)
    assert (row.cap_minor, row.cap_count, row.committed_minor, row.committed_count) == (2000, 2, 2000, 2)
    _lets_nothing_be_added(shop, "committed_minor")
    _lets_nothing_be_added(shop, "committed_count")
    shop.refused(refusal, shop.issue, incentive="gift")  # a third
    desk.adjust(first.id, 1500)
    shop.refused(refusal, desk.adjust, first.id, 1600)
    shop.check()


def test_what_costs_nothing_passes_beside_what_does_not_in_one_go(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", cap_minor=3000)))
    shop.issue(amount_minor=2000)
    _lower(shop, cap_minor=1500)
    given = shop.issue_many(wish(incentive="gift"), wish(amount_minor=500), wish(incentive="gift"))
    assert [type(each) for each in given] == [Issued, BudgetExhausted, Issued]
    assert (_row(shop).cap_minor, shop.pot("cap"), shop.pot("cap", "count")) == (2000, (0, 2000, 0), (0, 3, 0))
    shop.check()


def test_what_was_asked_for_is_granted_as_something_that_costs_nothing(open_shop: OpenShop) -> None:
    """What an override had allotted for the request is taken back whole, though the pot stays over its cap."""
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000)))
    first = shop.voucher(amount_minor=3000)
    second = {"approval_required": True, "approval_reason": "Two of us should agree.", "override_reason": BAD}
    asked = shop.ask(by=shop.supervisor, amount_minor=1000, **second)
    assert _allotted(shop) == (1000, 0)
    _lower(shop, "customer", cap_minor=1000)
    shop.decide(asked.approval_id, incentive="gift")
    assert (_row(shop).cap_minor, _row(shop).committed_minor, _allotted(shop)) == (3000, 3000, (0, 0))
    Care(shop).void(first.id)
    shop.refused(CustomerCapReached, shop.issue, amount_minor=1500)
    shop.check()
