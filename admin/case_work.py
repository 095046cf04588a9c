"""What whoever works on a case does on its page: steps, apology, answers, causes, notes, tasks, closing."""

import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import case_page, case_words, forms, pages
from admin.case_forms import CaseForm, Sent, send
from admin.guard import page
from incentives.flows.assign import TakeCase, take_case
from incentives.flows.case_tasks import AddTask, FinishTask, add_task, finish_task
from incentives.flows.close_case import CloseCase, close_case
from incentives.flows.describe_case import (
    AddNote,
    AnswerQuestions,
    CauseNamed,
    JudgeSalvageable,
    NameCauses,
    NameResponsible,
    add_note,
    answer_questions,
    judge_salvageable,
    name_causes,
    name_responsible,
)
from incentives.flows.join_cases import LinkCases, link_cases
from incentives.flows.work_case import Apologize, DoStep, apologize_to, do_step
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid

blueprint = Blueprint("staff_case_work", __name__)

_WORK = "cases:work"
_KEY = 64
_TEXT = 2000
_QUESTIONS = ("what", "who", "when", "differently")
_SPOKEN = ("in_person", "phone")
_CAUSES = (1, 2, 3)

_STEP = CaseForm(
    name="step",
    limits={"step": _KEY, "channel": _KEY, "note": _TEXT},
    single=("channel",),
    hidden=("step",),
)
_SKIP = CaseForm(name="skip", limits={"step": _KEY, "note": forms.NOTE_LONGEST}, single=("note",), hidden=("step",))
_APOLOGY = CaseForm(
    name="apology",
    limits={"words": forms.TEXT_LONGEST, "channel": _KEY, "language": _KEY, "prefilled": _KEY},
    single=("channel", "language"),
    hidden=("prefilled",),
    keyed=True,
)
_ANSWERS, _CORRECT = (
    CaseForm(
        name=name,
        limits=dict.fromkeys(_QUESTIONS, _TEXT),
        core_names={f"story.{each}": each for each in _QUESTIONS},
    )
    for name in ("answers", "correct")
)
_CAUSE_FORM = CaseForm(
    name="causes",
    limits={f"cause-{each}": _KEY for each in _CAUSES} | {f"weight-{each}": 6 for each in _CAUSES} | {"note": _TEXT},
    single=tuple(f"{name}-{each}" for each in _CAUSES for name in ("cause", "weight")),
    core_names={"causes": "causes"},
)
_RESPONSIBLE = CaseForm(
    name="responsible", limits={"kind": _KEY, "name": 200}, single=("kind", "name"), core_names={"text": "name"}
)
_JUDGE = CaseForm(
    name="judge",
    limits={"salvageable": 3, "reason": forms.NOTE_LONGEST},
    single=("reason",),
    hidden=("salvageable",),
)
_NOTE = CaseForm(name="note", limits={"body": forms.TEXT_LONGEST}, keyed=True)
_TASK = CaseForm(
    name="task",
    limits={"title": 200, "kind": _KEY, "due": 40, "to": _KEY},
    single=("title", "kind", "due", "to"),
    core_names={"due_at": "due", "owner": "to", "owner_team": "to"},
    keyed=True,
)
_CLOSE = CaseForm(
    name="close", limits={"outcome": _KEY, "note": _TEXT}, single=("outcome",), core_names={"reason": "note"}
)
_TAKE = CaseForm(name="take")
_RELATED = CaseForm(name="related", limits={"other": 200}, single=("other",), core_names={"other_id": "other"})


@blueprint.post("/cases/<uuid:case_id>/take")
@page(permission=_WORK)
def take(case_id: uuid.UUID) -> ResponseReturnValue:
    """Take on a case that is nobody's."""
    return send(case_id, _TAKE, "taken", lambda core, actor, _: _take(core, actor, case_id))


def _take(core: Core, actor: Actor, case_id: uuid.UUID) -> None:
    take_case(core=core, actor=actor, command=TakeCase(case_id=case_id))


