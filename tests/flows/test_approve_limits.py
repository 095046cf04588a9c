"""Who grants gives: it counts under their own limits, so that two at their limits cannot grant each other more."""

from collections.abc import Callable

from incentives.books.tables import audit_events
from incentives.kernel.actors import Actor
from incentives.kernel.errors import ApproverLimitExceeded
from tests.flows.aftercare import Care
from tests.flows.shop import LIMITS, Shop, catalog, named
from tests.world import actor

OpenShop = Callable[..., Shop]


def _opened(open_shop: OpenShop, **limit: int) -> tuple[Shop, Actor, Actor]:
    """Return a shop with two supervisors, who have a limit beside that for one voucher."""
    own = {"role": "supervisor", "currency": "GBP", "per_voucher_minor": 4000, **limit}
    shop = open_shop(catalog(limits=[own, *(each for each in LIMITS if each["role"] != "supervisor")]))
    return shop, actor(shop.core, "supervisor", email="a@x.com"), actor(shop.core, "supervisor", email="b@x.com")


def _days(shop: Shop, unit: str = "minor") -> dict[str, int]:
    return {name[1]: pot[1] for name, pot in shop.pots(unit).items() if name[0] == "role:supervisor:GBP/day"}


def test_a_day_that_is_used_up_is_no_help_to_another_s(open_shop: OpenShop) -> None:
    shop, ann, bob = _opened(open_shop, per_day_minor=4000)
    shop.issue(ann, amount_minor=3000)
    shop.issue(bob, amount_minor=4000, customer=named("b1@example.com"))
    asked = shop.ask(bob, amount_minor=4000, customer=named("c1@example.com"))
    assert asked.reasons == ("over-daily-limit",)
    refusal = shop.refused(ApproverLimitExceeded, shop.decide, asked.approval_id, by=ann)
    assert refusal.facts == {
        "field": "amount_minor",
        "most_minor": 1000,
        "currency": "GBP",
        "reasons": ["over-daily-limit"],
    }
    issued = shop.decide(asked.approval_id, by=ann, amount_minor=1000).issued
    assert _days(shop) == {ann.label: 4000, bob.label: 4000}
    granted = shop.one(audit_events, audit_events.c.action == "approval.granted")
    assert sorted(each[0] for each in granted.facts["charged"]) == ["all-gbp", "role:supervisor:GBP/day"]
    assert issued is not None
    assert issued.voucher is not None
    Care(shop).void(issued.voucher.id)
    assert _days(shop) == {ann.label: 3000, bob.label: 4000}
    shop.check()


def test_nor_is_their_number_for_a_day(open_shop: OpenShop) -> None:
    shop, ann, bob = _opened(open_shop, per_day_count=1)
    shop.issue(bob)
    first = shop.ask(bob, customer=named("c1@example.com"))
    second = shop.ask(bob, customer=named("c2@example.com"))
    shop.decide(first.approval_id, by=ann)
    refusal = shop.refused(ApproverLimitExceeded, shop.decide, second.approval_id, by=ann)
    assert refusal.facts["most_minor"] == 0
    shop.refused(ApproverLimitExceeded, shop.decide, second.approval_id, by=ann, incentive="fixed")
    shop.decide(second.approval_id, by=ann, incentive="sorry")  # an apology by itself costs nothing
    assert _days(shop, "count") == {ann.label: 1, bob.label: 1}
    shop.check()


def test_nor_their_limit_for_a_customer(open_shop: OpenShop) -> None:
    shop, ann, bob = _opened(open_shop, per_customer_minor=4000)
    shop.issue(bob, amount_minor=3500)
    asked = shop.ask(bob, amount_minor=1000)
    assert asked.reasons == ("over-customer-limit",)
    refusal = shop.refused(ApproverLimitExceeded, shop.decide, asked.approval_id, by=ann)
    assert (refusal.facts["most_minor"], refusal.facts["reasons"]) == (500, ["over-customer-limit"])
    shop.decide(asked.approval_id, by=shop.manager)
    shop.check()


def test_another_incentive_counts_as_well(open_shop: OpenShop) -> None:
    shop, ann, _ = _opened(open_shop, per_day_minor=2000)
    asked = shop.ask(shop.agent, amount_minor=4000)
    shop.refused(ApproverLimitExceeded, shop.decide, asked.approval_id, by=ann, incentive="credit", amount_minor=2100)
    shop.decide(asked.approval_id, by=ann, incentive="credit", amount_minor=1900)
    assert _days(shop) == {ann.label: 1900}
    shop.check()
