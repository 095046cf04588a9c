"""Safety: the switches that stop giving and redeeming, and what each of them caught in flight."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from admin import finance_words, guard, pages, words
from admin.forms import NOTE_LONGEST, Form
from admin.guard import page
from admin.pages import show
from incentives.flows.switch import SetSwitch, lift_switch, set_switch
from incentives.kernel.actors import Actor, may
from incentives.kernel.errors import NoCatalog, Refusal, SwitchAlreadySet
from incentives.queries import catalog, reviews, switches
from incentives.queries.switches import CaughtItem, CaughtKind, Switch

blueprint = Blueprint("staff_safeguards", __name__)

_READ, _MANAGE = "switches:read", "switches:manage"
_SUBJECT_LONGEST = 320
_PAST_SHOWN = 20
_EVERYTHING = "organization"
_FIELDS = {"subject": "subject", "scope": "target", "stops": "stops", "reason": "reason"}
STOPS = (("issuing", "Giving"), ("redeeming", "Redeeming"))
SCOPES = {
    "organization": "Everything",
    "location": "Location",
    "incentive": "Incentive",
    "issue_tag": "Issue tag",
    "team": "Team",
    "person": "Person",
    "api_key": "API key",
    "source": "Feedback source",
}
_TYPED = (("person", "A person (type their email below)"),)
_TYPED_EVERYWHERE = (("source", "A feedback source (type its key below)"),)
_CAUGHT = {
    "requests": ("Requests that wait for approval", "No request waits within this scope."),
    "holds": ("Vouchers that tills hold right now", "No till holds a voucher of this scope."),
    "jobs": ("Bulk jobs that run", "No bulk job runs within this scope."),
    "messages": ("Messages that are not sent yet", "Nothing waits to be sent."),
    "given": ("Given in the minute before it was set", "Nothing was given just before."),
    "addresses": ("Sent to another address in that minute", "No address was changed just before."),
}


@blueprint.get("/safeguards")
@page(permission=_READ)
def board() -> ResponseReturnValue:
    """Show what is stopped, and what was."""
    return _board()


@blueprint.post("/safeguards")
@page(permission=_MANAGE)
def stop() -> ResponseReturnValue:
    """Stop something; what is stopped already is shown instead."""
    form = Form(request.form)
    try:
        scope, _, key = form.text("target", _SUBJECT_LONGEST).partition("|")
        command = SetSwitch(
            stops=form.text("stops", NOTE_LONGEST),
            scope=scope,
            subject=key or form.text("subject", _SUBJECT_LONGEST) or None,
            reason=form.text("reason", NOTE_LONGEST),
        )
        done = set_switch(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except SwitchAlreadySet as refusal:
        known = refusal.facts.get("switch_id")
        return redirect(f"/safeguards/switches/{known}?known=1" if known else "/safeguards", 303)
    except Refusal as refusal:
        return _board(refusal, form)
    return redirect(f"/safeguards/switches/{done.id}?done=set", 303)


@blueprint.get("/safeguards/switches/<uuid:switch_id>")
@page(permission=_READ)
def one(switch_id: uuid.UUID) -> ResponseReturnValue:
    """Show a switch with what it caught in flight."""
    return _one(switch_id)


@blueprint.post("/safeguards/switches/<uuid:switch_id>/lift")
@page(permission=_MANAGE)
def lift(switch_id: uuid.UUID) -> ResponseReturnValue:
    """Let it go on."""
    form = Form(request.form)
    try:
        reason = form.text("reason", NOTE_LONGEST)
        lift_switch(core=guard.the_core(), actor=guard.the_actor(), switch_id=switch_id, reason=reason)
    except Refusal as refusal:
        return _one(switch_id, refusal, form)
    return redirect(f"/safeguards/switches/{switch_id}?done=lifted", 303)


def tabs(actor: Actor, current: str) -> list[dict[str, Any]]:
    """Return the pages of this place that somebody may see."""
    waiting = reviews.count_open(core=guard.the_core(), actor=actor) if may(actor, "reviews:read") else 0
    found = [
        ("/safeguards", "Switches", _READ),
        ("/safeguards/reviews", f"Reviews ({waiting})" if waiting else "Reviews", "reviews:read"),
        ("/safeguards/lists", "Lists", "lists:manage"),
        ("/safeguards/unreachable", "Unreachable", "suppressions:manage"),
    ]
    return [
        {"href": href, "word": word, "current": href == current}
        for href, word, permission in found
        if may(actor, permission)
    ]


def _board(refusal: Refusal | None = None, form: Form | None = None) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal, _FIELDS) if refusal else None
    zone, names = pages.zone_of(actor), _names(actor)
    standing = switches.list_switches(core=core, actor=actor, limit=200)
    past = switches.list_switches(core=core, actor=actor, standing=False, limit=_PAST_SHOWN)
    return show(
        "safeguards.html",
        refused.status if refused else 200,
        tabs=tabs(actor, "/safeguards"),
        standing=[_row(each, zone, names) for each in standing.items],
        past=[_row(each, zone, names) for each in past.items],
        may_manage=may(actor, _MANAGE),
        stops=STOPS,
        targets=_targets(actor),
        typed={name: form.shown(name) if form else "" for name in ("stops", "target", "subject", "reason")},
        refused=refused,
        errors=refused.errors if refused else {},
    )


def _one(switch_id: uuid.UUID, refusal: Refusal | None = None, form: Form | None = None) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal, _FIELDS) if refusal else None
    found = switches.caught(core=core, actor=actor, switch_id=switch_id)
    zone, names = pages.zone_of(actor), _names(actor)
    return show(
        "switch.html",
        refused.status if refused else 200,
        switch=_row(found.switch, zone, names),
        caught=[_kind(each, names) for each in found.kinds],
        may_manage=may(actor, _MANAGE),
        done={"set": "It is stopped, everywhere within a second.", "lifted": "It goes on."}.get(
            request.args.get("done", "")
        ),
        known=bool(request.args.get("known")),
        typed=form.shown("reason") if form else "",
        refused=refused,
        errors=refused.errors if refused else {},
    )


def _targets(actor: Actor) -> list[tuple[str, str]]:
    """Return what somebody may stop: of their own place what is there, else all of the catalog."""
    core = guard.the_core()
    try:
        places = catalog.locations(core=core, actor=actor)
        teams = catalog.teams(core=core, actor=actor)
        offers = catalog.incentives(core=core, actor=actor) if actor.location is None else ()
        tags = catalog.issue_tags(core=core, actor=actor) if actor.location is None else ()
    except NoCatalog:
        return [(_EVERYTHING, SCOPES[_EVERYTHING]), *_keys(actor), *_TYPED, *_TYPED_EVERYWHERE]
    mine = actor.location
    found = [(_EVERYTHING, SCOPES[_EVERYTHING])] if mine is None else []
    found += [(f"location|{each.key}", f"Location: {each.name}") for each in places if mine in (None, each.key)]
    found += [(f"team|{each.key}", f"Team: {each.name}") for each in teams if mine in (None, each.location)]
    found += _keys(actor)
    found += [(f"incentive|{each.key}", f"Incentive: {pages.english(each.title)}") for each in offers]
    found += [(f"issue_tag|{each.key}", f"Issue tag: {pages.english(each.label)}") for each in tags]
    return [*found, *_TYPED, *(_TYPED_EVERYWHERE if mine is None else ())]


def _keys(actor: Actor) -> list[tuple[str, str]]:
    """Return the API keys that somebody may stop: the places that keys are for tell apart those of one name."""
    if not may(actor, _MANAGE):
        return []
    places = pages.location_names(actor)
    keys = switches.stoppable_keys(core=guard.the_core(), actor=actor)
    return [
        (
            f"api_key|{each.id}",
            f"API key: {each.name}, {places.get(each.location or '', 'everywhere')} ({each.prefix}…)",
        )
        for each in keys
    ]


def _names(actor: Actor) -> dict[str, str]:
    """Return what all that the catalog has keys for is called, by scope and key."""
    names = finance_words.names(actor)
    if names:
        names |= {f"team:{each.key}": each.name for each in catalog.teams(core=guard.the_core(), actor=actor)}
    return names


def _row(each: Switch, zone: str | None, names: Mapping[str, str]) -> dict[str, Any]:
    now = guard.the_core().clock.now()
    scope = SCOPES[each.scope]
    subject = names.get(f"{each.scope}:{each.subject}", each.subject_name)
    return {
        "id": each.id,
        "href": f"/safeguards/switches/{each.id}",
        "what": dict(STOPS)[each.stops],
        "title": scope if each.scope == _EVERYTHING else f"{scope}: {subject}",
        "reason": each.reason,
        "set": f"{each.set_by_name}, {words.instant(each.set_at, zone)}",
        "since": words.ago(each.set_at, now),
        "open": each.lifted_at is None,
        "lifted": f"{each.lifted_by_name}, {words.instant(each.lifted_at, zone)}" if each.lifted_at else "",
        "lift_reason": each.lift_reason or "",
    }


def _kind(each: CaughtKind, names: Mapping[str, str]) -> dict[str, Any]:
    title, none = _CAUGHT[each.kind]
    return {
        "id": each.kind,
        "title": title,
        "none": none,
        "count": each.count,
        "more": max(0, each.count - len(each.items)),
        "rows": [_caught(each.kind, item, names) for item in each.items],
    }


def _caught(kind: str, item: CaughtItem, names: Mapping[str, str]) -> dict[str, Any]:
    actor, now = guard.the_actor(), guard.the_core().clock.now()
    place = pages.location_name(actor, item.location) if item.location else "nowhere in particular"
    href = f"/cases/{item.case_id}" if item.case_id else ""
    if kind == "requests":
        href = f"/approvals#approval-{item.id}"
    if kind == "jobs":
        href = f"/bulk/{item.job_id}" if may(actor, "bulk:create") else ""
    elif item.voucher_id and may(actor, "issuances:read"):
        href = f"/vouchers/{item.voucher_id}"
    return {
        "title": _word(item.word, names),
        "href": href,
        "job": f"/bulk/{item.job_id}" if item.job_id and kind != "jobs" and may(actor, "bulk:create") else "",
        "what": f"{place}, {words.ago(item.at, now)}",
        "amount": words.money(item.amount) if item.amount else "",
    }


def _word(word: str, names: Mapping[str, str]) -> str:
    """Return what an item is called: an incentive by its title, with the last four of its voucher; a channel."""
    key, rest, last4 = word.partition(" …")
    channel = words.CHANNELS[key][1] if key in words.CHANNELS else key
    return f"{names.get(f'incentive:{key}', channel)}{rest}{last4}"
