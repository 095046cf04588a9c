"""The seals of the books, for auditors; and what was found when the books were last proved."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import seals
from incentives.books.tables import books_checks, seal_parts
from incentives.books.tables import seals as seals_table
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid
from incentives.queries.paging import LIMIT_MAX, Page

_NUMBER_MAX = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPart:
    """What a seal covers of one book: its hash is over the records, 48 bytes a row, that the database keeps."""

    book: str
    columns: tuple[str, ...]
    row_count: int
    first_id: uuid.UUID
    last_id: uuid.UUID
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A link of the chain, with all that its hash is over."""

    number: int
    previous_hash: str
    hash: str
    row_count: int
    at: datetime
    key_id: str
    signature: str
    parts: tuple[SealPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The public half of a key that signs seals: 32 bytes of Ed25519 in urlsafe base64."""

    key_id: str
    public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksCheck:
    """One proof of the books by the worker; ``holds`` is None while it goes on, or when the worker died over it."""

    id: uuid.UUID
    started_at: datetime
    ended_at: datetime | None
    whole: bool
    holds: bool | None
    seal_number: int | None
    examined: int | None
    broken: tuple[str, ...]


def list_seals(*, core: Core, actor: Actor, limit: int = 50, after: str | None = None) -> Page[Seal]:
    """Return seals, the newest first; the cursor is a number. Raises ``InputInvalid`` and ``NotPermitted``."""
    permit(actor, "books:check")
    if not 1 <= limit <= LIMIT_MAX:
        raise InputInvalid(errors=[{"field": "limit", "message": f"limit is 1 to {LIMIT_MAX}."}])
    number = seals_table.c.number
    query = sa.select(seals_table).order_by(number.desc()).limit(limit + 1)
    with core.database.read() as tx:
        rows = tx.execute(query if after is None else query.where(number < _cursor(after))).all()
        shown = rows[:limit]
        parts = _parts(tx, [row.number for row in shown])
    return Page(
        items=[Seal(**row._asdict(), parts=tuple(parts.get(row.number, []))) for row in shown],
        next=str(shown[-1].number) if len(rows) > limit else None,
    )


def _cursor(after: str) -> int:
    if not after.isascii() or not after.isdigit() or int(after) > _NUMBER_MAX:
        raise InputInvalid(errors=[{"field": "after", "message": "Use the cursor of the page before, as it came."}])
    return int(after)


def _parts(tx: Connection, numbers: Sequence[int]) -> dict[int, list[SealPart]]:
    part = seal_parts.c
    heads = [column for column in part if column.name != "content"]
    found: dict[int, list[SealPart]] = {}
    query = sa.select(*heads).where(part.seal_number.in_(numbers)).order_by(part.seal_number, part.book)
    for row in tx.execute(query).all():
        values = row._asdict()
        number = values.pop("seal_number")
        names = tuple(orjson.loads(values.pop("columns")))
        found.setdefault(number, []).append(SealPart(**values, columns=names))
    return found


def public_keys(*, core: Core, actor: Actor) -> list[PublicKey]:
    """Return what seals are verified with, the newest first."""
    permit(actor, "books:check")
    return [PublicKey(key_id=name, public_key=key) for name, key in seals.public_keys(core.keys.seals).items()]


def newest_checkpoint(*, core: Core, actor: Actor) -> seals.Checkpoint | None:
    """Return how far the chain is, to be kept outside; None where nothing is sealed."""
    permit(actor, "books:check")
    with core.database.read() as tx:
        row = tx.execute(sa.select(seals_table).order_by(seals_table.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return seals.Checkpoint(number=row.number, hash=row.hash, at=row.at, key_id=row.key_id, signature=row.signature)


def list_checks(*, core: Core, actor: Actor, limit: int = 20) -> list[BooksCheck]:
    """Return what the worker found, the latest first."""
    permit(actor, "books:check")
    with core.database.read() as tx:
        return latest_checks(tx, limit)


def latest_checks(tx: Connection, limit: int, *, ended: bool = False) -> list[BooksCheck]:
    """Return the latest proofs, or the latest of those that ended."""
    query = sa.select(books_checks).order_by(books_checks.c.due_at.desc()).limit(limit)
    rows = tx.execute(query.where(books_checks.c.holds.is_not(None)) if ended else query).all()
    return [_check(row) for row in rows]


def _check(row: Any) -> BooksCheck:
    names = set(BooksCheck.__dataclass_fields__) - {"broken"}
    values = {name: value for name, value in row._asdict().items() if name in names}
    return BooksCheck(**values, broken=tuple(row.broken or ()))
