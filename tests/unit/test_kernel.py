"""The kernel's small things: money, ids, the clock, refusals."""

import copy
import pickle
import threading
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.kernel import errors
from incentives.kernel.clock import FixedClock, SystemClock
from incentives.kernel.database import AmountMinor, UtcDateTime
from incentives.kernel.errors import Refusal, slug_of
from incentives.kernel.ids import Ids
from incentives.kernel.money import AMOUNT_MINOR_MAX, Money, minor_digits
from incentives.kernel.years import within_years

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

# --- money -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [0, 1, -1, 2500, AMOUNT_MINOR_MAX, -AMOUNT_MINOR_MAX])
def test_money_is_whole_minor_units_of_a_currency(amount: int) -> None:
    assert Money(amount, "USD").as_json() == {"amount_minor": amount, "currency": "USD"}


@pytest.mark.parametrize("amount", [1.0, 25.5, True, False, "25", None, 1 + 0j, b"1"])
def test_nothing_but_an_int_is_an_amount(amount: Any) -> None:
    with pytest.raises(TypeError):
        Money(amount, "USD")
    if amount is not None:
        with pytest.raises(TypeError):
            AmountMinor().process_bind_param(amount, None)  # type: ignore[arg-type]  # no dialect is asked


@pytest.mark.parametrize("amount", [AMOUNT_MINOR_MAX + 1, -AMOUNT_MINOR_MAX - 1, 2**63, -(2**63)])
def test_an_amount_is_one_that_json_can_hold(amount: int) -> None:
    with pytest.raises(ValueError, match="range"):
        Money(amount, "USD")


@pytest.mark.parametrize("currency", ["usd", "US", "USDX", "", "U5D", "US\n", "USD\n", "ÜSD"])
def test_a_currency_is_three_capitals(currency: str) -> None:
    with pytest.raises(ValueError, match="capital"):
        Money(1, currency)


def test_money_is_not_compared_by_size() -> None:
    with pytest.raises(TypeError):
        assert Money(1, "USD") < Money(2, "EUR")  # type: ignore[operator]
    assert Money(1, "USD") == Money(1, "USD") != Money(1, "EUR")


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3), ("CLF", 4), ("RSD", 2)],
)
def test_minor_digits_are_those_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


# --- time --------------------------------------------------------------------------------------------------------


def test_clocks_tell_aware_utc_instants() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(minutes=1)
    clock = FixedClock(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    clock.advance(timedelta(days=1))
    assert clock.now() == datetime(2026, 1, 2, tzinfo=UTC)


def test_a_naive_instant_is_refused_everywhere() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the very thing
    with pytest.raises(ValueError, match="aware"):
        FixedClock(naive)
    with pytest.raises(TypeError, match="naive"):
        UtcDateTime().process_bind_param(naive, None)  # type: ignore[arg-type]  # no dialect is asked


# --- ids ---------------------------------------------------------------------------------------------------------


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_id_is_a_version_7_uuid_of_its_instant(now: datetime) -> None:
    made = Ids().new(now)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == int(now.timestamp() * 1000)


@given(st.lists(st.integers(-5000, 5000), min_size=2, max_size=50))
def test_ids_grow_even_when_the_clock_goes_back(steps: list[int]) -> None:
    ids, now, made = Ids(), NOW, []
    for milliseconds in steps:
        now += timedelta(milliseconds=milliseconds)
        made.append(ids.new(now))
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_is_one_like_any_other() -> None:
    made = Ids().new(NOW)
    read = uuid.UUID(str(made))
    assert (made, hash(made), repr(made), made.is_safe) == (read, hash(read), repr(read), read.is_safe)
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made  # noqa: S301 - our own


def test_ids_of_one_millisecond_grow_and_cannot_be_foretold() -> None:
    ids = Ids()
    made = [ids.new(NOW) for _ in range(1000)]
    assert made == sorted(made)
    steps = {after.int - before.int for before, after in pairwise(made)}
    assert len(steps) > 990


def test_an_id_beside_another_is_of_its_millisecond_whatever_was_made_meanwhile() -> None:
    ids = Ids()
    first = ids.new(NOW)
    near = ids.beside(first, NOW)
    ids.new(NOW + timedelta(milliseconds=1))
    far = [ids.beside(first, NOW) for _ in range(1000)]
    assert {each.int >> 80 for each in [near, *far]} == {first.int >> 80}
    assert {(each.version, each.variant) for each in far} == {(7, uuid.RFC_4122)}
    assert len({first, near, *far}) == 1002
    assert near > first


def test_threads_share_no_id() -> None:
    ids, made = Ids(), []

    def make() -> None:
        made.extend([ids.new(NOW) for _ in range(500)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4000


def test_two_processes_of_one_instant_share_no_id() -> None:
    assert len({Ids().new(NOW) for _ in range(1000)}) == 1000


# --- years -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "within"),
    [
        (date.min, False),
        (date(1899, 12, 31), False),
        (date(1900, 1, 1), True),
        (date(9998, 12, 31), True),
        (date(9999, 1, 1), False),
        (date.max, False),
        (datetime.min.replace(tzinfo=UTC), False),
        (datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime.max.replace(tzinfo=UTC), False),
    ],
)
def test_a_year_that_can_be_meant_can_be_told_in_every_zone(day: date, within: bool) -> None:
    assert within_years(day) is within
    if within and isinstance(day, datetime):
        assert all(day.astimezone(timezone(timedelta(hours=hours))) == day for hours in (-12, 14))


# --- refusals ----------------------------------------------------------------------------------------------------

REFUSALS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, Refusal) and each is not Refusal
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.__name__)
def test_a_refusal_says_what_is_so_and_what_to_do(refusal: type[Refusal]) -> None:
    assert refusal.title != Refusal.title
    assert refusal.next_step != Refusal.next_step
    assert not refusal.title.endswith(".")
    assert refusal.next_step.endswith(".")
    plain = refusal()
    assert plain.detail == f"{refusal.title}."
    assert plain.facts == {}
    told = refusal("In this very case.", field="a.b")
    assert (told.detail, told.facts, str(told)) == ("In this very case.", {"field": "a.b"}, "In this very case.")


def test_a_refusal_s_name_is_stable() -> None:
    assert slug_of(errors.AlreadyRedeemed) == "already-redeemed"
    assert errors.IdempotencyKeyReused().slug == "idempotency-key-reused"
    slugs = [slug_of(each) for each in REFUSALS]
    assert len(slugs) == len(set(slugs))
