"""Programs at the API's door: an application on the demo catalog, a key for each role, and what a problem must be."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from incentives.kernel.actors import Actor, Role
from incentives.kernel.clock import Clock
from incentives.kernel.core import Core
from incentives.queries.access import actor_of_api_key
from tests.schema import all_tables
from tests.world import api_key, make_core, publish_catalog
from wsgi import create_app

_numbers = itertools.count()

Rows = dict[str, list[tuple[Any, ...]]]


class Machines:
    """The API as programs see it, and the database behind it as only a test sees it."""

    def __init__(self, core: Core, secrets: dict[str, str] | None = None) -> None:
        """Publish the demo catalog and let in a program of each role, unless ``secrets`` say that both was done."""
        self.core = core
        if secrets is None:
            publish_catalog(core)
        self.app = create_app(core)
        self.client: FlaskClient = self.app.test_client()
        self.secrets = secrets or {role.value: api_key(core, role.value)[0] for role in Role}

    def actor(self, role: str) -> Actor:
        """Return the program of a role as the core knows it."""
        found = actor_of_api_key(core=self.core, secret=self.secrets[role])
        assert found is not None
        return found

    def call(
        self, method: str, path: str, role: str | None = "frontline", *, key: str | None = None, **options: Any
    ) -> TestResponse:
        """Send a request with the API key of a role (None: without any) and an Idempotency-Key."""
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers.setdefault("Authorization", f"Bearer {self.secrets[role]}")
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **options)

    def get(self, path: str, role: str | None = "admin") -> TestResponse:
        """Read something."""
        return self.call("GET", path, role)

    def post(self, path: str, body: Any, role: str | None = "frontline", *, key: str | None = None) -> TestResponse:
        """Send a body."""
        return self.call("POST", path, role, key=key, json=body)

    def issue(self, role: str = "frontline", *, key: str | None = None, **changes: Any) -> TestResponse:
        """Give an incentive: a travel voucher of 25 pounds, if nothing else is said."""
        body = {"issue_tag": "flight-delayed", "location": "london", "channels": [], **changes}
        return self.post("/issuances", body, role, key=key or fresh_key())

    def redeem(self, role: str = "till", *, key: str | None = None, **body: Any) -> TestResponse:
        """Redeem a voucher."""
        return self.post("/redemptions", body, role, key=key or fresh_key())

    def new_code(self, **changes: Any) -> str:
        """Give an incentive and return its voucher's code."""
        issued = self.issue(**changes)
        assert issued.status_code == 201, issued.json
        return str(json_of(issued)["voucher"]["code"])

    def rows(self, *, without: tuple[str, ...] = ()) -> Rows:
        """Return everything that the database holds, but for some tables."""
        with self.core.database.read() as tx:
            return {
                table.name: sorted((tuple(row) for row in tx.execute(sa.select(table))), key=repr)
                for table in all_tables().sorted_tables
                if table.name not in without
            }

    def close(self) -> None:
        """Let go of the database and of Redis."""
        self.app.extensions["throttle"].close()
        self.core.database.dispose()


@contextlib.contextmanager
def opened(database_url: str, *, clock: Clock | None = None, redis_url: str = "") -> Iterator[Machines]:
    """Open an application on a fresh database."""
    machines = Machines(make_core(database_url, clock=clock, INCENTIVES_REDIS_URL=redis_url))
    try:
        yield machines
    finally:
        machines.close()


def fresh_key() -> str:
    """Return an Idempotency-Key that was not used yet."""
    return f"test-{next(_numbers)}"


def json_of(response: TestResponse) -> dict[str, Any]:
    """Return the object of an answer."""
    answer = response.json
    assert isinstance(answer, dict), response.data
    return answer


def assert_problem(response: TestResponse, status: int, slug: str, *, field: str | None = None) -> dict[str, Any]:
    """Assert that an answer is a problem, in the one shape that all have, and return it."""
    problem = json_of(response)
    assert (response.status_code, problem["type"]) == (status, f"/problems/{slug}"), problem
    assert response.mimetype == "application/problem+json"
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-Id"] != ""
    assert all(problem[name] for name in ("title", "detail", "next_step")), problem
    assert problem.get("field") == field, problem
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]], problem
        assert all(error["message"] for error in problem["errors"]), problem
    return problem
