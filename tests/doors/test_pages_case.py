"""One case on one screen: what it shows, and the work on it from the apology to closing and opening it again."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from incentives.recovery.tables import case_apologies, case_notes, case_tasks, recovery_cases
from tests.doors.case_pages import STORY, CasePage, error_at, forms_on, opened, value_of
from tests.doors.staff import Page, Staff, settle
from tests.doors.test_pages import check
from tests.doors.test_pages_cases import later, rows
from tests.world import make_core

NUL = "a\0b"
CANNOT_STAND = "characters that cannot stand here"


@pytest.fixture
def clerks(new_database: Callable[..., str]) -> Iterator[Staff]:
    """Who works on cases and who leads, on a database of either kind."""
    core = make_core(new_database())
    yield Staff(core, settle(core, ("frontline", "supervisor")))
    core.database.dispose()


@pytest.fixture
def case(staff: Staff) -> CasePage:
    """A case of Ana's in London, as the supervisor sees it."""
    return CasePage(staff, opened(staff, severity=3))


def count(staff: Staff, table: sa.Table) -> int:
    with staff.core.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def apologized(case: CasePage) -> Page:
    """Say the apology, which is the first step."""
    return case.does("apology", channel="in_person")


def documented(case: CasePage, *, causes: bool = True) -> None:
    """Do everything that must be done before the case may be closed."""
    apologized(case)
    case.does("steps", step="fix", status="done", note="Rebooked on the next flight.")
    case.does("steps", step="follow_up", status="done", channel="phone", note="They are on their way.")
    if causes:
        case.does("causes", **{"cause-1": "too-few-staff"})


def test_everything_that_is_known_stands_on_one_screen(case: CasePage) -> None:
    found = case.get()
    check(found)
    for said in (*STORY.values(), "Ana Ruiz", "ana.ruiz@gmail.com", "+447400123456", "BA-1", "Serious", "Spanish"):
        assert said.lower() in found.words.lower(), said
    assert "Next: Apologize" in found.words
    assert "Apology due in 60 minutes" in found.words
    assert "Already told. Nobody needs to ask again." in found.words or value_of(found, "answers-who") == ""


def test_who_only_reads_sees_it_all_and_finds_no_form(case: CasePage) -> None:
    found = CasePage(case.staff, case.case_id, "auditor").get()
    check(found)
    assert STORY["what"] in found.words
    assert forms_on(found) == set()


def test_the_apology_goes_out_at_once_in_the_customers_language(case: CasePage) -> None:
    found = case.get()
    assert "siento" in value_of(found, "apology-words")
    assert value_of(found, "apology-language") == "es"
    done = case.does("apology", channel="email")
    check(done)
    assert "The apology is in the record." in done.words
    assert "Next: Review" in done.words
    (apology,) = [each for each in case.screen.timeline if each.kind == "apology"]
    assert (apology.facts["script"], apology.facts["spoken"], apology.facts["channel"]) == (
        "sorry-flight",
        False,
        "email",
    )
    assert [each.facts["channel"] for each in case.screen.timeline if each.kind == "message"] == ["email"]


def test_own_words_are_kept_as_such(case: CasePage) -> None:
    case.does("apology", words="We are sorry, Ana.\nTruly.", channel="phone", language="en")
    (apology,) = [each for each in case.screen.timeline if each.kind == "apology"]
    assert (apology.text, apology.facts["spoken"]) == ("We are sorry, Ana.\nTruly.", True)
    assert (apology.facts["script"], apology.facts["language"]) == (None, "en")


def test_a_form_that_is_sent_twice_apologizes_once_and_notes_once(case: CasePage) -> None:
    for deed, fields, table in (
        ("apology", {"channel": "phone"}, case_apologies),
        ("notes", {"body": "Hi"}, case_notes),
    ):
        path = f"{case.href}/{deed}"
        sent = case.get().form(path) | {"words": "Sorry."} | fields
        answers = [case.staff.role("supervisor").send(path, sent) for _ in range(2)]
        assert [each.status_code for each in answers] == [303, 303]
        assert count(case.staff, table) == 1


