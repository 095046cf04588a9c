"""Delegations: who decides in whose place while they are away."""

import uuid
from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import SEEN_AND_NOT_BLANK, Answer, Body, Instant, QueryTruth, Text
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.delegate import CreateDelegation, RevokeDelegation, create_delegation, revoke_delegation
from incentives.kernel import errors
from incentives.queries.delegations import Delegation, list_delegations, one_delegation

blueprint = Blueprint("delegations", "Who decides in whose place while they are away.")

_EMAIL_LONGEST = 320


class DelegationsQuery(PageQuery):
    """Which delegations."""

    active = QueryTruth(metadata={"description": "Only those that hold now."})


class DelegationBody(Body):
    """An absence."""

    delegate_email = Text(_EMAIL_LONGEST, required=True, metadata={"description": "Who stands in."})
    absent_email = Text(
        _EMAIL_LONGEST,
        load_default=None,
        allow_none=True,
        metadata={"description": "Who is away; left out: the caller, who must be a person then."},
    )
    starts_at = Instant(load_default=None, allow_none=True, metadata={"description": "Left out: now."})
    ends_at = Instant(required=True, metadata={"description": "At most 92 days later."})
    reason = Text(500, pattern=SEEN_AND_NOT_BLANK, required=True)


class DelegationSchema(Answer):
    """An absence as it stands."""

    id = fields.UUID()
    status = fields.String(metadata={"description": "planned, active, over, revoked"})
    absent = fields.String(metadata={"description": "What `on_behalf_of` of a decision takes."})
    absent_name = fields.String()
    absent_email = fields.String()
    delegate = fields.String()
    delegate_name = fields.String()
    delegate_email = fields.String()
    starts_at = fields.AwareDateTime()
    ends_at = fields.AwareDateTime()
    reason = fields.String()
    created_by_name = fields.String()
    created_at = fields.AwareDateTime()
    revoked_by_name = fields.String(allow_none=True)
    revoked_at = fields.AwareDateTime(allow_none=True)


@blueprint.get("/delegations")
@blueprint.asks("approvals:read")
@blueprint.arguments(DelegationsQuery(), location="query")
@blueprint.answers({200: page_of(DelegationSchema)})
def list_absences(query: dict[str, Any]) -> Any:
    """List the delegations that concern the caller, the newest first."""
    active = query.pop("active", False)
    return list_delegations(core=current_core(), actor=current_actor(), active_only=active, **query)


@blueprint.post("/delegations")
@blueprint.asks("approvals:decide")
@blueprint.arguments(DelegationBody())
@blueprint.idempotent(required=False)
@blueprint.refuses(errors.UserNotFound)
@blueprint.answers({201: DelegationSchema()})
def delegate_approvals(body: dict[str, Any], *, idempotency_key: str | None) -> Any:
    """Let somebody stand in for an absent approver, with their rights and within their limits; never to oneself."""
    core, actor = current_core(), current_actor()
    command = CreateDelegation(**body, idempotency_key=idempotency_key)
    made = create_delegation(core=core, actor=actor, command=command)
    return one_delegation(core=core, actor=actor, delegation_id=made.id, replayed=made.replayed)


@blueprint.get("/delegations/<uuid:delegation_id>")
@blueprint.asks("approvals:read")
@blueprint.refuses(errors.DelegationNotFound, errors.NotFound)
@blueprint.answers({200: DelegationSchema()})
def get_delegation(delegation_id: uuid.UUID) -> Delegation:
    """Show one."""
    return one_delegation(core=current_core(), actor=current_actor(), delegation_id=delegation_id)


@blueprint.delete("/delegations/<uuid:delegation_id>")
@blueprint.asks("approvals:decide")
@blueprint.refuses(errors.DelegationNotFound, errors.DelegationEnded, errors.NotFound)
@blueprint.answers({200: DelegationSchema()})
def end_delegation(delegation_id: uuid.UUID) -> Delegation:
    """End one at once: who is away, who stands in, or who arranges absences there."""
    core, actor = current_core(), current_actor()
    revoke_delegation(core=core, actor=actor, command=RevokeDelegation(delegation_id=delegation_id))
    return one_delegation(core=core, actor=actor, delegation_id=delegation_id)
