"""Does a worker's memory stay flat? ``python -m bench.soak --minutes 10`` fails where it grows by more than 5 %.

Issues, looks up and redeems over 32 connections without a pause. What a worker holds is read after a tenth of the time,
when its pools and caches are full, in the middle and at the end.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import Request, run
from bench.servers import Server, World

GROWTH_MOST = 0.05
_TOGETHER = 480
_WARM_SHARE = 0.1
_WORKER_KILOBYTES_MIN = 30_000  # what else is a child of the server holds less


@dataclass(frozen=True, slots=True)
class Seen:
    """What each worker held after so many requests."""

    when: str
    requests: int
    kilobytes: dict[int, int]


def main() -> int:
    """Print what was seen; return 1 where memory grew too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        server = Server("wsgi:app", world.environ, factory=True)
        try:
            server.start()
            seen = list(soaked(world, server, minutes * 60))
        finally:
            server.stop()
    for each in seen:
        sizes = ", ".join(f"worker {pid}: {kilobytes / 1024:.1f} MB" for pid, kilobytes in each.kilobytes.items())
        print(f"{each.when:16}{each.requests:10} requests   {sizes}")
    growth = grown(seen[0], seen[-1])
    print(f"Growth after the warm-up: {growth:+.1%} in the worker that grew most; at most {GROWTH_MOST:.0%} is allowed")
    return int(growth > GROWTH_MOST)


def soaked(world: World, server: Server, seconds: float) -> Iterator[Seen]:
    """Keep the server busy for so long, and tell what its workers hold after the warm-up, in the middle, at the end."""
    began, requests = time.monotonic(), 0
    for when, share in (("after warm-up", _WARM_SHARE), ("in the middle", 0.5), ("at the end", 1.0)):
        while time.monotonic() - began < seconds * share:
            requests += _round(world, server.port)
        sizes = {pid: size for pid, size in server.worker_kilobytes.items() if size > _WORKER_KILOBYTES_MIN}
        yield Seen(when, requests, sizes)


def grown(first: Seen, last: Seen) -> float:
    """Return by which share the worker that grew most did. A worker that was replaced is a failure of its own."""
    assert first.kilobytes.keys() == last.kilobytes.keys(), "a worker died"
    return max(last.kilobytes[pid] / size - 1 for pid, size in first.kilobytes.items())


def _round(world: World, port: int) -> int:
    """Issue some vouchers, look all of them up and redeem them; return how many requests that were."""
    issued = run(port, world.issues(_TOGETHER), expected=201, keep=True)
    codes = [json.loads(body)["voucher"]["code"] for body in issued.bodies]
    rounds: tuple[tuple[list[Request], int], ...] = (
        ([world.lookup(code) for code in codes], 200),
        ([world.redemption(code) for code in codes], 201),
    )
    wrong = issued.wrong + sum(run(port, requests, expected=expected).wrong for requests, expected in rounds)
    assert not wrong, f"{wrong} answers were no success"
    return _TOGETHER + 2 * len(codes)


if __name__ == "__main__":
    sys.exit(main())