def test_a_step_is_left_out_with_a_reason_and_says_so(case: CasePage) -> None:
    refused = case.refused("steps", step="apologize", status="skipped", note="")
    check(refused)
    assert "skipped" in error_at(refused, "skip-note")
    found = case.does("steps", step="apologize", status="skipped", note="They hung up.")
    check(found)
    assert "They hung up." in found.words
    assert "left out" in found.words


def test_a_step_out_of_order_is_refused_and_the_next_one_named(case: CasePage) -> None:
    found = case.refused("steps", 409, step="follow_up", status="done", note="Called")
    check(found)
    assert "Another step comes first" in found.words


def test_a_step_that_somebody_else_has_done_meanwhile_is_not_done_twice(case: CasePage) -> None:
    path = f"{case.href}/steps"
    apologized(case)
    sent = case.get().form(path) | {"status": "done", "note": "Mine"}
    assert case.staff.role("supervisor").send(path, sent).status_code == 303
    found = Page(case.staff.role("supervisor").send(path, sent))
    assert found.status == 409
    assert "done already" in found.words


@pytest.mark.parametrize(
    ("deed", "fields", "field", "said"),
    [
        ("apology", {"words": ""}, "apology-words", "Write what you say"),
        ("apology", {"words": NUL}, "apology-words", CANNOT_STAND),
        ("apology", {"words": "x" * 4001}, "apology-words", "at most 4000"),
        ("notes", {"body": ""}, "note-body", "Write something"),
        ("notes", {"body": "a\x7fb"}, "note-body", CANNOT_STAND),
        ("tasks", {"title": "Call", "due": ""}, "task-due", "Choose a day"),
        ("tasks", {"title": "Call", "due": "0001-01-01T00:00"}, "task-due", "Choose a"),
        ("tasks", {"title": "Call", "due": "2020-01-01T10:00"}, "task-due", "yet to come"),
        ("tasks", {"title": "", "due": "2026-12-01T10:00"}, "task-title", ""),
        ("tasks", {"title": "Call", "to": "team:nowhere"}, "task-to", "no such team"),
        ("tasks", {"title": "Call", "to": "nonsense"}, "task-to", "from the list"),
        ("answers", {"who": "x" * 2001}, "answers-who", "at most 2000"),
        ("causes", {"cause-1": "weather", "cause-2": "weather"}, "causes-cause-1", "each cause once"),
        (
            "causes",
            {"cause-1": "weather", "weight-1": "x", "cause-2": "people", "weight-2": "50"},
            "causes-weight-1",
            "1 to",
        ),
        (
            "causes",
            {"cause-1": "weather", "weight-1": "50", "cause-2": "people", "weight-2": "40"},
            "causes-weight-1",
            "100",
        ),
        ("close", {"outcome": "", "note": "Done"}, "close-outcome", "how it ended"),
        ("assign", {"to": "", "reason": "x"}, "assign-to", "Choose who"),
        ("assign", {"to": "person:nobody", "reason": "x"}, "assign-to", "nobody like that"),
        ("shares", {"team": ""}, "share-team", "Choose a team"),
        ("links", {"days": "365"}, "link-days", "how long"),
        ("related", {"other": "the other one"}, "related-other", "Copy the address"),
        ("merge", {"other": "", "reason": "x"}, "merge-other", "Copy the address"),
        ("split", {"tag": "", "reason": "x"}, "split-tag", "what else"),
    ],
)
def test_each_mistake_stands_at_its_field_with_what_was_typed(
    case: CasePage, deed: str, fields: dict[str, str], field: str, said: str
) -> None:
    if deed == "answers":
        case.post("answers", form="correct", **dict.fromkeys(STORY, ""))
    before = len(case.screen.timeline)
    found = case.refused(deed, **fields)
    check(found)
    assert said in error_at(found, field)
    form = field.partition("-")[0]
    for name, typed in fields.items():
        shown = value_of(found, f"{form}-{name}")
        assert shown == typed or not typed.isprintable() or shown == "", name
    assert len(case.screen.timeline) == before


