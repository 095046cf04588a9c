"""Business hours: when something is due that people have so many working minutes for, across daylight saving.

Hours are a mapping from a weekday's name (``monday`` … ``sunday``) to the local times of opening and closing, such as
``("08:00", "18:30")``; ``"24:00"`` is the end of the day. A day that is absent is closed. No hours at all means that
somebody is always there: then every minute counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

END_OF_DAY = "24:00"

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)

Hours = Mapping[str, Sequence[str]]


class _Open(NamedTuple):
    """A stretch of business time as instants, half-open."""

    from_at: datetime
    until_at: datetime


def due_at(start: datetime, minutes: int, hours: Hours, time_zone: str) -> datetime:
    """Return the instant (UTC) at which so many business minutes have gone by since ``start``, an aware instant.

    No minutes at all are gone by at once, or when business next opens. Raises ``ValueError`` for hours in which
    business is never open: nothing would ever be due.
    """
    remaining = minutes * _MINUTE
    if not hours:
        return start.astimezone(UTC) + remaining
    stretches = _opens(start.astimezone(UTC), hours, time_zone)
    while True:
        each = next(stretches)
        if each.until_at - each.from_at >= remaining:
            return each.from_at + remaining
        remaining -= each.until_at - each.from_at


def minutes_between(start: datetime, end: datetime, hours: Hours, time_zone: str) -> int:
    """Return the whole business minutes from ``start`` until before ``end``; 0 where the end is before the start."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if end <= start:
        return 0
    if not hours:
        return (end - start) // _MINUTE
    gone = timedelta()
    for each in _opens(start, hours, time_zone):
        if each.from_at >= end:
            break
        gone += min(each.until_at, end) - each.from_at
    return gone // _MINUTE


def are_ever_open(hours: Hours) -> bool:
    """Return whether a week with these hours has any business time."""
    return not hours or any(day in WEEKDAYS and opens < closes for day, (opens, closes) in hours.items())


def _opens(start: datetime, hours: Hours, time_zone: str) -> Iterator[_Open]:
    """Yield the stretches of business time from ``start`` on, for ever; each lasts at least a moment."""
    if not are_ever_open(hours):
        raise ValueError("business is never open in these hours")
    zone = ZoneInfo(time_zone)
    day = start.astimezone(zone).date()
    while True:
        if WEEKDAYS[day.weekday()] in hours:
            opens, closes = hours[WEEKDAYS[day.weekday()]]
            from_at, until_at = max(start, _instant(day, opens, zone)), _instant(day, closes, zone)
            if from_at < until_at:
                yield _Open(from_at, until_at)
        day += _DAY


def _instant(day: date, local: str, zone: ZoneInfo) -> datetime:
    # Where the clocks jump over a time, fold=0 counts on from before the jump: nobody loses minutes by it. A time that
    # there is twice is the first of the two.
    if local == END_OF_DAY:
        day, local = day + _DAY, "00:00"
    return datetime.combine(day, time.fromisoformat(local), zone).astimezone(UTC)
