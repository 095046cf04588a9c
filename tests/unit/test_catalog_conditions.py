"""Conditions: what they may ask is checked when the catalog is read; what they fail on is told in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.catalog import conditions
from incentives.catalog.conditions import FACTS, OPERATORS, TYPES, Facts, Order, explain, facts_of
from incentives.catalog.document import parse
from incentives.kernel.money import Money
from tests.unit.catalog_files import changed, line_of, mistakes
from tests.unit.catalog_safeguards import GUARDED

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)  # a Monday
WORDS = "  - {key: words, kind: apology_only,"
CATALOG = parse(GUARDED)


def told(**values: Any) -> Facts:
    return Facts(values={name.replace("__", "."): value for name, value in values.items()}, now=NOW)


def asked(condition: str) -> list[dict[str, Any]]:
    """Return what is told of a condition that stands in an incentive in pounds."""
    old = "    redeem_when: {fact: location.group, is: uk}\n"
    text = changed(old, f"    redeem_when: {condition}\n", GUARDED)
    errors = mistakes(text)
    assert all(each["line"] == line_of(text, condition) for each in errors)
    assert all(each["path"].startswith("incentives[off].redeem_when") for each in errors)
    return errors


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("{fact: location.name, is: x}", "nothing that a condition can ask; did you mean “location"),
        ("{fact: customer.segment, is: gold}", "not known when it is redeemed"),
        ("{fact: order.total_minor, is: 5}", "“is” does not belong to a condition on order.total_minor"),
        ("{fact: order.total_minor, at_least: 10.5}", "smallest unit of the incentive's currency"),
        ("{fact: order.total_minor, at_least: '5'}", "smallest unit"),
        ("{fact: case.severity, at_least: true}", "must be a whole number"),
        ("{fact: time.weekday, is: sonday}", "did you mean “sunday”?"),
        ("{fact: time.of_day, after: 8 o'clock}", "a local time, such as 08:30"),
        ("{fact: time.date, before: 2026-13-01}", "a date, such as"),
        ("{fact: order.given, is: 'yes'}", "true or false"),
        ("{fact: location, in: [londn]}", "There is no location “londn”; did you mean “london”?"),
        ("{fact: location, in: []}", "a list with at least one entry"),
        ("{fact: case.issue_tag, is: lite}", "There is no issue tag “lite”"),
        ("{fact: location}", "compares once; give exactly one of: is, in"),
        ("{fact: location, is: london, in: [leeds]}", "compares once"),
        ("{fact: location, is: london, missing: maybe}", "not possible here"),
        ("{fact: location, is: london, within_hours: 3}", "Only a customer's attribute has an age"),
        ("{all: []}", "a list with at least one condition"),
        ("{all: [{fact: location, is: london}], any: [{fact: location, is: leeds}]}", "Write one of"),
        ("{not: [{fact: location, is: london}]}", "Write one of"),
        ("in London", "Write one of"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_told_where_it_stands(condition: str, message: str) -> None:
    (error,) = asked(condition)
    assert message in error["message"]


def test_a_customers_attribute_must_be_declared() -> None:
    (error,) = mistakes(changed("customer.attributes.lifetime_value", "customer.attributes.value", GUARDED))
    assert "declare it there" in error["message"]
    (error,) = mistakes(changed("lifetime_value, at_least: 100", "lifetime_value, at_least: gold", GUARDED))
    assert "must be a whole number" in error["message"]


def test_an_incentive_without_a_currency_compares_no_amounts() -> None:
    when = "{fact: order.total_minor, at_least: 5}"
    (error,) = mistakes(changed(WORDS, f"{WORDS} offer_when: {when},", GUARDED))
    assert "has no currency" in error["message"]


def nested(depth: int) -> str:
    return "{not: " * depth + "{fact: location, is: london}" + "}" * depth


def test_a_condition_is_at_most_ten_levels_deep() -> None:
    parse(changed("{fact: location.group, is: uk}", nested(9), GUARDED))
    (error,) = asked(nested(10))
    assert "10 levels" in error["message"]


def test_a_condition_has_at_most_a_hundred_parts() -> None:
    leaf = "{fact: location, is: london}"
    parse(changed("{fact: location.group, is: uk}", f"{{any: [{', '.join([leaf] * 99)}]}}", GUARDED))
    (error,) = asked(f"{{any: [{', '.join([leaf] * 130)}]}}")
    assert "100 parts" in error["message"]


def test_every_type_and_operator_is_used() -> None:
    assert {fact.type for fact in FACTS.values()} == set(TYPES)
    assert {name for each in TYPES.values() for name in each.operators} == set(OPERATORS)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"fact": "location", "is": "london"}, True),
        ({"fact": "location", "in": ("leeds", "london")}, True),
        ({"fact": "location.group", "is": "uk"}, True),
        ({"fact": "location.group", "in": ("mars", "airports")}, True),
        ({"fact": "location.country", "is": "US"}, False),
        ({"fact": "case.issue_tag", "is": "flight"}, True),  # its parent
        ({"fact": "case.severity", "at_most": 2}, False),
        ({"fact": "order.total_minor", "at_least": 3000}, True),
        ({"fact": "order.age_days", "at_most": 2}, False),
        ({"fact": "order.placed_at", "before": "2026-11-21T00:00:00+00:00"}, True),
        ({"fact": "order.given", "is": True}, True),
        ({"fact": "time.weekday", "is": "monday"}, True),
        ({"fact": "time.of_day", "before": "09:30"}, False),
        ({"fact": "time.date", "after": "2026-11-22"}, True),
        ({"fact": "customer.segment", "is": "gold"}, True),
        ({"fact": "customer.attributes.lifetime_value", "at_least": 101}, False),
        ({"fact": "voucher.age_days", "at_most": 5}, False),  # not told
        ({"fact": "voucher.age_days", "at_most": 5, "missing": "pass"}, True),
    ],
)
def test_a_comparison_holds_or_does_not_and_so_does_its_opposite(condition: dict[str, Any], holds: bool) -> None:
    facts = facts_of(
        CATALOG,
        now=NOW,
        currency="GBP",
        location="london",
        issue_tag="late",
        severity=3,
        order=Order(ref="A1", total=Money(3000, "GBP"), placed_at=NOW - timedelta(days=3)),
        customer={"segment": "gold"},
        attributes={"lifetime_value": 100},
    )
    assert explain(condition, facts).holds is holds
    missing = condition["fact"] == "voucher.age_days"
    assert explain({"not": condition}, facts).holds is (holds if missing else not holds)
    assert explain({"not": {"not": condition}}, facts).holds is holds


def test_a_total_in_another_currency_is_not_known() -> None:
    order = Order(total=Money(9000, "USD"))
    facts = facts_of(CATALOG, now=NOW, currency="GBP", location=None, order=order)
    assert not explain({"fact": "order.total_minor", "at_least": 1}, facts).holds


def test_an_attribute_that_is_too_old_is_not_known() -> None:
    condition = {"fact": "customer.attributes.plan", "is": "plus", "within_hours": 24}

    def at(hours: int | None) -> bool:
        known_at = NOW - timedelta(hours=hours) if hours is not None else None
        facts = facts_of(
            CATALOG, now=NOW, currency="GBP", location=None, attributes={"plan": "plus"}, attributes_at=known_at
        )
        return explain(condition, facts).holds

    assert [at(24), at(25), at(None)] == [True, False, False]


def test_what_fails_is_told_in_words() -> None:
    condition = {
        "all": (
            {"fact": "location", "is": "london"},
            {"any": ({"fact": "case.severity", "at_least": 3}, {"fact": "order.total_minor", "at_least": 5000})},
            {"not": {"fact": "time.weekday", "in": ("saturday", "sunday")}},
        )
    }
    unknown = "the order's total is not known; it must be at least 5000"
    verdict = explain(condition, told(location="london", case__severity=2, time__weekday="sunday"))
    assert not verdict.holds
    assert verdict.failed == (
        f"none of these: the severity is 2; it must be at least 3; {unknown}",
        "the day of the week is sunday; it must be not one of saturday, sunday",
    )
    assert [each["holds"] for each in verdict.tree["all"]] == [True, False, False]


def test_no_condition_always_holds() -> None:
    assert explain({}, told()).holds


_LEAVES = st.builds(
    lambda name, missing: {"fact": name, "is": True, "missing": missing},
    st.sampled_from("abc"),
    st.sampled_from(["pass", "fail"]),
)
_TREES = st.recursive(
    _LEAVES,
    lambda each: st.one_of(
        st.builds(lambda parts: {"all": tuple(parts)}, st.lists(each, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": tuple(parts)}, st.lists(each, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, each),
    ),
    max_leaves=12,
)


def meant(node: dict[str, Any], values: dict[str, bool], *, negated: bool = False) -> bool:
    """Say what an expression means, the slow way."""
    if "not" in node:
        return meant(node["not"], values, negated=not negated)
    for name, fold in (("all", all), ("any", any)):
        if name in node:
            other = {all: any, any: all}[fold] if negated else fold
            return bool(other(meant(each, values, negated=negated) for each in node[name]))
    found = values.get(node["fact"])
    return node["missing"] == "pass" if found is None else found is not negated


@given(_TREES, st.dictionaries(st.sampled_from("abc"), st.booleans()))
def test_an_expression_means_what_logic_says(tree: dict[str, Any], values: dict[str, bool]) -> None:
    verdict = conditions.explain(tree, Facts(values=values, now=NOW))
    assert verdict.holds is meant(tree, values)
    assert verdict.holds is (verdict.failed == ())


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("time.date", "2026-W47-5"),
        ("time.date", "20261231"),
        ("order.placed_at", "2026-W53-5T08:30:00+00:00"),
        ("order.placed_at", "0001-01-01T00:00:00+23:00"),
    ],
)
def test_a_day_is_written_as_a_day_of_a_month(fact: str, value: str) -> None:
    told = mistakes_of_offer(f'{{fact: {fact}, after: "{value}"}}')
    assert any(each["message"].startswith("This must be") for each in told)


@pytest.mark.parametrize("number", ["-9999999999999999999", "9999999999999999999", "9007199254740992"])
def test_a_number_is_one_that_every_program_can_hold(number: str) -> None:
    told = mistakes_of_offer(f"{{fact: case.severity, at_least: {number}}}")
    assert any(each["message"].startswith("This must be") for each in told)


def mistakes_of_offer(condition: str) -> list[dict[str, Any]]:
    """Return what is told of a condition under which an incentive is offered."""
    old = "    redeem_when: {fact: location.group, is: uk}\n"
    return mistakes(changed(old, f"{old}    offer_when: {condition}\n", GUARDED))
