"""How long the steps of a recovery took, by the wall clock and in business hours, and whether that was in time."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.business_hours import END_OF_DAY, WEEKDAYS, are_ever_open
from incentives.kernel.core import Core
from incentives.queries.reports.asked import Asked, Window, catalog_for, labels_of, window
from incentives.queries.reports.facts import case_facts, cohort_of, in_order, listed, numbers_of
from incentives.queries.reports.funnel import share_bp
from incentives.queries.reports.statistics import percentile
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
_LONG_AGO = -(2**62)
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
        lots = _lots(tx, catalog, actor, span, asked, by)
        clocks = _clocks(tx, catalog, actor, span, asked, now)
    calendars = _calendars(catalog, {each.location for each in lots}, span)
    business: dict[str, list[int]] = {name: [] for name in TIMED}
    for each in lots:
        each.reckon(calendars[each.location], business)
    return Times(
        window=span,
        cases=sum(len(each.opened) for each in lots),
        steps=tuple(_timing(lots, sorted(business[name]), clocks, name) for name in TIMED),
        by=by,
        groups=_groups(catalog, lots, by),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lot:
    """The cases of one value of a dimension at one place: when each was opened, and its seconds until each step.

    The seconds are texts, empty for a case that did not come to a step; ``wall`` are the minutes of those that did.
    """

    key: str
    location: str | None
    opened: list[int]
    taken: Mapping[str, str]
    wall: dict[str, list[int]] = field(default_factory=dict)

    def reckon(self, calendar: "_Calendar", business: Mapping[str, list[int]]) -> None:
        """Reckon the minutes by the wall clock, and add those in business hours to what is known by step."""
        starts = calendar.places(self.opened)
        for name, texts in self.taken.items():
            steps = zip(texts.split(","), self.opened, starts, strict=True)
            known = [(int(text), opened, start) for text, opened, start in steps if text]
            self.wall[name] = [taken // _MINUTE_SECONDS for taken, _, _ in known]
            ends = calendar.places([opened + taken for taken, opened, _ in known])
            business[name] += [
                max(0, end - start) // _MINUTE_SECONDS for end, (_, _, start) in zip(ends, known, strict=True)
            ]


def _lots(tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked, by: str) -> list[_Lot]:
    """Return the cases in lots, by a dimension and the place, whose hours count."""
    row = case_facts(tx, catalog, actor, span, asked, steps=[*(name for name in TIMED if name != "closed"), by]).c
    query = sa.select(
        row[by],
        row.location,
        listed(row.opened),
        # Every case has its place in every list, so that its opening is known to each of its steps.
        *(sa.func.aggregate_strings(sa.func.coalesce(sa.cast(row[name] - row.opened, sa.Text()), ""), ",")
          for name in TIMED),
    ).group_by(*dict.fromkeys((row[by], row.location)))  # fmt: skip
    return [
        _Lot(
            key="" if key is None else str(key),
            location=location,
            opened=numbers_of(opened),
            taken=dict(zip(TIMED, lists, strict=True)),
        )
        for key, location, opened, *lists in tx.execute(query)
    ]


def _timing(lots: Sequence[_Lot], business: Sequence[int], clocks: Mapping[str, tuple[int, int]], name: str) -> Timing:
    wall = _wall(lots, name)
    in_time, ended = clocks.get(TIMED[name] or "", (0, 0))
    return Timing(
        name=name,
        count=len(wall),
        wall_minutes=tuple(percentile(wall, percent) for percent in PERCENTILES),
        business_minutes=tuple(percentile(business, percent) for percent in PERCENTILES),
        in_time=in_time,
        ended=ended,
        in_time_bp=share_bp(in_time, ended),
    )


def _wall(lots: Sequence[_Lot], name: str) -> list[int]:
    """Return the minutes by the wall clock, sorted."""
    return in_order(chain.from_iterable(each.wall[name] for each in lots))


def _groups(catalog: Catalog, lots: Sequence[_Lot], by: str) -> tuple[TimingGroup, ...]:
    members: dict[str, list[_Lot]] = {}
    for each in lots:
        members.setdefault(each.key, []).append(each)
    labels = labels_of(catalog, by, members)
    rows = [
        TimingGroup(
            key=key,
            label=labels[key],
            cases=sum(len(each.opened) for each in found),
            medians={name: percentile(_wall(found, name), 50) for name in TIMED},
        )
        for key, found in members.items()
    ]
    return tuple(sorted(rows, key=lambda each: (-each.cases, each.key)))


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
        .where(*cohort_of(catalog, actor, span, asked), sa.or_(clock.met_at.is_not(None), clock.due_at < now))
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

    def places(self, instants: Sequence[int]) -> list[int]:
        """Return where on the line instants in seconds are, in seconds of business time."""
        if self._always:
            return list(instants)
        opens, lengths, before = self._opens, self._lengths, self._before
        return [
            before[day] + (gone if (gone := at - opens[day]) < lengths[day] else lengths[day])
            for at in instants
            for day in (bisect_right(opens, at) - 1,)
        ]

    def _lay_out(self, zone: ZoneInfo, hours: Mapping[str, Sequence[str]], span: Window) -> None:
        day, gone = span.from_date - timedelta(days=1), 0
        # Before the first opening no business time has passed: a day that has no length says so.
        self._opens, self._lengths, self._before = [_LONG_AGO], [0], [0]
        while day <= span.until_date + _RUNS_OUT:
            opens, closes = hours.get(WEEKDAYS[day.weekday()], ("", ""))
            if opens < closes:
                start, end = _instant(day, opens, zone), _instant(day, closes, zone)
                self._opens.append(start)
                self._lengths.append(max(0, end - start))
                self._before.append(gone)
                gone += max(0, end - start)
            day += timedelta(days=1)


def _instant(day: object, local: str, zone: ZoneInfo) -> int:
    text = "00:00" if local == END_OF_DAY else local
    at = datetime.fromisoformat(f"{day} {text}").replace(tzinfo=zone)
    if local == END_OF_DAY:
        at += timedelta(days=1)
    return int(at.astimezone(UTC).timestamp())


def _calendars(catalog: Catalog, places: Iterable[str | None], span: Window) -> dict[str | None, _Calendar]:
    """Return the calendar of each place; places with the same hours in the same zone share one."""
    made: dict[tuple[str, str], _Calendar] = {}
    found: dict[str | None, _Calendar] = {}
    for place in places:
        known = place if place in catalog.locations else None
        zone, hours = catalog.time_zone(known), catalog.hours(known)
        mark = (zone, repr(sorted(hours.items())))
        if mark not in made:
            made[mark] = _Calendar(zone, hours, span)
        found[place] = made[mark]
    return found
