"""Bulk: rows a second from a file to PostgreSQL, beside PostgreSQL's own COPY of the very rows that were written.

``python -m bench.bulk --rows 100000``. Each phase runs in a process of its own, so that its peak of memory is its own.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.servers import World
from incentives.flows.bulk_check import check_job
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import Pace, run_chunk, start_job
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.migrate import HOUSE
from incentives.queries.access import actor_of_api_key
from incentives.queries.bulk import one_job
from tests.small_catalog import INCENTIVE, TAG
from tests.world import make_core
from worker import collect_seldom

PHASES = ("load", "check", "run")
# What a bulk job writes for its rows; the rest (a catalog, a key) was there before.
TABLES = (
    "customers", "customer_identities", "recovery_cases", "case_tags", "case_clocks", "issuances", "vouchers",
    "ledger_entries", "ledger_postings", "outbox_messages", "audit_events", "budget_periods", "budget_movements",
    "idempotency_keys", "bulk_rows",
)  # fmt: skip


def main() -> None:
    """Print the figures for ten thousand rows, and for as many as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--phase", choices=PHASES)
    parser.add_argument("--at", nargs=3, metavar=("URL", "SECRET", "FILE"))
    asked = parser.parse_args()
    if asked.phase:
        print(json.dumps(_phase(asked.phase, *asked.at)))
        return
    for rows in sorted({min(10_000, asked.rows), asked.rows}):
        with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
            print(figures(world, rows, Path(folder)), flush=True)


def figures(world: World, rows: int, folder: Path) -> str:
    """Return how fast a file of so many rows is given, and what that is beside COPY."""
    file = folder / "rows.csv"
    file.write_text(_file(rows), encoding="utf-8")
    found = {phase: _apart(phase, world, file) for phase in PHASES}
    written, megabytes, copied = _copy(world.core)
    lines = [f"\n{rows:,} rows, one worker, PostgreSQL (fsync on); {found['run']['issued']:,} vouchers"]
    for phase, words in (("load", "read and kept"), ("check", "foreseen"), ("run", "given")):
        seconds, memory = found[phase]["seconds"], found[phase]["megabytes"]
        lines.append(f"  {words:16}{seconds:8.1f} s{rows / seconds:10.0f} rows/s{memory:8} MB at most")
    seconds = found["run"]["seconds"]
    copying = f"{copied:8.1f} s for the {written:,} table rows ({megabytes:.0f} MB as text) that it wrote"
    times = f"{rows / copied:.0f} rows/s; giving them takes {seconds / copied:.1f} times as long"
    lines += [f"  longest chunk   {found['run']['longest']:8.2f} s", f"  COPY alone      {copying}: {times}"]
    return "\n".join(lines)


def _file(rows: int) -> str:
    out = io.StringIO()
    out.write("issue_tag,incentive,location,email,name,channels,order_ref\n")
    for number in range(rows):
        name = uuid.uuid4().hex
        out.write(f"{TAG},{INCENTIVE},place-{number % 50},{name}@customer.example,Ada {number},email,O-{number}\n")
    return out.getvalue()


def _apart(phase: str, world: World, file: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "bench.bulk",
        "--phase",
        phase,
        "--at",
        world.database_url,
        world.secret,
        str(file),
    ]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _phase(phase: str, url: str, secret: str, file: str) -> dict[str, Any]:
    core = make_core(url, clock=SystemClock())
    collect_seldom()  # as the worker does
    actor = actor_of_api_key(core=core, secret=secret)
    assert actor is not None
    began, longest, issued = time.perf_counter(), 0.0, 0
    with Path(file).open("rb") as rows:
        job_id = load_job(core=core, actor=actor, command=LoadJob(file=rows, format="csv", dry_run=True)).id
    if phase == "check":
        began = time.perf_counter()
        for _ in check_job(core=core, job_id=job_id):
            pass
    elif phase == "run":
        began = time.perf_counter()
        start_job(core=core, actor=actor, job_id=job_id)
        pace, last = Pace(), time.perf_counter()
        while run_chunk(core=core, job_id=job_id, pace=pace).goes_on:
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        issued = one_job(core=core, actor=actor, job_id=job_id).rows_issued
    seconds = time.perf_counter() - began
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"seconds": seconds, "megabytes": megabytes, "longest": longest, "issued": issued}


def _copy(core: Core) -> tuple[int, float, float]:
    """Return how many rows the job's tables hold, their megabytes as text, and the seconds COPY takes to write them.

    Into tables alike, with the same indexes and checks, and in one transaction; foreign keys and triggers are left out,
    so COPY has less to do than we had.
    """
    rows, size, seconds = 0, 0, 0.0
    with core.database.engine.connect() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"CREATE TABLE copy_of_{table} (LIKE {table} INCLUDING ALL)")
            rows += connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - our tables
        connection.commit()
        connection.exec_driver_sql("SET statement_timeout = 0")
        driver: Any = connection.connection
        for table in TABLES:
            with tempfile.TemporaryFile() as text, driver.cursor() as cursor:
                with cursor.copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as out:  # noqa: S608 - our tables
                    for block in out:
                        size += text.write(block)
                text.seek(0)
                began = time.perf_counter()
                with cursor.copy(f"COPY copy_of_{table} FROM STDIN") as into:
                    while block := text.read(1 << 16):
                        into.write(block)
                seconds += time.perf_counter() - began
        began = time.perf_counter()
        connection.commit()
        seconds += time.perf_counter() - began
    return rows, size / 2**20, seconds


if __name__ == "__main__":
    main()
