"""Requests to change budgets: what is asked for, and what a second person decides."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import SEEN_AND_NOT_BLANK, Answer, Body, Key, Text, WholeNumber
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    RequestDone,
    WithdrawBudgetRequest,
    decide_budget_request,
    propose_budget_change,
    withdraw_budget_request,
)
from incentives.kernel import errors
from incentives.kernel.money import AMOUNT_MINOR_MAX
from incentives.queries.budget_requests import REQUEST_KINDS, REQUEST_STATUSES, BudgetRequest, one_request
from incentives.queries.budget_requests import list_requests as found_requests

blueprint = Blueprint(
    "budget_requests", "Changes of budgets: asked for by one person, decided by another, written as entries."
)

_ID_LENGTH = 470
_REASON_LENGTH = 500
_EXAMPLE = {
    "kind": "transfer",
    "budget": "london-month",
    "from_budget": "all-gbp",
    "amount_minor": 50000,
    "reason": "The storm of last week",
}


class RequestsQuery(PageQuery):
    """Which requests."""

    status = fields.String(
        validate=validate.OneOf(REQUEST_STATUSES), metadata={"description": "Left out: all of them."}
    )
    budget = Key(metadata={"description": "Those of one budget, by its key."})


class RequestedPotSchema(Answer):
    """A budget in a period."""

    budget_id = fields.String()
    name = fields.String()
    subject = fields.String()
    period_key = fields.String(metadata={"description": "The period's first day; empty where it has no periods."})


class BudgetRequestSchema(Answer):
    """One request."""

    id = fields.UUID()
    kind = fields.String()
    status = fields.String()
    budget = fields.Nested(RequestedPotSchema, attribute="pot")
    from_budget = fields.Nested(RequestedPotSchema, attribute="from_pot", allow_none=True)
    amount_minor = fields.Integer()
    amount_count = fields.Integer()
    currency = fields.String(allow_none=True)
    reason = fields.String()
    requested_by = fields.String()
    requested_by_name = fields.String()
    requested_at = fields.AwareDateTime()
    decided_by = fields.String(allow_none=True)
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.AwareDateTime(allow_none=True)
    comment = fields.String(allow_none=True)


class BudgetRequestBody(Body):
    """What is asked for. Amounts are minor units of the budget's currency, and a number of vouchers."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(REQUEST_KINDS),
        metadata={
            "description": "`break_glass` adds in an emergency what the budget's rule allows, and is reviewed in a day."
        },
    )
    budget = Text(_ID_LENGTH, required=True, metadata={"description": "Its id, as GET /budgets has it."})
    budget_period = Text(
        10,
        load_default=None,
        allow_none=True,
        metadata={"description": "Its first day; left out: the present one."},
    )
    from_budget = Text(
        _ID_LENGTH, load_default=None, allow_none=True, metadata={"description": "Of a transfer: where it comes from."}
    )
    from_budget_period = Text(10, load_default=None, allow_none=True)
    amount_minor = WholeNumber(
        minimum=-AMOUNT_MINOR_MAX,
        maximum=AMOUNT_MINOR_MAX,
        load_default=0,
        metadata={"description": "Below zero only in an adjustment."},
    )
    amount_count = WholeNumber(minimum=-AMOUNT_MINOR_MAX, maximum=AMOUNT_MINOR_MAX, load_default=0)
    reason = Text(_REASON_LENGTH, pattern=SEEN_AND_NOT_BLANK, required=True)


class BudgetDecisionBody(Body):
    """A decision."""

    decision = fields.String(required=True, validate=validate.OneOf(("approve", "decline")))
    comment = Text(_REASON_LENGTH, pattern=SEEN_AND_NOT_BLANK, load_default=None, allow_none=True)


class WithdrawalBody(Body):
    """Why a request is taken back, if there is anything to say."""

    comment = Text(_REASON_LENGTH, pattern=SEEN_AND_NOT_BLANK, load_default=None, allow_none=True)


class RequestDoneSchema(Answer):
    """A request as it stands now."""

    id = fields.UUID()
    status = fields.String()


