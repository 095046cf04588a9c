"""Feedback forms for tables and counters: open one, print its QR code, close it."""

import uuid
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.feedback_forms import SCALES, CreateForm, close_form, create_form
from incentives.kernel.errors import InputInvalid, Refusal
from incentives.queries import catalog
from incentives.queries.feedback_forms import FeedbackForm, list_forms, one_form

blueprint = Blueprint("staff_feedback_forms", __name__)

_LABEL_LONGEST = 100
_SHOWN = 50
_SCALES = {
    "stars_5": "How was it? 1 to 5",
    "csat": "How content are you? 1 to 5",
    "nps": "Would you recommend us? 0 to 10",
    "ces_7": "How easy did we make it? 1 to 7",
    "percent": "How content are you? 0 to 100",
}
_FIELDS = {name: name for name in ("label", "issue_tag", "location", "scale")}


@blueprint.get("/feedback/forms")
@page(permission="forms:manage")
def forms_list() -> ResponseReturnValue:
    """Show the forms that there are, and the fields to open another."""
    return _list()


@blueprint.post("/feedback/forms")
@page(permission="forms:manage")
def open_form() -> ResponseReturnValue:
    """Open a form and show its code; a refusal shows the page again with what was typed."""
    try:
        made = create_form(core=guard.the_core(), actor=guard.the_actor(), command=_command())
    except Refusal as refusal:
        return pages.with_wait(_list(pages.refused(refusal, _FIELDS)), refusal)
    return redirect(f"/feedback/forms/{made.id}", 303)


@blueprint.get("/feedback/forms/<uuid:form_id>")
@page(permission="forms:manage")
def form_page(form_id: uuid.UUID) -> ResponseReturnValue:
    """Show a form with its QR code, fit to be printed for the table."""
    actor = guard.the_actor()
    form = one_form(core=guard.the_core(), actor=actor, form_id=form_id)
    brand = catalog.brand(core=guard.the_core(), actor=actor).name
    return show("feedback_form.html", form=_row(form, _labels(), pages.location_names(actor)), brand=brand)


@blueprint.post("/feedback/forms/<uuid:form_id>/close")
@page(permission="forms:manage")
def close(form_id: uuid.UUID) -> ResponseReturnValue:
    """Close a form; whoever scans it from then on is told kindly."""
    close_form(core=guard.the_core(), actor=guard.the_actor(), form_id=form_id)
    return redirect(f"/feedback/forms/{form_id}", 303)


def _command() -> CreateForm:
    sent = Form(request.form)
    return CreateForm(
        label=sent.text("label", _LABEL_LONGEST),
        issue_tag=sent.text("issue_tag", _LABEL_LONGEST) or None,
        location=sent.text("location", _LABEL_LONGEST) or None,
        scale=sent.text("scale", _LABEL_LONGEST) or "stars_5",
        idempotency_key=sent.key("idempotency_key", guard.the_core().clock.now()),
    )


def _list(refused: Refused | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    after = Form(request.args).cursor("after")
    found = list_forms(core=core, actor=actor, limit=_SHOWN, after=after.hex if after else None)
    labels, places, sent = _labels(), pages.location_names(actor), Form(request.form)
    own = actor.location
    offered = {key: name for key, name in places.items() if own in (None, key)}
    return show(
        "feedback_forms.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        forms=[_row(each, labels, places) for each in found.items],
        more=f"/feedback/forms?after={found.next}" if found.next else None,
        tags=[("", "The customer says which"), *labels.items()],
        places=list(offered.items()) if own else [("", "Anywhere"), *offered.items()],
        scales=[(key, _SCALES[key]) for key in SCALES],
        typed={name: sent.shown(name) for name in _FIELDS},
        idempotency_key=_key(sent),
    )


def _key(sent: Form) -> str:
    """Return the key of the page that was sent, so that sending it again is the same deed; else a new one."""
    now = guard.the_core().clock.now()
    try:
        return sent.key("idempotency_key", now)
    except InputInvalid:
        return str(guard.the_core().ids.new(now))


def _labels() -> dict[str, str]:
    rows = catalog.issue_tags(core=guard.the_core(), actor=guard.the_actor())
    return {each.key: pages.english(each.label) for each in rows if each.active}


def _row(form: FeedbackForm, labels: dict[str, str], places: Any) -> dict[str, Any]:
    about = labels.get(form.issue_tag, form.issue_tag) if form.issue_tag else "Whatever the customer says"
    return {
        "id": form.id,
        "label": form.label,
        "about": about,
        "place": places.get(form.location, form.location) if form.location else "Anywhere",
        "question": _SCALES[form.scale],
        "answers": words.counted(form.answers, "answer", "answers") if form.answers else "No answers yet",
        "closed": words.ago(form.closed_at, guard.the_core().clock.now()) if form.closed_at else None,
        "href": f"/feedback/forms/{form.id}",
        "url": form.url,
        "qr": f"{urlsplit(form.url).path}/qr.svg",
    }
