"""Sealing and verifying: rows a second, on both databases.

``python -m bench.seal [--rows 1000000] [--sqlite | --postgresql]`` fills the books with rows of the usual sizes (two
lines and two audit events for each entry), seals all of them as the worker would, verifies them, and prints how long
each took and how much the seals weigh. A target of the design: a million rows are verified within a minute.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from incentives.books.tables import audit_events, ledger_entries, ledger_postings, seal_parts
from incentives.flows import seal
from incentives.flows.seal import seal_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.many import insert_many
from incentives.kernel.migrate import upgrade
from incentives.queries.books_verify import verify_books
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.world import START, make_core

ROWS_OF_ONE = 5  # an entry, its two lines, two audit events
_AT_ONCE = 4_000


def main(arguments: list[str] | None = None) -> None:
    """Fill, seal, verify and print, on each database that was asked for."""
    parser = argparse.ArgumentParser(description="Rows a second of sealing and verifying.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args(arguments)
    both = not (options.sqlite or options.postgresql)
    for kind, wanted in (("SQLite", options.sqlite or both), ("PostgreSQL", options.postgresql or both)):
        if wanted:
            # The server knows nothing of the year that is played.
            played = patch.object(seal, "shared_now", lambda _tx, now: now)
            with _database(postgresql=kind == "PostgreSQL") as url, played:
                measure(kind, url, options.rows)


def measure(kind: str, url: str, rows: int) -> None:
    """Print one database's figures."""
    clock = FixedClock(START)
    core = make_core(url, clock=clock)
    written, seconds = _timed(lambda: fill(core, clock, rows // ROWS_OF_ONE))
    print(f"{kind}: {written} rows written in {seconds:.1f} s")
    clock.advance(timedelta(minutes=1))
    sealed, seconds = _timed(lambda: _seal_all(core))
    print(f"  sealed    {sealed} rows in {seconds:.1f} s, {sealed / seconds:,.0f} a second")
    verdict, seconds = _timed(lambda: verify_books(core=core, actor=SYSTEM))
    if not verdict.holds or verdict.rows != written:
        raise SystemExit("; ".join(fault.words for fault in verdict.faults) or "not every row was sealed")
    print(f"  verified  {verdict.rows} rows in {seconds:.1f} s, {verdict.rows / seconds:,.0f} a second")
    _, seconds = _timed(lambda: seal_due(core=core))
    print(f"  nothing to seal is seen in {seconds * 1000:.0f} ms")
    with core.database.read() as tx:
        part = seal_parts.c
        count, weight = tx.execute(sa.select(sa.func.count(), sa.func.sum(sa.func.length(part.content)))).one()
    print(f"  {verdict.seals} seals of {count} parts, {weight / sealed:.1f} bytes a row\n")
    core.database.dispose()


def fill(core: Core, clock: FixedClock, entries: int) -> int:
    """Write so many entries with what belongs to them, and return how many rows that were.

    Vouchers, which entries are about, are no part of what is measured: foreign keys are let be.
    """
    if core.database.sqlite:
        sa.event.listen(core.database.engine, "connect", lambda made, _: made.execute("PRAGMA foreign_keys=OFF"))
    for start in range(0, entries, _AT_ONCE):
        made = [_rows(core, clock) for _ in range(min(_AT_ONCE, entries - start))]
        with core.database.write() as tx:
            if not core.database.sqlite:
                tx.exec_driver_sql("SET LOCAL session_replication_role=replica")
            for table, place in ((ledger_entries, 0), (ledger_postings, 1), (audit_events, 2)):
                insert_many(tx, table, [row for each in made for row in each[place]])
    return entries * ROWS_OF_ONE


def _rows(core: Core, clock: FixedClock) -> tuple[list[dict[str, Any]], ...]:
    clock.advance(timedelta(milliseconds=1))
    now = clock.now()
    entry_id, voucher_id = core.ids.new(now), core.ids.new(now)
    entry = {"id": entry_id, "kind": "voucher-issued", "source_id": voucher_id, "voucher_id": voucher_id, "at": now}
    lines = [
        {"id": core.ids.new(now), "entry_id": entry_id, "account": account, "amount_minor": amount, "currency": "GBP"}
        for account, amount in (("recovery-expense", 2500), ("voucher-liability", -2500))
    ]
    actor = f"person:{voucher_id}"
    return [entry | {"actor": actor, "reason": "A voucher was issued."}], lines, [
        {
            "id": core.ids.new(now),
            "at": now,
            "actor": actor,
            "actor_name": "Fay Frontline",
            "action": action,
            "subject_kind": "issuance",
            "subject_id": str(voucher_id),
            "case_id": entry_id,
            "reason": None,
            "facts": {"incentive": "voucher", "amount_minor": 2500, "currency": "GBP", "voucher_id": str(voucher_id)},
            "request_id": "0123456789abcdef",
            "ip": "127.0.0.1",
        }
        for action in ("issuance.issued", "voucher.issued")
    ]  # fmt: skip


def _seal_all(core: Core) -> int:
    total = 0
    while sealed := seal_due(core=core):
        total += sealed.rows
    return total


def _timed(what: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return what(), time.monotonic() - began


@contextmanager
def _database(*, postgresql: bool) -> Iterator[str]:
    """Return the address of a migrated database that goes away with the run."""
    with ExitStack() as stack:
        if postgresql:
            server = Postgres(stack.enter_context(RunFolder.opened()), durable=True)
            server.start()
            stack.callback(server.remove)
            url = server.url()
        else:
            url = f"sqlite:///{Path(stack.enter_context(tempfile.TemporaryDirectory())) / 'books.db'}"
        upgrade(url)
        yield url


if __name__ == "__main__":
    main()
