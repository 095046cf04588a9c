"""Periods: half-open, tiling time without gap or overlap, in every zone, across every change of the clocks."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from incentives.kernel.periods import Period, PeriodKind, period_of, period_of_key

KINDS = [kind for kind in PeriodKind if kind is not PeriodKind.NONE]
ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("posix/", "right/")))
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
INSTANTS = st.datetimes(
    min_value=FIRST.replace(tzinfo=None), max_value=LAST.replace(tzinfo=None), timezones=st.just(UTC)
)
MOMENT = timedelta(microseconds=1)


def bounds(period: Period) -> tuple[datetime, datetime]:
    assert period.start_at is not None
    assert period.end_at is not None
    return period.start_at, period.end_at


def check_tiles(instant: datetime, kind: str, zone: str, week_start: int = 0) -> None:
    """Assert that an instant's period holds it, and that its neighbors begin and end where it does."""
    period = period_of(instant, kind, zone, week_start)
    start_at, end_at = bounds(period)
    assert start_at <= instant < end_at
    assert start_at.tzinfo is end_at.tzinfo is UTC
    for inside in (start_at, end_at - MOMENT):
        assert period_of(inside, kind, zone, week_start) == period
    before, after = (period_of(other, kind, zone, week_start) for other in (start_at - MOMENT, end_at))
    assert bounds(before)[1] == start_at
    assert bounds(after)[0] == end_at
    assert before.key < period.key < after.key


@given(INSTANTS, st.sampled_from(KINDS), st.sampled_from(ZONES), st.integers(0, 6))
@example(datetime(2026, 3, 29, 1, 0, tzinfo=UTC), PeriodKind.DAY, "Europe/London", 0)
@example(datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC), PeriodKind.DAY, "Europe/London", 0)
@example(datetime(2032, 2, 29, 12, tzinfo=UTC), PeriodKind.MONTH, "Asia/Kathmandu", 0)
@example(datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), PeriodKind.YEAR, "UTC", 0)
def test_periods_tile_time(instant: datetime, kind: PeriodKind, zone: str, week_start: int) -> None:
    check_tiles(instant, kind, zone, week_start)


@cache
def changes_of(zone: str) -> list[datetime]:
    """Return the instants of twenty years at which a zone's clocks change, to the second."""
    found, info, step = [], ZoneInfo(zone), timedelta(days=7)
    at = FIRST
    while at < LAST:
        low, high = at, at + step
        if low.astimezone(info).utcoffset() != high.astimezone(info).utcoffset():
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                same = middle.astimezone(info).utcoffset() == low.astimezone(info).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high.replace(microsecond=0))
        at += step
    return found


# One for each way in which clocks change: at midnight, before it, by half an hour, across a month's end …
CHANGING = (
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/Asuncion",
    "Asia/Beirut",
    "Africa/Cairo",
    "America/Nuuk",
    "America/Scoresbysund",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Asia/Gaza",
    "America/St_Johns",
    "Antarctica/Troll",
)


@pytest.mark.parametrize("zone", CHANGING)
def test_periods_tile_time_around_every_change_of_the_clocks(zone: str) -> None:
    changes = changes_of(zone)
    assert changes or zone == "America/Asuncion"  # Paraguay has kept its summer time
    for change in changes:
        for around in (-timedelta(hours=1), -MOMENT, timedelta(0), MOMENT, timedelta(hours=1)):
            for kind in (PeriodKind.DAY, PeriodKind.WEEK, PeriodKind.MONTH):
                check_tiles(change + around, kind, zone, 6)


