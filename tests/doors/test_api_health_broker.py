"""The broker is away, hangs or was never wanted: servers go on, and say so."""

import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from incentives.kernel import broker
from tests.servers import Redis
from tests.world import make_core
from wsgi import create_app

NOWHERE = "redis://127.0.0.1:1/0"
NO_ADDRESSES = (
    "amqp://127.0.0.1:99999//",
    "amqp://a..b//",
    "redis://127.0.0.1:port/0",
    "redis://a..b/0",
    "redis://127.0.0.1:1/0?unknown=1",
)


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("url", [NOWHERE, "amqp://guest:guest@127.0.0.1:1//", *NO_ADDRESSES])
def test_a_broker_that_is_away_is_degraded_and_not_dead(new_database: Callable[..., str], url: str) -> None:
    core = make_core(new_database(), INCENTIVES_BROKER_URL=url)
    answer = create_app(core).test_client().get("/api/v1/health/ready")
    ready = answer.get_json()
    assert (answer.status_code, ready["status"]) == (200, "degraded")
    assert [part["name"] for part in ready["parts"] if part["status"] != "ok"] == ["broker"]
    assert "guest" not in answer.get_data(as_text=True)
    core.database.dispose()


def test_a_redis_that_answers_hangs_and_answers_again(own_redis: Redis) -> None:
    assert broker.answers(own_redis.url())
    os.kill(own_redis.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert not broker.answers(own_redis.url())
    assert time.monotonic() - began < 10  # Half a second, and what a busy machine makes of it.
    os.kill(own_redis.pid, signal.SIGCONT)
    assert broker.answers(own_redis.url())


def test_a_rabbit_that_takes_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert broker.answers(f"amqp://app:secret@127.0.0.1:{server.getsockname()[1]}/house")
