"""Feedback forms: a link (and the QR code of it) for a table, a counter, an issue tag."""

import uuid
from http import HTTPStatus
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import KEY_LENGTH_MAX, Answer, Body, Text, Words
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.feedback_forms import SCALES, CreateForm, close_form, create_form
from incentives.kernel import errors
from incentives.queries.feedback_forms import list_forms as found_forms
from incentives.queries.feedback_forms import one_form

blueprint = Blueprint("feedback-forms", "Forms on which customers say how it was, without signing in.")


class FormBody(Body):
    """A form to open."""

    label = Words(100, required=True, metadata={"description": "Where it is, for staff: Table 12."})
    issue_tag = Text(
        KEY_LENGTH_MAX, load_default=None, allow_none=True, metadata={"description": "Left out: the customer says."}
    )
    location = Text(KEY_LENGTH_MAX, load_default=None, allow_none=True)
    scale = fields.String(load_default="stars_5", validate=validate.OneOf(SCALES))


class FormSchema(Answer):
    """A form."""

    id = fields.UUID()
    label = fields.String()
    issue_tag = fields.String(allow_none=True)
    location = fields.String(allow_none=True)
    scale = fields.String()
    url = fields.String(metadata={"description": "What the QR code for the table says."})
    answers = fields.Integer(metadata={"description": "How many pieces of feedback came in by it."})
    created_at = fields.AwareDateTime()
    closed_at = fields.AwareDateTime(allow_none=True)


@blueprint.get("/feedback-forms")
@blueprint.asks("forms:manage")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.answers({200: page_of(FormSchema)})
def list_forms(query: dict[str, Any]) -> Any:
    """List the forms, the newest first."""
    return found_forms(core=current_core(), actor=current_actor(), **query)


@blueprint.post("/feedback-forms")
@blueprint.asks("forms:manage")
@blueprint.arguments(FormBody(), example={"label": "Table 12", "location": "london"})
@blueprint.idempotent(required=False)
@blueprint.refuses(errors.NoCatalog, errors.UnknownIssueTag, errors.UnknownLocation, errors.OtherLocation)
@blueprint.answers({201: FormSchema()})
def open_form(body: dict[str, Any], *, idempotency_key: str | None) -> Any:
    """Open a form; its address stands in the answer."""
    command = CreateForm(idempotency_key=idempotency_key, **body)
    made = create_form(core=current_core(), actor=current_actor(), command=command)
    form = one_form(core=current_core(), actor=current_actor(), form_id=made.id)
    return form, HTTPStatus.CREATED, {"Idempotent-Replayed": "true"} if made.replayed else {}


@blueprint.get("/feedback-forms/<uuid:form_id>")
@blueprint.asks("forms:manage")
@blueprint.refuses(errors.FeedbackFormNotFound, errors.NotFound)
@blueprint.answers({200: FormSchema()})
def get_form(form_id: uuid.UUID) -> Any:
    """Show one form."""
    return one_form(core=current_core(), actor=current_actor(), form_id=form_id)


@blueprint.post("/feedback-forms/<uuid:form_id>/close")
@blueprint.asks("forms:manage")
@blueprint.refuses(errors.FeedbackFormNotFound, errors.NotFound)
@blueprint.answers({200: FormSchema()})
def close_feedback_form(form_id: uuid.UUID) -> Any:
    """Close a form for good. Closing it once more changes nothing."""
    close_form(core=current_core(), actor=current_actor(), form_id=form_id)
    return one_form(core=current_core(), actor=current_actor(), form_id=form_id)
