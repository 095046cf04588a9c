"""Incidents: one trouble of many customers, its cases, and the log of whom we told of our own accord."""

import uuid
from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, Instant, Key, Words
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.incidents import OpenIncident, attach_cases, close_incident
from incentives.flows.incidents import open_incident as opened_incident
from incentives.kernel import errors
from incentives.queries.incidents import list_incidents as found_incidents
from incentives.queries.incidents import one_incident

blueprint = Blueprint("incidents", "One trouble of many customers.")

_TITLE_LENGTH = 200
_MANAGE = "incidents:manage"


class IncidentBody(Body):
    """What happened, to whom (a tag with all below it, at a place or everywhere), and since when."""

    issue_tag = Key(required=True)
    location = Key(load_default=None, allow_none=True)
    title = Words(_TITLE_LENGTH, required=True)
    started_at = Instant(required=True, metadata={"description": "Within the last sixty days."})


class IncidentOpenedSchema(Answer):
    """The incident, and how many open cases belong to it."""

    id = fields.UUID()
    attached = fields.Integer()


class AttachedSchema(Answer):
    """How many open cases were attached."""

    attached = fields.Integer()


class IncidentSchema(Answer):
    """An incident, and how many of its cases were told of it, answered after that, and recovered."""

    id = fields.UUID()
    issue_tag = fields.String()
    location = fields.String(allow_none=True)
    title = fields.String()
    started_at = fields.AwareDateTime()
    opened_at = fields.AwareDateTime()
    opened_by_name = fields.String()
    closed_at = fields.AwareDateTime(allow_none=True)
    cases = fields.Integer()
    told = fields.Integer()
    answered = fields.Integer()
    recovered = fields.Integer()


class OutreachSchema(Answer):
    """One case: when and by what its customer was first told, and when they answered."""

    case_id = fields.UUID()
    issue_tag = fields.String()
    location = fields.String(allow_none=True)
    opened_at = fields.AwareDateTime()
    status = fields.String()
    told_at = fields.AwareDateTime(allow_none=True)
    channel = fields.String(allow_none=True)
    answered_at = fields.AwareDateTime(allow_none=True)
    recovered = fields.Boolean(allow_none=True)


class IncidentWithLogSchema(Answer):
    """An incident with its cases, the newest first; of very many the first five hundred."""

    incident = fields.Nested(IncidentSchema)
    log = fields.List(fields.Nested(OutreachSchema))


@blueprint.get("/incidents")
@blueprint.asks("cases:read")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.answers({200: page_of(IncidentSchema)})
def list_incidents(query: dict[str, Any]) -> Any:
    """List incidents, the newest first."""
    return found_incidents(core=current_core(), actor=current_actor(), **query)


@blueprint.post("/incidents")
@blueprint.asks(_MANAGE)
@blueprint.arguments(IncidentBody())
@blueprint.refuses(
    errors.IncidentAlreadyOpen, errors.NoCatalog, errors.OtherLocation, errors.UnknownIssueTag, errors.UnknownLocation
)
@blueprint.answers({201: IncidentOpenedSchema()})
def open_incident(body: dict[str, Any]) -> Any:
    """Open an incident and gather the open cases that match it; a second one of its tag and place is refused."""
    return opened_incident(core=current_core(), actor=current_actor(), command=OpenIncident(**body))


@blueprint.get("/incidents/<uuid:incident_id>")
@blueprint.asks("cases:read")
@blueprint.refuses(errors.IncidentNotFound, errors.NotFound)
@blueprint.answers({200: IncidentWithLogSchema()})
def get_incident(incident_id: uuid.UUID) -> Any:
    """Show an incident with the log of whom we told."""
    return one_incident(core=current_core(), actor=current_actor(), incident_id=incident_id)


@blueprint.post("/incidents/<uuid:incident_id>/attach")
@blueprint.asks(_MANAGE)
@blueprint.refuses(
    errors.IncidentNotFound, errors.IncidentOver, errors.NoCatalog, errors.NotFound, errors.OtherLocation
)
@blueprint.answers({200: AttachedSchema()})
def attach_to_incident(incident_id: uuid.UUID) -> dict[str, int]:
    """Gather the open cases that came in since."""
    return {"attached": attach_cases(core=current_core(), actor=current_actor(), incident_id=incident_id)}


@blueprint.post("/incidents/<uuid:incident_id>/close")
@blueprint.asks(_MANAGE)
@blueprint.refuses(errors.IncidentNotFound, errors.IncidentOver, errors.NotFound, errors.OtherLocation)
@blueprint.answers({200: IncidentWithLogSchema()})
def end_incident(incident_id: uuid.UUID) -> Any:
    """End an incident; its cases go on by themselves."""
    core, actor = current_core(), current_actor()
    close_incident(core=core, actor=actor, incident_id=incident_id)
    return one_incident(core=core, actor=actor, incident_id=incident_id)
