"""Which server: the three hot requests of ours on each that can be had, in turn. The choice is in docs/adr/0020.

``python -m bench.which_server [quick]``. Only granian is installed with the application; any of gunicorn, waitress and
cheroot is measured too where it can be imported.
"""

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.load import Result
from bench.servers import Server, Way, World, granian
from bench.side_by_side import KINDS, Contender, Pace, median

_WAITRESS = """
import importlib, logging, sys, waitress
logging.disable()
target, factory, port, threads = sys.argv[1:]
module, name = target.split(":")
app = getattr(importlib.import_module(module), name)
waitress.serve(app() if factory == "True" else app, listen=f"127.0.0.1:{port}", threads=int(threads))
"""
_CHEROOT = """
import importlib, sys
from cheroot.wsgi import Server
target, factory, port, threads = sys.argv[1:]
module, name = target.split(":")
app = getattr(importlib.import_module(module), name)
Server(("127.0.0.1", int(port)), app() if factory == "True" else app, numthreads=int(threads)).start()
"""


def ways() -> Iterator[tuple[Way, int]]:
    """Return each way to serve that is installed, with the threads of a process."""
    for threads in (1, 2, 4, 8, 16):
        yield granian(2, threads), threads
    if find_spec("gunicorn"):
        yield Way(name="gunicorn gthread, 2 x 8", command=_gunicorn("gthread", 2, 8)), 8
        yield Way(name="gunicorn sync, 2", command=_gunicorn("sync", 2, 1)), 1
    if find_spec("waitress"):
        yield Way(name="waitress, 1 x 16", command=_snippet(_WAITRESS, 16)), 16
    if find_spec("cheroot"):
        yield Way(name="cheroot, 1 x 16", command=_snippet(_CHEROOT, 16)), 16


def _gunicorn(kind: str, workers: int, threads: int) -> Callable[[str, bool, int], list[str]]:
    def command(target: str, factory: bool, port: int) -> list[str]:  # noqa: FBT001 - each way has the same three
        called = f"{target}()" if factory else target
        return [
            sys.executable, "-m", "gunicorn", "--worker-class", kind, "--workers", str(workers),
            "--threads", str(threads), "--keep-alive", "30", "--log-level", "error",
            "--bind", f"127.0.0.1:{port}", called,
        ]  # fmt: skip

    return command


def _snippet(code: str, threads: int) -> Callable[[str, bool, int], list[str]]:
    def command(target: str, factory: bool, port: int) -> list[str]:  # noqa: FBT001 - each way has the same three
        return [sys.executable, "-c", code, target, str(factory), str(port), str(threads)]

    return command


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(which_server(world, Pace.asked(arguments)))


def which_server(world: World, pace: Pace) -> str:
    """Return requests a second and p99 by server and request; one server runs at a time."""
    makers = {"issue": world.issues, "redeem": world.redemptions, "lookup": world.lookups}
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    megabytes: dict[str, int] = {}
    for _ in range(pace.rounds):
        for way, threads in ways():
            environ = {**world.environ, "INCENTIVES_DATABASE_POOL_SIZE": str(threads)}
            ours = Contender(way.name, Server("wsgi:app", environ, factory=True, way=way), makers)
            try:
                ours.server.start()
                for kind in KINDS:
                    found[way.name, kind].append(ours.measure(kind, pace))
                megabytes[way.name] = ours.server.worker_megabytes
            finally:
                ours.server.stop()
    rounds = f"medians of {pace.rounds} rounds of {pace.seconds:g} s in turn"
    lines = [
        f"\nOurs on each server, 32 connections, PostgreSQL, {rounds}",
        f"{'':26}" + "".join(f"{kind + '/s':>10}{'p99 ms':>9}{'CPU ms':>8}" for kind in KINDS) + f"{'MB':>6}",
    ]
    for name, size in megabytes.items():
        told = ([median(found[name, kind], each) for each in ("per_second", "p99_ms", "cpu_ms")] for kind in KINDS)
        row = "".join(f"{rate:10.0f}{p99:9.1f}{cpu:8.2f}" for rate, p99, cpu in told)
        lines.append(f"{name:26}{row}{size:6}")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
