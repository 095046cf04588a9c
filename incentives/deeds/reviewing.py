"""Reviewing: what is left of a try that rules against abuse refused: a review, its audit entry, and a switch.

Not a flow: it opens no transaction. What was refused leaves nothing else, so the flow that gave way writes this in a
transaction of its own, or in the one in which it notes the refused try.
"""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards, Refusal, StepUpRequired, UnderReview
from incentives.safeguards import reviews, signals, switches
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import vouchers

STOPPED_BY_SIGNAL = "Stopped by a signal of abuse until somebody who leads has looked at it."


def left_of(refusals: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Return the reviews that are left of refusals; most leave none."""
    kinds = (BlockedBySafeguards, StepUpRequired)
    return [each.review for each in refusals if isinstance(each, kinds) and each.review is not None]


def remember(tx: Connection, core: Core, actor: Actor, refusals: Iterable[Refusal], now: datetime) -> bool:
    """Write what is left of refusals; return whether a switch was set, which this process must not miss."""
    stopped = False
    for left in left_of(refusals):
        row = {name: value for name, value in left.items() if name != "stop_actor"}
        # The review first and then the voucher, as whoever decides locks them.
        if reviews.write(tx, [row]):
            note_opened(tx, core, actor, row, now)
        if row["action"] == signals.HOLD and row["kind"] == "redemption":
            freeze(tx, uuid.UUID(row["subject_id"]), now)
        if left["stop_actor"]:
            stopped = stop_actor(tx, core, actor, row, now) or stopped
    return stopped


def note_opened(tx: Connection, core: Core, actor: Actor, row: Mapping[str, Any], now: datetime) -> None:
    """Write the audit entry of a review that was opened."""
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action="review.opened",
        subject_kind="review",
        subject_id=row["id"],
        facts=facts_of(row),
    )


def facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit trail knows of a review."""
    return {
        "kind": row["kind"],
        "action": row["action"],
        "signals": [each["name"] for each in row["signals"]],
        "issuance_id": str(row["issuance_id"]) if row["issuance_id"] else None,
        "location": row["location"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
    }


def refuse_held(tx: Connection, issuance_id: uuid.UUID) -> None:
    """Refuse to go around the review that a voucher waits for. Raises ``UnderReview``."""
    found = reviews.holding(tx, issuance_id)
    if found is not None:
        raise UnderReview(review_id=str(found))


def unfreeze(tx: Connection, issuance_id: uuid.UUID) -> list[Any]:
    """Unfreeze what was frozen of an issuance until somebody had looked at it; return the vouchers' rows."""
    held = (vouchers.c.issuance_id == issuance_id) & vouchers.c.frozen_at.is_not(None)
    until = held & vouchers.c.frozen_until_at.is_(None)
    statement = vouchers.update().where(until).values(frozen_at=None)
    return list(tx.execute(statement.returning(vouchers.c.id, vouchers.c.last4, vouchers.c.amount_minor)).all())


def freeze(tx: Connection, voucher_id: uuid.UUID, now: datetime) -> bool:
    """Freeze a voucher until somebody has looked at it, unless it is frozen or can be spent by nobody any more."""
    this = (vouchers.c.id == voucher_id) & lifecycle.free(now) & ~lifecycle.frozen(now)
    return tx.execute(vouchers.update().where(this).values(frozen_at=now, frozen_until_at=None)).rowcount == 1


def stop_actor(tx: Connection, core: Core, actor: Actor, row: Mapping[str, Any], now: datetime) -> bool:
    """Stop whoever showed a signal until somebody who leads lifts it; False when they are stopped already."""
    scope = {"person": "person", "key": "api_key"}.get(actor.kind)
    if scope is None:
        return False
    stops = switches.REDEEMING if row["kind"] == "redemption" else switches.ISSUING
    made = {
        "id": core.ids.new(now),
        "stops": stops,
        "scope": scope,
        "subject": actor.label,
        "reason": STOPPED_BY_SIGNAL,
        "set_by": SYSTEM.label,
        "set_by_name": SYSTEM.name,
        "set_at": now,
    }
    if not switches.add(tx, made):
        return False
    audit.record(
        tx,
        core=core,
        actor=SYSTEM,
        now=now,
        action="switch.set",
        subject_kind="switch",
        subject_id=made["id"],
        reason=STOPPED_BY_SIGNAL,
        facts={"stops": stops, "scope": scope, "subject": actor.label, "review_id": str(row["id"])},
    )
    return True
