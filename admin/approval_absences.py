"""Who decides in whose place while they are away, and who would decide on what."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import approval_view, forms, guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.delegate import CreateDelegation, RevokeDelegation, create_delegation, revoke_delegation
from incentives.kernel.actors import may
from incentives.kernel.errors import InputInvalid, NoCatalog, Refusal
from incentives.queries import catalog
from incentives.queries.approval_policies import WouldDecide, simulate
from incentives.queries.delegations import Delegation, approvers, list_delegations

blueprint = Blueprint("staff_absences", __name__)

_DONE = {"handed": "It is arranged. Who stands in sees the requests now.", "ended": "It has ended."}
_FIELDS = {
    "delegate_email": "absence-delegate",
    "absent_email": "absence-absent",
    "starts_at": "absence-from",
    "ends_at": "absence-until",
    "reason": "absence-reason",
}
_STATUS = {"planned": ("news", "Planned"), "active": ("good", "Now"), "over": ("news", "Over"),
           "revoked": ("warn", "Ended early")}  # fmt: skip
_EMAIL_LONGEST = 320
_SHOWN = 50


@blueprint.get("/approvals/absences")
@page(permission="approvals:read")
def absences() -> ResponseReturnValue:
    """Show who stands in for whom, and the form to arrange it."""
    return _absences(done=_DONE.get(request.args.get("done", "")))


@blueprint.post("/approvals/absences")
@page(permission="approvals:decide")
def hand_on() -> ResponseReturnValue:
    """Let somebody stand in; a refusal shows the form again with what was typed."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        create_delegation(core=core, actor=actor, command=_command())
    except Refusal as refusal:
        return pages.with_wait(_absences(refused=pages.refused(refusal, _FIELDS)), refusal)
    return redirect("/approvals/absences?done=handed", 303)


