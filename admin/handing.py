"""Step 3 of the tablet: what the issuer shows the customer, and what happens while somebody else decides."""

import math
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from admin import approval_view, pages, words
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries import issuances, vouchers
from incentives.queries.approval_times import decision_times
from incentives.queries.issuances import ApprovalNow, Issuance
from incentives.queries.vouchers import Handover, HandoverDelivery

_ENDED = {
    "declined": ("Declined", "The request was declined", "Tell the customer, and choose something smaller."),
    "expired": (
        "Ended",
        "Nobody decided in time",
        "Nothing was given. Ask again, or choose something smaller.",
    ),
    "withdrawn": ("Withdrawn", "The request was taken back", "Nothing was given."),
}

_TOO = "The customer may also take a photo of this screen."
_SCREEN = "Turn the screen to the customer: a photo of it is enough."

# What is said of a voucher's messages, by how far the one has come that came farthest: the first here is the best.
_SENDING: Mapping[str, tuple[str, str]] = {
    "delivered": ("It has arrived.", _TOO),
    "sent": ("It was sent.", _TOO),
    "captured": ("It was captured on this machine, where nobody gets it.", _SCREEN),
    "sending": ("It is on its way.", _TOO),
    "queued": ("It is on its way.", _TOO),
    words.IN_DOUBT: ("It may have arrived, or not: ask the customer.", _SCREEN),
    "held": ("It is held for now, and not sent before the voucher can be used.", ""),
    "bounced": ("It came back, and was not delivered.", _SCREEN),
    "failed": ("It was not delivered.", _SCREEN),
    "suppressed": ("It could not be sent.", _SCREEN),
    "withdrawn": ("It is not sent any more.", _SCREEN),
}


def view(core: Core, actor: Actor, issuance_id: uuid.UUID) -> dict[str, Any]:
    """Return what the page of step 3 shows to the issuer. Raises ``IssuanceNotFound``."""
    found = vouchers.handover(core=core, actor=actor, issuance_id=issuance_id)
    asked = issuances.one_issuance(core=core, actor=actor, issuance_id=issuance_id)
    given = {
        "status": found.status,
        "state": f"{found.status} {found.voucher_status or ''}".strip(),
        "news": _news(found),
        "href": f"/staff/given/{issuance_id}",
        "issue_tag": asked.issue_tag,
        "case": f"/cases/{found.case_id}",
        "what": _what(found),
        "moving": found.status == "pending_approval" or any(each.status in words.MOVING for each in found.deliveries),
    }
    if found.status == "issued":
        return {
            "title": _TITLES.get(found.voucher_status or "", "Done"),
            "given": given | {"headline": _headline(found), "undo": _undo(core, asked, found)},
            "voucher": _voucher(found),
            "deliveries": [_delivery(each) for each in found.deliveries],
            "apology": found.apology,
        }
    zone = pages.zone_of(actor)
    if found.status == "pending_approval" and asked.approval:
        return {"title": "Waiting for approval", "given": given | _waiting(core, actor, asked.approval, zone)}
    word, headline, next_step = _ENDED.get(found.status, _ENDED["withdrawn"])
    ended = {
        "status_word": word,
        "headline": headline,
        "next_step": next_step,
        "comment": asked.approval.comment if asked.approval else None,
        "decided_by": asked.approval.decided_by_name if asked.approval else None,
    }
    return {"title": headline, "given": given | ended}


# What stands above an issuance whose voucher has come so far; one that gives none is simply done.
_TITLES = {
    "issued": "Done. Here is the voucher",
    "reserved": "Done. Here is the voucher",
    "redeemed": "The voucher is used",
    "voided": "The voucher is taken back",
    "expired": "The voucher is over",
    "replaced": "Another voucher took its place",
}


def _what(found: Handover) -> str:
    value = words.money(found.amount) if found.amount and found.kind in words.MONEY_KINDS else ""
    return ", ".join(part for part in (found.title, value) if part)


def _news(found: Handover) -> str:
    """Return where it stands in one line, which is read out whenever it changes."""
    if found.status == "pending_approval":
        return "Waiting for approval."
    if found.status in _ENDED:
        return f"{_ENDED[found.status][1]}."
    told = [
        f"{words.CHANNELS[each.channel][1]}: {words.delivery(each.status, each.reason)[2]}."
        for each in found.deliveries
    ]
    return " ".join(["The voucher is issued." if found.voucher_status else "The apology is recorded.", *told])


def _headline(found: Handover) -> str:
    if found.voucher_status not in (None, "issued"):
        return f"This voucher is {found.voucher_status} by now."
    if not found.voucher_status:
        return "Say it in your own words, and mean it."
    if not found.deliveries:
        return "Turn the screen to the customer. A photo of it is enough."
    best = min((words.delivered(each.status, each.reason) for each in found.deliveries), key=list(_SENDING).index)
    said, then = _SENDING[best]
    # What can be used no more, or is seen too late, shows no code to take a photo of.
    return f"{said} {then}".strip() if found.code else said


def _undo(core: Core, asked: Issuance, found: Handover) -> dict[str, Any] | None:
    """Return how long the issuer may still take it back; None where they cannot any more."""
    waits = found.voucher_status == "issued" or any(each.status == "queued" for each in found.deliveries)
    if asked.undo_until is None or not waits:
        return None
    seconds = math.ceil((asked.undo_until - core.clock.now()).total_seconds())
    return {"action": f"/staff/given/{found.issuance_id}/undo", "seconds": seconds}


def _voucher(found: Handover) -> dict[str, Any] | None:
    if not found.voucher_status or found.expires_at is None:
        return None
    value, note = words.worth(found.kind, found.amount, found.percent)
    return {
        "title": found.title,
        "value": value or found.title,
        "note": note if value else "",
        "code": found.code,
        # The path alone: the picture comes from this very site, whatever address it is reached by.
        "qr": f"{urlsplit(found.url).path}/qr.svg" if found.url else None,
        "expires": words.expiry(found.expires_at, found.time_zone),
        "where": ", ".join(found.where_to_use),
        "status": found.voucher_status,
    }


def _delivery(each: HandoverDelivery) -> dict[str, Any]:
    tone, sign, word = words.delivery(each.status, each.reason)
    icon, channel = words.CHANNELS[each.channel]
    return {
        "icon": icon,
        "word": channel,
        "tone": tone,
        "sign": sign,
        "status_word": word,
        "why": each.reason or "",
    }


def _waiting(core: Core, actor: Actor, approval: ApprovalNow, zone: str | None) -> dict[str, Any]:
    return {
        "approval_id": approval.id,
        "pace": approval_view.pace(decision_times(core=core, actor=actor)),
        "why": f"It is {words.over_limits(approval.reasons, 'your')}." if approval.reasons else "",
        "until": f"{words.instant(approval.expires_at, zone)} ({words.ago(approval.expires_at, core.clock.now())})",
    }
