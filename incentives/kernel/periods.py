"""Calendar periods, half-open, in a time zone of their own, across daylight saving."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

_QUARTER_MONTHS = 3
_YEAR_MONTHS = 12


class PeriodKind(StrEnum):
    """How long a budget lasts before it starts anew."""

    NONE = "none"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open stretch of time ``[start_at, end_at)``; the kind ``none`` has no bounds and an empty key."""

    key: str
    start_at: datetime | None
    end_at: datetime | None


@lru_cache(maxsize=256)  # the rows of one batch ask for the same few, each at the same instant
def period_of(instant: datetime, kind: str, time_zone: str, week_start: int = 0) -> Period:
    """Return the period that holds an instant.

    ``week_start`` is 0 for Monday … 6 for Sunday. The key is the local date of the first day, so it names the
    period for people too.
    """
    if kind == PeriodKind.NONE:
        return Period(key="", start_at=None, end_at=None)
    zone = ZoneInfo(time_zone)
    first, after = _days(_day(instant, zone), PeriodKind(kind), week_start)
    return Period(key=first.isoformat(), start_at=_midnight(first, zone), end_at=_midnight(after, zone))


def period_of_key(key: str, kind: str, time_zone: str, week_start: int = 0) -> Period:
    """Return the period that a key names. Raises ``ValueError`` for a key that no period of the kind has."""
    if kind == PeriodKind.NONE:
        period = Period(key="", start_at=None, end_at=None)
    else:
        zone = ZoneInfo(time_zone)
        try:
            period = period_of(_midnight(date.fromisoformat(key), zone), kind, time_zone, week_start)
        except OverflowError:  # at the ends of the calendar
            raise ValueError(key) from None
    if period.key != key:
        raise ValueError(key)
    return period


def _day(instant: datetime, zone: ZoneInfo) -> date:
    """Return the day that an instant belongs to: the latest that has begun.

    Where clocks are put back over midnight (St. John's did so at one minute past), the calendar shows the day before
    once more. A day that has begun does not end for that, or its periods would lie in pieces.
    """
    day = instant.astimezone(zone).date()
    after = day + timedelta(days=1)
    return after if _midnight(after, zone) <= instant else day


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # Where the clocks jump over midnight, fold=0 gives the instant of the jump: the day's first moment.
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _days(day: date, kind: PeriodKind, week_start: int) -> tuple[date, date]:
    if kind is PeriodKind.DAY:
        return day, day + timedelta(days=1)
    if kind is PeriodKind.WEEK:
        first = day - timedelta(days=(day.weekday() - week_start) % 7)
        return first, first + timedelta(days=7)
    months = {PeriodKind.MONTH: 1, PeriodKind.QUARTER: _QUARTER_MONTHS, PeriodKind.YEAR: _YEAR_MONTHS}[kind]
    month = (day.month - 1) // months * months + 1
    first = date(day.year, month, 1)
    years, month0 = divmod(month - 1 + months, _YEAR_MONTHS)
    return first, date(day.year + years, month0 + 1, 1)
