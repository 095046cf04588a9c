"""A voucher is good to the last microsecond of its day, wherever the clocks change, and not one longer."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from incentives.catalog.eligibility import end_of_day, expires_at
from incentives.catalog.incentive import Incentive
from incentives.vouchers import lifecycle

ZONES = (
    "America/Nuuk", "Africa/Casablanca", "Australia/Lord_Howe", "Europe/London", "America/New_York", "Asia/Kathmandu",
    "Pacific/Apia", "America/St_Johns", "Africa/Cairo", "America/Santiago", "Asia/Beirut", "UTC",
)  # fmt: skip
MOMENT = timedelta(microseconds=1)
DAYS = st.dates(date(2015, 1, 1), date(2040, 12, 31))


@settings(max_examples=400, deadline=None)
@given(zone=st.sampled_from(ZONES), day=DAYS)
@example(zone="America/Nuuk", day=date(2024, 3, 30))  # springs from 23:00 to 0:00
@example(zone="America/Nuuk", day=date(2023, 10, 28))
@example(zone="Africa/Casablanca", day=date(2026, 2, 15))  # the clocks go by the moon
@example(zone="Africa/Casablanca", day=date(2026, 3, 22))
@example(zone="Australia/Lord_Howe", day=date(2026, 4, 4))  # by half an hour
@example(zone="Australia/Lord_Howe", day=date(2026, 10, 3))
@example(zone="Europe/London", day=date(2026, 3, 28))
@example(zone="Europe/London", day=date(2026, 10, 24))
@example(zone="Asia/Beirut", day=date(2024, 3, 30))  # the next day has no 0:00
@example(zone="Africa/Cairo", day=date(2025, 10, 30))  # 23:00 comes twice
def test_the_end_of_a_day_is_its_last_microsecond(zone: str, day: date) -> None:
    place = ZoneInfo(zone)
    end_at = end_of_day(day, place)
    assert end_at.tzinfo is UTC
    # What is a moment later belongs to a later day, and so does everything after it.
    assert end_at.astimezone(place).date() <= day
    later = [end_at + step for step in (MOMENT, timedelta(minutes=1), timedelta(hours=1), timedelta(hours=3))]
    assert all(each.astimezone(place).date() > day for each in later)


@settings(max_examples=200, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    seconds=st.integers(1_420_000_000, 2_180_000_000),
    valid_days=st.integers(1, 400),
)
def test_it_is_good_at_that_moment_and_expired_at_the_next(zone: str, seconds: int, valid_days: int) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    gift = Incentive(key="gift", kind="free_shipping", title={"en": "Gift"}, currency="GBP", valid_days=valid_days)
    end_at = expires_at(gift, zone, now)
    assert end_at is not None
    row = SimpleNamespace(status="issued", expires_at=end_at, reserved_until_at=None)
    assert lifecycle.status_now(row, end_at) == "issued"
    assert lifecycle.status_now(row, end_at + MOMENT) == "expired"
    held = SimpleNamespace(status="reserved", expires_at=end_at, reserved_until_at=end_at)
    assert lifecycle.status_now(held, end_at) == "reserved"
    assert lifecycle.status_now(held, end_at + MOMENT) == "expired"


@pytest.mark.parametrize(
    ("zone", "day", "ends"),
    [
        ("Europe/London", date(2026, 3, 29), "2026-03-29T22:59:59.999999+00:00"),
        ("Europe/London", date(2026, 10, 25), "2026-10-25T23:59:59.999999+00:00"),
        ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-05T13:29:59.999999+00:00"),
        ("America/Nuuk", date(2024, 3, 30), "2024-03-31T00:59:59.999999+00:00"),
    ],
)
def test_days_of_changing_clocks_by_hand(zone: str, day: date, ends: str) -> None:
    assert end_of_day(day, ZoneInfo(zone)).isoformat() == ends
