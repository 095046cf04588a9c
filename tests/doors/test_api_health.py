"""Health: a watcher learns which part fails; what only helps is degraded, not dead."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from incentives.kernel.clock import FixedClock
from incentives.kernel.keys import KeyRing
from incentives.kernel.migrate import head
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.servers import Postgres
from tests.world import make_core
from wsgi import create_app


@pytest.fixture
def machines(database_url: str) -> Iterator[Machines]:
    with opened(database_url) as machines:
        yield machines


def _parts(machines: Machines) -> dict[str, str]:
    ready = machines.get("/health/ready", None)
    assert ready.status_code == 200, ready.json
    return {part["name"]: part["status"] for part in json_of(ready)["parts"]}


def test_a_healthy_server_is_live_and_ready(machines: Machines) -> None:
    machines.issue()
    assert json_of(machines.get("/health/live", None)) == {"status": "ok"}
    assert _parts(machines) == dict.fromkeys(
        ("database", "migrations", "keys", "outbox", "stranded", "providers", "books", "redis", "broker"), "ok"
    )


def test_looking_changes_nothing(machines: Machines) -> None:
    before = machines.rows()
    _parts(machines)
    assert machines.rows() == before


@pytest.mark.parametrize(
    "keys", [(("t", b"another key under the same name."),), (("u", b"another key under another name"),)]
)
def test_other_keys_than_those_of_the_vouchers_that_are_out(
    machines: Machines, keys: tuple[tuple[str, bytes], ...]
) -> None:
    machines.issue()
    core = replace(machines.core, keys=replace(machines.core.keys, codes=KeyRing(keys)))
    problem = assert_problem(create_app(core).test_client().get("/api/v1/health/ready"), 503, "not-ready")
    assert problem["failing"] == ["keys"]


def test_a_rotated_key_is_fine(machines: Machines) -> None:
    machines.issue()
    pairs = (*machines.core.keys.codes.pairs, ("new", b"a newer key beside the older one"))
    core = replace(machines.core, keys=replace(machines.core.keys, codes=KeyRing(pairs)))
    assert create_app(core).test_client().get("/api/v1/health/ready").status_code == 200


def test_a_key_that_was_retired_before_anything_was_made_with_the_next_one_takes_nobody_out(machines: Machines) -> None:
    machines.issue()
    pairs = (*machines.core.keys.codes.pairs, ("new", b"the key that takes the place of a leaked one"))
    leaked = KeyRing(pairs, retired=frozenset(key_id for key_id, _ in pairs[:-1]))
    core = replace(machines.core, keys=replace(machines.core.keys, codes=leaked))
    assert create_app(core).test_client().get("/api/v1/health/ready").status_code == 200
    other = KeyRing((("t", b"another key under the same name."), pairs[-1]), retired=frozenset("t"))
    core = replace(machines.core, keys=replace(machines.core.keys, codes=other))
    problem = assert_problem(create_app(core).test_client().get("/api/v1/health/ready"), 503, "not-ready")
    assert problem["failing"] == ["keys"]


def test_messages_that_wait_too_long_are_degraded(machines: Machines) -> None:
    machines.issue(channels=["email"], customer={"email": "ana@customer.example.com"})
    assert _parts(machines)["outbox"] == "ok"
    clock = machines.core.clock
    assert isinstance(clock, FixedClock)
    clock.advance(timedelta(minutes=16))
    assert _parts(machines)["outbox"] == "degraded"


def test_a_database_that_was_not_migrated(blank_database_url: str) -> None:
    core = make_core(blank_database_url)
    problem = assert_problem(create_app(core).test_client().get("/api/v1/health/ready"), 503, "not-ready")
    assert problem["failing"] == ["migrations"]
    assert head() in problem["detail"]
    core.database.dispose()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_redis_that_is_away_is_degraded_and_nothing_else_minds(new_database: Callable[..., str]) -> None:
    with opened(new_database(), redis_url="redis://127.0.0.1:1/0") as machines:
        ready = json_of(machines.get("/health/ready", None))
        assert ready["status"] == "degraded"
        assert {part["name"] for part in ready["parts"] if part["status"] != "ok"} == {"redis"}
        assert machines.redeem(code=machines.new_code()).status_code == 201


def test_a_database_that_goes_away_is_named_and_answers_come_back_with_it(own_postgres: Postgres) -> None:
    with opened(own_postgres.url()) as machines:
        code = machines.new_code()
        own_postgres.stop("immediate")
        problem = assert_problem(machines.get("/health/ready", None), 503, "not-ready")
        assert problem["failing"] == ["database"]
        refused = machines.redeem(code=code)
        assert_problem(refused, 503, "storage-unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert machines.get("/health/live", None).status_code == 200
        own_postgres.start()
        machines.get("/health/ready", None)
        assert machines.get("/health/ready", None).status_code == 200
        assert machines.redeem(code=code).status_code == 201