@blueprint.post("/cases/<uuid:case_id>/steps")
@page(permission=_WORK)
def step(case_id: uuid.UUID) -> ResponseReturnValue:
    """Do the next step of the protocol, or leave it out with a reason."""
    skipped = request.form.get("status") == "skipped"

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = DoStep(
            case_id=case_id,
            step=sent["step"],
            status="skipped" if skipped else "done",
            channel=sent.get("channel") or None,
            note=sent["note"] or None,
        )
        do_step(core=core, actor=actor, command=command)

    return send(case_id, _SKIP if skipped else _STEP, "skipped" if skipped else "step", act)


@blueprint.post("/cases/<uuid:case_id>/apology")
@page(permission=_WORK)
def apology(case_id: uuid.UUID) -> ResponseReturnValue:
    """Write down what was said, or send it now; before any incentive."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        words = sent["words"]
        if not words:
            raise forms.wrong("words", "Write what you say to the customer.")
        command = Apologize(
            case_id=case_id,
            channel=sent["channel"],
            # The protocol's own words are kept as such, in whatever language was chosen.
            words=None if case_words.same_words(words, sent["prefilled"]) else words,
            language=sent["language"] or None,
            spoken=sent["channel"] in _SPOKEN,
            idempotency_key=sent["idempotency_key"],
        )
        apologize_to(core=core, actor=actor, command=command)

    return send(case_id, _APOLOGY, "apology", act)


@blueprint.post("/cases/<uuid:case_id>/answers")
@page(permission=_WORK)
def answers(case_id: uuid.UUID) -> ResponseReturnValue:
    """Keep what the customer told. A question that the form does not hold stays as it is."""
    correcting = request.form.get("form") == "correct"

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        story = {name: sent[name] for name in _QUESTIONS if name in request.form and (correcting or sent[name])}
        answer_questions(core=core, actor=actor, command=AnswerQuestions(case_id=case_id, story=story))

    return send(case_id, _CORRECT if correcting else _ANSWERS, "answers", act)


@blueprint.post("/cases/<uuid:case_id>/causes")
@page(permission=_WORK)
def causes(case_id: uuid.UUID) -> ResponseReturnValue:
    """Name why it happened, and how much each cause weighs."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        name_causes(core=core, actor=actor, command=NameCauses(case_id=case_id, causes=_causes(sent)))

    return send(case_id, _CAUSE_FORM, "causes", act)


def _causes(sent: Sent) -> tuple[CauseNamed, ...]:
    """Return the causes that were chosen; one alone weighs everything. Raises ``InputInvalid``."""
    chosen = [number for number in _CAUSES if sent[f"cause-{number}"]]
    found, mistakes = [], {}
    for number in chosen:
        typed = sent[f"weight-{number}"].rstrip("% ")
        weight = 100 if len(chosen) == 1 else int(typed) if typed.isascii() and typed.isdigit() else 0
        if not 1 <= weight <= 100:  # noqa: PLR2004 - percent
            mistakes[f"weight-{number}"] = "Write a number from 1 to 100."
        note = sent["note"] if number == chosen[0] else ""
        found.append(CauseNamed(cause=sent[f"cause-{number}"], weight=weight, note=note or None))
    for number in _CAUSES:
        if number in chosen and [sent[f"cause-{each}"] for each in chosen].count(sent[f"cause-{number}"]) > 1:
            mistakes[f"cause-{number}"] = "Choose each cause once."
    if not mistakes and found and sum(each.weight for each in found) != 100:  # noqa: PLR2004 - percent
        mistakes[f"weight-{chosen[0]}"] = "The percents of all causes must be 100 together."
    if mistakes:
        raise InputInvalid(
            " ".join(mistakes.values()), errors=[{"field": name, "message": said} for name, said in mistakes.items()]
        )
    return tuple(found)


