"""Offering: what is offered at an instant is what issuing would do at that instant, and nothing changes by asking."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incentives.flows.issue import Issued, issue_vouchers
from incentives.flows.offer import Offer
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    EmailInvalid,
    InputInvalid,
    NoProtocol,
    NotPermitted,
    PhoneInvalid,
    Refusal,
    UnknownIssueTag,
    UnknownLocation,
)
from incentives.kernel.money import Money
from incentives.queries import catalog as catalog_queries
from tests.flows.shop import EMAIL, Shop, budget, catalog, named, wish
from tests.world import DEMO_CATALOG, actor

OpenShop = Callable[..., Shop]


def by_key(shop: Shop, by: Actor | None = None, **trouble: object) -> dict[str, Offer]:
    return {each.incentive: each for each in shop.offer(by, **trouble).offers}


def test_the_protocol_and_what_it_allows_in_its_order(shop: Shop) -> None:
    found = shop.offer(shop.agent, customer=named(EMAIL, name="Ana"), order_ref="BA1")
    assert (found.protocol, found.matched, found.issue_tag, found.severity) == (
        "service", {"issue_tag": "service"}, "long-wait", 2,
    )  # fmt: skip
    assert found.script == "Dear Ana, Acme is sorry about BA1. Frontline: The voucher"
    assert found.steps == ("apologize", "document")
    assert [each.incentive for each in found.offers][:4] == ["voucher", "fixed", "credit", "percent"]
    assert [each.incentive for each in found.offers if each.is_default] == ["voucher"]


def test_an_offer_says_what_the_customer_would_get(shop: Shop) -> None:
    offers = by_key(shop, shop.agent)
    voucher, percent, sorry = offers["voucher"], offers["percent"], offers["sorry"]
    assert (voucher.title, voucher.terms, voucher.kind) == ("The voucher", "One use.", "amount_off")
    assert (voucher.amount, voucher.amount_bounds) == (Money(1000, "GBP"), (500, 5000))  # the protocol's most
    assert (voucher.offerable, voucher.approval_required, voucher.blocked_reasons) == (True, False, ())
    assert (percent.amount, percent.percent, percent.amount_bounds) == (Money(3000, "GBP"), 15, None)
    assert (percent.offerable, percent.approval_required) == (True, True)
    assert percent.approval_reasons == ("over-voucher-limit",)
    assert (sorry.amount, sorry.terms, sorry.offerable) == (Money(0, "GBP"), None, True)


def test_the_words_are_in_the_customer_s_language(shop: Shop) -> None:
    found = shop.offer(customer=named(EMAIL, name="Ana", locale="es-MX"))
    assert found.offers[0].title == "El voucher"
    assert found.script.startswith("Ana, Acme lo siente por")
    assert shop.offer(customer=named(locale="fr")).offers[0].title == "The voucher"


def test_each_block_is_told_by_name(shop: Shop) -> None:
    offers = by_key(shop, shop.agent)
    blocked = {key: each.blocked_reasons for key, each in offers.items() if not each.offerable}
    assert blocked == {
        "dollars": ("wrong-currency",),
        "euros": ("wrong-currency", "no-budget"),
        "retired": ("inactive",),
        "summer": ("window-closed",),
        "dear": ("amount-above-protocol",),
    }
    assert by_key(shop, location="leeds")["meal"].blocked_reasons == ("not-at-this-location",)


def test_a_full_pot_blocks_by_name(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=1500), budget("each", "customer", cap_count=1)))
    shop.issue()
    assert by_key(shop)["voucher"].blocked_reasons == ("budget-exhausted",)
    assert by_key(shop, customer=named(EMAIL))["points"].blocked_reasons == ("customer-cap-reached",)
    assert by_key(shop, customer=named("new@example.com"))["points"].offerable


def test_a_stranger_has_caps_too(open_shop: OpenShop) -> None:
    """A cap smaller than the voucher is too small for a customer whom nobody has seen before."""
    shop = open_shop(catalog(budget("each", "customer", cap_minor=999)))
    assert by_key(shop, customer=named("new@example.com"))["voucher"].blocked_reasons == ("customer-cap-reached",)
    assert by_key(shop, customer=named("new@example.com"))["fixed"].offerable
    assert by_key(shop)["voucher"].offerable  # a hand-over to nobody in particular


def test_asking_changes_nothing(shop: Shop) -> None:
    shop.issue()
    before = shop.everything()
    shop.offer(shop.agent, customer=named("new@example.com", phone="+442079460018"))
    assert shop.everything() == before


@pytest.mark.parametrize(
    ("refusal", "trouble"),
    [
        (UnknownIssueTag, {"issue_tag": "no-such"}),
        (UnknownIssueTag, {"issue_tag": "rude"}),
        (NoProtocol, {"issue_tag": "odd"}),
        (UnknownLocation, {"location": "no-such"}),
        (InputInvalid, {"severity": 5}),
        (InputInvalid, {"severity": 0}),
        (InputInvalid, {"customer": named(segment="silver")}),
        (EmailInvalid, {"customer": named("nobody")}),
        (PhoneInvalid, {"customer": named(phone="12")}),
    ],
)
def test_a_trouble_that_cannot_be_is_refused_as_issuing_refuses_it(
    shop: Shop, refusal: type[Refusal], trouble: dict[str, Any]
) -> None:
    found = shop.refused(refusal, shop.offer, **trouble)
    assert shop.refused(refusal, shop.issue, **trouble).facts == found.facts


@pytest.mark.parametrize("role", ["till", "auditor", "finance"])
def test_who_may_not_offer_is_refused(shop: Shop, role: str) -> None:
    shop.refused(NotPermitted, shop.offer, actor(shop.core, role))


# --- what is offered is what is issued ---------------------------------------------------------------------------

ROLES = ("frontline", "supervisor", "manager", "integrator", "admin")
PEOPLE = (
    named(),
    named("one@example.com"),
    named("two@example.com", phone="+442079460018"),
    named(phone="+442079460018"),
)
TROUBLES = st.fixed_dictionaries(
    {
        "severity": st.sampled_from([None, 1, 2, 3, 4]),
        "location": st.sampled_from([None, "london", "new-york", "madrid"]),
        "customer": st.sampled_from([*PEOPLE, named("gold@example.com", segment="gold")]),
    }
)


def compare(shop: Shop, by: Actor, each: Offer, trouble: dict[str, Any]) -> str:
    """Issue what was offered; the answer must be the one that was foretold. Return what it was."""
    command = wish(incentive=each.incentive, **trouble)
    (issued,) = issue_vouchers(core=shop.core, actor=by, commands=[command])
    case = (issued, each, by.role, trouble)
    if isinstance(issued, Refusal):
        assert not each.offerable, case
        in_catalog = set(issued.facts.get("blocked_reasons", ()))
        by_name = issued.slug in each.blocked_reasons
        assert by_name or (in_catalog and in_catalog <= set(each.blocked_reasons)), case
        return issued.slug
    assert each.offerable, case
    if isinstance(issued, Issued):
        assert not each.approval_required, case
        assert each.amount.amount_minor == (issued.voucher.amount.amount_minor if issued.voucher else 0)
    else:
        assert each.approval_required, case
        assert issued.reasons == each.approval_reasons
    return issued.status


def walk(shop: Shop, by: Actor, trouble: dict[str, Any]) -> Counter[str]:
    """Compare every offer for a trouble, one after the other, each with a fresh look; return what was answered."""
    keys = [each.incentive for each in shop.offer(by, **trouble).offers]
    return Counter(compare(shop, by, by_key(shop, by, **trouble)[key], trouble) for key in keys)


def test_the_whole_demo_catalog_issues_what_it_offers(open_shop: OpenShop) -> None:
    shop = open_shop(DEMO_CATALOG.read_text())
    tags = [each.key for each in catalog_queries.issue_tags(core=shop.core, actor=shop.manager)]
    places = [each.key for each in catalog_queries.locations(core=shop.core, actor=shop.manager)]
    actors = [actor(shop.core, role, team="care-line") for role in ROLES]
    answers: Counter[str] = Counter()
    for number, (tag, place) in enumerate(product(tags, [None, *places])):
        # Each role in turn, so that the walk is short; customers come back, so that their caps are reached.
        by, customer = actors[number % len(actors)], named(f"c{number % 60}@example.com")
        answers += walk(shop, by, {"issue_tag": tag, "location": place, "customer": customer})
    assert set(answers) == {
        "issued", "pending_approval", "incentive-not-offerable", "budget-exhausted", "customer-cap-reached",
    }  # fmt: skip
    assert answers.total() > 300
    shop.check()


@pytest.fixture
def demo(open_shop: OpenShop) -> Shop:
    return open_shop(DEMO_CATALOG.read_text())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_offered_is_issued(demo: Shop, data: st.DataObject) -> None:
    """On one shop that goes on and on: its budgets run dry and its days pass as the examples come."""
    tags = [each.key for each in catalog_queries.issue_tags(core=demo.core, actor=demo.manager)]
    trouble: dict[str, Any] = {"issue_tag": data.draw(st.sampled_from(tags)), **data.draw(TROUBLES)}
    by = actor(
        demo.core, data.draw(st.sampled_from(ROLES)), location=data.draw(st.sampled_from([None, "london", "madrid"]))
    )
    if by.location is not None:
        trouble.pop("location", None)  # they act for no other place than their own
    demo.clock.advance(timedelta(hours=data.draw(st.integers(0, 40))))
    walk(demo, by, trouble)
