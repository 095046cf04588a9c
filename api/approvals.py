"""Approvals: what waits for others, who that is, and the decision."""

import uuid
from typing import Any

from flask import g
from marshmallow import fields, validate

from api import problems
from api.approval_answers import ApprovalSchema, DecidedSchema, DecisionsSchema, WithdrawnSchema, WouldDecideSchema
from api.authentication import current_actor, current_core
from api.fields import SEEN, Body, Key, MinorUnits, Query, QueryNumber, QueryTruth, Text
from api.offers import TROUBLE_REFUSALS
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.approve import (
    COMMENT_LONGEST,
    MOST_AT_ONCE,
    DecideApproval,
    Decided,
    decide_approval,
    decide_approvals,
    key_of,
)
from incentives.flows.withdraw_request import Withdrawn, WithdrawRequest, withdraw_request
from incentives.kernel import errors
from incentives.kernel.errors import Refusal
from incentives.kernel.money import AMOUNT_MINOR_MAX
from incentives.queries.approval_policies import WouldDecide, simulate
from incentives.queries.approvals import Filters, one_approval
from incentives.queries.approvals import list_approvals as found_approvals

blueprint = Blueprint("approvals", "Decisions on issuances over a limit; never by their requester.")

STATUSES = ("pending", "granted", "declined", "expired", "withdrawn")
_MINUTES_MAX = 10_000_000


class ApprovalsQuery(PageQuery):
    """Which approvals; all that is said must hold."""

    status = fields.String(validate=validate.OneOf(STATUSES), metadata={"description": "Left out: all of them."})
    mine = QueryTruth(metadata={"description": "On which it is the caller's turn, perhaps in another's place."})
    location = Key()
    issue_tag = Key(metadata={"description": "This one and all below it."})
    amount_at_least_minor = QueryNumber(minimum=0, maximum=999_999_999, metadata={"description": "In any currency."})
    older_than_minutes = QueryNumber(minimum=0, maximum=_MINUTES_MAX, metadata={"description": "Since it was asked."})


class SimulationQuery(Query):
    """A request that nobody made."""

    amount_minor = QueryNumber(minimum=0, maximum=min(AMOUNT_MINOR_MAX, 999_999_999), required=True)
    currency = Text(3, min_length=3, pattern="^[A-Z]{3}$", metadata={"description": "Left out: the location's."})
    issue_tag = Key()
    location = Key()
    incentive = Key()


class DecisionBody(Body):
    """A decision."""

    decision = fields.String(required=True, validate=validate.OneOf(("grant", "decline")))
    amount_minor = MinorUnits(
        load_default=None,
        allow_none=True,
        metadata={"description": "Grants less than was asked for, where the incentive lets it: the whole promise."},
    )
    incentive = Key(
        load_default=None,
        allow_none=True,
        metadata={"description": "Grants another one of the same protocol and currency that charges no more."},
    )
    comment = Text(COMMENT_LONGEST, pattern=SEEN, load_default=None, allow_none=True)
    on_behalf_of = Text(
        64, load_default=None, allow_none=True, metadata={"description": "In whose place: the `label` of a stand-in."}
    )


class OneOfManyBody(DecisionBody):
    """One decision among many."""

    approval_id = fields.UUID(required=True)


class DecisionsBody(Body):
    """Many decisions."""

    decisions = fields.List(
        fields.Nested(OneOfManyBody), required=True, validate=validate.Length(min=1, max=MOST_AT_ONCE)
    )


class TakeBackBody(Body):
    """Why a request is taken back."""

    reason = Text(
        500,
        pattern=SEEN,
        load_default=None,
        allow_none=True,
        metadata={"description": "Needed from everybody but the requester."},
    )


@blueprint.get("/approvals")
@blueprint.asks("approvals:read")
@blueprint.arguments(ApprovalsQuery(), location="query")
@blueprint.refuses(errors.NoCatalog, errors.UnknownIssueTag, errors.UnknownLocation)
@blueprint.answers({200: page_of(ApprovalSchema)})
def list_approvals(query: dict[str, Any]) -> Any:
    """List approvals, the newest first."""
    limit, after = query.pop("limit"), query.pop("after", None)
    filters = Filters(**query)
    return found_approvals(core=current_core(), actor=current_actor(), filters=filters, limit=limit, after=after)


