"""Budgets over HTTP: holds, history, alerts, and requests that a second program decides."""

from collections.abc import Iterator
from typing import Any

import pytest

from incentives.flows.carry_over import carry_over_due
from incentives.flows.watch_budgets import alert_due
from tests import dump
from tests.doors.machines import Machines, assert_problem, fresh_key, json_of, opened

ASK: dict[str, Any] = {"kind": "top_up", "budget": "london-month", "amount_minor": 50000, "reason": "A storm"}


@pytest.fixture
def machines(database_url: str) -> Iterator[Machines]:
    with opened(database_url) as machines:
        yield machines


def ask(machines: Machines, role: str = "manager", **changes: Any) -> str:
    answer = machines.post("/budget-requests", {**ASK, **changes}, role, key=fresh_key())
    assert answer.status_code == 201, answer.json
    return str(json_of(answer)["id"])


def decide(machines: Machines, request_id: str, role: str = "finance", **body: Any) -> Any:
    return machines.post(f"/budget-requests/{request_id}/decision", {"decision": "approve", **body}, role)


def test_a_top_up_is_asked_for_and_agreed_to(machines: Machines) -> None:
    request_id = ask(machines)
    shown = json_of(machines.get(f"/budget-requests/{request_id}", "auditor"))
    assert (shown["status"], shown["currency"], shown["decided_by"]) == ("pending", "GBP", None)
    assert shown["budget"]["budget_id"] == "london-month"
    assert shown["from_budget"] is None
    assert json_of(machines.get("/budget-requests?status=pending", "finance"))["items"] == [shown]
    assert json_of(machines.get("/budget-requests?status=pending&budget=all-gbp", "finance"))["items"] == []
    assert json_of(decide(machines, request_id, comment="Yes")) == {"id": request_id, "status": "approved"}
    budget = json_of(machines.get("/budgets/london-month", "finance"))
    assert (budget["cap"]["amount_minor"], budget["allotted"]["amount_minor"]) == (1500000, 50000)
    assert budget["available"]["amount_minor"] == 1550000
    history = json_of(machines.get("/budgets/london-month/history", "auditor"))
    (line,) = history["items"]
    assert (line["kind"], line["reason"], line["changes"]["allotted_minor"]) == ("top_up", "A storm", 50000)
    assert line["approved_by"] == machines.actor("finance").label
    assert history["agrees"] is True
    assert history["sums"] == line["after"]


def test_what_is_decided_stays_decided(machines: Machines) -> None:
    request_id = ask(machines)
    decide(machines, request_id, decision="decline")
    problem = assert_problem(decide(machines, request_id), 409, "budget-request-already-decided")
    assert problem["decision"] == "declined"
    assert_problem(machines.post(f"/budget-requests/{request_id}/withdrawal", {}, "manager"), 409, problem["type"][10:])
    assert_problem(decide(machines, ask(machines, "finance")), 403, "self-approval")


def test_a_request_is_taken_back_by_whoever_asked(machines: Machines) -> None:
    request_id = ask(machines)
    path = f"/budget-requests/{request_id}/withdrawal"
    assert_problem(machines.post(path, {}, "finance"), 403, "not-permitted")
    assert json_of(machines.post(path, {"comment": "It is over"}, "manager"))["status"] == "withdrawn"


