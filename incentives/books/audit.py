"""The audit trail: who did what to which thing, when, why."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books.tables import audit_events
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.many import Into, insert_many


def event(
    *,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    subject_kind: str,
    subject_id: uuid.UUID | str,
    case_id: uuid.UUID | None = None,
    reason: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one audit row. ``facts`` are JSON values and hold no code, token, name or address."""
    return {
        "id": core.ids.new(now),
        "at": now,
        "actor": actor.label,
        "actor_name": actor.name,
        "action": action,
        "subject_kind": subject_kind,
        "subject_id": str(subject_id),
        "case_id": case_id,
        "reason": reason,
        "facts": dict(facts or {}),
        "request_id": actor.request_id,
        "ip": actor.ip,
    }


def record(tx: Connection, **deed: Any) -> None:
    """Write one audit row; takes what ``event`` takes."""
    tx.execute(audit_events.insert(), [event(**deed)])


def record_all(into: Into, events: list[dict[str, Any]]) -> None:
    """Write audit rows that ``event`` made."""
    insert_many(into, audit_events, events)
