"""The inbox of a development machine: captured messages, composed anew as the customer would see them."""

import uuid
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from incentives.kernel.core import Core
from incentives.messages.port import AnyLetter
from incentives.messages.tables import outbox_messages
from incentives.queries import letters


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedLetter:
    """A message that was captured instead of sent."""

    letter: AnyLetter
    captured_at: datetime


def captured_letters(*, core: Core, limit: int = 50, before: datetime | None = None) -> list[CapturedLetter]:
    """Return captured messages, the newest first."""
    now = core.clock.now()
    table = outbox_messages.c
    query = (
        sa.select(outbox_messages)
        .where(table.status == "captured")
        .order_by(table.ended_at.desc(), table.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(table.ended_at < before)
    with core.database.read() as tx:
        rows = tx.execute(query).all()
        found = [(letters.composed(tx, core, row, now), row.ended_at) for row in rows]
    return [CapturedLetter(letter=letter, captured_at=at) for letter, at in found if letter is not None]


def captured_letter(*, core: Core, message_id: uuid.UUID) -> CapturedLetter | None:
    """Return one captured message, or None."""
    now = core.clock.now()
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(outbox_messages).where(
                outbox_messages.c.id == message_id, outbox_messages.c.status == "captured"
            ),
        ).one_or_none()
        if row is None:
            return None
        letter = letters.composed(tx, core, row, now)
    return None if letter is None else CapturedLetter(letter=letter, captured_at=row.ended_at)
