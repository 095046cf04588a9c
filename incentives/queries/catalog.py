"""What the approved catalog holds, for the API, the tablet and the operator; and what a file would change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.coverage import Coverage, coverage
from incentives.catalog.definitions import IssueTag
from incentives.catalog.difference import Change, difference, warnings_of
from incentives.catalog.document import parse
from incentives.catalog.review import Entry, Line, Section, review
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.queries.letters import actor_names

__all__ = ["Change", "Coverage", "Entry", "Line", "Section"]

READ = "catalog:read"
SEE_PLACES = "locations:read"  # for every role: a till says where a voucher was spent


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandRow:
    """Who apologizes, and what holds where no location says otherwise."""

    name: str
    languages: tuple[str, ...]
    default_language: str
    time_zone: str
    currency: str
    support_email: str | None
    hours: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationRow:
    """A place of business. ``hours`` by weekday are its own, else the brand's; with none it never closes."""

    key: str
    name: str
    time_zone: str
    currency: str
    country: str
    groups: tuple[str, ...]
    hours: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRow:
    """People who work together, at one location or at none."""

    key: str
    name: str
    location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueTagRow:
    """An issue tag in every language; ``severity`` is 1 (slight) to 4 (grave).

    ``aliases`` are the values by which each source means it, ``words`` what a comment says that means it.
    """

    key: str
    parent: str | None
    label: Mapping[str, str]
    icon: str
    severity: int
    active: bool
    aliases: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncentiveRow:
    """An incentive in every language; what its kind does not have is None. Amounts are in ``currency``."""

    key: str
    version_id: str
    kind: str
    title: Mapping[str, str]
    terms: Mapping[str, str] | None
    item: Mapping[str, str] | None
    currency: str | None
    amount_minor: int | None
    min_amount_minor: int | None
    max_amount_minor: int | None
    percent: int | None
    max_discount_minor: int | None
    points: int | None
    accounting_cost_minor: int | None
    valid_days: int | None
    expiry: str
    remainder: str
    offerable_from_date: date | None
    offerable_until_date: date | None
    locations: tuple[str, ...]
    active: bool
    excluded_locations: tuple[str, ...]
    redeem_locations: tuple[str, ...]
    max_redemptions: int
    min_order_minor: int | None
    products: tuple[str, ...]
    excluded_products: tuple[str, ...]
    collections: tuple[str, ...]
    redeemers: tuple[str, ...]
    exclusive_group: str | None
    most_open_per_customer: int | None
    offer_when: Mapping[str, Any]
    offer_when_message: Mapping[str, str]
    redeem_when: Mapping[str, Any]
    redeem_when_message: Mapping[str, str]
    reversal_days: int
    grace_days: int
    most_extend_days: int


