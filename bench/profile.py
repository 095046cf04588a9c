"""Where the microseconds of a hot request go: ``python -m bench.profile --request issue|redeem|lookup``.

Runs requests through ``app.wsgi_app`` in this process, on a PostgreSQL of its own, one after another, first with a bare
clock and then with ``cProfile``. What a C function takes by itself is its caller's, unless its name says whose it is.
cProfile makes every call dearer, so small functions look larger than they are: shares are for finding, clocks for
proving.
"""

import argparse
import cProfile
import io
import pstats
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

import wsgi
from bench.load import Request
from bench.servers import World
from incentives.kernel.clock import SystemClock
from tests.world import make_core

WARM = 60
_TOP = 45
_TOP_OF_LAYER = 6

# The first that fits says whose a function is. Names of C functions stand in braces, as cProfile writes them.
LAYERS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("waiting for PostgreSQL", r"psycopg/waiting\.py|wait_c|select\.(poll|epoll|select)"),
        ("psycopg", r"psycopg"),
        ("SQLAlchemy", r"sqlalchemy"),
        ("marshmallow, webargs, smorest", r"marshmallow|webargs|flask_smorest|apispec|api/(smorest|fields|json_text)"),
        ("Flask, Werkzeug", r"/flask/|werkzeug|wsgi\.py|blinker|markupsafe|jinja2|urllib"),
        ("crypto, JSON", r"cryptography|hashlib|hmac|orjson|/json/|_json|_openssl|base64|itsdangerous|_hashlib"),
        ("our doors", r"/(api|admin|channels)/"),
        ("our kernel", r"incentives/kernel/"),
        ("our flows and deeds", r"incentives/(flows|deeds)/"),
        ("our concepts and queries", r"incentives/"),
    )
)
REST = "Python's own library, and the rest"


def main() -> None:
    """Print the profile of one kind of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", choices=("issue", "redeem", "lookup"), required=True)
    parser.add_argument("--count", type=int, default=400)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(profiled(world, asked.request, asked.count))


def profiled(world: World, kind: str, count: int) -> str:
    """Return how long a request takes, and where."""
    makers: dict[str, Callable[[int], list[Request]]] = {
        "issue": lambda number: world.issues(number, location=None),
        "redeem": world.redemptions,
        "lookup": world.lookups,
    }
    core = make_core(world.database_url, clock=SystemClock())
    app = wsgi.create_app(core)
    environs = [_environ(each) for each in makers[kind](WARM + 2 * count)]
    for each in environs[:WARM]:
        _send(app, each)
    clock = [_timed(app, each) for each in environs[WARM : WARM + count]]
    profile = cProfile.Profile()
    profile.enable()
    for each in environs[WARM + count :]:
        _send(app, each)
    profile.disable()
    core.database.dispose()
    return "\n".join([_clocks(kind, clock), *_by_layer(profile, count), _top(profile)])


def _environ(request: Request) -> dict[str, Any]:
    builder = EnvironBuilder(request.path, method=request.method, headers=Headers(request.headers), data=request.body)
    return builder.get_environ()


def _send(app: Flask, environ: dict[str, Any]) -> None:
    statuses: list[str] = []
    answer = app.wsgi_app(environ, lambda status, *_rest: statuses.append(status))  # type: ignore[arg-type]  # a server's start_response, less what nobody calls
    body = b"".join(answer)
    close = getattr(answer, "close", None)
    if close:
        close()
    assert statuses[0][:2] == "20", body


def _timed(app: Flask, environ: dict[str, Any]) -> tuple[float, float]:
    began, began_cpu = time.perf_counter(), time.thread_time()
    _send(app, environ)
    return time.perf_counter() - began, time.thread_time() - began_cpu


def _clocks(kind: str, clock: Sequence[tuple[float, float]]) -> str:
    wall, cpu = (statistics.median(column) * 1e6 for column in zip(*clock, strict=True))
    return (
        f"{kind}: {wall:.0f} us a request without the profiler (median of {len(clock)}), of which this process "
        f"computes {cpu:.0f} and waits {wall - cpu:.0f}"
    )


def _by_layer(profile: cProfile.Profile, count: int) -> Iterator[str]:
    own: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    functions: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for layer, name, number, seconds in _shares(profile):
        own[layer] += seconds
        calls[layer] += number
        functions[layer][name] += seconds
    total = sum(own.values())
    yield f"\nWith the profiler, {total / count * 1e6:.0f} us a request, {sum(calls.values()) / count:.0f} calls:\n"
    yield f"{'own time, us a request':40}{'us':>8}{'share':>8}{'calls':>8}"
    for layer, seconds in sorted(own.items(), key=lambda each: -each[1]):
        yield f"{layer:40}{seconds / count * 1e6:8.0f}{seconds / total:8.1%}{calls[layer] / count:8.0f}"
    yield ""
    for layer, _ in sorted(own.items(), key=lambda each: -each[1]):
        yield layer
        for name, seconds in sorted(functions[layer].items(), key=lambda each: -each[1])[:_TOP_OF_LAYER]:
            yield f"  {seconds / count * 1e6:8.1f} us  {name}"


def _shares(profile: cProfile.Profile) -> Iterator[tuple[str, str, int, float]]:
    """Return each function's layer, name, calls and own seconds; a C function's are split among its callers."""
    stats: Any = pstats.Stats(profile, stream=io.StringIO())
    for function, (_, number, seconds, _, callers) in stats.stats.items():
        name = _name(function)
        layer = _layer(name)
        if layer != REST or function[0] != "~" or not callers:
            yield layer, name, number, seconds
            continue
        for caller, (_, by_number, by_seconds, _) in callers.items():
            yield _layer(_name(caller)), f"{name} from {_name(caller)}", by_number, by_seconds


def _name(function: tuple[str, int, str]) -> str:
    file, line, name = function
    if file == "~":
        return name
    return f"{file.rpartition('site-packages/')[2].replace(str(Path.cwd()), '')}:{line}({name})"


def _layer(name: str) -> str:
    return next((layer for layer, pattern in LAYERS if pattern.search(name)), REST)


def _top(profile: cProfile.Profile) -> str:
    out = io.StringIO()
    stats = pstats.Stats(profile, stream=out)
    for order in ("tottime", "cumulative"):
        stats.sort_stats(order).print_stats(_TOP)
    return out.getvalue()


if __name__ == "__main__":
    main()
