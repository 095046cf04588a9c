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
        "Waiting 8 minutes.",
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


# --- the inbox: filters, many at once, taking back ------------------------------------------------------------------


def test_after_a_decision_the_focus_is_on_the_next_request(staff: Staff) -> None:
    staff.asked()
    staff.asked("90")
    newest, oldest = list_approvals(core=staff.core, actor=staff.person("supervisor")).items
    visitor = staff.role("supervisor")
    answer = visitor.fill("/approvals?older=", f"/approvals/{oldest.id}/decision", decision="decline")
    assert answer.location == f"/approvals?done=declined&next={newest.id}#request-{newest.id}"
    found = visitor.get(answer.location.partition("#")[0])
    check(found)
    (focused,) = [each for each in found.all("h2") if each.get("data-focus") is not None]
    assert (focused.get("id"), focused.get("tabindex")) == (f"request-{newest.id}", "-1")
    last = visitor.get(visitor.fill("/approvals", f"/approvals/{newest.id}/decision", decision="decline").location)
    check(last)
    (focused,) = [each for each in last.tree.iter() if each.get("data-focus") is not None]
    assert focused.get("id") == "done"


def test_what_is_ticked_is_decided_together(staff: Staff) -> None:
    for amount in ("120", "90", "250"):
        staff.asked(amount)
    visitor = staff.role("supervisor")
    found = visitor.get("/approvals")
    check(found)
    boxes = [each for each in found.all("input") if each.get("name") == "ticked"]
    assert [each.get("form") for each in boxes] == ["ticked"] * 3
    fields = found.form("/approvals/decisions")
    nothing = Page(visitor.send("/approvals/decisions", fields | {"decision": "grant"}))
    check(nothing)
    assert nothing.status == 422
    assert "Tick at least one request" in nothing.words
    ticked = [each.attrib["value"] for each in boxes]
    sent = {**fields, "decision": "grant", "comment": "Busy day.", "ticked": ticked}
    answer = Page(visitor.client.post("/approvals/decisions", data=sent))
    check(answer)
    # £250 is above what a supervisor may give.
    assert "2 requests are decided." in answer.words
    assert "Not all could be decided" in answer.words
    assert "This is above your own limit" in answer.words
    assert [
        each.amount.amount_minor for each in list_approvals(core=staff.core, actor=staff.person("manager")).items
    ] == [25000]
    again = visitor.client.post("/approvals/decisions", data={**sent, "ticked": ticked[:2]})
    assert again.location == "/approvals?done=many"


def test_the_queue_is_filtered_and_keeps_its_filters(staff: Staff) -> None:
    staff.asked("120")
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(minutes=20))
    staff.asked("90")
    visitor = staff.role("supervisor")
    for query, amounts in (
        ("", ["£120.00", "£90.00"]),
        ("?show=mine", ["£120.00", "£90.00"]),
        ("?least=100", ["£120.00"]),
        ("?older=15", ["£120.00"]),
        ("?tag=flight", ["£120.00", "£90.00"]),
        ("?tag=bag-lost", []),
        ("?least=1000000", []),
    ):
        found = visitor.get(f"/approvals{query}")
        check(found)
        values = ["".join(each.itertext()) for each in found.all("p") if each.get("class") == "stat-value"]
        assert values == amounts, query
    assert (
        "There is nothing for you to decide now."
        in staff.role("finance").get("/approvals?show=mine&tag=bag-lost").words
    )
    for query in ("?least=lots", "?tag=nothing", "?location=mars", "?older=x"):
        found = visitor.get(f"/approvals{query}")
        check(found)
        assert found.status == 200
    assert "Write the amount in figures" in visitor.get("/approvals?least=lots").words
    fields = visitor.get("/approvals?least=100&show=mine").form(decision_of(staff, 12000))
    assert (fields["at-least"], fields["at-show"]) == ("100", "mine")
    answer = visitor.send(decision_of(staff, 12000), fields | {"decision": "grant"})
    assert answer.location == "/approvals?done=granted&show=mine&least=100"


def decision_of(staff: Staff, amount_minor: int) -> str:
    """Return where the form of the request for an amount goes."""
    found = list_approvals(core=staff.core, actor=staff.person("supervisor")).items
    (asked,) = [each for each in found if each.amount.amount_minor == amount_minor]
    return f"/approvals/{asked.id}/decision"


def test_another_incentive_is_chosen_from_the_list(staff: Staff) -> None:
    place = staff.asked()
    visitor = staff.role("supervisor")
    found = visitor.get("/approvals")
    (select,) = [each for each in found.all("select") if (each.get("id") or "").startswith("incentive-")]
    options = {each.get("value"): "".join(each.itertext()) for each in select.iter("option")}
    assert options[""] == "As asked: Travel voucher"
    other = next(key for key in options if key)
    answer = visitor.fill("/approvals", decision(staff), decision="grant", incentive=other)
    assert answer.location == "/approvals?done=granted"
    assert options[other].partition(",")[0] in staff.role("frontline").get(place).words
    staff.asked()
    refused = Page(visitor.fill("/approvals", decision(staff), decision="grant", incentive="nothing"))
    check(refused)
    assert refused.status == 422
    assert "There is no such incentive" in refused.words or "There is no incentive" in refused.words


