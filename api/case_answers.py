"""What is answered about a recovery case."""

import uuid

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer, MoneySchema
from incentives.queries.cases import Case, one_case


class CaseSchema(Answer):
    """A recovery case."""

    id = fields.UUID()
    issue_tag = fields.String()
    severity = fields.Integer()
    location = fields.String(allow_none=True)
    team = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    status = fields.String(metadata={"description": "open or closed"})
    opened_at = fields.AwareDateTime()
    opened_by_name = fields.String()
    source = fields.String()
    product = fields.String(allow_none=True)
    customer_id = fields.UUID(allow_none=True)
    customer_name = fields.String(allow_none=True)
    owner = fields.String(allow_none=True, metadata={"description": "`person:<id>`; null is nobody."})
    owner_name = fields.String(allow_none=True)
    owner_team = fields.String(allow_none=True)
    state = fields.String(
        metadata={
            "description": "open, gathered, apologized, reviewed, fixed, followed_up, surveyed, documented, reopened, "
            "closed, unrecoverable or merged"
        }
    )
    round = fields.Integer(metadata={"description": "1, and one more with each reopening."})
    salvageable = fields.Boolean()
    next_clock = fields.String(allow_none=True)
    next_due_at = fields.AwareDateTime(allow_none=True)
    overdue = fields.Boolean()
    outcome = fields.String(allow_none=True)
    recovered = fields.Boolean(allow_none=True)
    recovered_evidence = fields.String(allow_none=True)
    closed_at = fields.AwareDateTime(allow_none=True)
    changed_at = fields.AwareDateTime()
    incident_id = fields.UUID(allow_none=True)
    merged_into_id = fields.UUID(allow_none=True)


class DeedSchema(Answer):
    """One thing that was done, from the audit trail."""

    at = fields.AwareDateTime()
    actor_name = fields.String()
    action = fields.String()
    reason = fields.String(allow_none=True)
    facts = fields.Dict()


class TimelineItemSchema(Answer):
    """One thing that happened; its facts are by its kind."""

    id = fields.UUID()
    at = fields.AwareDateTime()
    kind = fields.String(
        metadata={
            "description": "feedback, apology, message, notice, step, note, voucher, approval, redemption, task, file, "
            "survey, assignment or deed"
        }
    )
    title = fields.String(metadata={"description": "A key: the source, the step, the incentive, the action …"})
    actor_name = fields.String(allow_none=True)
    text = fields.String(allow_none=True)
    facts = fields.Dict()
    case_id = fields.UUID()


class CaseStepSchema(Answer):
    """A step of the protocol; its status is null while it was neither done nor skipped."""

    step = fields.String()
    required = fields.Boolean()
    status = fields.String(allow_none=True)
    at = fields.AwareDateTime(allow_none=True)
    actor_name = fields.String(allow_none=True)
    channel = fields.String(allow_none=True)
    note = fields.String(allow_none=True)


class CaseClockSchema(Answer):
    """By when something must have happened."""

    clock = fields.String()
    started_at = fields.AwareDateTime()
    due_at = fields.AwareDateTime()
    met_at = fields.AwareDateTime(allow_none=True)
    escalated_at = fields.AwareDateTime(allow_none=True)
    overdue = fields.Boolean()


class CaseCauseSchema(Answer):
    """A root cause that was named."""

    cause = fields.String()
    label = fields.String()
    weight = fields.Integer(metadata={"description": "Percent of the trouble."})
    note = fields.String(allow_none=True)


class SuggestedCauseSchema(Answer):
    """A root cause that cases with this issue tag had before."""

    cause = fields.String()
    label = fields.String()
    cases = fields.Integer()


class CaseTaskSchema(Answer):
    """Something to be done."""

    id = fields.UUID()
    case_id = fields.UUID()
    kind = fields.String()
    title = fields.String()
    owner = fields.String(allow_none=True)
    owner_name = fields.String(allow_none=True)
    owner_team = fields.String(allow_none=True)
    due_at = fields.AwareDateTime()
    done_at = fields.AwareDateTime(allow_none=True)
    done_by_name = fields.String(allow_none=True)
    result = fields.String(allow_none=True)
    overdue = fields.Boolean()


