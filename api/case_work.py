"""Work on recovery cases: steps, apologies, answers, causes, notes, tasks, and whose they are."""

import uuid
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from api.authentication import current_actor, current_core
from api.case_answers import CaseSchema, CaseTaskSchema, case_of
from api.cases import CASE_REFUSALS, NOTE_LENGTH, StoryBody
from api.fields import Answer, Body, Instant, Key, QueryTruth, Text, Truth, WholeNumber, Words
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.assign import RULES, AssignCase, assign_case
from incentives.flows.case_tasks import AddTask, FinishTask, add_task, finish_task
from incentives.flows.describe_case import (
    RESPONSIBLE_KINDS,
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
from incentives.flows.work_case import Apologize, DoStep, apologize_to, do_step
from incentives.kernel import errors
from incentives.queries.case_work import waiting_tasks

blueprint = Blueprint("case-work", "What is done about one customer's trouble.")

STEPS = ("apologize", "review", "fix", "follow_up", "document", "gather", "resolve", "survey")
APOLOGY_CHANNELS = ("email", "sms", "phone", "in_person", "chat", "letter")
TASK_KINDS = ("customer", "process", "employee")
_LABEL = r"^person:[0-9a-f\-]{36}$"


class StepBody(Body):
    """A step that was done, or is skipped."""

    step = fields.String(required=True, validate=validate.OneOf(STEPS))
    status = fields.String(load_default="done", validate=validate.OneOf(("done", "skipped")))
    channel = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(APOLOGY_CHANNELS))
    note = Text(
        NOTE_LENGTH,
        load_default=None,
        allow_none=True,
        metadata={"description": "Skipping needs one, unless the step is optional."},
    )


class StepDoneSchema(Answer):
    """The step that was written down, and what comes next."""

    case_id = fields.UUID()
    step = fields.String()
    status = fields.String()
    state = fields.String()
    next_step = fields.String(allow_none=True)


