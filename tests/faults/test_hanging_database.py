"""PostgreSQL goes silent without hanging up: requests end all the same, and go well again as soon as it is back."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from incentives.kernel import postgres
from incentives.kernel.database import Database
from incentives.kernel.errors import StorageUnavailable
from incentives.vouchers.tables import vouchers
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.faults.line import Line
from tests.races.deeds import broken, rows
from tests.servers import Postgres

REQUEST_SECONDS_MAX = 6
RECOVERY_SECONDS_MAX = 5
CLIENTS = 8

Request = Callable[[], TestResponse]


@pytest.fixture
def line(own_postgres: Postgres) -> Iterator[Line]:
    with Line(own_postgres.port).open() as line:
        yield line


@pytest.fixture
def machines(own_postgres: Postgres, line: Line) -> Iterator[Machines]:
    with opened(line.url(own_postgres.url())) as machines:
        yield machines


def test_requests_end_and_go_well_again_when_it_is_back(machines: Machines, line: Line) -> None:
    gifts = [partial(give, machines, f"held-{each}") for each in range(CLIENTS)]
    reports = [partial(read, machines, path) for path in ("budgets", "issue-tags", "ledger/balances")]
    assert [report().status_code for report in reports] == [200] * len(reports)
    code = machines.new_code()

    line.hangs.set()
    for _ in range(2):  # those whose connections went silent, and those that would make new ones
        with ThreadPoolExecutor(CLIENTS + len(reports)) as threads:
            for answer, seconds in threads.map(timed, gifts + reports):
                assert_problem(answer, 503, "storage-unavailable")
                assert int(answer.headers["Retry-After"]) >= 1
                assert seconds < REQUEST_SECONDS_MAX

    line.hangs.clear()
    back_at = time.monotonic()
    given = [until_it_goes_well(request, back_at) for request in gifts]
    assert machines.redeem(code=code).status_code == 201
    assert len({json_of(answer)["id"] for answer in given}) == CLIENTS
    assert rows(machines.core, vouchers) == CLIENTS + 1
    assert broken(machines.core) == []


def test_a_statement_that_takes_its_time_is_waited_for(own_postgres: Postgres, line: Line) -> None:
    database = Database(line.url(own_postgres.url()))
    with database.read() as tx:
        assert tx.execute(sa.select(sa.func.pg_sleep(2 * postgres.PATIENCE_SECONDS + 0.5), sa.literal(7))).one()[1] == 7
    database.dispose()


def test_a_commit_that_nobody_answers_is_given_up(own_postgres: Postgres, line: Line) -> None:
    database = Database(line.url(own_postgres.url()))

    def promise() -> None:
        with database.write() as tx:
            tx.execute(sa.text("CREATE TABLE promised (id int)"))
            line.hangs.set()

    started_at = time.monotonic()
    with pytest.raises(StorageUnavailable):
        promise()
    assert time.monotonic() - started_at < REQUEST_SECONDS_MAX
    line.hangs.clear()
    time.sleep(1)  # So long it remembers that nobody was there.
    with database.write() as tx:  # What the lost connection had locked is free.
        tx.execute(sa.text("DROP TABLE IF EXISTS promised"))
    database.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
def test_what_comes_back_to_a_pool_that_was_thrown_away_is_closed(database_url: str) -> None:
    database = Database(database_url)
    with database.read() as tx, database.write() as other:
        used = [each.connection.driver_connection for each in (tx, other)]
        database.dispose()  # As one side does with the other when its line was cut.
        assert tx.execute(sa.select(sa.literal(1))).scalar_one() == 1
    assert [each.closed for each in used if each is not None] == [True, True]
    database.dispose()


def give(machines: Machines, key: str) -> TestResponse:
    body = {"issue_tag": "flight-delayed", "location": "london", "channels": []}
    return asked(machines, "POST", "issuances", "frontline", key, json=body)


def read(machines: Machines, path: str) -> TestResponse:
    return asked(machines, "GET", path, "auditor")


def asked(machines: Machines, method: str, path: str, role: str, key: str = "", **content: Any) -> TestResponse:
    """Ask as a program of its own, for many ask at once."""
    headers = {"Authorization": f"Bearer {machines.secrets[role]}", "Idempotency-Key": key}
    return machines.app.test_client().open(f"/api/v1/{path}", method=method, headers=headers, **content)


def timed(request: Request) -> tuple[TestResponse, float]:
    started_at = time.monotonic()
    return request(), time.monotonic() - started_at


def until_it_goes_well(request: Request, back_at: float) -> TestResponse:
    while (answer := request()).status_code != 201:
        assert_problem(answer, 503, "storage-unavailable")
        assert time.monotonic() - back_at < RECOVERY_SECONDS_MAX
        time.sleep(0.1)
    return answer
