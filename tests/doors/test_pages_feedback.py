"""The feedback pages: the feed, the waiting queue, a colleague's report, the mapping tester, unmapped values."""

from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from incentives.flows.respond import respond_to
from incentives.flows.take_in import TakenIn, take_in
from incentives.kernel.errors import FeedbackNotUnderstood
from incentives.recovery.feedback_tables import feedback, feedback_inbox
from incentives.recovery.tables import recovery_cases
from tests.doors.staff import Page, Staff
from tests.flows.feedback_shop import ANA, piece

FEED, WAITING, REPORT = "/feedback", "/feedback/waiting", "/feedback/report/flight-delayed"
MARKS = "\u202e\u05e9\u05dc\u05d5\u05dd <b>\u200f"


def take(staff: Staff, external_id: str = "one", **changes: Any) -> Any:
    (taken,) = take_in(core=staff.core, actor=staff.person("manager"), commands=[piece(external_id, **changes)])
    if isinstance(taken, TakenIn) and taken.act_now and taken.id:
        respond_to(core=staff.core, feedback_ids=[taken.id])
    return taken


def wait(staff: Staff, **changes: Any) -> str:
    taken = take(staff, **{"score": 9, **changes})
    assert isinstance(taken, FeedbackNotUnderstood)
    return str(taken.facts["inbox_id"])


def rows(staff: Staff, table: sa.Table) -> list[Any]:
    with staff.core.database.read() as tx:
        return list(tx.execute(sa.select(table).order_by(table.c.id)).all())


def test_an_empty_feed_says_what_comes_here_and_where_to_go(staff: Staff) -> None:
    page = staff.role("frontline").get(FEED)
    assert "Nothing was reported yet" in page.words
    assert "Report trouble" in page.words
    assert "Waiting" not in page.words
    assert "Waiting" in staff.role("supervisor").get(FEED).words


def test_the_feed_shows_what_came_in_the_newest_first_and_asks_for_news(staff: Staff) -> None:
    take(staff, "praise", score=5, comment="Lovely")
    take(staff, "trouble", score=1, comment="Late", issue_tags=("flight-delayed",), location="london", open_case=True)
    page = staff.role("supervisor").get(FEED)
    assert page.words.index("Late") < page.words.index("Lovely")
    assert "1 of 5 stars" in page.words
    assert "London Heathrow" in page.words
    (case,) = rows(staff, recovery_cases)
    assert f'href="/cases/{case.id}"' in page.html
    assert "data-poll" in page.html
    assert "data-poll" not in staff.role("supervisor").get(f"{FEED}?after={'f' * 32}").html


def test_what_happened_elsewhere_is_not_for_people_of_one_place(staff: Staff) -> None:
    taken = take(staff, location="madrid", comment="No towels")
    assert "No towels" not in staff.role("frontline").get(FEED).words
    assert staff.role("frontline").get(f"/feedback/{taken.id}").status == 404
    assert "No towels" in staff.role("manager").get(f"/feedback/{taken.id}").words


def test_foreign_writing_stays_in_its_own_box(staff: Staff) -> None:
    taken = take(staff, comment=MARKS, score=5)
    for path in (FEED, f"/feedback/{taken.id}"):
        page = staff.role("manager").get(path)
        boxes = [each for tag in ("bdi", "blockquote") for each in page.all(tag) if MARKS in "".join(each.itertext())]
        assert [each.get("dir") for each in boxes] == ["auto"]


@pytest.mark.parametrize("path", [WAITING, f"{WAITING}/x"])
def test_the_queue_is_for_who_may_repair(staff: Staff, path: str) -> None:
    assert staff.role("frontline").get(path).status in (403, 404)


def test_an_empty_queue_says_so(staff: Staff) -> None:
    assert "Nothing is waiting" in staff.role("supervisor").get(WAITING).words


def test_a_piece_that_waits_shows_why_and_is_taken_in_with_a_tag_and_a_score(staff: Staff) -> None:
    inbox_id = wait(staff, comment=f"Nobody came {MARKS}", customer=ANA)
    visitor = staff.role("supervisor")
    page = visitor.get(WAITING)
    assert "On the scale stars_5 a score is 1 to 5." in page.words
    assert "Nobody came" in page.words
    fields = {"issue_tag": "flight-delayed", "score": "1", "scale": "stars_5"}
    assert visitor.fill(WAITING, f"{WAITING}/{inbox_id}/mend", **fields).status_code == 303
    (row,) = rows(staff, feedback)
    assert (row.issue_tag, row.tagged_by, row.score_bp) == ("flight-delayed", "person", 0)
    assert rows(staff, feedback_inbox)[0].status == "understood"
    assert "Nothing is waiting" in visitor.get(WAITING).words


def test_a_piece_is_tried_again_as_it_is_and_goes_on_waiting(staff: Staff) -> None:
    inbox_id = wait(staff)
    visitor = staff.role("supervisor")
    answer = visitor.fill(WAITING, f"{WAITING}/{inbox_id}/replay")
    assert "still cannot be understood" in visitor.get(answer.location).words
    assert rows(staff, feedback_inbox)[0].tries == 1


