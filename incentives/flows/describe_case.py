"""Describe a case: answers to its questions, its root causes, who was at fault, notes, and whether it can be saved."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds import caring, casework
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid
from incentives.recovery.tables import case_causes

RESPONSIBLE_KINDS = ("team", "process", "vendor", "agent", "product")
_WHOLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerQuestions:
    """Answers to the protocol's questions; an empty one takes an answer back, the others stay as they are."""

    case_id: uuid.UUID
    story: Mapping[str, str]


def answer_questions(*, core: Core, actor: Actor, command: AnswerQuestions) -> dict[str, str]:
    """Write down answers, and return all that there are now.

    Raises ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    answers = casework.checked_story(command.story)
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        kept = {name: each for name, each in caring.story_of(core, case.story).items() if name not in command.story}
        story = {**kept, **answers}
        casework.change(tx, case.id, now, story=caring.encrypted_story(core, story))
        casework.say(tx, core, actor, now, case.id, "answered", {"questions": sorted(command.story)})
    return story


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseNamed:
    """A root cause of the catalog, with its share of the trouble in percent."""

    cause: str
    weight: int
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameCauses:
    """All root causes of a case, instead of those that were named before; none takes them back."""

    case_id: uuid.UUID
    causes: Sequence[CauseNamed]


def name_causes(*, core: Core, actor: Actor, command: NameCauses) -> None:
    """Name the root causes; their weights sum to 100.

    Raises ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        _check_causes(releases.cached_current(tx, core).catalog, command.causes)
        tx.execute(case_causes.delete().where(case_causes.c.case_id == case.id))
        rows = [_cause_row(core, case.id, number, each) for number, each in enumerate(command.causes)]
        if rows:
            tx.execute(case_causes.insert(), rows)
        casework.change(tx, case.id, now)
        facts = {"causes": {each.cause: each.weight for each in command.causes}}
        casework.say(tx, core, actor, now, case.id, "causes-named", facts)


def _check_causes(catalog: Catalog, causes: Sequence[CauseNamed]) -> None:
    errors = [
        {"field": f"causes.{number}.cause", "message": "There is no such root cause in the catalog."}
        for number, each in enumerate(causes)
        if each.cause not in catalog.root_causes
    ]
    errors += [
        {"field": f"causes.{number}.weight", "message": "A weight is a whole percent, 1 to 100."}
        for number, each in enumerate(causes)
        if not 1 <= each.weight <= _WHOLE
    ]
    if len({each.cause for each in causes}) < len(causes):
        errors.append({"field": "causes", "message": "A root cause stands there twice."})
    if causes and not errors and sum(each.weight for each in causes) != _WHOLE:
        errors.append({"field": "causes", "message": "The weights must sum to 100."})
    if errors:
        raise InputInvalid(errors=errors)


def _cause_row(core: Core, case_id: uuid.UUID, number: int, each: CauseNamed) -> dict[str, Any]:
    note = casework.text(each.note, f"causes.{number}.note")
    return {"case_id": case_id, "cause": each.cause, "weight": each.weight, "note": core.contacts.encrypt(note)}


@dataclass(frozen=True, slots=True, kw_only=True)
class NameResponsible:
    """Who was at fault: a kind of ``RESPONSIBLE_KINDS`` and who exactly, in words; without a kind, nobody."""

    case_id: uuid.UUID
    kind: str | None
    text: str | None = None


def name_responsible(*, core: Core, actor: Actor, command: NameResponsible) -> None:
    """Say who was at fault, which only whoever may see it may say.

    Raises ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    permit(actor, "cases:responsible")
    now = core.clock.now()
    kind = casework.one_of(command.kind, RESPONSIBLE_KINDS, "kind") if command.kind else None
    words = casework.text(command.text, "text", longest=500) if kind else None
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        casework.change(tx, case.id, now, responsible_kind=kind, responsible=core.contacts.encrypt(words))
        casework.say(tx, core, actor, now, case.id, "responsible-named", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNote:
    """Words for whoever works on the case next."""

    case_id: uuid.UUID
    body: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAdded:
    """The note that was written."""

    id: uuid.UUID
    replayed: bool = False


def add_note(*, core: Core, actor: Actor, command: AddNote) -> NoteAdded:
    """Write a note, also into a case that is closed.

    Raises ``InputInvalid``, ``CaseNotFound``, ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    body = casework.text(command.body, "body", needed="Write something.") or ""
    request = {"case_id": command.case_id, "body": body}
    note_id = core.ids.new(now)
    with core.database.write() as tx:
        before = casework.claimed_before(tx, core, actor, "notes", command.idempotency_key, request, note_id, now)
        if before:
            return NoteAdded(id=before, replayed=True)
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        casework.note(tx, core, actor, now, case.id, body, note_id=note_id)
        casework.change(tx, case.id, now)
        casework.say(tx, core, actor, now, case.id, "noted", {})
    return NoteAdded(id=note_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSalvageable:
    """Whether the customer can still be kept; where not, nothing is given by itself, and a reason is written down."""

    case_id: uuid.UUID
    salvageable: bool
    reason: str


def judge_salvageable(*, core: Core, actor: Actor, command: JudgeSalvageable) -> None:
    """Say that a case cannot be saved by an incentive, or can after all; the reason becomes a note.

    Raises ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    reason = casework.text(command.reason, "reason", needed="Say why.") or ""
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        if case.salvageable == command.salvageable:
            return
        casework.change(tx, case.id, now, salvageable=sa.true() if command.salvageable else sa.false())
        casework.note(tx, core, actor, now, case.id, reason)
        casework.say(tx, core, actor, now, case.id, "salvageable" if command.salvageable else "unsalvageable", {})
