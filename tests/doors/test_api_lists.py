"""Lists by cursor: every item once, in order, however few come at a time and whatever is added meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.databases import BACKENDS
from tests.doors.machines import Machines, json_of, opened


@pytest.fixture(scope="module", params=BACKENDS)
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")
    url = databases.new()
    with opened(url) as machines:
        for _ in range(5):
            machines.new_code(amount_minor=1000)
            machines.issue(amount_minor=9000)
        yield machines
    databases.drop(url)


LISTS = [
    "/locations",
    "/issue-tags",
    "/incentives",
    "/protocols",
    "/root-causes",
    "/budgets",
    "/cases",
    "/approvals",
    "/ledger/entries",
]


@pytest.mark.parametrize("path", LISTS)
def test_small_pages_together_are_the_whole_list(machines: Machines, path: str) -> None:
    whole = json_of(machines.get(f"{path}?limit=200"))
    assert whole["next"] is None
    assert len(whole["items"]) > 2
    assert _walk(machines, path, limit=2) == whole["items"]


@pytest.mark.parametrize("path", ["/issue-tags", "/cases"])
def test_a_page_that_ends_with_the_list_has_no_next(machines: Machines, path: str) -> None:
    whole = json_of(machines.get(f"{path}?limit=200"))["items"]
    page = json_of(machines.get(f"{path}?limit={len(whole)}"))
    assert (page["items"], page["next"]) == (whole, None)


def test_what_is_added_meanwhile_moves_nothing(machines: Machines) -> None:
    first = json_of(machines.get("/cases?limit=3"))
    rest = json_of(machines.get(f"/cases?limit=200&after={first['next']}"))["items"]
    machines.new_code(amount_minor=1000)
    assert json_of(machines.get(f"/cases?limit=200&after={first['next']}"))["items"] == rest


def test_the_catalog_is_listed_in_its_own_order_by_key(machines: Machines) -> None:
    assert [each["key"] for each in json_of(machines.get("/locations"))["items"]] == ["london", "new-york", "madrid"]
    tags = {each["key"]: each for each in json_of(machines.get("/issue-tags"))["items"]}
    assert tags["flight-delayed"]["parent"] == "flight"
    incentives = {each["key"]: each for each in json_of(machines.get("/incentives"))["items"]}
    assert (incentives["points-gbp"]["points"], incentives["points-gbp"]["percent"]) == (5000, None)
    protocols = {each["key"]: each for each in json_of(machines.get("/protocols"))["items"]}
    assert protocols["flight-delayed-london"]["most_minor"] == {"GBP": 15000}


def test_what_the_catalog_says_of_recoveries_is_listed(machines: Machines) -> None:
    protocols = {each["key"]: each for each in json_of(machines.get("/protocols"))["items"]}
    canceled = protocols["flight-canceled"]
    assert canceled["clocks"] == {"first_contact": 30, "apology": 60, "incentive": 120, "fix": 240, "close": 1440}
    assert canceled["questions"] == ["what", "when", "differently"]
    assert canceled["tasks"][0] == {"kind": "customer", "title": "Call when they have arrived", "due_hours": 24}
    assert (canceled["resurvey_after"], canceled["resurvey_hours"]) == ("close", 48)
    assert canceled["guidance"]["en"].startswith("Rebook first")
    assert protocols["flight-delayed-a-little"]["optional_steps"] == ["document"]
    assert protocols["long-wait"]["resurvey_after"] is None
    locations = {each["key"]: each for each in json_of(machines.get("/locations"))["items"]}
    assert locations["madrid"]["hours"]["sunday"] == ["00:00", "24:00"]
    assert locations["london"]["hours"]["sunday"] == ["08:00", "20:00"]  # the brand's
    tags = {each["key"]: each for each in json_of(machines.get("/issue-tags"))["items"]}
    assert tags["room-not-clean"]["aliases"]["asknicely"] == ["Cleanliness"]
    assert "filthy" in tags["room-not-clean"]["words"]


def test_root_causes_are_listed_with_what_stands_above_them(machines: Machines) -> None:
    causes = {each["key"]: each for each in json_of(machines.get("/root-causes"))["items"]}
    assert causes["baggage-belt"] == {
        "key": "baggage-belt",
        "parent": "systems",
        "label": {"en": "Baggage system", "es": "Sistema de equipajes"},
        "path": ["baggage-belt", "systems"],
    }
    assert machines.get("/root-causes", "till").status_code == 403


def test_approvals_are_listed_by_status(machines: Machines) -> None:
    (waiting, *_) = json_of(machines.get("/approvals?status=pending", "manager"))["items"]
    machines.post(f"/approvals/{waiting['id']}/decision", {"decision": "decline"}, "manager")
    declined = json_of(machines.get("/approvals?status=declined", "manager"))["items"]
    assert [each["id"] for each in declined] == [waiting["id"]]
    pending = json_of(machines.get("/approvals?status=pending", "manager"))["items"]
    assert waiting["id"] not in [each["id"] for each in pending]
    assert len(json_of(machines.get("/approvals", "manager"))["items"]) == len(pending) + 1


def _walk(machines: Machines, path: str, *, limit: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after = ""
    while True:
        page = json_of(machines.get(f"{path}?limit={limit}{after}"))
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next"] is None:
            return items
        after = f"&after={page['next']}"
