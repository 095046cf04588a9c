"""The audit trail on a page: who did what to which thing, when and why."""

import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import audit_words, forms, guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import show
from incentives.kernel.errors import InputInvalid
from incentives.queries.audit_search import AuditEvent, AuditWanted, search_audit

blueprint = Blueprint("staff_audit", __name__)

_SHOWN = 50
_LONGEST = {"actor": 200, "action": 60, "subject": 64, "from": 10, "until": 10}
_MEANS = {"session": "signed in", "api-key": "a program", "rule": "a rule", "system": "by itself"}


@blueprint.get("/finance/audit")
@page(permission="audit:read")
def trail() -> ResponseReturnValue:
    """Show what was done, the latest first."""
    core, actor = guard.the_core(), guard.the_actor()
    zone = pages.zone_of(actor) or "UTC"
    sent, events, refused, following = Form(request.args), [], None, None
    typed = {name: sent.shown(name) for name in _LONGEST}
    try:
        after = sent.cursor("after")
        found = search_audit(
            core=core, actor=actor, wanted=_wanted(sent, zone), limit=_SHOWN, after=after.hex if after else None
        )
        events = [_event(each, zone) for each in found.items]
        filters = {name: value for name, value in typed.items() if value}
        following = f"/finance/audit?{urlencode({**filters, 'after': found.next})}" if found.next else None
    except InputInvalid as refusal:
        refused = pages.refused(refusal, {name: f"find-{name}" for name in _LONGEST})
    return show(
        "audit.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        typed=typed,
        actions=audit_words.choices(typed["action"]),
        events=events,
        more=following,
    )


def _wanted(sent: Form, zone: str) -> AuditWanted:
    """Return what is looked for; both days are included, in the brand's zone. Raises ``InputInvalid``."""
    mistakes = forms.mistakes(
        *(lambda name=name, longest=longest: sent.text(name, longest) for name, longest in _LONGEST.items()),
        lambda: _day(sent, "from", zone, 0),
        lambda: _day(sent, "until", zone, 1),
    )
    if mistakes:
        errors = [{"field": name, "message": message} for name, message in mistakes.items()]
        raise InputInvalid(" ".join(mistakes.values()), errors=errors)
    text = {name: sent.text(name, _LONGEST[name]) or None for name in ("actor", "action", "subject")}
    return AuditWanted(**text, from_at=_day(sent, "from", zone, 0), to_at=_day(sent, "until", zone, 1))


def _day(sent: Form, name: str, zone: str, later: int) -> datetime | None:
    typed = sent.shown(name)
    if not typed:
        return None
    try:
        day = date.fromisoformat(typed) + timedelta(days=later)
        return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)
    except (OverflowError, ValueError):
        raise forms.wrong(name, "Choose a day.") from None


def _event(each: AuditEvent, zone: str) -> dict[str, Any]:
    behalf = f", for {each.facts.get('on_behalf_of_name', each.on_behalf_of)}" if each.on_behalf_of else ""
    facts = [(words.in_words(name), _said(value)) for name, value in sorted(each.facts.items())]
    request_id = each.request_id[:12] if each.request_id else ""
    known = (("Request", request_id), ("Address", each.ip or ""), ("Number", each.subject_id))
    return {
        "action": each.action,
        "what": audit_words.said(each.action),
        "at": words.instant(each.at, zone),
        "who": f"{each.actor_name}{behalf}, {_MEANS.get(each.means, each.means)}",
        "about": _about(each),
        "reason": each.reason or "",
        "facts": [(name, said) for name, said in (*facts, *known) if said],
    }


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_said(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(each) for each in value)
    return "" if value is None else str(value)


def _about(each: AuditEvent) -> dict[str, str] | None:
    """Return where what it was done to can be looked at."""
    voucher_id = each.subject_id if each.subject_kind == "voucher" else each.facts.get("voucher_id")
    if isinstance(voucher_id, str) and _is_id(voucher_id):
        return {"href": f"/vouchers/{voucher_id}", "word": "The voucher"}
    return {"href": f"/cases/{each.case_id}", "word": "The case"} if each.case_id else None


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
