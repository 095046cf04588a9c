"""What may be offered here and now, what it costs, and until when it is good."""

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from incentives.catalog import eligibility
from incentives.catalog.document import parse
from incentives.catalog.eligibility import blocked_reasons, end_of_day, expires_at, window_open
from incentives.catalog.incentive import Incentive
from incentives.catalog.international import time_zones
from incentives.catalog.protocols import resolve
from incentives.kernel.errors import UnknownLocation
from tests.unit.catalog_files import SMALL
from tests.unit.test_catalog_document import DEMO

CATALOG = parse(SMALL)
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def reasons(incentive: str | Incentive, protocol: str = "everything", **asked: object) -> tuple[str, ...]:
    """Return why an incentive of the small catalog is blocked."""
    found = CATALOG.incentives[incentive] if isinstance(incentive, str) else incentive
    options = {"location": None, "now": NOW, "amount_minor": None, "currency": None} | asked
    return blocked_reasons(CATALOG, found, CATALOG.protocols[protocol], **options)  # type: ignore[arg-type]  # a bag of options


def test_what_is_in_order_is_not_blocked() -> None:
    assert reasons("off") == ()
    assert reasons("off", location="london", amount_minor=5000, currency="GBP") == ()
    assert reasons("meal", location="new-york") == ()
    assert reasons("words", location="new-york") == ()


@pytest.mark.parametrize(
    ("incentive", "protocol", "asked", "expected"),
    [
        ("meal", "late", {"location": "new-york"}, eligibility.INCENTIVE_NOT_IN_PROTOCOL),
        ("meal", "everything", {"location": "new-york", "now": NOW + timedelta(days=30)}, eligibility.WINDOW_CLOSED),
        ("meal", "everything", {}, eligibility.NOT_AT_THIS_LOCATION),
        ("off", "everything", {"location": "new-york"}, eligibility.WRONG_CURRENCY),
        ("off", "everything", {"currency": "USD"}, eligibility.WRONG_CURRENCY),
        ("percent", "everything", {"amount_minor": 1}, eligibility.AMOUNT_NOT_ADJUSTABLE),
        ("words", "everything", {"amount_minor": 1}, eligibility.AMOUNT_NOT_ADJUSTABLE),
        ("off", "everything", {"amount_minor": 499}, eligibility.AMOUNT_OUT_OF_RANGE),
        ("off", "everything", {"amount_minor": 5001}, eligibility.AMOUNT_OUT_OF_RANGE),
        ("off", "everything", {"amount_minor": 0}, eligibility.AMOUNT_OUT_OF_RANGE),
        ("off", "everything", {"amount_minor": -1000}, eligibility.AMOUNT_OUT_OF_RANGE),
        ("off", "late", {"amount_minor": 4001}, eligibility.AMOUNT_ABOVE_PROTOCOL),
    ],
)
def test_each_obstacle_has_its_own_name(incentive: str, protocol: str, asked: dict[str, object], expected: str) -> None:
    assert reasons(incentive, protocol, **asked) == (expected,)


def test_what_is_switched_off_is_not_offered() -> None:
    assert reasons(replace(CATALOG.incentives["off"], active=False)) == (eligibility.INACTIVE,)


def test_all_obstacles_are_named_together() -> None:
    found = reasons("meal", "late", location="london", now=NOW + timedelta(days=30), amount_minor=5)
    assert found == (
        eligibility.INCENTIVE_NOT_IN_PROTOCOL,
        eligibility.WINDOW_CLOSED,
        eligibility.NOT_AT_THIS_LOCATION,
        eligibility.WRONG_CURRENCY,
        eligibility.AMOUNT_NOT_ADJUSTABLE,
    )


def test_naming_the_fixed_amount_is_no_adjustment() -> None:
    fixed = replace(CATALOG.incentives["off"], min_amount_minor=None, max_amount_minor=None)
    assert reasons(fixed, amount_minor=1000) == ()
    assert reasons(fixed, amount_minor=1001) == (eligibility.AMOUNT_NOT_ADJUSTABLE,)


def test_the_most_of_a_protocol_holds_for_what_a_percentage_may_cost() -> None:
    protocol = replace(CATALOG.protocols["everything"], most_minor={"GBP": 1999})
    found = blocked_reasons(CATALOG, CATALOG.incentives["percent"], protocol, location=None, now=NOW)
    assert found == (eligibility.AMOUNT_ABOVE_PROTOCOL,)


def test_an_unknown_location_is_refused() -> None:
    with pytest.raises(UnknownLocation):
        reasons("off", location="paris")


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [
        ("2026-11-01T03:59:59+00:00", False),  # 31 October still, in New York, on daylight time
        ("2026-11-01T04:00:00+00:00", True),
        ("2026-12-01T04:59:59+00:00", True),  # 30 November still, by then on standard time
        ("2026-12-01T05:00:00+00:00", False),
    ],
)
def test_the_days_of_offering_are_days_at_the_location(instant: str, *, is_open: bool) -> None:
    meal = CATALOG.incentives["meal"]
    assert window_open(meal, "America/New_York", datetime.fromisoformat(instant)) is is_open


