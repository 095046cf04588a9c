"""Seal: what was written to the books since the last seal is covered by a new one, and the chain grows by a link.

Whoever writes to the books waits for nothing and knows nothing of it. Rows are sealed a few seconds after they were
made; one that is committed later than others with higher ids is in a later seal. The worker does it by itself.

How old a row is goes by the database's clock, which all machines share: what a machine wrote whose clock is ahead waits
until that time has come, for rows of the others must not be too late because of it.
"""

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit, seals
from incentives.books.seals import Checkpoint, Part
from incentives.deeds import reasons
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.queries import sealed_rows
from incentives.queries.sealed_rows import BOOKS, between, shared_now
from incentives.queries.sealed_rows import too_late_in as _late

SETTLED = timedelta(seconds=5)
"""So old rows are when they are sealed: nearly all that have lower ids are committed by then."""

_FIRST = uuid.UUID(int=0)

log = logging.getLogger("incentives.seal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What sealing did: the new checkpoint, or None where there was nothing, or another process was first."""

    checkpoint: Checkpoint | None
    rows: int

    def __bool__(self) -> bool:
        """Return whether something was sealed, so that there may be more."""
        return self.checkpoint is not None


def seal_due(*, core: Core) -> Sealed:
    """Seal what is due, up to ``MOST_ROWS`` of each book. Of several processes at it one does, the others nothing."""
    with core.database.read_snapshot() as tx:
        now = shared_now(tx, core.clock.now())
        last = seals.head(tx)
        late = sealed_rows.too_late(tx)
        upto = _upto(tx, late, sealed_rows.floor_id(now - SETTLED))
        parts = [part for table in BOOKS if (part := _part(table, _due(tx, table, _late(tx, table, late), upto)))]
    if not parts:
        return Sealed(checkpoint=None, rows=0)
    with core.database.write() as tx:
        made = seals.add(tx, core.keys.seals, last, parts, now)
    return _sealed(made, parts)


def seal_late(*, core: Core, reason: str) -> Sealed:
    """Seal rows that are too old to be sealed by themselves: a person has looked at them and answers for them.

    They stay recognizable: the audit trail says how many of which book, in which seal and why. Raises ``InputInvalid``
    for a reason that is none.
    """
    now = core.clock.now()
    why = reasons.reason(reason)
    with core.database.read_snapshot() as tx:
        last = seals.head(tx)
        late = sealed_rows.too_late(tx)
        chosen = {table: _too_late(tx, table, its) for table in BOOKS if (its := _late(tx, table, late)) is not None}
        parts = [part for table, ids in chosen.items() if (part := _part(table, _by_id(tx, table, ids)))]
    if not parts:
        return Sealed(checkpoint=None, rows=0)
    with core.database.write() as tx:
        made = seals.add(tx, core.keys.seals, last, parts, now)
        if made is not None:
            audit.record(
                tx,
                core=core,
                actor=SYSTEM,
                now=now,
                action="books.sealed-late",
                subject_kind="seal",
                subject_id=str(made.number),
                reason=why,
                facts={part.book: part.row_count for part in parts},
            )
    return _sealed(made, parts)


def _sealed(made: Checkpoint | None, parts: Sequence[Part]) -> Sealed:
    """Return what was done, and log it: a log is outside the database, where whoever owns that cannot change it."""
    if made is None:
        return Sealed(checkpoint=None, rows=0)
    log.info("seal %d is %s", made.number, made.hash)
    return Sealed(checkpoint=made, rows=sum(part.row_count for part in parts))


def _too_late(tx: Connection, table: sa.Table, late: uuid.UUID) -> list[uuid.UUID]:
    with closing(sealed_rows.strangers(tx, table, None, late)) as found:
        return list(islice(found, sealed_rows.MOST_ROWS))


def _upto(tx: Connection, late: uuid.UUID | None, settled: uuid.UUID) -> uuid.UUID:
    """Return the highest id that this seal covers: of no book more than one seal takes, and of all up to the same.

    Were one book ahead of the others, what they have would be too late.
    """
    upto = settled
    for table in BOOKS:
        above = max(sealed_rows.last_id(tx, table) or _FIRST, _late(tx, table, late) or _FIRST)
        query = sa.select(table.c.id).where(*between(table, above, upto)).order_by(table.c.id)
        upto = tx.execute(query.offset(sealed_rows.MOST_ROWS - 1).limit(1)).scalar_one_or_none() or upto
    return upto


def _due(tx: Connection, table: sa.Table, late: uuid.UUID | None, upto: uuid.UUID) -> Iterator[sealed_rows.Row]:
    """Go through the rows to seal: those that came late, and those above all that is sealed."""
    last = sealed_rows.last_id(tx, table)
    if last is not None and late is not None and last > late:
        seen = tx.execute(sa.select(sa.func.count()).select_from(table).where(*between(table, late, last))).scalar_one()
        if seen != sealed_rows.count_sealed(tx, table.name, late):
            yield from _by_id(tx, table, list(sealed_rows.strangers(tx, table, late, last)))
    above = max(last or _FIRST, late or _FIRST)
    yield from sealed_rows.rows(tx, table, between(table, above, upto))


def _by_id(tx: Connection, table: sa.Table, ids: Sequence[uuid.UUID]) -> Iterator[sealed_rows.Row]:
    at_once = 1_000
    for start in range(0, len(ids), at_once):
        yield from sealed_rows.rows(tx, table, [table.c.id.in_(ids[start : start + at_once])])


def _part(table: sa.Table, rows: Iterator[sealed_rows.Row]) -> Part | None:
    record = sealed_rows.Recorder(table)
    records = sorted(record(row) for row in rows if sealed_rows.id_bytes(row[0]))
    return Part(book=table.name, columns=record.columns, content=b"".join(records)) if records else None
