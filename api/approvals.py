"""Approvals: what waits for a second person, and the decision."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, MinorUnits, MoneySchema, Text
from api.issuances import DeliverySchema, VoucherSchema
from api.offers import EarlierRecoverySchema
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.approve import DecideApproval, Decided, decide_approval
from incentives.kernel import errors
from incentives.queries.approvals import list_approvals as found_approvals

blueprint = Blueprint("approvals", "Decisions on issuances over a limit; never by their requester.")

STATUSES = ("pending", "granted", "declined", "expired", "withdrawn")


class ApprovalsQuery(PageQuery):
    """Which approvals."""

    status = fields.String(validate=validate.OneOf(STATUSES), metadata={"description": "Left out: all of them."})


class ApprovalSchema(Answer):
    """One request, as its approver must see it."""

    id = fields.UUID()
    status = fields.String()
    issuance_id = fields.UUID()
    case_id = fields.UUID()
    issue_tag = fields.String()
    severity = fields.Integer()
    incentive = fields.String()
    title = fields.String()
    amount = fields.Nested(MoneySchema)
    least_minor = fields.Integer(metadata={"description": "How far the amount may be lowered."})
    reasons = fields.List(fields.String())
    note = fields.String(allow_none=True)
    location = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    requested_by = fields.String()
    requested_by_name = fields.String()
    requested_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    granted = fields.Nested(MoneySchema, allow_none=True)
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.AwareDateTime(allow_none=True)
    comment = fields.String(allow_none=True)
    earlier_recoveries = fields.List(fields.Nested(EarlierRecoverySchema))


class DecisionBody(Body):
    """A decision."""

    decision = fields.String(required=True, validate=validate.OneOf(("grant", "decline")))
    amount_minor = MinorUnits(
        load_default=None,
        allow_none=True,
        metadata={"description": "Grants less than was asked for, where the incentive lets it."},
    )
    comment = Text(2000, load_default=None, allow_none=True)


class GivenSchema(Answer):
    """What was given on an approval. The code goes to the customer and to nobody else."""

    id = fields.UUID()
    status = fields.String()
    case_id = fields.UUID()
    voucher = fields.Nested(VoucherSchema, allow_none=True)
    deliveries = fields.List(fields.Nested(DeliverySchema))


class DecidedSchema(Answer):
    """What was decided."""

    id = fields.UUID(attribute="approval_id")
    issuance_id = fields.UUID()
    status = fields.String(metadata={"description": "granted or declined"})
    issuance = fields.Nested(GivenSchema, attribute="issued", allow_none=True)


@blueprint.get("/approvals")
@blueprint.asks("approvals:read")
@blueprint.arguments(ApprovalsQuery(), location="query")
@blueprint.refuses(errors.NoCatalog)
@blueprint.answers({200: page_of(ApprovalSchema)})
def list_approvals(query: dict[str, Any]) -> Any:
    """List approvals, the newest first."""
    return found_approvals(core=current_core(), actor=current_actor(), **{"status": None, **query})


@blueprint.post("/approvals/<uuid:approval_id>/decision")
@blueprint.asks("approvals:decide")
@blueprint.arguments(DecisionBody(), example={"decision": "grant", "amount_minor": 6000, "comment": "Four hours."})
@blueprint.idempotent(required=False)
@blueprint.refuses(
    errors.ApprovalNotFound,
    errors.NotFound,
    errors.ApprovalAlreadyDecided,
    errors.ApprovalExpired,
    errors.SelfApproval,
    errors.ApprovalAmountInvalid,
    errors.ApproverLimitExceeded,
)
@blueprint.answers({200: DecidedSchema()})
def decide(body: dict[str, Any], approval_id: uuid.UUID, *, idempotency_key: str | None) -> Decided:
    """Grant or decline. Whoever asked cannot decide; whoever grants may lower the amount."""
    command = DecideApproval(approval_id=approval_id, idempotency_key=idempotency_key, **body)
    return decide_approval(core=current_core(), actor=current_actor(), command=command)