@given(INSTANTS, st.sampled_from(KINDS), st.sampled_from(ZONES), st.integers(0, 6))
def test_the_key_is_the_local_date_of_the_first_day(
    instant: datetime, kind: PeriodKind, zone: str, week_start: int
) -> None:
    period = period_of(instant, kind, zone, week_start)
    first = bounds(period)[0].astimezone(ZoneInfo(zone))
    assert period.key == first.date().isoformat()
    assert len(period.key) == 10
    if kind is PeriodKind.WEEK:
        assert first.weekday() == week_start
    if kind in (PeriodKind.MONTH, PeriodKind.QUARTER, PeriodKind.YEAR):
        assert first.day == 1
    if kind is PeriodKind.QUARTER:
        assert first.month in (1, 4, 7, 10)
    if kind is PeriodKind.YEAR:
        assert first.month == 1


@pytest.mark.parametrize(
    ("at", "kind", "zone", "key", "hours"),
    [
        ("2026-03-29T12:00+00:00", "day", "Europe/London", "2026-03-29", 23),
        ("2026-10-25T12:00+00:00", "day", "Europe/London", "2026-10-25", 25),
        ("2026-11-01T12:00+00:00", "day", "America/New_York", "2026-11-01", 25),
        ("2026-04-05T12:00+10:30", "day", "Australia/Lord_Howe", "2026-04-05", 24.5),
        ("2026-03-25T12:00+00:00", "week", "Europe/London", "2026-03-23", 167),
        ("2026-02-15T12:00+00:00", "month", "UTC", "2026-02-01", 28 * 24),
        ("2028-02-15T12:00+00:00", "month", "UTC", "2028-02-01", 29 * 24),
        ("2026-05-15T12:00+00:00", "quarter", "UTC", "2026-04-01", 91 * 24),
        ("2026-05-15T12:00+00:00", "year", "UTC", "2026-01-01", 365 * 24),
        ("2026-11-20T04:59+00:00", "day", "America/New_York", "2026-11-19", 24),
        ("2026-11-20T05:00+00:00", "day", "America/New_York", "2026-11-20", 24),
        # Where clocks go forward at midnight, the day begins at one o'clock.
        ("2026-09-06T12:00+00:00", "day", "America/Santiago", "2026-09-06", 23),
    ],
)
def test_days_are_as_long_as_they_are(at: str, kind: str, zone: str, key: str, hours: float) -> None:
    period = period_of(datetime.fromisoformat(at), kind, zone)
    start_at, end_at = bounds(period)
    assert period.key == key
    assert end_at - start_at == timedelta(hours=hours)


def test_without_a_period_there_are_no_bounds() -> None:
    assert period_of(FIRST, "none", "Europe/London") == Period(key="", start_at=None, end_at=None)


def test_an_unknown_kind_is_a_bug() -> None:
    with pytest.raises(ValueError, match="fortnight"):
        period_of(FIRST, "fortnight", "UTC")


# --- the last twenty years, as they were -------------------------------------------------------------------------

