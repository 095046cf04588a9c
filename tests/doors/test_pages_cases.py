"""The queue of cases: which there are, what is due, what is new, and what somebody from elsewhere does not see."""

from datetime import timedelta

import pytest

from incentives.kernel.clock import FixedClock
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import recovery_cases
from tests.doors.case_pages import STORY, CasePage, opened
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check

SIGNS = "<script>alert(1)</script>"


def rows(found: Page) -> list[str]:
    """Return where each row of the queue leads, in order."""
    return [each.attrib["href"] for each in found.all("a") if "queue-row" in each.get("class", "")]


def tabs(found: Page) -> dict[str, str]:
    """Return the tabs with the number on each."""
    tabs = [each for each in found.all("a") if each.get("class") == "segment"]
    parts = ["".join(each.itertext()).split(":") for each in tabs]
    return {part[0].strip(): part[1].strip() if len(part) > 1 else "" for part in parts}


def later(staff: Staff, **step: float) -> None:
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(**step))


def test_a_row_says_what_who_how_bad_and_by_when(staff: Staff) -> None:
    case_id = opened(staff)
    found = staff.role("supervisor").get("/cases")
    check(found)
    assert rows(found) == [f"/cases/{case_id}"]
    for said in ("Flight delayed", "Annoying", "order BA-1", "London Heathrow", "just now"):
        assert said.lower() in found.words.lower()


def test_each_tab_holds_its_own(staff: Staff) -> None:
    own = opened(staff, "supervisor", order_ref="mine")
    CasePage(staff, own).post("take")
    other = opened(staff, order_ref="other")
    visitor = staff.role("supervisor")
    assert set(rows(visitor.get("/cases"))) == {f"/cases/{own}", f"/cases/{other}"}
    assert rows(visitor.get("/cases?view=mine")) == [f"/cases/{own}"]
    assert tabs(visitor.get("/cases"))["All open"] == "2"
    assert tabs(visitor.get("/cases"))["Mine"] == "1"
    current = [each for each in visitor.get("/cases?view=mine").all("a") if each.get("aria-current") == "true"]
    assert "Mine" in "".join(current[0].itertext())


def test_who_only_reads_has_no_tab_of_their_own_and_nothing_to_press(staff: Staff) -> None:
    opened(staff)
    found = staff.role("auditor").get("/cases")
    check(found)
    assert "Mine" not in tabs(found)
    assert not [each for each in found.all("form") if each.get("action", "").endswith("/take")]
    assert "Report trouble" not in found.words


@pytest.mark.parametrize("view", ["mine", "unowned", "overdue", "open", "closed", "nonsense"])
def test_an_empty_view_teaches(staff: Staff, view: str) -> None:
    found = staff.role("supervisor").get(f"/cases?view={view}")
    check(found)
    (empty,) = [each for each in found.all("div") if each.get("class") == "empty"]
    assert len("".join(empty.itertext()).split()) > 8


@pytest.mark.parametrize(
    ("search", "found_it"),
    [("tag=flight-delayed", True), ("tag=bag-lost", False), ("search=BA-1", True), ("search=BA-2", False)],
)
def test_filters_narrow_what_is_shown_and_stay_on_the_page(staff: Staff, search: str, *, found_it: bool) -> None:
    opened(staff)
    found = staff.role("manager").get(f"/cases?view=open&{search}")
    check(found)
    assert bool(rows(found)) is found_it
    name, _, value = search.partition("=")
    assert found.form("/cases")[name] == value
    if not found_it:
        assert "No case is like that" in found.words


def test_new_trouble_waits_behind_a_line_that_is_read_out(staff: Staff) -> None:
    first = opened(staff, order_ref="first")
    visitor = staff.role("supervisor")
    (seen,) = [each.attrib["data-seen"] for each in visitor.get("/cases").tree.iter() if "data-seen" in each.attrib]
    later(staff, minutes=2)
    second = opened(staff, order_ref="second")
    news = {"X-Poll": "1", "X-Seen": seen}
    polled = Page(visitor.client.get("/cases", headers=news))
    check(polled)
    assert rows(polled) == [f"/cases/{first}"]
    (status,) = [each for each in polled.all("p") if each.get("role") == "status"]
    assert status.text == "1 new case."
    assert "1 new case. Show it" in polled.words
    assert "2 minutes ago" in polled.words
    assert set(rows(visitor.get("/cases"))) == {f"/cases/{first}", f"/cases/{second}"}