@blueprint.get("/budget-requests")
@blueprint.asks("budgets:read")
@blueprint.arguments(RequestsQuery(), location="query")
@blueprint.refuses(errors.NoCatalog)
@blueprint.answers({200: page_of(BudgetRequestSchema)})
def list_budget_requests(query: dict[str, Any]) -> Any:
    """List requests to change budgets, the newest first."""
    return found_requests(core=current_core(), actor=current_actor(), **query)


@blueprint.post("/budget-requests")
@blueprint.asks("budgets:propose")
@blueprint.arguments(BudgetRequestBody(), example=_EXAMPLE)
@blueprint.idempotent(required=True)
@blueprint.refuses(
    errors.NoCatalog,
    errors.BudgetNotFound,
    errors.BudgetPeriodOver,
    errors.BudgetInUse,
    errors.BudgetCurrencyMismatch,
    errors.BreakGlassLimitReached,
)
@blueprint.answers({201: RequestDoneSchema()})
def propose_budget_request(body: dict[str, Any], *, idempotency_key: str | None) -> RequestDone:
    """Ask for a top-up, a transfer, an adjustment or an emergency addition. Nothing changes until somebody agrees."""
    command = ProposeBudgetChange(
        kind=body["kind"],
        pot=_name(body["budget"], body["budget_period"]),
        from_pot=_name(body["from_budget"], body["from_budget_period"]) if body["from_budget"] else None,
        amount_minor=body["amount_minor"],
        amount_count=body["amount_count"],
        reason=body["reason"],
        idempotency_key=idempotency_key,
    )
    return propose_budget_change(core=current_core(), actor=current_actor(), command=command)


def _name(budget_id: str, period_key: str | None) -> PotName:
    key, _, subject = budget_id.partition(":")
    return PotName(budget=key, subject=subject or None, period_key=period_key)


@blueprint.get("/budget-requests/<uuid:request_id>")
@blueprint.asks("budgets:read")
@blueprint.refuses(errors.BudgetRequestNotFound, errors.NotFound, errors.NoCatalog)
@blueprint.answers({200: BudgetRequestSchema()})
def get_budget_request(request_id: uuid.UUID) -> BudgetRequest:
    """Show one request."""
    return one_request(core=current_core(), actor=current_actor(), request_id=request_id)


@blueprint.post("/budget-requests/<uuid:request_id>/decision")
@blueprint.asks("budgets:approve")
@blueprint.arguments(BudgetDecisionBody(), example={"decision": "approve", "comment": "Until the end of the month."})
@blueprint.idempotent(required=False)
@blueprint.refuses(
    errors.NoCatalog,
    errors.BudgetRequestNotFound,
    errors.NotFound,
    errors.BudgetRequestAlreadyDecided,
    errors.SelfApproval,
    errors.BudgetNotFound,
    errors.BudgetPeriodOver,
    errors.BudgetInUse,
    errors.BreakGlassLimitReached,
)
@blueprint.answers({200: RequestDoneSchema()})
def decide_on_budget_request(
    body: dict[str, Any], request_id: uuid.UUID, *, idempotency_key: str | None
) -> RequestDone:
    """Approve or decline, once. Whoever asked cannot decide; what is approved holds at once."""
    command = DecideBudgetRequest(request_id=request_id, idempotency_key=idempotency_key, **body)
    return decide_budget_request(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/budget-requests/<uuid:request_id>/withdrawal")
@blueprint.asks("budgets:propose")
@blueprint.arguments(WithdrawalBody(), example={"comment": "The storm is over."})
@blueprint.refuses(errors.BudgetRequestNotFound, errors.NotFound, errors.BudgetRequestAlreadyDecided)
@blueprint.answers({200: RequestDoneSchema()})
def take_back_budget_request(body: dict[str, Any], request_id: uuid.UUID) -> RequestDone:
    """Take back what one asked for oneself, while nobody has decided."""
    command = WithdrawBudgetRequest(request_id=request_id, **body)
    return withdraw_budget_request(core=current_core(), actor=current_actor(), command=command)
