"""Whose a case is, who else sees it, what lies beside it, and its files."""

import base64
import re
import uuid
from datetime import timedelta

import pytest

from incentives.flows.case_tasks import AddTask, add_task
from tests.doors.case_pages import STORY, CasePage, error_at, forms_on, opened
from tests.doors.staff import Page, Staff, Visitor
from tests.doors.test_pages import check
from tests.doors.test_pages_cases import enough, later, rows

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def case(staff: Staff) -> CasePage:
    """A case of Ana's in London, as the supervisor sees it."""
    return CasePage(staff, opened(staff))


def link_of(case: CasePage) -> str:
    """Make a link and return its path."""
    found = case.does("links", days="3")
    check(found)
    (url,) = [each.attrib["value"] for each in found.all("input") if "/shared/" in each.get("value", "")]
    return re.sub(r"^https?://[^/]+", "", url)


def test_a_case_is_handed_on_and_taken_by_nobody_else(case: CasePage) -> None:
    manager = case.staff.person("manager")
    found = case.does("assign", to=manager.label, reason="You know her.")
    check(found)
    assert "Manager" in found.words
    assert case.screen.case.owner == manager.label
    assert case.post("take").status_code == 409
    found = case.does("assign", to="team:care-line", reason="They are on shift.")
    assert case.screen.case.owner_team == "care-line"
    assert "Care line" in found.words


def test_a_case_that_is_nobodys_is_taken_from_the_queue(case: CasePage) -> None:
    case.does("assign", to="team:london-gates", reason="Whoever is there.")
    visitor = case.staff.role("supervisor")
    assert rows(visitor.get("/cases?view=unowned")) == [case.href]
    action = f"{case.href}/take"
    answer = visitor.send(action, visitor.get("/cases?view=unowned").form(action))
    assert answer.location == f"{case.href}?done=taken#owner"
    assert case.screen.case.owner == case.staff.person("supervisor").label
    assert rows(visitor.get("/cases?view=mine")) == [case.href]


def test_whoever_does_not_lead_gives_a_case_to_nobody(case: CasePage) -> None:
    found = CasePage(case.staff, case.case_id, "frontline").get()
    check(found)
    assert not forms_on(found) & {"assign", "links", "merge", "split"}
    assert forms_on(found) >= {"apology", "notes", "tasks", "causes", "close", "files"}


def test_a_team_sees_a_case_until_that_ends(case: CasePage) -> None:
    found = case.does("shares", team="care-line", may_edit="yes")
    check(found)
    (share,) = case.screen.shares
    assert (share.team, share.may_edit, share.ended) == ("care-line", True, False)
    assert "may work on it" in found.words
    case.does(f"shares/{share.id}/end")
    assert case.screen.shares[0].ended


def test_a_link_shows_the_case_to_whoever_has_it_and_nothing_that_is_theirs(case: CasePage) -> None:
    case.does("apology", channel="phone")
    case.does("notes", body="She is a friend of the mayor.")
    path = link_of(case)
    found = Visitor(case.staff.app).get(path)
    assert found.status == 200
    assert len(found.all("h1")) == 1
    assert "Flight delayed" in found.title
    for said in ("Ana", "until 23 Nov 2026", "We apologized by phone", "Meridian Air & Stays"):
        assert said in found.words
    for secret in ("Ruiz", "ana.ruiz", "400123456", "friend of the mayor", "BA-1", "Supervisor", STORY["who"]):
        assert secret not in found.html
    assert found.all("form") == []
    assert found.headers["Cache-Control"] == "no-store"
    assert found.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert found.headers["Referrer-Policy"] == "no-referrer"
    assert not found.headers.getlist("Set-Cookie") or "staff" not in str(found.headers.getlist("Set-Cookie"))


def test_opening_a_link_changes_nothing(case: CasePage) -> None:
    path = link_of(case)
    before = case.screen
    for method in ("GET", "HEAD", "OPTIONS"):
        Visitor(case.staff.app).client.open(path, method=method)
    assert Visitor(case.staff.app).client.post(path).status_code == 405
    assert case.screen == before


def test_a_link_ends_by_itself_and_by_hand_and_every_dead_one_looks_alike(case: CasePage) -> None:
    paths = [link_of(case)]
    (share,) = case.screen.shares
    case.does(f"shares/{share.id}/end")
    paths.append(link_of(case))
    later(case.staff, days=3, minutes=1)
    forged = paths[1][:-4] + "AAAA"
    answers = [Visitor(case.staff.app).get(each) for each in (*paths, forged, "/shared/x", "/shared/" + "9" * 3000)]
    assert [each.status for each in answers] == [404] * 5
    assert len({each.words for each in answers}) == 1
    assert "This link does not work" in answers[0].words