PAST = datetime(2006, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def past_changes(zone: str) -> list[datetime]:
    """Return the instants of the last twenty years at which a zone's clocks changed, to the second."""
    info, found = ZoneInfo(zone), []
    step = timedelta(days=5)
    at, offset = PAST[0], PAST[0].astimezone(info).utcoffset()
    while at < PAST[1]:
        after = (at + step).astimezone(info).utcoffset()
        if after != offset:
            low, high = at, at + step
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                low, high = (middle, high) if middle.astimezone(info).utcoffset() == offset else (low, middle)
            found.append(high.replace(microsecond=0))
            offset = after
        at += step
    return found


def unlike_zones() -> list[str]:
    """Return one name for each zone: many have several."""
    seen: dict[tuple[object, ...], str] = {}
    for zone in ZONES:
        info = ZoneInfo(zone)
        sign = tuple((PAST[0] + timedelta(days=61 * step)).astimezone(info).utcoffset() for step in range(120))
        seen.setdefault((*sign, tuple(past_changes(zone))), zone)
    return sorted(seen.values())


def test_periods_have_tiled_time_in_every_zone_for_twenty_years() -> None:
    zones = unlike_zones()
    assert len(zones) > 150
    checked = 0
    for zone in zones:
        for change in past_changes(zone):
            for around in (-timedelta(minutes=31), -MOMENT, timedelta(0), timedelta(minutes=31)):
                check_tiles(change + around, PeriodKind.DAY, zone)
                checked += 1
            check_tiles(change, PeriodKind.WEEK, zone, 6)
            check_tiles(change, PeriodKind.MONTH, zone)
    assert checked > 10_000


@pytest.mark.parametrize(
    "zone",
    ["Pacific/Apia", "America/St_Johns", "Australia/Lord_Howe", "America/New_York", "Africa/Cairo", "Asia/Pyongyang"],
)
@pytest.mark.parametrize("kind", [PeriodKind.DAY, PeriodKind.WEEK, PeriodKind.QUARTER])
def test_twenty_years_are_walked_through_without_a_gap(zone: str, kind: PeriodKind) -> None:
    period = period_of(PAST[0], kind, zone, 4)
    lengths = set()
    while bounds(period)[1] < PAST[1]:
        following = period_of(bounds(period)[1], kind, zone, 4)
        assert bounds(following)[0] == bounds(period)[1]
        assert following.key > period.key
        assert period_of_key(following.key, kind, zone, 4) == following
        lengths.add(bounds(following)[1] - bounds(following)[0])
        period = following
    assert all(length > timedelta(0) for length in lengths)
    if kind is PeriodKind.DAY:
        assert len(lengths) > 1


@pytest.mark.parametrize(
    ("zone", "before", "missing", "after"),
    [
        ("Pacific/Apia", "2011-12-29", "2011-12-30", "2011-12-31"),
        ("Pacific/Kwajalein", "1993-08-20", "1993-08-21", "1993-08-22"),
    ],
)
def test_a_day_that_a_zone_left_out_has_no_period(zone: str, before: str, missing: str, after: str) -> None:
    day = period_of_key(before, PeriodKind.DAY, zone)
    assert bounds(day)[1] - bounds(day)[0] == timedelta(hours=24)
    assert period_of(bounds(day)[1], PeriodKind.DAY, zone).key == after
    with pytest.raises(ValueError, match=missing):
        period_of_key(missing, PeriodKind.DAY, zone)
    for around in (-timedelta(hours=20), -MOMENT, timedelta(0), timedelta(hours=20)):
        for kind in KINDS:
            check_tiles(bounds(day)[1] + around, kind, zone, 4)
    # A week may begin on it all the same: with the moment that followed the day before.
    first = date.fromisoformat(missing)
    week = period_of_key(missing, PeriodKind.WEEK, zone, first.weekday())
    assert bounds(week)[0] == bounds(day)[1]
    assert bounds(week)[1] - bounds(week)[0] == timedelta(days=6)


def test_a_day_that_the_calendar_shows_twice_begins_once() -> None:
    # One minute past midnight the clocks of St. John's went back to the evening before.
    zone = "America/St_Johns"
    change = datetime(2010, 11, 7, 2, 31, tzinfo=UTC)
    assert (change - MOMENT).astimezone(ZoneInfo(zone)).date() > change.astimezone(ZoneInfo(zone)).date()
    assert period_of(change - MOMENT, PeriodKind.DAY, zone) == period_of(change, PeriodKind.DAY, zone)
    day = period_of(change, PeriodKind.DAY, zone)
    assert day.key == "2010-11-07"
    assert bounds(day)[1] - bounds(day)[0] == timedelta(hours=25)


@pytest.mark.parametrize(
    "key", ["2026-11-02", "2026-13-01", "", "20261101", "soon", "2026-11-01T00", "9999-12-01", "0001-02-01x"]
)
def test_a_key_that_no_month_has_is_none(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        period_of_key(key, PeriodKind.MONTH, "UTC")


def test_what_has_no_periods_has_the_empty_key() -> None:
    assert period_of_key("", "none", "UTC") == Period(key="", start_at=None, end_at=None)
    with pytest.raises(ValueError, match="2026"):
        period_of_key("2026-11-01", "none", "UTC")
