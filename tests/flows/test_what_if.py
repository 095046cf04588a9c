"""What if another catalog had been in force: what was given is decided once more, and nothing changes."""

from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from typing import Any

import orjson
import pytest

from incentives.flows.what_if import WhatIf, WhatIfReport, what_if
from incentives.kernel.errors import BudgetExhausted, CatalogInvalid, InputInvalid, NotPermitted, ReleaseNotFound
from incentives.spending.tables import budget_periods
from tests import dump
from tests.flows.shop import EMAIL, INCENTIVES, SHOP, Shop, budget, catalog, named, wish
from tests.world import actor, api_key

OpenShop = Callable[..., Shop]

POTS = (
    budget("month", cap_minor=500_000),
    budget("places", "location", cap_minor=400_000),
    budget("people", "customer", cap_count=50),
    budget("tags", "issue_tag", of="service", cap_minor=400_000),
)


def asked(shop: Shop, text: str, **more: Any) -> WhatIfReport:
    return what_if(core=shop.core, actor=actor(shop.core, "finance"), command=WhatIf(text=text, **more))


def changed(text: str, **incentives: Any) -> str:
    """Return a catalog in which some incentives say something else."""
    document = orjson.loads(text)
    for each in document["incentives"]:
        each.update(incentives.get(each["key"], {}))
    return orjson.dumps(document).decode()


def lived(shop: Shop) -> None:
    """Give for some days: defaults and chosen amounts, by several, asked for and at once, to strangers and others."""
    for number in range(4):
        shop.issue(customer=named(EMAIL))
        shop.issue(shop.agent, incentive="fixed", customer=named(f"c{number}@example.com"))
        shop.issue(incentive="credit", amount_minor=3100, location="leeds", severity=3)
        shop.ask(incentive="percent", customer=named(f"d{number}@example.com"))
        shop.issue(incentive="sorry", customer=named())
        shop.clock.advance(timedelta(days=2))


def committed(shop: Shop) -> dict[str, int]:
    """Return what the real pots hold and have committed, by budget."""
    sums: dict[str, int] = {}
    with shop.core.database.read() as tx:
        for row in tx.execute(budget_periods.select()):
            sums[row.budget] = sums.get(row.budget, 0) + row.held_minor + row.committed_minor
    return sums


def test_the_very_same_catalog_refuses_nothing_and_comes_to_the_same_sums(open_shop: OpenShop) -> None:
    text = catalog(*POTS)
    shop = open_shop(text)
    lived(shop)
    before = dump.of(shop.core)
    report = asked(shop, text)
    assert (report.replayed, report.refused, report.reasons, report.not_known) == (20, 0, {}, 0)
    assert (report.asked_then, report.asked_now) == (4, 4)
    real = committed(shop)
    for line in report.budgets:
        assert (line.was_minor, line.was_count) == (line.would_minor, line.would_count)
        assert line.would_minor == real.get(line.key, 0)
    assert {line.key for line in report.budgets} == {"all-gbp", "all-usd", "month", "places", "people", "tags"}
    assert dump.differences(before, dump.of(shop.core)) == {}


def test_a_release_is_asked_by_its_number(shop: Shop) -> None:
    shop.issue()
    report = what_if(core=shop.core, actor=shop.manager, command=WhatIf(number=1))
    assert (report.number, report.replayed, report.refused) == (1, 1, 0)


def test_a_smaller_pot_refuses_what_came_last(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(*POTS))
    for _ in range(5):
        shop.issue()
    report = asked(shop, catalog(budget("month", cap_minor=2500), *POTS[1:]))
    assert (report.replayed, report.refused) == (5, 3)
    assert report.reasons == {"budget-exhausted": 3}
    (line,) = [each for each in report.budgets if each.key == "month"]
    assert (line.was_minor, line.would_minor, line.bursts) == (5000, 2000, 3)
    (total,) = [each for each in report.totals if each.what == "incentive"]
    assert (total.key, total.currency) == ("voucher", "GBP")
    assert (total.sums.was_count, total.sums.would_count, total.sums.refused) == (5, 2, 3)
    assert [each.reasons for each in report.examples] == [("budget-exhausted",)] * 3


def test_a_dearer_default_costs_more_and_what_was_chosen_stays(open_shop: OpenShop) -> None:
    shop = open_shop(SHOP)
    shop.issue()
    shop.issue(amount_minor=2000)
    report = asked(shop, changed(SHOP, voucher={"amount_minor": 1500}))
    (line,) = [each for each in report.budgets if each.key == "all-gbp"]
    assert (line.was_minor, line.would_minor) == (3000, 3500)