def test_the_same_key_is_the_same_request(machines: Machines) -> None:
    key = fresh_key()
    first, again = (machines.post("/budget-requests", ASK, "manager", key=key) for _ in range(2))
    assert json_of(first)["id"] == json_of(again)["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    other = machines.post("/budget-requests", {**ASK, "amount_minor": 1}, "manager", key=key)
    assert_problem(other, 422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("change", "status", "slug", "field"),
    [
        ({"budget": "petty-cash"}, 404, "budget-not-found", "budget"),
        ({"budget": "agent-day"}, 404, "budget-not-found", "budget"),
        ({"budget_period": "2020-01-01"}, 409, "budget-period-over", None),
        ({"budget_period": "2026-11-15"}, 422, "input-invalid", "budget_period"),
        ({"amount_minor": 0}, 422, "input-invalid", "amount_minor"),
        ({"amount_minor": -1}, 422, "input-invalid", "amount_minor"),
        ({"amount_minor": 1.5}, 422, "input-invalid", "amount_minor"),
        ({"amount_count": 5}, 422, "input-invalid", "amount_count"),
        ({"reason": " "}, 422, "input-invalid", "reason"),
        ({"kind": "gift"}, 422, "input-invalid", "kind"),
        ({"kind": "transfer"}, 422, "input-invalid", "from_budget"),
        ({"kind": "transfer", "from_budget": "all-usd"}, 422, "budget-currency-mismatch", "from_budget"),
        ({"kind": "adjustment", "amount_minor": -1500001}, 409, "budget-in-use", None),
        ({"kind": "break_glass", "budget": "all-eur"}, 409, "break-glass-limit-reached", None),
    ],
)
def test_what_cannot_be_asked_for_is_named_and_leaves_nothing(
    machines: Machines, change: dict[str, Any], status: int, slug: str, field: str | None
) -> None:
    before = dump.of(machines.core)
    answer = machines.post("/budget-requests", {**ASK, **change}, "manager", key=fresh_key())
    problem = json_of(answer)
    assert (answer.status_code, problem["type"]) == (status, f"/problems/{slug}"), problem
    assert problem.get("field") == field or field in [each.get("field") for each in problem.get("errors", [])]
    assert dump.differences(before, dump.of(machines.core)) == {}
    if slug == "budget-in-use":
        assert problem["free_minor"] == 1500000


def test_a_key_is_needed_to_ask(machines: Machines) -> None:
    answer = machines.post("/budget-requests", ASK, "manager")
    assert (answer.status_code, json_of(answer)["type"]) == (400, "/problems/idempotency-key-missing")


def test_who_minds_no_money_asks_for_none_and_sees_no_numbers(machines: Machines) -> None:
    request_id = ask(machines)
    for role in ("frontline", "supervisor", "auditor", "till", "integrator"):
        answer = machines.post("/budget-requests", ASK, role, key=fresh_key())
        assert_problem(answer, 403, "not-permitted")
        assert_problem(decide(machines, request_id, role), 403, "not-permitted")
    for role in ("frontline", "till"):
        for path in ("/budgets", "/budgets/london-month/history", "/budgets/alerts", "/budget-requests"):
            assert_problem(machines.get(path, role), 403, "not-permitted")


def test_holds_are_told_with_the_budget(machines: Machines) -> None:
    answer = machines.issue(issue_tag="flight-canceled", incentive="travel-voucher-gbp", amount_minor=12000)
    assert answer.status_code == 202
    (hold,) = json_of(machines.get("/budgets/london-month", "finance"))["holds"]
    assert (hold["kind"], hold["owner"], hold["amount_minor"]) == ("approval", machines.actor("frontline").label, 12000)
    assert hold["approval_id"] == json_of(answer)["approval"]["id"]
    assert hold["case_id"] == json_of(answer)["case_id"]
    (hidden,) = json_of(machines.get("/budgets/london-month", "integrator"))["holds"]
    assert (hidden["amount_minor"], hidden["approval_id"]) == (12000, None)


def test_another_period_is_asked_for_by_its_first_day(machines: Machines) -> None:
    request_id = ask(machines, budget_period="2026-12-01")
    decide(machines, request_id)
    following = json_of(machines.get("/budgets/london-month?period=2026-12-01", "finance"))
    assert (following["period"]["key"], following["available"]["amount_minor"]) == ("2026-12-01", 1550000)
    assert json_of(machines.get("/budgets/london-month", "finance"))["allotted"]["amount_minor"] == 0
    assert_problem(machines.get("/budgets/london-month?period=x", "finance"), 422, "input-invalid", field="period")


def test_alerts_are_listed_and_say_whether_they_stand(machines: Machines) -> None:
    for _ in range(2):
        assert machines.issue(issue_tag="long-wait").status_code == 201
    assert alert_due(core=machines.core) == 2
    assert carry_over_due(core=machines.core) == 0
    found = json_of(machines.get("/budgets/alerts", "finance"))["items"]
    assert [(each["budget_id"], each["threshold_percent"], each["standing"]) for each in found] == [
        ("long-wait-day", 80, True), ("long-wait-day", 50, True)
    ]  # fmt: skip
    assert json_of(machines.get("/budgets/alerts?standing=true&limit=1", "finance"))["items"] == found[:1]


def test_a_budget_says_what_each_basis_would_count_and_how_long_it_lasts(machines: Machines) -> None:
    machines.issue()
    found = json_of(machines.get("/budgets/london-month", "finance"))
    used = {basis: found["used_by_basis"][basis]["amount_minor"] for basis in ("face", "expected", "redemption")}
    assert used == {"face": 2500, "expected": 2500, "redemption": 0}
    assert (found["basis"], found["used"]["amount_minor"]) == ("face", 2500)
    assert found["a_day"] == {"amount_minor": 2500, "count": 1.0}
    assert found["run_dry_at"] is None  # The month ends first.
    tight = json_of(machines.get("/budgets/long-wait-day", "finance"))
    assert (tight["a_day"]["amount_minor"], tight["run_dry_at"]) == (0, None)


def test_a_name_that_no_database_can_hold_is_not_found(machines: Machines) -> None:
    for path in ("/budgets/london-month%00", "/budgets/agent-day:%00", "/budgets/agent-day:%00/history"):
        assert_problem(machines.get(path, "finance"), 404, "not-found")
