"""The rules on their pages: what each says in plain words, what it did, what a threshold would have cost."""

import csv
import io
from types import SimpleNamespace
from typing import Any

import pytest

from incentives.flows.respond import respond_to
from incentives.recovery.customers import Contact
from tests.doors.staff import Page, Staff, staff_of
from tests.doors.test_pages import check
from tests.flows.reported import criterion, giving, report, text_with
from tests.flows.shop import PLENTY, budget
from tests.world import publish_catalog

ALL = criterion(
    "all",
    name="Everything at once",
    mode="shadow",
    priority=5,
    when={
        "sources": ["kiosk", "survey-tool"],
        "kinds": ["survey", "complaint"],
        "issue_tags": ["service"],
        "words": ["lost", "broken"],
        "segments": ["gold"],
        "locations": ["london"],
        "weekdays": ["friday"],
        "score_at_most_pct": 50,
        "severity_at_least": 2,
        "customer_value_at_least_minor": {"GBP": 100_000},
        "earlier_recoveries_at_most": 1,
        "from_time": "22:00",
        "until_time": "06:00",
    },
    then={
        "open_case": True,
        "assign": {"to": "same_agent", "team": "gates"},
        "issue": {"channels": ["email", "sms"], "incentive": "voucher"},
        "ask_approval": True,
        "apologize": {"channels": ["email"]},
        "notify": ["supervisor", "manager"],
        "resurvey_hours": 24,
    },
    settle_minutes=15,
    stop=True,
    breaker={"count_per_hour": 20, "amount_minor_per_hour": {"GBP": 50_000}},
    ask_above_minor={"GBP": 2500},
    holdout_percent=10,
)


# The demo catalog was in force before, and its budgets keep their keys.
BUDGETS = [
    budget("shop-gbp", period="year", cap_minor=PLENTY),
    budget("shop-usd", period="year", currency="USD", cap_minor=PLENTY),
]


def put_in_force(staff: Staff, *criteria: Any) -> None:
    publish_catalog(staff.core, text_with(*criteria, roomy=False, budgets=BUDGETS))


@pytest.fixture
def staff(staff: Staff) -> Staff:
    """A staff whose shop has a rule that gives, one in shadow, and three pieces of feedback."""
    put_in_force(staff, giving("bad", name="Two stars or fewer", breaker={"count_per_hour": 2}), ALL)
    for number in range(3):
        answer(staff, number)
    return staff


def answer(staff: Staff, number: int, **given: Any) -> None:
    """Report something bad, and let the criteria act on it."""
    shop: Any = SimpleNamespace(core=staff.core, clock=staff.core.clock)
    contact = Contact(name="Ana Secret", email=f"p{number}@example.com")
    respond_to(core=staff.core, feedback_ids=[report(shop, number, **{"contact": contact, **given})])


def seen(staff: Staff, path: str, role: str = "manager") -> Page:
    found = staff.role(role).get(path)
    check(found)
    return found


def test_the_list_says_when_what_and_how_often(staff: Staff) -> None:
    words = seen(staff, "/criteria").words
    assert words.index("Two stars or fewer") < words.index("Everything at once")
    assert "When it scored 25% or less (2 stars of 5)" in words
    assert "Fired 3 times in the last 7 days, promised £20.00" in words
    assert "Has not fired in the last 7 days" in words
    assert "Breaker tripped" in words
    assert "Shadow" in words


def test_one_rule_says_all_its_conditions_and_limits_in_plain_words(staff: Staff) -> None:
    words = seen(staff, "/criteria/all").words
    for part in (
        "it comes from kiosk or survey-tool",
        "it is a survey or a complaint",
        "it is about Words, or anything below",
        "the comment has the words “lost” or “broken”",
        "the customer is gold",
        "it happened at London",
        "it happened on a Friday",
        "it scored 50% or less (3 stars of 5)",
        "it is annoying or worse",
        "the customer is worth £1,000.00 or more",
        "the customer was given something 1 time at most before",
        "it happened from 22:00 to 06:00, local time",
        "open a case, or join the customer's open one",
        "give it to the agent who served or the team gates",
        "send The voucher by email and SMS, once somebody has agreed",
        "apologize by email",
        "tell supervisors and managers",
        "ask again after 24 hours",
        "At most 20 vouchers and £500.00 within an hour for each source; a person decides about the rest.",
        "Above £25.00 a person decides.",
        "10% of customers get no incentive by it",
        "Acts when a rating has stood for 15 minutes.",
        "No other rule is asked after it.",
        "It does nothing yet.",
        "It has not fired",
        "Version 1",
        "Approved by",
    ):
        assert part in words, part


