"""Intake: pieces of feedback a second through the API into PostgreSQL, beside the Flask hello of the same run."""

import itertools
import json
import statistics
import tempfile
import uuid
from pathlib import Path

from bench.load import Request, Result, run
from bench.servers import Server, World
from tests.small_catalog import TAG

LINES = 100
_numbers = itertools.count()


def main(rounds: int = 3, count: int = 400) -> None:
    """Print the medians of a few rounds; ``python -m bench.intake``."""
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(intake(world, rounds, count))


def intake(world: World, rounds: int, count: int) -> str:
    """Return how many pieces come in a second, one by one and by the hundred; each of another customer."""
    servers = {
        "hello, Flask": Server("bench.hello:flask", {}, factory=True),
        "ours": Server("wsgi:app", world.environ, factory=True),
    }
    hellos: list[float] = []
    singles: list[Result] = []
    batches: list[Result] = []
    try:
        for server in servers.values():
            server.start()
        for _ in range(rounds):
            hello = [Request("GET", "/x", {}, b"")] * (count * 4)
            hellos.append(run(servers["hello, Flask"].port, hello, expected=200).per_second)
            ours = servers["ours"].port
            singles.append(run(ours, [_single(world) for _ in range(count)], expected=202))
            batches.append(run(ours, [_batch(world) for _ in range(max(32, count // 8))], expected=202))
    finally:
        for server in servers.values():
            server.stop()
    hello_rate = statistics.median(hellos)
    lines = [f"\nIntake into PostgreSQL, medians of {rounds} rounds (Flask hello: {hello_rate:.0f} requests/s)"]
    for name, results, pieces in (("one by one", singles, 1), (f"{LINES} a request", batches, LINES)):
        rate = statistics.median(each.per_second for each in results)
        wrong = sum(each.wrong for each in results)
        lines.append(
            f"  {name:24}{rate * pieces:10.0f} pieces/s{rate / hello_rate:10.3f} of the hello's requests"
            f"{statistics.median(each.median_ms for each in results):10.1f} ms median{wrong:6} wrong"
        )
    return "\n".join(lines)


def _single(world: World) -> Request:
    return _request(world, json.dumps(_piece()).encode(), "application/json")


def _batch(world: World) -> Request:
    body = b"\n".join(json.dumps(_piece()).encode() for _ in range(LINES))
    return _request(world, body, "application/x-ndjson")


def _request(world: World, body: bytes, media_type: str) -> Request:
    headers = {"Authorization": f"Bearer {world.secret}", "Content-Type": media_type}
    return Request("POST", "/api/v1/feedback", headers, body)


def _piece() -> dict[str, object]:
    number = next(_numbers)
    return {
        "source": "bench",
        "external_id": f"{uuid.uuid4().hex}-{number}",
        "kind": "survey",
        "score": 1 + number % 5,
        "scale": "stars_5",
        "comment": "The queue was long and nobody said why.",
        "issue_tags": [TAG],
        "customer": {"email": f"{uuid.uuid4().hex}@example.com"},
        "location": f"place-{number % 40}",
        "occurred_at": "2026-11-20T12:00:00Z",
    }


if __name__ == "__main__":
    main()
