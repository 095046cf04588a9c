"""Criteria: which rules are in force, what each has done, and what they would do about a piece of feedback."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import pricing, releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Criterion
from incentives.catalog.pricing import Price
from incentives.catalog.tables import catalog_items, catalog_release_items, catalog_releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import NotFound, Refusal
from incentives.kernel.money import Money
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.recovery import breakers, criteria
from incentives.recovery.breakers import ANY_CURRENCY, Breaker
from incentives.recovery.criteria import Facts
from incentives.recovery.feedback_tables import criteria_firings, criteria_hours, feedback

READ = "criteria:read"
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a criterion did in the last seven days: how often each outcome was, and what it cost by currency.

    ``costs`` is what live firings promised; ``would_cost`` what those in shadow would have.
    """

    outcomes: Mapping[str, int]
    costs: tuple[Money, ...] = ()
    would_cost: tuple[Money, ...] = ()

    @property
    def times(self) -> int:
        """Return how often it fired."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """A source for which a criterion has given all that it may in this hour, and until when."""

    source: str
    until_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionRow:
    """A criterion as it is in force; ``version`` counts what was ever approved or proposed under its key."""

    key: str
    name: str
    priority: int
    mode: str
    stop: bool
    when: Mapping[str, Any]
    then: Mapping[str, Any]
    settle_minutes: int | None
    breaker: Mapping[str, Any]
    ask_above_minor: Mapping[str, int]
    holdout_percent: int
    version: int
    week: Done
    tripped: tuple[Tripped, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a criterion, who wrote it, and in which releases it was approved; ``approved_by`` is a name."""

    version: int
    definition: Mapping[str, Any]
    created_at: datetime
    created_by_name: str
    approved_at: datetime | None
    approved_by_name: str | None
    in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringRow:
    """One firing: the version that held, the facts it held for, and what came of it."""

    id: uuid.UUID
    at: datetime
    version: int
    source: str
    mode: str
    outcome: str
    facts: Mapping[str, Any]
    actions: Sequence[Mapping[str, Any]]
    cost: Money | None
    feedback_id: uuid.UUID
    case_id: uuid.UUID | None
    issuance_id: uuid.UUID | None
    location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """A piece of feedback that nobody reported, to see what the criteria make of it."""

    source: str
    occurred_at: datetime
    kind: str = "survey"
    event: str | None = None
    score_bp: int | None = None
    scale: str | None = None
    issue_tags: tuple[str, ...] = ()
    comment: str | None = None
    segment: str | None = None
    location: str | None = None
    severity: int | None = None
    customer_value_minor: int | None = None
    currency: str | None = None
    earlier_recoveries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Would:
    """A criterion that holds, what it does, and what it would give (None where it gives nothing, or could not)."""

    key: str
    name: str
    mode: str
    facts: Mapping[str, Any]
    then: Mapping[str, Any]
    price: Price | None
    refused: str | None


def list_criteria(*, core: Core, actor: Actor) -> list[CriterionRow]:
    """Return the criteria in force in the order in which they are asked. Raises ``NoCatalog`` and ``NotPermitted``."""
    permit(actor, READ)
    now = core.clock.now()
    with core.database.read() as tx:
        current = releases.cached_current(tx, core)
        rules = sorted(current.catalog.criteria.values(), key=lambda each: (-each.priority, each.key))
        return _rows(tx, actor, rules, current.item_ids, now)


def one_criterion(*, core: Core, actor: Actor, key: str) -> tuple[CriterionRow, tuple[Version, ...]]:
    """Return a criterion as it is in force, or was at last, and its versions, newest first. Raises ``NotFound``."""
    permit(actor, READ)
    now = core.clock.now()
    with core.database.read() as tx:
        current = releases.cached_current(tx, core)
        versions = _versions(tx, key) if _known(tx, key) else ()
        if not versions:
            raise NotFound(f"There is no criterion “{key}”.")
        in_force = current.catalog.criteria.get(key)
        rule = in_force or Criterion.from_definition({**versions[0].definition, "mode": "off"})
        (row,) = _rows(tx, actor, [rule], current.item_ids, now, last=versions[0].version)
        return row, versions


