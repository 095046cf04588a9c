"""What a cap was passed by for one gift is no room for the next, whatever made the gift smaller."""

from collections.abc import Callable

from incentives.books.tables import audit_events
from incentives.flows.issue import issue_voucher
from incentives.kernel.errors import CustomerCapReached
from incentives.kernel.money import Money
from incentives.spending.tables import budget_periods
from tests.flows.aftercare import Care
from tests.flows.shop import Shop, budget, catalog, wish
from tests.flows.till_shop import redeem, reverse
from tests.world import publish_catalog

OpenShop = Callable[..., Shop]
BAD = "It was really bad."


def _allotted(shop: Shop) -> tuple[int, int]:
    row = shop.one(budget_periods, budget_periods.c.budget == "cap")
    return row.allotted_minor, row.allotted_count


def _refuses(shop: Shop, amount_minor: int) -> None:
    """Look that a customer's cap lets no more pass."""
    command = wish(amount_minor=amount_minor)
    shop.refused(CustomerCapReached, issue_voucher, core=shop.core, actor=shop.manager, command=command)


def _taken_back(shop: Shop, action: str) -> list[int]:
    event = shop.one(audit_events, audit_events.c.action == action)
    return [each["amount_minor"] for each in event.facts["allocations"]]


def test_a_gift_that_is_adjusted_to_less(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000)))
    desk = Care(shop)
    shop.voucher(amount_minor=3000)
    voucher = shop.voucher(amount_minor=2000, override_reason=BAD)
    desk.adjust(voucher.id, 900)
    assert _taken_back(shop, "voucher.adjusted") == [-1100]
    desk.adjust(voucher.id, 500)
    assert _allotted(shop) == (500, 0)
    _refuses(shop, 500)
    desk.void(voucher.id)
    assert _allotted(shop) == (0, 0)
    shop.check()


def test_no_more_is_taken_back_than_there_was(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000)))
    desk = Care(shop)
    first = shop.voucher(amount_minor=3000)
    voucher = shop.voucher(amount_minor=2000, override_reason=BAD)
    desk.adjust(voucher.id, 1200)
    desk.void(first.id)  # what it frees is the cap's own
    desk.adjust(voucher.id, 500)
    assert _allotted(shop) == (0, 0)
    desk.void(voucher.id)
    assert _allotted(shop) == (0, 0)
    shop.voucher(amount_minor=3000)
    shop.check()


def test_a_request_of_which_less_is_granted(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=1000)))
    shop.voucher(amount_minor=1000)
    asked = shop.ask(by=shop.supervisor, amount_minor=5000, override_reason=BAD)
    issued = shop.decide(asked.approval_id, amount_minor=500).issued
    assert _taken_back(shop, "approval.granted") == [-4500]
    assert _allotted(shop) == (500, 0)
    _refuses(shop, 4500)
    assert issued is not None
    assert issued.voucher is not None
    Care(shop).void(issued.voucher.id)
    assert _allotted(shop) == (0, 0)
    shop.check()


def test_a_request_for_which_another_incentive_is_granted(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_count=1)))
    shop.voucher(amount_minor=1000)
    asked = shop.ask(by=shop.supervisor, amount_minor=5000, override_reason=BAD)
    assert _allotted(shop) == (0, 1)
    shop.decide(asked.approval_id, incentive="sorry")
    assert _allotted(shop) == (0, 0)
    _refuses(shop, 500)
    shop.check()


def test_what_is_taken_back_fits_under_the_cap_that_is_in_force(open_shop: OpenShop) -> None:
    """A cap was lowered while somebody waited: the new terms say what is free, not those of the row."""
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=3000)))
    shop.voucher(amount_minor=1000)
    asked = shop.ask(by=shop.supervisor, amount_minor=5000, override_reason=BAD)
    assert _allotted(shop) == (3000, 0)
    publish_catalog(shop.core, catalog(budget("cap", "customer", cap_minor=2000)))
    shop.decide(asked.approval_id, incentive="credit", amount_minor=2500)
    row = shop.one(budget_periods, budget_periods.c.budget == "cap")
    assert (row.cap_minor, row.allotted_minor, row.committed_minor) == (2000, 1500, 3500)
    shop.check()


def test_a_purchase_that_is_undone_with_nothing_given_back(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("cap", "customer", cap_minor=1000)))
    shop.voucher(amount_minor=1000)
    voucher = shop.voucher(incentive="credit", amount_minor=4000, override_reason=BAD)
    done = redeem(shop, voucher.code, order_total=Money(4000, "GBP"))
    reverse(shop, done.id, "none")
    assert _taken_back(shop, "redemption.reversed") == [-4000]
    assert _allotted(shop) == (0, 0)
    _refuses(shop, 4000)
    shop.check()
