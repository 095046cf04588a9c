"""The machines' door to switches, reviews, lists, and to overriding a customer's cap."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.doors.machines import Machines, assert_problem, json_of, opened


@pytest.fixture
def machines(database_url: str) -> Iterator[Machines]:
    with opened(database_url) as machines:
        yield machines


def stop(machines: Machines, role: str = "manager", **changes: Any) -> Any:
    body = {"stops": "issuing", "scope": "organization", "reason": "A leak.", **changes}
    return machines.post("/switches", body, role)


def test_a_switch_is_set_listed_and_lifted(machines: Machines) -> None:
    """Set, refused giving, listed with what was caught, and lifted."""
    issued = json_of(machines.issue())
    made = stop(machines)
    assert made.status_code == 201, made.json
    switch = json_of(made)
    refused = machines.issue()
    assert (refused.status_code, json_of(refused)["type"]) == (409, "/problems/issuing-stopped")
    assert (json_of(refused)["scope"], json_of(refused)["reason"]) == ("organization", "A leak.")
    again = stop(machines)
    assert (again.status_code, json_of(again)["switch_id"]) == (409, switch["id"])
    caught = json_of(machines.get(f"/switches/{switch['id']}/caught", "auditor"))
    kinds = {each["kind"]: each for each in caught["kinds"]}
    assert set(kinds) == {"requests", "holds", "jobs", "messages", "given", "addresses"}
    (given,) = kinds["given"]["items"]
    assert (given["case_id"], given["voucher_id"]) == (issued["case_id"], issued["voucher"]["id"])
    assert given["job_id"] is None
    listed = json_of(machines.get("/switches?status=set", "auditor"))
    assert [each["id"] for each in listed["items"]] == [switch["id"]]
    lifted = machines.post(f"/switches/{switch['id']}/lift", {"reason": "Mended."}, "manager")
    assert (lifted.status_code, json_of(lifted)["switch"]["lift_reason"]) == (200, "Mended.")
    twice = machines.post(f"/switches/{switch['id']}/lift", {"reason": "Mended."}, "manager")
    assert json_of(twice)["type"] == "/problems/switch-already-lifted"
    assert machines.issue().status_code == 201


def test_offers_say_that_it_is_stopped(machines: Machines) -> None:
    """What cannot be given is not offered, but for saying sorry."""
    stop(machines)
    offers = json_of(machines.post("/offers", {"issue_tag": "flight-delayed", "location": "london"}))["offers"]
    assert {each["incentive"] for each in offers if each["offerable"]} <= {"apology-only"}
    assert "issuing-stopped" in str([each["blocked_reasons"] for each in offers])


@pytest.mark.parametrize(
    ("role", "status"), [("frontline", 403), ("till", 403), ("integrator", 403), ("auditor", 403), ("finance", 201)]
)
def test_who_may_stop(machines: Machines, role: str, status: int) -> None:
    """Those who guard."""
    assert stop(machines, role).status_code == status


def test_what_is_held_is_reviewed(machines: Machines) -> None:
    """An address on the review list holds the gift; released, its voucher is good."""
    listed = {"list": "review", "kind": "email", "value": "Ana@gmail.com", "reason": "Look at it."}
    added = machines.post("/listed-values", listed, "manager")
    assert (added.status_code, json_of(added)["hint"]) == (201, "a…@gmail.com")
    assert json_of(machines.post("/listed-values", listed, "manager"))["type"] == "/problems/already-listed"
    issued = json_of(machines.issue(customer={"email": "ana@gmail.com"}, channels=["email"]))
    assert [each["status"] for each in issued["deliveries"]] == ["held"]
    refused = machines.redeem(code=issued["voucher"]["code"])
    assert json_of(refused)["type"] == "/problems/voucher-frozen"
    (review,) = json_of(machines.get("/reviews?status=open", "supervisor"))["items"]
    assert (review["action"], review["signals"][0]["name"]) == ("hold", "review_list")
    assert json_of(machines.get(f"/reviews/{review['id']}", "auditor"))["issuance_id"] == issued["id"]
    summary = json_of(machines.get("/reviews/summary?days=30", "finance"))
    assert summary["held"] == [{"count": 1, "amount": issued["voucher"]["amount"]}]
    decision = f"/reviews/{review['id']}/decision"
    nameless = machines.post(decision, {"decision": "block"}, "supervisor")
    assert (nameless.status_code, json_of(nameless)["errors"][0]["field"]) == (422, "note")
    done = machines.post(decision, {"decision": "release"}, "supervisor", key="one")
    assert (done.status_code, json_of(done)["unfrozen"], json_of(done)["messages"]) == (200, 1, 1)
    replay = machines.post(decision, {"decision": "release"}, "supervisor", key="one")
    assert replay.headers["Idempotent-Replayed"] == "true"
    assert json_of(machines.post(decision, {"decision": "release"}, "manager"))["type"] == (
        "/problems/review-already-decided"
    )


def test_what_is_denied_says_nothing_of_why(machines: Machines) -> None:
    """The refusal has no facts: whoever tries learns nothing of the lists."""
    listed = {"list": "deny", "kind": "email_domain", "value": "example.net", "reason": "Throwaway."}
    made = json_of(machines.post("/listed-values", listed, "manager"))
    before = machines.rows(without=("reviews", "audit_events"))
    refused = json_of(machines.issue(customer={"email": "x@example.net"}))
    assert refused["type"] == "/problems/blocked-by-safeguards"
    assert not {"signals", "review", "reason", "field"} & refused.keys()
    assert machines.rows(without=("reviews", "audit_events")) == before
    removed = machines.post(f"/listed-values/{made['id']}/removal", {"reason": "A mistake."}, "manager")
    assert removed.status_code == 200
    assert machines.issue(customer={"email": "x@example.net"}).status_code == 201
    assert json_of(machines.get("/listed-values?list=deny", "manager"))["items"] == []


def test_an_entry_ends_on_a_day_that_every_page_can_show(machines: Machines) -> None:
    listed = {"list": "deny", "kind": "email_domain", "value": "example.net", "reason": "Leaked."}
    for ends in ("9999-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"):
        answer = machines.post("/listed-values", {**listed, "expires_at": ends}, "manager")
        problem = assert_problem(answer, 422, "input-invalid", field="expires_at")
        assert problem["errors"] == [
            {"field": "expires_at", "message": "Outside of the calendar: use a year from 1900 to 9998."}
        ]
    last = {**listed, "expires_at": "9998-12-31T23:59:59Z"}
    assert machines.post("/listed-values", last, "manager").status_code == 201


def test_a_file_goes_on_a_list(machines: Machines) -> None:
    """All of it, or nothing with every mistake named."""
    wrong = {"list": "deny", "csv": "kind,value,reason\nemail,nobody,Why\n"}
    found = json_of(machines.post("/listed-values/import", wrong, "manager"))
    assert (found["added"], found["mistakes"][0]["line"]) == (0, 2)
    good = {"list": "deny", "csv": "kind,value,reason\nemail_domain,example.org,Why\n"}
    assert json_of(machines.post("/listed-values/import", good, "manager"))["added"] == 1


def test_overriding_is_for_those_who_may(machines: Machines) -> None:
    """A till's or a clerk's key does not override, and a reason is needed."""
    assert machines.issue(override={"reason": "Two guests."}).status_code == 403
    assert machines.issue("supervisor", override={"reason": "Two guests."}).status_code == 201
    assert machines.issue("supervisor", override={"reason": " "}).status_code == 422
    assert machines.issue("supervisor", override={}).status_code == 422
