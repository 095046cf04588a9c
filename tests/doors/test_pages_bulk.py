"""Giving to many on the pages: sent up, looked through, started, watched, stopped; by itself and for an incident."""

import io
import re
import uuid
from typing import Any

from incentives.flows.bulk_check import check_next
from incentives.flows.bulk_run import Pace, run_chunk, run_next
from incentives.flows.incidents import OpenIncident, open_incident
from incentives.queries.bulk import list_jobs
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check

LIST = (
    b"issue_tag,location,email\nflight-delayed,london,a@customer.example\nflight-delayed,london,b@customer.example\n"
    b"nonsense,london,c@customer.example\n"
)


def send(staff: Staff, content: bytes = LIST, page: str = "/bulk", role: str = "manager", **fields: str) -> Any:
    """Fill in the form and send a list up."""
    visitor = staff.role(role)
    sent: dict[str, Any] = {**visitor.get(page).form("/bulk"), **fields}
    sent.pop("again", None)
    return visitor.client.post("/bulk", data={**sent, "file": (io.BytesIO(content), "late.csv")})


def opened(staff: Staff) -> str:
    answer = send(staff)
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def job_id(address: str) -> uuid.UUID:
    return uuid.UUID(address.rpartition("/")[2])


def look_through(staff: Staff) -> None:
    assert list(check_next(core=staff.core))


def press(staff: Staff, address: str, deed: str, role: str = "manager") -> Any:
    return staff.role(role).fill(address, f"{address}/{deed}")


def test_a_list_is_looked_through_started_and_watched_to_its_end(staff: Staff) -> None:
    address = opened(staff)
    boss = staff.role("manager")
    moving = boss.get(address)
    check(moving)
    assert "Being looked through" in moving.words
    assert "data-poll" in moving.html
    assert re.search(r'<noscript><meta http-equiv="refresh" content="2"></noscript>', moving.html)
    look_through(staff)
    ready = boss.get(address)
    check(ready)
    assert "data-poll" not in ready.html
    assert "http-equiv" not in ready.html
    for said in ("Ready to start", "2 would be given", "1 would be refused", "Unknown issue tag", "late.csv"):
        assert said in ready.words
    assert press(staff, address, "start").status_code == 303
    run_chunk(core=staff.core, job_id=job_id(address), pace=Pace(rows=1))
    running = boss.get(address)
    check(running)
    assert "1 of 3 rows done" in running.words
    while run_next(core=staff.core, paces={}):
        pass
    run_next(core=staff.core, paces={})
    over = boss.get(address)
    check(over)
    assert "Rows that were refused" in over.words
    assert "Done" in over.words
    result = boss.client.get(f"{address}/result.csv")
    assert result.headers["Content-Disposition"].startswith("attachment")
    assert result.text.splitlines()[0] == "line,status,voucher_id,error"
    assert len(result.text.splitlines()) == 4
    assert press(staff, address, "retry").status_code == 303


def test_a_running_list_is_stopped_and_goes_on(staff: Staff) -> None:
    address = opened(staff)
    look_through(staff)
    press(staff, address, "start")
    assert press(staff, address, "stop", "admin").status_code == 303
    stopped = staff.role("manager").get(address)
    check(stopped)
    assert "Stopped by Admin." in stopped.words
    assert "Go on" in stopped.words
    assert f"{address}/start" not in staff.role("admin").get(address).html
    assert "Only Manager starts it" in staff.role("admin").get(address).words
    refused = staff.role("manager").send(f"{address}/stop", {**_token(staff)})
    assert refused.status_code == 409
    assert "The job cannot do that now" in refused.text


def _token(staff: Staff) -> dict[str, str]:
    return {"csrf_token": staff.role("manager").get("/bulk").form("/bulk")["csrf_token"]}


def test_a_list_that_cannot_be_read_says_where(staff: Staff) -> None:
    answer = send(staff, b"issue_tag,colour\nx,y\n")
    assert answer.status_code == 422
    found = Page(answer)
    check(found)
    assert "Line 1: There is no column “colour”" in found.words
    nothing = staff.role("manager").fill("/bulk", "/bulk", again="")
    assert nothing.status_code == 422
    assert "Choose a file." in nothing.text


def test_the_lists_stand_below_each_other_and_only_for_who_may(staff: Staff) -> None:
    empty = staff.role("manager").get("/bulk")
    check(empty)
    assert "No list yet" in empty.words
    address = opened(staff)
    shown = staff.role("manager").get("/bulk")
    check(shown)
    assert address in shown.html
    for role in ("frontline", "auditor", "till"):
        assert staff.role(role).client.get("/bulk").status_code == 403
        assert staff.role(role).client.get(address).status_code == 403


def test_an_incident_has_its_lists_on_its_page(staff: Staff) -> None:
    core = staff.core
    command = OpenIncident(issue_tag="flight-delayed", title="Fog", started_at=core.clock.now(), location="london")
    incident = open_incident(core=core, actor=staff.person("manager"), command=command)
    page = f"/incidents/{incident.id}"
    found = staff.role("manager").get(page)
    check(found)
    assert "Give something to everybody it hit" in found.words
    answer = send(staff, b"email\na@customer.example\n", page)
    assert answer.status_code == 303, answer.text
    (job,) = list_jobs(core=core, actor=staff.person("manager"), incident_id=incident.id).items
    assert job.incident_id == incident.id
    again = staff.role("manager").get(page)
    check(again)
    assert "late.csv" in again.words
    one = staff.role("manager").get(answer.location)
    assert "For an incident" in one.words
    assert "Give something to everybody it hit" not in staff.role("auditor").get(page).words
    assert "/bulk" in staff.role("manager").get("/incidents").html
