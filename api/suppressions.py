"""The addresses that nothing is sent to: known by hints, lifted by somebody who knows better."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, Reason
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.suppressions import LiftSuppression, lift_suppression
from incentives.kernel import errors
from incentives.queries.suppressed import list_suppressed

blueprint = Blueprint("suppressions", "Addresses that nothing is sent to, and why.")

_MANAGE = "suppressions:manage"
_CHANNELS = ("email", "sms")
_REASONS = ("blocked", "invalid", "bounced", "complained", "unsubscribed")
_REASON_LENGTH = 500


class SuppressionsQuery(PageQuery):
    """Which entries."""

    channel = fields.String(validate=validate.OneOf(_CHANNELS))
    reason = fields.String(validate=validate.OneOf(_REASONS))


class LiftSuppressionBody(Body):
    """Why it may be sent to again."""

    reason = Reason(_REASON_LENGTH, required=True)


class SuppressionSchema(Answer):
    """An address that nothing is sent to."""

    id = fields.UUID()
    channel = fields.String(validate=validate.OneOf(_CHANNELS))
    hint = fields.String(metadata={"description": "By which people know it again; the address is kept nowhere."})
    reason = fields.String(validate=validate.OneOf(_REASONS))
    source = fields.String(metadata={"description": "The provider that told it."})
    code = fields.String(allow_none=True, metadata={"description": "The provider's own."})
    since = fields.AwareDateTime()
    ends_at = fields.AwareDateTime(allow_none=True, metadata={"description": "Null: it holds until it is lifted."})


class LiftedSuppressionSchema(Answer):
    """The entry that stands no more."""

    id = fields.UUID()


@blueprint.get("/suppressions")
@blueprint.asks(_MANAGE)
@blueprint.arguments(SuppressionsQuery(), location="query")
@blueprint.answers({200: page_of(SuppressionSchema)})
def list_suppressions(query: dict[str, Any]) -> Any:
    """List what stands now, the newest first."""
    return list_suppressed(core=current_core(), actor=current_actor(), **query)


@blueprint.post("/suppressions/<uuid:suppression_id>/lift")
@blueprint.asks(_MANAGE)
@blueprint.arguments(LiftSuppressionBody(), example={"reason": "They told us that the mailbox works again."})
@blueprint.refuses(errors.SuppressionNotFound, errors.NotFound)
@blueprint.answers({200: LiftedSuppressionSchema()})
def lift(body: dict[str, Any], suppression_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """Let an address be sent to again."""
    command = LiftSuppression(id=suppression_id, reason=body["reason"])
    lift_suppression(core=current_core(), actor=current_actor(), command=command)
    return {"id": suppression_id}
