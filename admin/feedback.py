"""Feedback: what comes in, as it comes; one piece with all that is known of it; what nobody could place."""

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import feedback_words as said
from admin import guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.mend import name_trouble
from incentives.flows.respond import respond_to
from incentives.kernel.actors import may
from incentives.kernel.errors import Refusal
from incentives.queries import feedback
from incentives.queries.feedback import PieceWithStory

blueprint = Blueprint("staff_feedback", __name__)

_READ = "feedback:read"
_SHOWN = 30
_DAYS = 7
_KEY_LONGEST = 64
_VIEWS = (("", "All"), ("trouble", "Without a tag"))
_DONE = {
    "reported": "Thank you. It was taken down.",
    "tagged": "It has its tag now, and the criteria looked at it.",
    "understood": "It is understood now.",
}
_STORY = {"what": "What happened", "who": "Who was involved", "when": "When", "differently": "What would have helped"}


@blueprint.get("/feedback")
@page(permission=_READ)
def feed() -> ResponseReturnValue:
    """Show what came in, the newest first; the page asks for news by itself."""
    core, actor = guard.the_core(), guard.the_actor()
    cursor, view = Form(request.args).cursor("after"), request.args.get("view", "")
    after = cursor.hex if cursor else None
    found = feedback.list_feedback(core=core, actor=actor, limit=_SHOWN, after=after, untagged=view == "trouble")
    names, places = said.labels(), pages.location_names(actor)
    more = urlencode({name: text for name, text in (("view", view), ("after", found.next)) if text})
    return show(
        "feedback.html",
        pieces=[said.row(each, names, places) for each in found.items],
        after=after,
        more=f"/feedback?{more}" if found.next else None,
        views=[
            {"href": f"/feedback?view={key}" if key else "/feedback", "word": word, "current": key == view}
            for key, word in _VIEWS
        ],
        view=view,
        waiting=feedback.count_waiting(core=core, actor=actor),
        done=_DONE.get(request.args.get("done", "")),
        **_doors(),
    )


def _doors() -> dict[str, bool]:
    """Return where this person may go from here."""
    actor = guard.the_actor()
    return {
        "may_report": may(actor, "feedback:create"),
        "may_repair": may(actor, "feedback:repair"),
        "may_forms": may(actor, "forms:manage"),
    }


@blueprint.get("/feedback/<uuid:feedback_id>")
@page(permission=_READ)
def one(feedback_id: uuid.UUID) -> ResponseReturnValue:
    """Show one piece with its earlier versions and the criteria that held."""
    return _one(feedback_id)


@blueprint.post("/feedback/<uuid:feedback_id>/tag")
@page(permission="feedback:repair")
def tag(feedback_id: uuid.UUID) -> ResponseReturnValue:
    """Say what a piece without a tag is about; the criteria look at it again."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        key = Form(request.form).text("issue_tag", _KEY_LONGEST)
        tagged = name_trouble(core=core, actor=actor, feedback_id=feedback_id, issue_tag=key)
    except Refusal as refusal:
        return pages.with_wait(_one(feedback_id, pages.refused(refusal, {"issue_tag": "issue_tag"})), refusal)
    if tagged.act_now:
        respond_to(core=core, feedback_ids=[tagged.id])
    return redirect(f"/feedback/{feedback_id}?done=tagged", 303)


def _one(feedback_id: uuid.UUID, refused: Refused | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    found = feedback.one_feedback(core=core, actor=actor, feedback_id=feedback_id)
    each, names, places = found.piece, said.labels(), pages.location_names(actor)
    untagged = (each.issue_tag is None or each.status == "waiting") and each.case_id is None
    return show(
        "feedback_piece.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        piece=said.row(each, names, places)
        | {"id": each.id, "reason": each.reason, "case_id": each.case_id, "facts": _facts(found, names, places)},
        story=[(title, found.story[name]) for name, title in _STORY.items() if found.story.get(name)],
        versions=_versions(found),
        unmapped=[(said.FIELDS.get(name, name), value) for name, value in found.unmapped],
        firings=[(each.criterion, words.in_words(each.outcome)) for each in found.firings],
        tags=said.tag_choices() if untagged and may(actor, "feedback:repair") else [],
        done=_DONE.get(request.args.get("done", "")),
    )


def _facts(found: PieceWithStory, names: Mapping[str, str], places: Mapping[str, str]) -> list[tuple[str, str]]:
    each, zone = found.piece, pages.zone_of(guard.the_actor(), found.piece.location)
    tagged = said.TAGGED_BY.get(each.tagged_by or "", "")
    tags = ", ".join(names.get(key, key) for key in found.issue_tags)
    facts = (
        ("Issue tag", f"{tags} ({tagged})" if tags else None),
        ("Customer", found.customer_name),
        ("Location", places.get(each.location or "", each.location)),
        ("Order", each.order_ref),
        ("Served by", each.agent),
        ("Product", each.product),
        ("Severity", words.SEVERITIES.get(each.severity or 0)),
        ("Happened", words.instant(each.occurred_at, zone)),
        ("Came in", words.instant(each.received_at, zone)),
        ("Source", f"{each.source}, {each.external_id}"),
        ("Ticked", ", ".join(map(str, found.choices)) if found.choices else None),
    )
    return [(name, value) for name, value in facts if value]


def _versions(found: PieceWithStory) -> list[dict[str, Any]]:
    zone = pages.zone_of(guard.the_actor(), found.piece.location)
    return [
        {
            "score": said.score(each.score, found.piece.scale),
            "tone": said.tone(each.score_percent),
            "comment": each.comment,
            "at": words.instant(each.at, zone),
        }
        for each in found.versions
    ]


@blueprint.get("/feedback/unmapped")
@page(permission=_READ)
def unmapped() -> ResponseReturnValue:
    """Show what sources said this week that nothing in the catalog is named by."""
    core, actor = guard.the_core(), guard.the_actor()
    found = feedback.unmapped_values(core=core, actor=actor, days=_DAYS)
    now = core.clock.now()
    rows = [
        {
            "source": each.source,
            "field": said.FIELDS.get(each.field, each.field).capitalize(),
            "value": each.value,
            "count": each.count,
            "last": words.ago(each.last_at, now),
        }
        for each in found
    ]
    return show("feedback_unmapped.html", rows=rows)
