"""The main job over HTTP: offer, give, ask and decide, look up, redeem once; each answer as the contract has it."""

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from incentives.flows.deliver import deliver_next
from incentives.messages.port import WillNeverWork
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.world import Recording

ANA = {"name": "Ana Ruiz", "email": "ana.ruiz@customer.example.com", "phone": "+34 600 123 456", "locale": "es-MX"}


@pytest.fixture
def machines(database_url: str) -> Iterator[Machines]:
    with opened(database_url) as machines:
        yield machines


def test_giving_an_incentive_answers_as_the_contract_says(machines: Machines) -> None:
    issued = machines.issue(
        channels=["email", "sms"], customer=ANA, order_ref="LH123", note="Four hours.", metadata={"a": 1}
    )
    assert issued.status_code == 201
    answer = json_of(issued)
    assert set(answer) == {"id", "status", "case_id", "voucher", "deliveries"}
    assert answer["status"] == "issued"
    voucher = answer["voucher"]
    assert set(voucher) == {"id", "code", "last4", "token", "url", "qr_url", "amount", "expires_at", "status"}
    assert voucher["amount"] == {"amount_minor": 2500, "currency": "GBP"}
    assert voucher["code"].replace("-", "").endswith(voucher["last4"])
    assert voucher["url"] == f"http://127.0.0.1:8000/v/{voucher['token']}"
    assert voucher["qr_url"] == f"{voucher['url']}/qr.svg"
    assert datetime.fromisoformat(voucher["expires_at"]).tzinfo is not None
    assert [(each["channel"], each["status"]) for each in answer["deliveries"]] == [
        ("email", "queued"),
        ("sms", "queued"),
    ]
    assert issued.headers["Location"] == f"/api/v1/issuances/{answer['id']}"
    assert issued.headers["Cache-Control"] == "no-store"
    assert "Idempotent-Replayed" not in issued.headers


def test_the_links_that_are_answered_work(machines: Machines) -> None:
    voucher = json_of(machines.issue())["voucher"]
    for name, kind in (("url", "text/html"), ("qr_url", "image/svg+xml")):
        page = machines.client.get(voucher[name].removeprefix("http://127.0.0.1:8000"))
        assert (page.status_code, page.mimetype) == (200, kind)


def test_a_whole_number_may_be_written_with_a_point(machines: Machines) -> None:
    issued = machines.call(
        "POST",
        "/issuances",
        key="point",
        content_type="application/json",
        data=b'{"issue_tag": "flight-delayed", "location": "london", "amount_minor": 4069.0, "severity": 2.0}',
    )
    assert json_of(issued)["voucher"]["amount"] == {"amount_minor": 4069, "currency": "GBP"}


def test_null_is_the_same_as_left_out(machines: Machines) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("incentive", "amount_minor", "severity", "customer", "order_ref", "case_id", "note")
    )
    assert machines.issue(**nothing).status_code == 201


def test_the_same_key_and_body_give_the_same_answer_again(machines: Machines) -> None:
    first = machines.issue(key="once", customer=ANA, channels=["email"])
    before = machines.rows()
    again = machines.issue(key="once", customer=ANA, channels=["email"])
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert machines.rows() == before


def test_a_key_is_its_callers_own(machines: Machines) -> None:
    first, other = machines.issue(key="shared"), machines.issue("supervisor", key="shared")
    assert json_of(first)["id"] != json_of(other)["id"]


def test_a_refused_request_does_not_use_its_key_up(machines: Machines) -> None:
    assert_problem(machines.issue(key="mend", location="atlantis"), 422, "unknown-location", field="location")
    assert machines.issue(key="mend").status_code == 201


def test_an_issuance_as_it_stands_has_no_code(machines: Machines) -> None:
    issued = json_of(
        machines.issue(channels=["email"], customer=ANA, metadata={"ticket": "T-1", "vip": True, "score": 4.5})
    )
    deliver_next(core=machines.core)
    shown = machines.get(f"/issuances/{issued['id']}")
    answer = json_of(shown)
    assert answer["status"] == "issued"
    assert answer["voucher"] == {
        name: issued["voucher"][name] for name in ("id", "last4", "amount", "expires_at", "status")
    }
    assert [(each["channel"], each["status"]) for each in answer["deliveries"]] == [("email", "captured")]
    assert answer["metadata"] == {"ticket": "T-1", "vip": True, "score": 4.5}
    for secret in ("code", "token", "url"):
        assert issued["voucher"][secret] not in shown.text


