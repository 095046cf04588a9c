"""Criteria: each condition alone, all of them together, the order, and what a holdout is."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.catalog.definitions import Criterion
from incentives.kernel.keys import KeyRing
from incentives.recovery import criteria
from incentives.recovery.criteria import Facts, evaluate, held_out, local_time, matches, spoken
from tests.world import START

FACTS = Facts(
    source="zendesk",
    kind="survey",
    event="order_late",
    score_bp=2500,
    scale="stars_5",
    issue_tags=frozenset({"late", "delivery"}),
    words=spoken("My bag was LOST — again!"),
    segment="gold",
    location="london",
    weekday="friday",
    time="12:30",
    customer_value_minor=50_000,
    currency="GBP",
    severity=3,
    earlier_recoveries=1,
)


@pytest.mark.parametrize(
    ("when", "held"),
    [
        ({}, True),
        ({"sources": ["kiosk", "zendesk"]}, True),
        ({"sources": ["kiosk"]}, False),
        ({"kinds": ["survey"]}, True),
        ({"kinds": ["event"]}, False),
        ({"events": ["order_late"]}, True),
        ({"events": ["outage"]}, False),
        ({"issue_tags": ["delivery"]}, True),
        ({"issue_tags": ["later"]}, False),
        ({"words": ["lost"]}, True),
        ({"words": ["bag  was Lost"]}, True),
        ({"words": ["los"]}, False),
        ({"words": ["found", "again"]}, True),
        ({"words": ["!"]}, False),
        ({"segments": ["gold"]}, True),
        ({"segments": ["silver"]}, False),
        ({"locations": ["london"]}, True),
        ({"locations": ["leeds"]}, False),
        ({"weekdays": ["friday", "monday"]}, True),
        ({"weekdays": ["monday"]}, False),
        ({"score_at_most_pct": 25}, True),
        ({"score_at_most_pct": 24}, False),
        ({"score_at_least_pct": 25}, True),
        ({"score_at_least_pct": 26}, False),
        ({"severity_at_least": 3}, True),
        ({"severity_at_least": 4}, False),
        ({"customer_value_at_least_minor": {"GBP": 50_000}}, True),
        ({"customer_value_at_least_minor": {"GBP": 50_001}}, False),
        ({"customer_value_at_least_minor": {"USD": 1}}, False),
        ({"earlier_recoveries_at_most": 1}, True),
        ({"earlier_recoveries_at_most": 0}, False),
        ({"from_time": "12:30"}, True),
        ({"until_time": "12:30"}, False),
        ({"from_time": "12:00", "until_time": "13:00"}, True),
        ({"from_time": "22:00", "until_time": "06:00"}, False),
        ({"from_time": "22:00", "until_time": "12:31"}, True),
        ({"kinds": ["survey"], "score_at_most_pct": 10}, False),
        ({"moon": "full"}, False),
    ],
)
def test_each_condition(when: dict[str, Any], held: bool) -> None:
    assert (matches(when, FACTS) is not None) is held


@pytest.mark.parametrize(
    "when",
    [
        {"score_at_most_pct": 100},
        {"score_at_least_pct": 0},
        {"events": ["other"]},
        {"segments": ["gold"]},
        {"locations": ["london"]},
        {"severity_at_least": 1},
        {"customer_value_at_least_minor": {"GBP": 0}},
    ],
)
def test_what_nobody_said_matches_no_condition(when: dict[str, Any]) -> None:
    silent = Facts(source="zendesk", kind="survey", weekday="friday", time="12:30", currency="GBP")
    assert matches(when, silent) is None


def test_a_rule_keeps_the_facts_it_held_for_and_no_word_of_the_customer() -> None:
    found = matches({"score_at_most_pct": 50, "words": ["lost"], "issue_tags": ["late"]}, FACTS)
    assert found == {"score_bp": 2500, "scale": "stars_5", "words": ["lost"], "issue_tags": ["late"]}


def test_answers_after_a_recovery_are_for_rules_that_name_them() -> None:
    answer = replace(FACTS, source=criteria.RESURVEY)
    assert matches({"score_at_most_pct": 50}, answer) is None
    assert matches({"score_at_most_pct": 50, "sources": ["resurvey"]}, answer) is not None


@pytest.mark.parametrize(
    ("comment", "phrase"),
    [
        ("Lost baggage", "lost baggage"),
        ("lost\n\tbaggage.", "LOST baggage"),
        ("l\u200bost baggage", "lost baggage"),
        ("\u202elost\u202c baggage", "lost"),
        ("STRASSE", "straße"),
        ("\uff4c\uff4f\uff53\uff54", "lost"),
        ("décalé", "de\u0301cale\u0301"),
    ],
)
def test_words_are_found_however_they_are_written(comment: str, phrase: str) -> None:
    assert spoken(phrase) in spoken(comment)


def test_a_place_has_its_own_weekday_and_time() -> None:
    assert local_time(START, "Europe/London") == ("friday", "12:00")
    assert local_time(START, "Pacific/Auckland") == ("saturday", "01:00")


def rule(key: str, priority: int = 1, **more: Any) -> Criterion:
    usual = {"name": key, "when": {"kinds": ["survey"]}, "then": {"open_case": True}, "mode": "live"}
    return Criterion(key=key, priority=priority, **{**usual, **more})


def keys(*rules: Criterion) -> list[str]:
    return [each.rule.key for each in evaluate(rules, FACTS)]


def test_the_greatest_priority_goes_first_and_equals_by_their_keys() -> None:
    assert keys(rule("b"), rule("a"), rule("c", 9)) == ["c", "a", "b"]


def test_what_stops_stops_and_what_is_off_or_in_shadow_does_not() -> None:
    assert keys(rule("a", 3, stop=True), rule("b", 2)) == ["a"]
    assert keys(rule("a", 3, stop=True, mode="shadow"), rule("b", 2)) == ["a", "b"]
    assert keys(rule("a", 3, stop=True, mode="off"), rule("b", 2)) == ["b"]
    assert keys(rule("a", 3, stop=True, when={"kinds": ["event"]}), rule("b", 2)) == ["b"]


RULES = st.lists(
    st.builds(
        Criterion,
        key=st.text("abcdef", min_size=1, max_size=3),
        name=st.just("r"),
        priority=st.integers(0, 3),
        when=st.fixed_dictionaries(
            {},
            optional={
                "score_at_most_pct": st.integers(0, 100),
                "score_at_least_pct": st.integers(0, 100),
                "kinds": st.lists(st.sampled_from(["survey", "event"]), min_size=1),
                "weekdays": st.lists(st.sampled_from(["friday", "monday"]), min_size=1),
            },
        ),
        then=st.just({"open_case": True}),
        mode=st.sampled_from(["live", "shadow", "off"]),
        stop=st.booleans(),
    ),
    unique_by=lambda each: each.key,
    max_size=6,
)


@given(RULES, st.randoms(), st.integers(0, 10_000))
def test_the_order_of_the_file_does_not_matter(rules: list[Criterion], chance: Any, score_bp: int) -> None:
    facts = replace(FACTS, score_bp=score_bp)
    shuffled = list(rules)
    chance.shuffle(shuffled)
    found = evaluate(rules, facts)
    assert found == evaluate(shuffled, facts)
    ranks = [(-each.rule.priority, each.rule.key) for each in found]
    assert ranks == sorted(ranks)
    assert all(each.rule.mode != "off" for each in found)
    assert not any(each.rule.stop and each.rule.mode == "live" for each in found[:-1])


@given(st.integers(0, 100), st.integers(0, 10_000))
def test_a_score_that_holds_for_a_threshold_holds_for_every_laxer_one(percent: int, score_bp: int) -> None:
    facts = replace(FACTS, score_bp=score_bp)
    if matches({"score_at_most_pct": percent}, facts) is not None:
        assert matches({"score_at_most_pct": min(100, percent + 1)}, facts) is not None
    assert (matches({"score_at_most_pct": percent}, facts) is None) == (score_bp > percent * 100)


RING = KeyRing((("one", b"1" * 32),))


def test_a_holdout_is_as_large_as_it_says_and_each_rule_has_its_own() -> None:
    people = [str(number) for number in range(4000)]
    first = {each for each in people if held_out(RING, "a", each, 20)}
    second = {each for each in people if held_out(RING, "b", each, 20)}
    assert 700 < len(first) < 900
    assert 700 < len(second) < 900
    assert 100 < len(first & second) < 220
    assert first == {each for each in people if held_out(RING, "a", each, 20)}
    assert first < {each for each in people if held_out(RING, "a", each, 40)}


def test_nobody_is_held_out_of_a_rule_without_a_holdout_and_keys_decide_who_is() -> None:
    people = [str(number) for number in range(500)]
    assert not any(held_out(RING, "a", each, 0) for each in people)
    other = KeyRing((("one", b"2" * 32),))
    assert [held_out(RING, "a", each, 50) for each in people] != [held_out(other, "a", each, 50) for each in people]