class CaseFileSchema(Answer):
    """A file of a case, without its content."""

    id = fields.UUID()
    name = fields.String()
    media_type = fields.String()
    size_bytes = fields.Integer()
    at = fields.AwareDateTime()
    actor_name = fields.String()


class CaseShareSchema(Answer):
    """Whom a case is shared with: a team, or whoever has a link."""

    id = fields.UUID()
    team = fields.String(allow_none=True)
    may_edit = fields.Boolean()
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime(allow_none=True)
    ended = fields.Boolean()
    url = fields.String(allow_none=True, metadata={"description": "For those who may make a link, while it lasts."})


class LinkedCaseSchema(Answer):
    """A case that has to do with this one."""

    id = fields.UUID()
    kind = fields.String(metadata={"description": "related, merged or split"})
    issue_tag = fields.String()
    status = fields.String()
    outcome = fields.String(allow_none=True)
    opened_at = fields.AwareDateTime()


class EarlierCaseSchema(Answer):
    """An earlier trouble of the same customer."""

    id = fields.UUID()
    issue_tag = fields.String()
    opened_at = fields.AwareDateTime()
    status = fields.String()
    outcome = fields.String(allow_none=True)
    recovered = fields.Boolean(allow_none=True)
    given = fields.List(fields.Nested(MoneySchema))


class EarlierSchema(Answer):
    """All earlier recoveries of the customer; at most twenty are listed, count and cost are of all."""

    cases = fields.List(fields.Nested(EarlierCaseSchema))
    count = fields.Integer()
    recovered = fields.Integer()
    cost = fields.List(fields.Nested(MoneySchema))


class CaseSurveySchema(Answer):
    """How the customer is asked again."""

    id = fields.UUID()
    status = fields.String()
    reason = fields.String(allow_none=True)
    after = fields.String()
    channel = fields.String()
    scale = fields.String()
    due_at = fields.AwareDateTime()
    sent_at = fields.AwareDateTime(allow_none=True)
    answered_at = fields.AwareDateTime(allow_none=True)
    first_score_bp = fields.Integer(allow_none=True)
    answer_score_bp = fields.Integer(allow_none=True)


class CaseMissingSchema(Answer):
    """Something that is missing before the case can be closed."""

    field = fields.String()
    message = fields.String()


class WholeCaseSchema(CaseSchema):
    """A recovery case with everything that is known of it, the oldest deed first."""

    deeds = fields.List(fields.Nested(DeedSchema))
    tags = fields.List(fields.String())
    story = fields.Dict(keys=fields.String(), values=fields.String())
    steps = fields.List(fields.Nested(CaseStepSchema))
    next_step = fields.String(allow_none=True)
    clocks = fields.List(fields.Nested(CaseClockSchema))
    timeline = fields.List(fields.Nested(TimelineItemSchema))
    causes = fields.List(fields.Nested(CaseCauseSchema))
    suggested_causes = fields.List(fields.Nested(SuggestedCauseSchema))
    responsible_kind = fields.String(allow_none=True, metadata={"description": "For those who may see it."})
    responsible = fields.String(allow_none=True)
    tasks = fields.List(fields.Nested(CaseTaskSchema))
    files = fields.List(fields.Nested(CaseFileSchema))
    shares = fields.List(fields.Nested(CaseShareSchema))
    linked = fields.List(fields.Nested(LinkedCaseSchema))
    earlier = fields.Nested(EarlierSchema)
    survey = fields.Nested(CaseSurveySchema, allow_none=True)
    missing = fields.List(fields.Nested(CaseMissingSchema))
    closing_note = fields.String(allow_none=True)


def case_of(case_id: uuid.UUID) -> Case:
    """Return a case as it stands, for the answer to a change of it."""
    return one_case(core=current_core(), actor=current_actor(), case_id=case_id).case
