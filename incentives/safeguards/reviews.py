"""Reviews: what somebody else should look at, and what they said of it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.database import insert_new
from incentives.kernel.money import Money
from incentives.safeguards.tables import reviews

OPEN = "open"
RELEASED = "released"
BLOCKED = "blocked"
NOTED = "noted"

REVIEW_HOURS = 24
"""How long a review may wait before it is late, unless the catalog says otherwise."""


def opened(
    *,
    core: Core,
    actor: Actor,
    now: datetime,
    kind: str,
    subject_id: uuid.UUID | str,
    action: str,
    signals: Sequence[Mapping[str, Any]] = (),
    issuance_id: uuid.UUID | None = None,
    location: str | None = None,
    amount: Money | None = None,
    hours: int = REVIEW_HOURS,
) -> dict[str, Any]:
    """Return the row of a new review; ``actor`` is who caused it, and never decides it.

    ``kind`` is one of ``tables.REVIEW_KINDS``, ``action`` what was done meanwhile (``allow``, ``step_up``, ``hold``,
    ``block``). Each signal is {"name", "count", "limit", "minutes", …} of JSON values without names or addresses; one
    subject has one open review of a kind. ``issuance_id`` must be written before it.
    """
    return {
        "id": core.ids.new(now),
        "kind": kind,
        "status": OPEN,
        "subject_id": str(subject_id),
        "issuance_id": issuance_id,
        "signals": [dict(each) for each in signals],
        "action": action,
        "location": location,
        "amount_minor": amount.amount_minor if amount else None,
        "currency": amount.currency if amount else None,
        "actor": actor.label,
        "actor_name": actor.name,
        "opened_at": now,
        "due_at": now + timedelta(hours=hours),
    }


def write(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> set[uuid.UUID]:
    """Write reviews but for those whose subject has an open one of the kind; return the ids of the new ones."""
    if not rows:
        return set()
    return insert_new(tx, reviews, ("kind", "subject_id"), rows, where="status = 'open'")


def locked(tx: Connection, review_id: uuid.UUID) -> Any:
    """Return a review, locked until the transaction ends, or None."""
    return tx.execute(sa.select(reviews).where(reviews.c.id == review_id).with_for_update()).one_or_none()


def holding(tx: Connection, issuance_id: uuid.UUID) -> uuid.UUID | None:
    """Return the open review for which what an issuance gave is held back, or None."""
    table = reviews.c
    query = sa.select(table.id).where(table.issuance_id == issuance_id, table.status == OPEN, table.action == "hold")
    found: uuid.UUID | None = tx.execute(query.limit(1)).scalar_one_or_none()
    return found


def decide(tx: Connection, review_id: uuid.UUID, values: Mapping[str, Any]) -> bool:
    """Move a review out of ``open``: one conditional update; False when somebody was first."""
    this = (reviews.c.id == review_id) & (reviews.c.status == OPEN)
    return tx.execute(reviews.update().where(this).values(**values)).rowcount == 1