def test_one_rule_shows_each_firing_with_its_facts_and_what_came_of_it(staff: Staff) -> None:
    found = seen(staff, "/criteria/bad", "auditor")
    assert "survey-tool, London, score 0%" in found.words
    assert "Case: opened; Incentive: issued (The voucher)" in found.words
    assert "Incentive: breaker tripped" in found.words
    assert "The breaker has tripped For survey-tool this rule has given all that it may in this hour." in found.words
    assert "£20.00 in the last 7 days" in found.words
    assert "Ana Secret" not in found.html
    assert len([each for each in found.all("a") if (each.get("href") or "").startswith("/cases/")]) == 3


def test_more_firings_than_a_page_holds_can_be_reached(staff: Staff) -> None:
    for number in range(10, 60):
        answer(staff, number)
    first = seen(staff, "/criteria/bad")
    (older,) = [each.get("href") for each in first.all("a") if "after=" in (each.get("href") or "")]
    assert older
    assert seen(staff, older).words.count("by version 1") == 3


def test_the_firings_as_a_file(staff: Staff) -> None:
    answer(staff, 9, source="=HYPERLINK(1)")
    got = staff.role("finance").client.get("/criteria/bad/firings.csv")
    assert got.status_code == 200
    assert got.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(got.text)))
    assert [each["outcome"] for each in rows] == ["acted", "tripped", "acted", "acted"]
    assert rows[0]["source"] == "'=HYPERLINK(1)"
    assert [each["cost_minor"] for each in rows] == ["1000", "", "1000", "1000"]
    assert "Ana" not in got.text


def test_a_threshold_is_tried_on_what_is_stored(staff: Staff) -> None:
    found = seen(staff, "/criteria/simulate?scale=stars_5&at_most=2&days=1")
    assert "At 2 or fewer: 3 cases a day, £30.00 a day." in found.words
    rows = [" ".join(" ".join(each.itertext()).split()) for each in found.all("tr")]
    assert rows[1:] == [
        "1 3 £30.00 3 100% of all",
        "2 Chosen 3 £30.00 3 100% of all",
        "3 3 £30.00 3 100% of all",
        "4 3 £30.00 3 100% of all",
        "5 3 £30.00 3 100% of all",
    ]
    assert "At 2 or fewer: 0.1 cases a day, £1.07 a day." in seen(staff, "/criteria/simulate").words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("at_most=6", "On this scale a score is 1 to 5."),
        ("at_most=x", "The page could not be read."),
        ("days=0", "Look back 1 to 730 days."),
        ("scale=moons", "A scale is one of"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_said_so_at_its_field(staff: Staff, query: str, words: str) -> None:
    found = seen(staff, f"/criteria/simulate?{query}")
    assert found.status == 422
    assert words in found.words


def test_where_nothing_was_scored_the_page_says_what_to_do(staff: Staff) -> None:
    found = seen(staff, "/criteria/simulate?source=nobody")
    assert "No scores in these days" in found.words


def test_a_rule_that_never_was_is_not_found(staff: Staff) -> None:
    assert staff.role("manager").get("/criteria/nobody").status == 404


@pytest.mark.parametrize("path", ["/criteria", "/criteria/bad", "/criteria/simulate", "/criteria/bad/firings.csv"])
def test_who_serves_customers_does_not_see_what_triggers_a_voucher(staff: Staff, path: str) -> None:
    assert staff.role("frontline").client.get(path).status_code == 403


def test_before_the_first_catalog_the_pages_teach(sqlite: Any, run: Any) -> None:
    with staff_of(sqlite, run, catalog=False) as made:
        assert "No rules yet" in seen(made, "/criteria").words
        assert seen(made, "/criteria/simulate").status == 409


def test_the_approvals_page_says_why_a_rule_asks(staff: Staff) -> None:
    put_in_force(staff, giving("dear", ask_above_minor={"GBP": 1}))
    answer(staff, 70)
    words = staff.role("manager").get("/approvals").words
    assert "More than a rule gives by itself" in words
    assert "Rule dear" in words
