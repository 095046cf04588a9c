"""Steps in the protocol's order, the apology, the questions, the causes, who was at fault, and notes."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.describe_case import (
    AddNote,
    AnswerQuestions,
    JudgeSalvageable,
    NameResponsible,
    add_note,
    answer_questions,
    judge_salvageable,
    name_responsible,
)
from incentives.kernel.errors import (
    CaseClosed,
    CaseNotFound,
    ChannelWithoutAddress,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    StepAlreadyDone,
    StepOutOfOrder,
)
from incentives.messages.tables import outbox_messages
from incentives.recovery.tables import case_apologies, case_clocks, case_notes, case_steps
from tests.flows.cases_shop import CASES, S3_STEPS, STORY, Desk, OpenShop
from tests.flows.shop import moved, named
from tests.world import START


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(CASES))


def met(desk: Desk) -> dict[str, int]:
    """Return after how many minutes each clock was met."""
    rows = desk.shop.all(case_clocks, case_clocks.c.met_at.is_not(None))
    return {row.clock: int((row.met_at - START) / timedelta(minutes=1)) for row in rows}


def test_steps_are_done_in_the_protocols_order_and_stamped(desk: Desk) -> None:
    case_id = desk.open()
    states = []
    for minutes, step in enumerate(S3_STEPS, start=1):
        desk.shop.later(minutes=1)
        done = desk.step(case_id, step, channel="phone", note=f"Note {minutes}")
        states.append((done.state, done.next_step))
    assert states == [
        ("apologized", "review"),
        ("reviewed", "fix"),
        ("fixed", "follow_up"),
        ("followed_up", "document"),
        ("documented", None),
    ]
    rows = desk.shop.all(case_steps)
    assert [(row.step, row.status, row.channel, row.round) for row in rows] == [
        (step, "done", "phone", 1) for step in S3_STEPS
    ]
    assert {row.actor_name for row in rows} == {"Frontline"}
    assert "Note" not in "".join(row.note for row in rows)
    assert met(desk) == {"first_contact": 1, "apology": 1, "fix": 3}
    assert desk.row(case_id).changed_at == START + timedelta(minutes=5)


def test_the_other_order_of_steps_works_as_well(desk: Desk) -> None:
    case_id = desk.open(issue_tag="odd")
    refusal = desk.shop.refused(StepOutOfOrder, desk.step, case_id, "apologize")
    assert refusal.facts["comes_first"] == "gather"
    assert desk.step(case_id, "gather").state == "gathered"
    assert desk.step(case_id, "apologize").next_step == "resolve"
    assert desk.step(case_id, "resolve").state == "fixed"


def test_a_step_out_of_order_names_the_one_that_comes_first(desk: Desk) -> None:
    case_id = desk.open()
    refusal = desk.shop.refused(StepOutOfOrder, desk.step, case_id, "fix")
    assert (refusal.facts["step"], refusal.facts["comes_first"]) == ("fix", "apologize")
    desk.work_through(case_id)
    # What is optional may be passed over without a word.
    assert desk.step(case_id, "document", note="All of it.").state == "documented"


def test_a_step_is_skipped_with_a_reason_only(desk: Desk) -> None:
    case_id = desk.open()
    refusal = desk.shop.refused(InputInvalid, desk.step, case_id, "apologize", status="skipped", note=" ")
    assert refusal.facts["errors"][0]["field"] == "note"
    skipped = desk.step(case_id, "apologize", status="skipped", note="She hung up.")
    assert (skipped.state, skipped.next_step) == ("open", "review")
    assert met(desk) == {}
    (event,) = desk.shop.all(audit_events, audit_events.c.action == "case.step-skipped")
    assert event.facts["step"] == "apologize"
    assert "hung" not in str(event)
    desk.step(case_id, "review")
    desk.step(case_id, "fix")
    assert desk.step(case_id, "follow_up", status="skipped").status == "skipped"


@pytest.mark.parametrize(
    ("refusal", "more"),
    [
        (InputInvalid, {"step": "dance"}),
        (InputInvalid, {"step": "gather"}),
        (InputInvalid, {"step": "apologize", "status": "half"}),
        (InputInvalid, {"step": "apologize", "channel": "pigeon"}),
        (InputInvalid, {"step": "apologize", "note": "x" * 5001}),
    ],
)
def test_a_step_that_is_none_leaves_nothing(desk: Desk, refusal: type[Any], more: dict[str, Any]) -> None:
    case_id = desk.open()
    desk.shop.refused(refusal, desk.step, case_id, **more)


def test_a_step_is_done_once(desk: Desk) -> None:
    case_id = desk.open()
    desk.step(case_id, "apologize")
    desk.shop.refused(StepAlreadyDone, desk.step, case_id, "apologize")


def test_documenting_needs_words(desk: Desk) -> None:
    case_id = desk.open()
    desk.work_through(case_id)
    desk.shop.refused(InputInvalid, desk.step, case_id, "document")


def test_an_apology_goes_out_by_itself_in_the_customers_language(desk: Desk) -> None:
    case_id = desk.open(customer=named("ana.lopez@example.com", name="Ana", locale="es"), order_ref="BA1")
    desk.shop.later(minutes=7)
    done = desk.apologize(case_id)
    row = desk.shop.one(case_apologies)
    assert (row.script, row.language, row.channel, row.spoken) == ("sorry", "es", "email", False)
    assert row.script_item_id is not None
    words = desk.core.contacts.decrypt(row.words)
    # The sentence that speaks of an incentive is left out: none is given.
    assert words == "Ana, Acme lo siente por BA1."
    assert "Ana" not in row.words
    message = desk.shop.one(outbox_messages, outbox_messages.c.id == done.message_id)
    assert (message.template, message.apology_id, message.case_id) == ("apology", row.id, case_id)
    assert desk.shop.deliver() == ["captured"]
    (letter,) = desk.shop.sender().letters
    assert (letter.to, letter.apology, letter.code) == ("ana.lopez@example.com", words, None)
    assert met(desk) == {"first_contact": 7, "apology": 7}
    assert desk.screen(case_id).case.state == "apologized"


def test_an_apology_goes_out_while_the_incentive_waits_for_an_approval(desk: Desk) -> None:
    case_id = desk.open()
    desk.shop.ask(case_id=case_id, amount_minor=3000, channels=("email",))
    desk.apologize(case_id)
    assert desk.shop.deliver() == ["captured"]
    assert [letter.template for letter in desk.shop.sender().letters] == ["apology"]


def test_what_was_said_is_not_sent_again(desk: Desk) -> None:
    case_id = desk.open()
    assert desk.apologize(case_id, channel="email", spoken=True).message_id is None
    assert desk.apologize(case_id, channel="in_person", words="I am so sorry.").message_id is None
    assert desk.shop.deliver() == []
    own = desk.shop.all(case_apologies)[-1]
    assert (own.script, own.spoken, desk.core.contacts.decrypt(own.words)) == (None, True, "I am so sorry.")


def test_an_apology_needs_an_address(desk: Desk) -> None:
    case_id = desk.open()
    desk.shop.refused(ChannelWithoutAddress, desk.apologize, case_id, channel="sms")
    desk.shop.refused(InputInvalid, desk.apologize, case_id, channel="pigeon")


def test_one_press_apologizes_once(desk: Desk) -> None:
    case_id = desk.open()
    first = desk.apologize(case_id, idempotency_key="press-1")
    again = desk.apologize(case_id, idempotency_key="press-1")
    assert (again.id, again.message_id, again.replayed) == (first.id, first.message_id, True)
    assert len(desk.shop.all(case_apologies)) == 1
    desk.shop.refused(IdempotencyKeyReused, desk.apologize, case_id, idempotency_key="press-1", words="Else.")


def test_an_apology_before_its_turn_stops_the_clock_and_leaves_the_step(desk: Desk) -> None:
    case_id = desk.open(issue_tag="odd")
    desk.apologize(case_id)
    assert set(met(desk)) == {"apology", "first_contact"}
    assert desk.screen(case_id).next_step == "gather"


def test_answers_come_later_and_can_be_taken_back(desk: Desk) -> None:
    case_id = desk.open()
    told = AnswerQuestions(case_id=case_id, story={"who": "Tom", "when": ""})
    assert answer_questions(core=desk.core, actor=desk.shop.agent, command=told) == {
        "what": STORY["what"],
        "who": "Tom",
    }
    wrong = AnswerQuestions(case_id=case_id, story={"why": "Because."})
    desk.shop.refused(InputInvalid, answer_questions, core=desk.core, actor=desk.shop.agent, command=wrong)


def test_root_causes_weigh_a_hundred(desk: Desk) -> None:
    case_id = desk.open()
    desk.causes(case_id, few=70, process=30)
    causes = [(each.cause, each.label, each.weight) for each in desk.screen(case_id).causes]
    assert causes == [("few", "People / Too few", 70), ("process", "Process", 30)]
    wrong: tuple[dict[str, Any], ...] = (
        {"few": 70},
        {"few": 0, "process": 100},
        {"nobody": 100},
        {"few": 50, "process": 51},
    )
    for weights in wrong:
        desk.shop.refused(InputInvalid, desk.causes, case_id, **weights)
    desk.causes(case_id)
    assert desk.screen(case_id).causes == ()


def test_causes_are_suggested_from_what_the_tag_had_before(desk: Desk) -> None:
    desk.causes(desk.open(), few=100)
    desk.causes(desk.open(), few=60, process=40)
    desk.causes(desk.open(issue_tag="odd"), people=100)
    suggested = desk.screen(desk.open()).suggested_causes
    assert [(each.cause, each.cases) for each in suggested] == [("few", 2), ("process", 1)]


def test_who_was_at_fault_is_for_few_to_say_and_see(desk: Desk) -> None:
    case_id = desk.open()
    said = NameResponsible(case_id=case_id, kind="agent", text="Tom of the gates")
    desk.shop.refused(NotPermitted, name_responsible, core=desk.core, actor=desk.shop.agent, command=said)
    name_responsible(core=desk.core, actor=desk.shop.supervisor, command=said)
    led = desk.screen(case_id)
    assert (led.responsible_kind, led.responsible) == ("agent", "Tom of the gates")
    served = desk.screen(case_id, desk.shop.agent)
    assert (served.responsible_kind, served.responsible, served.may_see_responsible) == (None, None, False)
    assert "Tom" not in str(desk.shop.everything())
    taken_back = NameResponsible(case_id=case_id, kind=None)
    name_responsible(core=desk.core, actor=desk.shop.supervisor, command=taken_back)
    assert desk.screen(case_id).responsible is None


def test_notes_are_encrypted_and_written_once_a_press(desk: Desk) -> None:
    case_id = desk.open()
    command = AddNote(case_id=case_id, body=" Call at five. ", idempotency_key="n1")
    first = add_note(core=desk.core, actor=desk.shop.agent, command=command)
    assert add_note(core=desk.core, actor=desk.shop.agent, command=command).id == first.id
    row = desk.shop.one(case_notes)
    assert "five" not in row.body
    (note,) = [item for item in desk.screen(case_id).timeline if item.kind == "note"]
    assert (note.text, note.actor_name) == ("Call at five.", "Frontline")
    empty = AddNote(case_id=case_id, body=" ")
    desk.shop.refused(InputInvalid, add_note, core=desk.core, actor=desk.shop.agent, command=empty)


def test_a_case_that_cannot_be_saved_says_why(desk: Desk) -> None:
    case_id = desk.open()
    judged = JudgeSalvageable(case_id=case_id, salvageable=False, reason="A lawyer has written.")
    judge_salvageable(core=desk.core, actor=desk.shop.agent, command=judged)
    assert desk.row(case_id).salvageable is False
    assert "lawyer" not in str(desk.shop.everything())
    judge_salvageable(core=desk.core, actor=desk.shop.agent, command=judged)
    assert len(desk.shop.all(case_notes)) == 1


def test_nothing_is_done_elsewhere_or_after_the_end_or_by_a_till(desk: Desk) -> None:
    case_id = desk.open()
    desk.shop.refused(CaseNotFound, desk.step, case_id, "apologize", moved(desk.shop.agent, location="leeds"))
    desk.shop.refused(NotPermitted, desk.step, case_id, "apologize", desk.shop.till)
    desk.work_through(case_id)
    desk.close(case_id)
    desk.shop.refused(CaseClosed, desk.step, case_id, "follow_up")
    desk.shop.refused(CaseClosed, desk.apologize, case_id)
    desk.shop.refused(CaseClosed, desk.causes, case_id, few=100)


def test_a_language_is_the_name_of_one(desk: Desk) -> None:
    case_id = desk.open()
    refusal = desk.shop.refused(InputInvalid, desk.apologize, case_id, language="e" * 21)
    assert refusal.facts["errors"][0]["field"] == "language"
