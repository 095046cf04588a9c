"""What a report is asked for: from when until when, and of what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid

READ = "reports:read"
DIMENSIONS = ("issue_tag", "location", "team", "source", "product", "incentive", "severity", "segment", "channel")
NOTHING = ""
"""Stands for "none" where a report is split: cases without a product, a team …"""

_USUAL_DAYS = 90
_DAY_OF_1970 = "2440587.5"
_FIRST_YEAR, _LAST_YEAR = 2000, 2200  # within what every calendar here can count
_MOST_DAYS = 800
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The first and the last day (both included, the brand's zone) and what to keep to; None is everything.

    An issue tag includes all below it. Severity is a text here, as it comes from an address.
    """

    from_date: date | None = None
    until_date: date | None = None
    issue_tag: str | None = None
    location: str | None = None
    team: str | None = None
    source: str | None = None
    product: str | None = None
    incentive: str | None = None
    severity: str | None = None
    segment: str | None = None
    channel: str | None = None

    def wanted(self) -> dict[str, str]:
        """Return what to keep to, by dimension."""
        return {name: value for name in DIMENSIONS if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A period as days and as instants, half-open, in the brand's zone."""

    from_date: date
    until_date: date
    from_at: datetime
    until_at: datetime
    time_zone: str


def catalog_for(core: Core, actor: Actor, permission: str = READ) -> Catalog:
    """Return the catalog in force for somebody who may see reports. Raises ``NotPermitted`` and ``NoCatalog``."""
    permit(actor, permission)
    with core.database.read() as tx:
        return releases.cached_current(tx, core).catalog


def window(catalog: Catalog, now: datetime, asked: Asked, *, usual_days: int = _USUAL_DAYS) -> Window:
    """Return the period that was asked for, else the last ninety days. Raises ``InputInvalid``."""
    zone = ZoneInfo(catalog.brand.time_zone)
    last = asked.until_date or now.astimezone(zone).date()
    within_calendar(Asked(until_date=last))
    first = asked.from_date or last - (usual_days - 1) * _DAY
    if first > last:
        raise _wrong("from_date", "The first day is after the last.")
    if (last - first).days >= _MOST_DAYS:
        raise _wrong("from_date", f"A report covers at most {_MOST_DAYS} days.")
    return Window(
        from_date=first,
        until_date=last,
        from_at=midnight(first, zone),
        until_at=midnight(last + _DAY, zone),
        time_zone=zone.key,
    )


def within_calendar(asked: Asked) -> None:
    """Refuse days that cannot be counted from: weeks before the first and after the last day there is."""
    for name, day in (("from_date", asked.from_date), ("until_date", asked.until_date)):
        if day is not None and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            raise _wrong(name, "Choose a day of this century.")


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a local day begins."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def tags_below(catalog: Catalog, key: str) -> list[str]:
    """Return an issue tag and all below it."""
    return [key, *(each for each in catalog.issue_tags if each != key and key in catalog.lineage(each))]


def seconds(tx: Connection, column: ColumnElement[Any]) -> ColumnElement[int]:
    """Return an instant as whole seconds since 1970: numbers come out of a database ten times as fast as instants."""
    if tx.dialect.name == "sqlite":
        # Reckoned from the day's number, whose last digits are microseconds: a third of what STRFTIME takes.
        day: ColumnElement[float] = sa.func.julianday(column, type_=sa.Float())
        return sa.cast((day - _lite(_DAY_OF_1970)) * _lite("86400.0") + _lite("0.0005"), sa.BigInteger)
    # EXTRACT would reckon in NUMERIC, which takes several times as long.
    return sa.cast(sa.func.floor(sa.func.date_part("epoch", column)), sa.BigInteger)


def days_after(tx: Connection, column: ColumnElement[Any], days: int) -> ColumnElement[Any]:
    """Return the instant so many days later, to be compared with others of its database."""
    if tx.dialect.name != "sqlite":
        return sa.type_coerce(column, sa.DateTime(timezone=True)) + sa.literal(timedelta(days=days), sa.Interval())
    # Instants are texts there; the nines stand for what is smaller than the thousandths that SQLite reckons in.
    return sa.func.strftime("%Y-%m-%d %H:%M:%f", column, f"+{days} days", type_=sa.Text()).concat("999")


def _lite(number: str) -> ColumnElement[float]:
    return sa.literal_column(number, sa.Float())


def local_seconds(tx: Connection, column: ColumnElement[Any], span: Window) -> ColumnElement[int]:
    """Return the seconds of a period's own clock on the wall, so that days and weeks are whole numbers of them."""
    shifts = _shifts(span)
    offset: ColumnElement[int] = (
        sa.case(*((column < at, sa.literal(before)) for at, before in shifts[:-1]), else_=sa.literal(shifts[-1][1]))
        if len(shifts) > 1
        else sa.literal(shifts[0][1])
    )
    return seconds(tx, column) + offset


def day_number(tx: Connection, column: ColumnElement[Any], span: Window) -> ColumnElement[int]:
    """Return on which day of a period something was: 0 is the first."""
    return _whole((local_seconds(tx, column, span) - sa.literal(_local_start(span.from_date))), 86_400)


def week_number(tx: Connection, column: ColumnElement[Any], span: Window) -> ColumnElement[int]:
    """Return in which week of a period something was; the period begins on a Monday, week 0."""
    return _whole((local_seconds(tx, column, span) - sa.literal(_local_start(span.from_date))), 7 * 86_400)


def _whole(number: ColumnElement[int], by: int) -> ColumnElement[int]:
    return number.op("/", precedence=8)(
        sa.literal_column(str(by))
    )  # of whole numbers both databases give the whole part


def _local_start(day: date) -> int:
    return int(datetime.combine(day, time.min, UTC).timestamp())


def _shifts(span: Window) -> list[tuple[datetime, int]]:
    """Return until when which offset from UTC holds, hour by hour looked at only where a day has another length."""
    zone = ZoneInfo(span.time_zone)
    found: list[tuple[datetime, int]] = []
    at, offset = span.from_at, _offset(span.from_at, zone)
    while at < span.until_at:
        later = min(at + _DAY, span.until_at)
        if _offset(later, zone) != offset:
            turn = at
            while _offset(turn, zone) == offset:
                turn += timedelta(minutes=15)
            found.append((turn, offset))
            offset = _offset(later, zone)
        at = later
    return [*found, (span.until_at, offset)]


def _offset(at: datetime, zone: ZoneInfo) -> int:
    shift = at.astimezone(zone).utcoffset()
    return int(shift.total_seconds()) if shift else 0


def labels_of(catalog: Catalog, dimension: str, keys: Iterable[str]) -> Mapping[str, str]:
    """Return what the values of a dimension are called in the brand's language."""
    words: Mapping[str, str]
    if dimension == "location":
        words = {key: each.name for key, each in catalog.locations.items()}
    elif dimension == "team":
        words = {key: each.name for key, each in catalog.teams.items()}
    elif dimension in ("issue_tag", "cause"):
        tree = catalog.issue_tags if dimension == "issue_tag" else catalog.root_causes
        words = {key: catalog.words(each.label, None) for key, each in tree.items()}
    elif dimension == "incentive":
        words = {key: catalog.words(each.title, None) for key, each in catalog.incentives.items()}
    else:
        words = {}
    return {key: words.get(key, key) or "none" for key in keys}


def _wrong(field: str, message: str) -> InputInvalid:
    return InputInvalid(message, errors=[{"field": field, "message": message}])