def test_answers_are_asked_for_once(staff: Staff) -> None:
    case = CasePage(staff, opened(staff, story={}, answers_to_come=True))
    found = case.does("answers", what="It was late.\nVery late.", when="Friday")
    check(found)
    assert case.screen.story == {"what": "It was late.\nVery late.", "when": "Friday"}
    assert {each.get("id") for each in found.all("textarea")} >= {"answers-who", "correct-what"}
    case.does("answers", who="Gate 12")
    assert case.screen.story["what"] == "It was late.\nVery late."
    path = f"{case.href}/answers"
    fields = {"csrf_token": case.get().form(path)["csrf_token"], "form": "correct", "what": "It was early.", "who": ""}
    assert staff.role("supervisor").send(path, fields).status_code == 303
    assert case.screen.story == {"what": "It was early.", "when": "Friday"}


def test_causes_with_their_weights_and_whoever_is_responsible(case: CasePage) -> None:
    case.does("causes", **{"cause-1": "weather"})
    assert [(each.cause, each.weight) for each in case.screen.causes] == [("weather", 100)]
    weights = {"cause-1": "weather", "weight-1": "60 %", "cause-2": "too-few-staff", "weight-2": "40", "note": "Fog."}
    found = case.does("causes", **weights)
    check(found)
    assert [(each.cause, each.weight) for each in case.screen.causes] == [("weather", 60), ("too-few-staff", 40)]
    assert "Fog." in found.words
    found = case.does("responsible", kind="team", name="The night crew")
    assert "A team of ours: The night crew" in found.words
    assert "night crew" not in CasePage(case.staff, case.case_id, "frontline").get().html
    assert "night crew" in CasePage(case.staff, case.case_id, "auditor").get().words


def test_a_task_has_a_day_and_a_result(case: CasePage) -> None:
    found = case.does("tasks", title="Call her back", kind="customer", due="2026-11-23T10:00", to="team:care-line")
    check(found)
    (task,) = case.screen.tasks
    assert (task.title, task.owner_team, task.due_at.isoformat()) == (
        "Call her back",
        "care-line",
        "2026-11-23T10:00:00+00:00",
    )
    later(case.staff, hours=11)
    later(case.staff, days=3)
    case.staff.signed_in_again("supervisor")
    assert "overdue" in case.get().words
    case.does(f"tasks/{task.id}/done", result="She is fine with it.")
    assert "She is fine with it." in case.get().words
    with case.staff.core.database.read() as tx:
        assert "Call her back" not in str(tx.execute(sa.select(case_tasks.c.title)).scalar_one())


def test_closing_names_everything_that_is_missing_at_once(case: CasePage) -> None:
    found = case.refused("close", 422, outcome="recovered", note="All is well.")
    check(found)
    (banner,) = [each for each in found.tree.iter() if each.get("id") == "refused"]
    said = " ".join("".join(banner.itertext()).split())
    for missing in ("Apologize", "Fix it", "Follow up", "why it happened"):
        assert missing in said
    assert value_of(found, "close-note") == "All is well."
    assert value_of(found, "close-outcome") == "recovered"
    assert {each.attrib["href"] for each in banner.iter("a")} == {"#next", "#causes"}


def test_a_case_is_closed_with_its_record_and_opened_again(case: CasePage) -> None:
    documented(case)
    found = case.does("close", outcome="recovered", note="Rebooked, and content.")
    check(found)
    assert "The case is closed." in found.words
    assert "Put right" in found.words
    assert "Yes, by the judgment of whoever closed it" in found.words
    assert "Rebooked, and content." in found.words
    assert forms_on(found) >= {"notes", "reopen"}
    assert not forms_on(found) & {"steps", "apology", "close", "causes"}
    assert case.post("apology", words="Sorry", channel="phone", idempotency_key=case.staff.new_key()).status_code == 409
    found = case.does("reopen", reason="She called again.")
    check(found)
    assert "Open again" in found.words
    assert "Next: Apologize" in found.words
    assert "She called again." in found.words


def test_what_cannot_be_mended_is_said_honestly(case: CasePage) -> None:
    documented(case)
    refused = case.refused("close", 422, outcome="unsalvageable", note="")
    assert "why nothing could be done" in error_at(refused, "close-note")
    found = case.does("close", outcome="unsalvageable", note="They will never fly with us again.")
    assert "Not salvageable" in found.words


