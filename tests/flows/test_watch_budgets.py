"""Alerts: once per period, budget and threshold; again once it was raised; by email and as a list."""

from collections.abc import Callable
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.watch_budgets import alert_due
from incentives.kernel import errors
from incentives.kernel.actors import Actor
from incentives.messages.port import BudgetLetter
from incentives.messages.tables import outbox_messages
from incentives.queries.budget_alerts import list_alerts, worst
from incentives.spending.tables import budget_alerts
from tests import dump
from tests.flows.shop import Shop, budget, catalog
from tests.flows.test_budget_requests import decide, propose
from tests.world import actor, make_core, person, publish_catalog

BUDGETS = (
    budget("small", cap_minor=5000),
    budget("other", cap_minor=80000),
    budget("leeds", "location", of="leeds", cap_count=2),
    budget("agents", "agent", cap_count=1),
    budget("customers", "customer", cap_count=50),
)


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop(catalog(*BUDGETS[:3]))


@pytest.fixture
def finance(shop: Shop) -> Actor:
    return person(shop.core, "finance")


def thresholds(shop: Shop, **which: Any) -> list[tuple[int, bool]]:
    found = list_alerts(core=shop.core, actor=shop.manager, **which).items
    return [(each.threshold_percent, each.standing) for each in reversed(found)]


def emails(shop: Shop) -> list[Any]:
    return shop.all(outbox_messages, outbox_messages.c.template == "notice-budget")


def test_each_threshold_is_told_once(shop: Shop, finance: Actor) -> None:
    assert alert_due(core=shop.core) == 0
    shop.issue(amount_minor=2490)
    assert alert_due(core=shop.core) == 0
    shop.issue(amount_minor=500)
    assert alert_due(core=shop.core) == 1
    before = dump.of(shop.core)
    assert alert_due(core=shop.core) == 0
    assert dump.differences(before, dump.of(shop.core)) == {}
    assert thresholds(shop) == [(50, True)]
    shop.issue(amount_minor=2010)
    assert alert_due(core=shop.core) == 3
    assert thresholds(shop) == [(50, True), (80, True), (95, True), (100, True)]
    # Of three that were passed at once only the highest was told.
    assert [row.user_id for row in emails(shop)] == [finance.id, finance.id]
    (worse,) = worst(list(list_alerts(core=shop.core, actor=shop.manager).items))
    assert (worse.threshold_percent, worse.used_minor, worse.name) == (100, 5000, "Pot small")


def test_a_budget_that_is_raised_can_be_told_of_again(shop: Shop, finance: Actor) -> None:
    shop.issue(amount_minor=4500)
    assert alert_due(core=shop.core) == 2
    decide(shop, propose(shop, amount_minor=1000).id, finance)  # 4,500 of 6,000: under 80 percent
    assert alert_due(core=shop.core) == 0
    assert thresholds(shop) == [(50, True), (80, False)]
    shop.issue(amount_minor=500)
    assert alert_due(core=shop.core) == 1
    assert thresholds(shop, standing=True) == [(50, True), (80, True)]
    assert len(emails(shop)) == 2


def test_what_is_released_alone_tells_nobody_anew(shop: Shop, finance: Actor) -> None:
    asked = shop.ask(amount_minor=3000)
    assert alert_due(core=shop.core) == 1
    shop.decide(asked.approval_id, "decline")
    assert alert_due(core=shop.core) == 0
    shop.ask(amount_minor=3000)
    assert alert_due(core=shop.core) == 0
    assert len(emails(shop)) == 1
    assert finance.id == emails(shop)[0].user_id


def test_a_new_period_is_told_of_anew(shop: Shop, finance: Actor) -> None:
    shop.issue(amount_minor=2500)
    alert_due(core=shop.core)
    shop.later(days=15)
    shop.issue(amount_minor=2500)
    assert alert_due(core=shop.core) == 1
    assert thresholds(shop) == [(50, False), (50, True)]
    assert thresholds(shop, standing=True) == [(50, True)]
    assert len(emails(shop)) == 2


def test_a_cap_that_a_release_raises_rearms(shop: Shop) -> None:
    shop.issue(amount_minor=5000)
    assert alert_due(core=shop.core) == 4
    publish_catalog(shop.core, catalog(budget("small", cap_minor=10000), *BUDGETS[1:]))
    assert alert_due(core=shop.core) == 0
    assert thresholds(shop, standing=True) == [(50, True)]


def test_a_number_is_watched_like_money_and_told_where_it_is(shop: Shop) -> None:
    here = person(shop.core, "manager", email="leeds@example.com", location="leeds")
    person(shop.core, "manager", email="london@example.com", location="london")
    person(shop.core, "supervisor", location="leeds")
    shop.issue(incentive="gift", location="leeds")
    assert alert_due(core=shop.core) == 1
    assert [row.user_id for row in emails(shop)] == [here.id]
    event = shop.one(audit_events, audit_events.c.action == "budget.alerted")
    assert event.facts["pot"] == ["leeds", "leeds", "2026-11-01"]
    assert (event.facts["threshold_percent"], event.facts["used_count"]) == (50, 1)


def test_neither_agents_nor_customers_are_watched(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(*BUDGETS[3:]))
    shop.issue()
    assert alert_due(core=shop.core) == 0


def test_a_budget_by_another_basis_is_watched_by_it(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=5000, basis="redemption")))
    code = shop.voucher(amount_minor=4000).code
    assert alert_due(core=shop.core) == 0
    shop.redeem(code)
    assert alert_due(core=shop.core) == 2
    assert [row.used_minor for row in shop.all(budget_alerts)] == [4000, 4000]


def test_the_letter_says_how_far_and_where(shop: Shop, finance: Actor) -> None:
    shop.issue(amount_minor=4000)
    alert_due(core=shop.core)
    shop.deliver()
    found: list[Any] = [each for each in shop.sender("email").letters if each.template == "notice-budget"]
    (letter,) = found
    assert isinstance(letter, BudgetLetter)
    assert letter.used
    assert letter.ceiling
    assert (letter.to, letter.threshold_percent) == (finance.email, 80)
    assert (letter.used.amount_minor, letter.ceiling.amount_minor, letter.ceiling_count) == (4000, 5000, None)
    assert letter.url.endswith("/finance/budgets/small?period=2026-11-01")
    event = shop.all(audit_events)[-1]
    assert (event.action, event.subject_kind) == ("message.captured", "budget_alert")


def test_a_letter_that_a_raise_has_made_untrue_is_not_sent(shop: Shop, finance: Actor) -> None:
    shop.issue(amount_minor=4000)
    alert_due(core=shop.core)
    decide(shop, propose(shop, amount_minor=9000).id, finance)
    alert_due(core=shop.core)
    assert shop.deliver() == ["withdrawn"]


def test_whoever_may_not_read_budgets_sees_no_alerts(shop: Shop) -> None:
    with pytest.raises(errors.NotPermitted):
        list_alerts(core=shop.core, actor=actor(shop.core, "frontline"))


def test_before_the_first_catalog_there_is_nothing_to_watch(database_url: str) -> None:
    core = make_core(database_url)
    assert alert_due(core=core) == 0
    core.database.dispose()
