"""The reports and incidents at both doors: pages that teach when empty, figures with their numbers, sheets."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from bench.trouble import SMALL
from bench.trouble_rows import fill
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import RecoveryPolicy
from incentives.kernel.clock import FixedClock
from incentives.queries.reports.funnel import NAMES
from tests.databases import SqliteDatabases
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.doors.staff import Page, Staff, Visitor
from tests.doors.test_pages import check
from tests.world import PASSWORD, api_key, make_core, person
from wsgi import create_app

PAGES = ("", "/funnel", "/times", "/trends", "/effectiveness", "/return", "/load")
ON_A_SPIKE = SMALL.start + timedelta(days=93)


class Seen:
    """A small year, a manager's browser and an integrator without any right to it."""

    def __init__(self, url: str) -> None:
        self.core = make_core(url, clock=FixedClock(ON_A_SPIKE))
        fill(self.core, SMALL)
        person(self.core, "manager")
        self.app = create_app(self.core)
        self.visitor = Visitor(self.app)
        assert self.visitor.sign_in("manager@example.com", PASSWORD).status_code == 303
        self.secrets = {role: api_key(self.core, role)[0] for role in ("manager", "till")}

    def get(self, path: str) -> Page:
        """Open a page."""
        return self.visitor.get(path)

    def api(self, path: str, role: str = "manager") -> TestResponse:
        """Ask the API."""
        headers = {"Authorization": f"Bearer {self.secrets[role]}"}
        return self.app.test_client().get(f"/api/v1/reports/{path}", headers=headers)


@pytest.fixture(scope="module")
def seen(sqlite: SqliteDatabases) -> Iterator[Seen]:
    """What nobody changes but by opening an incident."""
    url = sqlite.new()
    made = Seen(url)
    yield made
    made.core.database.dispose()
    sqlite.drop(url)


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_report_teaches(staff: Staff, path: str) -> None:
    found = staff.role("manager").get(f"/reports{path}")
    check(found)
    assert 'class="empty"' in found.html
    assert '<svg class="chart-' not in found.html


@pytest.mark.parametrize("path", PAGES)
def test_a_report_has_its_numbers_beside_its_charts_and_as_a_sheet(seen: Seen, path: str) -> None:
    found = seen.get(f"/reports{path}")
    check(found)
    assert '<svg class="chart-' in found.html
    assert all(
        each.get("role") == "img"
        for each in found.all("svg")
        if (each.get("class") or "").startswith(("chart-bar", "chart-lines"))
    )
    links = [each.attrib["href"] for each in found.all("a") if "csv=" in each.attrib["href"]]
    assert links
    for link in links:
        sheet = seen.visitor.client.get(link)
        assert sheet.mimetype == "text/csv"
        assert "attachment" in sheet.headers["Content-Disposition"]
        rows = list(csv.reader(io.StringIO(sheet.text, newline="")))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_the_funnel_leads_to_its_cases(seen: Seen) -> None:
    found = seen.get("/reports/funnel?issue_tag=cold-food&by=location")
    check(found)
    link = next(each.attrib["href"] for each in found.all("a") if "step=redeemed" in each.attrib["href"])
    assert "issue_tag=cold-food" in link
    cases = seen.get(link)
    check(cases)
    number = next(
        "".join(row.itertext()).split("\n") for row in found.all("tr") if "Redeemed" in "".join(row.itertext())
    )
    rows = [each for each in cases.all("a") if (each.get("class") or "") == "list-row"]
    assert f"{len(rows)} of the cases" in cases.words, number
    others = next(each.attrib["href"] for each in cases.all("a") if "missing=1" in each.attrib["href"])
    check(seen.get(others))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from_date=2026-13-01", "There is no such day."),
        ("from_date=soon", "Choose a day."),
        ("from_date=2026-03-01&until_date=2026-02-01", "The first day is after the last."),
        ("by=shoe-size", "Choose one of the list."),
        ("issue_tag=" + "x" * 65, "Write at most 64 characters."),
    ],
)
def test_a_question_that_makes_no_sense_is_said(seen: Seen, query: str, said: str) -> None:
    found = seen.get(f"/reports/funnel?{query}")
    assert found.status == 422
    assert said in found.words