@pytest.mark.parametrize("seen", ["", "nonsense", "2026-11-20", "2026-11-20T12:00:00", "9" * 400])
def test_a_page_that_says_nothing_of_use_about_what_it_saw_gets_all(staff: Staff, seen: str) -> None:
    opened(staff)
    answer = staff.role("supervisor").client.get("/cases", headers={"X-Poll": "1", "X-Seen": seen})
    assert len(rows(Page(answer))) == 1


def test_what_people_wrote_is_never_markup(staff: Staff) -> None:
    customer = CustomerGiven(name=SIGNS, email="x@gmail.com")
    case_id = opened(staff, order_ref=SIGNS, customer=customer, story={**STORY, "what": SIGNS, "who": SIGNS})
    for path in ("/cases", f"/cases/{case_id}", f"/cases?search={SIGNS}"):
        found = staff.role("supervisor").get(path)
        assert found.status == 200
        assert SIGNS not in found.html
        check(found)


def test_a_case_of_elsewhere_is_not_there(staff: Staff) -> None:
    case_id = opened(staff, "manager", location="madrid")
    assert rows(staff.role("manager").get("/cases")) == [f"/cases/{case_id}"]
    for role in ("frontline", "supervisor"):
        assert rows(staff.role(role).get("/cases")) == []
        assert staff.role(role).get(f"/cases/{case_id}").status == 404
        page = CasePage(staff, case_id, role)
        for deed in ("take", "steps", "apology", "answers", "notes", "tasks", "causes", "files", "close", "related"):
            assert page.post(deed, **enough(staff)).status_code == 404, deed


def enough(staff: Staff) -> dict[str, str]:
    """Return fields that are fit for every form of a case."""
    nobody = "00000000-0000-7000-8000-000000000000"
    return {
        "step": "apologize",
        "note": "A note",
        "words": "We are sorry.",
        "channel": "phone",
        "body": "A note",
        "title": "Call",
        "kind": "customer",
        "due": "2026-12-01T10:00",
        "to": staff.person("supervisor").label,
        "outcome": "no_action",
        "other": nobody,
        "idempotency_key": staff.new_key(),
        "what": "It was late.",
        "reason": "Because",
        "team": "care-line",
        "days": "3",
        "tag": "bag-lost",
        "result": "Done",
        "name": "Gate 12",
    }


WORK = (
    "take",
    "steps",
    "apology",
    "answers",
    "judgment",
    "notes",
    "tasks",
    "causes",
    "files",
    "close",
    "related",
    "shares",
)
LEAD = ("assign", "links", "merge", "split", "reopen")


@pytest.mark.parametrize(
    ("role", "deeds"),
    [("finance", (*WORK, *LEAD, "responsible")), ("auditor", (*WORK, *LEAD)), ("frontline", LEAD), ("till", WORK)],
)
def test_who_may_not_is_refused_whatever_they_send(staff: Staff, role: str, deeds: tuple[str, ...]) -> None:
    page = CasePage(staff, opened(staff), role)
    for deed in deeds:
        assert page.post(deed, **enough(staff)).status_code == 403, deed


def test_a_form_of_another_page_changes_nothing(staff: Staff) -> None:
    page = CasePage(staff, opened(staff))
    before = len(page.screen.timeline)
    for deed in (*WORK, *LEAD):
        answer = staff.role("supervisor").send(f"{page.href}/{deed}", enough(staff))
        assert answer.status_code == 403, deed
    assert len(page.screen.timeline) == before


def test_a_row_says_the_score_that_opened_it_and_whose_it_is(staff: Staff) -> None:
    case = CasePage(staff, opened(staff))
    case.does("assign", to="team:london-gates", reason="Whoever is there.")
    with staff.core.database.write() as tx:
        tx.execute(recovery_cases.update().values(first_score_bp=2500))
    found = staff.role("supervisor").get("/cases?view=unowned")
    check(found)
    assert "Score 25 of 100" in found.words
    assert "Owner: London gates" in found.words


@pytest.mark.parametrize(
    ("minutes", "said"), [(0, "First contact due in 30 minutes"), (31, "First contact 1 minute overdue")]
)
def test_a_clock_is_said_in_words_and_by_a_sign(staff: Staff, minutes: int, said: str) -> None:
    opened(staff)
    later(staff, minutes=minutes)
    visitor = staff.signed_in_again("supervisor") if minutes else staff.role("supervisor")
    found = visitor.get("/cases?view=overdue" if minutes else "/cases")
    (badge,) = [
        each for each in found.all("span") if said in "".join(each.itertext()) and "badge" in each.get("class", "")
    ]
    (use,) = list(badge.iter("{http://www.w3.org/2000/svg}use"))
    assert use.attrib["href"].endswith("#alert" if minutes else "#hourglass")
    assert tabs(found)["Overdue"] == ("1" if minutes else "0")
