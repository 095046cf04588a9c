"""What keeps going wrong: by week, by tag, cause, place, product and team; week on week; what is new; what it costs.

A week counts against the one before it by the volume of all feedback, so that a busy week is no trend. Of all that is
tested at once, at most one in twenty that are called significant is so by chance (Benjamini and Hochberg).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, NoCatalog
from incentives.queries.letters import actor_names
from incentives.queries.reports import statistics
from incentives.queries.reports.asked import (
    Asked,
    Window,
    catalog_for,
    labels_of,
    week_number,
    window,
    within_calendar,
)
from incentives.queries.reports.facts import kept_to
from incentives.queries.reports.funnel import ON_FEEDBACK, trouble
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import case_causes, recovery_cases

BY = ("issue_tag", "cause", "location", "product", "team")
"""Tags, places and products are counted in feedback; causes and teams only cases have."""
OWNER = "owner"
"""Whose cases they were: only where the policy does not keep reports free of blame."""

FALSE_SHARE = 0.05
_WEEKS = 13
_NEW_LEAST = 3
_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)
_PERMILLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One series: its count a week, and how the last whole week differs from the one before.

    ``change_permille`` is of the rate, in thousandths of the week before (None: there was nothing); ``q_permille`` is
    the share of false alarms among all that are as clear. ``new`` is what the period had not seen before.
    """

    key: str
    label: str
    counts: tuple[int, ...]
    change_permille: int | None
    q_permille: int | None
    significant: bool
    new: bool

    @property
    def total(self) -> int:
        """Return how many in all."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    """Whole weeks by their Monday, all feedback in each, and the series, the largest first; ``least`` by policy."""

    window: Window
    by: str
    weeks: tuple[date, ...]
    volume: tuple[int, ...]
    least: int
    series: tuple[Trend, ...]


def trends(*, core: Core, actor: Actor, asked: Asked, by: str = "issue_tag") -> Trends:
    """Return the trends of whole weeks, of people only as ``dimensions`` offers them.

    Raises ``NotPermitted``, ``NoCatalog`` and ``InputInvalid``.
    """
    catalog = catalog_for(core, actor)
    offered = _dimensions(catalog)
    if by not in offered:
        raise InputInvalid(errors=[{"field": "by", "message": f"Choose one of {', '.join(offered)}."}])
    span = whole_weeks(catalog, core, asked)
    number = ((span.until_date - span.from_date).days + 1) // 7
    with core.database.read() as tx:
        volume = _volume(tx, actor, span, number)
        counted = _of_cases if by in ("cause", "team", OWNER) else _of_feedback
        series = counted(tx, catalog, actor, span, asked, by, number)
        labels = _names(tx, series) if by == OWNER else labels_of(catalog, by, series)
    return Trends(
        window=span,
        by=by,
        weeks=tuple(span.from_date + week * _WEEK for week in range(number)),
        volume=tuple(volume),
        least=catalog.recovery.trend_volume_least,
        series=_tested(series, volume, labels, catalog.recovery.trend_volume_least),
    )


def dimensions(*, core: Core, actor: Actor) -> tuple[str, ...]:
    """Return what trends can be of, by the policy in force; no policy names nobody. Raises ``NotPermitted``."""
    try:
        return _dimensions(catalog_for(core, actor))
    except NoCatalog:
        return BY


def _dimensions(catalog: Catalog) -> tuple[str, ...]:
    return BY if catalog.recovery.blame_free else (*BY, OWNER)


def _names(tx: Connection, owners: Iterable[str]) -> dict[str, str]:
    names = actor_names(tx, {each for each in owners if each})
    return {each: names.get(each, each) or "Nobody" for each in owners}


def whole_weeks(catalog: Catalog, core: Core, asked: Asked) -> Window:
    """Return the whole weeks, Monday to Sunday, within what was asked for; else the last thirteen."""
    within_calendar(asked)
    today = window(catalog, core.clock.now(), Asked(), usual_days=1).until_date
    last = min(asked.until_date or today, today)
    until = last - timedelta(days=(last.weekday() + 1) % 7) if last < today else last - (last.weekday() + 1) * _DAY
    first = asked.from_date or until - _WEEKS * _WEEK + _DAY
    first += (-first.weekday() % 7) * _DAY
    if first > until:
        raise InputInvalid(
            "There is no whole week between these days.",
            errors=[
                {"field": "from_date", "message": "Choose days with a whole week, Monday to Sunday, between them."}
            ],
        )
    return window(catalog, core.clock.now(), Asked(from_date=first, until_date=until))


def _volume(tx: Connection, actor: Actor, span: Window, number: int) -> list[int]:
    said = feedback.c
    week = week_number(tx, said.occurred_at, span)
    rows = tx.execute(
        sa.select(week, sa.func.count())
        .where(
            said.occurred_at >= span.from_at,
            said.occurred_at < span.until_at,
            said.survey_id.is_(None),
            seen_by(actor, said.location),
        )
        .group_by(week)
    )
    found: dict[int, int] = {number_of_week: count for number_of_week, count in rows}  # noqa: C416 - rows are no pairs to mypy
    return [int(found.get(each, 0)) for each in range(number)]


def _of_feedback(
    tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked, by: str, number: int
) -> dict[str, list[int]]:
    said = feedback.c
    week = week_number(tx, said.occurred_at, span)
    wanted = {name: value for name, value in asked.wanted().items() if name in ON_FEEDBACK}
    query = (
        sa.select(said[by], week, sa.func.count())
        .where(
            said.occurred_at >= span.from_at,
            said.occurred_at < span.until_at,
            trouble(catalog),
            seen_by(actor, said.location),
            *(kept_to(catalog, said[name], name, value) for name, value in wanted.items()),
        )
        .group_by(said[by], week)
    )
    return _by_week(tx, query, number)


def _of_cases(
    tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked, by: str, number: int
) -> dict[str, list[int]]:
    case = recovery_cases.c
    week = week_number(tx, case.opened_at, span)
    value: ColumnElement[Any] = case_causes.c.cause if by == "cause" else case[by]
    source = recovery_cases.join(case_causes, case_causes.c.case_id == case.id) if by == "cause" else recovery_cases
    wanted = {name: value for name, value in asked.wanted().items() if name not in ("incentive", "channel")}
    query = (
        sa.select(value, week, sa.func.count())
        .select_from(source)
        .where(
            case.opened_at >= span.from_at,
            case.opened_at < span.until_at,
            case.merged_into_id.is_(None),
            seen_by(actor, case.location),
            *(kept_to(catalog, case[name], name, wanted_value) for name, wanted_value in wanted.items()),
        )
        .group_by(value, week)
    )
    return _by_week(tx, query, number)


def _by_week(tx: Connection, query: sa.Select[Any], number: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for key, week, count in tx.execute(query):
        found.setdefault(key or "", [0] * number)[int(week)] += count
    return found


def _tested(
    series: Mapping[str, Sequence[int]], volume: Sequence[int], labels: Mapping[str, str], least: int
) -> tuple[Trend, ...]:
    now, before = (volume[-1], volume[-2]) if len(volume) > 1 else (0, 0)
    tested = {
        key: statistics.change(counts[-1], now, counts[-2], before)
        for key, counts in series.items()
        if len(counts) > 1 and max(counts[-1], counts[-2]) >= least
    }
    q_values = dict(zip(tested, statistics.benjamini_hochberg(list(tested.values())), strict=True))
    found = [
        Trend(
            key=key,
            label=labels[key],
            counts=tuple(counts),
            change_permille=_change(counts, now, before),
            q_permille=round(q_values[key] * _PERMILLE) if key in q_values else None,
            significant=q_values.get(key, 1.0) <= FALSE_SHARE,
            new=len(counts) > 1 and counts[-1] >= _NEW_LEAST and not any(counts[:-1]),
        )
        for key, counts in series.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.total, each.key)))


def _change(counts: Sequence[int], now: int, before: int) -> int | None:
    """Return by how much the rate changed, in thousandths of what it was."""
    if len(counts) < 2 or not counts[-2] or not now or not before:  # noqa: PLR2004 - two weeks
        return None
    return round(_PERMILLE * counts[-1] * before / (counts[-2] * now)) - _PERMILLE
