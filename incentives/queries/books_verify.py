"""The proof of the seals: every row of the books is as it was sealed, none is gone, and none was slipped in."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import seals
from incentives.books.seals import BEGINNING, Checkpoint
from incentives.books.tables import seal_parts
from incentives.books.tables import seals as seals_table
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.keys import KeyRing
from incentives.queries import sealed_rows
from incentives.queries.sealed_rows import BOOKS, Recorder

__all__ = ["Checkpoint", "Fault", "Known", "Verdict", "checkpoint_of", "verify", "verify_books"]

_MOST_NAMED = 10
_HEADS_AT_ONCE = 500


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
        seal = f"seal {self.seal_number}" if self.seal_number else None
        return f"{', '.join(each for each in (row, seal) if each)}: {self.what}"


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
    with core.database.read_snapshot() as tx:
        return verify(tx, core.keys.seals, anchors=anchors, known=known, only_new=only_new)


def verify(
    tx: Connection,
    ring: KeyRing,
    *,
    anchors: Sequence[Checkpoint] = (),
    known: Known | None = None,
    only_new: bool = False,
) -> Verdict:
    """Verify within a transaction in which all statements see the books at one instant; see ``verify_books``."""
    after = known if only_new else None
    faults, count, head = _chain(tx, ring, after)
    faults += _anchors(tx, ring, anchors, head)
    if known is not None and _hash_in(tx, known.number) != known.hash:
        faults.append(Fault(seal_number=known.number, what="is gone or is another one than when it was verified"))
    late = sealed_rows.too_late(tx)
    found = [_book(tx, table, late, after.number if after else 0) for table in BOOKS]
    return Verdict(
        seals=count,
        rows=sum(each.rows for each in found),
        unsealed=sum(each.unsealed for each in found),
        head=head,
        faults=(*faults, *(fault for each in found for fault in each.faults)),
    )


def checkpoint_of(row: Any) -> Checkpoint:
    """Return a seal's row as a checkpoint."""
    return Checkpoint(number=row.number, hash=row.hash, at=row.at, key_id=row.key_id, signature=row.signature)


def _chain(tx: Connection, ring: KeyRing, after: Known | None) -> tuple[list[Fault], int, Checkpoint | None]:
    """Return what is wrong with the seals themselves, how many there are, and the newest."""
    expected, previous = (after.number, after.hash) if after else (0, BEGINNING)
    faults: list[Fault] = []
    head: Checkpoint | None = None
    count = 0
    for seal, parts in _links(tx, expected):
        if seal.number != expected + 1:
            what = "is missing" if seal.number == expected + 2 else f"is missing, and all before seal {seal.number}"
            faults.append(Fault(seal_number=expected + 1, what=what))
        head = checkpoint_of(seal)
        faults += _link(ring, seal, parts, None if seal.number != expected + 1 else previous)
        expected, previous, count = seal.number, seal.hash, count + 1
        if len(faults) >= _MOST_NAMED:
            break
    return faults, count, head


def _links(tx: Connection, above: int) -> Iterator[tuple[Any, list[Any]]]:
    """Go through the seals with the heads of their parts."""
    part, seal = seal_parts.c, seals_table.c
    heads = [column for column in part if column.name != "content"]
    while True:
        some = tx.execute(
            sa.select(seals_table).where(seal.number > above).order_by(seal.number).limit(_HEADS_AT_ONCE)
        ).all()
        if not some:
            return
        upto = some[-1].number
        rows = tx.execute(
            sa.select(*heads).where(part.seal_number > above, part.seal_number <= upto).order_by(part.seal_number)
        ).all()
        parts = {number: list(group) for number, group in groupby(rows, key=lambda row: row.seal_number)}
        for each in some:
            yield each, parts.get(each.number, [])
        above = upto


def _link(ring: KeyRing, seal: Any, parts: list[Any], previous: str | None) -> Iterator[Fault]:
    """Say what is wrong with one seal; of one whose predecessor is missing, only what can be told by itself."""
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


