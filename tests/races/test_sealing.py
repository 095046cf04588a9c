"""Many seal while many write: the chain has no fork and no gap, and every row is in it once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books import seals
from incentives.books.tables import audit_events, seal_parts
from incentives.books.tables import seals as seals_table
from incentives.flows import seal
from incentives.flows.seal import seal_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import SystemClock, elapsed_seconds
from incentives.kernel.core import Core
from incentives.queries.books_verify import verify_books
from tests.crew import SIZE, Crew, Outcome

WRITES = 40
_PAUSE_SECONDS = 0.02
_SEALING_SECONDS = 3


def write_or_seal(core: Core, turn: int) -> Outcome:
    """Be a writer, or one of four sealers. Writers commit late and out of order, some with clocks that are behind."""
    if turn % 4 == 0:
        until = elapsed_seconds() + _SEALING_SECONDS
        sealed = 0
        with nothing_settles():
            while elapsed_seconds() < until:
                sealed += bool(seal_due(core=_present(core)))
        return Outcome("Sealed", sealed)
    for number in range(WRITES):
        now = SystemClock().now() - timedelta(minutes=2 if turn % 4 == 1 else 0)
        row = {
            "id": core.ids.new(now), "at": now, "actor": "system:0", "actor_name": "x", "action": "x.y",
            "subject_kind": "x", "subject_id": f"{turn}-{number}", "facts": {"n": number},
        }  # fmt: skip
        with core.database.write() as tx:
            tx.execute(audit_events.insert(), row)
            time.sleep(_PAUSE_SECONDS * (turn % 3))
    return Outcome("Written", WRITES)


@contextmanager
def nothing_settles() -> Iterator[None]:
    """Seal what is newer than new: what is committed late is the rule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "SETTLED", -timedelta(minutes=1))
        yield


def _present(core: Core) -> Core:
    return replace(core, clock=SystemClock())


def all_of(core: Core, table: sa.Table) -> list[Any]:
    with core.database.read() as tx:
        return list(tx.execute(sa.select(table)).all())


def test_many_sealers_beside_many_writers_make_one_chain(crew: Crew, core: Core, database_url: str) -> None:
    outcomes = crew.share(write_or_seal, range(SIZE), database_url)
    written = sum(each.value for each in outcomes if each.name == "Written")
    assert written == SIZE * 3 // 4 * WRITES, outcomes
    with nothing_settles():
        while seal_due(core=_present(core)):
            pass
    verdict = verify_books(core=core, actor=SYSTEM)
    assert verdict.faults == ()
    assert (verdict.rows, verdict.unsealed) == (written, 0)
    assert verdict.seals > 1
    numbers = [row.number for row in all_of(core, seals_table)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert sum(row.row_count for row in all_of(core, seal_parts)) == written, "no row is sealed twice"


@contextmanager
def number_by_counting() -> Iterator[None]:
    """Take the guard away: the number is whatever comes next, and not the one after what was read."""
    guarded = seals.add

    def naive(tx: Any, ring: Any, last: Any, parts: Any, now: Any) -> Any:
        del last
        tx.execute(sa.text("LOCK TABLE seals IN SHARE ROW EXCLUSIVE MODE"))
        return guarded(tx, ring, seals.head(tx), parts, now)

    seals.add = naive
    try:
        yield
    finally:
        seals.add = guarded


def test_without_the_guard_rows_are_sealed_twice(crew: Crew, core: Core, database_url: str) -> None:
    outcomes = crew.share(write_or_seal, range(SIZE), database_url, twin=number_by_counting)
    written = sum(each.value for each in outcomes if each.name == "Written")
    assert sum(row.row_count for row in all_of(core, seal_parts)) > written
