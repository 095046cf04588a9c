"""What issuing refuses: each by name, with the field at fault, and with nothing written and nothing charged."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from incentives.kernel import errors
from incentives.kernel.errors import Refusal
from tests.databases import Databases
from tests.flows.shop import EMAIL, INCENTIVES, PHONE, Shop, budget, catalog, named, wish
from tests.world import make_core, publish_catalog

OpenShop = Callable[..., Shop]

# Of what is asked for: the refusal, the field that it names, and facts that a caller needs to go on.
REFUSED: tuple[tuple[type[Refusal], dict[str, Any], str | None, dict[str, Any]], ...] = (
    (errors.UnknownIssueTag, {"issue_tag": "no-such"}, "issue_tag", {"issue_tag": "no-such"}),
    (errors.UnknownIssueTag, {"issue_tag": "rude"}, "issue_tag", {}),  # it is no longer used
    (errors.UnknownIssueTag, {"issue_tag": ""}, "issue_tag", {}),
    (errors.UnknownLocation, {"location": "no-such"}, "location", {"location": "no-such"}),
    (errors.NoProtocol, {"issue_tag": "odd"}, "issue_tag", {"severity": 2}),
    (errors.UnknownIncentive, {"incentive": "no-such"}, "incentive", {"incentive": "no-such"}),
    (errors.IncentiveNotInProtocol, {"incentive": "elsewhere"}, "incentive", {"protocol": "service"}),
    (errors.IncentiveNotOfferable, {"incentive": "retired"}, "incentive", {"blocked_reasons": ["inactive"]}),
    (errors.IncentiveNotOfferable, {"incentive": "summer"}, "incentive", {"blocked_reasons": ["window-closed"]}),
    (errors.IncentiveNotOfferable, {"incentive": "meal"}, "incentive", {"blocked_reasons": ["not-at-this-location"]}),
    (
        errors.IncentiveNotOfferable,
        {"incentive": "dollars", "location": "london"},
        "incentive",
        {"blocked_reasons": ["wrong-currency"]},
    ),
    (errors.AmountAboveProtocol, {"incentive": "dear"}, "amount_minor", {"most_minor": 5000}),
    (errors.AmountAboveProtocol, {"amount_minor": 5001}, "amount_minor", {"least_minor": 500, "most_minor": 5000}),
    (errors.AmountOutOfRange, {"amount_minor": 499}, "amount_minor", {"least_minor": 500, "currency": "GBP"}),
    (errors.AmountOutOfRange, {"amount_minor": 8001}, "amount_minor", {}),
    (errors.AmountOutOfRange, {"amount_minor": 0}, "amount_minor", {}),
    (errors.AmountOutOfRange, {"amount_minor": -1}, "amount_minor", {}),
    (errors.AmountOutOfRange, {"amount_minor": 2**63}, "amount_minor", {}),
    (errors.AmountOutOfRange, {"amount_minor": -(2**63)}, "amount_minor", {}),
    (errors.AmountNotAdjustable, {"incentive": "fixed", "amount_minor": 701}, "amount_minor", {}),
    (errors.AmountNotAdjustable, {"incentive": "percent", "amount_minor": 100}, "amount_minor", {}),
    (errors.AmountNotAdjustable, {"incentive": "points", "amount_minor": 250}, "amount_minor", {}),
    (errors.AmountNotAdjustable, {"incentive": "sorry", "amount_minor": 0}, "amount_minor", {}),
    (errors.EmailInvalid, {"customer": named("no-at-sign.example.com")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("two@@example.com")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("ana@example")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("ana@localhost")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("ana@host.invalid")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("an a@example.com")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("a@b.com\nBcc: all@example.com")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("a" * 65 + "@example.com")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("a\0b@example.com")}, "customer.email", {}),
    (errors.EmailInvalid, {"customer": named("   ")}, "customer.email", {}),
    (errors.PhoneInvalid, {"customer": named(phone="+999 123 456 789")}, "customer.phone", {}),
    (errors.PhoneInvalid, {"customer": named(phone="+44 20")}, "customer.phone", {}),
    (errors.PhoneInvalid, {"customer": named(phone="call me")}, "customer.phone", {}),
    (errors.PhoneInvalid, {"customer": named(phone="0" * 300)}, "customer.phone", {}),
    # Spelled as in London, and nothing says that it is London.
    (errors.PhoneInvalid, {"customer": named(phone="020 7946 0018")}, "customer.phone", {}),
    (errors.InputInvalid, {"customer": named(EMAIL, segment="silver")}, None, {}),
    (errors.InputInvalid, {"channels": ("fax",)}, None, {}),
    (errors.InputInvalid, {"severity": 0}, None, {}),
    (errors.InputInvalid, {"severity": 5}, None, {}),
    (errors.ChannelWithoutAddress, {"channels": ("sms",)}, "customer.phone", {"channel": "sms"}),
    (
        errors.ChannelWithoutAddress,
        {"channels": ("email", "sms"), "customer": named(phone=PHONE)},
        "customer.email",
        {"channel": "email"},
    ),
    (errors.ChannelWithoutAddress, {"channels": ("email",), "customer": named()}, "customer.email", {}),
    (errors.CaseNotFound, {"case_id": uuid.UUID(int=7)}, "case_id", {}),
    (errors.NoBudget, {"incentive": "euros"}, None, {"currency": "EUR"}),
)


@pytest.mark.parametrize(
    ("refusal", "asked", "field", "facts"), REFUSED, ids=lambda value: getattr(value, "__name__", None)
)
def test_it_is_refused_and_leaves_nothing(
    refusal: type[Refusal], asked: dict[str, Any], field: str | None, facts: dict[str, Any], shop_of_refusals: Shop
) -> None:
    shop = shop_of_refusals
    found = shop.refused(refusal, shop.issue, idempotency_key="key", **asked)
    assert found.facts.get("field") == field
    assert facts.items() <= found.facts.items()
    assert found.detail
    assert found.next_step


@pytest.fixture(scope="module")
def open_shops() -> Iterator[dict[str, Shop]]:
    """The shops of this module, one a database."""
    shops: dict[str, Shop] = {}
    yield shops
    for shop in shops.values():
        shop.core.database.dispose()


@pytest.fixture
def shop_of_refusals(backend: str, databases: Databases, open_shops: dict[str, Shop]) -> Shop:
    """One shop for all refusals: as each leaves nothing, they cannot disturb each other."""
    if backend not in open_shops:
        open_shops[backend] = Shop.opened(databases.new())
    return open_shops[backend]


@pytest.mark.parametrize("amount", [1000.0, 1000.5, "1000", True])
def test_what_is_no_whole_number_is_no_amount(shop_of_refusals: Shop, amount: Any) -> None:
    """A door refuses these by name; should one let them through, they are a bug that writes nothing."""
    before = shop_of_refusals.everything()
    with pytest.raises((TypeError, Refusal)):
        shop_of_refusals.issue(amount_minor=amount)
    assert shop_of_refusals.everything() == before


def test_before_the_first_catalog_there_is_nothing_to_give(database_url: str, shop_of_refusals: Shop) -> None:
    core = make_core(database_url)
    shop = Shop(**{**vars(shop_of_refusals), "core": core})
    shop.refused(errors.NoCatalog, shop.issue)
    core.database.dispose()


def test_a_national_number_is_understood_where_its_country_is_known(shop: Shop) -> None:
    shop.issue(customer=named(phone="020 7946 0018"), channels=("sms",), location="london")
    shop.refused(errors.PhoneInvalid, shop.issue, customer=named(phone="020 7946 0018"), location="new-york")


# --- budgets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "refusal"),
    [
        (budget("of-london", "location", of="london", cap_minor=1999), errors.BudgetExhausted),
        (budget("each-location", "location", cap_count=1), errors.BudgetExhausted),
        (budget("of-gates", "team", of="gates", cap_count=1), errors.BudgetExhausted),
        (budget("each-team", "team", cap_minor=1999), errors.BudgetExhausted),
        (budget("of-agent", "agent", of="agent@example.com", cap_minor=1999), errors.BudgetExhausted),
        (budget("each-agent", "agent", cap_count=1), errors.BudgetExhausted),
        (budget("of-service", "issue_tag", of="service", cap_minor=1999), errors.BudgetExhausted),
        (budget("each-tag", "issue_tag", cap_count=1), errors.BudgetExhausted),
        (budget("of-voucher", "incentive", of="voucher", cap_count=1), errors.BudgetExhausted),
        (budget("all", cap_count=1), errors.BudgetExhausted),
        (budget("each-customer", "customer", cap_count=1), errors.CustomerCapReached),
        (budget("customer-gbp", "customer", cap_minor=1999), errors.CustomerCapReached),
    ],
    ids=lambda value: value["key"] if isinstance(value, dict) else None,
)
def test_a_budget_that_would_burst_refuses_the_whole_and_is_named(
    open_shop: OpenShop, extra: dict[str, Any], refusal: type[Refusal]
) -> None:
    shop = open_shop(catalog(extra))
    shop.issue(shop.agent)
    found = shop.refused(refusal, shop.issue, shop.agent, channels=("email",), idempotency_key="k")
    # Whose cap it is: staff see by what the customer was known, and that nobody else is linked to them.
    known = {"matched_by": ["email"], "linked_customers": 1} if extra["scope"] == "customer" else {}
    assert found.facts == {"budget": extra["key"], "scope": extra["scope"], **known}
    assert extra["name"] in found.detail
    shop.check()


def test_a_budget_is_given_to_the_last_penny_and_no_further(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=2500)))
    shop.issue()
    shop.refused(errors.BudgetExhausted, shop.issue, amount_minor=1501)
    shop.issue(amount_minor=1500)
    assert shop.pot("pot") == (0, 2500, 0)
    shop.refused(errors.BudgetExhausted, shop.issue, amount_minor=500)
    shop.refused(errors.BudgetExhausted, shop.issue, incentive="points")
    shop.issue(incentive="gift")  # it costs nothing
    shop.issue(incentive="sorry")
    shop.check()


def test_a_budget_of_nothing_gives_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("none", cap_minor=0), budget("to-nobody", "customer", cap_count=0)))
    assert shop.refused(errors.BudgetExhausted, shop.issue).facts["budget"] == "none"
    assert shop.refused(errors.CustomerCapReached, shop.issue, incentive="gift").facts["budget"] == "to-nobody"
    shop.issue(incentive="gift", customer=named())


def test_a_budget_lowered_under_what_was_promised_gives_no_more(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=5000)))
    asked = shop.ask(amount_minor=3000)
    _publish(shop, catalog(budget("pot", cap_minor=1000)))
    shop.refused(errors.BudgetExhausted, shop.issue)
    # What was promised stays promised: the request can still be granted, and spent.
    shop.decide(asked.approval_id)
    assert shop.pot("pot") == (0, 3000, 0)
    shop.check()


def test_a_budget_that_was_raised_gives_more(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=1000)))
    shop.issue()
    shop.refused(errors.BudgetExhausted, shop.issue)
    _publish(shop, catalog(budget("pot", cap_minor=2000)))
    shop.issue()
    assert shop.pot("pot") == (0, 2000, 0)


def test_without_an_organization_wide_budget_in_money_nothing_is_given(open_shop: OpenShop) -> None:
    counted = budget("count", period="year", currency="GBP", cap_count=10)
    local = budget("local", "location", of="london", cap_minor=10000)
    shop = open_shop(catalog(counted, local, roomy=False))
    shop.refused(errors.NoBudget, shop.issue, location="london")
    shop.issue(incentive="sorry")


def _publish(shop: Shop, text: str) -> None:
    publish_catalog(shop.core, text)


# --- in numbers --------------------------------------------------------------------------------------------------


def test_a_refused_command_disturbs_no_neighbor(shop_of_refusals: Shop) -> None:
    shop = shop_of_refusals
    before = shop.everything()
    commands = [
        wish(**{"customer": named(f"c{number}@example.com"), **asked})
        for number, (_, asked, _, _) in enumerate(REFUSED)
    ]
    results = shop.issue_many(*commands)
    assert [type(each) for each in results] == [refusal for refusal, _, _, _ in REFUSED]
    assert shop.everything() == before


def test_every_incentive_of_the_shop_is_tried_somewhere() -> None:
    tried = {asked.get("incentive") for _, asked, _, _ in REFUSED}
    given = {"voucher", "fixed", "credit", "percent", "refund", "meal", "points", "gift", "dollars", "sorry"}
    assert tried | given >= {each["key"] for each in INCENTIVES}
