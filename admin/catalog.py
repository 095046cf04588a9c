"""The approved catalog, to read: what may be given for which trouble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from admin import catalog_words, criteria_words, guard, pages, words
from admin.guard import page
from admin.pages import show
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.queries import catalog, catalog_recovery, criteria, switches
from incentives.queries.catalog import Coverage, IncentiveRow, IssueTagRow, LocationRow, ProtocolRow, ReleaseRow

blueprint = Blueprint("staff_catalog", __name__)


@blueprint.get("/catalog")
@page(permission="catalog:read")
def current() -> ResponseReturnValue:
    """Show the release that is in force."""
    core, actor = guard.the_core(), guard.the_actor()
    releases = catalog.release_list(core=core, actor=actor)
    release = next((each for each in releases if each.status == "approved"), None)
    if release is None:
        return show("catalog.html", release=None, paused=None)
    tags = catalog.issue_tags(core=core, actor=actor)
    incentives = catalog.incentives(core=core, actor=actor)
    locations = catalog.locations(core=core, actor=actor)
    names = _Names.of(tags, incentives, locations)
    return show(
        "catalog.html",
        release=_release(release),
        incentives=[_incentive(each, names) for each in incentives],
        protocols=[_protocol(each, names) for each in catalog.protocols(core=core, actor=actor)],
        tags=[_tag(each, names) for each in tags],
        locations=[_location(each) for each in locations],
        languages=[_language(each) for each in catalog.languages(core=core, actor=actor)],
        paused=_paused(core, actor, names),
        **_recovery(core, actor, names),
    )


def _paused(core: Core, actor: Actor, names: "_Names") -> dict[str, Any] | None:
    """Return what of the catalog is stopped at present, for those who may know; None when nothing is."""
    if not may(actor, "switches:read"):
        return None
    called = {"incentive": names.incentives, "issue_tag": names.tags, "location": names.locations}
    said = [
        f"{'Issuing' if each.stops == 'issuing' else 'Redeeming'}: "
        f"{called[each.scope].get(each.subject, each.subject) if each.scope in called else 'everything'}, {each.reason}"
        for each in switches.list_switches(core=core, actor=actor).items
        if each.scope in called or each.scope == "organization"
    ]
    return {"title": "Some of it is stopped at present", "words": said} if said else None


def _language(each: Coverage) -> dict[str, str]:
    parts = (
        f"missing: {', '.join(each.missing)}" if each.missing else "",
        f"{words.counted(len(each.same_as_default), 'text', 'texts')} as in the default language"
        if each.same_as_default
        else "",
    )
    return {
        "title": each.language,
        "value": f"{each.present} of {each.total} texts",
        "note": "; ".join(part for part in parts if part),
    }


def _recovery(core: Core, actor: Actor, names: "_Names") -> dict[str, Any]:
    causes = catalog_recovery.root_causes(core=core, actor=actor)
    cause_names = catalog_words.names_of(causes)
    called = criteria_words.Names(tags=names.tags, locations=names.locations, incentives=names.incentives)
    sources = catalog_recovery.sources(core=core, actor=actor)
    # What triggers a voucher is not for everybody to know: it would be asked for.
    rules = criteria.list_criteria(core=core, actor=actor) if may(actor, criteria.READ) else []
    return {
        "causes": [catalog_words.cause(each, cause_names) for each in causes],
        "sources": [catalog_words.source(each) for each in sources],
        "criteria": [catalog_words.criterion(each, called) for each in rules],
        "policy": catalog_words.policy(catalog_recovery.policy(core=core, actor=actor)),
    }


@dataclass(frozen=True, slots=True)
class _Names:
    """What the keys of the catalog are called."""

    tags: Mapping[str, str]
    incentives: Mapping[str, str]
    locations: Mapping[str, str]

    @classmethod
    def of(
        cls,
        tags: Sequence[IssueTagRow],
        incentives: Sequence[IncentiveRow],
        locations: Sequence[LocationRow],
    ) -> "_Names":
        return cls(
            tags={each.key: pages.english(each.label) for each in tags},
            incentives={each.key: pages.english(each.title) for each in incentives},
            locations={each.key: each.name for each in locations},
        )


def _release(release: ReleaseRow) -> str:
    zone = pages.zone_of(guard.the_actor())
    approved = f", approved {words.instant(release.approved_at, zone)}" if release.approved_at else ""
    return f"Release {release.number}{approved}. Vouchers keep the version they were given under."


def _tag(each: IssueTagRow, names: _Names) -> dict[str, Any]:
    above = names.tags.get(each.parent or "")
    under = f"below {above}" if above else ""
    return {"key": each.key, "title": names.tags[each.key], "icon": each.icon, "under": under}


def _location(each: LocationRow) -> dict[str, Any]:
    return {
        "key": each.key,
        "title": each.name,
        "zone": f"{each.time_zone}, {each.currency}",
        "hours": catalog_words.hours(each.hours),
    }


def _incentive(each: IncentiveRow, names: _Names) -> dict[str, Any]:
    value, note = words.worth(each.kind, _cost(each), each.percent)
    places = [names.locations.get(key, key) for key in each.locations]
    parts = (
        words.in_words(each.kind),
        f"good for {words.counted(each.valid_days, 'day', 'days')}" if each.valid_days else None,
        f"at {', '.join(places)}" if places else None,
        None if each.active else "not offered at present",
    )
    return {
        "title": names.incentives[each.key],
        "what": ", ".join(part for part in parts if part),
        "value": value,
        "note": _bounds(each) or note,
    }


def _cost(each: IncentiveRow) -> Money | None:
    """Return what budgets are charged for it: its amount, its ceiling, or what the thing costs."""
    costs = (each.amount_minor, each.max_discount_minor, each.accounting_cost_minor)
    amount_minor = next((cost for cost in costs if cost is not None), None)
    return Money(amount_minor, each.currency) if amount_minor is not None and each.currency else None


def _bounds(each: IncentiveRow) -> str | None:
    if each.min_amount_minor is None or each.max_amount_minor is None or not each.currency:
        return None
    ends = (Money(each.min_amount_minor, each.currency), Money(each.max_amount_minor, each.currency))
    return " to ".join(words.money(end) for end in ends)


def _protocol(each: ProtocolRow, names: _Names) -> dict[str, Any]:
    trouble = "Everything else" if each.issue_tag == "*" else names.tags.get(each.issue_tag, each.issue_tag)
    finer = (
        words.SEVERITIES.get(each.severity or 0, "").lower(),
        names.locations.get(each.location or "", each.location),
        f"segment {each.segment}" if each.segment else None,
    )
    # The default stands first; one title in several currencies is said once.
    keys = sorted(each.incentives, key=lambda key: key != each.default)
    offered = dict.fromkeys(names.incentives.get(key, key) for key in keys)
    most = [words.money(Money(amount, currency)) for currency, amount in each.most_minor.items()]
    return {
        "title": ", ".join(part for part in (trouble, *finer) if part),
        "what": ", ".join(offered),
        "most": f"at most {' or '.join(most)}" if most else "",
        "care": catalog_words.care(each),
    }