def test_every_reason_is_counted(open_shop: OpenShop) -> None:
    shop = open_shop(SHOP)
    shop.issue(shop.agent, incentive="fixed")
    report = asked(shop, changed(SHOP, fixed={"active": False, "locations": ["leeds"]}))
    assert report.reasons == {"inactive": 1, "not-at-this-location": 1}


def test_a_lower_limit_asks_more_often(open_shop: OpenShop) -> None:
    shop = open_shop(SHOP)
    _, program = api_key(shop.core, "frontline")
    shop.issue(program)
    limits = [{"role": "frontline", "currency": "GBP", "per_voucher_minor": 500}]
    report = asked(shop, catalog(limits=limits))
    assert (report.asked_then, report.asked_now, report.refused) == (0, 1, 0)


def test_a_condition_on_what_nobody_wrote_down_is_unknown_and_others_hold(open_shop: OpenShop) -> None:
    shop = open_shop(SHOP)
    shop.issue()
    order = {"offer_when": {"fact": "order.total_minor", "at_least": 5000}}
    grave = {"offer_when": {"fact": "case.severity", "at_least": 3}}
    assert asked(shop, changed(SHOP, voucher=order)).not_known == 1
    report = asked(shop, changed(SHOP, voucher=grave))
    assert (report.not_known, report.reasons) == (0, {"offer-condition-not-met": 1})


def test_what_is_gone_from_the_catalog_is_refused_by_name(open_shop: OpenShop) -> None:
    shop = open_shop(SHOP)
    shop.issue(incentive="gift")
    without = catalog(incentives=[each for each in INCENTIVES if each["key"] != "gift"])
    document = orjson.loads(without)
    for each in document["protocols"]:
        each["incentives"].remove("gift")
    assert asked(shop, orjson.dumps(document).decode()).reasons == {"unknown-incentive": 1}


def test_older_days_are_left_out(shop: Shop) -> None:
    shop.issue()
    shop.clock.advance(timedelta(days=10))
    shop.issue()
    assert asked(shop, SHOP, days=9).replayed == 1
    assert asked(shop, SHOP, days=11).replayed == 2


def test_what_cannot_be_asked_is_refused(shop: Shop) -> None:
    finance = actor(shop.core, "finance")
    for command, refusal in (
        (WhatIf(), InputInvalid),
        (WhatIf(number=1, days=0), InputInvalid),
        (WhatIf(number=9), ReleaseNotFound),
        (WhatIf(text="x"), CatalogInvalid),
    ):
        with pytest.raises(refusal):
            what_if(core=shop.core, actor=finance, command=command)
    with pytest.raises(NotPermitted):
        what_if(core=shop.core, actor=shop.agent, command=WhatIf(number=1))


def test_a_thousand_are_asked_in_a_second_or_so(shop: Shop) -> None:
    """Loosely: on a busy machine it takes longer, and a query for each would take far longer."""
    for _ in range(10):
        shop.issue_many(*[_one(number) for number in range(100)])
    began = perf_counter()
    report = asked(shop, SHOP)
    assert report.replayed == 1000
    assert perf_counter() - began < 10


def _one(number: int) -> Any:

    return wish(customer=named(f"many{number}@example.com"), incentive="points")


def test_what_was_redeemed_is_spent_of_a_budget_that_counts_redemptions(open_shop: OpenShop) -> None:
    """Promises burst nothing there; what is redeemed does, from its instant on."""
    caps: list[dict[str, Any]] = [{"cap_minor": 2000}, {"cap_count": 1}]
    for cap in caps:
        text = catalog(budget("promo", **cap, basis="redemption"))
        shop, really = open_shop(SHOP), open_shop(text)
        refused = 0
        for number in range(5):
            given: dict[str, Any] = {"customer": named(f"a{number}@example.com"), "amount_minor": 1000}
            shop.redeem(shop.voucher(**given).code)
            shop.later(minutes=1)
            try:
                really.redeem(really.voucher(**given).code)
            except BudgetExhausted:
                refused += 1
        assert 0 < refused < 5
        assert asked(shop, text).reasons == {"budget-exhausted": refused}


def test_the_report_names_what_it_does_not_count(open_shop: OpenShop) -> None:
    shop = open_shop(SHOP)
    shop.issue(amount_minor=1000)
    assert asked(shop, SHOP).not_replayed == ()
    assert asked(shop, changed(SHOP, voucher={"most_open_per_customer": 1})).not_replayed == ("voucher",)