def test_a_request_is_taken_back_by_whoever_asked(staff: Staff) -> None:
    place = staff.asked()
    visitor = staff.role("frontline")
    action = decision(staff).replace("/decision", "/withdrawal")
    found = visitor.get(place)
    check(found)
    answer = visitor.send(action, found.form(action))
    assert answer.location == place
    after = visitor.get(place)
    check(after)
    assert "The request was taken back" in after.words
    assert "Nothing is waiting" in staff.role("supervisor").get("/approvals").words
    twice = Page(visitor.send(action, found.form(action)))
    assert twice.status == 409


def test_one_s_own_request_is_taken_back_in_the_queue(staff: Staff) -> None:
    tag = "/staff/give/flight-canceled"
    supervisor = staff.role("supervisor")
    assert supervisor.fill(tag, tag, screen_only="yes", **{"amount-travel-voucher-gbp": "250"}).status_code == 303
    action = decision(staff).replace("/decision", "/withdrawal")
    long = Page(supervisor.fill("/approvals", action, reason="x" * 501))
    check(long)
    assert long.status == 422
    answer = supervisor.fill("/approvals", action, reason="I found another way.")
    assert answer.location == "/approvals?done=withdrawn"
    assert "Taken back. The money is free again." in supervisor.get(answer.location).words


def test_how_long_decisions_take_is_said_as_it_was(staff: Staff) -> None:
    assert "in 30 days took" not in staff.role("supervisor").get("/approvals").words
    assert isinstance(staff.core.clock, FixedClock)
    for minutes in (2, 4, 20):
        staff.asked()
        staff.core.clock.advance(timedelta(minutes=minutes))
        staff.role("supervisor").fill("/approvals", decision(staff), decision="decline")
    found = staff.role("supervisor").get("/approvals")
    assert "Half of 3 decisions in 30 days took 4 minutes or less." in found.words
    place = staff.asked()
    assert "Half of 3 decisions in 30 days took 4 minutes or less." in staff.role("frontline").get(place).words


def test_somebody_stands_in_and_decides_in_another_s_name(staff: Staff) -> None:
    manager, supervisor = staff.role("manager"), staff.role("supervisor")
    staff.asked("250")
    page = "/approvals/absences"
    for fields, words in (
        ({"delegate": "", "until": "2026-11-30", "reason": "Off."}, "There is no such person"),
        ({"delegate": "supervisor@example.com", "until": "", "reason": "Off."}, "Choose the last day"),
        ({"delegate": "supervisor@example.com", "until": "soon", "reason": "Off."}, "Choose a day, like"),
        ({"delegate": "supervisor@example.com", "until": "2026-11-30", "reason": ""}, "Say why"),
        ({"delegate": "supervisor@example.com", "until": "2026-11-01", "reason": "Off."}, "It must end after"),
    ):
        refused = Page(manager.fill(page, page, **fields))
        check(refused)
        assert refused.status in (404, 422), words
        assert words in refused.words
    done = manager.fill(page, page, delegate="supervisor@example.com", until="2026-11-22", reason="On holiday.")
    assert done.location == "/approvals/absences?done=handed"
    seen = supervisor.get("/approvals/absences")
    check(seen)
    assert "Supervisor for Manager" in seen.words
    queue = supervisor.get("/approvals")
    check(queue)
    (select,) = [each for each in queue.all("select") if (each.get("id") or "").startswith("behalf-")]
    options = {"".join(each.itertext()): each.get("value") for each in select.iter("option")}
    assert list(options) == ["Your own name", "Manager"]
    refused = Page(supervisor.fill("/approvals", decision(staff), decision="grant"))
    assert refused.status == 403
    answer = supervisor.fill("/approvals", decision(staff), decision="grant", on_behalf_of=options["Manager"] or "")
    assert answer.location == "/approvals?done=granted"
    ends = [each.attrib["action"] for each in seen.all("form") if (each.get("action") or "").endswith("/end")]
    assert supervisor.fill("/approvals/absences", ends[0]).location == "/approvals/absences?done=ended"
    again = Page(supervisor.send(ends[0], seen.form(ends[0])))
    check(again)
    assert again.status == 409


def test_who_would_decide_can_be_tried(staff: Staff) -> None:
    visitor = staff.role("auditor")
    found = visitor.get("/approvals/policies?amount=120&currency=GBP&tag=flight-canceled&location=london&incentive=")
    check(found)
    assert "No policy fits: £120.00" in found.words or "of:" in found.words
    for query, status in (("amount=lots", 422), ("amount=1&tag=mars", 422), ("amount=1&location=mars", 422)):
        wrong = visitor.get(f"/approvals/policies?{query}")
        check(wrong)
        assert wrong.status == status
