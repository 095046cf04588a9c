"""Incidents: one trouble of many customers, its cases, and whom we told of our own accord before they asked."""

import uuid
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from admin import bulk, guard, pages, words
from admin.forms import NAME_LONGEST, TEXT_LONGEST, Form, wrong
from admin.guard import page
from admin.pages import show
from incentives.flows.incidents import OpenIncident, attach_cases, close_incident, open_incident
from incentives.flows.work_case import Apologize, apologize_to
from incentives.kernel.actors import may
from incentives.kernel.errors import CaseClosed, ChannelWithoutAddress, IncidentAlreadyOpen, NoCatalog, Refusal
from incentives.queries import catalog, incidents
from incentives.queries.bulk import list_jobs
from incentives.queries.incidents import Incident, Outreach

blueprint = Blueprint("staff_incidents", __name__)

_READ, _MANAGE = "cases:read", "incidents:manage"
_KEY_LONGEST = 64
_TELL_MOST = 50
_BULK = "bulk:create"
_LISTS_MOST = 10
_FIELDS = {
    "title": "title",
    "issue_tag": "issue_tag",
    "location": "location",
    "started_at": "started",
    "words": "words",
}
_CHANNELS = {
    "email": "email",
    "sms": "SMS",
    "phone": "phone",
    "in_person": "in person",
    "chat": "chat",
    "letter": "letter",
}


@blueprint.get("/incidents")
@page(permission=_READ)
def list_them() -> ResponseReturnValue:
    """Show the incidents, the newest first."""
    return _list()


@blueprint.post("/incidents")
@page(permission=_MANAGE)
def begin() -> ResponseReturnValue:
    """Open an incident and gather its cases; one that is open already is shown instead."""
    core, actor, form = guard.the_core(), guard.the_actor(), Form(request.form)
    try:
        command = OpenIncident(
            issue_tag=form.text("issue_tag", _KEY_LONGEST),
            location=form.text("location", _KEY_LONGEST) or None,
            title=form.text("title", NAME_LONGEST),
            started_at=_started(form),
        )
        opened = open_incident(core=core, actor=actor, command=command)
    except IncidentAlreadyOpen as refusal:
        return redirect(f"/incidents/{refusal.facts['incident_id']}", 303)
    except Refusal as refusal:
        return _list(refusal, form)
    return redirect(f"/incidents/{opened.id}", 303)


@blueprint.get("/incidents/<uuid:incident_id>")
@page(permission=_READ)
def one(incident_id: uuid.UUID) -> ResponseReturnValue:
    """Show an incident and the log of whom we told."""
    return _one(incident_id)


@blueprint.post("/incidents/<uuid:incident_id>/attach")
@page(permission=_MANAGE)
def attach(incident_id: uuid.UUID) -> ResponseReturnValue:
    """Gather the open cases that came in since."""
    number = attach_cases(core=guard.the_core(), actor=guard.the_actor(), incident_id=incident_id)
    return redirect(f"/incidents/{incident_id}?attached={number}", 303)


@blueprint.post("/incidents/<uuid:incident_id>/close")
@page(permission=_MANAGE)
def close(incident_id: uuid.UUID) -> ResponseReturnValue:
    """End an incident."""
    close_incident(core=guard.the_core(), actor=guard.the_actor(), incident_id=incident_id)
    return redirect(f"/incidents/{incident_id}", 303)


@blueprint.post("/incidents/<uuid:incident_id>/tell")
@page(permission=_MANAGE)
def tell(incident_id: uuid.UUID) -> ResponseReturnValue:
    """Tell customers who were not told yet, fifty at a time: by email, else by SMS. Each is told once by it."""
    core, actor, form = guard.the_core(), guard.the_actor(), Form(request.form)
    try:
        said = form.lines("words", TEXT_LONGEST)
        if not said:
            raise wrong("words", "Write what they should know.")
        waiting = incidents.untold(core=core, actor=actor, incident_id=incident_id, limit=_TELL_MOST)
    except Refusal as refusal:
        return _one(incident_id, refusal, form)
    told = sum(_told(incident_id, case_id, said) for case_id in waiting)
    return redirect(f"/incidents/{incident_id}?told={told}&unreached={len(waiting) - told}", 303)


def _told(incident_id: uuid.UUID, case_id: uuid.UUID, said: str) -> bool:
    for channel in ("email", "sms"):
        command = Apologize(
            case_id=case_id, channel=channel, words=said, idempotency_key=f"incident-{incident_id}-{case_id}-{channel}"
        )
        try:
            apologize_to(core=guard.the_core(), actor=guard.the_actor(), command=command)
        except ChannelWithoutAddress:
            continue
        except CaseClosed:
            return False
        return True
    return False