def test_over_the_limit_waits_for_an_approval_and_is_granted_for_less(machines: Machines) -> None:
    asked = machines.issue(amount_minor=9000, key="much", channels=["email"], customer=ANA)
    assert asked.status_code == 202
    waiting = json_of(asked)
    assert set(waiting) == {"id", "status", "case_id", "approval"}
    assert waiting["status"] == "pending_approval"
    assert set(waiting["approval"]) == {"id", "reasons", "expires_at"}
    assert waiting["approval"]["reasons"]
    replay = machines.issue(amount_minor=9000, key="much", channels=["email"], customer=ANA)
    assert (replay.status_code, replay.data, replay.headers["Idempotent-Replayed"]) == (202, asked.data, "true")

    (listed,) = json_of(machines.get("/approvals?status=pending", "manager"))["items"]
    assert (listed["id"], listed["amount"]["amount_minor"], listed["least_minor"]) == (
        waiting["approval"]["id"],
        9000,
        1000,
    )

    path = f"/approvals/{waiting['approval']['id']}/decision"
    granted = machines.post(path, {"decision": "grant", "amount_minor": 7000}, "manager", key="yes")
    assert granted.status_code == 200
    answer = json_of(granted)
    assert (answer["id"], answer["issuance_id"], answer["status"]) == (
        waiting["approval"]["id"],
        waiting["id"],
        "granted",
    )
    assert answer["issuance"]["voucher"]["amount"]["amount_minor"] == 7000
    assert "code" not in answer["issuance"]["voucher"]
    again = machines.post(path, {"decision": "grant", "amount_minor": 7000}, "manager", key="yes")
    assert (again.data, again.headers["Idempotent-Replayed"]) == (granted.data, "true")
    shown = json_of(machines.get(f"/issuances/{waiting['id']}"))
    assert (shown["status"], shown["approval"]["status"]) == ("issued", "granted")


def test_who_asked_cannot_decide_and_what_is_decided_stays_so(machines: Machines) -> None:
    waiting = json_of(machines.issue("supervisor", issue_tag="flight-canceled", amount_minor=25000))
    path = f"/approvals/{waiting['approval']['id']}/decision"
    assert_problem(machines.post(path, {"decision": "grant"}, "supervisor"), 403, "self-approval")
    declined = machines.post(path, {"decision": "decline", "comment": "Not this time."}, "manager")
    assert json_of(declined) == {
        "id": waiting["approval"]["id"],
        "issuance_id": waiting["id"],
        "status": "declined",
        "issuance": None,
        "level": 1,
        "levels": 1,
        "still_needed": 0,
    }
    problem = assert_problem(machines.post(path, {"decision": "grant"}, "finance"), 409, "approval-already-decided")
    assert problem["status"] == 409
    assert problem["decision"] == "declined"


def test_an_approver_has_a_limit_too(machines: Machines) -> None:
    waiting = json_of(machines.issue(issue_tag="flight-canceled", amount_minor=25000))
    path = f"/approvals/{waiting['approval']['id']}/decision"
    problem = assert_problem(
        machines.post(path, {"decision": "grant"}, "supervisor"), 403, "approver-limit-exceeded", field="amount_minor"
    )
    assert (problem["most_minor"], problem["currency"]) == (20000, "GBP")


def test_a_budget_that_has_run_dry_is_named(machines: Machines) -> None:
    for _ in range(2):
        assert machines.issue(issue_tag="long-wait").status_code == 201
    problem = assert_problem(machines.issue(issue_tag="long-wait"), 409, "budget-exhausted")
    assert problem["budget"] == "long-wait-day"


def test_an_apology_by_itself_has_no_voucher(machines: Machines) -> None:
    answer = json_of(machines.issue(issue_tag="flight-delayed", severity=1, channels=["email"], customer=ANA))
    assert answer["voucher"] is None
    assert [each["channel"] for each in answer["deliveries"]] == ["email"]


