"""The rules over the API: a bad score comes in, a rule answers, and what it did and would cost can be read."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.world import START

BAD = {
    "source": "kiosk",
    "external_id": "1",
    "kind": "survey",
    "score": 1,
    "scale": "stars_5",
    "issue_tags": ["flight-delayed"],
    "location": "london",
    "occurred_at": START.isoformat(),
    "customer": {"name": "Ana Ruiz", "email": "ana.ruiz@example.com"},
}


@pytest.fixture
def machines(new_database: Callable[..., str]) -> Iterator[Machines]:
    """The API on the demo catalog, on each database."""
    with opened(new_database()) as machines:
        yield machines


def tell(machines: Machines, **changes: Any) -> dict[str, Any]:
    answer = machines.post("/feedback", {**BAD, **changes}, "integrator")
    assert answer.status_code == 202, answer.json
    return json_of(answer)


def test_a_bad_score_is_answered_by_a_rule_and_the_firing_says_why(machines: Machines) -> None:
    told = tell(machines)
    found = json_of(machines.get("/criteria/very-unhappy/firings", "auditor"))
    (firing,) = found["items"]
    assert found["next"] is None
    assert (firing["case_id"], firing["issuance_id"]) == (told["case_id"], told["issuance_id"])
    assert firing["feedback_id"] == told["id"]
    assert (firing["mode"], firing["outcome"], firing["version"], firing["source"]) == ("live", "acted", 1, "kiosk")
    assert firing["facts"]["score_bp"] == 0
    assert firing["cost"]["currency"] == "GBP"
    assert {each["deed"] for each in firing["actions"]} >= {"open_case", "issue"}
    issuance = json_of(machines.get(f"/issuances/{told['issuance_id']}"))
    assert issuance["status"] == "issued"


def test_the_same_score_again_gives_nothing_more(machines: Machines) -> None:
    told = tell(machines)
    assert tell(machines)["issuance_id"] == told["issuance_id"]
    assert len(json_of(machines.get("/criteria/very-unhappy/firings"))["items"]) == 1


def test_the_list_has_every_rule_in_the_order_in_which_they_are_asked(machines: Machines) -> None:
    tell(machines)
    items = json_of(machines.get("/criteria"))["items"]
    priorities = [each["priority"] for each in items]
    assert priorities == sorted(priorities, reverse=True)
    rule = next(each for each in items if each["key"] == "very-unhappy")
    assert rule["when"]["score_at_most_pct"] == 25
    assert rule["then"]["issue"] == {"channels": ["email"]}
    assert (rule["week"]["times"], rule["week"]["outcomes"]) == (1, {"acted": 1})
    assert rule["tripped"] == []
    first = json_of(machines.get("/criteria?limit=1"))
    assert json_of(machines.get(f"/criteria?limit=200&after={first['next']}"))["items"] == items[1:]


def test_a_threshold_is_simulated_and_changes_nothing(machines: Machines) -> None:
    tell(machines)
    tell(machines, external_id="2", score=3)
    before = machines.rows()
    answer = machines.post("/criteria/simulation", {"at_most": 2, "locations": ["london"]}, "finance")
    found = json_of(answer)
    assert answer.status_code == 200
    assert (found["scale"], found["days"], found["scored"]) == ("stars_5", 28, 2)
    assert [each["cases"] for each in found["thresholds"]] == [1, 1, 2, 2, 2]
    assert [each["at_most"] for each in found["thresholds"] if each["chosen"]] == [2]
    assert found["thresholds"][1]["costs"][0]["currency"] == "GBP"
    assert machines.rows() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "at_most"),
        ({"at_most": 9}, "at_most"),
        ({"at_most": 2, "scale": "moons"}, "scale"),
        ({"at_most": 2, "days": 0}, "days"),
        ({"at_most": 2.5}, "at_most"),
        ({"at_most": 2, "sources": ["a\x00"]}, "sources.0"),
        ({"at_most": 2, "sources": "kiosk"}, "sources"),
        ({"at_most": 2, "tags": []}, "tags"),
    ],
)
def test_a_simulation_that_makes_no_sense_is_refused(machines: Machines, body: dict[str, Any], field: str) -> None:
    assert_problem(machines.post("/criteria/simulation", body, "manager"), 422, "input-invalid", field=field)


@pytest.mark.parametrize("key", ["nobody", "%00", "x" * 300])
def test_a_rule_that_never_was_is_not_found(machines: Machines, key: str) -> None:
    assert_problem(machines.get(f"/criteria/{key}/firings"), 404, "not-found")


def test_who_only_gives_does_not_see_what_triggers_a_voucher(machines: Machines) -> None:
    for path in ("/criteria", "/criteria/very-unhappy/firings"):
        assert_problem(machines.get(path, "integrator"), 403, "not-permitted")
    assert_problem(machines.post("/criteria/simulation", {"at_most": 2}, "frontline"), 403, "not-permitted")
