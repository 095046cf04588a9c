"""A budget's page and the changes of budgets: what finance reads, asks for and decides."""

import re

from incentives.flows.watch_budgets import alert_due
from tests import dump
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check

LONDON = "/finance/budgets/london-month"
ASK = "/finance/requests/new?budget=london-month"


def ask(staff: Staff, role: str = "manager", page: str = ASK, **fields: str) -> None:
    answer = staff.role(role).fill(page, "/finance/requests", **{"amount": "500", "reason": "A storm", **fields})
    assert answer.status_code == 303, answer.text
    assert answer.location == "/finance/requests?done=pending"


def decide(staff: Staff, decision: str = "approve", role: str = "finance", **fields: str) -> Page:
    visitor = staff.role(role)
    shown = visitor.get("/finance/requests")
    action = next(each.attrib["action"] for each in shown.all("form") if each.get("action", "").endswith("/decision"))
    answer = visitor.send(action, shown.form(action) | {"decision": decision, **fields})
    return visitor.get(answer.location) if answer.status_code == 303 else Page(answer)


def test_an_empty_budget_says_so(staff: Staff) -> None:
    found = staff.role("finance").get(LONDON)
    check(found)
    assert "Nothing is held" in found.words
    assert "Nothing has happened yet" in found.words
    assert "Cap in the catalog £15,000.00" in found.words
    assert "Nothing was used within the last 28 days." in found.words


def test_a_budget_says_what_it_holds_for_whom_and_how_it_came_about(staff: Staff) -> None:
    staff.new_code()
    staff.asked()
    found = staff.role("finance").get(LONDON)
    check(found)
    assert "£14,855.00 left" in found.words
    assert "Frontline A request over a limit, since" in found.words
    assert "£120.00" in found.words
    assert "What is promised Counts now £145.00" in found.words
    assert "What is spent £0.00" in found.words
    assert "It adds up" in found.words
    assert "Cap £15,000.00 + allotted £0.00 − used £145.00 = £14,855.00 free" in found.words
    assert found.words.index("Held for a request: £120.00") < found.words.index("Given: £25.00")
    links = [each.attrib["href"] for each in found.all("a")]
    assert any(href.startswith("/cases/") for href in links)
    assert any(href.startswith("/approvals#approval-") for href in links)
    assert "£145.00 a day within the last 28 days. At this rate it lasts until its period ends." in found.words


def test_a_budget_that_only_counts_is_said_in_vouchers(staff: Staff) -> None:
    staff.new_code()
    found = staff.role("finance").get("/finance/budgets/all-ever")
    check(found)
    assert "Cap in the catalog 1,000,000 vouchers" in found.words
    assert "Given: 1 voucher" in found.words


def test_a_budget_with_a_pot_for_each_is_led_to_from_the_list(staff: Staff) -> None:
    staff.new_code()
    visitor = staff.role("finance")
    links = {each.attrib["href"] for each in visitor.get("/finance").all("a")}
    budgets = sorted(href for href in links if href.startswith("/finance/budgets/"))
    assert any(href.startswith("/finance/budgets/agent-day:person:") for href in budgets)
    for href in budgets:
        found = visitor.get(href)
        assert found.status == 200, href
        check(found)


def test_a_change_is_asked_for_and_decided_by_somebody_else(staff: Staff) -> None:
    ask(staff, amount="1,250.50")
    own = staff.role("manager").get("/finance/requests")
    check(own)
    assert "You asked for this yourself" in own.words
    assert "1 waiting for your decision" in staff.role("finance").get("/finance").words
    waiting = staff.role("finance").get("/finance/requests")
    check(waiting)
    assert "Top-up: London +£1,250.50" in waiting.words
    assert "A storm" in waiting.words
    done = decide(staff, comment="Until December")
    check(done)
    assert "Approved. The budget holds it from now on." in done.words
    assert "Until December" in done.words
    budget = staff.role("finance").get(f"{LONDON}?only=size")
    check(budget)
    assert "Topped up: +£1,250.50" in budget.words
    assert "Manager, approved by Finance" in budget.words
    assert "Allotted on top" in budget.words
    assert "£16,250.50 left" in budget.words


def test_a_transfer_names_where_it_comes_from(staff: Staff) -> None:
    form = staff.role("manager").get(ASK)
    check(form)
    options = [each.get("value") for each in form.all("option")]
    assert "all-gbp" in options
    assert "all-usd" not in options  # another currency
    euros = staff.role("manager").get("/finance/requests/new?budget=all-eur")
    assert "break_glass" not in [each.get("value") for each in euros.all("option")]  # The catalog has no glass for it.
    ask(staff, kind="transfer", from_budget="all-gbp", amount="100")
    assert "Comes from All recovery in pounds" in staff.role("finance").get("/finance/requests").words
    decide(staff)
    assert "Transferred to another budget: −£100.00" in staff.role("finance").get("/finance/budgets/all-gbp").words


