"""The rows that seals cover, as both databases spell them alike, and the records that seals hold of them.

Everything here goes through the rows by id, a few thousand at a time, so that ten million need no more memory than ten.
"""

import uuid
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.seals import ID_BYTES, RECORD_BYTES, digest
from incentives.books.tables import audit_events, ledger_entries, ledger_postings, seal_parts
from incentives.catalog.tables import catalog_items
from incentives.kernel.database import UtcDateTime
from incentives.messages.tables import delivery_attempts, delivery_events
from incentives.recovery.feedback_tables import criteria_firings
from incentives.recovery.tables import case_apologies, case_steps
from incentives.spending.tables import approval_votes, budget_allocations, budget_movements
from incentives.vouchers.tables import redemption_attempts, redemption_reversals

BOOKS: tuple[sa.Table, ...] = (
    ledger_entries,
    ledger_postings,
    budget_movements,
    budget_allocations,
    redemption_reversals,
    approval_votes,
    audit_events,
    redemption_attempts,
    delivery_attempts,
    delivery_events,
    catalog_items,
    case_steps,
    case_apologies,
    criteria_firings,
)
"""Each has an id that grows with time as its first column."""

JOINED: tuple[sa.Table, ...] = (delivery_events,)
"""Books that a version of ours before this one wrote to, or let be written to beside it, and did not seal."""

MOST_ROWS = 20_000  # of one book in one seal

LATE = timedelta(minutes=10)
"""So much older than what is sealed a row may be and still be sealed by itself: it was committed late, or by a machine
whose clock is behind. An older one that no seal knows was put there afterwards, or a person says that it was not."""

_AT_ONCE = 5_000
_TIME_BITS = 80  # what follows the milliseconds in an id

_RECORD = itemgetter(0)

Row = tuple[Any, ...]


def floor_id(at: datetime) -> uuid.UUID:
    """Return an id that no row made at an instant or later is below."""
    return uuid.UUID(int=max(int(at.timestamp() * 1000), 0) << _TIME_BITS)


def time_of(row_id: uuid.UUID) -> datetime:
    """Return when an id was made, to the millisecond."""
    return datetime.fromtimestamp((row_id.int >> _TIME_BITS) / 1000, UTC)


def shared_now(tx: Connection, now: datetime) -> datetime:
    """Return the present instant by the clock that all machines share.

    On PostgreSQL that is the server's; an SQLite file has one machine only, and that machine's clock has told ``now``.
    """
    if tx.dialect.name != "postgresql":
        return now
    found: datetime = tx.execute(sa.select(sa.func.now(type_=UtcDateTime()))).scalar_one()
    return found


def too_late(tx: Connection) -> uuid.UUID | None:
    """Return the id below which no row is sealed by itself any more; None before the first seal.

    It goes by the ids that are sealed, none of which is of later than the shared clock said then: a machine whose clock
    is ahead shuts out no other, and one that is behind by less than ``LATE`` is in time.
    """
    newest = [found for table in BOOKS if (found := last_id(tx, table)) is not None]
    return floor_id(time_of(max(newest)) - LATE) if newest else None


def too_late_in(tx: Connection, table: sa.Table, late: uuid.UUID | None) -> uuid.UUID | None:
    """Return the id below which no row of one book is sealed by itself any more; ``late`` is that of all books.

    A book that joined the others has rows from before its first seal, when a worker that did not know it sealed all the
    rest: they are sealed by its first seals, until one of those had room for more. From then on it is as the others.
    """
    if table not in JOINED or late is None:
        return late
    part = seal_parts.c
    query = sa.select(part.last_id, part.row_count).where(part.book == table.name)
    newest = tx.execute(query.order_by(part.last_id.desc()).limit(1)).one_or_none()
    if newest is None:
        return None
    return min(late, newest.last_id) if newest.row_count >= MOST_ROWS else late


