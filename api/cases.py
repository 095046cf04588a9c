"""Recovery cases: each customer's trouble, from its opening to its documented end."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.case_answers import CaseSchema, WholeCaseSchema, case_of
from api.customers import CustomerBody, customer_given
from api.fields import Answer, Body, Instant, Key, QueryTruth, Text, Truth, WholeNumber, Words
from api.offers import TROUBLE_REFUSALS
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.close_case import CloseCase, ReopenCase, close_case, reopen_case
from incentives.flows.open_case import OpenCase, open_case
from incentives.kernel import errors
from incentives.queries.case_screen import case_screen
from incentives.queries.cases import CaseFilters, one_case
from incentives.queries.cases import list_cases as found_cases

blueprint = Blueprint("cases", "One customer's trouble being put right.")

NOTE_LENGTH = 5000
OUTCOMES = ("recovered", "not_recovered", "unsalvageable", "no_action")
CASE_REFUSALS = (errors.NoCatalog, errors.CaseNotFound, errors.CaseClosed, errors.NotFound)


class CasesQuery(PageQuery):
    """Which cases; all that is said must hold."""

    status = fields.String(validate=validate.OneOf(("open", "closed")))
    mine = QueryTruth(metadata={"description": "Those of the caller."})
    unowned = QueryTruth(metadata={"description": "Open ones that nobody has taken on."})
    overdue = QueryTruth(metadata={"description": "Open ones of which a clock has run out."})
    issue_tag = Key(metadata={"description": "This one and all below it."})
    location = Key()
    team = Key()
    customer_id = fields.UUID()
    incident_id = fields.UUID()
    q = Text(200, metadata={"description": "A case's id, or a part of its order reference."})
    changed_since = Instant(metadata={"description": "Those that have changed after this instant."})


class StoryBody(Body):
    """Answers to the protocol's questions."""

    what = Text(NOTE_LENGTH, min_length=0)
    who = Text(NOTE_LENGTH, min_length=0)
    when = Text(NOTE_LENGTH, min_length=0)
    differently = Text(NOTE_LENGTH, min_length=0, metadata={"description": "What should have been done differently."})


class OpenBody(Body):
    """A trouble to be put right."""

    issue_tag = Key(required=True)
    severity = WholeNumber(minimum=1, maximum=4, load_default=None, allow_none=True)
    issue_tags = fields.List(Key(), validate=validate.Length(max=20), load_default=list)
    customer = fields.Nested(CustomerBody, load_default=None, allow_none=True)
    location = Key(load_default=None, allow_none=True)
    order_ref = Text(200, load_default=None, allow_none=True)
    product = Key(load_default=None, allow_none=True)
    occurred_at = Instant(load_default=None, allow_none=True)
    source = Key(load_default="staff")
    story = fields.Nested(StoryBody, load_default=dict)
    answers_to_come = Truth(
        load_default=False, metadata={"description": "Whether the protocol's questions are answered later."}
    )


class CaseOpenedSchema(Answer):
    """The case that was opened."""

    id = fields.UUID()


class CloseBody(Body):
    """How a case has ended."""

    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    note = Text(NOTE_LENGTH, required=True, metadata={"description": "What happened and what was done about it."})
    reason = Text(
        NOTE_LENGTH,
        load_default=None,
        allow_none=True,
        metadata={"description": "Why nothing could be done; `unsalvageable` needs it."},
    )


class ClosedSchema(Answer):
    """How a case has ended, and by what that is known."""

    case_id = fields.UUID()
    outcome = fields.String()
    recovered = fields.Boolean(allow_none=True)
    evidence = fields.String(allow_none=True, metadata={"description": "score, uplift, purchase or judgment"})
    survey_planned = fields.Boolean()


class ReasonBody(Body):
    """Why; it becomes a note of the case."""

    reason = Words(NOTE_LENGTH, required=True)


_LINKS = {"GetOpenedCase": {"operationId": "get_case", "parameters": {"case_id": "$response.body#/id"}}}


@blueprint.get("/cases")
@blueprint.asks("cases:read")
@blueprint.arguments(CasesQuery(), location="query")
@blueprint.refuses(errors.NoCatalog)
@blueprint.answers({200: page_of(CaseSchema)})
def list_cases(query: dict[str, Any]) -> Any:
    """List recovery cases, the newest first."""
    limit, after = query.pop("limit"), query.pop("after", None)
    wanted = CaseFilters(**query)
    return found_cases(core=current_core(), actor=current_actor(), limit=limit, after=after, wanted=wanted)


@blueprint.post("/cases")
@blueprint.asks("cases:work")
@blueprint.arguments(
    OpenBody(), example={"issue_tag": "flight-delayed", "location": "london", "story": {"what": "Four hours late."}}
)
@blueprint.idempotent(required=False)
@blueprint.refuses(*TROUBLE_REFUSALS, errors.OtherLocation)
@blueprint.answers({201: CaseOpenedSchema()}, links=_LINKS)
def open_recovery_case(body: dict[str, Any], *, idempotency_key: str | None) -> Any:
    """Open a case; nothing is given by it."""
    command = OpenCase(
        **{
            **body,
            "customer": customer_given(body["customer"]),
            "issue_tags": tuple(body["issue_tags"]),
            "idempotency_key": idempotency_key,
        }
    )
    opened = open_case(core=current_core(), actor=current_actor(), command=command)
    return opened, 201, {"Location": f"/api/v1/cases/{opened.id}"}


@blueprint.get("/cases/<uuid:case_id>")
@blueprint.asks("cases:read")
@blueprint.refuses(errors.NoCatalog, errors.CaseNotFound, errors.NotFound)
@blueprint.answers({200: WholeCaseSchema()})
def get_case(case_id: uuid.UUID) -> dict[str, Any]:
    """Show a recovery case with everything that was done."""
    core, actor = current_core(), current_actor()
    deeds = one_case(core=core, actor=actor, case_id=case_id).deeds
    screen = case_screen(core=core, actor=actor, case_id=case_id)
    case = {name: getattr(screen.case, name) for name in screen.case.__dataclass_fields__}
    whole = {name: getattr(screen, name) for name in screen.__dataclass_fields__}
    return {**case, **whole, "deeds": deeds}


@blueprint.post("/cases/<uuid:case_id>/close")
@blueprint.asks("cases:work")
@blueprint.arguments(CloseBody(), example={"outcome": "recovered", "note": "She is on the next flight, and content."})
@blueprint.refuses(*CASE_REFUSALS, errors.CaseNotDocumented)
@blueprint.answers({200: ClosedSchema()})
def close_recovery_case(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Close a case once it is documented; the customer is asked again where the protocol says so."""
    return close_case(core=current_core(), actor=current_actor(), command=CloseCase(case_id=case_id, **body))


@blueprint.post("/cases/<uuid:case_id>/reopen")
@blueprint.asks("cases:manage")
@blueprint.arguments(ReasonBody(), example={"reason": "She called again."})
@blueprint.refuses(*CASE_REFUSALS, errors.CaseNotClosed)
@blueprint.answers({200: CaseSchema()})
def reopen_recovery_case(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Open a closed case for another round."""
    reopen_case(core=current_core(), actor=current_actor(), command=ReopenCase(case_id=case_id, **body))
    return case_of(case_id)
