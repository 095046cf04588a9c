"""Lists: whom signals pass by, who is refused, and who is looked at. Values are known by hints only."""

import uuid
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.forms import NOTE_LONGEST, Form, wrong
from admin.guard import page
from admin.pages import show
from admin.safeguards import tabs
from incentives.flows.listing import COLUMNS, Imported, ListValue, add_listed, import_listed, remove_listed
from incentives.kernel.errors import InputInvalid, Refusal
from incentives.kernel.years import OUTSIDE, within_years
from incentives.queries import listed
from incentives.queries.listed import ListedValue

blueprint = Blueprint("staff_lists", __name__)

_MANAGE = "lists:manage"
_VALUE_LONGEST = 320
_DATE_LONGEST = 10
_MISTAKES_SHOWN = 20
LISTS = (("review", "Looked at"), ("deny", "Refused"), ("allow", "Trusted"))
KINDS = (
    ("email", "Email address"),
    ("email_domain", "All addresses of a domain"),
    ("phone", "Phone number"),
    ("external_ref", "Customer reference"),
    ("actor", "Person or key of the staff"),
    ("ip_block", "Network"),
)
_FIELDS = {name: name for name in ("list", "kind", "value", "reason", "expires_at", "file")}


@blueprint.get("/safeguards/lists")
@page(permission=_MANAGE)
def entries() -> ResponseReturnValue:
    """Show the entries, the newest first."""
    return _entries()


@blueprint.post("/safeguards/lists")
@page(permission=_MANAGE)
def add() -> ResponseReturnValue:
    """Put a value on a list."""
    form = Form(request.form)
    try:
        command = ListValue(
            list=form.text("list", NOTE_LONGEST),
            kind=form.text("kind", NOTE_LONGEST),
            value=form.text("value", _VALUE_LONGEST),
            reason=form.text("reason", NOTE_LONGEST),
            expires_at=_ends(form),
        )
        add_listed(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except Refusal as refusal:
        return _entries(refusal, form)
    return redirect("/safeguards/lists?done=added", 303)


@blueprint.post("/safeguards/lists/import")
@page(permission=_MANAGE)
def take_file() -> ResponseReturnValue:
    """Put a file's values on a list, or show what is wrong with its lines."""
    form, sent = Form(request.form), request.files.get("file")
    try:
        text = _text_of(sent.read() if sent else b"")
        done = import_listed(
            core=guard.the_core(), actor=guard.the_actor(), list_name=form.text("list", NOTE_LONGEST), text=text
        )
    except Refusal as refusal:
        return _entries(refusal)
    if done.mistakes:
        return _entries(imported=done)
    return redirect(f"/safeguards/lists?added={done.added}&known={done.known}", 303)


@blueprint.post("/safeguards/lists/<uuid:listed_id>/remove")
@page(permission=_MANAGE)
def remove(listed_id: uuid.UUID) -> ResponseReturnValue:
    """Take an entry off its list."""
    try:
        reason = Form(request.form).text("reason", NOTE_LONGEST)
        remove_listed(core=guard.the_core(), actor=guard.the_actor(), listed_id=listed_id, reason=reason)
    except InputInvalid as refusal:
        return _entries(refusal)
    return redirect("/safeguards/lists?done=removed", 303)


def _text_of(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise wrong("file", "Save the file as CSV in UTF-8.") from None


def _ends(form: Form) -> datetime | None:
    """Return the end of the day that was typed, in the brand's zone; None for an entry without an end."""
    typed = form.text("expires_at", _DATE_LONGEST)
    if not typed:
        return None
    try:
        day = datetime.fromisoformat(typed).date()
    except ValueError:
        raise wrong("expires_at", "Choose a day, or leave it empty.") from None
    if not within_years(day):
        raise wrong("expires_at", OUTSIDE)
    zone = ZoneInfo(pages.zone_of(guard.the_actor()) or "UTC")
    return datetime.combine(day + timedelta(days=1), time.min, zone)


def _entries(
    refusal: Refusal | None = None, form: Form | None = None, imported: Imported | None = None
) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal, _FIELDS) if refusal else None
    if refused and refused.errors:
        # A refused address speaks to whoever has the customer before them; here there is only the field.
        refused = replace(refused, next_step="Correct what is named, and add it again.")
    chosen = request.args.get("list")
    shown = chosen if chosen in dict(LISTS) else None
    found = listed.list_listed(core=core, actor=actor, list_name=shown, after=request.args.get("after"))
    query = f"list={shown}&" if shown else ""
    typed = {name: form.shown(name) if form else "" for name in _FIELDS}
    return show(
        "safeguards_lists.html",
        refused.status if refused else (422 if imported else 200),
        tabs=tabs(actor, "/safeguards/lists"),
        entries=[_row(each) for each in found.items],
        more=f"/safeguards/lists?{query}after={found.next}" if found.next else None,
        views=[{"href": "/safeguards/lists", "word": "All", "current": shown is None}]
        + [{"href": f"/safeguards/lists?list={key}", "word": word, "current": shown == key} for key, word in LISTS],
        lists=LISTS,
        kinds=KINDS,
        columns=", ".join(COLUMNS),
        typed=typed,
        mistakes=_mistakes(imported),
        done=_done(),
        refused=refused,
        errors=refused.errors if refused else {},
    )


def _mistakes(imported: Imported | None) -> list[str]:
    if imported is None:
        return []
    return [f"Line {each['line']}: {each['message']}" for each in imported.mistakes[:_MISTAKES_SHOWN]]


def _done() -> str:
    form = Form(request.args)
    added, known = form.shown("added"), form.shown("known")
    if added.isdecimal() and known.isdecimal():
        before = f", {int(known[:6]):,} stood there before" if int(known[:6]) else ""
        return f"{words.counted(int(added[:6]), 'entry was', 'entries were')} added{before}."
    said = {"added": "It stands on the list from now on.", "removed": "It was taken off."}
    return said.get(form.shown("done"), "")


def _row(each: ListedValue) -> dict[str, Any]:
    now = guard.the_core().clock.now()
    ends = f", until {words.instant(each.expires_at, pages.zone_of(guard.the_actor()))}" if each.expires_at else ""
    return {
        "id": each.id,
        "hint": each.hint,
        "list": dict(LISTS)[each.list],
        "tone": {"deny": "bad", "allow": "good", "review": "warn"}[each.list],
        "what": f"{dict(KINDS)[each.kind]}, by {each.added_by_name} {words.ago(each.added_at, now)}{ends}",
        "reason": each.reason,
        "stands": each.stands,
    }