def last_id(tx: Connection, table: sa.Table) -> uuid.UUID | None:
    """Return the highest id of a book that is sealed."""
    part = seal_parts.c
    query = sa.select(part.last_id).where(part.book == table.name).order_by(part.last_id.desc()).limit(1)
    found: uuid.UUID | None = tx.execute(query).scalar_one_or_none()
    return found


def between(table: sa.Table, above: uuid.UUID | None, upto: uuid.UUID | None) -> list[sa.ColumnElement[bool]]:
    """Return the condition for rows with ids above one and up to another, either of which may be left out."""
    bounds = [] if above is None else [table.c.id > above]
    return bounds if upto is None else [*bounds, table.c.id <= upto]


def rows(tx: Connection, table: sa.Table, conditions: Sequence[sa.ColumnElement[bool]]) -> Generator[Row, None, None]:
    """Go through rows by id, each as its columns are spelled."""
    shown = [_spelled(column, tx.dialect.name) for column in table.c]
    yield from _stream(tx, sa.select(*shown).where(*conditions).order_by(table.c.id))


def ids(tx: Connection, table: sa.Table, conditions: Sequence[sa.ColumnElement[bool]]) -> Iterator[bytes]:
    """Go through the ids of rows."""
    query = sa.select(_spelled(table.c.id, tx.dialect.name)).where(*conditions).order_by(table.c.id)
    return (id_bytes(row[0]) for row in _stream(tx, query))


def id_bytes(spelled: Any) -> bytes:
    """Return an id's bytes; of what is none, nothing: SQLite lets whoever can write to it put anything anywhere."""
    try:
        found = bytes.fromhex(spelled)
    except (TypeError, ValueError):
        return b""
    return found if len(found) == ID_BYTES else b""


class Recorder:
    """Makes the record of a row: its id and the digest of its columns."""

    def __init__(self, table: sa.Table, columns: Sequence[str] = ()) -> None:
        """Prepare for some columns of a book, or for all; a column that is not there any more counts as nothing."""
        names = [column.name for column in table.c]
        self.columns = tuple(columns or names)
        places = {name: place for place, name in enumerate(names)}
        self._places = None if self.columns == tuple(names) else [places.get(name) for name in self.columns]
        self._json = [place for place, name in enumerate(self.columns) if _is_json(table, name)]

    def __call__(self, row: Row) -> bytes:
        """Return the record."""
        values: list[Any] | Row = row
        if self._places is not None:
            values = [None if place is None else row[place] for place in self._places]
        if self._json:
            values = list(values)
            for place in self._json:
                values[place] = _read(values[place])
        return id_bytes(row[0]) + digest(values)


class SealedPart(NamedTuple):
    """What says how the records of a part were made, as it stands there."""

    number: int
    columns: str
    content_hash: str


def sealed(
    tx: Connection, book: str, above: uuid.UUID | None = None, seen: Callable[[SealedPart, bytes], None] | None = None
) -> Generator[tuple[bytes, SealedPart], None, None]:
    """Go through what seals hold of a book: each record and its part, by id.

    Parts may overlap, for what came late is in a later one; they are merged as they come, so that no more of them is
    held than what overlaps. ``seen`` is told each part with its whole content.
    """
    part = seal_parts.c
    wanted = [part.book == book] if above is None else [part.book == book, part.last_id > above]
    low = b"" if above is None else above.bytes + b"\xff" * (RECORD_BYTES - ID_BYTES)
    waiting: list[tuple[bytes, SealedPart]] = []
    first = _spelled(part.first_id, tx.dialect.name)
    heads = sa.select(first, part.seal_number, part.columns, part.content_hash).where(*wanted).order_by(part.first_id)
    for first_id, *head in _stream(tx, heads):
        this = SealedPart(*head)
        cut = bisect_left(waiting, id_bytes(first_id), key=_RECORD)
        yield from waiting[:cut]
        packed = content(tx, book, this.number)
        if seen is not None:
            seen(this, packed)
        waiting = waiting[cut:] + [(each, this) for each in _records(packed) if each > low]
        waiting.sort(key=_RECORD)
    yield from waiting


