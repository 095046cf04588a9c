"""The throttle in memory: a moving window, by a clock of its own."""

import pytest

from incentives.kernel import throttle
from incentives.kernel.errors import TooManyRequests
from incentives.kernel.throttle import LIMITS, Limit, Throttle


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


def test_the_limits_that_doors_name_are_there() -> None:
    assert {"sign-in", "sign-in-address", "code-misses", "link-misses"} <= set(LIMITS)