def test_a_piece_is_set_aside_once(staff: Staff) -> None:
    inbox_id = wait(staff)
    visitor = staff.role("supervisor")
    form = visitor.get(WAITING).form(f"{WAITING}/{inbox_id}/ignore")
    assert visitor.send(f"{WAITING}/{inbox_id}/ignore", form | {"reason": "spam"}).status_code == 303
    again = Page(visitor.send(f"{WAITING}/{inbox_id}/ignore", form | {"reason": "spam"}))
    assert (again.status, "does not wait any more" in again.words) == (409, True)
    assert rows(staff, feedback_inbox)[0].status == "ignored"


def test_trouble_without_a_tag_is_given_one(staff: Staff) -> None:
    taken = take(staff, score=1, comment="Bah", open_case=True)
    visitor = staff.role("supervisor")
    assert "Bah" in visitor.get(WAITING).words
    page = f"/feedback/{taken.id}"
    assert visitor.fill(page, f"{page}/tag", issue_tag="flight-delayed").status_code == 303
    (row,) = rows(staff, feedback)
    assert (row.issue_tag, row.tagged_by, row.case_id is None) == ("flight-delayed", "person", False)
    assert f"{page}/tag" not in visitor.get(page).html


def test_a_colleague_reports_trouble_and_a_case_opens(staff: Staff) -> None:
    visitor = staff.role("frontline")
    assert "/feedback/report/flight-delayed" in visitor.get("/feedback/report").html
    told = {"what": "We had no crew.\nFor an hour.", "who": "Finn", "differently": "Call in others", "severity": "3"}
    answer = visitor.fill(REPORT, REPORT, **told, email="ana.ruiz@example.com")
    (case,) = rows(staff, recovery_cases)
    assert (answer.status_code, answer.location) == (303, f"/cases/{case.id}")
    assert (case.issue_tag, case.severity, case.location) == ("flight-delayed", 3, "london")
    story = orjson.loads(staff.core.contacts.decrypt(case.story) or "")
    assert (story["who"], story["differently"]) == ("Finn", "Call in others")
    (row,) = rows(staff, feedback)
    assert (row.kind, row.source, row.open_case) == ("employee_report", "staff", True)


def test_the_same_form_sent_twice_reports_once(staff: Staff) -> None:
    visitor = staff.role("frontline")
    form = visitor.get(REPORT).form(REPORT) | {"what": "No crew"}
    first, second = visitor.send(REPORT, form), visitor.send(REPORT, form)
    assert first.location == second.location
    assert len(rows(staff, recovery_cases)) == len(rows(staff, feedback)) == 1


def test_a_report_that_cannot_be_used_says_why_and_keeps_what_was_typed(staff: Staff) -> None:
    visitor = staff.role("frontline")
    page = Page(visitor.fill(REPORT, REPORT, what="", who="Finn"))
    assert (page.status, "Say in a sentence what happened." in page.words) == (422, True)
    assert 'value="Finn"' in page.html
    page = Page(visitor.fill(REPORT, REPORT, what="Kept", email="nobody"))
    assert page.status == 422
    assert "Kept" in page.words
    assert rows(staff, feedback) == []


def test_a_report_without_a_case_is_only_taken_down(staff: Staff) -> None:
    visitor = staff.role("frontline")
    form = visitor.get(REPORT).form(REPORT) | {"what": "A long queue"}
    del form["open_case"]
    answer = visitor.send(REPORT, form)
    assert "It was taken down" in visitor.get(answer.location).words
    assert rows(staff, recovery_cases) == []


def test_a_pasted_payload_shows_what_would_come_of_it_and_writes_nothing(staff: Staff) -> None:
    visitor = staff.role("manager")
    before = rows(staff, feedback_inbox)
    payload = orjson.dumps(
        {
            "external_id": "1", "kind": "survey", "score": 1, "scale": "stars_5", "location": "london",
            "issue_tags": ["flight-delayed", "no-such-tag"], "occurred_at": "2026-11-20T11:00:00Z",
        }
    ).decode()  # fmt: skip
    page = Page(visitor.fill("/feedback/try", "/feedback/try", source="", payload=payload))
    assert "It would be understood" in page.words
    assert "Flight delayed" in page.words
    assert "no-such-tag" in page.words
    assert "£25.00" in page.words
    assert rows(staff, feedback_inbox) == before


@pytest.mark.parametrize("payload", ["", "{", '{"external_id": "1", "kind": "survey", "score": 8, "scale": "stars_5"}'])
def test_a_payload_that_nobody_understands_says_why(staff: Staff, payload: str) -> None:
    page = Page(staff.role("manager").fill("/feedback/try", "/feedback/try", source="", payload=payload))
    assert (page.status, "It would wait for a person" in page.words) == (200, True)


def test_the_week_s_unmapped_values_are_counted(staff: Staff) -> None:
    assert "Everything was named" in staff.role("manager").get("/feedback/unmapped").words
    for number in range(3):
        take(staff, str(number), issue_tags=("lost pet",), score=5)
    page = staff.role("manager").get("/feedback/unmapped")
    assert "till Issue tag lost pet 3" in page.words
