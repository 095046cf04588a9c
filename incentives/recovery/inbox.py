"""The inbox: every request as it came, kept before anybody knows what it means.

Body and headers are encrypted, and credentials are taken out first. What cannot be understood waits here for a
person; nothing is ever dropped.
"""

import json
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.database import insert_new
from incentives.recovery.feedback_tables import feedback_inbox

REASON_LENGTH_MAX = 500
KEY_LENGTH_MAX = 300
_HEADER_LENGTH_MAX = 1000
_MEDIA_TYPE_LENGTH_MAX = 100

# A header whose name says that its value opens something. What signs a body opens nothing, and proves where it is from.
_CREDENTIAL = re.compile("auth|cookie|token|secret|password|api-?key", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A request as it came, byte for byte. ``mapped`` says that only its source's mapping can read it."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    mapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A kept request, opened. ``location`` is that of its sender, ``command`` what it was where no body says it."""

    id: uuid.UUID
    source: str
    status: str
    reason: str | None
    received_at: datetime
    tries: int
    feedback_id: uuid.UUID | None
    raw: Raw
    location: str | None
    command: Mapping[str, Any] | None


def dedupe_key(core: Core, *, external_id: str | None, order: int | None, body: bytes) -> str:
    """Return what makes two requests of a source the same: its id and count where it counts, else the very bytes."""
    if external_id is not None and order is not None:
        return f"{external_id}#{order}"[:KEY_LENGTH_MAX]
    ring = core.keys.contacts
    # Keyed: a short body, such as a form's, could be guessed from a plain digest. By the first key: the same bytes are
    # a repetition whatever key has come since.
    digest = ring.mac(ring.oldest_id, b"inbox", body).hex()
    return f"{external_id or ''}:{digest}"[-KEY_LENGTH_MAX:]


def sealed(core: Core, raw: Raw, *, location: str | None, command: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a request's encrypted columns.

    ``location`` is the place of whoever sent it. ``command`` is kept where a body alone would not say it again.
    """
    kept = {"headers": stripped(raw.headers), "mapped": raw.mapped, "location": location, "command": command}
    return {"body": core.contacts.seal(raw.body), "headers": core.contacts.encrypt(json.dumps(kept))}


def row(*, raw: Raw, now: datetime, reason: str | None, **columns: Any) -> dict[str, Any]:
    """Return the row that keeps a request; ``columns`` has the others, those of ``sealed`` among them."""
    media_type = raw.media_type[:_MEDIA_TYPE_LENGTH_MAX]
    return {"received_at": now, "changed_at": now, "media_type": media_type, "reason": short(reason), **columns}


def short(reason: str | None) -> str | None:
    """Return a reason that fits its column."""
    return (reason or "").replace("\x00", "")[:REASON_LENGTH_MAX] or None


def stripped(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers without those that are credentials."""
    return {
        name: value.replace("\x00", "")[:_HEADER_LENGTH_MAX]
        for name, value in headers.items()
        if not _CREDENTIAL.search(name)
    }


def keep(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> set[uuid.UUID]:
    """Keep requests, each source's own once, in one statement; return the ids of those that are new."""
    return insert_new(tx, feedback_inbox, ("source", "dedupe_key"), rows)


def before(tx: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Return what is known of requests that came before, by source and key."""
    if not keys:
        return {}
    table = feedback_inbox.c
    query = sa.select(table.id, table.source, table.dedupe_key, table.status, table.reason, table.feedback_id)
    found = tx.execute(query.where(sa.tuple_(table.source, table.dedupe_key).in_(list(keys))))
    return {(each.source, each.dedupe_key): each for each in found}


def locked(tx: Connection, core: Core, inbox_id: uuid.UUID) -> Piece | None:
    """Return a kept request, locked until this transaction ends; None where there is none."""
    found = tx.execute(sa.select(feedback_inbox).where(feedback_inbox.c.id == inbox_id).with_for_update()).one_or_none()
    return opened(core, found) if found else None


def opened(core: Core, found: Any) -> Piece:
    """Return a row as a kept request, decrypted."""
    kept = json.loads(core.contacts.decrypt(found.headers) or "{}")
    raw = Raw(
        body=core.contacts.open(found.body),
        headers=kept.get("headers") or {},
        media_type=found.media_type,
        mapped=bool(kept.get("mapped")),
    )
    return Piece(
        id=found.id,
        source=found.source,
        status=found.status,
        reason=found.reason,
        received_at=found.received_at,
        tries=found.tries,
        feedback_id=found.feedback_id,
        raw=raw,
        location=kept.get("location"),
        command=kept.get("command"),
    )


def is_seen_by(actor: Actor, piece: Piece) -> bool:
    """Return whether an actor sees a kept request: who has a location sees what came from there, or from nowhere."""
    return actor.location is None or piece.location in (None, actor.location)


def change(tx: Connection, inbox_id: uuid.UUID, now: datetime, **values: Any) -> None:
    """Change a request that this transaction has made or locked."""
    tx.execute(feedback_inbox.update().where(feedback_inbox.c.id == inbox_id).values(changed_at=now, **values))


def end_waiting(tx: Connection, inbox_id: uuid.UUID, now: datetime, **values: Any) -> bool:
    """Change a request that waits; return whether it still waited."""
    table = feedback_inbox.c
    changed = feedback_inbox.update().where(table.id == inbox_id, table.status == "waiting")
    return tx.execute(changed.values(changed_at=now, **values)).rowcount == 1