def test_less_is_an_adjustment_too(staff: Staff) -> None:
    ask(staff, kind="less", amount="15000")
    decide(staff)
    found = staff.role("finance").get(LONDON)
    assert "Adjusted: −£15,000.00" in found.words
    assert "Used up" in found.words
    assert "Cap £15,000.00 − allotted £15,000.00 − used £0.00 = £0.00 free" in found.words


def test_a_number_is_asked_for_in_whole_vouchers(staff: Staff) -> None:
    page = "/finance/requests/new?budget=all-ever"
    ask(staff, page=page, number="1,000", amount="")
    assert "+1,000 vouchers" in staff.role("finance").get("/finance/requests").words


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(staff: Staff) -> None:
    before = dump.of(staff.core)
    visitor = staff.role("manager")
    answer = visitor.fill(ASK, "/finance/requests", amount="lots", reason="Because <b>")
    found = Page(answer)
    check(found)
    assert found.status == 422
    assert "Write the amount in figures, like 2500 or 1,250.00." in found.words
    assert found.form("/finance/requests")["reason"] == "Because <b>"
    for fields, words in (
        ({"amount": "5", "reason": ""}, "Say why"),
        ({"amount": "", "reason": "x"}, "Say how much."),
        ({"amount": "5", "reason": "x", "kind": "transfer"}, "Say where a transfer comes from."),
        ({"amount": "15000.01", "reason": "x", "kind": "less"}, "has less than that left"),
    ):
        found = Page(visitor.fill(ASK, "/finance/requests", **fields))
        check(found)
        assert words in found.words, words
    assert dump.changed_tables(before, dump.of(staff.core)) <= {"sessions"}


def test_a_request_is_taken_back_and_a_decided_one_says_so(staff: Staff) -> None:
    ask(staff)
    visitor = staff.role("manager")
    shown = visitor.get("/finance/requests")
    action = next(each.attrib["action"] for each in shown.all("form") if each.get("action", "").endswith("/withdrawal"))
    late = staff.role("finance").get("/finance/requests")
    answer = visitor.send(action, shown.form(action))
    assert "Withdrawn. Nothing has changed." in visitor.get(answer.location).words
    decision = action.replace("withdrawal", "decision")
    refused = Page(staff.role("finance").send(decision, late.form(decision) | {"decision": "approve"}))
    check(refused)
    assert refused.status == 409
    assert "This request was decided already" in refused.words


def test_who_may_only_look_is_offered_nothing_to_do(staff: Staff) -> None:
    ask(staff)
    for role in ("auditor", "supervisor"):
        found = staff.role(role).get("/finance/requests")
        check(found)
        assert "You may look, not decide" in found.words
        assert "Ask for a change" not in staff.role(role).get(LONDON).words
        assert staff.role(role).get(ASK).status == 403
    for role in ("frontline", "till"):
        for path in (LONDON, "/finance/requests"):
            assert staff.role(role).get(path).status == 403


def test_little_left_is_said_above_all_else(staff: Staff) -> None:
    for _ in range(2):
        staff.give(tag="long-wait")
    assert "Little is left" not in staff.role("finance").get("/finance").words
    assert alert_due(core=staff.core) == 2
    found = staff.role("finance").get("/finance")
    check(found)
    assert re.search(r"Little is left Long waits in pounds is 80 percent used\.", found.words)
    assert "Little is left" in staff.role("supervisor").get("/finance").words


def test_a_long_history_goes_on(staff: Staff) -> None:
    for _ in range(20):
        ask(staff)
        decide(staff)
    for _ in range(35):
        staff.give(customer_name="")
    found = staff.role("finance").get(LONDON)
    (more,) = [each.attrib["href"] for each in found.all("a") if "after=" in each.attrib["href"]]
    rest = staff.role("finance").get(more.partition("#")[0])
    check(rest)
    assert "Topped up: +£500.00" in rest.words


def test_there_is_no_page_of_a_budget_that_there_is_not(staff: Staff) -> None:
    for path in ("/finance/budgets/petty-cash", "/finance/budgets/agent-day:nobody"):
        found = staff.role("finance").get(path)
        assert found.status == 404
        check(found)
    assert staff.role("finance").get(f"{LONDON}?period=yesterday").status == 422
