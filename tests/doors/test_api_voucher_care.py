"""The API of what becomes of a voucher after it was given, and of the audit trail."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.databases import SqliteDatabases
from tests.doors.machines import Machines, assert_problem, fresh_key, json_of, opened

WHY = {"reason": "The customer lost it."}
ANA = {"name": "Ana", "email": "ana.ruiz@example.com"}


@pytest.fixture
def machines(sqlite: SqliteDatabases) -> Iterator[Machines]:
    url = sqlite.new()
    with opened(url) as made:
        yield made
    sqlite.drop(url)


def given(machines: Machines, **changes: Any) -> dict[str, Any]:
    answer = machines.issue("supervisor", **changes)
    assert answer.status_code == 201, answer.json
    return json_of(answer)


def test_a_voucher_is_voided_once_and_its_life_tells_why(machines: Machines) -> None:
    issued = given(machines, customer=ANA, channels=["email"])
    voucher = issued["voucher"]["id"]
    key = fresh_key()
    done = machines.post(f"/vouchers/{voucher}/void", WHY, "supervisor", key=key)
    assert (done.status_code, json_of(done)["status"], json_of(done)["left"]["amount_minor"]) == (200, "voided", 0)
    again = machines.post(f"/vouchers/{voucher}/void", WHY, "supervisor", key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    before = machines.rows()
    assert_problem(machines.post(f"/vouchers/{voucher}/void", WHY, "supervisor"), 409, "voucher-voided")
    assert_problem(machines.post(f"/vouchers/{voucher}/void", WHY, "frontline"), 403, "not-permitted")
    assert_problem(machines.post(f"/vouchers/{voucher}/void", {}, "supervisor"), 422, "input-invalid", field="reason")
    assert_problem(
        machines.post(f"/vouchers/{voucher}/void", {"reason": " "}, "supervisor"), 422, "input-invalid", field="reason"
    )
    missing = machines.post("/vouchers/00000000-0000-0000-0000-000000000000/void", WHY, "supervisor")
    assert_problem(missing, 404, "voucher-not-found")
    assert machines.rows() == before
    life = json_of(machines.get(f"/vouchers/{voucher}"))
    assert (life["status"], life["messages"][0]["status"]) == ("voided", "withdrawn")
    assert [each["action"] for each in life["events"]][:1] == ["voucher.voided"]
    assert life["events"][0]["reason"] == WHY["reason"]
    assert "code" not in life
    assert ANA["email"] not in machines.get(f"/vouchers/{voucher}").text


def test_a_reissue_tells_the_code_only_where_it_is_shown(machines: Machines) -> None:
    issued = given(machines, customer=ANA, channels=["email"])
    first = issued["voucher"]
    told = machines.post(f"/vouchers/{first['id']}/reissue", WHY, "supervisor")
    assert told.status_code == 201
    second = json_of(told)["voucher"]
    assert (second["code"], second["token"], second["url"]) == (None, None, None)
    shown = json_of(machines.post(f"/vouchers/{second['id']}/reissue", {**WHY, "channels": []}, "supervisor"))
    assert shown["voucher"]["url"].endswith(shown["voucher"]["token"])
    assert_problem(machines.redeem(code=first["code"]), 409, "voucher-replaced")
    assert machines.redeem(code=shown["voucher"]["code"]).status_code == 201
    issuance = json_of(machines.get(f"/issuances/{issued['id']}"))
    assert [each["status"] for each in issuance["vouchers"]] == ["replaced", "replaced", "redeemed"]
    assert [each["replaces_id"] for each in issuance["vouchers"]] == [None, first["id"], second["id"]]


def test_another_address(machines: Machines) -> None:
    voucher = given(machines, customer=ANA, channels=["email"])["voucher"]["id"]
    path = f"/vouchers/{voucher}/address"
    bad = machines.post(path, {**WHY, "customer": {"email": "nobody"}}, "supervisor")
    assert_problem(bad, 422, "email-invalid", field="customer.email")
    done = machines.post(path, {**WHY, "customer": {"email": "ana.right@example.com"}}, "supervisor")
    assert done.status_code == 201
    assert [each["channel"] for each in json_of(done)["deliveries"]] == ["email"]


def test_extend_adjust_freeze_unfreeze_and_resend(machines: Machines) -> None:
    voucher = given(machines, customer=ANA, channels=["email"])["voucher"]
    path = f"/vouchers/{voucher['id']}"
    longer = json_of(machines.post(f"{path}/extend", {**WHY, "days": 7}, "supervisor"))
    assert longer["expires_at"] > voucher["expires_at"]
    assert_problem(
        machines.post(f"{path}/extend", {**WHY, "days": 3000}, "supervisor"), 422, "extension-too-long", field="days"
    )
    amount = voucher["amount"]["amount_minor"]
    more = machines.post(f"{path}/adjust", {**WHY, "amount_minor": amount + 500}, "supervisor")
    assert json_of(more)["amount"]["amount_minor"] == amount + 500
    frozen = json_of(machines.post(f"{path}/freeze", {**WHY, "until_at": "2099-01-01T00:00:00Z"}, "supervisor"))
    assert (frozen["frozen"], frozen["frozen_until_at"]) == (True, "2099-01-01T00:00:00+00:00")
    assert_problem(machines.redeem(code=voucher["code"]), 409, "voucher-frozen")
    assert_problem(machines.post(f"{path}/resend", WHY, "frontline"), 409, "voucher-frozen")
    assert json_of(machines.post(f"{path}/unfreeze", WHY, "supervisor"))["frozen"] is False
    assert_problem(machines.post(f"{path}/resend", WHY, "frontline"), 409, "message-on-its-way")
    assert_problem(machines.post(f"{path}/unfreeze", WHY, "supervisor"), 409, "voucher-not-frozen")


def test_what_is_told_later_and_in_own_words(machines: Machines) -> None:
    issued = given(
        machines, customer=ANA, channels=["email"], deliver_after="2026-11-25T08:00:00Z", message="So sorry!"
    )
    now = json_of(machines.get(f"/issuances/{issued['id']}"))
    assert now["deliver_after"] == "2026-11-25T08:00:00+00:00"
    assert now["undo_until"] is None
    bad = machines.issue("supervisor", message="https://example.com")
    assert_problem(bad, 422, "input-invalid", field="message")
    assert_problem(machines.call("POST", f"/issuances/{issued['id']}/undo", "supervisor"), 409, "undo-over")
    assert_problem(machines.call("POST", f"/issuances/{issued['id']}/undo", "admin"), 404, "issuance-not-found")


def test_the_audit_trail_is_searched_by_who_what_which_and_when(machines: Machines) -> None:
    issued = given(machines)
    voucher = issued["voucher"]["id"]
    machines.post(f"/vouchers/{voucher}/void", WHY, "supervisor")
    label = machines.actor("supervisor").label
    assert_problem(machines.get("/audit", "supervisor"), 403, "not-permitted")

    def found(query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json_of(machines.get(f"/audit?{query}", "auditor"))["items"]
        return items

    (voided,) = found("action=voucher.voided")
    assert (voided["actor"], voided["means"], voided["reason"]) == (label, "api-key", WHY["reason"])
    assert voided["facts"]["voucher_id"] == voucher
    assert {each["action"] for each in found("action=voucher.")} >= {"voucher.voided", "voucher.issued"}
    assert {each["actor"] for each in found(f"actor={label}")} == {label}
    assert found("actor=test super")
    assert found("actor=%25") == []
    assert voided in found(f"subject={issued['case_id']}")
    assert voided in found(f"subject={issued['id']}")
    assert found("from=2099-01-01T00:00:00Z") == found("to=2000-01-01T00:00:00Z") == []
    first = json_of(machines.get("/audit?limit=1", "auditor"))
    assert first["next"]
    second = json_of(machines.get(f"/audit?limit=1&after={first['next']}", "auditor"))
    assert second["items"][0]["id"] != first["items"][0]["id"]
