"""PostgreSQL crashes under load and comes back: clients are told to try again, and nothing is lost or done twice."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask.testing import FlaskClient

from incentives.kernel.actors import SYSTEM
from incentives.queries.books import check_books
from incentives.vouchers.tables import redemptions, vouchers
from tests.races.deeds import rows
from tests.servers import Postgres
from tests.small_catalog import TAG, catalog
from tests.world import api_key, make_core, publish_catalog
from wsgi import create_app

KEYS = 160
CLIENTS = 8
RECOVERY_SECONDS_MAX = 5
_PATIENCE_SECONDS = 60


class Client:
    """A program that keeps its idempotency keys and sends each request until it is answered."""

    def __init__(self, client: FlaskClient, secret: str, till_secret: str, seen: "Seen") -> None:
        self._client = client
        self._secret, self._till_secret = secret, till_secret  # who gives does not redeem
        self._seen = seen

    def give_and_redeem(self, number: int) -> None:
        trouble = {"issue_tag": TAG, "channels": [], "customer": {}}
        given = self._send(self._secret, "/api/v1/issuances", trouble, f"give-{number}")
        sale = {"code": given["voucher"]["code"]}
        self._send(self._till_secret, "/api/v1/redemptions", sale, f"redeem-{number}")

    def _send(self, secret: str, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = self._client.post(path, json=body, headers=headers)
            self._seen.note(answer.status_code, answer.headers.get("Retry-After"), answer.get_json(silent=True))
            if answer.status_code == 201:
                content: dict[str, Any] = answer.get_json()
                return content
            assert answer.status_code == 503, answer.get_data(as_text=True)
            time.sleep(0.1)
        raise AssertionError(f"{key} was never answered")


class Seen:
    """What clients were told, and when something last went well."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.wrong: list[Any] = []
        self.well_at: list[float] = []
        self._lock = threading.Lock()

    def note(self, status: int, retry_after: str | None, content: Any) -> None:
        with self._lock:
            self.statuses[status] += 1
            if status == 201:
                self.well_at.append(time.monotonic())
            elif status != 503 or not retry_after or content["type"] != "/problems/storage-unavailable":
                self.wrong.append((status, retry_after, content))

    def wait_for(self, successes: int) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.statuses[201] < successes:
            assert self.wrong == []
            assert time.monotonic() < deadline
            time.sleep(0.01)


def crash(server: Postgres, how: Callable[[], None], seen: Seen) -> float:
    """Crash the server and start it again; return how long afterwards the first request went well."""
    how()
    time.sleep(0.3)
    server.start()
    started_at = time.monotonic()
    seen.wait_for(seen.statuses[201] + CLIENTS)  # More than were on their way.
    return min(at for at in seen.well_at if at >= started_at) - started_at


def test_crashes_under_load_lose_nothing_and_double_nothing(own_postgres: Postgres) -> None:
    core = make_core(own_postgres.url(), INCENTIVES_DATABASE_POOL_SIZE=str(CLIENTS))
    publish_catalog(core, catalog())
    secret, till_secret = api_key(core, "manager")[0], api_key(core, "till")[0]
    app = create_app(core)
    seen = Seen()
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [Client(app.test_client(), secret, till_secret, seen) for _ in range(KEYS)]
        work = [threads.submit(client.give_and_redeem, number) for number, client in enumerate(clients)]
        seen.wait_for(KEYS // 4)
        recoveries = [crash(own_postgres, lambda: own_postgres.stop("immediate"), seen)]
        seen.wait_for(KEYS)
        recoveries.append(crash(own_postgres, own_postgres.kill9, seen))
        for each in work:
            each.result()
    assert seen.wrong == []
    assert seen.statuses[503] > 0  # Somebody was in the middle of something.
    assert max(recoveries) < RECOVERY_SECONDS_MAX
    assert rows(core, vouchers) == rows(core, redemptions) == KEYS
    assert rows(core, vouchers, vouchers.c.status == "redeemed") == KEYS
    assert [check.broken for check in check_books(core=core, actor=SYSTEM) if not check.holds] == []
    core.database.dispose()
