"""Finance, cases and the catalog: what stands on the pages is what the records say."""

import re
from dataclasses import replace
from datetime import timedelta

from incentives.flows.seal import seal_due
from incentives.flows.watch_books import watch_books
from incentives.kernel.clock import FixedClock
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check
from tests.doors.test_pages_scan import redeem


def row(found: Page, title: str) -> str:
    """Return the words of a row of a list."""
    rows = [" ".join(" ".join(each.itertext()).split()) for each in found.all("li")]
    return next(each for each in rows if each.startswith(title))


def test_budgets_show_what_is_given_waits_and_is_left(staff: Staff) -> None:
    staff.new_code()
    staff.asked()
    found = staff.role("finance").get("/finance")
    check(found)
    london = row(found, "London Location London Heathrow")
    assert "£14,855.00 left" in london
    assert "£25.00 given and £120.00 waiting for approval, of £15,000.00" in london
    assert "until 1 Dec 2026, 00:00" in london
    assert 'aria-label="0 percent given, 0 percent waiting for approval"' in found.html
    assert re.search(r"Open liability in GBP £25\.00", found.words)


def test_a_budget_that_runs_dry_is_marked(staff: Staff) -> None:
    for _ in range(2):
        staff.give(tag="long-wait")
    assert "£10.00 left" in row(staff.role("finance").get("/finance"), "Long waits in pounds")
    staff.give(tag="long-wait", incentive="travel-voucher-gbp", **{"amount-travel-voucher-gbp": "10"})
    assert "Used up" in row(staff.role("finance").get("/finance"), "Long waits in pounds")


def test_the_books_balance_after_a_redemption_and_are_proved_on_demand(staff: Staff) -> None:
    redeem(staff, staff.new_code(), order_total="25")
    found = staff.role("finance").get("/finance")
    assert "All of it holds" not in found.words
    assert "Check the books now" in found.words
    found = staff.role("finance").get("/finance?check")
    check(found)
    assert "All of it holds" in found.words
    assert "Broken" not in found.words
    totals = next(each for each in found.all("tfoot"))
    debit, credit = [each.text for each in totals.iter("td")]
    assert debit == credit == "£25.00"


def test_how_far_the_books_are_sealed_stands_beside_them(staff: Staff) -> None:
    auditor = staff.role("auditor")
    found = auditor.get("/finance")
    check(found)
    assert "Nothing is sealed yet" in found.words
    assert "Not proved yet" in found.words
    assert seal_due(core=replace(staff.core, clock=FixedClock(staff.core.clock.now() + timedelta(minutes=1))))
    assert watch_books(core=staff.core)
    found = auditor.get("/finance")
    check(found)
    assert "Sealed up to number 1" in found.words
    assert "Held when last proved" in found.words


def test_a_supervisor_sees_budgets_and_no_books(staff: Staff) -> None:
    found = staff.role("supervisor").get("/finance?check")
    check(found)
    assert "London" in found.words
    assert "Trial balance" not in found.words
    assert "Books check" not in found.words
    assert "Seals" not in found.words


def test_a_case_tells_what_happened_in_order(staff: Staff) -> None:
    staff.asked()
    visitor = staff.role("supervisor")
    (action,) = [
        each.attrib["action"] for each in visitor.get("/approvals").all("form") if "decision" in each.attrib["action"]
    ]
    visitor.fill("/approvals", action, decision="grant", amount="80", comment="Lower, please")
    found = staff.role("auditor").get("/cases")
    check(found)
    assert row(found, "Flight canceled Grave London Heathrow, just now")
    (link,) = [each.attrib["href"] for each in found.all("a") if "list-row" in each.get("class", "")]
    case = staff.role("auditor").get(link)
    check(case)
    asked, given = "The request for £120.00 was granted: Travel voucher", "A voucher was given: Travel voucher, £80.00"
    assert case.words.index(asked) < case.words.index("Lower, please") < case.words.index(given)
    assert "handover-code" not in case.html


def test_the_catalog_shows_the_release_in_force(staff: Staff) -> None:
    found = staff.role("auditor").get("/catalog")
    check(found)
    assert "Release 1, approved" in found.words
    assert "£10.00 to £300.00" in row(found, "Travel voucher Amount off")
    assert "at most £200.00" not in row(found, "Flight delayed, London Heathrow")
    assert "at most £150.00" in row(found, "Flight delayed, London Heathrow")
    assert "Europe/Madrid, EUR" in row(found, "Madrid Gran Vía")


def test_the_catalog_shows_what_is_done_about_a_trouble(staff: Staff) -> None:
    found = staff.role("manager").get("/catalog")
    check(found)
    canceled = row(found, "Flight canceled")
    assert "Apologize → Gather what happened → Resolve it" in canceled
    assert "Within business hours: First contact 30 minutes, Apology 60 minutes, Incentive 2 hours" in canceled
    assert "Follow-up: Call when they have arrived" in canceled
    assert "Asked again 2 days after closing" in canceled
    assert "Document (if need be)" in row(found, "Flight delayed, slight")
    assert "below Suppliers" in row(found, "Cleaning company")
    assert "Surveys on the scale NPS, 0 to 10" in row(found, "AskNicely")
    assert "Mon to Sun all day" in row(found, "Madrid Gran Vía")
    assert "Mon to Fri 07:00 to 22:00; Sat to Sun 08:00 to 20:00" in row(found, "London Heathrow")
    assert "A root cause is needed to close what is serious or worse." in found.words
    assert "Whoever leads is told at once of what is grave or worse." in found.words
    two_stars = row(found, "Two stars or fewer")
    assert "When it is a survey or a complaint, it scored 25% or less (2 stars of 5)" in two_stars
    assert "send the protocol's default incentive by email." in two_stars
    assert "/criteria/very-unhappy" in [each.attrib["href"] for each in found.all("a")]
    assert "Live" in two_stars
    assert "Shadow" in row(found, "Three stars")


def test_what_triggers_a_voucher_is_not_for_everybody_to_read(staff: Staff) -> None:
    found = staff.role("frontline").get("/catalog")
    check(found)
    assert "Two stars or fewer" not in found.words
    assert "What happens by itself" not in found.words
    assert "Root causes" in found.words


def test_a_long_list_of_cases_goes_on(staff: Staff) -> None:
    for _ in range(51):
        staff.give(incentive="apology-only")
    found = staff.role("auditor").get("/cases")
    (more,) = [each.attrib["href"] for each in found.all("a") if each.attrib["href"].startswith("/cases?after=")]
    rest = staff.role("auditor").get(more)
    check(rest)
    assert len([each for each in rest.all("a") if "list-row" in each.get("class", "")]) == 1


def test_of_many_pots_the_fullest_are_shown_and_the_others_folded(staff: Staff) -> None:
    """A budget with a pot for each customer does not push all others off the page."""
    for name in "abcde":
        staff.give(email=f"{name}@gmail.com")
    found = staff.role("finance").get("/finance")
    check(found)
    assert "2 more of “Each customer”" in found.words
    folded = [each for each in found.all("details") if each.get("class") == "more pots"]
    assert [len(list(each.iter("li"))) for each in folded] == [2, 2]
    assert "Agent Frontline, each day" in found.words
