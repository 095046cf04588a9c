"""What each request asks of PostgreSQL: statements, and round trips as a network would see them."""

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient

import wsgi
from bench.load import Request
from bench.servers import World
from bench.wire import Wire
from incentives.kernel.clock import SystemClock
from tests.world import make_core

_WARM = 8  # so often the driver sends a statement before the server keeps it prepared


def asked(world: World) -> str:
    """Return how many statements and round trips each hot request takes, that of the API key included.

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
        client = wsgi.create_app(core).test_client()
        lines = ["Each request asks PostgreSQL        statements  round trips"]
        for name, make in makers.items():
            for _ in range(_WARM):
                _send(client, make())
            request, trips = make(), wire.round_trips
            statements = _statements(core.database.engine, lambda: _send(client, request))  # noqa: B023 - called here
            lines.append(f"  {name:32}{statements:12}{wire.round_trips - trips:13}")
        core.database.dispose()
    return "\n".join(lines)


def _send(client: FlaskClient, request: Request) -> None:
    answer = client.open(request.path, method=request.method, headers=request.headers, data=request.body)
    assert answer.status_code in (200, 201), json.loads(answer.data)


def _statements(engine: sa.Engine, deed: Callable[[], None]) -> int:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        deed()
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return len(seen)
