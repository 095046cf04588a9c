"""``make bench``: requests per second beside a hello of the same server, statements per request, start-up, weights.

``python -m bench quick`` does one short round.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import figures, seeing
from bench.asked import asked
from bench.intake import intake
from bench.load import Request, Result, run
from bench.servers import Server, World

ROUNDS = 3
REQUESTS = 600


def main() -> None:
    """Print every figure."""
    rounds, count = (1, 300) if "quick" in sys.argv else (ROUNDS, REQUESTS)
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(figures.start_up(world.environ))
        print(asked(world))
        print(figures.weights(world))
        print(figures.codes())
        throughput(world, rounds, count)
        print(intake(world, rounds, count))
    if "quick" not in sys.argv:
        seeing.main()


def throughput(world: World, rounds: int, count: int) -> None:
    """Measure in turn, so that the machine's drift touches all alike, and print medians and ratios to the hellos."""
    servers = {
        "hello, raw WSGI": Server("bench.hello:raw", {}, factory=False),
        "hello, Flask": Server("bench.hello:flask", {}, factory=True),
        "ours": Server("wsgi:app", world.environ, factory=True),
    }
    results: dict[str, list[Result]] = {}
    try:
        for server in servers.values():
            server.start()
        for _ in range(rounds):
            for name in ("hello, raw WSGI", "hello, Flask"):
                hello = [Request("GET", "/x", {}, b"")] * (count * 4)
                results.setdefault(name, []).append(run(servers[name].port, hello, expected=200))
            ours = servers["ours"].port
            for name, requests, expected in _ours(world, count):
                results.setdefault(name, []).append(run(ours, requests(), expected=expected))
        print(f"\nMemory of a worker after {rounds * count * 4} requests: {servers['ours'].worker_megabytes} MB")
    finally:
        for server in servers.values():
            server.stop()
    _print(results)


def _ours(world: World, count: int) -> list[tuple[str, Callable[[], list[Request]], int]]:
    return [
        ("issue, one location", lambda: world.issues(count, location="here"), 201),
        ("issue, fifty locations", lambda: world.issues(count, location=None), 201),
        ("look-up", lambda: world.lookups(count), 200),
        ("redeem", lambda: world.redemptions(count), 201),
    ]


def _print(results: dict[str, list[Result]]) -> None:
    flask = statistics.median(each.per_second for each in results["hello, Flask"])
    print(f"\n2 workers x 8 threads, 32 connections, PostgreSQL; medians of {len(results['hello, Flask'])} rounds")
    print(
        f"{'':24}{'requests/s':>12}{'of Flask hello':>16}{'median ms':>12}{'p99 ms':>10}{'p99/median':>12}{'wrong':>7}"
    )
    for name, rounds in results.items():
        rate = statistics.median(each.per_second for each in rounds)
        median = statistics.median(each.median_ms for each in rounds)
        p99 = statistics.median(each.p99_ms for each in rounds)
        wrong = sum(each.wrong for each in rounds)
        print(f"{name:24}{rate:12.0f}{rate / flask:16.2f}{median:12.1f}{p99:10.1f}{p99 / median:12.1f}{wrong:7}")
    print(
        json.dumps(
            {name: round(statistics.median(each.per_second for each in rounds)) for name, rounds in results.items()}
        )
    )


if __name__ == "__main__":
    main()
