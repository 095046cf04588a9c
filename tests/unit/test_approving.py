"""Who must agree: which policy fits, whose turn it is as time passes, and what the votes so far agree to."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.spending import approving
from incentives.spending.approving import Terms, Wish, fitting, may_vote, same_mailbox, standing, terms, turns

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class APolicy:
    key: str = "p"
    name: str = "P"
    levels: tuple[dict[str, Any], ...] = ({"roles": ("supervisor",)},)
    at_least_minor: dict[str, int] = field(default_factory=dict)
    issue_tags: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    incentives: tuple[str, ...] = ()
    fallback_roles: tuple[str, ...] = ()
    lifetime_hours: int = 72


def wish(**more: Any) -> Wish:
    usual = {"amount_minor": 5000, "currency": "GBP", "issue_tags": ("late", "service"), "location": "london"}
    return Wish(**{**usual, "incentive": "voucher", **more})


@pytest.mark.parametrize(
    ("said", "wished", "fits"),
    [
        ({}, {}, True),
        ({"at_least_minor": {"GBP": 5000}}, {}, True),
        ({"at_least_minor": {"GBP": 5001}}, {}, False),
        ({"at_least_minor": {"USD": 1}}, {}, False),
        ({"at_least_minor": {"USD": 1}}, {"currency": "USD", "amount_minor": 1}, True),
        ({"issue_tags": ("service",)}, {}, True),
        ({"issue_tags": ("late",)}, {}, True),
        ({"issue_tags": ("odd",)}, {}, False),
        ({"locations": ("london", "leeds")}, {}, True),
        ({"locations": ("leeds",)}, {}, False),
        ({"locations": ("leeds",)}, {"location": None}, False),
        ({"incentives": ("voucher",)}, {}, True),
        ({"incentives": ("meal",)}, {}, False),
    ],
)
def test_a_policy_fits_by_amount_tag_place_and_incentive(said: Any, wished: Any, fits: bool) -> None:
    assert (fitting([APolicy(**said)], wish(**wished)) is not None) is fits


def test_the_first_that_fits_in_the_file_s_order_holds() -> None:
    large, any_amount = APolicy(key="large", at_least_minor={"GBP": 10_000}), APolicy(key="any")
    again = APolicy(key="again")
    policies = [large, any_amount, again]
    assert [getattr(fitting(policies, wish(amount_minor=each)), "key", None) for each in (9999, 10_000)] == [
        "any",
        "large",
    ]
    assert fitting([], wish()) is None


THREE = APolicy(
    levels=(
        {"roles": ("supervisor",), "needed": 2, "escalate_after_minutes": 10},
        {"roles": (), "people": ("Mona@Example.com",), "escalate_after_minutes": 30},
        {"roles": ("finance",), "escalate_after_minutes": 60},
    ),
    fallback_roles=("admin",),
)


@pytest.mark.parametrize(
    ("minutes", "level", "fallback", "escalates"),
    [(0, 1, False, 10), (9.99, 1, False, 10), (10, 2, False, 40), (39, 2, False, 40), (40, 3, False, 100),
     (99, 3, False, 100), (100, 3, True, None), (5000, 3, True, None)],
)  # fmt: skip
def test_levels_pass_a_request_on_by_the_clock_alone(
    minutes: float, level: int, fallback: bool, escalates: int | None
) -> None:
    found = standing(THREE, level=1, since_at=AT, now=AT + timedelta(minutes=minutes))
    assert (found.level, found.fallback) == (level, fallback)
    assert found.escalates_at == (AT + timedelta(minutes=escalates) if escalates else None)


def test_the_last_level_keeps_it_where_there_is_no_fallback() -> None:
    alone = APolicy(levels=({"roles": ("finance",), "escalate_after_minutes": 5},))
    found = standing(alone, level=1, since_at=AT, now=AT + timedelta(days=9))
    assert (found.level, found.fallback, found.escalates_at) == (1, False, None)
    assert standing(None, level=1, since_at=AT, now=AT).is_last


@given(st.integers(1, 4), st.integers(0, 200), st.integers(0, 200))
def test_a_list_finds_a_request_where_it_stands(level: int, came_minutes: int, later_minutes: int) -> None:
    """The conditions for lists say the same as the rule for one."""
    since_at = AT + timedelta(minutes=came_minutes)
    now = since_at + timedelta(minutes=later_minutes)
    one = standing(THREE, level=level, since_at=since_at, now=now)
    (listed,) = [
        where
        for where, came_by, came_after in turns(THREE, level, now)
        if since_at <= came_by and (came_after is None or since_at > came_after)
    ]
    assert (listed.level, listed.fallback) == (one.level, one.fallback)


def test_who_may_vote_follows_the_level_and_the_fallback() -> None:
    def at(minutes: int, role: str, email: str | None = None) -> bool:
        where = standing(THREE, level=1, since_at=AT, now=AT + timedelta(minutes=minutes))
        return may_vote(THREE, where, role=role, email=email)

    assert at(0, "supervisor")
    assert not at(0, "finance")
    assert not at(10, "supervisor")
    assert at(10, "manager", "mona@example.com")
    assert not at(10, "manager")
    assert at(40, "finance")
    assert not at(40, "admin")
    assert at(100, "finance")
    assert at(100, "admin")
    assert may_vote(None, standing(None, level=1, since_at=AT, now=AT), role="anybody", email=None)


def vote(level: int = 1, decision: str = "grant", **more: Any) -> Any:
    usual = {"actor": "person:a", "on_behalf_of": None, "amount_minor": None, "incentive": None}
    return SimpleNamespace(level=level, decision=decision, **{**usual, **more})


def test_votes_count_at_their_own_level() -> None:
    assert approving.still_needed(THREE, [], 1) == 2
    assert approving.still_needed(THREE, [vote()], 1) == 1
    assert approving.still_needed(THREE, [vote(), vote(actor="person:b")], 1) == 0
    assert approving.still_needed(THREE, [vote(), vote(actor="person:b")], 2) == 1


def test_nobody_has_a_say_twice_neither_by_themselves_nor_by_another() -> None:
    votes = [vote(actor="person:a", on_behalf_of="person:b")]
    assert approving.has_voted(votes, "person:a")
    assert approving.has_voted(votes, "person:b", None)
    assert approving.has_voted(votes, "person:c", "person:b")
    assert not approving.has_voted(votes, "person:c", None)


def test_the_lowest_amount_and_the_last_incentive_are_on_the_table() -> None:
    assert terms(5000, []) == Terms(5000, None)
    votes = [vote(amount_minor=4000), vote(amount_minor=4500, incentive="meal"), vote(amount_minor=None)]
    assert terms(5000, votes) == Terms(4000, "meal")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("a@x.com", "A@X.com", True), ("a+b@x.com", "a@x.com", True), ("a@x.com", "b@x.com", False),
     ("a@x.com", "a@y.com", False), (None, None, False), ("a@x.com", None, False)],
)  # fmt: skip
def test_one_mailbox_is_one_person(one: str | None, other: str | None, same: bool) -> None:
    assert same_mailbox(one, other) is same
