"""Programs work on cases: from opening one to closing it, with files, shares and everything beside it."""

import io
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.doors.machines import Machines, assert_problem, fresh_key, json_of, opened

CAUSE = "too-few-staff"
STORY = {"what": "Four hours late.", "when": "This morning."}
REASON = {"reason": "Because."}


@pytest.fixture(scope="module")
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite")
    url = databases.new()
    with opened(url) as machines:
        yield machines
    databases.drop(url)


def open_case(machines: Machines, **changes: Any) -> str:
    """Open a case about a delayed flight from London."""
    body = {
        "issue_tag": "flight-delayed",
        "location": "london",
        "story": STORY,
        "customer": {"name": "Ana Ruiz", "email": "ana.ruiz@customer.example.com"},
        **changes,
    }
    answer = machines.post("/cases", body, key=fresh_key())
    assert answer.status_code == 201, answer.json
    case_id = str(json_of(answer)["id"])
    assert answer.headers["Location"] == f"/api/v1/cases/{case_id}"
    return case_id


def done(machines: Machines, path: str, body: Any, status: int = 200, *, role: str = "supervisor", **more: Any) -> Any:
    """Send something that works and return the answer."""
    answer = machines.call(more.pop("method", "POST"), path, role, json=body, **more)
    assert answer.status_code == status, answer.json
    return json_of(answer)


def whole(machines: Machines, case_id: str, role: str = "supervisor") -> dict[str, Any]:
    return json_of(machines.get(f"/cases/{case_id}", role))


def test_a_case_from_its_opening_to_its_end(machines: Machines) -> None:
    case_id = open_case(machines)
    case = f"/cases/{case_id}"
    wrong = machines.post(f"{case}/steps", {"step": "fix"})
    problem = assert_problem(wrong, 409, "step-out-of-order", field="step")
    assert problem["comes_first"] == "apologize"
    apology = done(machines, f"{case}/apologies", {"channel": "email"}, 201, key=fresh_key())
    assert apology["message_id"] is not None
    assert done(machines, f"{case}/steps", {"step": "review"})["next_step"] == "fix"
    missing = machines.post(f"{case}/close", {"outcome": "recovered", "note": "Well."})
    problem = assert_problem(missing, 422, "case-not-documented", field="steps.fix")
    assert [each["field"] for each in problem["errors"]] == ["steps.fix", "steps.follow_up"]
    assert [each["field"] for each in whole(machines, case_id)["missing"]] == ["steps.fix", "steps.follow_up"]
    done(machines, f"{case}/steps", {"step": "fix", "channel": "phone"})
    done(machines, f"{case}/steps", {"step": "follow_up", "status": "skipped", "note": "She said no."})
    done(machines, f"{case}/causes", {"causes": [{"cause": CAUSE, "weight": 100}]}, method="PUT")
    closed = done(machines, f"{case}/close", {"outcome": "recovered", "note": "On the next flight."})
    assert (closed["recovered"], closed["evidence"]) == (True, "judgment")
    found = whole(machines, case_id)
    assert (found["state"], found["status"], found["customer_name"]) == ("closed", "closed", "Ana Ruiz")
    assert [each["cause"] for each in found["causes"]] == [CAUSE]
    assert {"case.opened", "case.closed"} <= {deed["action"] for deed in found["deeds"]}
    assert_problem(machines.post(f"{case}/close", {"outcome": "recovered", "note": "x"}), 409, "case-closed")
    assert_problem(machines.post(f"{case}/reopen", REASON), 403, "not-permitted")
    assert done(machines, f"{case}/reopen", REASON)["round"] == 2


def test_questions_are_asked_for_by_name(machines: Machines) -> None:
    body = {"issue_tag": "flight-delayed", "location": "london", "story": {"what": "Late."}}
    assert_problem(machines.post("/cases", body), 422, "input-invalid", field="story.when")
    answer = machines.post("/cases", {**body, "answers_to_come": True})
    assert answer.status_code == 201
    case = f"/cases/{json_of(answer)['id']}"
    done(machines, f"{case}/answers", {"story": {"when": "Today."}})
    assert json_of(machines.get(case))["story"] == {"what": "Late.", "when": "Today."}


