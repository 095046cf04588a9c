"""Unreachable: the addresses that nothing is sent to, known by hints, and how one is sent to again.

What was to be told and was found without a message stands beside them: there, too, a customer heard nothing.
"""

import uuid
from typing import Any

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.forms import NOTE_LONGEST, Form
from admin.guard import page
from admin.pages import show
from admin.safeguards import tabs
from incentives.flows.suppressions import LiftSuppression, lift_suppression
from incentives.kernel.errors import Refusal
from incentives.queries.stranded import Found, list_found
from incentives.queries.suppressed import SuppressedContact, list_suppressed

blueprint = Blueprint("staff_suppressions", __name__)

_MANAGE = "suppressions:manage"
_PATH = "/safeguards/unreachable"
CHANNELS = (("email", "Email"), ("sms", "SMS"))
_TOLD_BY = {
    "sendgrid": "SendGrid",
    "twilio": "Twilio",
    "twilio-2": "the second Twilio account",
    "smtp": "the mail server",
}
REASONS = {
    "blocked": ("warn", "A message was refused lately"),
    "invalid": ("bad", "Nobody can be reached there"),
    "bounced": ("bad", "The last message came back"),
    "complained": ("bad", "Reported as unwanted"),
    "unsubscribed": ("bad", "Asked for no more messages"),
}
# What became of a message that the sweep found missing, or held by a lease that would never end.
STRANDED = {
    "queued": ("warn", "It was missing, and goes out late"),
    "failed": ("bad", "It was missing, and does not go out by itself"),
    "withdrawn": ("news", "It was missing, and does not go out any more"),
    "freed": ("warn", "It was held for ever, and is sent once more"),
}


@blueprint.get(_PATH)
@page(permission=_MANAGE)
def entries() -> ResponseReturnValue:
    """Show what stands now, the newest first."""
    return _entries()


@blueprint.post(f"{_PATH}/<uuid:suppression_id>/lift")
@page(permission=_MANAGE)
def lift(suppression_id: uuid.UUID) -> ResponseReturnValue:
    """Let an address be sent to again."""
    try:
        command = LiftSuppression(id=suppression_id, reason=Form(request.form).text("reason", NOTE_LONGEST))
        lift_suppression(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except Refusal as refusal:
        return _entries(refusal, suppression_id)
    return redirect(f"{_PATH}?done=lifted", 303)


def _entries(refusal: Refusal | None = None, tried: uuid.UUID | None = None) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal, {"reason": f"reason-{tried}"}) if refusal else None
    chosen = request.args.get("channel")
    shown = chosen if chosen in dict(CHANNELS) else None
    found = list_suppressed(core=core, actor=actor, channel=shown, after=request.args.get("after"))
    query = f"channel={shown}&" if shown else ""
    return show(
        "suppressions.html",
        refused.status if refused else 200,
        tabs=tabs(actor, _PATH),
        entries=[_row(each) for each in found.items],
        stranded=[_stranded(each) for each in list_found(core=core, actor=actor)],
        more=f"{_PATH}?{query}after={found.next}" if found.next else None,
        views=[{"href": _PATH, "word": "All", "current": shown is None}]
        + [{"href": f"{_PATH}?channel={key}", "word": word, "current": shown == key} for key, word in CHANNELS],
        done="From now on it is sent to again." if request.args.get("done") == "lifted" else "",
        tried=tried,
        refused=refused,
    )


def _row(each: SuppressedContact) -> dict[str, Any]:
    zone, now = pages.zone_of(guard.the_actor()), guard.the_core().clock.now()
    ends = f"until {words.instant(each.ends_at, zone)}" if each.ends_at else "until somebody lifts it"
    code = f" ({each.code})" if each.code else ""
    whose = f" The address is {each.staff_name}’s, of the staff." if each.staff_name else ""
    tone, reason = REASONS[each.reason]
    return {
        "id": each.id,
        "hint": each.hint,
        "tone": tone,
        "reason": reason,
        "channel": dict(CHANNELS)[each.channel],
        "what": f"Told by {_TOLD_BY.get(each.source, each.source)}{code} {words.ago(each.since, now)}, {ends}.{whose}",
    }


def _stranded(each: Found) -> dict[str, Any]:
    tone, what = STRANDED[each.status]
    return {
        "tone": tone,
        "what": what,
        "why": each.reason or "",
        "channel": dict(CHANNELS)[each.channel],
        "at": words.ago(each.at, guard.the_core().clock.now()),
        "href": f"/vouchers/{each.voucher_id}" if each.voucher_id else None,
    }
