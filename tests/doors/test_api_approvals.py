"""Approvals over the API: filters, levels, other incentives, many at once, absences, taking back, revealing."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from incentives.kernel.actors import Role
from incentives.kernel.clock import FixedClock
from tests.databases import SqliteDatabases
from tests.doors.machines import Machines, assert_problem, json_of
from tests.flows.approvals_shop import policed
from tests.world import START, api_key, make_core, person, publish_catalog


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases: SqliteDatabases = request.getfixturevalue("sqlite")
    url = databases.new()
    core = make_core(url)
    publish_catalog(core, policed())
    machines = Machines(core, {role.value: api_key(core, role.value)[0] for role in Role})
    yield machines
    machines.close()
    databases.drop(url)


@pytest.fixture
def machines(prepared: Machines) -> Machines:
    return prepared


def ask(machines: Machines, amount_minor: int = 2000, role: str = "frontline", **more: Any) -> dict[str, Any]:
    """Ask for a voucher in London; return the answer."""
    body = {
        "issue_tag": "long-wait",
        "incentive": "voucher",
        "amount_minor": amount_minor,
        "location": "london",
        **more,
    }
    answer = machines.post("/issuances", body, role, key=str(uuid.uuid4()))
    assert answer.status_code == 202, answer.json
    return json_of(answer)


def decide(machines: Machines, asked: dict[str, Any], role: str, **body: Any) -> Any:
    path = f"/approvals/{asked['approval']['id']}/decision"
    return machines.post(path, {"decision": "grant", **body}, role)


def get(machines: Machines, asked: dict[str, Any], role: str = "manager") -> dict[str, Any]:
    return json_of(machines.get(f"/approvals/{asked['approval']['id']}", role))


def ids(machines: Machines, query: str, role: str = "manager") -> set[str]:
    answer = machines.get(f"/approvals?limit=200&{query}", role)
    assert answer.status_code == 200, answer.json
    return {each["id"] for each in json_of(answer)["items"]}


def test_one_request_says_who_must_agree_and_who_has(machines: Machines) -> None:
    asked = ask(machines, 7000)
    found = get(machines, asked)
    assert (found["policy"], found["level"], found["still_needed"], found["status"]) == ("dear", 1, 1, "pending")
    assert [(each["roles"], each["needed"]) for each in found["levels"]] == [(["manager"], 1), (["finance"], 1)]
    assert (found["may_decide"], found["blocked"], found["votes"]) == (True, None, [])
    assert get(machines, asked, "finance")["blocked"] == "others-turn"
    assert get(machines, asked, "auditor")["blocked"] == "not-permitted"
    assert_problem(decide(machines, asked, "finance"), 403, "not-your-level")
    first = json_of(decide(machines, asked, "manager", comment="Fine.", amount_minor=6500))
    assert first == {
        "id": asked["approval"]["id"], "issuance_id": asked["id"], "status": "pending", "level": 2, "levels": 2,
        "still_needed": 1, "issuance": None,
    }  # fmt: skip
    found = get(machines, asked, "finance")
    assert (found["agreed"]["amount_minor"], found["amount"]["amount_minor"]) == (6500, 7000)
    (vote,) = found["votes"]
    assert (vote["actor_name"], vote["comment"], vote["on_behalf_of_name"]) == ("test manager", "Fine.", None)
    assert_problem(decide(machines, asked, "manager"), 409, "already-voted")
    done = json_of(decide(machines, asked, "finance"))
    assert (done["status"], done["issuance"]["voucher"]["amount"]["amount_minor"]) == ("granted", 6500)
    assert "code" not in done["issuance"]["voucher"]


def test_a_list_is_filtered(machines: Machines) -> None:
    small, large, odd = ask(machines, 2000), ask(machines, 7000), ask(machines, 2000, issue_tag="odd")
    small, large, odd = (each["approval"]["id"] for each in (small, large, odd))
    assert {small, large, odd} <= ids(machines, "status=pending")
    mine = ids(machines, "status=pending&mine=true")
    assert {small, large} <= mine
    assert odd not in mine
    assert odd in ids(machines, "mine=true", "finance")
    assert odd in ids(machines, "issue_tag=odd")
    assert small not in ids(machines, "issue_tag=odd")
    assert {small, large} <= ids(machines, "issue_tag=service")
    assert large in ids(machines, "amount_at_least_minor=7000")
    assert small not in ids(machines, "amount_at_least_minor=2001")
    assert small in ids(machines, "location=london")
    assert ids(machines, "location=leeds") == set()
    assert ids(machines, "older_than_minutes=1&status=pending") == set()
    assert small in ids(machines, "older_than_minutes=0")
    for query, field in (
        ("status=maybe", "status"), ("mine=1", "mine"), ("amount_at_least_minor=-1", "amount_at_least_minor"),
        ("older_than_minutes=x", "older_than_minutes"), ("whose=mine", "whose"), ("after=x", "after"),
    ):  # fmt: skip
        assert_problem(machines.get(f"/approvals?{query}", "manager"), 422, "input-invalid", field=field)
    for query, slug, field in (
        ("location=nowhere", "unknown-location", "location"), ("issue_tag=none", "unknown-issue-tag", "issue_tag"),
    ):  # fmt: skip
        assert_problem(machines.get(f"/approvals?{query}", "manager"), 422, slug, field=field)


def test_what_is_another_place_s_is_not_there(machines: Machines) -> None:
    asked = ask(machines)
    secret, _ = api_key(machines.core, "supervisor", location="leeds")
    headers = {"Authorization": f"Bearer {secret}"}
    path = f"/approvals/{asked['approval']['id']}"
    assert_problem(machines.call("GET", path, None, headers=headers), 404, "approval-not-found")
    answer = machines.call("POST", f"{path}/decision", None, headers=headers, json={"decision": "grant"})
    assert_problem(answer, 404, "approval-not-found")
    answer = machines.call("POST", f"{path}/withdrawal", None, headers=headers, json={"reason": "Why not."})
    assert_problem(answer, 404, "approval-not-found")


def test_another_incentive_is_granted(machines: Machines) -> None:
    asked = ask(machines)
    choices = {each["incentive"]: each for each in get(machines, asked)["other_incentives"]}
    assert choices["fixed"]["amount"] == {"amount_minor": 700, "currency": "GBP"}
    assert (choices["credit"]["amount"]["amount_minor"], choices["credit"]["least_minor"]) == (2000, 100)
    before = machines.rows(without=("api_keys",))
    for incentive, slug in (("nothing", "unknown-incentive"), ("elsewhere", "incentive-not-in-protocol")):
        assert_problem(decide(machines, asked, "manager", incentive=incentive), 422, slug, field="incentive")
    answer = decide(machines, asked, "manager", incentive="percent")
    assert_problem(answer, 422, "approval-amount-invalid", field="incentive")
    assert machines.rows(without=("api_keys",)) == before
    done = json_of(decide(machines, asked, "manager", incentive="fixed"))
    assert done["issuance"]["voucher"]["amount"]["amount_minor"] == 700
    found = get(machines, asked)
    assert (found["granted"]["amount_minor"], found["granted_incentive"]) == (700, "fixed")


def test_many_are_decided_each_with_its_own_answer(machines: Machines) -> None:
    one, two, three = ask(machines), ask(machines), ask(machines, 5000)
    body = {
        "decisions": [
            {"approval_id": one["approval"]["id"], "decision": "grant", "amount_minor": 1500},
            {"approval_id": two["approval"]["id"], "decision": "decline", "comment": "Not this time."},
            {"approval_id": three["approval"]["id"], "decision": "grant"},
            {"approval_id": str(uuid.UUID(int=7)), "decision": "grant"},
        ]
    }
    key = str(uuid.uuid4())
    answer = machines.post("/approvals/decisions", body, "manager", key=key)
    assert answer.status_code == 200, answer.json
    items = json_of(answer)["items"]
    assert [each["id"] for each in items] == [each["approval_id"] for each in body["decisions"]]
    assert [each["decided"] and each["decided"]["status"] for each in items] == ["granted", "declined", None, None]
    slugs = [each["problem"] and each["problem"]["type"] for each in items]
    assert slugs == [None, None, "/problems/not-your-level", "/problems/approval-not-found"]
    again = machines.post("/approvals/decisions", body, "manager", key=key)
    assert json_of(again)["items"][:2] == items[:2]
    bodies: tuple[dict[str, Any], ...] = (
        {"decisions": []},
        {"decisions": body["decisions"] * 26},
        {},
        {"decisions": "all"},
    )
    for wrong in bodies:
        assert_problem(machines.post("/approvals/decisions", wrong, "manager"), 422, "input-invalid", field="decisions")
    bent = {"decisions": [{**body["decisions"][0], "decision": "perhaps"}]}
    problem = machines.post("/approvals/decisions", bent, "manager")
    assert_problem(problem, 422, "input-invalid", field="decisions.0.decision")


def test_a_request_is_taken_back(machines: Machines) -> None:
    asked, other = ask(machines), ask(machines)
    path = f"/approvals/{asked['approval']['id']}/withdrawal"
    before = machines.rows(without=("api_keys",))
    assert_problem(machines.post(path, {}, "supervisor"), 422, "input-invalid", field="reason")
    assert_problem(machines.post(path, {"reason": "x"}, "integrator"), 404, "approval-not-found")
    assert_problem(machines.post(path, {"reason": "x"}, "finance"), 403, "not-permitted")
    assert_problem(machines.post(path, {"reason": "a\u0007"}, "supervisor"), 422, "input-invalid", field="reason")
    assert_problem(machines.post(path, {"reason": 7}, "supervisor"), 422, "input-invalid", field="reason")
    assert machines.rows(without=("api_keys",)) == before
    first = machines.post(path, {}, "frontline", key="back")
    assert json_of(first) == {"id": asked["approval"]["id"], "issuance_id": asked["id"], "status": "withdrawn"}
    again = machines.post(path, {}, "frontline", key="back")
    assert (json_of(again), again.headers["Idempotent-Replayed"]) == (json_of(first), "true")
    assert_problem(machines.post(path, {}, "frontline"), 409, "approval-already-decided")
    path = f"/approvals/{other['approval']['id']}/withdrawal"
    assert machines.post(path, {"reason": "Helped at the gate."}, "supervisor").status_code == 200
    assert get(machines, other)["status"] == "withdrawn"


def test_a_granted_hand_over_is_revealed_to_its_requester(machines: Machines) -> None:
    asked = ask(machines)
    path = f"/issuances/{asked['id']}/reveal"
    problem = assert_problem(machines.call("POST", path, "frontline"), 409, "code-not-shown")
    assert problem["reason"] == "pending-approval"
    decide(machines, asked, "manager")
    for role in ("manager", "integrator", "admin"):
        assert_problem(machines.call("POST", path, role), 404, "issuance-not-found")
    assert_problem(machines.call("POST", path, "till"), 403, "not-permitted")
    shown = json_of(machines.call("POST", path, "frontline"))
    assert set(shown["voucher"]) == {"id", "last4", "amount", "expires_at", "status", "code", "token", "url", "qr_url"}
    assert machines.redeem(code=shown["voucher"]["code"]).status_code == 201
    assert_problem(machines.call("POST", path, "frontline"), 409, "code-not-shown")


def test_policies_can_be_tried(machines: Machines) -> None:
    def would(**query: Any) -> Any:
        pairs = "&".join(f"{name}={value}" for name, value in query.items())
        return machines.get(f"/approvals/policies/simulate?{pairs}", "supervisor")

    assert json_of(would(amount_minor=3000))["policy"] is None
    assert "supervisor" in json_of(would(amount_minor=3000))["levels"][0]["roles"]
    found = json_of(would(amount_minor=6000, issue_tag="long-wait", location="london"))
    assert (found["policy"], found["fallback_roles"], found["lifetime_hours"]) == ("dear", ["admin"], 24)
    assert [each["escalate_after_minutes"] for each in found["levels"]] == [60, 120]
    assert found["amount"] == {"amount_minor": 6000, "currency": "GBP"}
    assert json_of(would(amount_minor=6000, location="new-york"))["policy"] is None
    assert json_of(would(amount_minor=1, issue_tag="odd"))["policy"] == "odd"
    for query, slug, field in (
        ({}, "input-invalid", "amount_minor"),
        ({"amount_minor": -1}, "input-invalid", "amount_minor"),
        ({"amount_minor": 1, "currency": "pounds"}, "input-invalid", "currency"),
        ({"amount_minor": 1, "location": "mars"}, "unknown-location", "location"),
        ({"amount_minor": 1, "issue_tag": "mars"}, "unknown-issue-tag", "issue_tag"),
        ({"amount_minor": 1, "incentive": "mars"}, "unknown-incentive", "incentive"),
    ):
        assert_problem(would(**query), 422, slug, field=field)


def test_absences_come_and_go(machines: Machines) -> None:
    mona = person(machines.core, "manager", email="mona@example.com")
    person(machines.core, "supervisor", email="sam@example.com", location="london")
    ends_at = (START + timedelta(days=2)).isoformat()
    body = {
        "absent_email": "Mona@example.com",
        "delegate_email": "sam@example.com",
        "ends_at": ends_at,
        "reason": "Off.",
    }
    for wrong, status, slug, field in (
        ({"ends_at": START.isoformat()}, 422, "input-invalid", "ends_at"),
        ({"ends_at": (START + timedelta(days=200)).isoformat()}, 422, "input-invalid", "ends_at"),
        ({"ends_at": "soon"}, 422, "input-invalid", "ends_at"),
        ({"delegate_email": "nobody@example.com"}, 404, "user-not-found", "delegate_email"),
        ({"delegate_email": "mona@example.com"}, 422, "input-invalid", "delegate_email"),
        ({"absent_email": None}, 422, "input-invalid", "absent_email"),
        ({"reason": " "}, 422, "input-invalid", "reason"),
    ):
        before = machines.rows(without=("api_keys",))
        assert_problem(machines.post("/delegations", {**body, **wrong}, "admin"), status, slug, field=field)
        assert machines.rows(without=("api_keys",)) == before
    assert_problem(machines.post("/delegations", body, "supervisor"), 403, "not-permitted")
    assert_problem(machines.post("/delegations", body, "frontline"), 403, "not-permitted")
    made = machines.post("/delegations", body, "admin", key="away")
    assert made.status_code == 201
    found = json_of(made)
    assert (found["status"], found["absent"], found["delegate_name"]) == ("active", mona.label, "Supervisor")
    again = machines.post("/delegations", body, "admin", key="away")
    assert (json_of(again), again.headers["Idempotent-Replayed"]) == (found, "true")
    listed = json_of(machines.get("/delegations?active=true", "admin"))["items"]
    assert found["id"] in [each["id"] for each in listed]
    assert json_of(machines.get(f"/delegations/{found['id']}", "manager")) == found
    assert_problem(machines.get(f"/delegations/{found['id']}", "finance"), 404, "delegation-not-found")
    ended = json_of(machines.call("DELETE", f"/delegations/{found['id']}", "manager"))
    assert (ended["status"], ended["revoked_by_name"]) == ("revoked", "test manager")
    assert_problem(machines.call("DELETE", f"/delegations/{found['id']}", "admin"), 409, "delegation-ended")
    # A program stands in for nobody.
    asked = ask(machines)
    problem = decide(machines, asked, "manager", on_behalf_of=mona.label)
    assert_problem(problem, 403, "not-delegated", field="on_behalf_of")


def test_time_passes_a_request_on(machines: Machines) -> None:
    asked = ask(machines, 7000)
    assert isinstance(machines.core.clock, FixedClock)
    machines.core.clock.advance(timedelta(minutes=60))
    try:
        assert_problem(decide(machines, asked, "manager"), 403, "not-your-level")
        assert get(machines, asked, "finance")["level"] == 2
        assert json_of(decide(machines, asked, "finance"))["status"] == "granted"
    finally:
        machines.core.clock.advance(timedelta(minutes=-60))