@pytest.mark.parametrize(
    ("key", "amount_minor", "charge_minor", "face_minor"),
    [
        ("off", None, 1000, 1000),
        ("off", 700, 700, 700),
        ("percent", None, 2000, None),
        ("meal", None, 1500, None),
        ("words", None, 0, None),
    ],
)
def test_budgets_are_charged_what_it_can_cost(
    key: str, amount_minor: int | None, charge_minor: int, face_minor: int | None
) -> None:
    incentive = CATALOG.incentives[key]
    assert incentive.charge_minor(amount_minor) == charge_minor
    assert incentive.face_minor(amount_minor) == face_minor
    assert incentive.gives_voucher is (key != "words")
    assert incentive.adjustable is (key == "off")


@pytest.mark.parametrize(
    ("time_zone", "now", "days", "expected"),
    [
        ("America/New_York", "2026-10-31T15:00:00-04:00", 2, "2026-11-03T04:59:59.999999+00:00"),
        ("Europe/London", "2027-03-27T12:00:00+00:00", 2, "2027-03-29T22:59:59.999999+00:00"),
        ("Europe/London", "2027-03-31T23:30:00+00:00", 1, "2027-04-02T22:59:59.999999+00:00"),  # 1 April there already
        ("Pacific/Kiritimati", "2026-11-20T11:00:00+00:00", 1, "2026-11-22T09:59:59.999999+00:00"),
        ("America/Nuuk", "2027-03-26T12:00:00+00:00", 1, "2027-03-28T00:59:59.999999+00:00"),  # that day ends at 23:00
        ("America/Havana", "2026-10-30T12:00:00+00:00", 1, "2026-11-01T03:59:59.999999+00:00"),  # the next has two 0:30
    ],
)
def test_a_voucher_is_good_through_the_end_of_its_last_day(time_zone: str, now: str, days: int, expected: str) -> None:
    incentive = replace(CATALOG.incentives["off"], valid_days=days)
    assert expires_at(incentive, time_zone, datetime.fromisoformat(now)) == datetime.fromisoformat(expected)


def test_expiry_by_the_instant_is_days_of_24_hours() -> None:
    incentive = replace(CATALOG.incentives["off"], valid_days=2, expiry="instant")
    now = datetime(2026, 10, 31, 15, 0, tzinfo=ZoneInfo("America/New_York"))
    assert expires_at(incentive, "America/New_York", now) == now.astimezone(UTC) + timedelta(days=2)


def test_an_apology_does_not_expire() -> None:
    assert expires_at(CATALOG.incentives["words"], "Europe/London", NOW) is None


def test_the_demo_has_something_to_give_for_every_trouble_everywhere() -> None:
    demo = parse(DEMO.read_bytes())
    for tag, location in itertools.product(demo.issue_tags, demo.locations):
        protocol = resolve(demo, issue_tag=tag, severity=None, location=location, segment=None).protocol
        offered = [demo.incentives[key] for key in protocol.incentives]
        free = [each for each in offered if not blocked_reasons(demo, each, protocol, location=location, now=NOW)]
        assert len(free) >= 2, (tag, location)
        assert free[0].gives_voucher, (tag, location)


_DAYS = st.dates(date(2026, 1, 1), date(2046, 1, 1))
_ZONES = st.sampled_from(sorted(time_zones()))


@given(day=_DAYS, name=_ZONES)
@example(day=date(2027, 3, 27), name="America/Nuuk")
@example(day=date(2026, 10, 31), name="America/Havana")
@example(day=date(2027, 4, 29), name="Africa/Cairo")
def test_a_day_ends_at_its_last_microsecond_in_every_zone(day: date, name: str) -> None:
    zone = ZoneInfo(name)
    end = end_of_day(day, zone)
    assert end.astimezone(zone).date() == day
    assert (end + timedelta(microseconds=1)).astimezone(zone).date() == day + timedelta(days=1)


@given(moment=st.integers(0, 20 * 366 * 24 * 60), name=_ZONES, days=st.integers(1, 3650))
def test_a_voucher_is_never_good_for_less_than_it_says(moment: int, name: str, days: int) -> None:
    now = NOW + timedelta(minutes=moment)
    zone = ZoneInfo(name)
    end = expires_at(replace(CATALOG.incentives["off"], valid_days=days), name, now)
    assert end is not None
    assert end.astimezone(zone).date() == now.astimezone(zone).date() + timedelta(days=days)
    assert end.astimezone(zone).time() > time(22, 59)
