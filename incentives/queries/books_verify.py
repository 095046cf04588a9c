"""The proof of the seals: every row of the books is as it was sealed, none is gone, and none was slipped in."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import seals
from incentives.books.seals import BEGINNING, Checkpoint
from incentives.books.tables import seal_parts
from incentives.books.tables import seals as seals_table
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.database import is_away
from incentives.kernel.keys import KeyRing
from incentives.queries import sealed_rows
from incentives.queries.sealed_rows import BOOKS, LATE, Recorder, SealedPart

__all__ = ["Checkpoint", "Fault", "Known", "Verdict", "checkpoint_of", "verify", "verify_books"]

_MOST_NAMED = 10
_HEADS_AT_ONCE = 500
_FIRST = uuid.UUID(int=0)
_UNREADABLE = "cannot be read"

_Link = tuple[Any, list[Any]]  # a seal, and the heads of its parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is not as it was sealed: a row of a book, or a seal itself."""

    what: str
    book: str | None = None
    row_id: str | None = None
    seal_number: int | None = None

    @property
    def words(self) -> str:
        """Return it as a line: where, and what."""
        row = f"{self.book} {self.row_id}" if self.row_id else self.book
        seal = f"seal {self.seal_number}" if self.seal_number is not None else None
        return f"{', '.join(each for each in (row, seal) if each) or 'the seals'}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verifying found. ``unsealed`` rows are newer than the last seal; ``faults`` are the first of each book."""

    seals: int
    rows: int
    unsealed: int
    head: Checkpoint | None
    faults: tuple[Fault, ...]

    @property
    def holds(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.faults


@dataclass(slots=True)
class _Found:
    """What was seen of one book so far."""

    rows: int = 0
    unsealed: int = 0
    faults: list[Fault] = field(default_factory=list)


class _Times(NamedTuple):
    """Between which ids a row may be that no seal knows: not among those that are too old, nor of the time to come."""

    late: uuid.UUID | None
    soon: uuid.UUID


@dataclass(frozen=True, slots=True)
class Known:
    """A seal that was verified before, with everything up to it."""

    number: int
    hash: str


def verify_books(
    *,
    core: Core,
    actor: Actor,
    anchors: Sequence[Checkpoint] = (),
    known: Known | None = None,
    only_new: bool = False,
) -> Verdict:
    """Make every hash again from the rows and compare; every signature, and every anchor that was kept outside.

    ``known`` must still be what it was; with ``only_new``, no more than what was sealed since is looked at.
    """
    permit(actor, "books:check")
    now = core.clock.now()
    with core.database.read_snapshot() as tx:
        return verify(tx, core.keys.seals, now, anchors=anchors, known=known, only_new=only_new)


def verify(
    tx: Connection,
    ring: KeyRing,
    now: datetime,
    *,
    anchors: Sequence[Checkpoint] = (),
    known: Known | None = None,
    only_new: bool = False,
) -> Verdict:
    """Verify within a transaction in which all statements see the books at one instant; see ``verify_books``."""
    after = known if only_new else None
    faults, count, head = _chain(tx, ring, after)
    with _told(tx, faults):
        faults += _before_the_first(tx)
        faults += _parts_alone(tx, after.number if after else 0)
        faults += _anchors(tx, ring, anchors, head)
        if known is not None and _hash_in(tx, known.number) != known.hash:
            faults.append(Fault(seal_number=known.number, what="is gone or is another one than when it was verified"))
    late = None
    with _told(tx, faults):
        late = sealed_rows.too_late(tx)
    times = _Times(late, sealed_rows.floor_id(now + LATE))
    found = [_book(tx, table, times, after.number if after else 0) for table in BOOKS]
    return Verdict(
        seals=count,
        rows=sum(each.rows for each in found),
        unsealed=sum(each.unsealed for each in found),
        head=head,
        faults=(*faults, *(fault for each in found for fault in each.faults)),
    )


@contextmanager
def _told(tx: Connection, faults: list[Fault], **where: Any) -> Iterator[None]:
    """Make a fault of whatever goes wrong while seals and rows are read, unless the database is away.

    Whoever can write to the database can put there what no program of ours can read: that must not keep us from looking
    at all the rest, nor from telling. The savepoint keeps the transaction usable.
    """
    try:
        with tx.begin_nested():
            yield
    except Exception as error:
        if is_away(error):
            raise
        faults.append(Fault(what=f"{_UNREADABLE} ({type(error).__name__})", **where))


def checkpoint_of(row: Any) -> Checkpoint:
    """Return a seal's row as a checkpoint."""
    return Checkpoint(number=row.number, hash=row.hash, at=row.at, key_id=row.key_id, signature=row.signature)


def _chain(tx: Connection, ring: KeyRing, after: Known | None) -> tuple[list[Fault], int, Checkpoint | None]:
    """Return what is wrong with the seals themselves, how many there are, and the newest that can be read."""
    expected: int = after.number if after else 0
    previous: str | None = after.hash if after else BEGINNING
    faults: list[Fault] = []
    head: Checkpoint | None = None
    count = 0
    with _told(tx, faults):
        for number, link in _links(tx, expected):
            if not isinstance(number, int):  # SQLite takes anything for a number
                faults.append(Fault(seal_number=expected + 1, what=f"is missing, or its number is {number!r:.40}"))
                break
            if number != expected + 1:
                what = "is missing" if number == expected + 2 else f"is missing, and all before seal {number}"
                faults.append(Fault(seal_number=expected + 1, what=what))
                previous = None
            head, previous = _linked(ring, number, link, previous, faults) or (head, None)
            expected, count = number, count + 1
            if len(faults) >= _MOST_NAMED:
                break
    return faults, count, head


def _linked(
    ring: KeyRing, number: int, link: _Link | None, previous: str | None, faults: list[Fault]
) -> tuple[Checkpoint, str] | None:
    """Judge one seal; return it and its hash, or None for one that cannot be read."""
    try:
        if link is not None:
            seal, parts = link
            faults += _link(ring, seal, parts, previous)
            return checkpoint_of(seal), seal.hash
    except (TypeError, ValueError, AttributeError):
        pass  # SQLite holds anything in any column
    faults.append(Fault(seal_number=number, what=_UNREADABLE))
    return None


def _links(tx: Connection, above: int) -> Iterator[tuple[Any, _Link | None]]:
    """Go through the seals by number, each with the heads of its parts; None for one that cannot be read."""
    while some := _some_links(tx, above):
        yield from some
        last = some[-1][0]
        if not isinstance(last, int):
            return
        above = last


def _some_links(tx: Connection, above: int) -> list[tuple[Any, _Link | None]]:
    """Return the next seals: many at once, or the next one only where there is one among them that cannot be read."""
    some = _read(tx, above, _HEADS_AT_ONCE)
    if some is not None:
        return some
    some = _read(tx, above, 1)
    if some is not None:
        return some
    number = seals_table.c.number
    return [(tx.execute(sa.select(number).where(number > above).order_by(number).limit(1)).scalar_one(), None)]


def _read(tx: Connection, above: int, most: int) -> list[tuple[Any, _Link | None]] | None:
    part, seal = seal_parts.c, seals_table.c
    heads = [column for column in part if column.name != "content"]
    try:
        with tx.begin_nested():
            found = sa.select(seals_table).where(seal.number > above).order_by(seal.number).limit(most)
            some = tx.execute(found).all()
            if not some:
                return []
            wanted = (part.seal_number > above, part.seal_number <= some[-1].number)
            rows = tx.execute(sa.select(*heads).where(*wanted).order_by(part.seal_number)).all()
    except Exception as error:
        if is_away(error):
            raise
        return None
    parts = {number: list(group) for number, group in groupby(rows, key=lambda row: row.seal_number)}
    return [(each.number, (each, parts.get(each.number, []))) for each in some]


def _link(ring: KeyRing, seal: Any, parts: list[Any], previous: str | None) -> Iterator[Fault]:
    """Say what is wrong with one seal; of one whose predecessor is not known, only what can be told by itself."""
    if previous is not None and seal.previous_hash != previous:
        yield Fault(seal_number=seal.number, what="does not follow the seal before it")
    if seal.row_count != sum(part.row_count for part in parts):
        yield Fault(seal_number=seal.number, what="covers another number of rows than it says")
    if seal.hash != _hash(seal, parts):
        yield Fault(seal_number=seal.number, what="has another hash than what it says")
    if seal.key_id not in ring.ids:
        yield Fault(seal_number=seal.number, what=f"names a key that is not in INCENTIVES_SEAL_KEYS, {seal.key_id}")
    elif not seals.is_signed(ring, checkpoint_of(seal)):
        yield Fault(seal_number=seal.number, what="is not signed by the key that it names")


def _hash(seal: Any, parts: list[Any]) -> str:
    try:
        return seals.hash_of(seal.previous_hash, seal.number, seal.at, parts)
    except (TypeError, ValueError):
        return ""  # what stands there is no hash


def _before_the_first(tx: Connection) -> Iterator[Fault]:
    """Name seals and parts whose number is below that of the first seal: the chain does not lead there."""
    for number in (seals_table.c.number, seal_parts.c.seal_number):
        for found in tx.execute(sa.select(number).where(number < 1).distinct().limit(_MOST_NAMED)).scalars():
            yield Fault(seal_number=found, what="has a number that no seal has")


def _parts_alone(tx: Connection, after: int) -> Iterator[Fault]:
    """Name parts that belong to no seal: whatever rows they speak for, nobody signed that."""
    part, seal = seal_parts.c, seals_table.c
    alone = ~sa.exists().where(seal.number == part.seal_number)
    query = sa.select(part.seal_number, part.book).where(part.seal_number > after, alone).limit(_MOST_NAMED)
    for number, book in tx.execute(query).all():
        yield Fault(book=book, seal_number=number, what="has rows sealed by it, and is not there")


def _anchors(tx: Connection, ring: KeyRing, anchors: Sequence[Checkpoint], head: Checkpoint | None) -> list[Fault]:
    """Compare with what was kept outside: it alone tells that the newest seals are gone, rows and all."""
    faults = []
    for anchor in anchors:
        if not seals.is_signed(ring, anchor):  # nor need its number be one that a database can hold
            faults.append(Fault(seal_number=anchor.number, what="the anchor is not signed by a key of this house"))
        elif (found := _hash_in(tx, anchor.number)) is None:
            faults.append(Fault(seal_number=anchor.number, what=f"the anchor knows it, and it is gone; {_ends(head)}"))
        elif found != anchor.hash:
            faults.append(Fault(seal_number=anchor.number, what="is another one than the anchor knows"))
    return faults


def _hash_in(tx: Connection, number: int) -> str | None:
    query = sa.select(seals_table.c.hash).where(seals_table.c.number == number)
    found: str | None = tx.execute(query).scalar_one_or_none()
    return found


def _ends(head: Checkpoint | None) -> str:
    return f"the last there is is {head.number}" if head else "there is no seal at all"


def _book(tx: Connection, table: sa.Table, times: _Times, after: int) -> _Found:
    """Go through what seals hold of a book and what stands in it, side by side; each time, ids of the time to come."""
    found = _Found()
    with _told(tx, found.faults, book=table.name):
        start = (_start(tx, table, after) or times.soon) if after else _FIRST
        times = times._replace(late=sealed_rows.too_late_in(tx, table, times.late))
        _compare(tx, table, found, times, after, above=uuid.UUID(int=start.int - 1) if start.int else None)
    return found


def _compare(
    tx: Connection, table: sa.Table, found: _Found, times: _Times, after: int, *, above: uuid.UUID | None
) -> None:
    recorders: dict[str, Recorder] = {}
    # PostgreSQL keeps of each name in a JSON text the value that is read; SQLite keeps the text.
    texts = [place for place, column in enumerate(table.c) if tx.dialect.name == "sqlite" and _is_json(column)]

    def seen(part: SealedPart, packed: bytes) -> None:
        if _is_linked(part.number) and part.number > after and hashlib.sha256(packed).hexdigest() != part.content_hash:
            what = "its list of rows was changed"
            found.faults.append(Fault(book=table.name, seal_number=part.number, what=what))

    def holds(row: sealed_rows.Row, record: bytes, columns: str) -> bool:
        if columns not in recorders:
            recorders[columns] = _recorder(table, columns)
        return recorders[columns](row) == record and not any(map(seals.names_twice, map(row.__getitem__, texts)))

    # Both are closed before the savepoint ends, even when reading one fails: with it their cursors are gone.
    with (
        closing(sealed_rows.sealed(tx, table.name, above, seen)) as known,
        closing(sealed_rows.rows(tx, table, sealed_rows.between(table, above, None))) as rows,
    ):
        for row, expected in sealed_rows.side_by_side(rows, (each for each in known if _is_linked(each[1].number))):
            if expected is None:
                _stranger(found, table, row or (), times)
            elif row is None:
                found.faults.append(_fault(table, expected[0], expected[1].number, "is gone"))
            else:
                record, part = expected
                found.rows += 1
                if part.number > after and not holds(row, record, part.columns):
                    found.faults.append(_fault(table, record, part.number, "is not as it was sealed"))
            if len(found.faults) >= _MOST_NAMED:
                break


def _is_linked(number: Any) -> bool:
    """Return whether a part has a number that the chain comes by, so that its head is verified with it."""
    return isinstance(number, int) and number > 0


def _is_json(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, sa.JSON)


def _stranger(found: _Found, table: sa.Table, row: sealed_rows.Row, times: _Times) -> None:
    """Judge a row that no seal knows: it is new, or it was slipped in, among older ones or where no seal comes."""
    row_id = sealed_rows.id_bytes(row[0])
    if not row_id:
        found.faults.append(Fault(book=table.name, row_id=repr(row[0]), what="has an id that is none"))
    elif times.late is not None and row_id <= times.late.bytes:
        found.faults.append(_fault(table, row_id, None, "was not there when rows of its time were sealed"))
    elif row_id >= times.soon.bytes:
        found.faults.append(_fault(table, row_id, None, "has an id of a time that has not come"))
    else:
        found.unsealed += 1


def _recorder(table: sa.Table, columns: str) -> Recorder:
    try:
        names = orjson.loads(columns)
    except ValueError:
        names = []
    return Recorder(table, [str(name) for name in names] if isinstance(names, list) else ())


def _start(tx: Connection, table: sa.Table, after: int) -> uuid.UUID | None:
    """Return the lowest id that was sealed after a seal.

    The few parts after it are found by their numbers; asked for in order, a database may go through all ids instead.
    """
    part = seal_parts.c
    query = sa.select(part.first_id).where(part.book == table.name, part.seal_number > after)
    return min(tx.execute(query).scalars(), default=None)


def _fault(table: sa.Table, record: bytes, number: int | None, what: str) -> Fault:
    row_id = str(uuid.UUID(bytes=record[: seals.ID_BYTES]))
    return Fault(book=table.name, row_id=row_id, seal_number=number, what=what)
