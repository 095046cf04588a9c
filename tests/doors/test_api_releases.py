"""The catalog under four eyes over the API: proposed, compared, asked what if, approved for later, brought back."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from incentives.catalog.document import parse
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.world import DEMO_CATALOG

TEXT = DEMO_CATALOG.read_text(encoding="utf-8")
NEW = TEXT.replace("name: Meridian Air & Stays", "name: Meridian", 1)
_CATALOG = "/catalog/releases"


@pytest.fixture
def machines(new_database: Callable[..., str]) -> Iterator[Machines]:
    """The API on the demo catalog, on each database."""
    with opened(new_database()) as machines:
        yield machines


def propose(machines: Machines, text: str = NEW, role: str = "manager") -> Any:
    path = f"{_CATALOG}?reason=A+new+name"
    return machines.call("POST", path, role, data=text.encode(), content_type="application/yaml")


def test_a_file_is_proposed_compared_and_approved_by_another(machines: Machines) -> None:
    answer = propose(machines)
    assert answer.status_code == 201, answer.json
    number = json_of(answer)["number"]
    assert propose(machines).status_code == 200
    found = json_of(machines.get(f"{_CATALOG}/{number}/difference", "finance"))
    assert found["current_number"] == 1
    (section,) = found["sections"]
    assert section["words"] == "The brand"
    assert section["entries"][0]["lines"] == [
        {
            "path": "name",
            "label": "Name",
            "before": "Meridian Air & Stays",
            "after": "Meridian",
            "added": [],
            "removed": [],
        }
    ]
    assert_problem(machines.post(f"{_CATALOG}/{number}/approval", {}, "manager"), 403, "self-approval")
    assert json_of(machines.post(f"{_CATALOG}/{number}/approval", {}, "finance"))["superseded_number"] == 1
    one = json_of(machines.get(f"{_CATALOG}/{number}", "auditor"))
    assert (one["status"], one["reason"]) == ("approved", "A new name")


def test_a_release_is_scheduled_and_taken_back(machines: Machines) -> None:
    number = json_of(propose(machines))["number"]
    at = machines.core.clock.now() + timedelta(days=1)
    past = {"effective_at": (at - timedelta(days=3)).isoformat()}
    refused = machines.post(f"{_CATALOG}/{number}/approval", past, "finance")
    assert_problem(refused, 422, "effective-date-invalid", field="effective_at")
    answer = machines.post(f"{_CATALOG}/{number}/approval", {"effective_at": at.isoformat()}, "finance")
    assert answer.status_code == 200, answer.json
    listed = json_of(machines.get(_CATALOG, "auditor"))["items"]
    assert [each["status"] for each in listed] == ["scheduled", "approved"]
    assert machines.post(f"{_CATALOG}/{number}/withdrawal", {"reason": "x"}, "auditor").status_code == 403
    assert machines.post(f"{_CATALOG}/{number}/withdrawal", {"reason": "x"}, "finance").status_code == 200
    problem = machines.post(f"{_CATALOG}/{number}/withdrawal", {"reason": "x"}, "finance")
    assert_problem(problem, 409, "release-already-decided")


def test_an_older_one_is_brought_back(machines: Machines) -> None:
    number = json_of(propose(machines))["number"]
    machines.post(f"{_CATALOG}/{number}/approval", {}, "finance")
    answer = machines.post(f"{_CATALOG}/1/rollback", {"reason": "The old name was better."}, "manager")
    assert answer.status_code == 201
    assert json_of(machines.get(f"{_CATALOG}/{json_of(answer)['number']}", "auditor"))["rollback_of_number"] == 1
    assert_problem(machines.post(f"{_CATALOG}/{number}/rollback", {"reason": "x"}, "manager"), 409, "release-in-force")
    assert_problem(machines.post(f"{_CATALOG}/77/rollback", {"reason": "x"}, "manager"), 404, "release-not-found")


def test_what_if_is_asked_of_a_release(machines: Machines) -> None:
    machines.issue()
    found = json_of(machines.post(f"{_CATALOG}/1/what-if", {"days": 30}, "finance"))
    assert (found["replayed"], found["refused"], found["reasons"]) == (1, 0, {})
    assert all(each["was_minor"] == each["would_minor"] for each in found["budgets"])
    assert machines.post(f"{_CATALOG}/1/what-if", {}, "frontline").status_code == 403
    assert machines.post(f"{_CATALOG}/1/what-if", {"days": 0}, "finance").status_code == 422


def test_a_broken_file_is_told_line_by_line(machines: Machines) -> None:
    answer = propose(machines, TEXT.replace("currency: GBP", "currency: gbp", 1))
    told = assert_problem(answer, 422, "catalog-invalid")
    assert {"line", "path", "message"} <= set(told["errors"][0])
    assert propose(machines, role="frontline").status_code == 403


def test_the_catalog_is_exported_and_its_languages_are_counted(machines: Machines) -> None:
    answer = machines.get("/catalog/export", "auditor")
    assert answer.content_type.startswith("application/yaml")
    assert parse(answer.data) == parse(TEXT)
    english, spanish = json_of(machines.get("/catalog/languages", "auditor"))["items"]
    assert english["present"] == english["total"] == spanish["present"]


def test_an_offer_explains_itself(machines: Machines) -> None:
    body = {"issue_tag": "flight-delayed", "location": "london", "channels": ["sms"]}
    found = json_of(machines.post("/offers", body))
    assert all("channel-without-address" in each["blocked_reasons"] for each in found["offers"])
    assert all(each["explanations"] for each in found["offers"])
    assert {each["reason"] for each in found["protocol"]["losers"]} <= {"farther-tag", "less-specific"}
