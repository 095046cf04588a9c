"""Reviewing: what is left of a try that rules against abuse refused: a review, its audit entry, and a switch.

Not a flow: it opens no transaction. What was refused leaves nothing else, so the flow that gave way writes this in a
transaction of its own, or in the one in which it notes the refused try.
"""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards, Refusal, StepUpRequired, UnderReview
from incentives.safeguards import reviews, signals, switches
from incentives.safeguards.tables import reviews as reviews_table
from incentives.vouchers import aftercare, lifecycle
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


def was_held(tx: Connection, voucher_id: uuid.UUID) -> bool:
    """Return whether a voucher was held back as it was made, for a review of its own, decided since or not."""
    table = reviews_table.c
    query = sa.select(table.id).where(table.kind == "issuance", table.subject_id == str(voucher_id))
    return tx.execute(query.limit(1)).first() is not None


def unfreeze(tx: Connection, review: Any) -> list[Any]:
    """Unfreeze what was frozen for a review until somebody had looked at it; return the vouchers' rows.

    What was frozen at another instant was frozen by hand, for a reason of its own, and stays so. They are locked in the
    order of their numbers, as everywhere.
    """
    table = vouchers.c
    held = [table.issuance_id == review.issuance_id, table.frozen_at == review.opened_at]
    held += [table.frozen_until_at.is_(None)]
    if review.subject_id != str(review.issuance_id):  # of one voucher; else of the only one that there was
        held.append(table.id == uuid.UUID(review.subject_id))
    columns = (table.id, table.last4, table.amount_minor)
    query = sa.select(*columns).where(*held).order_by(table.number)
    rows = list(tx.execute(query.with_for_update(key_share=True)).all())
    if rows:
        tx.execute(vouchers.update().where(table.id.in_([row.id for row in rows])).values(frozen_at=None))
    return rows


def freeze(tx: Connection, voucher_id: uuid.UUID, now: datetime) -> bool:
    """Freeze a voucher until somebody has looked at it, unless it is frozen or can be spent by nobody any more.

    One that a till holds is frozen too: it is at committing that a hold is counted.
    """
    this = (vouchers.c.id == voucher_id) & aftercare.not_over(now) & ~lifecycle.frozen(now)
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