@blueprint.post("/approvals/absences/<uuid:delegation_id>/end")
@page(permission="approvals:decide")
def end(delegation_id: uuid.UUID) -> ResponseReturnValue:
    """End one before its time."""
    command = RevokeDelegation(delegation_id=delegation_id)
    try:
        revoke_delegation(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except Refusal as refusal:
        return pages.with_wait(_absences(refused=pages.refused(refusal)), refusal)
    return redirect("/approvals/absences?done=ended", 303)


@blueprint.get("/approvals/policies")
@page(permission="approvals:read")
def policies() -> ResponseReturnValue:
    """Say who would decide on a request that nobody made."""
    sent = Form(request.args)
    typed = {name: sent.shown(name) for name in ("amount", "currency", "tag", "location", "incentive")}
    refused, found = None, None
    if request.args:
        try:
            found = _simulated(typed)
        except Refusal as refusal:
            names = {"amount": "try-amount", "issue_tag": "try-tag", "location": "try-location"}
            refused = pages.refused(refusal, {**names, "currency": "try-currency", "incentive": "try-incentive"})
    return show(
        "approval_policies.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        typed=typed,
        found=_would(found) if found else None,
        **_choices(),
    )


def _command() -> CreateDelegation:
    """Return the absence that was sent. Raises ``InputInvalid``."""
    sent, actor = Form(request.form), guard.the_actor()
    now = guard.the_core().clock.now()
    zone = ZoneInfo(pages.zone_of(actor) or "UTC")
    first, last = _date(sent, "from"), _date(sent, "until")
    if last is None:
        raise InputInvalid(errors=[{"field": "ends_at", "message": "Choose the last day."}])
    return CreateDelegation(
        delegate_email=sent.text("delegate", _EMAIL_LONGEST),
        absent_email=sent.text("absent", _EMAIL_LONGEST) or None,
        starts_at=datetime.combine(first, time.min, zone).astimezone(UTC) if first else None,
        ends_at=datetime.combine(last + timedelta(days=1), time.min, zone).astimezone(UTC),
        reason=sent.text("reason", forms.NOTE_LONGEST),
        idempotency_key=sent.key("idempotency_key", now),
    )


def _date(sent: Form, name: str) -> date | None:
    typed = sent.text(name, 20)
    if not typed:
        return None
    field = "starts_at" if name == "from" else "ends_at"
    try:
        found = date.fromisoformat(typed)
    except ValueError:
        raise InputInvalid(errors=[{"field": field, "message": "Choose a day, like 2026-11-30."}]) from None
    if not date.min < found < date.max - timedelta(days=2):
        raise InputInvalid(errors=[{"field": field, "message": "Choose a day that is near."}])
    return found


def _absences(*, done: str | None = None, refused: Refused | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    found = list_delegations(core=core, actor=actor, limit=_SHOWN)
    people = approvers(core=core, actor=actor)
    sent, now, zone = Form(request.form), core.clock.now(), pages.zone_of(actor)
    today = now.astimezone(ZoneInfo(zone or "UTC")).date()
    options = [(each.email, f"{each.name}, {each.role} ({each.email})") for each in people]
    others = [each for each in options if each[0] != actor.email]
    return show(
        "approval_absences.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        done=done,
        rows=[_row(each, zone) for each in found.items],
        may_hand_on=may(actor, "approvals:decide"),
        delegates=[("", "Choose somebody"), *others],
        absent=[("", "Yourself"), *others] if may(actor, "approvals:delegate") else [],
        typed={
            "delegate": sent.shown("delegate"),
            "absent": sent.shown("absent"),
            "from": sent.shown("from") or today.isoformat(),
            "until": sent.shown("until"),
            "reason": sent.shown("reason"),
        },
        idempotency_key=str(core.ids.new(now)),
    )


def _row(each: Delegation, zone: str | None) -> dict[str, Any]:
    tone, word = _STATUS[each.status]
    return {
        "id": each.id,
        "absent": each.absent_name,
        "delegate": each.delegate_name,
        "tone": tone,
        "word": word,
        "time": f"{words.instant(each.starts_at, zone)} to {words.instant(each.ends_at, zone)}",
        "reason": each.reason,
        "by": each.created_by_name,
        "ended_by": each.revoked_by_name,
        "may_end": each.may_revoke and may(guard.the_actor(), "approvals:decide"),
    }


def _simulated(typed: dict[str, str]) -> WouldDecide:
    core, actor = guard.the_core(), guard.the_actor()
    currency = typed["currency"] or catalog.brand(core=core, actor=actor).currency
    try:
        amount_minor = words.amount_minor_of(typed["amount"], currency)
    except ValueError:
        raise forms.wrong("amount", "Write the amount in figures, like 25.00.") from None
    return simulate(
        core=core,
        actor=actor,
        amount_minor=amount_minor,
        currency=currency,
        issue_tag=typed["tag"] or None,
        location=typed["location"] or None,
        incentive=typed["incentive"] or None,
    )


def _would(found: WouldDecide) -> dict[str, Any]:
    return {
        "amount": words.money(found.amount),
        "name": found.name,
        "lifetime": words.lasting(timedelta(hours=found.lifetime_hours)),
        "fallback": approval_view.roles(found.fallback_roles),
        "levels": [
            {
                "number": each.number,
                "who": approval_view.who(each),
                "then": words.lasting(timedelta(minutes=each.escalate_after_minutes))
                if each.escalate_after_minutes
                else None,
            }
            for each in found.levels
        ],
    }


def _choices() -> dict[str, Any]:
    core, actor = guard.the_core(), guard.the_actor()
    try:
        tags = [(each.key, pages.english(each.label)) for each in catalog.issue_tags(core=core, actor=actor)]
        incentives = [(each.key, pages.english(each.title)) for each in catalog.incentives(core=core, actor=actor)]
        currency = catalog.brand(core=core, actor=actor).currency
        places = catalog.locations(core=core, actor=actor)
    except NoCatalog:
        return {"tags": [], "incentives": [], "locations": [], "currencies": []}
    currencies = dict.fromkeys([currency, *(each.currency for each in places)])
    return {
        "tags": [("", "Anything"), *tags],
        "incentives": [("", "Any incentive"), *incentives],
        "locations": [("", "Nowhere in particular"), *((each.key, each.name) for each in places)],
        "currencies": [(each, each) for each in currencies],
    }
