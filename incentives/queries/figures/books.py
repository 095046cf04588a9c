"""Figures of the books: whether they held when they were last proved, and how far behind the seals are."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import seal_parts, seals
from incentives.queries.books_seals import latest_checks
from incentives.queries.figures.gauge import Gauge, Part, Sample, age
from incentives.queries.sealed_rows import BOOKS, time_of

HOLD = Gauge("incentives_books_hold", "1 if the books held when they were last proved, 0 if not; missing before that.")
BROKEN = Gauge("incentives_books_broken", "How much was found broken then.")
PROVED = Gauge("incentives_books_proved_seconds", "How long ago the last proof that ended did.")
SEAL = Gauge("incentives_seal_number", "The number of the last seal; 0 before the first.")
SEALED = Gauge("incentives_seal_seconds", "How old the last seal is.")
UNSEALED = Gauge("incentives_unsealed_seconds", "How old the oldest row is that no seal covers yet; 0 where none is.")

_LAST = sa.select(seals.c.number, seals.c.at).order_by(seals.c.number.desc()).limit(1)
_FIRST = UUID(int=0)


def _above(table: sa.Table) -> sa.Select[Any]:
    """Return the first row of a book above all that is sealed: both ends of indexes."""
    part, book = seal_parts.c, table.c
    last = sa.select(part.last_id).where(part.book == table.name).order_by(part.last_id.desc()).limit(1)
    since = sa.func.coalesce(last.scalar_subquery(), sa.literal(_FIRST, sa.Uuid()), type_=sa.Uuid())
    first = sa.select(book.id).where(book.id > since).order_by(book.id).limit(1).subquery()
    return sa.select(first.c.id)


_UNSEALED = sa.union_all(*(_above(table) for table in BOOKS))


def _read(tx: Connection, now: datetime) -> Iterator[Sample]:
    for last in latest_checks(tx, 1, ended=True):
        yield HOLD, (), float(bool(last.holds))
        yield BROKEN, (), len(last.broken)
        yield PROVED, (), age(now, last.ended_at)
    newest = tx.execute(_LAST).one_or_none()
    yield SEAL, (), newest.number if newest else 0
    if newest:
        yield SEALED, (), age(now, newest.at)
    unsealed = min(tx.execute(_UNSEALED).scalars(), default=None)
    yield UNSEALED, (), age(now, time_of(unsealed) if unsealed else None)


PART = Part("books", (HOLD, BROKEN, PROVED, SEAL, SEALED, UNSEALED), _read)
