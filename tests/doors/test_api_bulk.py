"""Bulk at the API's door: a file becomes a job that is foreseen, started, watched, stopped and tried again."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from incentives.flows.bulk_check import check_next
from incentives.flows.bulk_run import Pace, run_next
from tests.doors.machines import Machines, assert_problem, json_of, opened

HEADER = "issue_tag,location,email,incentive"
ROW = "flight-delayed,london,{},"


@pytest.fixture
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite")
    url = databases.new()
    with opened(url) as machines:
        yield machines
    databases.drop(url)


def file_of(number: int, *more: str) -> bytes:
    rows = [ROW.format(f"c{each}@customer.example") for each in range(number)]
    return "\n".join((HEADER, *rows, *more, "")).encode()


def send(machines: Machines, file: bytes, query: str = "", role: str = "manager", **more: Any) -> Any:
    options = {"content_type": "text/csv", **more}
    return machines.call("POST", f"/issuances/bulk{query}", role, data=file, **options)


def work(machines: Machines) -> None:
    """Do what the worker does until nothing is left."""
    while list(check_next(core=machines.core)) or run_next(core=machines.core, paces={}):
        pass
    run_next(core=machines.core, paces={})


def shown(machines: Machines, job_id: str) -> dict[str, Any]:
    return json_of(machines.get(f"/jobs/{job_id}", "manager"))


def test_a_dry_run_shows_totals_and_every_row_and_then_it_is_started(machines: Machines) -> None:
    answer = send(machines, file_of(3, "nonsense,london,d@customer.example,"), "?dry_run=true&channels=email")
    assert answer.status_code == 202, answer.json
    job = json_of(answer)
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["status"], job["repeated"], job["totals"]) == ("checking", False, None)
    work(machines)
    job = shown(machines, job["id"])
    assert (job["status"], job["rows_checked"]) == ("checked", 4)
    assert job["totals"]["verdicts"] == {"issued": 3, "pending_approval": 0, "refused": 1}
    assert job["totals"]["refusals"] == [{"type": "/problems/unknown-issue-tag", "rows": 1}]
    (refused,) = json_of(machines.get(f"/jobs/{job['id']}/rows?status=would_be_refused", "manager"))["items"]
    assert (refused["line"], refused["status"]) == (5, "waiting")
    assert refused["verdict"]["error"]["type"] == "/problems/unknown-issue-tag"
    assert refused["verdict"]["error"]["field"] == "issue_tag"
    started = machines.call("POST", f"/jobs/{job['id']}/start", "manager")
    assert (started.status_code, json_of(started)["status"]) == (202, "running")
    work(machines)
    job = shown(machines, job["id"])
    assert (job["status"], job["rows_issued"], job["rows_refused"]) == ("done", 3, 1)


def test_the_same_file_again_is_the_same_job(machines: Machines) -> None:
    first = json_of(send(machines, file_of(2), "?dry_run=true"))
    work(machines)
    again = send(machines, file_of(2))
    assert json_of(again)["id"] == first["id"]
    assert json_of(again)["repeated"] is True
    assert json_of(again)["status"] == "running"  # It was a dry run, and is none any more.
    work(machines)
    assert shown(machines, first["id"])["rows_issued"] == 2
    assert json_of(send(machines, file_of(2)))["status"] == "done"


def test_the_same_file_once_more_is_once_more_for_each_key(machines: Machines) -> None:
    first = json_of(send(machines, file_of(2)))
    without = send(machines, file_of(2), "?again=true")
    assert (without.status_code, json_of(without)["field"]) == (422, "Idempotency-Key")
    other = json_of(send(machines, file_of(2), "?again=true", key="march"))
    assert (other["repeated"], other["id"] == first["id"]) == (False, False)
    after_a_time_out = json_of(send(machines, file_of(2), "?again=true", key="march"))
    assert (after_a_time_out["repeated"], after_a_time_out["id"]) == (True, other["id"])
    assert json_of(send(machines, file_of(2), "?again=true", key="april"))["repeated"] is False


def test_a_job_that_has_not_begun_takes_the_mode_that_is_asked_for_last(machines: Machines) -> None:
    first = json_of(send(machines, file_of(2), "?dry_run=true"))
    work(machines)
    again = json_of(send(machines, file_of(2), "?mode=all_or_nothing"))
    assert (again["id"], again["mode"], again["status"]) == (first["id"], "all_or_nothing", "running")
    refused = send(machines, file_of(2), "?mode=best_effort")
    assert (refused.status_code, json_of(refused)["job_status"]) == (409, "running")


def test_lines_of_json_are_taken_too(machines: Machines) -> None:
    rows = [
        {"issue_tag": "flight-delayed", "location": "london", "customer": {"email": f"c{n}@customer.example"}}
        for n in range(3)
    ]
    lines = "\n".join(json.dumps(each) for each in rows).encode()
    job = json_of(send(machines, lines, content_type="application/x-ndjson"))
    work(machines)
    assert shown(machines, job["id"])["rows_issued"] == 3


def test_the_result_is_a_file_of_every_line(machines: Machines) -> None:
    job = json_of(send(machines, file_of(2, "nonsense,london,d@customer.example,")))
    work(machines)
    table = machines.get(f"/jobs/{job['id']}/result.csv", "manager")
    assert table.headers["Content-Type"].startswith("text/csv")
    lines = table.text.splitlines()
    assert lines[0] == "line,status,voucher_id,error"
    assert [line.split(",")[:2] for line in lines[1:]] == [["2", "issued"], ["3", "issued"], ["4", "refused"]]
    assert "unknown-issue-tag" in lines[3]
    objects = machines.get(f"/jobs/{job['id']}/result.ndjson", "manager").text.splitlines()
    assert [json.loads(each)["line"] for each in objects] == [2, 3, 4]
    assert json.loads(objects[0])["voucher_id"]


def test_a_file_that_cannot_be_read_names_its_lines_and_leaves_nothing(machines: Machines) -> None:
    before = machines.rows()
    problem = assert_problem(send(machines, b"issue_tag,colour\nx,y\n"), 422, "bulk-file-invalid")
    assert problem["errors"][0]["line"] == 1
    assert "colour" in problem["errors"][0]["message"]
    assert_problem(send(machines, b""), 422, "bulk-file-invalid")
    assert_problem(send(machines, b"{}", content_type="application/json"), 415, "wrong-content-type")
    assert_problem(send(machines, file_of(1), "?mode=sometimes"), 422, "input-invalid", field="mode")
    assert machines.rows() == before


def test_refused_rows_are_tried_again_and_a_job_is_stopped(machines: Machines) -> None:
    job = json_of(send(machines, file_of(1, "nonsense,london,d@customer.example,")))
    assert_problem(machines.call("POST", f"/jobs/{job['id']}/retry", "manager"), 409, "bulk-job-not-ready")
    work(machines)
    retry = machines.call("POST", f"/jobs/{job['id']}/retry", "manager")
    assert (retry.status_code, json_of(retry)["rows_total"], json_of(retry)["retry_of_id"]) == (202, 1, job["id"])
    assert json_of(machines.call("POST", f"/jobs/{job['id']}/retry", "manager"))["repeated"] is True
    stopped = machines.call("POST", f"/jobs/{json_of(retry)['id']}/stop", "manager")
    assert (stopped.status_code, json_of(stopped)["status"]) == (200, "stopped")
    assert_problem(machines.call("POST", f"/jobs/{json_of(retry)['id']}/stop", "manager"), 409, "bulk-job-not-ready")
    listed = json_of(machines.get("/jobs?limit=1", "manager"))
    assert listed["items"][0]["id"] == json_of(retry)["id"]
    assert json_of(machines.get(f"/jobs?limit=1&after={listed['next']}", "manager"))["items"][0]["id"] == job["id"]


def test_only_its_maker_starts_a_job(machines: Machines) -> None:
    job = json_of(send(machines, file_of(1), "?dry_run=true"))
    work(machines)
    assert_problem(machines.call("POST", f"/jobs/{job['id']}/start", "admin"), 403, "bulk-job-of-another")
    assert_problem(send(machines, file_of(1), role="frontline"), 403, "not-permitted")
    assert_problem(machines.get("/jobs/00000000-0000-0000-0000-000000000000", "manager"), 404, "bulk-job-not-found")


def test_rows_come_by_cursor(machines: Machines) -> None:
    job = json_of(send(machines, file_of(5)))
    first = json_of(machines.get(f"/jobs/{job['id']}/rows?limit=3", "manager"))
    second = json_of(machines.get(f"/jobs/{job['id']}/rows?limit=3&after={first['next']}", "manager"))
    assert [each["line"] for each in (*first["items"], *second["items"])] == [2, 3, 4, 5, 6]
    assert second["next"] is None
    assert_problem(
        machines.get(f"/jobs/{job['id']}/rows?after=nowhere", "manager"), 422, "input-invalid", field="after"
    )


def test_the_worker_gives_what_was_sent(machines: Machines) -> None:
    job = json_of(send(machines, file_of(30)))
    assert list(check_next(core=machines.core))[-1].rows == 30
    paces: dict[Any, Pace] = {}
    while run_next(core=machines.core, paces=paces):
        pass
    assert shown(machines, job["id"])["status"] == "done"
    run_next(core=machines.core, paces=paces)
    assert paces == {}
