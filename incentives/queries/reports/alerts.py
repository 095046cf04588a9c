"""Spike alerts: more trouble than the season explains, by tag and place, by tag, and by cause."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.reports.asked import Asked, Window, catalog_for, day_number, labels_of, window
from incentives.queries.reports.funnel import trouble
from incentives.queries.reports.spikes import LOOK_BACK_DAYS, Rhythm, Series, Spike, whole_of
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import case_causes, incidents, recovery_cases

RECENT_DAYS = 7
KINDS = ("place", "tag", "cause")
"""A tag at a place, a tag everywhere, a cause everywhere: three families of series, each tested by itself."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Too much of something: since when it was seen, and the latest count beside what was expected (in tenths)."""

    kind: str
    what: str
    label: str
    location: str | None
    location_name: str | None
    since_date: date
    last_date: date
    days: int
    count: int
    expected_tenths: int
    incident_id: uuid.UUID | None


def alerts(*, core: Core, actor: Actor) -> tuple[Alert, ...]:
    """Return what spiked within the last seven days, the least explicable first.

    Raises ``NotPermitted`` and ``NoCatalog``. Today counts as far as it has come, against what a whole day should have.
    """
    catalog = catalog_for(core, actor)
    now = core.clock.now()
    today = window(catalog, now, Asked(), usual_days=1).until_date
    # A multiple of weeks, so that day 0 is the same weekday always.
    span = window(catalog, now, Asked(from_date=today - (LOOK_BACK_DAYS + RECENT_DAYS - 1) * _DAY, until_date=today))
    with core.database.read() as tx:
        families = daily_counts(tx, catalog, actor, span)
        open_incidents = _open_incidents(tx, actor)
    days = (span.until_date - span.from_date).days + 1
    found = [
        (spike, _alert(catalog, kind, since, spike, span, open_incidents))
        for kind, series in families.items()
        for since, spike in recent(series, days, RECENT_DAYS)
    ]
    found.sort(key=lambda each: each[0].chance)
    return tuple(alert for _, alert in found)


def daily_counts(tx: Connection, catalog: Catalog, actor: Actor, span: Window) -> dict[str, Series]:
    """Return the daily counts of each family over a period."""
    days = (span.until_date - span.from_date).days + 1
    places = _trouble_by_day(tx, catalog, actor, span, days)
    tags: dict[tuple[str, str], list[int]] = {}
    for (tag, _), counts in places.items():
        whole = tags.setdefault((tag, ""), [0] * days)
        tags[tag, ""] = [one + other for one, other in zip(whole, counts, strict=True)]
    at_places = {key: counts for key, counts in places.items() if key[1]}
    return {"place": at_places, "tag": tags, "cause": _causes_by_day(tx, actor, span, days)}


def recent(series: Series, days: int, look_at: int) -> list[tuple[int, Spike]]:
    """Return, of the last days, each series' latest spike and the first day on which it had one."""
    whole = whole_of(series, days)
    latest: dict[tuple[str, str], tuple[int, Spike]] = {}
    for day in range(days - look_at, days):
        for spike in Rhythm(series, whole, day).spikes():
            first = latest.get((spike.what, spike.where), (day, spike))[0]
            latest[spike.what, spike.where] = (first, spike)
    return list(latest.values())


def _trouble_by_day(
    tx: Connection, catalog: Catalog, actor: Actor, span: Window, days: int
) -> dict[tuple[str, str], list[int]]:
    said = feedback.c
    day = day_number(tx, said.occurred_at, span)
    rows = tx.execute(
        sa.select(said.issue_tag, said.location, day, sa.func.count())
        .where(
            said.occurred_at >= span.from_at,
            said.occurred_at < span.until_at,
            said.issue_tag.is_not(None),
            trouble(catalog),
            seen_by(actor, said.location),
        )
        .group_by(said.issue_tag, said.location, day)
    )
    return _series(((tag, place or ""), number, count, days) for tag, place, number, count in rows)


def _causes_by_day(tx: Connection, actor: Actor, span: Window, days: int) -> dict[tuple[str, str], list[int]]:
    """Return causes by the day on which they were found: when a case is closed."""
    case, cause = recovery_cases.c, case_causes.c
    day = day_number(tx, case.closed_at, span)
    rows = tx.execute(
        sa.select(cause.cause, day, sa.func.count())
        .select_from(case_causes)
        .join(recovery_cases, case.id == cause.case_id)
        .where(
            case.closed_at >= span.from_at,
            case.closed_at < span.until_at,
            case.merged_into_id.is_(None),
            seen_by(actor, case.location),
        )
        .group_by(cause.cause, day)
    )
    return _series(((name, ""), number, count, days) for name, number, count in rows)


def _series(counted: object) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for key, day, count, days in counted:  # type: ignore[attr-defined]  # a generator of rows
        found.setdefault(key, [0] * days)[day] += count
    return found


def _open_incidents(tx: Connection, actor: Actor) -> Mapping[tuple[str, str], tuple[uuid.UUID, datetime]]:
    table = incidents.c
    rows = tx.execute(
        sa.select(table.id, table.issue_tag, table.location, table.started_at)
        .where(table.closed_at.is_(None), seen_by(actor, table.location))
        .order_by(table.opened_at)
    )
    return {(row.issue_tag, row.location or ""): (row.id, row.started_at) for row in rows}


def _alert(
    catalog: Catalog,
    kind: str,
    since: int,
    spike: Spike,
    span: Window,
    open_incidents: Mapping[tuple[str, str], tuple[uuid.UUID, datetime]],
) -> Alert:
    dimension = "cause" if kind == "cause" else "issue_tag"
    places: Sequence[str] = [spike.where] if spike.where else []
    incident = open_incidents.get((spike.what, spike.where)) or open_incidents.get((spike.what, ""))
    return Alert(
        kind=kind,
        what=spike.what,
        label=labels_of(catalog, dimension, [spike.what])[spike.what],
        location=spike.where or None,
        location_name=labels_of(catalog, "location", places).get(spike.where),
        since_date=span.from_date + (since - spike.days + 1) * _DAY,
        last_date=span.from_date + spike.day * _DAY,
        days=spike.days,
        count=spike.count,
        expected_tenths=round(spike.expected * 10),
        incident_id=incident[0] if incident and kind != "cause" else None,
    )
