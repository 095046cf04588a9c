"""The idempotency key: claimed as the first statement of a deed's transaction, so that it commits with the deed.

What is kept is the id of the result, never the answer: a stored answer would be a store of bearer codes.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from incentives.kernel.database import UtcDateTime, insert_unless_there, metadata
from incentives.kernel.errors import IdempotencyKeyInFlight, IdempotencyKeyReused
from incentives.kernel.keys import KeyRing
from incentives.kernel.many import insert_absent

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("scope", sa.String(120), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("result_id", sa.Uuid(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False, index=True),
)

_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class Claim:
    """A key with the request it stands for and the id that the result will have."""

    scope: str
    key: str
    request: Mapping[str, Any]
    result_id: uuid.UUID

    def digests(self, ring: KeyRing) -> list[str]:
        """Return the request's keyed digests, by the newest key first: another request is a mistake of the caller.

        Keyed, since a request holds a code or an address that could be guessed from a plain digest.
        """
        text = json.dumps(self.request, sort_keys=True, default=str).encode()
        return [ring.mac(key_id, b"idempotency", text).hex() for key_id in ring.ids]


def claim(
    tx: Connection, ring: KeyRing, claims: Sequence[Claim], now: datetime
) -> dict[tuple[str, str], uuid.UUID | IdempotencyKeyReused]:
    """Claim keys for this transaction; return what was there before for those that are taken.

    A concurrent request with the same key waits here until the first one has committed, and then replays. A key
    that comes back with an id is a replay of that result; with ``IdempotencyKeyReused``, another request. Of claims
    with the same key the first one counts.

    Raises ``IdempotencyKeyInFlight`` when the first request does not end in time.
    """
    first: dict[tuple[str, str], Claim] = {}
    for each in claims:
        first.setdefault((each.scope, each.key), each)
    # In one order everywhere, so that two transactions with the same keys cannot wait for each other in a ring.
    rows = sorted(first.items(), key=lambda row: row[0])
    fresh = _insert(tx, [_row(ring, each, now) for _, each in rows])
    taken = {name: each.digests(ring) for name, each in rows if name not in fresh}
    if not taken:
        return {}
    table = idempotency_keys.c
    found = tx.execute(
        sa.select(table.scope, table.key, table.request_digest, table.result_id).where(
            sa.tuple_(table.scope, table.key).in_(list(taken)),
        ),
    ).all()
    return {
        (scope, key): result_id if digest in taken[scope, key] else IdempotencyKeyReused()
        for scope, key, digest, result_id in found
    }


def _row(ring: KeyRing, each: Claim, now: datetime) -> dict[str, Any]:
    return {
        "scope": each.scope,
        "key": each.key,
        "request_digest": each.digests(ring)[0],
        "result_id": each.result_id,
        "created_at": now,
    }


def _insert(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Insert keys that nobody has, in their order, and return which."""
    try:
        if len(rows) != 1:
            return insert_absent(tx, idempotency_keys, ("scope", "key"), rows)
        (row,) = rows
        made = insert_unless_there(tx, idempotency_keys, ("scope", "key"), row)
        return {(row["scope"], row["key"])} if made else set()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise IdempotencyKeyInFlight(retry_after_seconds=2) from error
        raise


def release(tx: Connection, claims: Sequence[Claim]) -> None:
    """Give keys back whose deed was refused, so that they can be used once the reason is mended."""
    table = idempotency_keys.c
    if claims:
        tx.execute(
            idempotency_keys.delete().where(
                sa.tuple_(table.scope, table.key).in_([(each.scope, each.key) for each in claims])
            )
        )
