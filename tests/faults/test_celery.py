"""Celery carries the worker's loops as ticks: Redis and its processes die, and nothing is lost or sent too often.

The processes are real: ``celery -A worker worker`` and ``celery -A worker beat``, with a Redis of their own.
"""

import base64
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as RedisClient

import celery_app
import worker
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.errors import StorageNotMigrated, StorageUnavailable
from incentives.queries.books import check_books
from tests.faults.sending import sending_core, wait_until
from tests.faults.test_killed_workers import statuses
from tests.faults.ticking import Patient, give, play, ticking
from tests.servers import Redis
from tests.small_catalog import catalog
from tests.world import HOUSE, environ, make_core, publish_catalog

OVER = "it is over"
QUEUES = {f"incentives.{each.name}" for each in worker.loops()}
SOON = {f"incentives.{each.name}" for each in worker.loops() if each.rests < worker.SWEEP_EVERY}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Celery's application, as a process is given it."""
    more = {"INCENTIVES_BROKER_URL": "redis://127.0.0.1:1/0"}
    for name, value in environ("sqlite:///var/never.db", **more).items():
        monkeypatch.setenv(name, value)
    return celery_app.make_app()


# --- the list ----------------------------------------------------------------------------------------------------


def test_every_loop_is_a_task_with_a_queue_and_a_tick_as_often_as_it_rests(app: Any) -> None:
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours == QUEUES == set(app.amqp.queues)
    rests = {f"incentives.{each.name}": each.rests for each in worker.loops()}
    assert {each["task"]: each["schedule"].run_every for each in app.conf.beat_schedule.values()} == rests
    assert {name: app.amqp.router.route({}, name)["queue"].name for name in ours} == {name: name for name in ours}


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_clock_that_is_set_keeps_no_tick_back(app: Any, step: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    put, set_by, seconds = list[str](), timedelta(), 0.0
    monkeypatch.setattr(celery_app, "elapsed_seconds", lambda: seconds)
    monkeypatch.setattr(app, "now", lambda: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=seconds) + set_by)
    monkeypatch.setattr(celery_app.Ticker, "apply_entry", lambda _self, entry, **_: put.append(entry.name))
    monkeypatch.setattr(celery_app.Ticker, "producer", None)
    ticker = celery_app.Ticker(app=app, lazy=True)
    ticker.setup_schedule()
    while seconds < 60:
        seconds += max(ticker.tick(), 0.01)
    put.clear()
    set_by = step
    while seconds < 180:
        seconds += max(ticker.tick(), 0.01)
    for loop in worker.loops():
        assert put.count(loop.name) == pytest.approx(timedelta(minutes=2) / loop.rests, rel=0.1, abs=1), loop.name


def test_nobody_who_serves_or_works_on_one_machine_imports_celery() -> None:
    program = "import sys, wsgi, worker; sys.exit('celery' in sys.modules or 'kombu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=HOUSE, check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'celery'"):
        worker.celery  # noqa: B018 - Celery looks for that too


def test_what_is_missing_is_said_in_a_sentence_that_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, blank_database_url: str
) -> None:
    for name, value in environ(blank_database_url).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=r"^INCENTIVES_BROKER_URL: is missing\. "):
        celery_app.make_app()
    with pytest.raises(SystemExit, match=r"no tables.* Run `incentives db upgrade`"):
        celery_app._look_first()
    monkeypatch.setenv("INCENTIVES_BROKER_URL", "sqs://")
    with pytest.raises(SystemExit, match=r"^INCENTIVES_BROKER_URL: must be .*address\. Correct"):
        celery_app.make_app()


# --- a turn ------------------------------------------------------------------------------------------------------


def test_a_turn_goes_on_while_there_is_more_and_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    core, loop = turn_of("deliver-email")
    seconds = iter(range(1000))
    monkeypatch.setattr(worker, "elapsed_seconds", lambda: next(seconds))
    assert steps_in_a_turn(core, replace(loop, at_once=50), more=2) == 3
    assert steps_in_a_turn(core, loop, more=1000) == loop.at_once * loop.rests.total_seconds()
    core.database.dispose()


def steps_in_a_turn(core: Core, loop: worker.Loop, *, more: int) -> int:
    """Return how many steps a turn takes of a loop that has so many more to do after the first."""
    steps: list[bool] = []

    def step(_core: Core, _ending: worker.Ending) -> bool:
        steps.append(len(steps) < more)
        return steps[-1]

    worker.take_turn(lambda: core, replace(loop, step=step))
    return len(steps)


