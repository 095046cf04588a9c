"""How long the steps of a recovery took, by the wall clock and in business hours, and whether that was in time."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.business_hours import END_OF_DAY, WEEKDAYS, are_ever_open
from incentives.kernel.core import Core
from incentives.queries.reports.asked import Asked, Window, catalog_for, labels_of, window
from incentives.queries.reports.facts import CaseFacts, case_facts, kept_to
from incentives.queries.reports.funnel import share_bp
from incentives.queries.reports.statistics import percentile
from incentives.queries.scope import seen_by
from incentives.recovery.tables import case_clocks, recovery_cases

# What is timed, and the clock of the protocol that it belongs to.
TIMED: Mapping[str, str | None] = {
    "contacted": "first_contact",
    "apologized": "apology",
    "issued": "incentive",
    "delivered": None,
    "fixed": "fix",
    "closed": "close",
}
PERCENTILES = (50, 75, 90, 95)

_MINUTE_SECONDS = 60
_RUNS_OUT = timedelta(days=60)  # so long after its period a case may still be worked on in business hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One step: percentiles of its minutes since opening, and how many of the clocks that ended were met in time."""

    name: str
    count: int
    wall_minutes: tuple[int | None, ...]
    business_minutes: tuple[int | None, ...]
    in_time: int
    ended: int
    in_time_bp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingGroup:
    """The median minutes of each step for one value of a dimension."""

    key: str
    label: str
    cases: int
    medians: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The times of the cases that were opened in a period."""

    window: Window
    cases: int
    steps: tuple[Timing, ...]
    by: str
    groups: tuple[TimingGroup, ...]


def times(*, core: Core, actor: Actor, asked: Asked, by: str = "team") -> Times:
    """Return the times. Raises ``NotPermitted``, ``NoCatalog`` and ``InputInvalid``."""
    catalog = catalog_for(core, actor)
    now = core.clock.now()
    span = window(catalog, now, asked)
    with core.database.read() as tx:
        cases = case_facts(tx, catalog, actor, span, asked)
        clocks = _clocks(tx, catalog, actor, span, asked, now)
    calendars = _calendars(catalog, cases, span)
    return Times(
        window=span,
        cases=len(cases),
        steps=tuple(_timing(cases, calendars, clocks, name) for name in TIMED),
        by=by,
        groups=_groups(catalog, cases, by),
    )


def _timing(
    cases: Sequence[CaseFacts],
    calendars: Mapping[str | None, "_Calendar"],
    clocks: Mapping[str, tuple[int, int]],
    name: str,
) -> Timing:
    then = attrgetter(name)
    pairs = [(each.location, each.opened, at) for each in cases if (at := then(each)) is not None]
    wall = sorted(max(0, later - opened) // _MINUTE_SECONDS for _, opened, later in pairs)
    business = sorted(calendars[place].minutes(opened, later) for place, opened, later in pairs)
    in_time, ended = clocks.get(TIMED[name] or "", (0, 0))
    return Timing(
        name=name,
        count=len(pairs),
        wall_minutes=tuple(percentile(wall, percent) for percent in PERCENTILES),
        business_minutes=tuple(percentile(business, percent) for percent in PERCENTILES),
        in_time=in_time,
        ended=ended,
        in_time_bp=share_bp(in_time, ended),
    )


def _groups(catalog: Catalog, cases: Sequence[CaseFacts], by: str) -> tuple[TimingGroup, ...]:
    index = CaseFacts._fields.index(by)
    members: dict[str, list[CaseFacts]] = {}
    for each in cases:
        members.setdefault("" if each[index] is None else str(each[index]), []).append(each)
    labels = labels_of(catalog, by, members)
    rows = [
        TimingGroup(
            key=key, label=labels[key], cases=len(found), medians={name: _median(found, name) for name in TIMED}
        )
        for key, found in members.items()
    ]
    return tuple(sorted(rows, key=lambda each: (-each.cases, each.key)))


def _median(cases: Sequence[CaseFacts], name: str) -> int | None:
    then = attrgetter(name)
    minutes = [max(0, at - each.opened) // _MINUTE_SECONDS for each in cases if (at := then(each)) is not None]
    return percentile(sorted(minutes), 50)


def _clocks(
    tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked, now: datetime
) -> dict[str, tuple[int, int]]:
    """Return, by clock, how many were met in time and how many ended: met, or over."""
    case, clock = recovery_cases.c, case_clocks.c
    in_time = sa.case((clock.met_at <= clock.due_at, 1), else_=0)
    query = (
        sa.select(clock.clock, sa.func.sum(in_time), sa.func.count())
        .select_from(case_clocks)
        .join(recovery_cases, case.id == clock.case_id)
        .where(
            case.opened_at >= span.from_at,
            case.opened_at < span.until_at,
            case.merged_into_id.is_(None),
            seen_by(actor, case.location),
            sa.or_(clock.met_at.is_not(None), clock.due_at < now),
            *(
                kept_to(catalog, case[name], name, value)
                for name, value in asked.wanted().items()
                if name not in ("incentive", "channel")
            ),
        )
        .group_by(clock.clock)
    )
    return {name: (int(met), ended) for name, met, ended in tx.execute(query)}


class _Calendar:
    """The business time of a place as one long line: minutes between two instants are the distance on it."""

    def __init__(self, zone: str, hours: Mapping[str, Sequence[str]], span: Window) -> None:
        self._opens: list[int] = []
        self._lengths: list[int] = []
        self._before: list[int] = []
        self._always = not hours or not are_ever_open(hours)
        if not self._always:
            self._lay_out(ZoneInfo(zone), hours, span)

    def minutes(self, start: int, end: int) -> int:
        """Return the business minutes between two instants in seconds."""
        if self._always:
            return max(0, end - start) // _MINUTE_SECONDS
        return max(0, self._place(end) - self._place(start)) // _MINUTE_SECONDS

    def _lay_out(self, zone: ZoneInfo, hours: Mapping[str, Sequence[str]], span: Window) -> None:
        day, gone = span.from_date - timedelta(days=1), 0
        while day <= span.until_date + _RUNS_OUT:
            opens, closes = hours.get(WEEKDAYS[day.weekday()], ("", ""))
            if opens < closes:
                start, end = _instant(day, opens, zone), _instant(day, closes, zone)
                self._opens.append(start)
                self._lengths.append(max(0, end - start))
                self._before.append(gone)
                gone += max(0, end - start)
            day += timedelta(days=1)

    def _place(self, at: int) -> int:
        found = bisect_right(self._opens, at) - 1
        return self._before[found] + min(at - self._opens[found], self._lengths[found]) if found >= 0 else 0


def _instant(day: object, local: str, zone: ZoneInfo) -> int:
    text = "00:00" if local == END_OF_DAY else local
    at = datetime.fromisoformat(f"{day} {text}").replace(tzinfo=zone)
    if local == END_OF_DAY:
        at += timedelta(days=1)
    return int(at.astimezone(UTC).timestamp())


def _calendars(catalog: Catalog, cases: Sequence[CaseFacts], span: Window) -> dict[str | None, _Calendar]:
    """Return the calendar of each place; places with the same hours in the same zone share one."""
    made: dict[tuple[str, str], _Calendar] = {}
    found: dict[str | None, _Calendar] = {}
    for place in {each.location for each in cases}:
        known = place if place in catalog.locations else None
        zone, hours = catalog.time_zone(known), catalog.hours(known)
        mark = (zone, repr(sorted(hours.items())))
        if mark not in made:
            made[mark] = _Calendar(zone, hours, span)
        found[place] = made[mark]
    return found
