"""Calendar periods, half-open, in a time zone of their own, across daylight saving."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
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


def period_of(instant: datetime, kind: str, time_zone: str, week_start: int = 0) -> Period:
    """Return the period that holds an instant.

    ``week_start`` is 0 for Monday … 6 for Sunday. The key is the local date of the first day, so it names the
    period for people too.
    """
    if kind == PeriodKind.NONE:
        return Period(key="", start_at=None, end_at=None)
    zone = ZoneInfo(time_zone)
    first, after = _days(instant.astimezone(zone).date(), PeriodKind(kind), week_start)
    return Period(key=first.isoformat(), start_at=_midnight(first, zone), end_at=_midnight(after, zone))


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