@blueprint.post("/cases/<uuid:case_id>/steps")
@blueprint.asks("cases:work")
@blueprint.arguments(StepBody(), example={"step": "apologize", "channel": "phone"})
@blueprint.refuses(*CASE_REFUSALS, errors.StepOutOfOrder, errors.StepAlreadyDone)
@blueprint.answers({200: StepDoneSchema()})
def take_case_step(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Write down a step, in the protocol's order, once a round."""
    return do_step(core=current_core(), actor=current_actor(), command=DoStep(case_id=case_id, **body))


class ApologyBody(Body):
    """An apology; without words of its own it is the protocol's script."""

    channel = fields.String(required=True, validate=validate.OneOf(APOLOGY_CHANNELS))
    words = Text(NOTE_LENGTH, load_default=None, allow_none=True)
    language = Text(20, load_default=None, allow_none=True)
    spoken = Truth(load_default=False, metadata={"description": "It was said already; nothing is sent."})


class ApologizedSchema(Answer):
    """The apology that was recorded; `message_id` is null where nothing is sent."""

    id = fields.UUID()
    case_id = fields.UUID()
    message_id = fields.UUID(allow_none=True)


@blueprint.post("/cases/<uuid:case_id>/apologies")
@blueprint.asks("cases:work")
@blueprint.arguments(ApologyBody(), example={"channel": "email"})
@blueprint.idempotent(required=False)
@blueprint.refuses(*CASE_REFUSALS, errors.ChannelWithoutAddress)
@blueprint.answers({201: ApologizedSchema()})
def apologize_in_case(body: dict[str, Any], case_id: uuid.UUID, *, idempotency_key: str | None) -> Any:
    """Apologize: recorded, and sent by email or SMS at once, whatever becomes of an incentive."""
    command = Apologize(case_id=case_id, **body, idempotency_key=idempotency_key)
    return apologize_to(core=current_core(), actor=current_actor(), command=command)


class AnswersBody(Body):
    """Answers to the protocol's questions; an empty one takes an answer back."""

    story = fields.Nested(StoryBody, required=True)


@blueprint.post("/cases/<uuid:case_id>/answers")
@blueprint.asks("cases:work")
@blueprint.arguments(AnswersBody(), example={"story": {"what": "Four hours late.", "when": "This morning."}})
@blueprint.refuses(*CASE_REFUSALS)
@blueprint.answers({200: CaseSchema()})
def answer_case_questions(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Answer the protocol's questions; those that are not named stay as they are."""
    command = AnswerQuestions(case_id=case_id, story=body["story"])
    answer_questions(core=current_core(), actor=current_actor(), command=command)
    return case_of(case_id)


class CauseBody(Body):
    """A root cause of the catalog and its share of the trouble."""

    cause = Key(required=True)
    weight = WholeNumber(minimum=1, maximum=100, required=True, metadata={"description": "Percent."})
    note = Text(NOTE_LENGTH, load_default=None, allow_none=True)


class CausesBody(Body):
    """All root causes of the case; their weights sum to 100. None takes them back."""

    causes = fields.List(fields.Nested(CauseBody), required=True, validate=validate.Length(max=20))


@blueprint.put("/cases/<uuid:case_id>/causes")
@blueprint.asks("cases:work")
@blueprint.arguments(CausesBody(), example={"causes": [{"cause": "too-few-staff", "weight": 100}]})
@blueprint.refuses(*CASE_REFUSALS)
@blueprint.answers({200: CaseSchema()})
def put_case_causes(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Name the root causes, instead of those that were named before."""
    causes = tuple(CauseNamed(**each) for each in body["causes"])
    name_causes(core=current_core(), actor=current_actor(), command=NameCauses(case_id=case_id, causes=causes))
    return case_of(case_id)


class ResponsibleBody(Body):
    """Who was at fault; a kind that is null takes it back."""

    kind = fields.String(required=True, allow_none=True, validate=validate.OneOf(RESPONSIBLE_KINDS))
    text = Text(500, load_default=None, allow_none=True, metadata={"description": "Who exactly, in words."})


@blueprint.put("/cases/<uuid:case_id>/responsible")
@blueprint.asks("cases:responsible")
@blueprint.arguments(ResponsibleBody(), example={"kind": "process", "text": "No handover at noon."})
@blueprint.refuses(*CASE_REFUSALS)
@blueprint.answers({200: CaseSchema()})
def put_case_responsible(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Say who was at fault, for those who may see it."""
    name_responsible(core=current_core(), actor=current_actor(), command=NameResponsible(case_id=case_id, **body))
    return case_of(case_id)


class JudgmentBody(Body):
    """Whether an incentive could still mend it."""

    salvageable = Truth(required=True, metadata={"description": "Where not, no rule gives anything in this case."})
    reason = Words(NOTE_LENGTH, required=True, metadata={"description": "Why; it becomes a note."})


@blueprint.put("/cases/<uuid:case_id>/salvageable")
@blueprint.asks("cases:work")
@blueprint.arguments(JudgmentBody(), example={"salvageable": False, "reason": "She wants an answer, not a gift."})
@blueprint.refuses(*CASE_REFUSALS)
@blueprint.answers({200: CaseSchema()})
def put_case_salvageable(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Say that no incentive could mend it, so that no rule gives one; or that one could after all."""
    judge_salvageable(core=current_core(), actor=current_actor(), command=JudgeSalvageable(case_id=case_id, **body))
    return case_of(case_id)


class NoteBody(Body):
    """Words for whoever works on the case next."""

    body = Words(NOTE_LENGTH, required=True)


class CaseCreatedSchema(Answer):
    """What was made."""

    id = fields.UUID()


@blueprint.post("/cases/<uuid:case_id>/notes")
@blueprint.asks("cases:work")
@blueprint.arguments(NoteBody(), example={"body": "She will call back at five."})
@blueprint.idempotent(required=False)
@blueprint.refuses(errors.CaseNotFound, errors.NotFound)
@blueprint.answers({201: CaseCreatedSchema()})
def write_case_note(body: dict[str, Any], case_id: uuid.UUID, *, idempotency_key: str | None) -> Any:
    """Write a note, also into a closed case."""
    command = AddNote(case_id=case_id, **body, idempotency_key=idempotency_key)
    return add_note(core=current_core(), actor=current_actor(), command=command)


class TaskBody(Body):
    """Something to be done, for the customer, the process or an employee."""

    kind = fields.String(required=True, validate=validate.OneOf(TASK_KINDS))
    title = Words(500, required=True)
    due_at = Instant(required=True)
    owner = Text(64, pattern=_LABEL, load_default=None, allow_none=True, metadata={"description": "`person:<id>`"})
    owner_team = Key(load_default=None, allow_none=True)


@blueprint.post("/cases/<uuid:case_id>/tasks")
@blueprint.asks("cases:work")
@blueprint.arguments(
    TaskBody(), example={"kind": "process", "title": "Look at the roster", "due_at": "2030-01-01T12:00:00Z"}
)
@blueprint.idempotent(required=False)
@blueprint.refuses(*CASE_REFUSALS)
@blueprint.answers({201: CaseCreatedSchema()})
def write_case_task(body: dict[str, Any], case_id: uuid.UUID, *, idempotency_key: str | None) -> Any:
    """Write down what is to be done."""
    command = AddTask(case_id=case_id, **body, idempotency_key=idempotency_key)
    return add_task(core=current_core(), actor=current_actor(), command=command)


class ResultBody(Body):
    """What came of it."""

    result = Words(NOTE_LENGTH, required=True)


@blueprint.post("/cases/<uuid:case_id>/tasks/<uuid:task_id>/done")
@blueprint.asks("cases:work")
@blueprint.arguments(ResultBody(), example={"result": "One more at noon from Monday."})
@blueprint.refuses(errors.CaseNotFound, errors.NotFound, errors.TaskNotFound, errors.TaskAlreadyDone)
@blueprint.answers({200: CaseSchema()})
def finish_case_task(body: dict[str, Any], case_id: uuid.UUID, task_id: uuid.UUID) -> Any:
    """Write down that a task was done, also after the case was closed."""
    command = FinishTask(case_id=case_id, task_id=task_id, **body)
    finish_task(core=current_core(), actor=current_actor(), command=command)
    return case_of(case_id)


class TasksQuery(PageQuery):
    """Which tasks."""

    mine = QueryTruth(metadata={"description": "Those of the caller."})
    overdue = QueryTruth(metadata={"description": "Those that should be done by now."})


@blueprint.get("/tasks")
@blueprint.asks("cases:read")
@blueprint.arguments(TasksQuery(), location="query")
@blueprint.answers({200: page_of(CaseTaskSchema)})
def list_case_tasks(query: dict[str, Any]) -> Any:
    """List the tasks that are still to be done, the newest first."""
    return waiting_tasks(core=current_core(), actor=current_actor(), **query)


class RuleBody(Body):
    """How to find who should have a case."""

    to = fields.String(required=True, validate=validate.OneOf(RULES))
    team = Key(load_default=None, allow_none=True)


class AssignmentBody(Body):
    """Whose a case is to be: a person's, a team's, or whose a rule says."""

    reason = Words(NOTE_LENGTH, required=True)
    owner = Text(64, pattern=_LABEL, load_default=None, allow_none=True, metadata={"description": "`person:<id>`"})
    team = Key(load_default=None, allow_none=True)
    rule = fields.Nested(RuleBody, load_default=None, allow_none=True)

    @validates_schema
    def names_somebody(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse an assignment to nobody at all."""
        if not any(data.get(name) for name in ("owner", "team", "rule")):
            raise ValidationError("Name a person, a team or a rule.", "owner")


class AssignedSchema(Answer):
    """Whose a case is now; without an owner it waits for somebody of the team."""

    case_id = fields.UUID()
    owner = fields.String(allow_none=True)
    owner_name = fields.String(allow_none=True)
    owner_team = fields.String(allow_none=True)


@blueprint.put("/cases/<uuid:case_id>/assignment")
@blueprint.asks("cases:manage")
@blueprint.arguments(AssignmentBody(), example={"reason": "Somebody who knows her.", "rule": {"to": "same_agent"}})
@blueprint.refuses(*CASE_REFUSALS)
@blueprint.answers({200: AssignedSchema()})
def put_case_assignment(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Give a case to a person or a team; who is given it is told."""
    return assign_case(core=current_core(), actor=current_actor(), command=AssignCase(case_id=case_id, **body))
