"""Switches: giving or redeeming is stopped for all or for some, within a second, and what was in flight."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, MoneySchema, Reason, Text
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.switch import SetSwitch, SwitchSet, lift_switch
from incentives.flows.switch import set_switch as stop
from incentives.kernel import errors
from incentives.queries.switches import caught
from incentives.queries.switches import list_switches as found_switches

blueprint = Blueprint("switches", "Switches that stop giving or redeeming within a second.")

_STOPS = ("issuing", "redeeming")
_SCOPES = ("organization", "location", "incentive", "issue_tag", "team", "person", "api_key", "source")
_STANDING: dict[str, bool | None] = {"set": True, "lifted": False}
_REASON_LENGTH = 500
_SUBJECT_LENGTH = 320


class SwitchesQuery(PageQuery):
    """Which switches."""

    status = fields.String(
        validate=validate.OneOf(("set", "lifted")), metadata={"description": "Left out: all of them."}
    )


class SwitchBody(Body):
    """What to stop, and why."""

    stops = fields.String(required=True, validate=validate.OneOf(_STOPS))
    scope = fields.String(required=True, validate=validate.OneOf(_SCOPES))
    subject = Text(
        _SUBJECT_LENGTH,
        load_default=None,
        allow_none=True,
        metadata={"description": "A key; a person's id or email; an API key's id. The organization needs none."},
    )
    reason = Reason(_REASON_LENGTH, required=True)


class LiftBody(Body):
    """Why it may go on."""

    reason = Reason(_REASON_LENGTH, required=True)


class SwitchSetSchema(Answer):
    """The switch that is set."""

    id = fields.UUID()
    stops = fields.String()
    scope = fields.String()
    subject = fields.String()
    set_at = fields.AwareDateTime()


class SwitchSchema(Answer):
    """A switch, set or lifted."""

    id = fields.UUID()
    stops = fields.String()
    scope = fields.String()
    subject = fields.String()
    subject_name = fields.String()
    reason = fields.String()
    set_by_name = fields.String()
    set_at = fields.AwareDateTime()
    lifted_by_name = fields.String(allow_none=True)
    lifted_at = fields.AwareDateTime(allow_none=True)
    lift_reason = fields.String(allow_none=True)


class CaughtItemSchema(Answer):
    """One thing that was in flight."""

    id = fields.UUID()
    case_id = fields.UUID(allow_none=True)
    voucher_id = fields.UUID(allow_none=True, metadata={"description": "The voucher that it is, or is about."})
    job_id = fields.UUID(allow_none=True, metadata={"description": "The bulk job that it is, or came from."})
    amount = fields.Nested(MoneySchema, allow_none=True)
    at = fields.AwareDateTime()
    location = fields.String(allow_none=True)
    word = fields.String()


class CaughtKindSchema(Answer):
    """All of one kind: how many, and the newest hundred."""

    kind = fields.String(metadata={"description": "requests, holds, jobs, messages, given or addresses"})
    count = fields.Integer()
    items = fields.List(fields.Nested(CaughtItemSchema))


class CaughtSchema(Answer):
    """A switch, and what it caught in flight."""

    switch = fields.Nested(SwitchSchema)
    kinds = fields.List(fields.Nested(CaughtKindSchema))


@blueprint.get("/switches")
@blueprint.asks("switches:read")
@blueprint.arguments(SwitchesQuery(), location="query")
@blueprint.answers({200: page_of(SwitchSchema)})
def list_switches(query: dict[str, Any]) -> Any:
    """List switches, the newest first."""
    standing = _STANDING.get(query.pop("status", ""))
    return found_switches(core=current_core(), actor=current_actor(), standing=standing, **query)


@blueprint.post("/switches")
@blueprint.asks("switches:manage")
@blueprint.arguments(
    SwitchBody(),
    example={"stops": "issuing", "scope": "issue_tag", "subject": "late-delivery", "reason": "The rule misfires."},
)
@blueprint.refuses(errors.SwitchAlreadySet, errors.OtherLocation, errors.NoCatalog)
@blueprint.answers({201: SwitchSetSchema()})
def set_switch(body: dict[str, Any]) -> SwitchSet:
    """Stop giving or redeeming; every process knows of it within a second. Setting it twice is refused."""
    return stop(core=current_core(), actor=current_actor(), command=SetSwitch(**body))


@blueprint.post("/switches/<uuid:switch_id>/lift")
@blueprint.asks("switches:manage")
@blueprint.arguments(LiftBody(), example={"reason": "The rule is mended."})
@blueprint.refuses(
    errors.SwitchNotFound,
    errors.SwitchAlreadyLifted,
    errors.OwnSwitch,
    errors.OtherLocation,
    errors.NoCatalog,
    errors.NotFound,
)
@blueprint.answers({200: CaughtSchema()})
def end_switch(body: dict[str, Any], switch_id: uuid.UUID) -> Any:
    """Let it go on, and answer what is in flight in its scope now."""
    core, actor = current_core(), current_actor()
    lift_switch(core=core, actor=actor, switch_id=switch_id, reason=body["reason"])
    return caught(core=core, actor=actor, switch_id=switch_id)


@blueprint.get("/switches/<uuid:switch_id>/caught")
@blueprint.asks("switches:read")
@blueprint.refuses(errors.SwitchNotFound, errors.NotFound)
@blueprint.answers({200: CaughtSchema()})
def list_caught(switch_id: uuid.UUID) -> Any:
    """List what a switch caught in flight: requests, held vouchers, bulk jobs, messages, and what was just given.

    What was just sent to another address is a kind by itself.
    """
    return caught(core=current_core(), actor=current_actor(), switch_id=switch_id)
