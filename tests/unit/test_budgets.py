"""Budgets and limits without a database: which match, in what order they are locked, how much room there is."""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.spending.budgets import Charged, Pot, PotKey, Rule, in_unit, matching
from incentives.spending.limits import OVER_CUSTOMER, OVER_DAY, Limit, over_voucher, rules
from incentives.spending.tables import COUNTERS

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANA, BOB = uuid.UUID(int=1), uuid.UUID(int=2)


@dataclass(frozen=True)
class Dimensions:
    """What an issuance is, as budgets see it."""

    location: str | None = "london"
    team: str | None = "gates"
    issue_tags: tuple[str, ...] = ("long-wait", "service")
    incentive: str = "voucher"
    currency: str = "GBP"
    agent_names: tuple[str, ...] = ("person:7", "ana@example.com")
    customers: tuple[uuid.UUID, ...] = (ANA,)


def rule(scope: str = "organization", **more: Any) -> Rule:
    values: dict[str, Any] = {
        "key": "pot",
        "name": "Pot",
        "of": None,
        "currency": None,
        "period": "none",
        "time_zone": "UTC",
        "week_start": 0,
        "cap_minor": None,
        "cap_count": None,
        "on_expiry": "release",
    }
    return Rule(**{**values, "scope": scope, **more})


def subjects(a_rule: Rule, of: Dimensions | None = None) -> list[str]:
    return [each.pot.subject for each in matching([a_rule], of or Dimensions(), NOW)]


@pytest.mark.parametrize(
    ("scope", "of", "charged"),
    [
        ("organization", None, ["organization"]),
        ("location", None, ["london"]),
        ("location", "london", ["london"]),
        ("location", "leeds", []),
        ("team", None, ["gates"]),
        ("team", "desk", []),
        ("agent", None, ["person:7"]),
        ("agent", "ana@example.com", ["ana@example.com"]),
        ("agent", "bob@example.com", []),
        ("issue_tag", None, ["long-wait"]),
        ("issue_tag", "long-wait", ["long-wait"]),
        ("issue_tag", "service", ["service"]),  # the ancestor
        ("issue_tag", "baggage", []),
        ("incentive", None, ["voucher"]),
        ("incentive", "meal", []),
        ("customer", None, [str(ANA)]),
        ("customer", str(ANA), [str(ANA)]),
        ("customer", str(BOB), []),
    ],
)
def test_whom_a_budget_is_charged_for(scope: str, of: str | None, charged: list[str]) -> None:
    assert subjects(rule(scope, of=of)) == charged


def test_who_has_no_place_charges_no_place() -> None:
    nowhere = Dimensions(location=None, team=None, customers=())
    for scope in ("location", "team", "customer"):
        assert subjects(rule(scope), nowhere) == []
    # An API key has no address.
    assert subjects(rule("agent"), replace(nowhere, agent_names=("key:7",))) == ["key:7"]


def test_two_customers_are_two_charges() -> None:
    assert subjects(rule("customer"), Dimensions(customers=(BOB, ANA))) == [str(ANA), str(BOB)]


def test_a_budget_in_a_currency_is_charged_in_that_one() -> None:
    assert subjects(rule(currency="GBP")) == ["organization"]
    assert subjects(rule(currency="USD")) == []


SOME = st.builds(
    rule,
    scope=st.sampled_from(["organization", "location", "team", "agent", "issue_tag", "incentive", "customer"]),
    key=st.sampled_from(["a", "B", "a-b", "ä", "role:x/day"]),
    period=st.sampled_from(["none", "day", "month"]),
)


@given(st.lists(SOME, max_size=12), st.randoms())
def test_whatever_the_order_of_the_catalog_pots_are_locked_in_one(some: list[Rule], random: Any) -> None:
    of = Dimensions(customers=(BOB, ANA))
    first = [each.pot for each in matching(some, of, NOW)]
    random.shuffle(some)
    assert [each.pot for each in matching(some, of, NOW)] == first == sorted(first)


