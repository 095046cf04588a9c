"""Staff report trouble on the tablet: what went wrong, in their own words, and whether a case should be opened."""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import feedback_words as said
from admin import forms, guard, pages, tags, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.respond import respond_to
from incentives.flows.take_in import CustomerGiven, Raw, TakeIn, take_in
from incentives.kernel.actors import may
from incentives.kernel.errors import InputInvalid, NoCatalog, NotFound, Refusal
from incentives.queries import catalog

blueprint = Blueprint("staff_feedback_report", __name__)

_CREATE = "feedback:create"
_KINDS = (("employee_report", "I saw it myself"), ("complaint", "A customer told me"))
_LINES = ("what", "differently")
_LONGEST = {"who": 200, "when": 200, "name": 200, "email": 320, "phone": 40, "order_ref": 200, "location": 64}
_FIELDS = {
    **{name: name for name in (*_LINES, *_LONGEST, "severity", "kind")},
    **{f"customer.{name}": name for name in ("name", "email", "phone")},
    "comment": "what",
    "issue_tag": "what",
}

_WAY = tags.Way(finer="/feedback/report", chosen="/feedback/report")


@blueprint.get("/feedback/report")
@page(permission=_CREATE)
def what_went_wrong() -> ResponseReturnValue:
    """Step 1: the issue tags as tiles."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        tree = catalog.tag_tiles(core=core, actor=actor, language="en")
    except NoCatalog:
        return show("feedback_report_tags.html", groups=[], under=None)
    under, _ = tags.find(tree, request.args.get("under"))
    return show("feedback_report_tags.html", groups=tags.groups(tree, under, _WAY), under=under)


@blueprint.get("/feedback/report/<tag>")
@page(permission=_CREATE)
def tell(tag: str) -> ResponseReturnValue:
    """Step 2: what happened, to whom, and what would have helped."""
    core = guard.the_core()
    form = {"idempotency_key": str(core.ids.new(core.clock.now())), "kind": "employee_report", "open_case": "yes"}
    return _tell(tag, form)


@blueprint.post("/feedback/report/<tag>")
@page(permission=_CREATE)
def report(tag: str) -> ResponseReturnValue:
    """Take it down, and open a case where the reporter asks for one; the same page sent twice does so once."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        (taken,) = take_in(core=core, actor=actor, commands=[_command(tag)])
        if isinstance(taken, Refusal):
            raise taken
    except Refusal as refusal:
        return pages.with_wait(_tell(tag, _typed(), pages.refused(refusal, _FIELDS)), refusal)
    case_id: uuid.UUID | None = None
    if taken.id is not None and (taken.act_now or taken.repeated):
        (done,) = respond_to(core=core, feedback_ids=[taken.id])
        case_id = done.case_id
    if case_id and may(actor, "cases:read"):
        return redirect(f"/cases/{case_id}", 303)
    return redirect("/feedback?done=reported" if may(actor, "feedback:read") else "/", 303)


def _command(tag: str) -> TakeIn:
    """Return what the form says. Raises ``InputInvalid``."""
    sent, now = Form(request.form), guard.the_core().clock.now()
    mistakes = forms.mistakes(
        *(partial(sent.text, name, longest) for name, longest in _LONGEST.items()),
        *(partial(sent.lines, name, forms.TEXT_LONGEST) for name in _LINES),
        partial(sent.key, "idempotency_key", now),
    )
    if not mistakes and not sent.lines("what", forms.TEXT_LONGEST):
        mistakes["what"] = "Say in a sentence what happened."
    if mistakes:
        errors = [{"field": name, "message": message} for name, message in mistakes.items()]
        raise InputInvalid(" ".join(mistakes.values()), errors=errors)
    text = {name: sent.text(name, longest) or None for name, longest in _LONGEST.items()}
    story = {name: sent.lines(name, forms.TEXT_LONGEST) or None for name in _LINES}
    severity = request.form.get("severity", "")
    return TakeIn(
        source="staff",
        external_id=sent.key("idempotency_key", now),
        kind="complaint" if request.form.get("kind") == "complaint" else "employee_report",
        comment=story["what"],
        issue_tags=(tag,),
        customer=CustomerGiven(name=text["name"], email=text["email"], phone=text["phone"]),
        order_ref=text["order_ref"],
        location=None if guard.the_actor().location else text["location"],
        severity=int(severity) if severity in {"1", "2", "3", "4"} else None,
        story={**story, "who": text["who"], "when": text["when"]},
        open_case=request.form.get("open_case") == "yes",
        raw=_raw(tag),
    )


def _raw(tag: str) -> Raw:
    """Return the form as it was filled in, without what only guards it."""
    told = {name: value for name, value in request.form.items() if name != "csrf_token"}
    return Raw(
        body=orjson.dumps({"issue_tag": tag, **told}), headers={"User-Agent": request.headers.get("User-Agent", "")}
    )


def _typed() -> dict[str, str]:
    sent, core = Form(request.form), guard.the_core()
    shown = {name: sent.shown(name) for name in (*_LONGEST, "kind", "severity", "open_case")}
    try:
        key = sent.key("idempotency_key", core.clock.now())
    except InputInvalid:
        key = str(core.ids.new(core.clock.now()))
    return {**shown, **{name: sent.shown_lines(name) for name in _LINES}, "idempotency_key": key}


def _tell(tag: str, form: Mapping[str, str], refused: Refused | None = None) -> Response:
    actor, labels = guard.the_actor(), said.labels()
    if tag not in labels:
        raise NotFound
    places: list[tuple[str, Any]] = []
    if not actor.location:
        places = [("", "Nowhere in particular"), *pages.location_names(actor).items()]
    return show(
        "feedback_report.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        tag={"key": tag, "title": labels[tag]},
        form=form,
        kinds=_KINDS,
        severities=[("", "As usual"), *((str(value), word) for value, word in words.SEVERITIES.items())],
        places=places,
    )
