"""The servers that the other tests stand on: fresh databases, crashes that lose nothing, and no leftovers."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from redis import Redis as RedisClient

from incentives.kernel.database import Database
from tests.house.texts import ROOT
from tests.run_folder import redis_pid
from tests.servers import Postgres, Redis

_A_RUN = """
import time
from tests.run_folder import RunFolder
from tests.servers import Postgres, Redis
with RunFolder.opened() as run:
    postgres, redis = Postgres(run), Redis(run)
    postgres.start(), redis.start()
    print(run.path, postgres.url(), redis.port, flush=True)
    time.sleep(60)
"""


def test_each_database_is_migrated_and_its_own(new_database: Callable[..., str]) -> None:
    one, other = Database(new_database()), Database(new_database())
    with one.write() as tx:
        tx.execute(sa.text("CREATE TABLE only_here (a INTEGER)"))
    assert "alembic_version" in sa.inspect(one.engine).get_table_names()
    assert "only_here" not in sa.inspect(other.engine).get_table_names()
    one.dispose()
    other.dispose()


def test_a_blank_database_has_no_table(blank_database_url: str) -> None:
    database = Database(blank_database_url)
    assert sa.inspect(database.engine).get_table_names() == []
    database.dispose()


@pytest.mark.parametrize("crash", [Postgres.kill9, lambda server: server.stop("immediate")], ids=["kill", "stop"])
def test_postgres_keeps_what_was_committed(own_postgres: Postgres, crash: Callable[[Postgres], None]) -> None:
    with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (a INTEGER)")
        connection.execute("INSERT INTO kept VALUES (1)")
    crash(own_postgres)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgres.url())
    own_postgres.start()
    with psycopg.connect(own_postgres.url()) as connection:
        assert connection.execute("SELECT a FROM kept").fetchall() == [(1,)]


def test_redis_forgets_and_comes_back(own_redis: Redis) -> None:
    with RedisClient.from_url(own_redis.url()) as client:
        client.set("a", "1")
        own_redis.kill9()
        own_redis.start()
        assert client.get("a") is None


def test_redis_is_empty_and_answers(redis_url: str) -> None:
    with RedisClient.from_url(redis_url) as client:
        assert client.dbsize() == 0
        assert client.set("a", "1")


def test_nothing_outlives_a_run_that_is_killed() -> None:
    command = [sys.executable, "-c", _A_RUN]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        folder, postgres, port = run.stdout.readline().split()
        assert redis_pid(int(port))
        run.send_signal(signal.SIGKILL)
    _wait_until(lambda: not Path(folder).exists())
    assert redis_pid(int(port)) is None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres)


def _wait_until(done: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
