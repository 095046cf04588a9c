"""Seals: a chain of hashes over what is written once and never changed, and the signature under each link.

A row is hashed as the JSON array of its columns in the order that its part names; a part is the id and the SHA-256 of
each of its rows, by id; a seal's hash is SHA-256 over the hash before it and the JSON of its head. JSON is UTF-8 with
sorted keys and no spaces. So whoever has the rows, the seals and the public keys can prove all of it by themselves.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import seal_parts, seals
from incentives.kernel.database import insert_unless_there
from incentives.kernel.keys import KeyRing, decode, encode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ID_BYTES = 16
RECORD_BYTES = 48  # an id, and the SHA-256 of its row
BEGINNING = "0" * 64
"""The hash before the first seal."""

_FLOATS = frozenset({float})
_SEED = b"seal"
_SIGNED = "incentives seal 1"  # so that no signature of ours means anything else


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far the chain was, and when: who keeps one outside can tell whether anything before it was changed since."""

    number: int
    hash: str
    at: datetime
    key_id: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one seal covers of one book; ``content`` is its records, by id."""

    book: str
    columns: tuple[str, ...]
    content: bytes

    @property
    def row_count(self) -> int:
        """Return how many rows it covers."""
        return len(self.content) // RECORD_BYTES

    def row(self, number: int) -> dict[str, Any]:
        """Return it as a row of the seal of a number."""
        return {
            "seal_number": number,
            "book": self.book,
            "columns": orjson.dumps(self.columns).decode(),
            "row_count": self.row_count,
            "first_id": uuid.UUID(bytes=self.content[:ID_BYTES]),
            "last_id": uuid.UUID(bytes=self.content[-RECORD_BYTES : ID_BYTES - RECORD_BYTES]),
            "content_hash": hashlib.sha256(self.content).hexdigest(),
            "content": self.content,
        }


def digest(values: Sequence[Any]) -> bytes:
    """Return the SHA-256 of a row's values. What no column of ours can hold, such as bytes, counts by its spelling.

    So does what is not finite, which SQLite lets stand in any column of numbers: JSON would spell it as nothing.
    """
    said = _json(values)
    if b"null" in said and not _FLOATS.isdisjoint(map(type, values)):
        said = _json([repr(each) if type(each) is float and not isfinite(each) else each for each in values])
    return hashlib.sha256(said).digest()


def _json(values: Sequence[Any]) -> bytes:
    return orjson.dumps(values, default=repr, option=orjson.OPT_SORT_KEYS)


def names_twice(text: Any) -> bool:
    """Return whether a JSON text has two values for one name: a digest counts the last, and others may read the first.

    What is there twice is read once. So the colons are counted, in the text and in what it says.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        return False
    try:
        if "\\u003" in text:  # colons may be spelled so
            return _pairs_twice(text)
        colons = text.count(":")
        return colons > 1 and orjson.dumps(orjson.loads(text)).count(b":") != colons
    except ValueError:
        return False  # no JSON: its digest is of the text


def _pairs_twice(text: str) -> bool:
    names: list[bool] = []
    json.loads(text, object_pairs_hook=lambda pairs: names.append(len(dict(pairs)) < len(pairs)))
    return any(names)


def hash_of(previous_hash: str, number: int, at: datetime, parts: Iterable[Any]) -> str:
    """Return the hash of a seal; its parts are rows of ``seal_parts``, with or without their content."""
    heads = [
        {
            "book": part.book,
            "columns": part.columns,
            "row_count": part.row_count,
            "first_id": part.first_id.hex,
            "last_id": part.last_id.hex,
            "content_hash": part.content_hash,
        }
        for part in sorted(parts, key=lambda part: part.book)
    ]
    head = {"number": number, "at": told(at), "parts": heads}
    return hashlib.sha256(bytes.fromhex(previous_hash) + orjson.dumps(head, option=orjson.OPT_SORT_KEYS)).hexdigest()


def told(at: datetime) -> str:
    """Return an instant as seals spell it: UTC, with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def head(tx: Connection) -> Any:
    """Return the newest seal's number and hash, or None: that nothing else of it can be read stops no sealing."""
    query = sa.select(seals.c.number, seals.c.hash).order_by(seals.c.number.desc()).limit(1)
    return tx.execute(query).one_or_none()


@dataclass(frozen=True, slots=True)
class _Row:
    """A part as ``hash_of`` reads it, before it is in the database."""

    book: str
    columns: str
    row_count: int
    first_id: uuid.UUID
    last_id: uuid.UUID
    content_hash: str


def add(tx: Connection, ring: KeyRing, last: Any, parts: Sequence[Part], now: datetime) -> Checkpoint | None:
    """Write the seal that follows ``last`` (None: the first), signed by the newest key.

    None when somebody else wrote that seal meanwhile: then nothing is written, and the chain has not forked.
    """
    number, previous_hash = (last.number + 1, last.hash) if last is not None else (1, BEGINNING)
    # SQLite, where writers queue, would call a second seal of a number a change of the first; PostgreSQL waits below.
    found = head(tx)
    if (found.number if found is not None else 0) != number - 1:
        return None
    rows = [part.row(number) for part in parts]
    heads = [_Row(**{name: row[name] for name in _Row.__dataclass_fields__}) for row in rows]
    made = sign(ring, number, hash_of(previous_hash, number, now, heads), now)
    row = {
        "number": number,
        "previous_hash": previous_hash,
        "hash": made.hash,
        "row_count": sum(part.row_count for part in parts),
        "at": now,
        "key_id": made.key_id,
        "signature": made.signature,
    }
    if not insert_unless_there(tx, seals, ("number",), row):
        return None
    tx.execute(seal_parts.insert(), rows)
    return made


def sign(ring: KeyRing, number: int, seal_hash: str, at: datetime) -> Checkpoint:
    """Return a checkpoint, signed with Ed25519 by the newest key."""
    signature = _private(ring, ring.newest_id).sign(_message(number, seal_hash, at))
    return Checkpoint(
        number=number, hash=seal_hash, at=at, key_id=ring.newest_id, signature=encode(signature).decode("ascii")
    )


def is_signed(ring: KeyRing, checkpoint: Checkpoint) -> bool:
    """Return whether one of the ring's keys, the one that it names, signed a checkpoint."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - few processes seal

    if checkpoint.key_id not in ring.ids:
        return False
    try:
        message = _message(checkpoint.number, checkpoint.hash, checkpoint.at)
        signature = decode(checkpoint.signature.encode("utf-8"))
        _public(ring, checkpoint.key_id).verify(signature, message)
    except (InvalidSignature, ValueError, OverflowError):
        return False
    return encode(signature).decode("ascii") == checkpoint.signature  # base64 lets the last letter vary


def public_keys(ring: KeyRing) -> dict[str, str]:
    """Return each key's public half by its id, the newest first: 32 bytes in urlsafe base64."""
    return {key_id: encode(_public(ring, key_id).public_bytes_raw()).decode("ascii") for key_id in ring.ids}


def _message(number: int, seal_hash: str, at: datetime) -> bytes:
    return "\n".join((_SIGNED, str(number), seal_hash, told(at))).encode()


@lru_cache(maxsize=64)
def _private(ring: KeyRing, key_id: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - few processes seal
        Ed25519PrivateKey,
    )

    return Ed25519PrivateKey.from_private_bytes(ring.mac(key_id, _SEED, b""))


@lru_cache(maxsize=64)
def _public(ring: KeyRing, key_id: str) -> "Ed25519PublicKey":
    return _private(ring, key_id).public_key()