def test_offers_say_where_the_last_message_did_not_arrive(machines: Machines) -> None:
    sender = machines.core.senders["email"]
    assert isinstance(sender, Recording)
    sender.outcomes.append(WillNeverWork("There is no such mailbox.", "invalid"))
    json_of(machines.issue(channels=["email"], customer=ANA))
    while deliver_next(core=machines.core):
        pass
    body = {"issue_tag": "flight-delayed", "location": "london", "customer": ANA}
    (found,) = json_of(machines.post("/offers", body))["came_back"]
    assert (found["channel"], found["status"], found["reason"]) == ("email", "failed", "invalid")
    given = json_of(machines.issue(channels=["email"], customer=ANA))
    (told,) = given["deliveries"]
    assert (told["status"], told["reason"]) == ("suppressed", "Not sent: nobody can be reached at this address.")
    assert json_of(machines.get(f"/issuances/{given['id']}"))["deliveries"] == [told]
    (listed,) = json_of(machines.get("/suppressions?channel=email", "manager"))["items"]
    assert (listed["hint"], listed["reason"], ANA["email"] in str(listed)) == (
        f"{ANA['email'][0]}…@customer.example.com",
        "invalid",
        False,
    )
    assert json_of(machines.get("/suppressions?reason=bounced", "manager"))["items"] == []
    lift = f"/suppressions/{listed['id']}/lift"
    assert machines.post(lift, {"reason": "Mended."}, "supervisor").status_code == 403
    assert json_of(machines.post(lift, {"reason": "Mended."}, "manager")) == {"id": listed["id"]}
    again = machines.post(lift, {"reason": "Mended."}, "manager")
    assert (again.status_code, json_of(again)["type"]) == (404, "/problems/suppression-not-found")
    assert json_of(machines.post("/offers", body))["came_back"] == []


def test_offers_say_what_issuing_would_do(machines: Machines) -> None:
    body = {"issue_tag": "flight-delayed", "location": "london", "customer": ANA, "order_ref": "LH123"}
    answer = json_of(machines.post("/offers", body))
    assert answer["protocol"]["key"] == "flight-delayed-london"
    assert "LH123" in answer["protocol"]["script"]
    offers = {each["incentive"]: each for each in answer["offers"]}
    voucher = offers["travel-voucher-gbp"]
    assert voucher["title"] == "Vale de viaje"
    assert voucher["amount"] == {"amount_minor": 2500, "currency": "GBP"}
    assert voucher["amount_bounds"] == {"least_minor": 1000, "most_minor": 15000}
    assert (voucher["is_default"], voucher["offerable"], voucher["blocked_reasons"]) == (True, True, [])
    assert offers["meal-gbp"]["amount_bounds"] is None
    assert (answer["earlier_recoveries"], answer["came_back"]) == ([], [])
    for incentive, offer in offers.items():
        issued = machines.issue(incentive=incentive)
        assert issued.status_code == (202 if offer["approval_required"] else 201 if offer["offerable"] else 422)


def test_earlier_recoveries_of_the_same_customer_are_shown(machines: Machines) -> None:
    issued = json_of(machines.issue(customer=ANA))
    sloppy = {"email": "AnaRuiz+x@customer.example.com"}
    answer = json_of(
        machines.post("/offers", {"issue_tag": "flight-delayed", "location": "london", "customer": sloppy})
    )
    (earlier,) = answer["earlier_recoveries"]
    assert (earlier["issuance_id"], earlier["case_id"]) == (issued["id"], issued["case_id"])


def test_looking_up_tells_a_till_what_it_needs_and_changes_nothing(machines: Machines) -> None:
    voucher = json_of(machines.issue(customer=ANA))["voucher"]
    before = machines.rows()
    for body in (
        {"code": voucher["code"].lower().replace("-", " ")},
        {"token": voucher["token"]},
        {"code": voucher["url"]},
    ):
        found = machines.post("/vouchers/lookup", body, "till")
        answer = json_of(found)
        assert (answer["id"], answer["status"], answer["redeemable"], answer["reason"]) == (
            voucher["id"],
            "issued",
            True,
            None,
        )
        assert (answer["title"], answer["last4"], answer["time_zone"]) == (
            "Travel voucher",
            voucher["last4"],
            "Europe/London",
        )
        assert (answer["amount"], answer["redemption"]) == (voucher["amount"], None)
        assert "Ana" not in found.text
    assert machines.rows() == before


def test_redeeming_works_once_and_says_when_and_where_it_did(machines: Machines) -> None:
    voucher = json_of(machines.issue())["voucher"]
    redeemed = machines.redeem(code=voucher["code"], location="london", order_ref="A1", key="till-1")
    assert redeemed.status_code == 201
    answer = json_of(redeemed)
    assert (answer["voucher_id"], answer["amount"], answer["location"]) == (voucher["id"], voucher["amount"], "london")
    assert redeemed.headers["Location"] == f"/api/v1/redemptions/{answer['id']}"

    again = machines.redeem(code=voucher["code"], location="london", order_ref="A1", key="till-1")
    assert (again.data, again.headers["Idempotent-Replayed"]) == (redeemed.data, "true")

    problem = assert_problem(machines.redeem(token=voucher["token"], location="madrid"), 409, "already-redeemed")
    assert problem["redeemed_at"] == answer["redeemed_at"]
    assert (problem["location"], problem["redeemed_by"], problem["last4"]) == ("london", "test till", voucher["last4"])

    found = json_of(machines.post("/vouchers/lookup", {"code": voucher["code"]}, "till"))
    assert (found["status"], found["redeemable"], found["reason"]) == ("redeemed", False, "already-redeemed")
    assert found["redemption"] == {
        "redeemed_at": answer["redeemed_at"],
        "location": "london",
        "redeemed_by": "test till",
    }
    shown = json_of(machines.get(f"/redemptions/{answer['id']}", "till"))
    assert (shown["redeemed_by"], shown["order_ref"], shown["reversed_at"]) == ("test till", "A1", None)