def content(tx: Connection, book: str, number: int) -> bytes:
    """Return the records of one part; none where what stands there are no bytes, which SQLite lets happen."""
    part = seal_parts.c
    query = sa.select(_spelled(part.content, tx.dialect.name)).where(part.book == book, part.seal_number == number)
    found = tx.execute(query).scalar_one()
    return found if isinstance(found, bytes) else b""


def count_sealed(tx: Connection, book: str, above: uuid.UUID) -> int:
    """Return how many sealed ids of a book are above one."""
    part = seal_parts.c
    query = sa.select(part.seal_number, part.row_count, part.first_id).where(part.book == book, part.last_id > above)
    found = 0
    for number, row_count, first in tx.execute(query).all():
        inside = first > above
        found += (
            row_count if inside else sum(each[:ID_BYTES] > above.bytes for each in _records(content(tx, book, number)))
        )
    return found


def strangers(
    tx: Connection, table: sa.Table, above: uuid.UUID | None, upto: uuid.UUID
) -> Generator[uuid.UUID, None, None]:
    """Go through the ids of rows that no seal knows."""
    known = (each[:ID_BYTES] for each, _ in sealed(tx, table.name, above))
    next_known = next(known, None)
    for each in ids(tx, table, between(table, above, upto)):
        while next_known is not None and next_known < each:
            next_known = next(known, None)
        if each and each != next_known:
            yield uuid.UUID(bytes=each)


def side_by_side(
    found: Iterator[Row], known: Iterator[tuple[bytes, SealedPart]]
) -> Iterator[tuple[Row | None, tuple[bytes, SealedPart] | None]]:
    """Go through rows and records, both by id, in pairs; what has no other half comes alone."""
    expected = next(known, None)
    for row in found:
        row_id = id_bytes(row[0])
        while expected is not None and expected[0][:ID_BYTES] < row_id:
            yield None, expected
            expected = next(known, None)
        if expected is not None and expected[0][:ID_BYTES] == row_id:
            yield row, expected
            expected = next(known, None)
        else:
            yield row, None
    while expected is not None:
        yield None, expected
        expected = next(known, None)


def _records(packed: bytes) -> list[bytes]:
    whole = len(packed) - len(packed) % RECORD_BYTES  # what is left over is no record, and tells by its hash
    return [packed[start : start + RECORD_BYTES] for start in range(0, whole, RECORD_BYTES)]


def _stream(tx: Connection, query: sa.Select[Any]) -> Iterator[Row]:
    found = tx.execute(query, execution_options={"stream_results": True, "max_row_buffer": _AT_ONCE})
    try:
        for some in found.partitions(_AT_ONCE):
            yield from map(tuple, some)
    finally:
        found.close()  # whoever has seen enough leaves no cursor open


def _spelled(column: Any, dialect: str) -> sa.ColumnElement[Any]:
    """Return a column as text or number, alike on both databases: SQLite holds it so, PostgreSQL is asked to say it so.

    ``BC`` says what would else be left out of a year.
    """
    if dialect == "postgresql":
        if isinstance(column.type, sa.Uuid):
            return sa.func.replace(sa.cast(column, sa.Text()), "-", "", type_=sa.types.NullType())
        if isinstance(column.type, UtcDateTime):
            said = sa.func.to_char(sa.func.timezone("UTC", column), "YYYY-MM-DD HH24:MI:SS.US BC")
            return sa.func.replace(said, " AD", "", type_=sa.types.NullType())
        if isinstance(column.type, sa.JSON):
            return sa.cast(column, sa.Text())
        if isinstance(column.type, sa.Boolean):
            return sa.cast(column, sa.Integer())
    return sa.type_coerce(column, sa.types.NullType())


def _is_json(table: sa.Table, name: str) -> bool:
    return name in table.c and isinstance(table.c[name].type, sa.JSON)


def _read(text: Any) -> Any:
    """Return what a JSON text says, however it is spelled; a text that is none counts as it is."""
    try:
        return orjson.loads(text)
    except (TypeError, ValueError):
        return text
