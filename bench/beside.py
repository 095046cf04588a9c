"""How long the unluckiest of a hundred waits while a bulk job gives and an auditor reads the whole ledger.

``python -m bench.beside [quick]``. The bulk job runs in a process of its own, as the worker's does; the ledger is read
page by page through the API of the very server that is measured. Each is beside all three hot requests, and in turn
with the same requests by themselves.
"""

import contextlib
import io
import itertools
import json
import multiprocessing
import sys
import tempfile
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from bench.load import Result
from bench.servers import Server, World
from bench.side_by_side import KINDS, Contender, Pace, median
from incentives.flows.bulk_check import check_job
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import Pace as ChunkPace
from incentives.flows.bulk_run import run_chunk
from incentives.kernel.clock import SystemClock
from incentives.queries.access import actor_of_api_key
from tests.small_catalog import INCENTIVE, TAG
from tests.world import api_key, make_core

_ROWS = 4_000
_PAGE = 200


def main(arguments: Sequence[str] = ()) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(beside(world, Pace.asked(arguments)))


def beside(world: World, pace: Pace) -> str:
    """Return rates and waits by themselves, and beside a bulk job and an export."""
    makers = {"issue": world.issues, "redeem": world.redemptions, "lookup": world.lookups}
    ours = Contender("ours", Server("wsgi:app", world.environ, factory=True), makers)
    auditor, _ = api_key(world.core, "auditor")
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    given = read = 0
    try:
        ours.server.start()
        for _ in range(pace.rounds):
            for kind in KINDS:
                found["alone", kind].append(ours.measure(kind, pace))
            with _busy(world, ours.server.port, auditor) as (rows, entries):
                for kind in KINDS:
                    found["beside", kind].append(ours.measure(kind, pace))
            given, read = given + rows.value, read + entries.value
    finally:
        ours.server.stop()
    others = f"a bulk job ({given} rows given) and an export ({read} ledger entries read)"
    lines = [
        f"\nBeside {others}, medians of {pace.rounds} rounds of {pace.seconds:g} s in turn",
        f"{'':24}{'a second':>10}{'beside':>10}{'median ms':>11}{'beside':>10}{'p99 ms':>10}{'beside':>10}",
    ]
    for kind in KINDS:
        pairs = ((median(found[how, kind], name)) for name in _COLUMNS for how in ("alone", "beside"))
        lines.append(f"{kind:24}" + "".join(f"{value:10.1f}" for value in pairs))
    return "\n".join(lines)


_COLUMNS = ("per_second", "median_ms", "p99_ms")


@contextlib.contextmanager
def _busy(world: World, port: int, auditor: str) -> Iterator[tuple["Synchronized[int]", "Synchronized[int]"]]:
    """Let both run until the block ends; what is given are how far they came."""
    context = multiprocessing.get_context("spawn")
    rows, entries = context.Value("i", 0), context.Value("i", 0)
    stop = context.Event()
    going = [
        context.Process(target=give_in_bulk, args=(world.database_url, world.secret, rows, stop), daemon=True),
        context.Process(target=read_ledger, args=(port, auditor, entries, stop), daemon=True),
    ]
    for each in going:
        each.start()
    while not (rows.value and entries.value):
        assert all(each.is_alive() for each in going), "what should run beside has ended"
        stop.wait(0.05)
    yield rows, entries
    stop.set()
    for each in going:
        each.join(timeout=60)
        assert each.exitcode == 0, "what ran beside has failed"


def give_in_bulk(url: str, secret: str, given: Any, stop: Any) -> None:
    """Give file after file, as the worker does, until told to stop."""
    core = make_core(url, clock=SystemClock())
    actor = actor_of_api_key(core=core, secret=secret)
    assert actor is not None
    while not stop.is_set():
        lines = (f"{TAG},{INCENTIVE},place-{n % 50},{uuid.uuid4().hex}@example.com,email\n" for n in range(_ROWS))
        file = io.BytesIO(("issue_tag,incentive,location,email,channels\n" + "".join(lines)).encode())
        job_id = load_job(core=core, actor=actor, command=LoadJob(file=file, format="csv")).id
        for _ in check_job(core=core, job_id=job_id):
            if stop.is_set():
                break
        pace, chunk = ChunkPace(), None
        while not stop.is_set() and (chunk is None or chunk.goes_on):
            chunk = run_chunk(core=core, job_id=job_id, pace=pace)
            given.value += chunk.rows
    core.database.dispose()


def read_ledger(port: int, secret: str, read: Any, stop: Any) -> None:
    """Read the ledger from its beginning to its end, again and again, until told to stop."""
    for _ in itertools.count():
        after = ""
        while after is not None:
            if stop.is_set():
                return
            address = f"http://127.0.0.1:{port}/api/v1/ledger/entries?limit={_PAGE}{after and '&after='}{after}"
            asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {secret}"})
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - the server that we started
                page = json.load(answer)
            read.value += len(page["items"])
            after = page["next"]


if __name__ == "__main__":
    main(sys.argv[1:])