def test_giving_in_a_case_asks_for_nothing_twice(case: CasePage) -> None:
    path = f"/staff/give/flight-delayed?case={case.case_id}"
    assert path in [each.get("href") for each in case.get().all("a")]
    visitor = case.staff.role("supervisor")
    found = visitor.get(path)
    check(found)
    sent = found.form("/staff/give/flight-delayed")
    assert (sent["email"], sent["phone"], sent["order_ref"]) == ("ana.ruiz@gmail.com", "+447400123456", "BA-1")
    assert (sent["locale"], sent["severity"], sent["case"]) == ("es", "3", str(case.case_id))
    answer = visitor.send("/staff/give/flight-delayed", sent | {"incentive": "travel-voucher-gbp"})
    assert answer.status_code == 303, Page(answer).words
    assert count(case.staff, recovery_cases) == 1
    shown = case.get()
    check(shown)
    assert "A voucher was given: Travel voucher, £25.00" in shown.words
    assert "handover-code" not in shown.html


@pytest.mark.parametrize("case_id", ["nonsense", "00000000-0000-7000-8000-000000000000"])
def test_giving_in_a_case_that_is_not_there_is_refused(staff: Staff, case_id: str) -> None:
    found = staff.role("supervisor").get(f"/staff/give/flight-delayed?case={case_id}")
    check(found)
    assert found.status == (404 if "-" in case_id else 422)


def test_somebody_else_changing_the_case_is_said(case: CasePage) -> None:
    (seen,) = [each.attrib["data-seen"] for each in case.get().tree.iter() if "data-seen" in each.attrib]
    visitor, news = case.staff.role("supervisor"), {"X-Poll": "1", "X-Seen": seen}
    assert "Show it as it is now" not in Page(visitor.client.get(case.href, headers=news)).words
    later(case.staff, minutes=1)
    CasePage(case.staff, case.case_id, "frontline").does("notes", body="She called.")
    polled = Page(visitor.client.get(case.href, headers=news))
    check(polled)
    assert "This case was changed just now. Show it as it is now" in polled.words


def test_a_hundred_things_that_happened_take_no_more_statements(case: CasePage) -> None:
    from tests.doors.test_pages_lists import statements  # noqa: PLC0415 - its fixtures are not wanted here

    def asked() -> int:
        with statements() as found:
            assert case.get().status == 200
        return len(found)

    asked()
    few = asked()
    for number in range(20):
        case.post("notes", body=f"Note {number}", idempotency_key=case.staff.new_key())
    assert asked() <= few + 1


def test_the_whole_walk_of_a_case_on_either_database(clerks: Staff) -> None:
    case = CasePage(clerks, opened(clerks, severity=3))
    case.does("assign", to="team:london-gates", reason="Whoever is there.")
    visitor = clerks.role("supervisor")
    assert rows(visitor.get("/cases?view=unowned&search=BA-1&tag=flight")) == [case.href]
    case.does("take")
    case.does("answers", form="correct", **{**STORY, "who": "Gate 14"})
    documented(case)
    case.does("notes", body="Back on Monday.")
    case.does("tasks", title="Call her", due="2026-11-23T10:00")
    case.does("shares", team="care-line")
    case.does("links", days="7")
    case.does("judgment", reason="She has had enough of vouchers.")
    assert case.upload("note.txt", b"She wrote this.", "text/plain").status_code == 303
    other = CasePage(clerks, opened(clerks, order_ref="BA-2"))
    case.does("related", other=str(other.case_id))
    case.does("split", tag="bag-late", reason="The bag is another matter.")
    found = case.does("close", outcome="not_recovered", note="We tried.")
    check(found)
    assert "Not put right" in found.words
    assert rows(visitor.get("/cases?view=closed")) == [case.href]
    case.does("reopen", reason="She called again.")
    found = case.does("merge", other=str(other.case_id), reason="The very same flight.")
    check(found)
    assert "This case goes on in another one" in found.words
    check(other.get())
    assert "Back on Monday." in other.get().words