def list_firings(*, core: Core, actor: Actor, key: str, limit: int = 50, after: str | None = None) -> Page[FiringRow]:
    """Return a criterion's firings, the newest first. Raises ``NotFound`` and ``InputInvalid``."""
    permit(actor, READ)
    with core.database.read() as tx:
        if not _known(tx, key):
            raise NotFound(f"There is no criterion “{key}”.")
        query = (
            sa.select(criteria_firings, catalog_items.c.version, feedback.c.location)
            .join(catalog_items, catalog_items.c.id == criteria_firings.c.criterion_item_id)
            .join(feedback, feedback.c.id == criteria_firings.c.feedback_id)
            .where(criteria_firings.c.criterion == key, seen_by(actor, feedback.c.location))
        )
        return page(tx, query, criteria_firings.c.id, _firing, limit=limit, after=after)


def would_fire(*, core: Core, actor: Actor, piece: Supposed) -> tuple[Would, ...]:
    """Return which criteria hold for a piece that nobody reported, and what each would give; nothing is written.

    Raises ``NoCatalog`` and ``NotPermitted``.
    """
    permit(actor, READ)
    now = core.clock.now()
    with core.database.read() as tx:
        catalog = releases.cached_current(tx, core).catalog
    matches = criteria.evaluate(catalog.criteria.values(), supposed_facts(catalog, piece))
    return tuple(_would(catalog, piece, each.rule, each.facts, now) for each in matches)


def supposed_facts(catalog: Catalog, piece: Supposed) -> Facts:
    """Return what criteria ask of a supposed piece."""
    location = piece.location if piece.location in catalog.locations else None
    tags = [key for key in piece.issue_tags if key in catalog.issue_tags]
    weekday, time = criteria.local_time(piece.occurred_at, catalog.time_zone(location))
    return Facts(
        source=piece.source,
        kind=piece.kind,
        event=piece.event,
        score_bp=piece.score_bp,
        scale=piece.scale,
        issue_tags=frozenset(above for tag in tags for above in catalog.lineage(tag)),
        words=criteria.spoken(piece.comment),
        segment=piece.segment,
        location=location,
        weekday=weekday,
        time=time,
        customer_value_minor=piece.customer_value_minor,
        currency=piece.currency or catalog.currency(location),
        severity=piece.severity if piece.severity is not None or not tags else catalog.issue_tags[tags[0]].severity,
        earlier_recoveries=piece.earlier_recoveries,
    )


def _would(catalog: Catalog, piece: Supposed, rule: Criterion, facts: Mapping[str, Any], now: datetime) -> Would:
    price, refused = None, None
    if criteria.gives(rule.then) or criteria.wants(rule.then, "offer"):
        issue = rule.then.get("issue") or {}
        try:
            price = pricing.price(
                catalog,
                issue_tag=next(iter(piece.issue_tags), ""),
                severity=piece.severity,
                location=piece.location,
                segment=piece.segment,
                now=now,
                incentive=issue.get("incentive"),
                amount_minor=issue.get("amount_minor"),
            )
        except Refusal as refusal:
            refused = refusal.slug
    return Would(
        key=rule.key, name=rule.name, mode=rule.mode, facts=facts, then=rule.then, price=price, refused=refused
    )


# --- rows -------------------------------------------------------------------------------------------------


def _rows(
    tx: Connection,
    actor: Actor,
    rules: Sequence[Criterion],
    item_ids: Mapping[releases.ItemName, uuid.UUID],
    now: datetime,
    *,
    last: int | None = None,
) -> list[CriterionRow]:
    ids = {rule.key: item_ids.get(("criterion", rule.key)) for rule in rules}
    versions = {
        row.id: row.version
        for row in tx.execute(
            sa.select(catalog_items.c.id, catalog_items.c.version).where(
                catalog_items.c.id.in_([each for each in ids.values() if each])
            )
        )
    }
    done = _done(tx, actor, list(ids), now)
    tripped = _tripped(tx, rules, now)
    return [
        CriterionRow(
            **{name: getattr(rule, name) for name in _OF_THE_RULE},
            version=versions.get(ids[rule.key], last or 0),
            week=done.get(rule.key, Done(outcomes={})),
            tripped=tuple(tripped.get(rule.key, ())),
        )
        for rule in rules
    ]


_OF_THE_RULE = (
    "key", "name", "priority", "mode", "stop", "when", "then", "settle_minutes", "breaker", "ask_above_minor",
    "holdout_percent",
)  # fmt: skip


