"""Recovery cases: the list, and one case with everything that was done, from the audit trail."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.guard import page
from admin.pages import show
from incentives.kernel.errors import NoCatalog
from incentives.kernel.money import Money
from incentives.queries import cases, catalog
from incentives.queries.cases import Case, Deed

blueprint = Blueprint("staff_cases", __name__)

_READ = "cases:read"
_DEEDS = {
    "apology.given": "An apology was given",
    "approval.declined": "The request was declined",
    "approval.expired": "Nobody decided in time",
    "approval.granted": "The request was granted",
    "approval.requested": "An approval was asked for",
    "voucher.expired": "The voucher expired unspent",
    "voucher.issued": "A voucher was given",
    "voucher.redeemed": "The voucher was redeemed",
}
_STATUSES = {"open": ("news", "clock", "Open"), "closed": ("good", "check", "Closed")}


@blueprint.get("/cases")
@page(permission=_READ)
def list_them() -> ResponseReturnValue:
    """Show the cases, the newest first, fifty at a time."""
    core, actor = guard.the_core(), guard.the_actor()
    found = cases.list_cases(core=core, actor=actor, after=request.args.get("after"))
    labels, places = _labels(), pages.location_names(actor)
    more = f"/cases?after={found.next}" if found.next else None
    return show("cases.html", cases=[_row(each, labels, places) for each in found.items], more=more)


@blueprint.get("/cases/<uuid:case_id>")
@page(permission=_READ)
def one(case_id: uuid.UUID) -> ResponseReturnValue:
    """Show one case and its timeline."""
    core, actor = guard.the_core(), guard.the_actor()
    found = cases.one_case(core=core, actor=actor, case_id=case_id)
    zone, places = pages.zone_of(actor, found.case.location), pages.location_names(actor)
    facts = (
        ("Customer", found.customer_name),
        ("Order", found.case.order_ref),
        ("Location", places.get(found.case.location or "", found.case.location)),
        ("Severity", words.SEVERITIES.get(found.case.severity)),
        ("Opened", f"{words.instant(found.case.opened_at, zone)}, by {found.case.opened_by_name}"),
    )
    titles = _titles()
    events = [_event(each, titles, zone) for each in found.deeds]
    row = _row(found.case, _labels(), places) | {"facts": [each for each in facts if each[1]], "events": events}
    return show("case.html", case=row)


def _labels() -> Mapping[str, str]:
    try:
        rows = catalog.issue_tags(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        return {}
    return {each.key: pages.english(each.label) for each in rows}


def _titles() -> Mapping[str, str]:
    try:
        rows = catalog.incentives(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        return {}
    return {each.key: pages.english(each.title) for each in rows}


def _row(case: Case, labels: Mapping[str, str], places: Mapping[str, str]) -> dict[str, Any]:
    now = guard.the_core().clock.now()
    place = places.get(case.location or "", case.location)
    order = f"Order {case.order_ref}" if case.order_ref else None
    tone, sign, status = _STATUSES[case.status]
    parts = (order, place, f"{words.ago(case.opened_at, now)} by {case.opened_by_name}")
    return {
        "href": f"/cases/{case.id}",
        "title": labels.get(case.issue_tag, case.issue_tag),
        "what": ", ".join(part for part in parts if part),
        "tone": tone,
        "sign": sign,
        "status": status,
    }


def _event(deed: Deed, titles: Mapping[str, str], zone: str | None) -> dict[str, Any]:
    facts = deed.facts
    amount_minor, currency = facts.get("amount_minor"), facts.get("currency")
    money = (
        words.money(Money(amount_minor, currency))
        if isinstance(amount_minor, int) and currency and amount_minor
        else None
    )
    title = titles.get(facts.get("incentive", ""), facts.get("incentive"))
    what = ", ".join(part for part in (title, money) if part)
    slugs = facts.get("reasons", [])
    reasons = words.over_limits(slugs, "the requester's").capitalize() if slugs else ""
    return {
        "words": f"{_DEEDS.get(deed.action, words.in_words(deed.action))}{': ' + what if what else ''}",
        "at": words.instant(deed.at, zone),
        "who": deed.actor_name,
        "reason": deed.reason or reasons,
    }
