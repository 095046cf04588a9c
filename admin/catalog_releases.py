"""Releases of the catalog: what each changes, who agrees, from when, and what it would have meant."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import finance_words, forms, guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows import publish
from incentives.flows.what_if import DAYS_MOST, BudgetLine, Example, TotalLine, WhatIf, what_if
from incentives.kernel.actors import may
from incentives.kernel.errors import CatalogInvalid, Refusal
from incentives.kernel.money import Money
from incentives.queries import catalog
from incentives.queries.catalog import Plan, ReleaseRow, Section

blueprint = Blueprint("staff_catalog_releases", __name__)

_READ, _PROPOSE, _APPROVE = "catalog:read", "catalog:propose", "catalog:approve"
_SHOWN = 50
_MISTAKES_SHOWN = 50
_DATE_LONGEST = 16
_DAYS_USUAL = 30

_STATUSES: Mapping[str, tuple[str, str, str]] = {
    "draft": ("news", "hourglass", "Draft"),
    "scheduled": ("news", "clock", "Scheduled"),
    "approved": ("good", "check", "In force"),
    "superseded": ("quiet", "history", "Was in force"),
    "withdrawn": ("quiet", "cross", "Withdrawn"),
}
_DONE = {
    "proposed": "Proposed. Somebody else decides whether it comes in force.",
    "same": "This very catalog is proposed, or in force, already.",
    "approved": "It is in force.",
    "scheduled": "It will be in force from the instant that stands below.",
    "withdrawn": "It was taken back.",
}
# What becomes of an item: word, tone, sign.
_SIGNS = {
    "added": ("Added", "good", "check"),
    "removed": ("Removed", "bad", "cross"),
    "changed": ("Changed", "news", "refresh"),
    "reordered": ("Reordered", "quiet", "refresh"),
}


@blueprint.get("/catalog/releases")
@page(permission=_READ)
def releases() -> ResponseReturnValue:
    """Show the latest releases, and for those who may a form to propose one."""
    return _list()


@blueprint.post("/catalog/releases")
@page(permission=_PROPOSE)
def propose() -> ResponseReturnValue:
    """Propose a file; its mistakes are shown all at once."""
    try:
        given = request.files.get("file")
        if given is None or not given.filename:
            raise forms.wrong("file", "Choose a catalog file.")
        reason = Form(request.form).text("reason", forms.NOTE_LONGEST) or None
        command = publish.ProposeCatalog(text=given.stream.read(), reason=reason)
        proposed = publish.propose_catalog(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except Refusal as refusal:
        return _list(pages.refused(refusal, {"file": "file", "reason": "reason"}), refusal)
    done = "proposed" if proposed.new else "same"
    return redirect(f"/catalog/releases/{proposed.number}?done={done}", 303)


def _list(refused: Refused | None = None, refusal: Refusal | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    zone = pages.zone_of(actor)
    mistakes = refusal.facts["errors"][:_MISTAKES_SHOWN] if isinstance(refusal, CatalogInvalid) else []
    return show(
        "catalog_releases.html",
        refused.status if refused else 200,
        releases=[_row(each, zone) for each in catalog.release_list(core=core, actor=actor, limit=_SHOWN)],
        may_propose=may(actor, _PROPOSE),
        refused=refused,
        mistakes=mistakes,
        reason=Form(request.form).shown("reason"),
    )


def _row(each: ReleaseRow, zone: str | None) -> dict[str, Any]:
    tone, sign, word = _STATUSES[each.status]
    return {
        "href": f"/catalog/releases/{each.number}",
        "title": f"Release {each.number}",
        "sign": {"tone": tone, "sign": sign, "word": word},
        "said": f"Proposed {words.instant(each.proposed_at, zone)} by {each.proposed_by_name}",
        "since": _since(each, zone),
        "reason": each.reason,
    }


def _since(each: ReleaseRow, zone: str | None) -> str:
    if each.effective_at is None or each.status == "withdrawn":
        return ""
    return f"In force from {words.instant(each.effective_at, zone)}, approved by {each.approved_by_name}"


@blueprint.get("/catalog/releases/<int(max=2147483647):number>")
@page(permission=_READ)
def release(number: int) -> ResponseReturnValue:
    """Show what a release changes, and what may be done with it."""
    return _one(number, done=_DONE.get(request.args.get("done", "")))


def _one(number: int, *, refused: Refused | None = None, done: str | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    row = catalog.one_release(core=core, actor=actor, number=number)
    against = row.based_on_number if row.status in ("approved", "superseded", "withdrawn") else None
    plan = catalog.release_plan(core=core, actor=actor, number=number, against=against)
    zone = pages.zone_of(actor)
    is_open = row.status in ("draft", "scheduled")
    own = row.proposed_by == actor.label
    return show(
        "catalog_release.html",
        refused.status if refused else 200,
        release={**_row(row, zone), "number": number, "rollback": row.rollback_of_number, "own": own},
        base=_base(plan),
        summary=_summary(plan.sections),
        sections=[_section(each) for each in plan.sections],
        warnings=plan.warnings if is_open else (),
        may_approve=row.status == "draft" and may(actor, _APPROVE) and not own,
        waits_for_another=row.status == "draft" and own,
        may_withdraw=is_open and (may(actor, _APPROVE) or may(actor, _PROPOSE)),
        may_roll_back=row.status == "superseded" and may(actor, _PROPOSE),
        may_ask=may(actor, _APPROVE),
        zone=zone or "UTC",
        days=_DAYS_USUAL,
        typed=Form(request.form).shown,
        refused=refused,
        done=done,
    )


def _base(plan: Plan) -> str:
    return f"Against release {plan.current_number}" if plan.current_number else "There was no catalog before"


def _summary(sections: Sequence[Section]) -> str:
    """Return how much changes where: ``2 in budgets, 1 in protocols``."""
    return ", ".join(f"{len(each.entries)} in {each.words.lower()}" for each in sections)


def _called(kind: str, name: str, key: str) -> dict[str, str]:
    """Return what people call an item, and its key where that says more: not all that is in a catalog has a name."""
    if kind == "approval_limit":
        of, _, whose = name.partition(":")
        who, _, currency = whose.rpartition(":")
        return {"name": f"{who.capitalize() if of == 'role' else who}, in {currency}" if who else name, "key": ""}
    if name == key:
        return {"name": words.in_words(name), "key": key if "-" in key else ""}
    return {"name": name, "key": key}


def _section(section: Section) -> dict[str, Any]:
    entries = [
        {
            **dict(zip(("sign", "tone", "icon"), _SIGNS[each.action], strict=True)),
            **_called(section.item_kind, each.name, each.key),
            # Of what is new everything is new: it is folded away, and there for who wants to read it.
            "folded": each.action == "added",
            "lines": [
                {
                    "label": line.label,
                    "before": line.before if each.action == "changed" else None,
                    "after": line.after,
                    "added": line.added,
                    "removed": line.removed,
                    "members": bool(line.added or line.removed),
                    "new": each.action == "added",
                }
                for line in each.lines
            ],
        }
        for each in section.entries
    ]
    return {"kind": section.item_kind, "words": section.words, "entries": entries}


@blueprint.post("/catalog/releases/<int(max=2147483647):number>/approval")
@page(permission=_APPROVE)
def approve(number: int) -> ResponseReturnValue:
    """Put a draft in force, now or later."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        effective_at = _instant(Form(request.form).text("effective_at", _DATE_LONGEST))
        command = publish.ApproveRelease(number=number, effective_at=effective_at)
        approved = publish.approve_release(core=core, actor=actor, command=command)
    except Refusal as refusal:
        return _one(number, refused=pages.refused(refusal, {"effective_at": "effective_at"}))
    done = "scheduled" if approved.effective_at else "approved"
    return redirect(f"/catalog/releases/{number}?done={done}", 303)