@blueprint.post("/cases/<uuid:case_id>/responsible")
@page(permission="cases:responsible")
def responsible(case_id: uuid.UUID) -> ResponseReturnValue:
    """Say who or what is responsible; seen by role only."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = NameResponsible(case_id=case_id, kind=sent["kind"] or None, text=sent["name"] or None)
        name_responsible(core=core, actor=actor, command=command)

    return send(case_id, _RESPONSIBLE, "responsible", act)


@blueprint.post("/cases/<uuid:case_id>/judgment")
@page(permission=_WORK)
def judgment(case_id: uuid.UUID) -> ResponseReturnValue:
    """Say that no incentive would put it right, so that no rule gives one; or that it can be put right after all."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = JudgeSalvageable(case_id=case_id, salvageable=sent["salvageable"] == "yes", reason=sent["reason"])
        judge_salvageable(core=core, actor=actor, command=command)

    return send(case_id, _JUDGE, "judged", act)


@blueprint.post("/cases/<uuid:case_id>/notes")
@page(permission=_WORK)
def note(case_id: uuid.UUID) -> ResponseReturnValue:
    """Write a note for colleagues."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = AddNote(case_id=case_id, body=sent["body"], idempotency_key=sent["idempotency_key"])
        add_note(core=core, actor=actor, command=command)

    return send(case_id, _NOTE, "note", act)


@blueprint.post("/cases/<uuid:case_id>/tasks")
@page(permission=_WORK)
def task(case_id: uuid.UUID) -> ResponseReturnValue:
    """Promise something, with a day and somebody who does it."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        owner, team = case_page.owner_and_team(sent["to"])
        command = AddTask(
            case_id=case_id,
            kind=sent["kind"],
            title=sent["title"],
            due_at=_due_at(sent["due"], pages.zone_of(actor, case_page.location_of(case_id))),
            owner=owner,
            owner_team=team,
            idempotency_key=sent["idempotency_key"],
        )
        add_task(core=core, actor=actor, command=command)

    return send(case_id, _TASK, "task", act)


def _due_at(typed: str, zone: str | None) -> datetime:
    """Return the instant that a field of day and time means in a zone. Raises ``InputInvalid``."""
    try:
        at = datetime.fromisoformat(typed)
        return at.replace(tzinfo=ZoneInfo(zone or "UTC")).astimezone(UTC)
    except (OverflowError, ValueError):
        raise forms.wrong("due", "Choose a day and a time.") from None


@blueprint.post("/cases/<uuid:case_id>/tasks/<uuid:task_id>/done")
@page(permission=_WORK)
def task_done(case_id: uuid.UUID, task_id: uuid.UUID) -> ResponseReturnValue:
    """Say what came of a task."""
    form = CaseForm(name=f"task-{task_id}", limits={"result": forms.NOTE_LONGEST}, single=("result",))

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = FinishTask(case_id=case_id, task_id=task_id, result=sent["result"])
        finish_task(core=core, actor=actor, command=command)

    return send(case_id, form, "task-done", act)


@blueprint.post("/cases/<uuid:case_id>/related")
@page(permission=_WORK)
def related(case_id: uuid.UUID) -> ResponseReturnValue:
    """Say that another case belongs to this one."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        other = case_page.case_in(sent["other"])
        link_cases(core=core, actor=actor, command=LinkCases(case_id=case_id, other_id=other))

    return send(case_id, _RELATED, "related", act)


@blueprint.post("/cases/<uuid:case_id>/close")
@page(permission=_WORK)
def close(case_id: uuid.UUID) -> ResponseReturnValue:
    """Close the case with an honest outcome, once everything is documented."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        outcome = sent["outcome"]
        if not outcome:
            raise forms.wrong("outcome", "Choose how it ended.")
        reason = sent["note"] if outcome == "unsalvageable" else None
        command = CloseCase(case_id=case_id, outcome=outcome, note=sent["note"], reason=reason or None)
        close_case(core=core, actor=actor, command=command)

    return send(case_id, _CLOSE, "closed", act)
