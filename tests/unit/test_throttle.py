"""The throttle in memory: a moving window, by a clock of its own."""

import pytest

from incentives.kernel import throttle
from incentives.kernel.errors import TooManyRequests
from incentives.kernel.throttle import LIMITS, Limit, Throttle, block_of, network_of


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def three_a_minute(seconds: Seconds) -> Throttle:
    return Throttle(limits={"tries": Limit(tries=3, window_seconds=60)}, seconds=seconds)


def test_a_try_too_many_is_refused_with_the_time_to_wait(three_a_minute: Throttle, seconds: Seconds) -> None:
    for remaining in (2, 1, 0):
        assert three_a_minute.hit("tries", "ana").remaining == remaining
        seconds.now += 10
    with pytest.raises(TooManyRequests) as refusal:
        three_a_minute.hit("tries", "ana")
    assert refusal.value.facts["retry_after_seconds"] == 30


def test_the_window_moves_with_each_try(three_a_minute: Throttle, seconds: Seconds) -> None:
    for _ in range(3):
        three_a_minute.hit("tries", "ana")
        seconds.now += 20
    three_a_minute.hit("tries", "ana")  # The first is a minute old now; the others are not.
    with pytest.raises(TooManyRequests):
        three_a_minute.hit("tries", "ana")


def test_refused_tries_do_not_lengthen_the_wait(three_a_minute: Throttle, seconds: Seconds) -> None:
    for _ in range(3):
        three_a_minute.hit("tries", "ana")
    for _ in range(50):
        seconds.now += 1
        with pytest.raises(TooManyRequests):
            three_a_minute.hit("tries", "ana")
    seconds.now += 10
    assert three_a_minute.hit("tries", "ana").remaining == 2


def test_one_key_does_not_slow_another_down(three_a_minute: Throttle) -> None:
    for _ in range(3):
        three_a_minute.hit("tries", "ana")
    assert three_a_minute.hit("tries", "ben").remaining == 2


def test_checking_counts_nothing_and_refuses_when_nothing_is_left(three_a_minute: Throttle) -> None:
    for _ in range(10):
        assert three_a_minute.check("tries", "ana").remaining == 3
    for _ in range(3):
        three_a_minute.hit("tries", "ana")
    with pytest.raises(TooManyRequests):
        three_a_minute.check("tries", "ana")


def test_what_was_counted_can_be_forgotten(three_a_minute: Throttle) -> None:
    for _ in range(3):
        three_a_minute.hit("tries", "ana")
    three_a_minute.forget("tries", "ana")
    assert three_a_minute.check("tries", "ana").remaining == 3


def test_memory_is_bounded_and_lets_those_go_who_tried_longest_ago(
    three_a_minute: Throttle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "_KEYS_MAX", 100)
    for number in range(101):
        three_a_minute.hit("tries", str(number))
    assert three_a_minute.check("tries", "0").remaining == 3
    assert three_a_minute.check("tries", "1").remaining == 2


def test_without_redis_nothing_is_degraded() -> None:
    assert not Throttle().degraded


def test_misses_count_for_each_and_for_all_together(seconds: Seconds, caplog: pytest.LogCaptureFixture) -> None:
    minute = {"tries": Limit(tries=2, window_seconds=60), "tries-of-all": Limit(tries=3, window_seconds=60)}
    counter = Throttle(limits=minute, seconds=seconds)
    assert counter.miss("tries", "ana").remaining == 1
    counter.miss("tries", "ana")
    for _ in range(9):  # What is refused takes nothing from the others.
        with pytest.raises(TooManyRequests):
            counter.miss("tries", "ana")
    counter.miss("tries", "ben")
    assert caplog.records == []
    for name in ("cleo", "dan"):
        with pytest.raises(TooManyRequests) as refusal:
            counter.miss("tries", name)
        assert refusal.value.facts["retry_after_seconds"] == 60
        assert refusal.value.facts["throttle"] == "tries"
    assert len(caplog.records) == 1  # Once, and not for each.
    seconds.now += 60
    counter.miss("tries", "ana")


def test_what_is_remembered_is_forgotten_in_the_end(seconds: Seconds) -> None:
    counter = Throttle(limits={"known": Limit(tries=1, window_seconds=60)}, seconds=seconds)
    assert not counter.remembers("known", "ana")
    for _ in range(3):
        counter.remember("known", "ana")
        seconds.now += 50
        assert counter.remembers("known", "ana")
    assert not counter.remembers("known", "ben")
    seconds.now += 10
    assert not counter.remembers("known", "ana")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        (None, "", True),
        ("unix", "unix", True),
    ],
)
def test_a_network_is_an_address_or_a_prefix(one: str | None, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),  # as a socket for both families spells it
        ("2001:db8:7:9::1", "2001:db8:7::/48"),
        ("", None),
        (None, None),
        ("nowhere", None),
    ],
)
def test_whoever_is_in_one_block_counts_together_and_nobody_else(address: str | None, block: str | None) -> None:
    """All of IPv4 in one block would stop a whole country for one thief."""
    assert block_of(address) == block


def test_the_limits_that_doors_name_are_there() -> None:
    assert {
        "sign-in",
        "sign-in-address",
        "sign-in-account",
        "sign-in-known",
        "code-misses",
        "code-misses-of-all",
        "link-misses",
        "form-posts",
    } <= set(LIMITS)
