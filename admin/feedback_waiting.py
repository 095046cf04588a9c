"""The waiting queue: what nobody could understand, kept as it came, for a person to mend or to set aside."""

import uuid
from typing import Any

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import feedback_words as said
from admin import guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.mend import WHY_IGNORED, ignore
from incentives.flows.respond import respond_to
from incentives.flows.take_in import SCALES, Mending, replay
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.queries import feedback
from incentives.queries.feedback import WaitingPiece

blueprint = Blueprint("staff_feedback_waiting", __name__)

_REPAIR = "feedback:repair"
_SHOWN = 20
_SCORE_LONGEST = 20
_KEY_LONGEST = 64
_DONE = {
    "understood": "It is understood now, and is no longer here.",
    "still": "It was tried again, and still cannot be understood. The reason stands with it.",
    "ignored": "It was set aside. It stays kept.",
}
_WHY = {
    "duplicate": "It came twice",
    "spam": "It is spam",
    "test": "It was only a test",
    "not-ours": "It is not about us",
    "unusable": "Nothing can be done with it",
}


@blueprint.get("/feedback/waiting")
@page(permission=_REPAIR)
def queue() -> ResponseReturnValue:
    """Show what waits, the newest first."""
    return _queue()


@blueprint.post("/feedback/waiting/<uuid:inbox_id>/replay")
@page(permission=_REPAIR)
def try_again(inbox_id: uuid.UUID) -> ResponseReturnValue:
    """Try to understand a piece once more: a mapping may have been mended since."""
    return _replay(inbox_id, lambda: None)


@blueprint.post("/feedback/waiting/<uuid:inbox_id>/mend")
@page(permission=_REPAIR)
def mend(inbox_id: uuid.UUID) -> ResponseReturnValue:
    """Take a piece in with what a person says of it; whatever still cannot be used of it is left out."""
    return _replay(inbox_id, _mending)


@blueprint.post("/feedback/waiting/<uuid:inbox_id>/ignore")
@page(permission=_REPAIR)
def set_aside(inbox_id: uuid.UUID) -> ResponseReturnValue:
    """Set a piece aside, with the reason."""
    try:
        reason = Form(request.form).text("reason", _KEY_LONGEST)
        ignore(core=guard.the_core(), actor=guard.the_actor(), inbox_id=inbox_id, reason=reason)
    except Refusal as refusal:
        return _refused(refusal, inbox_id)
    return redirect("/feedback/waiting?done=ignored", 303)


def _mending() -> Mending:
    sent = Form(request.form)
    tag, score = sent.text("issue_tag", _KEY_LONGEST), sent.text("score", _SCORE_LONGEST)
    scale = sent.text("scale", _KEY_LONGEST)
    return Mending(
        issue_tags=(tag,) if tag else None,
        score=score or None,
        scale=scale if scale in SCALES and score else None,
        accept=True,
    )


def _replay(inbox_id: uuid.UUID, read: Any) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    try:
        taken = replay(core=core, actor=actor, inbox_id=inbox_id, mending=read())
    except Refusal as refusal:
        return _refused(refusal, inbox_id)
    if taken.id is not None and taken.act_now:
        respond_to(core=core, feedback_ids=[taken.id])
    return redirect(f"/feedback/waiting?done={'still' if taken.id is None else 'understood'}", 303)


def _refused(refusal: Refusal, inbox_id: uuid.UUID) -> Response:
    names = {name: f"{name}-{inbox_id}" for name in ("issue_tag", "score", "scale", "reason")}
    return pages.with_wait(_queue(pages.refused(refusal, names)), refusal)


def _queue(refused: Refused | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    cursor = Form(request.args).cursor("after")
    found = feedback.list_waiting(core=core, actor=actor, limit=_SHOWN, after=cursor.hex if cursor else None)
    untagged = feedback.list_feedback(core=core, actor=actor, limit=_SHOWN, status="waiting")
    names, places = said.labels(), pages.location_names(actor)
    return show(
        "feedback_waiting.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        waiting=[_row(core, actor, each) for each in found.items],
        untagged=[said.row(each, names, places) | {"reason": each.reason} for each in untagged.items],
        more=f"/feedback/waiting?after={found.next}" if found.next else None,
        tags=[("", "As it says itself"), *said.tag_choices()],
        scales=[("", "As it says itself"), *said.SCALES.items()],
        reasons=[(key, _WHY[key]) for key in WHY_IGNORED],
        done=_DONE.get(request.args.get("done", "")),
    )


def _row(core: Core, actor: Actor, each: WaitingPiece) -> dict[str, Any]:
    return {
        "id": each.id,
        "source": each.source,
        "since": words.ago(each.received_at, core.clock.now()),
        "at": words.instant(each.received_at, pages.zone_of(actor)),
        "reason": each.reason or "Nobody knows why.",
        "tries": words.counted(each.tries, "time", "times") if each.tries else "",
        "body": said.readable(each.body),
    }
