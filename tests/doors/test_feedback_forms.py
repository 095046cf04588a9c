"""Feedback forms at the machines' door and on the staff's pages."""

from collections.abc import Iterator
from typing import Any

import pytest

from incentives.queries.feedback_forms import list_forms
from incentives.recovery.feedback_tables import feedback_forms
from tests.doors.machines import Machines, assert_problem, fresh_key, json_of, opened
from tests.doors.staff import Staff

FORMS = "/feedback-forms"


@pytest.fixture
def machines(sqlite: Any) -> Iterator[Machines]:
    url = sqlite.new()
    with opened(url) as made:
        yield made
    sqlite.drop(url)


def test_a_program_opens_a_form_lists_it_and_closes_it(machines: Machines) -> None:
    key = fresh_key()
    made = machines.post(FORMS, {"label": "Table 12", "location": "london"}, "manager", key=key)
    assert made.status_code == 201
    form = json_of(made)
    assert form["url"].startswith("http://127.0.0.1:8000/f/")
    assert (form["scale"], form["issue_tag"], form["answers"], form["closed_at"]) == ("stars_5", None, 0, None)
    again = machines.post(FORMS, {"label": "Table 12", "location": "london"}, "manager", key=key)
    assert (again.status_code, json_of(again), again.headers["Idempotent-Replayed"]) == (201, form, "true")
    assert json_of(machines.get(FORMS, "manager")) == {"items": [form], "next": None}
    assert json_of(machines.get(f"{FORMS}/{form['id']}", "manager")) == form
    closed = machines.post(f"{FORMS}/{form['id']}/close", None, "manager")
    assert json_of(closed)["closed_at"] is not None
    assert json_of(machines.post(f"{FORMS}/{form['id']}/close", None, "manager")) == json_of(closed)


@pytest.mark.parametrize(
    ("body", "status", "slug", "field"),
    [
        ({}, 422, "input-invalid", "label"),
        ({"label": ""}, 422, "input-invalid", "label"),
        ({"label": "x", "scale": "smileys"}, 422, "input-invalid", "scale"),
        ({"label": "x", "colour": "red"}, 422, "input-invalid", "colour"),
        ({"label": "x", "issue_tag": "nonsense"}, 422, "unknown-issue-tag", "issue_tag"),
        ({"label": "x", "location": "paris"}, 422, "unknown-location", "location"),
    ],
)
def test_what_a_program_may_not_open(
    machines: Machines, body: dict[str, str], status: int, slug: str, field: str | None
) -> None:
    before = machines.rows(without=("api_keys",))
    assert_problem(machines.post(FORMS, body, "manager"), status, slug, field=field)
    assert machines.rows(without=("api_keys",)) == before


def test_a_form_that_is_not_there(machines: Machines) -> None:
    missing = f"{FORMS}/00000000-0000-7000-8000-000000000000"
    assert_problem(machines.get(missing, "manager"), 404, "feedback-form-not-found")
    assert_problem(machines.post(f"{missing}/close", None, "manager"), 404, "feedback-form-not-found")
    assert_problem(machines.get(FORMS, "frontline"), 403, "not-permitted")


def test_a_supervisor_opens_a_form_and_prints_its_code(staff: Staff) -> None:
    visitor = staff.role("supervisor")
    empty = visitor.get("/feedback/forms")
    assert "No forms yet" in empty.words
    answer = visitor.fill("/feedback/forms", "/feedback/forms", label="Table 12", issue_tag="flight")
    assert answer.status_code == 303
    page = visitor.get(answer.location)
    assert page.title.startswith("Table 12")
    (code,) = [each.get("src") for each in page.all("img")]
    picture = visitor.client.get(code)
    assert (picture.status_code, picture.mimetype) == (200, "image/svg+xml")
    (form,) = list_forms(core=staff.core, actor=staff.person("supervisor")).items
    assert (form.location, form.issue_tag) == ("london", "flight")
    assert visitor.client.get(form.url.removeprefix("http://127.0.0.1:8000")).status_code == 200
    listed = visitor.get("/feedback/forms")
    assert "Table 12" in listed.words
    close = f"/feedback/forms/{form.id}/close"
    assert visitor.send(close, page.form(close)).status_code == 303
    assert "This form is closed" in visitor.get(f"/feedback/forms/{form.id}").words


def test_a_mistake_is_said_at_its_field_and_the_page_keeps_what_was_typed(staff: Staff) -> None:
    visitor = staff.role("manager")
    page = visitor.get("/feedback/forms")
    fields = page.form("/feedback/forms") | {"label": "", "issue_tag": "flight", "location": "london"}
    answer = visitor.send("/feedback/forms", fields)
    assert answer.status_code == 422
    assert "Say in 1 to 100 characters where the form is" in answer.text
    assert '<option value="flight" selected>' in answer.text
    twice = [visitor.send("/feedback/forms", fields | {"label": "Counter"}) for _ in range(2)]
    assert twice[0].location == twice[1].location
    assert len(list_forms(core=staff.core, actor=staff.person("manager")).items) == 1


def test_who_does_not_lead_has_no_forms(staff: Staff) -> None:
    for role in ("frontline", "till", "finance"):
        assert staff.role(role).get("/feedback/forms").status == 403
    with staff.core.database.read() as tx:
        assert tx.execute(feedback_forms.select()).all() == []
