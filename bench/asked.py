"""What each request asks of PostgreSQL: statements, and round trips as a network would see them."""

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient

import wsgi
from api.authentication import KnownKeys
from bench.load import Request
from bench.servers import World
from bench.wire import Wire
from incentives.kernel.clock import SystemClock
from incentives.kernel.database import Database
from tests.world import make_core

_WARM = 8  # so often the driver sends a statement before the server keeps it prepared


def asked(world: World) -> str:
    """Return how many statements and round trips each hot request takes, its API key being known from the one before.

    A batch of rows for one statement is one statement here and, since the driver pipelines it, one round trip. BEGIN
    and the end of a transaction are no statements but round trips. Customers are new to us, as most are.
    """
    makers: dict[str, Callable[[], Request]] = {
        "issue": lambda: world.issues(1, location="here")[0],
        "offers": world.offers,
        "look-up": lambda: world.lookups(1)[0],
        "redeem": lambda: world.redemptions(1)[0],
    }
    with Wire(world.database_url).open() as wire:
        core = make_core(wire.url, clock=SystemClock(), INCENTIVES_DATABASE_POOL_SIZE="1")
        app = wsgi.create_app(core)
        app.extensions["known_keys"] = KnownKeys(seconds=lambda: 0.0)  # Or the count would depend on the moment.
        client = app.test_client()
        lines = ["Each request asks PostgreSQL        statements  round trips"]
        for name, make in makers.items():
            for _ in range(_WARM):
                _send(client, make())
            request, trips = make(), wire.round_trips
            statements = _statements(core.database, lambda: _send(client, request))  # noqa: B023 - called here
            lines.append(f"  {name:32}{statements:12}{wire.round_trips - trips:13}")
        core.database.dispose()
    return "\n".join(lines)


def _send(client: FlaskClient, request: Request) -> None:
    answer = client.open(request.path, method=request.method, headers=request.headers, data=request.body)
    assert answer.status_code in (200, 201), json.loads(answer.data)


def _statements(database: Database, deed: Callable[[], None]) -> int:
    engines, seen = (database.engine, database._reader), []  # noqa: SLF001 - nobody else has a need to see the reader

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        deed()
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", note)
    return len(seen)