def _started(form: Form) -> datetime:
    """Return the beginning of the day that was typed, in the place's zone."""
    typed = form.text("started", _KEY_LONGEST)
    try:
        at = datetime.fromisoformat(typed)
    except ValueError:
        raise wrong("started_at", "Choose the day on which it began.") from None
    zone = pages.zone_of(guard.the_actor(), form.shown("location") or None)
    return datetime.combine(at.date(), time.min, ZoneInfo(zone or "UTC"))


def _list(refusal: Refusal | None = None, form: Form | None = None) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal, _FIELDS) if refusal else None
    found = incidents.list_incidents(core=core, actor=actor, after=request.args.get("after"))
    typed = {name: form.shown(name) if form else "" for name in ("title", "issue_tag", "location", "started")}
    return show(
        "incidents.html",
        refused.status if refused else 200,
        incidents=[_row(each) for each in found.items],
        more=f"/incidents?after={found.next}" if found.next else None,
        may_manage=may(actor, _MANAGE),
        tags=_tags(),
        places=[("", "Everywhere"), *pages.location_names(actor).items()],
        typed=typed,
        may_give=may(actor, _BULK),
        today=core.clock.now().date().isoformat(),
        refused=refused,
        errors=refused.errors if refused else {},
    )


def _one(incident_id: uuid.UUID, refusal: Refusal | None = None, form: Form | None = None) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal, _FIELDS) if refusal else None
    found = incidents.one_incident(core=core, actor=actor, incident_id=incident_id)
    zone = pages.zone_of(actor, found.incident.location)
    waiting = sum(each.told_at is None and each.status == "open" for each in found.log)
    return show(
        "incident.html",
        refused.status if refused else 200,
        incident=_row(found.incident)
        | {"started": words.instant(found.incident.started_at, zone), "by": found.incident.opened_by_name},
        log=[_outreach(each, zone) for each in found.log],
        waiting=waiting,
        may_manage=may(actor, _MANAGE) and found.incident.closed_at is None,
        typed=form.shown_lines("words") if form else "",
        lists=_lists(incident_id),
        upload=_upload(found.incident),
        done=_done(),
        refused=refused,
        errors=refused.errors if refused else {},
    )


def _lists(incident_id: uuid.UUID) -> list[dict[str, Any]]:
    """Return the lists by which something is given for an incident, the newest first."""
    core, actor = guard.the_core(), guard.the_actor()
    if not may(actor, _BULK):
        return []
    found = list_jobs(core=core, actor=actor, incident_id=incident_id, limit=_LISTS_MOST)
    return [bulk.row_of(each) for each in found.items]


def _upload(incident: Incident) -> dict[str, Any] | None:
    """Return what the form needs in which such a list is sent up; None for who may not, or when it is over."""
    actor = guard.the_actor()
    if incident.closed_at is not None or not (may(actor, _BULK) and may(actor, _MANAGE)):
        return None
    return bulk.upload_of(incident_id=str(incident.id))


def _done() -> str:
    form = Form(request.args)
    attached, told, unreached = (form.shown(name) for name in ("attached", "told", "unreached"))
    if attached.isdecimal():
        return f"{words.counted(int(attached[:6]), 'case was', 'cases were')} attached."
    if not told.isdecimal():
        return ""
    missed = (
        f" {int(unreached[:6])} could not be reached by email or SMS."
        if unreached.isdecimal() and int(unreached[:6])
        else ""
    )
    return f"{words.counted(int(told[:6]), 'customer is', 'customers are')} being told.{missed}"


def _row(each: Incident) -> dict[str, Any]:
    actor = guard.the_actor()
    now = guard.the_core().clock.now()
    place = pages.location_name(actor, each.location) if each.location else "everywhere"
    tag = dict(_tags()).get(each.issue_tag, each.issue_tag)
    return {
        "id": each.id,
        "href": f"/incidents/{each.id}",
        "title": each.title,
        "what": f"{tag}, {place}, opened {words.ago(each.opened_at, now)}",
        "open": each.closed_at is None,
        "cases": each.cases,
        "told": each.told,
        "answered": each.answered,
        "recovered": each.recovered,
    }


def _outreach(each: Outreach, zone: str | None) -> dict[str, Any]:
    return {
        "href": f"/cases/{each.case_id}",
        "title": dict(_tags()).get(each.issue_tag, each.issue_tag),
        "opened": words.instant(each.opened_at, zone),
        "told": f"{words.instant(each.told_at, zone)}, {_CHANNELS.get(each.channel or '', each.channel)}"
        if each.told_at
        else "Not yet",
        "answered": words.instant(each.answered_at, zone) if each.answered_at else "–",
        "recovered": {True: "Yes", False: "No", None: "–"}[each.recovered],
    }


def _tags() -> list[tuple[str, str]]:
    try:
        rows = catalog.issue_tags(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        return []
    return [(each.key, pages.english(each.label)) for each in rows]
