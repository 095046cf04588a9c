"""How the pages say what is so with a case: clocks, scores, sizes, steps that are missing."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from admin import case_timeline, case_words
from incentives.kernel.errors import InputInvalid
from incentives.recovery.tables import APOLOGY_CHANNELS, CLOCKS, EVIDENCE, OUTCOMES, SURVEY_STATUSES, TASK_KINDS
from tests.world import HOUSE

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
# The timeline has an item of its own for these (queries/case_timeline.py).
SAID_ELSEWHERE = ("case.step-", "case.apologized", "case.noted", "case.task-added", "case.task-done", "case.file-added")


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0, "1 minute overdue"),
        (0.5, "due in 1 minute"),
        (12.9, "due in 12 minutes"),
        (119, "due in 119 minutes"),
        (120, "due in 2 hours"),
        (47 * 60 + 59, "due in 47 hours"),
        (48 * 60, "due in 2 days"),
        (-1, "1 minute overdue"),
        (-95, "95 minutes overdue"),
        (-60 * 24 * 9, "9 days overdue"),
    ],
)
def test_a_clock_never_promises_more_than_there_is(minutes: float, said: str) -> None:
    assert case_words.until(NOW + timedelta(minutes=minutes), NOW) == said


def test_a_clock_is_told_by_tone_sign_and_word() -> None:
    seen = {case_words.running("apology", NOW + timedelta(minutes=each), NOW)[:3:2] for each in (-1, 30, 31)}
    assert seen == {("bad", "alert"), ("warn", "hourglass"), ("news", "clock")}
    assert case_words.met("apology", NOW, NOW) == ("good", "Apology in time", "check")
    assert case_words.met("apology", NOW, NOW + timedelta(minutes=3)).word == "Apology 3 minutes late"


@pytest.mark.parametrize(
    ("given", "scale", "said"),
    [
        ("2", "stars_5", "2 of 5 stars"),
        ("7", "nps", "Would recommend: 7 of 10"),
        ("40", "percent", "40%"),
        ("good", "csat", "Satisfaction: good"),
        (None, "nps", ""),
        ("3", None, ""),
    ],
)
def test_a_score_is_said_as_it_was_given(given: str | None, scale: str | None, said: str) -> None:
    assert case_words.given_score(given, scale) == said


@pytest.mark.parametrize(("score_bp", "said"), [(None, ""), (0, "Score 0 of 100"), (2500, "Score 25 of 100")])
def test_a_comparable_score_is_of_a_hundred(score_bp: int | None, said: str) -> None:
    assert case_words.score(score_bp) == said


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(1, "1 byte"), (1023, "1,023 bytes"), (1024, "1 kB"), (1024 * 1024, "1.0 MB"), (5_000_000, "4.8 MB")],
)
def test_a_size_is_said_as_people_say_it(size_bytes: int, said: str) -> None:
    assert case_words.size(size_bytes) == said


def test_there_are_words_for_everything_that_the_records_may_hold() -> None:
    assert set(case_words.CLOCKS) == set(CLOCKS)
    assert set(case_words.OUTCOMES) == set(OUTCOMES)
    assert set(case_words.EVIDENCE) == set(EVIDENCE)
    assert set(case_words.CHANNELS) == set(APOLOGY_CHANNELS)
    assert set(case_words.SURVEYS) == set(SURVEY_STATUSES)
    assert {key for key, _ in case_words.TASK_KINDS} == set(case_words.TASK_WORDS) == set(TASK_KINDS)
    assert {key for key, _ in case_words.OUTCOME_CHOICES if key} == set(OUTCOMES) - {"merged"}
    offered = {key for key, _ in (*case_words.SPOKEN, *case_words.WRITTEN, *case_words.SENT)}
    assert offered == set(APOLOGY_CHANNELS)


def test_the_same_words_are_the_same_however_they_are_parted() -> None:
    script = "We are sorry.\nTruly  sorry."
    assert case_words.same_words("We are sorry.\r\n Truly sorry. ", case_words.digest_of(script))
    assert not case_words.same_words("We are sorry", case_words.digest_of(script))
    assert not case_words.same_words("", "")


def test_what_is_missing_leads_to_where_it_is_done() -> None:
    assert case_words.missing({"field": "steps.fix", "message": "x"})[0] == "next"
    assert "Fix it" in case_words.missing({"field": "steps.fix", "message": "x"})[1]
    assert [case_words.missing({"field": each, "message": "x"})[0] for each in ("causes", "approvals", "reason")] == [
        "causes",
        "given",
        "close-note",
    ]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "01a20233-8e3d-78e7-931c-ffaa2bc1ddfc 01a20233-8e3d-78e7-931c-ffaa2bc1ddfd"]
)
def test_a_case_is_named_by_exactly_one_number(text: str) -> None:
    from admin import case_page  # noqa: PLC0415 - it brings the whole door along

    with pytest.raises(InputInvalid):
        case_page.case_in(text)
    number = "01a20233-8e3d-78e7-931c-ffaa2bc1ddfc"
    assert str(case_page.case_in(f" http://here/cases/{number}?done=note#notes ")) == number


def deeds() -> set[str]:
    """Return the actions that flows write down about a case, but those that an item of their own says better."""
    rooms = [HOUSE / "incentives" / room for room in ("flows", "deeds")]
    sources = [path.read_text(encoding="utf-8") for room in rooms for path in room.glob("*.py")]
    found = {each for text in sources for each in re.findall(r'"((?:case|feedback)\.[a-z-]+)"', text)}
    told = {each for text in sources for each in re.findall(r'casework\.say\([^"]*?"([a-z-]+)"', text)}
    return {each for each in found | {f"case.{each}" for each in told} if not each.startswith(SAID_ELSEWHERE)}


def test_there_are_words_for_every_deed_about_a_case() -> None:
    assert len(deeds()) > 20
    assert deeds() <= set(case_timeline.DEEDS)
