"""What is due in so many business minutes is due then: over nights, weekends and changes of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.kernel.business_hours import WEEKDAYS, are_ever_open, due_at, minutes_between

OFFICE = dict.fromkeys(WEEKDAYS[:5], ("09:00", "17:00"))
EVERY_DAY = dict.fromkeys(WEEKDAYS, ("00:00", "24:00"))
LONDON = "Europe/London"


def local(text: str, zone: str = LONDON) -> datetime:
    """Return a local time as an aware instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("start", "minutes", "due"),
    [
        ("2026-11-23T10:00", 60, "2026-11-23T11:00"),  # within a Monday
        ("2026-11-23T07:00", 60, "2026-11-23T10:00"),  # before opening
        ("2026-11-23T16:30", 60, "2026-11-24T09:30"),  # over the night
        ("2026-11-23T16:00", 60, "2026-11-23T17:00"),  # just to the close, not to the next opening
        ("2026-11-23T17:00", 1, "2026-11-24T09:01"),  # the close is not open any more
        ("2026-11-27T16:30", 60, "2026-11-30T09:30"),  # over the weekend
        ("2026-11-28T12:00", 480, "2026-11-30T17:00"),  # from a Saturday
        ("2026-11-23T09:00", 2400, "2026-11-27T17:00"),  # a whole week of work
        ("2026-11-23T09:00", 2401, "2026-11-30T09:01"),
        ("2026-11-23T10:00", 0, "2026-11-23T10:00"),
        ("2026-11-28T12:00", 0, "2026-11-30T09:00"),  # nothing is asked of anybody on a Saturday
    ],
)
def test_only_business_minutes_go_by(start: str, minutes: int, due: str) -> None:
    found = due_at(local(start), minutes, OFFICE, LONDON)
    assert found == local(due).astimezone(UTC)
    assert found.tzinfo is UTC


def test_without_hours_every_minute_counts() -> None:
    start = datetime(2026, 11, 28, 23, 30, tzinfo=UTC)
    assert due_at(start, 90, {}, LONDON) == datetime(2026, 11, 29, 1, tzinfo=UTC)
    assert minutes_between(start, start + timedelta(minutes=90, seconds=59), {}, LONDON) == 90


def test_the_zone_says_when_a_day_begins() -> None:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)  # 07:00 in New York
    assert due_at(start, 30, OFFICE, "America/New_York") == datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


def test_a_working_day_has_its_hours_whatever_the_clocks_do() -> None:
    # The clocks of London went forward on 29 March 2026 and back on 25 October 2026, both Sundays.
    open_sundays = {"sunday": ("09:00", "17:00")}
    for day in ("2026-03-29", "2026-10-25"):
        assert due_at(local(f"{day}T00:00"), 480, open_sundays, LONDON) == local(f"{day}T17:00").astimezone(UTC)


def test_a_day_that_is_open_all_day_is_as_long_as_it_is() -> None:
    short = local("2026-03-29T00:00"), local("2026-03-30T00:00")
    long = local("2026-10-25T00:00"), local("2026-10-26T00:00")
    assert minutes_between(*short, EVERY_DAY, LONDON) == 23 * 60
    assert minutes_between(*long, EVERY_DAY, LONDON) == 25 * 60


def test_where_the_clocks_jump_over_midnight_the_day_still_begins() -> None:
    # In Cuba 8 March 2026 began at 01:00.
    start = datetime(2026, 3, 8, 4, tzinfo=UTC)  # 23:00 of the 7th
    assert due_at(start, 120, EVERY_DAY, "America/Havana") == start + timedelta(minutes=120)


def test_an_opening_that_the_clocks_jump_over_is_when_it_would_have_been() -> None:
    nights = {"sunday": ("01:30", "04:00")}  # 01:30 was not on that day
    assert due_at(local("2026-03-29T00:00"), 10, nights, LONDON) == datetime(2026, 3, 29, 1, 40, tzinfo=UTC)


@pytest.mark.parametrize("hours", [{"moonday": ("09:00", "17:00")}, {"monday": ("09:00", "09:00")}])
def test_a_business_that_never_opens_is_refused_instead_of_waited_for(hours: dict[str, tuple[str, str]]) -> None:
    assert not are_ever_open(hours)
    with pytest.raises(ValueError, match="never open"):
        due_at(local("2026-11-23T10:00"), 1, hours, LONDON)


def test_nothing_goes_by_backwards() -> None:
    assert minutes_between(local("2026-11-24T10:00"), local("2026-11-23T10:00"), OFFICE, LONDON) == 0


_INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
_ZONES = st.sampled_from([LONDON, "America/New_York", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
_DAYS = st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda day: day[0] < day[1])
_HOURS = st.dictionaries(
    st.sampled_from(WEEKDAYS), _DAYS.map(lambda day: (f"{day[0]:02}:00", f"{day[1]:02}:00")), max_size=7
)


@given(start=_INSTANTS, minutes=st.integers(0, 20_000), hours=_HOURS, zone=_ZONES)
def test_as_many_minutes_are_between_as_were_given(
    start: datetime, minutes: int, hours: dict[str, tuple[str, str]], zone: str
) -> None:
    due = due_at(start, minutes, hours, zone)
    assert due >= start
    assert minutes_between(start, due, hours, zone) == minutes
    assert due_at(start, minutes + 1, hours, zone) > due