def test_a_repetition_with_the_same_key_is_a_replay(machines: Machines) -> None:
    body, key = {"issue_tag": "flight-delayed", "location": "london", "story": STORY}, fresh_key()
    first, again = machines.post("/cases", body, key=key), machines.post("/cases", body, key=key)
    assert json_of(first) == json_of(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = machines.post("/cases", {**body, "order_ref": "x"}, key=key)
    assert_problem(other, 422, "idempotency-key-reused")


def test_notes_tasks_and_who_was_at_fault(machines: Machines) -> None:
    case_id = open_case(machines)
    case = f"/cases/{case_id}"
    done(machines, f"{case}/notes", {"body": "Call at five."}, 201)
    due = {"kind": "process", "title": "Look at the roster", "due_at": "2030-01-01T12:00:00Z"}
    task = done(machines, f"{case}/tasks", due, 201)["id"]
    assert task in [each["id"] for each in json_of(machines.get("/tasks?limit=200"))["items"]]
    done(machines, f"{case}/tasks/{task}/done", {"result": "One more at noon."})
    assert_problem(machines.post(f"{case}/tasks/{task}/done", {"result": "x"}), 409, "task-already-done")
    assert_problem(machines.post(f"{case}/tasks/{uuid.uuid4()}/done", {"result": "x"}), 404, "task-not-found")
    fault = {"kind": "process", "text": "No handover."}
    assert_problem(machines.call("PUT", f"{case}/responsible", json=fault), 403, "not-permitted")
    done(machines, f"{case}/responsible", fault, method="PUT")
    assert whole(machines, case_id)["responsible"] == "No handover."
    assert whole(machines, case_id, "frontline")["responsible"] is None


def test_a_case_is_said_to_be_beyond_incentives_and_not_to_be_after_all(machines: Machines) -> None:
    case_id = open_case(machines)
    path = f"/cases/{case_id}/salvageable"
    assert_problem(machines.call("PUT", path, json={"salvageable": False}), 422, "input-invalid", field="reason")
    for salvageable in (False, True):
        found = done(machines, path, {"salvageable": salvageable, **REASON}, method="PUT")
        assert found["salvageable"] is salvageable
    notes = [each["text"] for each in whole(machines, case_id)["timeline"] if each["kind"] == "note"]
    assert notes == ["Because.", "Because."]


def test_a_case_is_given_to_a_team_or_by_a_rule(machines: Machines) -> None:
    case = f"/cases/{open_case(machines)}"
    team = json_of(machines.get("/cases"))["items"][0]["team"]
    assert team is None
    nobody = machines.call("PUT", f"{case}/assignment", "supervisor", json=REASON)
    assert_problem(nobody, 422, "input-invalid", field="owner")
    by_rule = {**REASON, "rule": {"to": "supervisor"}}
    assert_problem(
        machines.call("PUT", f"{case}/assignment", "supervisor", json=by_rule), 422, "input-invalid", field="rule"
    )


def test_files_are_sent_as_forms_and_come_back_as_downloads(machines: Machines) -> None:
    case_id = open_case(machines)
    files = f"/cases/{case_id}/files"

    def send(content: bytes, media_type: str = "text/plain", part: str = "file") -> Any:
        given = FileStorage(io.BytesIO(content), "naïve “note”.txt", part, media_type)
        boundary, body = encode_multipart({part: given})
        return machines.call("POST", files, data=body, content_type=f"multipart/form-data; boundary={boundary}")

    answer = send(b"They said: wait.")
    assert answer.status_code == 201, answer.json
    added = json_of(answer)
    assert (added["media_type"], added["size_bytes"], added["repeated"]) == ("text/plain", 16, False)
    assert json_of(send(b"They said: wait."))["repeated"] is True
    found = machines.get(f"{files}/{added['id']}")
    assert (found.status_code, found.data) == (200, b"They said: wait.")
    assert found.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''na%C3%AFve")
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert_problem(send(b"MZ\x00\x00"), 415, "file-type-refused", field="file")
    assert_problem(send(b"<html>", "text/html"), 415, "file-type-refused", field="file")
    assert_problem(send(b"x" * 5_000_001), 413, "file-too-large", field="file")
    assert_problem(send(b"x" * 5_200_000), 413, "file-too-large", field="file")
    assert_problem(send(b"x", part="photo"), 422, "input-invalid", field="file")
    assert_problem(machines.call("POST", files, json={}), 422, "input-invalid", field="file")
    assert_problem(machines.get(f"{files}/{uuid.uuid4()}"), 404, "case-file-not-found")


def test_a_case_is_shared_by_a_link_that_can_be_taken_back(machines: Machines) -> None:
    case = f"/cases/{open_case(machines)}"
    team = done(machines, f"{case}/shares", {"team": "london-gates", "may_edit": True}, 201)
    assert (team["url"], team["expires_at"]) == (None, None)
    assert_problem(machines.post(f"{case}/shares", {"link_days": 3}), 403, "not-permitted")
    link = done(machines, f"{case}/shares", {"link_days": 3}, 201)
    assert "/shared/" in link["url"]
    for body in ({}, {"team": "london-gates", "link_days": 3}):
        assert_problem(machines.post(f"{case}/shares", body, "supervisor"), 422, "input-invalid", field="team")
    key = fresh_key()
    first = machines.post(f"{case}/shares", {"link_days": 3}, "supervisor", key=key)
    again = machines.post(f"{case}/shares", {"link_days": 3}, "supervisor", key=key)
    assert json_of(first) == json_of(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert_problem(machines.call("DELETE", f"{case}/shares/{link['id']}"), 403, "not-permitted")
    ended = machines.call("DELETE", f"{case}/shares/{link['id']}", "supervisor")
    assert ended.status_code == 200
    again = machines.call("DELETE", f"{case}/shares/{link['id']}", "supervisor")
    assert_problem(again, 404, "share-not-found")


def test_cases_are_linked_split_and_merged(machines: Machines) -> None:
    one, other = open_case(machines), open_case(machines)
    done(machines, f"/cases/{one}/links", {"other_id": other})
    part = done(machines, f"/cases/{one}/splits", {"issue_tag": "bag-lost", **REASON}, 201)["id"]
    assert {each["id"]: each["kind"] for each in whole(machines, one)["linked"]} == {other: "related", part: "split"}
    assert done(machines, f"/cases/{one}/merge", {"into_id": other, **REASON})["merged_into_id"] == other
    assert_problem(machines.post(f"/cases/{one}/merge", {"into_id": other, **REASON}, "supervisor"), 409, "case-closed")
    stranger = open_case(machines, customer={"email": "somebody@customer.example.com"})
    body = {"into_id": stranger, **REASON}
    refused = machines.post(f"/cases/{other}/merge", body, "supervisor")
    assert_problem(refused, 422, "case-of-another-customer", field="into_id")


def test_the_list_is_filtered_and_asked_again_for_changes(machines: Machines) -> None:
    case_id = open_case(machines, order_ref="ZZ-TOP")
    found = json_of(machines.get("/cases?q=zz-top&status=open&unowned=true"))["items"]
    assert [each["id"] for each in found] == [case_id]
    assert json_of(machines.get("/cases?q=zz-top&overdue=true"))["items"] == []
    assert json_of(machines.get("/cases?q=zz-top&status=closed&unowned=true"))["items"] == []
    changed = found[0]["changed_at"].replace("+00:00", "Z")
    assert json_of(machines.get(f"/cases?q=zz-top&changed_since={changed}"))["items"] == []
    assert_problem(machines.get("/cases?mine=yes"), 422, "input-invalid", field="mine")
    assert_problem(machines.get("/cases?status=half"), 422, "input-invalid", field="status")
