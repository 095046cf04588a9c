"""Redis stops and comes back: nobody gets an error for it, and nobody may try without end."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from redis import Redis as RedisClient

from incentives.kernel import throttle
from incentives.kernel.errors import TooManyRequests
from incentives.kernel.throttle import Limit, Throttle
from tests.servers import Redis

LIMITS = {"tries": Limit(tries=3, window_seconds=60)}

Counting = Callable[..., Throttle]


@pytest.fixture
def counting() -> Iterator[Counting]:
    """A function that makes counters; they let go of Redis when the test is over."""
    made: list[Throttle] = []

    def new(redis_url: str = "") -> Throttle:
        made.append(Throttle(redis_url, limits=LIMITS))
        return made[-1]

    yield new
    for each in made:
        each.close()


def tries_let_through(counter: Throttle, key: str, of: int = 10) -> int:
    let_through = 0
    for _ in range(of):
        try:
            counter.hit("tries", key)
        except TooManyRequests:
            continue
        let_through += 1
    return let_through


def is_degraded(counter: Throttle) -> bool:
    return counter.degraded


def test_two_processes_count_together(counting: Counting, redis_url: str) -> None:
    one, other = counting(redis_url), counting(redis_url)
    assert one.hit("tries", "ana").remaining == 2
    assert other.hit("tries", "ana").remaining == 1
    assert tries_let_through(one, "ana") == 1
    with pytest.raises(TooManyRequests) as refusal:
        other.check("tries", "ana")
    assert 0 < refusal.value.facts["retry_after_seconds"] <= 60
    other.forget("tries", "ana")
    assert one.check("tries", "ana").remaining == 3


def test_many_threads_at_once_get_exactly_as_many_tries_as_there_are(counting: Counting, redis_url: str) -> None:
    for counter in (counting(redis_url), counting()):
        with ThreadPoolExecutor(8) as threads:
            passed = threads.map(partial(tries_let_through, counter), ["ana"] * 8)
        assert sum(passed) == 3


def test_redis_goes_away_and_comes_back(counting: Counting, own_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_AWAY_SECONDS", 0.3)
    counter = counting(own_redis.url())
    counter.hit("tries", "ana")
    assert not is_degraded(counter)

    own_redis.kill9()
    assert tries_let_through(counter, "ana") == 3  # It did not see the earlier one.
    assert tries_let_through(counter, "ben") == 3
    assert is_degraded(counter)

    own_redis.start()
    time.sleep(0.4)
    assert not is_degraded(counter)
    assert tries_let_through(counter, "ana") == 3  # Redis kept nothing; it counts again from here.
    assert tries_let_through(counting(own_redis.url()), "ana") == 0


def test_a_redis_that_was_never_there_costs_no_answer_and_little_time(counting: Counting) -> None:
    counter = counting("redis://127.0.0.1:1/0")
    started = time.monotonic()
    assert tries_let_through(counter, "ana", of=100) == 3
    assert time.monotonic() - started < 1
    assert counter.degraded


def test_redis_does_not_learn_whose_account_is_tried(counting: Counting, own_redis: Redis) -> None:
    counting(own_redis.url()).hit("tries", "ana.ruiz@example.com")
    with RedisClient.from_url(own_redis.url(), decode_responses=True) as client:
        keys = list(client.scan_iter())
    assert keys
    assert not any("ana" in key for key in keys)