def test_what_is_left_of_store_credit_becomes_a_new_voucher(machines: Machines) -> None:
    code = machines.new_code(incentive="credit-gbp")
    total = {"amount_minor": 1500, "currency": "GBP"}
    answer = json_of(machines.redeem(code=code, order_total=total))
    assert answer["amount"] == total
    assert answer["remainder"]["amount"] == {"amount_minor": 2500, "currency": "GBP"}
    assert machines.redeem(code=answer["remainder"]["code"]).status_code == 201


def test_cases_tell_what_was_done(machines: Machines) -> None:
    issued = json_of(machines.issue(customer=ANA))
    machines.redeem(code=issued["voucher"]["code"])
    shown = machines.get(f"/cases/{issued['case_id']}")
    answer = json_of(shown)
    assert (answer["issue_tag"], answer["customer_name"]) == ("flight-delayed", "Ana Ruiz")
    assert [each["action"] for each in answer["deeds"]] == ["voucher.issued", "voucher.redeemed", "survey.planned"]
    assert issued["voucher"]["code"] not in shown.text
    assert [each["id"] for each in json_of(machines.get("/cases"))["items"]] == [issued["case_id"]]


def test_a_second_incentive_may_join_the_case(machines: Machines) -> None:
    first = json_of(machines.issue())
    second = json_of(machines.issue(case_id=first["case_id"]))
    assert second["case_id"] == first["case_id"]
    assert uuid.UUID(second["id"]) != uuid.UUID(first["id"])


def test_budgets_add_up(machines: Machines) -> None:
    machines.issue(amount_minor=9000)
    machines.redeem(code=machines.new_code())
    machines.new_code(amount_minor=1000)
    for path in ("/budgets/london-month", "/budgets/all-gbp"):
        budget = json_of(machines.get(path, "finance"))
        sums = {name: budget[name]["amount_minor"] for name in ("held", "committed", "spent")}
        assert sums == {"held": 9000, "committed": 1000, "spent": 2500}
        assert budget["available"]["amount_minor"] == budget["cap"]["amount_minor"] - 12500
        assert budget["period"]["end_at"] > budget["period"]["start_at"]


def test_a_budget_with_a_pot_for_each_is_found_by_its_id(machines: Machines) -> None:
    machines.issue()
    listed = json_of(machines.get("/budgets?limit=200", "finance"))["items"]
    (pot,) = [each for each in listed if each["key"] == "agent-day"]
    assert pot["matches"] == {"scope": "agent", "subject": machines.actor("frontline").label, "issue_tags": []}
    for each in listed:
        assert json_of(machines.get(f"/budgets/{each['id']}", "finance")) == {**each, "holds": []}
    assert len({each["id"] for each in listed}) == len(listed)


def test_the_books_balance_over_http(machines: Machines) -> None:
    machines.redeem(code=machines.new_code())
    machines.new_code(amount_minor=1000)
    entries = json_of(machines.get("/ledger/entries", "auditor"))["items"]
    assert [each["kind"] for each in entries] == ["voucher-issued", "voucher-redeemed", "voucher-issued"]
    for entry in entries:
        assert sum(line["amount"]["amount_minor"] for line in entry["postings"]) == 0
    balances = json_of(machines.get("/ledger/balances", "auditor"))["items"]
    assert sum(each["balance"]["amount_minor"] for each in balances) == 0
    assert _balance(balances, "voucher-liability") == -1000
    earlier = json_of(machines.get("/ledger/balances?as_of=2026-11-20T11:59:59%2B00:00", "auditor"))["items"]
    assert earlier == []


def _balance(balances: list[dict[str, Any]], account: str) -> int:
    return next(int(each["balance"]["amount_minor"]) for each in balances if each["account"] == account)


def test_a_bug_is_an_error_with_a_number_and_nothing_else(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError("postgresql://app:secret@db")

    monkeypatch.setattr("api.issuances.issue_voucher", broken)
    failed = machines.issue()
    problem = assert_problem(failed, 500, "internal-error")
    assert "secret" not in failed.text
    assert problem["request_id"] in caplog.text