def test_owners_stand_in_trends_only_where_the_policy_allows_it(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Choose one of the list." in seen.get("/reports/trends?by=owner").words
    assert "By owner" not in seen.get("/reports/trends").words
    monkeypatch.setattr(Catalog, "recovery", replace(RecoveryPolicy(), blame_free=False))
    found = seen.get("/reports/trends?by=owner")
    check(found)
    assert found.status == 200
    assert "By owner" in found.words
    assert "Staff 3" in found.words


def test_an_unknown_value_finds_nothing_and_breaks_nothing(seen: Seen) -> None:
    for query in ("issue_tag=nothing", "severity=9", "location=%22%3E%3Cscript%3E", "team='; DROP TABLE feedback"):
        found = seen.get(f"/reports/funnel?{query}")
        check(found)
        assert "<script>" not in found.html.partition("<main")[2]


def test_an_alert_offers_an_incident_once(seen: Seen) -> None:
    found = seen.get("/reports")
    check(found)
    assert "Cold food at Place 2" in found.words
    forms = [each for each in found.all("form") if each.attrib.get("action") == "/incidents"]
    fields = {
        each.attrib["name"]: each.attrib.get("value", "")
        for form in forms
        for each in form.iter("input")
        if any(one.attrib.get("value") == "place-02" for one in form.iter("input"))
    }
    answer = seen.visitor.send("/incidents", fields)
    assert answer.status_code == 303
    incident = seen.get(answer.location)
    check(incident)
    assert "Cold food at Place 2" in incident.words
    assert seen.visitor.send("/incidents", fields).location == answer.location
    assert answer.location in seen.get("/reports").html
    listed = seen.get("/incidents")
    check(listed)
    told = seen.visitor.fill(
        answer.location, f"{answer.location}/tell", words="We are sorry. The oven is being mended."
    )
    assert told.status_code == 303
    assert "could not be reached" in seen.get(told.location).words  # nobody of the made year has an address
    closed = seen.visitor.fill(answer.location, f"{answer.location}/close")
    assert closed.status_code == 303
    assert "Tell those" not in seen.get(answer.location).words


def test_frontline_sees_no_reports(staff: Staff) -> None:
    assert staff.role("frontline").get("/reports").status == 403
    assert "/reports" not in staff.role("frontline").get("/staff").html
    assert staff.role("auditor").get("/reports/load").status == 403
    assert "Load" not in staff.role("auditor").get("/reports").words


@pytest.mark.parametrize("name", ["funnel", "times", "trends", "costs", "effectiveness", "return", "alerts"])
def test_the_api_answers_the_same_as_json_and_as_a_sheet(seen: Seen, name: str) -> None:
    answer = seen.api(name)
    assert answer.status_code == 200, answer.text
    assert json_of(answer)
    sheet = seen.api(f"{name}?format=csv")
    assert sheet.mimetype == "text/csv"
    rows = list(csv.reader(io.StringIO(sheet.text, newline="")))
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}
    assert_problem(seen.api(name, "till"), 403, "not-permitted")
    assert_problem(seen.api(f"{name}?format=pdf"), 422, "input-invalid", field="format")


def test_the_funnel_of_the_api_is_that_of_the_page(seen: Seen) -> None:
    answer = json_of(seen.api("funnel?by=team"))
    assert [each["name"] for each in answer["steps"]] == list(NAMES)
    cases = answer["steps"][1]["count"]
    assert sum(each["counts"]["case"] for each in answer["groups"]) == cases > 0
    assert f"{cases:,}" in seen.get("/reports/funnel").words
    assert_problem(seen.api("funnel?from_date=2026-02-30"), 422, "input-invalid", field="from_date")
    assert_problem(seen.api("trends?by=person"), 422, "input-invalid", field="by")


def test_incidents_by_the_api(sqlite: SqliteDatabases) -> None:
    with opened(sqlite.new()) as machines:
        body = {
            "issue_tag": "flight-delayed",
            "location": "london",
            "title": "Fog",
            "started_at": "2026-11-20T08:00:00Z",
        }
        made = machines.post("/incidents", body, "manager")
        assert made.status_code == 201, made.json
        known = json_of(made)["id"]
        again = assert_problem(
            machines.post("/incidents", body, "manager"), 409, "incident-already-open", field="issue_tag"
        )
        assert again["incident_id"] == known
        assert_problem(machines.post("/incidents", body, "frontline"), 403, "not-permitted")
        assert [each["id"] for each in json_of(machines.get("/incidents"))["items"]] == [known]
        assert json_of(machines.get(f"/incidents/{known}"))["incident"]["title"] == "Fog"
        assert json_of(_post(machines, f"/incidents/{known}/attach")) == {"attached": 0}
        assert json_of(_post(machines, f"/incidents/{known}/close"))["incident"]["closed_at"]
        assert_problem(_post(machines, f"/incidents/{known}/close"), 409, "incident-over")


def _post(machines: Machines, path: str) -> TestResponse:
    return machines.call("POST", path, "manager")


@pytest.mark.parametrize("days", ["from_date=9999-12-31", "from_date=0001-01-01", "until_date=0001-01-01"])
@pytest.mark.parametrize("report", ["trends", "funnel"])
def test_days_at_the_ends_of_the_calendar_are_refused(seen: Seen, report: str, days: str) -> None:
    assert_problem(seen.api(f"{report}?{days}"), 422, "input-invalid", field=days.partition("=")[0])