def _instant(typed: str) -> datetime | None:
    """Return the instant of a local date and time, as a browser's field writes them; None for none."""
    if not typed:
        return None
    zone = pages.zone_of(guard.the_actor())
    try:
        return datetime.fromisoformat(typed).replace(tzinfo=ZoneInfo(zone) if zone else UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise forms.wrong("effective_at", "Write a date and a time, like 2026-12-01T08:00.") from None


@blueprint.post("/catalog/releases/<int(max=2147483647):number>/withdrawal")
@page(permission=_READ)
def withdraw(number: int) -> ResponseReturnValue:
    """Take back a draft, or a scheduled release before its instant."""
    try:
        command = publish.WithdrawRelease(number=number, reason=_reason("why_withdraw"))
        publish.withdraw_release(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except Refusal as refusal:
        return _one(number, refused=pages.refused(refusal, {"why_withdraw": "why_withdraw"}))
    return redirect(f"/catalog/releases/{number}?done=withdrawn", 303)


@blueprint.post("/catalog/releases/<int(max=2147483647):number>/rollback")
@page(permission=_PROPOSE)
def roll_back(number: int) -> ResponseReturnValue:
    """Propose an older catalog again."""
    try:
        command = publish.RollBack(number=number, reason=_reason("why_back"))
        proposed = publish.roll_back(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except Refusal as refusal:
        return _one(number, refused=pages.refused(refusal, {"why_back": "why_back"}))
    done = "proposed" if proposed.new else "same"
    return redirect(f"/catalog/releases/{proposed.number}?done={done}", 303)


def _reason(name: str) -> str:
    reason = Form(request.form).text(name, forms.NOTE_LONGEST)
    if not reason:
        raise forms.wrong(name, "Say why, in a word at least.")
    return reason


@blueprint.get("/catalog/releases/<int(max=2147483647):number>/what-if")
@page(permission=_APPROVE)
def what_would_be(number: int) -> ResponseReturnValue:
    """Show what a release would have made of what was given lately."""
    core, actor = guard.the_core(), guard.the_actor()
    refused, found = None, None
    try:
        days = Form(request.args).number("days", DAYS_MOST) or _DAYS_USUAL
        found = what_if(core=core, actor=actor, command=WhatIf(number=number, days=days))
    except Refusal as refusal:
        refused = pages.refused(refusal, {"days": "days"})
    zone, names = pages.zone_of(actor), finance_words.names(actor)
    return show(
        "catalog_what_if.html",
        refused.status if refused else 200,
        number=number,
        days=Form(request.args).shown("days") or _DAYS_USUAL,
        refused=refused,
        found=found,
        reasons=[(words.in_words(slug.replace("-", "_")), count) for slug, count in found.reasons.items()]
        if found
        else [],
        budgets=[_budget(each) for each in found.budgets] if found else [],
        groups=_groups(found.totals, names) if found else [],
        examples=[_example(each, zone, names) for each in found.examples] if found else [],
    )


def _budget(each: BudgetLine) -> dict[str, Any]:
    was, would = (
        (words.money(Money(each.was_minor, each.currency)), words.money(Money(each.would_minor, each.currency)))
        if each.currency
        else (str(each.was_count), str(each.would_count))
    )
    return {"name": each.name, "was": was, "would": would, "bursts": each.bursts}


_WHAT = {"issue_tag": "By issue tag", "location": "By location", "incentive": "By incentive"}


def _groups(totals: tuple[TotalLine, ...], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "what": what,
            "words": said,
            "rows": [
                {
                    "name": names.get(f"{what}:{each.key}", each.key or "Nowhere in particular"),
                    "was": words.money(Money(each.sums.was_minor, each.currency)),
                    "would": words.money(Money(each.sums.would_minor, each.currency)),
                    "refused": each.sums.refused,
                }
                for each in totals
                if each.what == what
            ],
        }
        for what, said in _WHAT.items()
    ]


def _example(each: Example, zone: str | None, names: Mapping[str, str]) -> dict[str, Any]:
    incentive = names.get(f"incentive:{each.incentive}", each.incentive)
    trouble = names.get(f"issue_tag:{each.issue_tag}", each.issue_tag)
    return {
        "at": words.instant(each.at, zone),
        "what": f"{incentive} for {trouble}",
        "value": words.money(Money(each.amount_minor, each.currency)),
        "why": ", ".join(words.in_words(reason.replace("-", "_")) for reason in each.reasons),
    }