@pytest.mark.parametrize("trouble", [StorageUnavailable(), StorageNotMigrated(), ValueError("a bug")])
def test_trouble_ends_a_turn_and_is_told(
    trouble: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(*_given: object) -> None:
        raise trouble

    core, loop = turn_of("respond")
    monkeypatch.setattr(worker, "_TROUBLE_SECONDS", 0)
    worker.take_turn(lambda: core, replace(loop, step=stumble))
    assert len(caplog.records) == 1
    core.database.dispose()


def test_a_sweep_that_meets_a_bug_keeps_no_other_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def flow(name: str) -> Any:
        def sweep(*, core: Core) -> int:
            done.append(name)
            if name in ("b", "c"):
                raise ValueError(name)
            return len(done) < 3

        return sweep

    core, _ = turn_of("sweep")
    monkeypatch.setattr(worker, "SWEEPS", tuple(worker.Sweep(name, flow(name)) for name in "abd"))
    with pytest.raises(ValueError, match="b"):
        worker.sweep(core)
    assert done == ["a", "a", "a", "b", "d"]
    monkeypatch.setattr(worker, "SWEEPS", tuple(worker.Sweep(name, flow(name)) for name in "bcd"))
    with pytest.raises(ExceptionGroup):
        worker.sweep(core)
    assert done[5:] == ["b", "c", "d"]
    core.database.dispose()


def turn_of(name: str) -> tuple[Core, worker.Loop]:
    (loop,) = (each for each in worker.loops() if each.name == name)
    return make_core("sqlite://"), loop


# --- with real processes -----------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["postgresql"])
def test_redis_and_workers_die_and_everything_is_sent(database_url: str, own_redis: Redis, tmp_path: Path) -> None:
    story = play(database_url, own_redis, tmp_path, 160, module="tests.faults.quick_leases")
    assert story.faults() == [], str(story)
    assert story.kills >= 1


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_broker_that_comes_late_is_waited_for_and_beside_the_loops_nothing_is_sent_twice(
    database_url: str, own_redis: Redis, tmp_path: Path
) -> None:
    provider, stop = Patient(), threading.Event()
    core = sending_core(database_url, provider.url, clock=SystemClock())
    publish_catalog(core, catalog())
    own_redis.stop()
    with provider.serving(), ticking(database_url, own_redis, provider.url, tmp_path) as house:
        tick, beat = house.worker(), house.beat()
        wait_until(lambda: house.said().count("rror") >= 2, 60)  # Both have told that nobody answers.
        own_redis.start()
        give(core, 0, 5)
        wait_until(lambda: statuses(core.database) == {"sent": 5}, 60)
        beside = threading.Thread(target=worker.run, args=(core, stop))
        beside.start()
        give(core, 5, 60)
        wait_until(lambda: statuses(core.database) == {"sent": 65}, 60)
        stop.set()
        beside.join(20)
        assert (beat.end(), tick.end()) == (0, 0)
        assert "stumbled" not in house.said()  # As it would where processes shared what was opened before the fork.
    assert set(provider.taken.values()) == {1}
    assert [line for check in check_books(core=core, actor=SYSTEM) for line in check.broken] == []
    core.database.dispose()
    assert not list(HOUSE.glob("celerybeat*"))


@pytest.mark.parametrize("backend", ["sqlite"])
def test_what_goes_by_the_broker_says_that_it_is_time_and_nothing_else(
    database_url: str, own_redis: Redis, tmp_path: Path
) -> None:
    provider = Patient()
    core = sending_core(database_url, provider.url, clock=SystemClock())
    publish_catalog(core, catalog())
    processes = ticking(database_url, own_redis, provider.url, tmp_path)
    with provider.serving(), overheard(own_redis) as said, processes as house:
        house.beat()
        people = give(core, 0, 10)
        wait_until(lambda: waiting(own_redis).keys() >= SOON, 60)
        time.sleep(2)  # Four more ticks of each were due: what nobody takes does not pile up.
        assert set(waiting(own_redis).values()) == {1}
        house.worker()
        wait_until(lambda: statuses(core.database) == {"sent": 10}, 60)
    heard, bodies = "\n".join(said), carried(said)
    secrets = secrets_in("\n".join(quoted(asked.body) for asked in provider.asked))
    assert len(secrets) >= 20  # A code and a link each.
    everything = heard + json.dumps(bodies)
    assert [word for word in (*people, *secrets, "customer.example") if word in everything] == []
    ticks = [body for body in bodies if isinstance(body, list)]  # The others are what workers tell each other.
    assert "incentives.deliver-email" in heard
    assert len(ticks) >= 10
    assert {json.dumps(tick[:2]) for tick in ticks} == {"[[], {}]"}
    core.database.dispose()


def waiting(redis: Redis) -> dict[str, int]:
    """Return how many ticks wait in each queue that has any."""
    with RedisClient.from_url(redis.url(), decode_responses=True) as client:
        return {name: count for name in QUEUES if (count := int(client.llen(name)))}


@contextmanager
def overheard(redis: Redis) -> Iterator[list[str]]:
    """Write down all that Redis is told until the block ends."""
    said: list[str] = []
    with RedisClient.from_url(redis.url()) as client, client.monitor() as monitor:

        def listen() -> None:
            for command in monitor.listen():
                said.append(str(command["command"]))
                if OVER in said[-1]:
                    return

        listening = threading.Thread(target=listen)
        listening.start()
        try:
            yield said
        finally:
            client.echo(OVER)
            listening.join(10)


def quoted(body: bytes) -> str:
    """Return what the parts of a letter say."""
    return "\n".join(part["value"] for part in json.loads(body)["content"])


def secrets_in(text: str) -> set[str]:
    """Return the codes and the tokens that letters tell."""
    return set(re.findall(r"(?<=/v/)[\w.~-]{8,}", text)) | set(re.findall(r"\b(?:\w{4}-){3}\w\b", text))


def carried(said: list[str]) -> list[Any]:
    """Return what the messages carried that went by Redis, as the one who wrote it did."""
    found = re.findall(r'"body":\s*"([\w+/=]+)"', "\n".join(said).replace('\\"', '"'))
    return [json.loads(base64.b64decode(each)) for each in found]
