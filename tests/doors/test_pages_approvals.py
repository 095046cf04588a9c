"""The approvals page: who asks for what, and a decision that is somebody else's."""

from datetime import timedelta

import pytest

from incentives.kernel.clock import FixedClock
from incentives.queries.approvals import list_approvals
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check


def decision(staff: Staff) -> str:
    """Return where the form of the only request goes."""
    (asked,) = list_approvals(core=staff.core, actor=staff.person("supervisor")).items
    return f"/approvals/{asked.id}/decision"


def test_an_empty_queue_says_what_will_stand_there(staff: Staff) -> None:
    found = staff.role("supervisor").get("/approvals")
    check(found)
    assert "Nothing is waiting" in found.words


def test_a_request_says_who_what_why_and_what_was_before(staff: Staff) -> None:
    staff.give(email="ana.ruiz@gmail.com")
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(minutes=5))
    tag = "/staff/give/flight-canceled"
    visitor = staff.role("frontline")
    fields = visitor.get(tag).form(tag) | {
        "email": "ana.ruiz@gmail.com",
        "amount-travel-voucher-gbp": "120",
        "note": "Missed her mother's birthday",
        "seen": "1",
    }
    assert visitor.send(tag, fields).status_code == 303
    staff.core.clock.advance(timedelta(minutes=8))
    found = staff.role("supervisor").get("/approvals")
    check(found)
    for words in (
        "Travel voucher",
        "£120.00",
        "Flight canceled, grave",
        "Frontline, London Heathrow",
        "8 minutes ago",
        "Above the requester's limit for one voucher",
        "This customer got 1 recovery in 30 days",
        "Worth £25.00 in all.",
        "Missed her mother's birthday",
        "£10.00 to £120.00",
    ):
        assert words in found.words
    count = next(each for each in found.all("span") if each.get("class") == "nav-count")
    assert count.text == "1"


def test_granting_less_gives_the_requester_the_voucher(staff: Staff) -> None:
    place = staff.asked()
    answer = staff.role("supervisor").fill(
        "/approvals", decision(staff), decision="grant", amount="80.50", comment="Fine"
    )
    assert answer.location == "/approvals?done=granted"
    done = staff.role("supervisor").get(answer.location)
    check(done)
    assert "Granted. The customer gets the voucher now." in done.words
    assert "handover-code" not in done.html
    found = staff.role("frontline").get(place)
    check(found)
    assert "£80.50 off" in found.words
    assert "handover-code" in found.html


def test_declining_tells_the_requester_why(staff: Staff) -> None:
    place = staff.asked()
    answer = staff.role("supervisor").fill(
        "/approvals", decision(staff), decision="decline", comment="Offer the meal <first>"
    )
    assert answer.location == "/approvals?done=declined"
    found = staff.role("frontline").get(place)
    check(found)
    assert "The request was declined" in found.words
    assert "Supervisor says Offer the meal <first>" in found.words
    assert "data-poll" not in found.html


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"decision": "grant", "amount": "120.01"}, 422, "An approver may only lower the amount"),
        ({"decision": "grant", "amount": "9.99"}, 422, "An approver may only lower the amount"),
        ({"decision": "grant", "amount": "lots"}, 422, "Write the amount in figures"),
        ({"decision": "perhaps"}, 422, "Send grant or decline"),
    ],
)
def test_a_mistake_leaves_the_request_with_what_was_typed(
    staff: Staff, fields: dict[str, str], status: int, words: str
) -> None:
    staff.asked()
    found = Page(staff.role("supervisor").fill("/approvals", decision(staff), comment="I am for it", **fields))
    check(found)
    assert found.status == status
    assert words in found.words
    again = found.form(decision(staff))
    assert again["comment"] == "I am for it"
    assert again["amount"] == fields.get("amount", "120.00")


def test_the_approvers_own_limit_is_named(staff: Staff) -> None:
    staff.asked("250")
    found = Page(staff.role("supervisor").fill("/approvals", decision(staff), decision="grant"))
    check(found)
    assert found.status == 403
    assert "This is above your own limit" in found.words
    assert "It may be £200.00 at most." in found.words
    assert staff.role("manager").fill("/approvals", decision(staff), decision="grant").status_code == 303


def test_nobody_decides_their_own_request(staff: Staff) -> None:
    tag = "/staff/give/flight-canceled"
    supervisor = staff.role("supervisor")
    asked = supervisor.fill(tag, tag, screen_only="yes", **{"amount-travel-voucher-gbp": "250"})
    assert asked.status_code == 303
    found = supervisor.get("/approvals")
    check(found)
    assert "You asked for this yourself" in found.words
    action = decision(staff)
    assert [each for each in found.all("form") if each.get("action") == action] == []
    fields = {"csrf_token": found.form("/sign-out")["csrf_token"], "idempotency_key": staff.new_key()}
    refused = Page(supervisor.send(action, fields | {"decision": "grant"}))
    assert refused.status == 403
    assert "You cannot decide your own request" in refused.words


def test_an_auditor_looks_and_does_not_decide(staff: Staff) -> None:
    staff.asked()
    found = staff.role("auditor").get("/approvals")
    check(found)
    assert "You may look, not decide" in found.words
    token = found.form("/sign-out")["csrf_token"]
    assert staff.role("auditor").send(decision(staff), {"csrf_token": token, "decision": "grant"}).status_code == 403


def test_the_slower_of_two_is_told_and_the_same_form_twice_decides_once(staff: Staff) -> None:
    staff.asked()
    action = decision(staff)
    slow = staff.role("manager").get("/approvals").form(action) | {"decision": "decline"}
    quick = staff.role("supervisor").get("/approvals").form(action) | {"decision": "grant"}
    assert staff.role("supervisor").send(action, quick).location == "/approvals?done=granted"
    assert staff.role("supervisor").send(action, quick).location == "/approvals?done=granted"
    refused = Page(staff.role("manager").send(action, slow))
    check(refused)
    assert refused.status == 409
    assert "This request was decided already" in refused.words


def test_a_request_past_its_time_has_left_the_queue(staff: Staff) -> None:
    staff.asked()
    action = decision(staff)
    token = staff.role("supervisor").get("/approvals").form(action)
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(days=3, seconds=1))
    visitor = staff.signed_in_again("manager")
    assert "Nothing is waiting" in visitor.get("/approvals").words
    refused = Page(
        visitor.send(
            action, token | {"decision": "grant"} | {"csrf_token": visitor.get("/scan").form("/scan")["csrf_token"]}
        )
    )
    assert refused.status == 409
    assert "This request has expired" in refused.words


def test_an_unknown_request_is_not_found(staff: Staff) -> None:
    token = staff.role("supervisor").get("/approvals").form("/sign-out")["csrf_token"]
    refused = Page(
        staff.role("supervisor").send("/approvals/00000000-0000-7000-8000-000000000000/decision", {"csrf_token": token})
    )
    check(refused)
    assert refused.status == 404