def test_who_tries_links_is_slowed_down_and_a_good_link_is_not(case: CasePage) -> None:
    path = link_of(case)
    visitor = Visitor(case.staff.app)
    statuses = [visitor.get("/shared/nonsense").status for _ in range(31)]
    assert statuses == [404] * 30 + [429]
    assert visitor.get(path).status == 200


def test_cases_are_named_joined_and_parted(case: CasePage) -> None:
    other = CasePage(case.staff, opened(case.staff, order_ref="BA-2"))
    found = case.does("related", other=f"http://127.0.0.1:8000/cases/{other.case_id}?done=note#notes")
    check(found)
    assert other.href in [each.get("href") for each in found.all("a")]
    found = case.does("split", tag="bag-lost", reason="The bag is another matter.")
    check(found)
    assert "Bag lost" in found.words
    found = case.does("merge", other=str(other.case_id), reason="The very same flight.")
    check(found)
    assert "This case goes on in another one" in found.words
    assert "Part of another case" in found.words
    assert forms_on(found) <= {"notes", "files", "reopen", "shares", "links"}
    assert STORY["what"] in other.get().words


def test_a_case_is_not_joined_with_itself_or_with_what_is_not_there(case: CasePage) -> None:
    for deed, form in (("related", "related"), ("merge", "merge")):
        found = case.refused(deed, other=str(case.case_id), reason="x")
        check(found)
        assert "very same case" in error_at(found, f"{form}-other")
    assert case.send("merge", other=str(uuid.uuid4()), reason="x").status_code == 404


def test_earlier_recoveries_stand_beside_with_what_they_cost(case: CasePage) -> None:
    answer = case.staff.give(email="ana.ruiz@gmail.com", tag="bag-late", incentive="bag-courier-gbp")
    assert answer.status_code == 303
    found = case.get()
    check(found)
    assert "Helped 1 time before £22.00" in found.words
    assert "Bag late" in found.words


def test_a_photo_is_kept_and_comes_back_as_a_file(case: CasePage) -> None:
    assert case.upload("bag <b>.png", PNG, "image/png").status_code == 303
    found = case.get()
    check(found)
    assert "bag <b>.png" in found.words
    (kept,) = case.screen.files
    answer = case.staff.role("frontline").client.get(f"{case.href}/files/{kept.id}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''bag%20%3Cb%3E.png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    case.does(f"files/{kept.id}/remove")
    assert case.staff.role("frontline").client.get(f"{case.href}/files/{kept.id}").status_code == 404


@pytest.mark.parametrize(
    ("name", "content", "media_type", "status"),
    [
        ("photo.png", b"<html><script>alert(1)</script></html>", "image/png", (415, 422)),
        ("evil.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml", (415, 422)),
        ("empty.txt", b"", "text/plain", (415, 422)),
        ("huge.txt", b"a" * 5_000_001, "text/plain", (413, 422)),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused_at_its_field(
    case: CasePage, name: str, content: bytes, media_type: str, status: tuple[int, ...]
) -> None:
    found = Page(case.upload(name, content, media_type))
    check(found)
    assert found.status in status
    assert "refused" in {each.get("id") for each in found.tree.iter()}
    assert case.screen.files == ()


def test_no_file_at_all_is_said_at_its_field(case: CasePage) -> None:
    found = case.refused("files")
    check(found)
    assert error_at(found, "file-file") == "Choose a file."


def test_other_forms_stay_small(case: CasePage) -> None:
    assert case.post("notes", body="a" * 2_000_000).status_code == 413


def test_a_file_and_a_task_of_another_case_are_not_found_here(case: CasePage) -> None:
    other = CasePage(case.staff, opened(case.staff, "manager", location="madrid"), "manager")
    other.upload("bag.png", PNG, "image/png")
    (kept,) = other.screen.files
    command = AddTask(
        case_id=other.case_id,
        kind="customer",
        title="Call",
        due_at=case.staff.core.clock.now() + timedelta(days=1),
    )
    task = add_task(core=case.staff.core, actor=case.staff.person("manager"), command=command)
    for href in (case.href, other.href):
        assert case.staff.role("supervisor").get(f"{href}/files/{kept.id}").status == 404
    assert case.post(f"tasks/{task.id}/done", **enough(case.staff)).status_code == 404
    assert CasePage(case.staff, other.case_id).post(f"tasks/{task.id}/done", **enough(case.staff)).status_code == 404


def test_what_no_incentive_mends_is_said_and_taken_back(case: CasePage) -> None:
    found = case.refused("judgment", reason="")
    check(found)
    assert error_at(found, "judge-reason") == "Say why."
    found = case.does("judgment", reason="He lost a day of his holidays.")
    check(found)
    assert not case.screen.case.salvageable
    assert "No rule gives anything in this case by itself." in found.words
    case.does("judgment", reason="He called, and laughed.")
    assert case.screen.case.salvageable
