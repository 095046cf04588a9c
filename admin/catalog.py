"""The approved catalog, to read: what may be given for which trouble."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.guard import page
from admin.pages import show
from incentives.kernel.money import Money
from incentives.queries import catalog
from incentives.queries.catalog import IncentiveRow, ProtocolRow

blueprint = Blueprint("staff_catalog", __name__)


@blueprint.get("/catalog")
@page(permission="catalog:read")
def current() -> ResponseReturnValue:
    """Show the release that is in force."""
    core, actor = guard.the_core(), guard.the_actor()
    releases = catalog.release_list(core=core, actor=actor)
    release = next((each for each in releases if each.status == "approved"), None)
    if release is None:
        return show("catalog.html", release=None)
    tags = catalog.issue_tags(core=core, actor=actor)
    labels = {each.key: pages.english(each.label) for each in tags}
    incentives = catalog.incentives(core=core, actor=actor)
    titles = {each.key: pages.english(each.title) for each in incentives}
    approved_at = words.instant(release.approved_at, pages.zone_of(actor)) if release.approved_at else ""
    return show(
        "catalog.html",
        release=f"Release {release.number}, approved {approved_at}. Vouchers keep the version they were given under.",
        drafts=len([each for each in releases if each.status == "draft"]),
        incentives=[_incentive(each) for each in incentives],
        protocols=[_protocol(each, labels, titles) for each in catalog.protocols(core=core, actor=actor)],
        tags=[
            {
                "key": each.key,
                "title": labels[each.key],
                "icon": each.icon,
                "under": _under(labels.get(each.parent or "")),
            }
            for each in tags
        ],
        locations=[
            {"key": each.key, "title": each.name, "zone": f"{each.time_zone}, {each.currency}"}
            for each in catalog.locations(core=core, actor=actor)
        ],
    )


def _under(label: str | None) -> str:
    return f"below {label}" if label else ""


def _incentive(each: IncentiveRow) -> dict[str, Any]:
    cost_minor = next(
        (
            cost
            for cost in (each.amount_minor, each.max_discount_minor, each.accounting_cost_minor)
            if cost is not None
        ),
        None,
    )
    amount = Money(cost_minor, each.currency) if cost_minor is not None and each.currency else None
    value, note = words.worth(each.kind, amount, each.percent)
    if each.min_amount_minor is not None and each.max_amount_minor is not None and each.currency:
        bounds = (Money(each.min_amount_minor, each.currency), Money(each.max_amount_minor, each.currency))
        note = f"{words.money(bounds[0])} to {words.money(bounds[1])}"
    parts = (
        words.in_words(each.kind),
        f"good for {words.counted(each.valid_days, 'day', 'days')}" if each.valid_days else None,
        f"at {', '.join(each.locations)}" if each.locations else None,
        None if each.active else "not offered at present",
    )
    return {
        "title": pages.english(each.title),
        "what": ", ".join(part for part in parts if part),
        "value": value,
        "note": note,
    }


def _protocol(each: ProtocolRow, labels: Mapping[str, str], titles: Mapping[str, str]) -> dict[str, Any]:
    keys = [
        words.SEVERITIES.get(each.severity or 0, ""),
        each.location or "",
        f"segment {each.segment}" if each.segment else "",
    ]
    finer = [key.lower() for key in keys if key]
    trouble = "Everything else" if each.issue_tag == "*" else labels.get(each.issue_tag, each.issue_tag)
    offered = [
        f"{titles.get(key, key)} (default)" if key == each.default else titles.get(key, key)
        for key in each.incentives
    ]
    most = [words.money(Money(amount, currency)) for currency, amount in each.most_minor.items()]
    return {
        "title": f"{trouble}{': ' + ', '.join(finer) if finer else ''}",
        "what": ", ".join(dict.fromkeys(offered)),
        "most": f"at most {' or '.join(most)}" if most else "",
    }
