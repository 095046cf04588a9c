"""Reviews: what signals of abuse held back or refused, and the decision, which is never that of whoever caused it."""

import uuid
from typing import Any

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.forms import NOTE_LONGEST, Form
from admin.guard import page
from admin.pages import show
from admin.safeguards import tabs
from incentives.flows.review import DecideReview, decide_review
from incentives.kernel.actors import may
from incentives.kernel.errors import Refusal, ReviewAlreadyDecided, ReviewNotFound
from incentives.queries import reviews
from incentives.queries.reviews import Precision, Review

blueprint = Blueprint("staff_reviews", __name__)

_READ, _DECIDE = "reviews:read", "reviews:decide"
_PAST_SHOWN = 20
_HELD = "hold"
KINDS = {
    "issuance": "An issuance",
    "redemption": "A redemption",
    "actor": "Somebody of the staff",
    "unknown_codes": "Unknown codes",
    "break_glass": "A budget was passed in an emergency",
}
_MEANWHILE = {
    "hold": ("warn", "Held back", "The voucher is frozen and nothing is sent until you decide."),
    "block": ("bad", "Refused", "Nothing was given or redeemed. Say whether the signal was right."),
    "step_up": ("news", "Handed on", "Somebody who leads had to do it."),
    "allow": ("news", "Allowed", "It went through; somebody should know."),
}
_STATUSES = {
    "released": ("good", "Released", "check"),
    "blocked": ("bad", "Blocked", "cross"),
    "noted": ("news", "Noted", "info"),
}
_DONE = {
    "released": "Released. What was held is good now, and the customer is told.",
    "blocked": "Blocked. What was held is taken back, and its budgets are free again.",
    "noted": "Noted.",
}


@blueprint.get("/safeguards/reviews")
@page(permission=_READ)
def queue() -> ResponseReturnValue:
    """Show what waits, what is due first first."""
    return _queue()


@blueprint.post("/safeguards/reviews/<uuid:review_id>/decision")
@page(permission=_DECIDE)
def decide(review_id: uuid.UUID) -> ResponseReturnValue:
    """Release, block or note, once; a refusal shows the queue again with what was typed."""
    core, actor, form = guard.the_core(), guard.the_actor(), Form(request.form)
    try:
        command = DecideReview(
            review_id=review_id,
            decision=form.text("decision", NOTE_LONGEST),
            note=form.text("note", NOTE_LONGEST) or None,
            idempotency_key=form.key("idempotency_key", core.clock.now()),
        )
        done = decide_review(core=core, actor=actor, command=command)
    except (ReviewAlreadyDecided, ReviewNotFound) as refusal:
        return _queue(refusal)
    except Refusal as refusal:
        return _queue(refusal, form, review_id)
    return redirect(f"/safeguards/reviews?done={done.status}", 303)


def _queue(
    refusal: Refusal | None = None, form: Form | None = None, typed_for: uuid.UUID | None = None
) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    fields = {"note": f"note-{typed_for}", "decision": f"note-{typed_for}"} if typed_for else {}
    refused = pages.refused(refusal, fields) if refusal else None
    typed = {typed_for: form.shown("note")} if form and typed_for else {}
    waiting = reviews.waiting_reviews(core=core, actor=actor)
    past = [each for status in _STATUSES for each in _past(status)]
    held = reviews.held_money(core=core, actor=actor)
    return show(
        "reviews.html",
        refused.status if refused else 200,
        tabs=tabs(actor, "/safeguards/reviews"),
        reviews=[_row(each) | {"typed": typed.get(each.id, "")} for each in waiting],
        held=[{"money": words.money(each.amount), "count": each.count} for each in held],
        past=[_past_row(each) for each in sorted(past, key=_decided_at, reverse=True)[:_PAST_SHOWN]],
        precision=[_precision(each) for each in reviews.precision(core=core, actor=actor)],
        done=_DONE.get(request.args.get("done", "")),
        refused=refused,
        errors=refused.errors if refused else {},
    )


def _past(status: str) -> list[Review]:
    found = reviews.list_reviews(core=guard.the_core(), actor=guard.the_actor(), status=status, limit=_PAST_SHOWN)
    return list(found.items)


def _decided_at(each: Review) -> Any:
    return each.decided_at


def _row(each: Review) -> dict[str, Any]:
    core, actor = guard.the_core(), guard.the_actor()
    now = core.clock.now()
    tone, word, meanwhile = _MEANWHILE[each.action]
    place = pages.location_name(actor, each.location) if each.location else None
    return {
        "id": each.id,
        "title": KINDS[each.kind],
        "who": each.actor_name,
        "signals": [_signal(signal) for signal in each.signals],
        "tone": tone,
        "word": word,
        "meanwhile": meanwhile,
        "value": words.money(each.amount) if each.amount else "",
        "place": place,
        "since": words.ago(each.opened_at, now),
        "due": words.ago(each.due_at, now),
        "late": each.late,
        "case": f"/cases/{each.case_id}" if each.case_id and may(actor, "cases:read") else "",
        "holds": each.action == _HELD,
        "may_decide": may(actor, _DECIDE) and not each.own,
        "own": each.own,
        "idempotency_key": core.ids.new(now),
    }


def _signal(signal: Any) -> str:
    """Return a signal in words, with what was counted where it counts."""
    count, minutes = signal.get("count", 0), signal.get("minutes", 0)
    if not minutes or count < 2:  # noqa: PLR2004 - once is not counted
        return f"{words.in_words(signal['words'])}."
    return f"{words.in_words(signal['words'])}: {count:,} within {_minutes(minutes)}."


def _minutes(minutes: int) -> str:
    for size, one, many in ((24 * 60, "day", "days"), (60, "hour", "hours")):
        if minutes % size == 0:
            return words.counted(minutes // size, one, many)
    return words.counted(minutes, "minute", "minutes")


def _past_row(each: Review) -> dict[str, Any]:
    tone, word, sign = _STATUSES[each.status]
    now = guard.the_core().clock.now()
    return {
        "title": f"{KINDS[each.kind]} by {each.actor_name}",
        "what": f"{each.decided_by_name}, {words.ago(each.decided_at or now, now)}",
        "note": each.note or "",
        "tone": tone,
        "word": word,
        "sign": sign,
        "case": f"/cases/{each.case_id}" if each.case_id else "",
    }


def _precision(each: Precision) -> dict[str, Any]:
    return {
        "signal": words.in_words(each.signal),
        "open": each.open,
        "released": each.released,
        "blocked": each.blocked,
        "percent": "–" if each.percent is None else f"{each.percent} %",
    }
