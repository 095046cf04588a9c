"""A case is closed once everything is documented; what staff think is the weakest evidence; it can be reopened."""

from datetime import timedelta

import pytest

from incentives.books.tables import audit_events
from incentives.kernel.errors import CaseClosed, CaseNotClosed, CaseNotDocumented, InputInvalid, NotPermitted
from incentives.recovery.tables import case_clocks, case_steps, surveys
from tests.flows.cases_shop import CASES, Desk, OpenShop
from tests.flows.shop import named
from tests.world import START


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(CASES))


def fields(refusal: object) -> list[str]:
    """Return the fields that a refusal names."""
    return [each["field"] for each in refusal.facts["errors"]]  # type: ignore[attr-defined]  # a refusal


def test_everything_that_is_missing_is_said_at_once(desk: Desk) -> None:
    case_id = desk.open(severity=3)
    desk.shop.ask(case_id=case_id, amount_minor=3000)
    refusal = desk.shop.refused(CaseNotDocumented, desk.close, case_id, outcome="unsalvageable", note=" ")
    assert fields(refusal) == [
        "note",
        "reason",
        "steps.apologize",
        "steps.review",
        "steps.fix",
        "causes",
        "approvals",
    ]
    assert [each["field"] for each in desk.screen(case_id).missing] == fields(refusal)[2:]


def test_closing_writes_down_the_last_words_and_plans_to_ask_again(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    assert desk.screen(case_id).missing == ()
    desk.shop.later(minutes=50)
    closed = desk.close(case_id)
    assert (closed.outcome, closed.recovered, closed.evidence) == ("recovered", True, "judgment")
    assert closed.survey_planned is True
    row = desk.row(case_id)
    assert (row.status, row.outcome, row.closed_by) == ("closed", "recovered", desk.shop.agent.label)
    assert row.closed_at == row.changed_at == START + timedelta(minutes=50)
    assert "well" not in row.closing_note
    survey = desk.shop.one(surveys)
    assert (survey.case_id, survey.round, survey.status, survey.after) == (case_id, 1, "planned", "close")
    documented = desk.shop.all(case_steps)[-1]
    assert (documented.step, desk.core.contacts.decrypt(documented.note)) == ("document", "All is well.")
    clock = desk.shop.one(case_clocks, case_clocks.c.clock == "close")
    assert clock.met_at == START + timedelta(minutes=50)
    screen = desk.screen(case_id)
    assert (screen.case.state, screen.closing_note, screen.missing) == ("closed", "All is well.", ())


def test_a_last_step_that_was_written_down_before_is_not_written_down_again(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    desk.step(case_id, "document", note="It is all in the file.")
    assert desk.close(case_id).outcome == "recovered"
    documented = desk.shop.one(case_steps, case_steps.c.step == "document")
    assert desk.core.contacts.decrypt(documented.note) == "It is all in the file."


def test_asking_again_is_a_step_where_the_protocol_says_so(desk: Desk) -> None:
    asked, silent = desk.open(issue_tag="odd"), desk.open(issue_tag="odd", customer=named())
    for case_id in (asked, silent):
        for step in ("gather", "apologize", "resolve"):
            desk.step(case_id, step)
        desk.close(case_id)
    survey = {row.case_id: row.status for row in desk.shop.all(case_steps, case_steps.c.step == "survey")}
    assert survey == {asked: "done", silent: "skipped"}


def test_a_grave_case_needs_a_root_cause(desk: Desk) -> None:
    case_id = desk.open(severity=3)
    desk.work_through(case_id)
    assert fields(desk.shop.refused(CaseNotDocumented, desk.close, case_id)) == ["causes"]
    desk.causes(case_id, few=100)
    assert desk.close(case_id).outcome == "recovered"


@pytest.mark.parametrize(
    ("outcome", "recovered", "evidence", "asked"),
    [
        ("recovered", True, "judgment", True),
        ("not_recovered", False, "judgment", True),
        ("unsalvageable", False, "judgment", False),
        ("no_action", None, None, False),
    ],
)
def test_each_outcome_is_honest(
    desk: Desk, outcome: str, recovered: bool | None, evidence: str | None, asked: bool
) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    closed = desk.close(case_id, outcome=outcome, reason="She moved away.")
    assert (closed.recovered, closed.evidence, closed.survey_planned) == (recovered, evidence, asked)
    assert desk.row(case_id).salvageable is (outcome != "unsalvageable")
    assert "moved away" not in str(desk.shop.everything())


def test_what_is_no_outcome_is_refused(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    assert fields(desk.shop.refused(CaseNotDocumented, desk.close, case_id, outcome="merged")) == ["outcome"]


def test_a_case_is_closed_once_and_nothing_is_given_in_it_then(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    desk.close(case_id)
    desk.shop.refused(CaseClosed, desk.close, case_id)
    desk.shop.refused(CaseClosed, desk.shop.issue, case_id=case_id)


def test_an_approval_that_is_granted_late_still_counts_the_case(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    asked = desk.shop.ask(case_id=case_id, amount_minor=3000)
    assert fields(desk.shop.refused(CaseNotDocumented, desk.close, case_id)) == ["approvals"]
    desk.shop.decide(asked.approval_id, "decline")
    assert desk.close(case_id).outcome == "recovered"


def test_reopening_begins_another_round_and_keeps_the_first(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    desk.close(case_id)
    desk.shop.later(minutes=100)
    desk.shop.refused(NotPermitted, desk.reopen, case_id, desk.shop.agent)
    desk.shop.refused(InputInvalid, desk.reopen, case_id, reason=" ")
    assert desk.reopen(case_id).round == 2
    row = desk.row(case_id)
    assert (row.status, row.round, row.outcome, row.closed_at, row.recovered) == ("open", 2, None, None, None)
    screen = desk.screen(case_id)
    assert (screen.case.state, screen.next_step) == ("reopened", "apologize")
    assert [item.title for item in screen.timeline if item.kind == "step"] == ["apologize", "review", "fix", "document"]
    assert {clock.clock: clock.due_at for clock in screen.clocks}["apology"] == START + timedelta(minutes=160)
    assert [item.text for item in screen.timeline if item.kind == "note"] == ["She called again."]
    desk.shop.refused(CaseNotClosed, desk.reopen, case_id)
    desk.work_through(case_id)
    desk.close(case_id)
    assert {(row.round, row.after) for row in desk.shop.all(surveys)} == {(1, "close"), (2, "close")}
    (event,) = desk.shop.all(audit_events, audit_events.c.action == "case.reopened")
    assert event.facts == {"round": 2, "outcome": "recovered"}


def test_a_clock_of_the_first_round_is_not_met_by_the_second(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    desk.close(case_id)
    desk.reopen(case_id)
    desk.shop.issue(case_id=case_id)
    incentive = desk.shop.all(case_clocks, case_clocks.c.clock == "incentive")
    assert [row.met_at is not None for row in sorted(incentive, key=lambda row: row.round)] == [False, True]
