"""The mapping tester: paste what a tool sends, see what would be understood, which protocol, what may be offered."""

from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from admin import feedback_words as said
from admin import guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import show
from incentives.flows.offer import CustomerGiven, Trouble, offer_incentives
from incentives.flows.try_out import Tried, TryOut, try_out
from incentives.kernel.actors import may
from incentives.kernel.errors import NoCatalog, Refusal
from incentives.queries import catalog_recovery, criteria

blueprint = Blueprint("staff_feedback_try", __name__)

_READ = "feedback:read"
_PAYLOAD_LONGEST = 100_000
_OURS = ("", "POST /feedback, our own words")


@blueprint.get("/feedback/try")
@page(permission=_READ)
def empty() -> ResponseReturnValue:
    """Show where to paste."""
    return _show(None, {"source": "", "payload": ""})


@blueprint.post("/feedback/try")
@page(permission=_READ)
def try_it() -> ResponseReturnValue:
    """Show what would be understood; nothing is written."""
    core, actor, sent = guard.the_core(), guard.the_actor(), Form(request.form)
    shown = {"source": sent.shown("source"), "payload": sent.shown_lines("payload")}
    try:
        command = TryOut(source=sent.text("source", 64), payload=sent.lines("payload", _PAYLOAD_LONGEST))
        tried = try_out(core=core, actor=actor, command=command)
    except Refusal as refusal:
        return pages.with_wait(_show(None, shown, refusal), refusal)
    return _show(_view(tried), shown)


def _show(tried: dict[str, Any] | None, form: dict[str, str], refusal: Refusal | None = None) -> Response:
    refused = pages.refused(refusal, {"source": "source", "payload": "payload"}) if refusal else None
    return show(
        "feedback_try.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        form=form,
        sources=_sources(),
        tried=tried,
    )


def _sources() -> list[tuple[str, str]]:
    core, actor = guard.the_core(), guard.the_actor()
    if not may(actor, "catalog:read"):
        return [_OURS]
    try:
        found = catalog_recovery.sources(core=core, actor=actor)
    except NoCatalog:
        return [_OURS]
    return [*((each.key, each.name) for each in found), _OURS]


def _view(tried: Tried) -> dict[str, Any]:
    if tried.problem is not None:
        return {"problem": tried.problem, "field": tried.field}
    return {
        "problem": None,
        "facts": _facts(tried),
        "comment": tried.comment,
        "unmapped": [(said.FIELDS.get(name, name), value) for name, value in tried.unmapped],
        "late": tried.late or ("It is marked as our own doing, so it is set aside." if tried.echo else None),
        "offers": _offers(tried),
        "rules": _rules(tried),
    }


def _facts(tried: Tried) -> list[tuple[str, str]]:
    names, places = said.labels(), pages.location_names(guard.the_actor())
    tags = ", ".join(names.get(key, key) for key in tried.issue_tags)
    zone = pages.zone_of(guard.the_actor(), tried.location)
    percent = f", {tried.score_bp / 100:g} of 100" if tried.score_bp is not None else ""
    contact = tried.contact
    facts = (
        ("Issue tag", f"{tags} ({said.TAGGED_BY[tried.tagged_by]})" if tags and tried.tagged_by else "None"),
        ("Protocol", tried.protocol or "None"),
        ("Score", f"{said.score(tried.score, tried.scale)}{percent}" if tried.score else "None"),
        ("Kind", said.KINDS[tried.kind]),
        ("Event", said.EVENTS.get(tried.event or "")),
        ("Id", tried.external_id),
        ("Location", places.get(tried.location or "", tried.location)),
        ("Segment", tried.segment),
        ("Customer", contact.name if contact else None),
        ("Email", contact.email if contact else None),
        ("Phone", contact.phone if contact else None),
        ("Served by", tried.agent),
        ("Order", tried.order_ref),
        ("Happened", words.instant(tried.occurred_at, zone) if tried.occurred_at else None),
    )
    return [(name, value) for name, value in facts if value]


def _offers(tried: Tried) -> list[dict[str, Any]]:
    core, actor = guard.the_core(), guard.the_actor()
    if not tried.issue_tags or not may(actor, "offers:read"):
        return []
    trouble = Trouble(
        issue_tag=tried.issue_tags[0],
        severity=tried.severity,
        customer=CustomerGiven(segment=tried.segment),
        location=tried.location,
        order_ref=tried.order_ref,
    )
    try:
        found = offer_incentives(core=core, actor=actor, command=trouble)
    except Refusal:
        return []
    return [
        {
            "title": each.title,
            "value": " ".join(part for part in words.worth(each.kind, each.amount, each.percent) if part),
            "state": "Default" if each.is_default else "" if each.offerable else "Not now",
        }
        for each in found.offers
    ]


def _rules(tried: Tried) -> list[dict[str, str]] | None:
    """Return the criteria that would hold; None for who may not read them."""
    core, actor = guard.the_core(), guard.the_actor()
    if not may(actor, "criteria:read") or tried.occurred_at is None:
        return None
    names = ("source", "kind", "event", "score_bp", "scale", "issue_tags", "comment", "segment", "location")
    supposed = criteria.Supposed(
        **{name: getattr(tried, name) for name in names},
        occurred_at=tried.occurred_at,
        severity=tried.severity,
        customer_value_minor=tried.customer_value_minor,
        currency=tried.currency,
    )
    found = criteria.would_fire(core=core, actor=actor, piece=supposed)
    return [{"key": each.key, "name": each.name, "mode": each.mode} for each in found]
