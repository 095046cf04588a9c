"""What was promised to be told, and no message tells of: found a part at a time, by ids that sort by their time."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import audit_events
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.database import UtcDateTime
from incentives.messages.tables import CHANNELS, outbox_messages
from incentives.vouchers.tables import issuances, vouchers

SUBJECT_KIND, SUBJECT_ID = "outbox", "stranded"
"""What the audit trail's events of it are about: found by that, they are few among all that there is."""
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A message that the sweep found missing, or held by a lease that would never end, and what it has become.

    ``status`` is ``queued``, ``failed`` (a person is to look at it), ``withdrawn``, or ``freed`` where it was held.
    """

    at: datetime
    channel: str
    status: str
    reason: str | None
    voucher_id: uuid.UUID | None


_AFTER, _END = (sa.bindparam(name, type_=sa.Uuid()) for name in ("after", "end"))
_MOST: Any = sa.bindparam("most", type_=sa.Integer())
_BETWEEN = sa.select(vouchers.c.id).where(vouchers.c.id >= _AFTER, vouchers.c.id < _END).order_by(vouchers.c.id)
_LOOKED_AT = _BETWEEN.limit(_MOST).subquery("looked_at")
_LAST = _BETWEEN.limit(1).offset(_MOST)


def part_ends_at(tx: Connection, after: uuid.UUID, end: uuid.UUID, most: int) -> uuid.UUID | None:
    """Return the voucher before which at most so many stand from ``after`` on; None where that many do not."""
    found: uuid.UUID | None = tx.execute(_LAST, {"after": after, "end": end, "most": most}).scalar_one_or_none()
    return found


def _untold(channel: str) -> sa.ColumnElement[bool]:
    """Return the condition that a voucher is to be told by a channel, and no message does.

    One that took the place of another may have been told by fewer channels than its issuance names: any will do.
    """
    row, made, given = outbox_messages.c, vouchers.c, issuances.c
    tells = sa.exists().where(
        row.issuance_id == made.issuance_id,
        row.voucher_id == made.id,
        sa.or_(row.channel == channel, made.number > 1),
    )
    return sa.and_(sa.cast(given.channels, sa.Text()).like(f'%"{channel}"%'), ~tells)


_STRANDED = (
    sa.select(vouchers.c.id)
    .select_from(_LOOKED_AT)
    .join(vouchers, vouchers.c.id == _LOOKED_AT.c.id)
    .join(issuances, issuances.c.id == vouchers.c.issuance_id)
    .where(
        vouchers.c.status.in_(("issued", "reserved")),
        vouchers.c.expires_at >= sa.bindparam("at", type_=UtcDateTime()),
        vouchers.c.redeemed_count == 0,
        vouchers.c.shown_to.is_(None),
        sa.or_(*(_untold(channel) for channel in CHANNELS)),
    )
    .order_by(vouchers.c.id)
)


def untold(tx: Connection, after: uuid.UUID, end: uuid.UUID, most: int, now: datetime) -> Sequence[uuid.UUID]:
    """Return the vouchers among at most so many, from one on and before another, that no message tells of."""
    return list(tx.execute(_STRANDED, {"after": after, "end": end, "most": most, "at": now}).scalars())


def latest(tx: Connection, most: int = 1) -> Sequence[Any]:
    """Return the newest events of what was found."""
    table = audit_events.c
    about = (table.subject_id == SUBJECT_ID, table.subject_kind == SUBJECT_KIND)
    query = sa.select(table.at, table.reason, table.facts).where(*about)
    return tx.execute(query.order_by(table.id.desc()).limit(most)).all()


def list_found(*, core: Core, actor: Actor) -> list[Found]:
    """Return what was found lately, the newest first."""
    permit(actor, "suppressions:manage")
    with core.database.read() as tx:
        return [_found(row) for row in latest(tx, _SHOWN)]


def _found(row: Any) -> Found:
    voucher_id = row.facts.get("voucher_id")
    return Found(
        at=row.at,
        channel=row.facts["channel"],
        status=row.facts["status"],
        reason=row.reason,
        voucher_id=uuid.UUID(voucher_id) if voucher_id else None,
    )