@blueprint.get("/approvals/<uuid:approval_id>")
@blueprint.asks("approvals:read")
@blueprint.refuses(errors.ApprovalNotFound, errors.NoCatalog, errors.NotFound)
@blueprint.answers({200: ApprovalSchema()})
def get_approval(approval_id: uuid.UUID) -> Any:
    """Show one, with who has agreed and who else must."""
    return one_approval(core=current_core(), actor=current_actor(), approval_id=approval_id)


@blueprint.get("/approvals/policies/simulate")
@blueprint.asks("approvals:read")
@blueprint.arguments(SimulationQuery(), location="query")
@blueprint.refuses(errors.NoCatalog, errors.UnknownIssueTag, errors.UnknownLocation, errors.UnknownIncentive)
@blueprint.answers({200: WouldDecideSchema()})
def simulate_approval_policies(query: dict[str, Any]) -> WouldDecide:
    """Say which policy and levels would decide on a request; it says nothing of any limit, and changes nothing."""
    return simulate(core=current_core(), actor=current_actor(), **query)


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
    errors.AlreadyVoted,
    errors.NotYourLevel,
    errors.NotDelegated,
    errors.ApprovalAmountInvalid,
    errors.ApproverLimitExceeded,
    errors.IssuingStopped,
    errors.BlockedBySafeguards,
    *TROUBLE_REFUSALS,
    errors.UnknownIncentive,
    errors.IncentiveNotInProtocol,
    errors.IncentiveNotOfferable,
    errors.OfferConditionNotMet,
    errors.AmountNotAdjustable,
    errors.AmountOutOfRange,
    errors.AmountAboveProtocol,
    errors.ExclusiveGroupTaken,
    errors.TooManyOpen,
    errors.NoBudget,
    errors.BudgetExhausted,
    errors.CustomerCapReached,
    errors.ContactCap,
)
@blueprint.answers({200: DecidedSchema()})
def decide(body: dict[str, Any], approval_id: uuid.UUID, *, idempotency_key: str | None) -> Decided:
    """Grant or decline. Whoever asked cannot decide; whoever grants may lower the amount or choose another incentive.

    Where a policy wants more people to agree, the answer is `pending` until the last of them has granted.
    """
    command = DecideApproval(approval_id=approval_id, idempotency_key=idempotency_key, **body)
    return decide_approval(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/approvals/decisions")
@blueprint.asks("approvals:decide")
@blueprint.arguments(DecisionsBody())
@blueprint.idempotent(required=False)
@blueprint.refuses()
@blueprint.answers({200: DecisionsSchema()})
def decide_many(body: dict[str, Any], *, idempotency_key: str | None) -> dict[str, Any]:
    """Decide many requests, each by itself: one that is refused keeps no other from being decided."""
    commands = [
        DecideApproval(**each, idempotency_key=key_of(idempotency_key, each["approval_id"]))
        for each in body["decisions"]
    ]
    answers = decide_approvals(core=current_core(), actor=current_actor(), commands=commands)
    pairs = zip(commands, answers, strict=True)
    return {"items": [_answer(command.approval_id, answer) for command, answer in pairs]}


def _answer(approval_id: uuid.UUID, answer: Decided | Refusal) -> dict[str, Any]:
    if isinstance(answer, Refusal):
        problem = {**problems.members_of(answer), "request_id": g.get("request_id", "")}
        return {"id": approval_id, "decided": None, "problem": problem}
    return {"id": approval_id, "decided": answer, "problem": None}


@blueprint.post("/approvals/<uuid:approval_id>/withdrawal")
@blueprint.asks("issuances:create")
@blueprint.arguments(TakeBackBody(), example={"reason": "The customer was helped at the gate."})
@blueprint.idempotent(required=False)
@blueprint.refuses(errors.ApprovalNotFound, errors.NotFound, errors.ApprovalAlreadyDecided, errors.ApprovalExpired)
@blueprint.answers({200: WithdrawnSchema()})
def withdraw_approval(body: dict[str, Any], approval_id: uuid.UUID, *, idempotency_key: str | None) -> Withdrawn:
    """Take a request back: whoever asked, or with a reason who decides where it is."""
    command = WithdrawRequest(approval_id=approval_id, idempotency_key=idempotency_key, **body)
    return withdraw_request(core=current_core(), actor=current_actor(), command=command)
