"""The idempotency key: claimed as the first statement of a deed's transaction, so that it commits with the deed.

What is kept is the id of the result, never the answer: a stored answer would be a store of bearer codes.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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

KEPT = timedelta(days=14)
"""For so long a key replays: longer than any till's queue is offline. After that it stands for a new request."""

LASTING = ("bulk-", "incident-")
"""How keys begin that we make ourselves, for what is never to be done twice, however late somebody goes on with it."""

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
        text = json.dumps(self.request, sort_keys=True, default=_members).encode()
        return [ring.mac(key_id, b"idempotency", text).hex() for key_id in ring.all_ids]


def _members(value: Any) -> Any:
    """Return all that a part of a request holds, shown in a log or not; of what has no parts its text."""
    fields = getattr(value, "__dataclass_fields__", None)
    return str(value) if fields is None else {name: getattr(value, name) for name in fields}


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
    before: dict[tuple[str, str], uuid.UUID | IdempotencyKeyReused] = {}
    while rows:
        fresh = _insert(tx, [_row(ring, each, now) for _, each in rows])
        before |= _taken(tx, ring, {name: each for name, each in rows if name not in fresh})
        # What was there and is no more has been forgotten in between, and is claimed as what nobody knows.
        rows = [row for row in rows if row[0] not in fresh and row[0] not in before]
    return before


def _taken(
    tx: Connection, ring: KeyRing, claims: Mapping[tuple[str, str], Claim]
) -> dict[tuple[str, str], uuid.UUID | IdempotencyKeyReused]:
    """Return what the first requests with some keys got."""
    if not claims:
        return {}
    table = idempotency_keys.c
    query = sa.select(table.scope, table.key, table.request_digest, table.result_id)
    found = tx.execute(query.where(sa.tuple_(table.scope, table.key).in_(list(claims)))).all()
    return {
        (scope, key): result_id if digest in claims[scope, key].digests(ring) else IdempotencyKeyReused()
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


def forget(tx: Connection, since: datetime | None, before: datetime, most: int) -> int:
    """Forget keys that were claimed before an instant (and not before another), the oldest first; return how many.

    What another transaction is at is passed over: nobody waits for this, and this waits for nobody. Who comes
    with a key at that very moment replays, or is a new one.
    """
    table = idempotency_keys.c
    lasting = sa.or_(*(table.key.startswith(each, autoescape=True) for each in LASTING))
    within = [table.created_at < before, ~lasting] + ([] if since is None else [table.created_at >= since])
    old = (
        sa.select(table.scope, table.key)
        .where(*within)
        .order_by(table.created_at)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("old")  # a subquery could be run again for each row, past its limit
    )
    these = sa.tuple_(table.scope, table.key).in_(sa.select(old.c.scope, old.c.key))
    return len(tx.execute(idempotency_keys.delete().where(these).returning(table.key)).all())