def _anchors(tx: Connection, ring: KeyRing, anchors: Sequence[Checkpoint], head: Checkpoint | None) -> list[Fault]:
    """Compare with what was kept outside: it alone tells that the newest seals are gone, rows and all."""
    faults = []
    for anchor in anchors:
        row = tx.execute(sa.select(seals_table).where(seals_table.c.number == anchor.number)).one_or_none()
        if not seals.is_signed(ring, anchor):
            faults.append(Fault(seal_number=anchor.number, what="the anchor is not signed by a key of this house"))
        elif row is None:
            faults.append(Fault(seal_number=anchor.number, what=f"the anchor knows it, and it is gone; {_ends(head)}"))
        elif row.hash != anchor.hash:
            faults.append(Fault(seal_number=anchor.number, what="is another one than the anchor knows"))
    return faults


def _hash_in(tx: Connection, number: int) -> str | None:
    query = sa.select(seals_table.c.hash).where(seals_table.c.number == number)
    found: str | None = tx.execute(query).scalar_one_or_none()
    return found


def _ends(head: Checkpoint | None) -> str:
    return f"the last there is is {head.number}" if head else "there is no seal at all"


def _book(tx: Connection, table: sa.Table, late: uuid.UUID | None, after: int) -> _Found:
    """Go through what seals hold of a book and what stands in it, side by side."""
    found = _Found()
    recorders, hashes = _parts(tx, table, after)
    start = _start(tx, table, after) if after else None
    if after and start is None:
        return found

    def seen(number: int, packed: bytes) -> None:
        if number > after and hashlib.sha256(packed).hexdigest() != hashes[number]:
            what = "its list of rows was changed"
            found.faults.append(Fault(book=table.name, seal_number=number, what=what))

    above = None if start is None else uuid.UUID(int=start.int - 1)
    known = sealed_rows.sealed(tx, table.name, above, seen)
    rows = sealed_rows.rows(tx, table, sealed_rows.between(table, above, None))
    for row, expected in sealed_rows.side_by_side(rows, known):
        if row is None:
            record, number = expected  # type: ignore[misc]  # one of the two is always there
            found.faults.append(_fault(table, record[: seals.ID_BYTES], number, "is gone"))
        elif expected is None:
            _stranger(found, table, row, late)
        else:
            record, number = expected
            found.rows += 1
            if number > after and recorders[number](row) != record:
                found.faults.append(_fault(table, record[: seals.ID_BYTES], number, "is not as it was sealed"))
        if len(found.faults) >= _MOST_NAMED:
            break
    return found


def _stranger(found: _Found, table: sa.Table, row: sealed_rows.Row, late: uuid.UUID | None) -> None:
    """Judge a row that no seal knows: it is new, or it was slipped in among older ones."""
    row_id = sealed_rows.id_bytes(row[0])
    if not row_id:
        found.faults.append(Fault(book=table.name, row_id=repr(row[0]), what="has an id that is none"))
    elif late is not None and row_id <= late.bytes:
        found.faults.append(_fault(table, row_id, None, "was not there when rows of its time were sealed"))
    else:
        found.unsealed += 1


def _parts(tx: Connection, table: sa.Table, after: int) -> tuple[dict[int, Recorder], dict[int, str]]:
    """Return what makes the records of each part anew, and what the hash of its content must be."""
    part = seal_parts.c
    query = sa.select(part.seal_number, part.columns, part.content_hash).where(
        part.book == table.name, part.seal_number > after
    )
    known: dict[str, Recorder] = {}
    recorders, hashes = {}, {}
    for row in tx.execute(query).all():
        if row.columns not in known:
            known[row.columns] = _recorder(table, row.columns)
        recorders[row.seal_number], hashes[row.seal_number] = known[row.columns], row.content_hash
    return recorders, hashes


def _recorder(table: sa.Table, columns: str) -> Recorder:
    try:
        names = orjson.loads(columns)
    except ValueError:
        names = []
    return Recorder(table, [str(name) for name in names])


def _start(tx: Connection, table: sa.Table, after: int) -> uuid.UUID | None:
    """Return the lowest id that was sealed after a seal."""
    part = seal_parts.c
    wanted = (part.book == table.name, part.seal_number > after)
    query = sa.select(part.first_id).where(*wanted).order_by(part.first_id).limit(1)
    found: uuid.UUID | None = tx.execute(query).scalar_one_or_none()
    return found


def _fault(table: sa.Table, row_id: bytes, number: int | None, what: str) -> Fault:
    return Fault(book=table.name, row_id=str(uuid.UUID(bytes=row_id)), seal_number=number, what=what)