def test_a_pot_belongs_to_its_period() -> None:
    (wanted,) = matching([rule(period="month", time_zone="America/New_York")], Dimensions(), NOW)
    assert wanted.pot == PotKey("pot", "organization", "2026-11-01")
    assert (wanted.start_at, wanted.end_at) == (
        datetime(2026, 11, 1, 4, tzinfo=UTC),
        datetime(2026, 12, 1, 5, tzinfo=UTC),
    )


# --- room --------------------------------------------------------------------------------------------------------


def pot(**counters: int) -> Pot:
    return Pot(id=uuid.UUID(int=9), counters={**dict.fromkeys(COUNTERS, 0), **counters})


@pytest.mark.parametrize("state", ["held", "committed", "spent"])
def test_what_is_held_committed_or_spent_takes_room(state: str) -> None:
    full = pot(**{f"{state}_minor": 700, f"{state}_count": 2})
    capped = rule(currency="GBP", cap_minor=1000, cap_count=3)
    assert full.has_room(capped, 300)
    assert not full.has_room(capped, 301)
    assert not full.has_room(replace(capped, cap_count=2), 1)


def test_what_this_transaction_does_counts_at_once() -> None:
    capped, found = rule(currency="GBP", cap_minor=1000), pot()
    found.add({"held_minor": 600, "held_count": 1})
    assert not found.has_room(capped, 401)
    found.add({"held_minor": -600, "held_count": -1, "committed_minor": 100, "committed_count": 1})
    assert found.has_room(capped, 900)
    assert found.used("count") == 1


def test_without_a_cap_there_is_always_room() -> None:
    assert pot(spent_minor=10**15, spent_count=10**9).has_room(rule(currency="GBP"), 10**15)


def test_a_cap_of_nothing_has_room_for_nothing() -> None:
    assert not pot().has_room(rule(cap_count=0), 0)
    assert pot().has_room(rule(currency="GBP", cap_minor=0), 0)
    assert not pot().has_room(rule(currency="GBP", cap_minor=0), 1)


def test_a_pot_without_a_currency_counts_and_adds_up_no_money() -> None:
    changes = {"held_minor": -5, "held_count": -1, "committed_minor": 5, "committed_count": 1}
    assert in_unit("GBP", changes) == changes
    assert in_unit(None, changes) == {"held_count": -1, "committed_count": 1}
    charged = Charged(
        issuance_id=ANA, pot_id=BOB, pot=PotKey("all", "organization", ""), on_expiry="keep", currency=None, sums={}
    )
    assert charged.in_its_unit(changes) == {"held_count": -1, "committed_count": 1}


# --- limits ------------------------------------------------------------------------------------------------------


def limit(**more: Any) -> Limit:
    return Limit(**{"key": "role:frontline:GBP", "currency": "GBP", "per_voucher_minor": 2000, **more})


@pytest.mark.parametrize(
    ("given_limit", "amount_minor", "over"),
    [
        (None, 0, False),
        (None, 1, True),
        (limit(), 2000, False),
        (limit(), 2001, True),
        (limit(per_voucher_minor=0), 1, True),
        (limit(per_voucher_minor=0), 0, False),
        (limit(per_voucher_minor=None, unlimited=True), 10**15, False),
    ],
)
def test_one_voucher_over_the_limit(given_limit: Limit | None, amount_minor: int, over: bool) -> None:
    assert over_voucher(given_limit, amount_minor) is over


def test_what_counts_is_a_pot_like_any_budget() -> None:
    day, month = rules(limit(per_day_minor=5, per_day_count=6, per_customer_count=7), "Europe/London")
    assert (day.key, day.name, day.scope, day.period) == ("role:frontline:GBP/day", OVER_DAY, "agent", "day")
    assert (day.cap_minor, day.cap_count, day.currency, day.time_zone) == (5, 6, "GBP", "Europe/London")
    assert (month.key, month.name, month.scope, month.period) == (
        "role:frontline:GBP/month",
        OVER_CUSTOMER,
        "customer",
        "month",
    )
    assert (month.cap_minor, month.cap_count, month.asks_approval) == (None, 7, True)


@pytest.mark.parametrize("nothing", [None, limit(), limit(unlimited=True, per_day_minor=5)])
def test_what_does_not_count_has_no_pot(nothing: Limit | None) -> None:
    assert rules(nothing, "UTC") == []