_INCENTIVE = [name for name in IncentiveRow.__dataclass_fields__ if name != "version_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolRow:
    """A protocol, with its script in every language. ``clocks`` are business minutes; no ``resurvey_after``: never."""

    key: str
    issue_tag: str
    severity: int | None
    location: str | None
    segment: str | None
    script: Mapping[str, str]
    steps: tuple[str, ...]
    incentives: tuple[str, ...]
    default: str
    most_minor: Mapping[str, int]
    optional_steps: tuple[str, ...]
    questions: tuple[str, ...]
    clocks: Mapping[str, int]
    guidance: Mapping[str, str]
    tasks: tuple[Mapping[str, Any], ...]
    resurvey_after: str | None
    resurvey_hours: int
    resurvey_scale: str
    undo_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TagTile:
    """An issue tag as the tablet shows it: one language, its finer tags inside it, in the catalog's order."""

    key: str
    label: str
    icon: str
    severity: int
    children: tuple["TagTile", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying a file would change, from which release; nothing was written."""

    current_number: int | None
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """A release of the catalog: who proposed it, who approved it, and when.

    ``status`` is as of now: one that was scheduled is ``approved`` from its instant on. ``effective_at`` is since or
    from when it is in force; ``rollback_of_number`` says whose catalog it proposes again.
    """

    number: int
    based_on_number: int | None
    status: str
    proposed_at: datetime
    proposed_by: str
    approved_at: datetime | None
    approved_by: str | None
    effective_at: datetime | None = None
    rollback_of_number: int | None = None
    reason: str | None = None
    proposed_by_name: str = ""
    approved_by_name: str | None = None


_RELEASE = [name for name in ReleaseRow.__dataclass_fields__ if not name.endswith("_name")]


def _current(core: Core, actor: Actor, permission: str = READ) -> releases.CurrentCatalog:
    permit(actor, permission)
    with core.database.read() as tx:
        return releases.cached_current(tx, core)


def brand(*, core: Core, actor: Actor) -> BrandRow:
    """Return the brand. Raises ``NotPermitted`` and ``NoCatalog``, as all of these do."""
    return _brand(_current(core, actor, SEE_PLACES).catalog)


def locations(*, core: Core, actor: Actor) -> tuple[LocationRow, ...]:
    """Return every location, in the catalog's order."""
    return _locations(_current(core, actor, SEE_PLACES).catalog)


def brand_and_locations(*, core: Core, actor: Actor) -> tuple[BrandRow, tuple[LocationRow, ...]]:
    """Return both at once, of one and the same catalog: pages need them together."""
    catalog = _current(core, actor, SEE_PLACES).catalog
    return _brand(catalog), _locations(catalog)


def _brand(catalog: Catalog) -> BrandRow:
    return BrandRow(**_parts(catalog.brand, BrandRow))


def _locations(catalog: Catalog) -> tuple[LocationRow, ...]:
    return tuple(
        LocationRow(**{**_parts(each, LocationRow), "hours": catalog.hours(each.key)})
        for each in catalog.locations.values()
    )


def teams(*, core: Core, actor: Actor) -> tuple[TeamRow, ...]:
    """Return every team, in the catalog's order."""
    found = _current(core, actor, SEE_PLACES).catalog.teams.values()
    return tuple(TeamRow(key=each.key, name=each.name, location=each.location) for each in found)


def issue_tags(*, core: Core, actor: Actor) -> tuple[IssueTagRow, ...]:
    """Return every issue tag, in the catalog's order."""
    catalog = _current(core, actor).catalog
    return tuple(IssueTagRow(**_parts(each, IssueTagRow)) for each in catalog.issue_tags.values())


def _parts(item: object, row: type[Any]) -> dict[str, Any]:
    """Return those parts of a catalog's item that a row shows under the same names."""
    return {name: getattr(item, name) for name in row.__dataclass_fields__}


def incentives(*, core: Core, actor: Actor) -> tuple[IncentiveRow, ...]:
    """Return every incentive, in the catalog's order, with the id of its approved version."""
    current = _current(core, actor)
    ids = current.item_ids
    return tuple(
        IncentiveRow(
            **{name: getattr(each, name) for name in _INCENTIVE}, version_id=str(ids[each.item_kind, each.key])
        )
        for each in current.catalog.incentives.values()
    )


def protocols(*, core: Core, actor: Actor) -> tuple[ProtocolRow, ...]:
    """Return every protocol, in the catalog's order."""
    catalog = _current(core, actor).catalog
    return tuple(
        ProtocolRow(**{**_parts(each, ProtocolRow), "script": catalog.scripts[each.script].text})
        for each in catalog.protocols.values()
    )


def tag_tiles(*, core: Core, actor: Actor, language: str | None = None) -> tuple[TagTile, ...]:
    """Return the issue tags that are in use as a tree, in one language (None: the brand's own)."""
    catalog = _current(core, actor).catalog
    active = [each for each in catalog.issue_tags.values() if each.active]
    shown = {each.key for each in active}
    # Below a tag that is no longer used, its finer tags move up to the nearest that is.
    above = {each.key: next((key for key in catalog.lineage(each.key)[1:] if key in shown), None) for each in active}
    return _tiles(catalog, active, above, None, language)


def _tiles(
    catalog: Catalog,
    tags: Sequence[IssueTag],
    above: Mapping[str, str | None],
    under: str | None,
    language: str | None,
) -> tuple[TagTile, ...]:
    return tuple(
        TagTile(
            key=each.key,
            label=catalog.words(each.label, language),
            icon=each.icon,
            severity=each.severity,
            children=_tiles(catalog, tags, above, each.key, language),
        )
        for each in tags
        if above[each.key] == under
    )


def plan(*, core: Core, actor: Actor, text: str | bytes) -> Plan:
    """Return what applying a catalog file would change. Raises ``NotPermitted`` and ``CatalogInvalid``."""
    permit(actor, "catalog:propose")
    proposed = parse(text)
    with core.database.read() as tx:
        release = releases.current_release(tx, core.clock.now())
        before = releases.catalog_of_release(tx, release.id) if release else None
    changes = difference(before, proposed)
    return Plan(
        current_number=release.number if release else None,
        changes=changes,
        warnings=warnings_of(proposed),
        sections=review(before, proposed, changes),
    )


def release_list(*, core: Core, actor: Actor, limit: int = 50) -> tuple[ReleaseRow, ...]:
    """Return the latest releases, newest first."""
    permit(actor, READ)
    with core.database.read() as tx:
        found = releases.releases(tx, limit=limit)
        in_force = releases.current_number(tx, core.clock.now())
        names = actor_names(tx, {label for each in found for label in (each.proposed_by, each.approved_by) if label})
    return tuple(_release(each, in_force, names) for each in found)


def one_release(*, core: Core, actor: Actor, number: int) -> ReleaseRow:
    """Return a release. Raises ``NotPermitted`` and ``ReleaseNotFound``."""
    permit(actor, READ)
    with core.database.read() as tx:
        found = releases.release_by_number(tx, number)
        names = actor_names(tx, {label for label in (found.proposed_by, found.approved_by) if label})
        return _release(found, releases.current_number(tx, core.clock.now()), names)


def _release(each: releases.Release, in_force: int | None, names: Mapping[str, str]) -> ReleaseRow:
    parts = {name: getattr(each, name) for name in _RELEASE}
    parts["proposed_by_name"] = names.get(each.proposed_by, each.proposed_by)
    parts["approved_by_name"] = names.get(each.approved_by, each.approved_by) if each.approved_by else None
    if each.number == in_force:
        parts["status"] = releases.APPROVED
    elif each.status == releases.APPROVED:
        parts["status"] = releases.SUPERSEDED  # by one whose instant has come, and that nobody has settled yet
    return ReleaseRow(**parts)


def release_changes(*, core: Core, actor: Actor, number: int) -> tuple[Change, ...]:
    """Return how a release differs from what is in force: what its approver decides on.

    Raises ``NotPermitted`` and ``ReleaseNotFound``.
    """
    return release_plan(core=core, actor=actor, number=number).changes


def release_plan(*, core: Core, actor: Actor, number: int, against: int | None = None) -> Plan:
    """Return how a release differs from what is in force, or from another release, as lists and as people read it.

    Raises ``NotPermitted`` and ``ReleaseNotFound``.
    """
    permit(actor, READ)
    with core.database.read() as tx:
        release = releases.release_by_number(tx, number)
        base = releases.release_by_number(tx, against) if against else releases.current_release(tx, core.clock.now())
        before = releases.catalog_of_release(tx, base.id) if base else None
        after = releases.catalog_of_release(tx, release.id)
    changes = difference(before, after)
    return Plan(
        current_number=base.number if base else None,
        changes=changes,
        warnings=warnings_of(after),
        sections=review(before, after, changes),
    )


def export(*, core: Core, actor: Actor, number: int | None = None) -> str:
    """Return the catalog in force, or a release, as one YAML file from which the very same catalog is read again.

    Raises ``NotPermitted``, ``NoCatalog`` and ``ReleaseNotFound``.
    """
    from incentives.catalog.export import to_yaml  # noqa: PLC0415 - its writer is for those who export

    permit(actor, READ)
    with core.database.read() as tx:
        if number is None:
            return to_yaml(releases.cached_current(tx, core).catalog)
        return to_yaml(releases.catalog_of_release(tx, releases.release_by_number(tx, number).id))


def languages(*, core: Core, actor: Actor) -> tuple[Coverage, ...]:
    """Return in which languages the catalog in force speaks, and what is missing in each."""
    return coverage(_current(core, actor).catalog)