def _done(tx: Connection, actor: Actor, keys: Sequence[str], now: datetime) -> dict[str, Done]:
    table = criteria_firings.c
    counted = (
        sa.select(
            table.criterion, table.mode, table.outcome, table.currency, sa.func.count(), sa.func.sum(table.cost_minor)
        )
        .where(table.criterion.in_(keys), table.at > now - WEEK)
        .group_by(table.criterion, table.mode, table.outcome, table.currency)
    )
    if actor.location is not None:
        counted = counted.join(feedback, feedback.c.id == table.feedback_id).where(seen_by(actor, feedback.c.location))
    rows = tx.execute(counted).all()
    return {key: _week([row for row in rows if row.criterion == key]) for key in keys}


def _week(rows: Iterable[Any]) -> Done:
    outcomes: dict[str, int] = {}
    costs: dict[str, dict[str, int]] = {"live": {}, "shadow": {}}
    for _, mode, outcome, currency, count, cost_minor in rows:
        outcomes[outcome] = outcomes.get(outcome, 0) + int(count)
        if currency and mode in costs:
            costs[mode][currency] = costs[mode].get(currency, 0) + int(cost_minor or 0)
    live, shadow = (
        tuple(Money(amount, currency) for currency, amount in sorted(each.items())) for each in costs.values()
    )
    return Done(outcomes=outcomes, costs=live, would_cost=shadow)


def _tripped(tx: Connection, rules: Sequence[Criterion], now: datetime) -> dict[str, list[Tripped]]:
    """Return the sources for which no more can be given in this hour, as the rows say in which breakers count."""
    limits = {rule.key: Breaker.of(rule.breaker) for rule in rules if rule.mode == "live" and rule.breaker}
    if not limits:
        return {}
    start_at = breakers.Hour.at("", "", now).start_at
    table = criteria_hours.c
    this_hour = sa.select(
        table.criterion, table.source, table.currency, table.count.label("number"), table.amount_minor
    )
    found: dict[str, dict[str, Tripped]] = {}
    for row in tx.execute(this_hour.where(table.criterion.in_(limits), table.hour_start_at == start_at)):
        limit = limits[row.criterion]
        most_count = limit.count_per_hour if row.currency == ANY_CURRENCY else None
        most_minor = limit.amount_minor_per_hour.get(row.currency)
        if (most_count is not None and row.number >= most_count) or (
            most_minor is not None and row.amount_minor >= most_minor
        ):
            sources = found.setdefault(row.criterion, {})
            sources[row.source] = Tripped(source=row.source, until_at=start_at + timedelta(hours=1))
    return {key: [sources[name] for name in sorted(sources)] for key, sources in found.items()}


def _known(tx: Connection, key: str) -> bool:
    if "\x00" in key:  # PostgreSQL cannot even be asked for it.
        return False
    query = sa.select(catalog_items.c.id).where(catalog_items.c.kind == Criterion.item_kind, catalog_items.c.key == key)
    return tx.execute(query.limit(1)).first() is not None


def _versions(tx: Connection, key: str) -> tuple[Version, ...]:
    """Return the versions of a criterion; of the releases that one was approved in the first says by whom."""
    item, member, release = catalog_items.c, catalog_release_items.c, catalog_releases.c
    rows = tx.execute(
        sa.select(
            item.version,
            item.definition,
            item.created_at,
            item.created_by,
            release.number,
            release.status,
            release.approved_at,
            release.approved_by,
        )
        .outerjoin(catalog_release_items, member.item_id == item.id)
        .outerjoin(catalog_releases, release.id == member.release_id)
        .where(item.kind == Criterion.item_kind, item.key == key)
        .order_by(item.version.desc(), release.number)
    ).all()
    labels = {label for row in rows for label in (row.created_by, row.approved_by) if label}
    names = actor_names(tx, labels)
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.version, []).append(row)
    return tuple(_version(each, names) for each in found.values())


def _version(rows: Sequence[Any], names: Mapping[str, str]) -> Version:
    first = rows[0]
    approved = next((row for row in rows if row.approved_at is not None), None)
    return Version(
        version=first.version,
        definition=first.definition,
        created_at=first.created_at,
        created_by_name=names.get(first.created_by, first.created_by),
        approved_at=approved.approved_at if approved else None,
        approved_by_name=names.get(approved.approved_by, approved.approved_by) if approved else None,
        in_force=any(row.status == "approved" for row in rows),
    )


def _firing(row: Any) -> FiringRow:
    cost = Money(row.cost_minor, row.currency) if row.cost_minor is not None else None
    names = [name for name in FiringRow.__dataclass_fields__ if name != "cost"]
    return FiringRow(**{name: getattr(row, name) for name in names}, cost=cost)
