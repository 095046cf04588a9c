"""Review: somebody else looks at what signals of abuse held back or refused, and says what becomes of it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.books.tables import audit_events
from incentives.deeds import aftercare, reasons, reviewing, same_hands
from incentives.deeds.voiding import void
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, Refusal, ReviewAlreadyDecided, ReviewNotFound, SelfReview
from incentives.kernel.idempotency import Claim
from incentives.messages import outbox
from incentives.safeguards import reviews, signals
from incentives.vouchers import aftercare as vouchers_aftercare
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, vouchers

DECISIONS = {"release": reviews.RELEASED, "block": reviews.BLOCKED, "note": reviews.NOTED}
_BLOCKED = "A review found that it should not have been given."


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideReview:
    """``release``: it was all right. ``block``: it was not. ``note``: somebody has seen it, and no more is to be done.

    ``note`` (the words) is needed for all but a release; it is for staff, and kept encrypted.
    """

    review_id: uuid.UUID
    decision: str
    note: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What was decided, and what of the customer's followed: vouchers unfrozen or taken back, messages let go."""

    review_id: uuid.UUID
    status: str
    unfrozen: int = 0
    voided: int = 0
    messages: int = 0
    replayed: bool = False


def decide_review(*, core: Core, actor: Actor, command: DecideReview) -> Reviewed:
    """Decide once, and never by whoever caused it, or agreed to it, under whatever sign-in or key.

    What is held is unfrozen and told when it is released, and taken back when it is blocked, in one transaction.
    Raises ``ReviewNotFound``, ``ReviewAlreadyDecided``, ``SelfReview``, ``VoucherReserved`` for one that a till holds
    right now, ``InputInvalid``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight`` and ``NotPermitted``.
    """
    permit(actor, "reviews:decide")
    now = core.clock.now()
    note = _checked(command)
    with core.database.write() as tx:
        if _claimed_before(tx, core, actor, command, now):
            row = _seen(tx, actor, command.review_id)
            return Reviewed(review_id=row.id, status=row.status, **_done(tx, row), replayed=True)
        row = _seen(tx, actor, command.review_id)
        _check(tx, core, row, actor, command)
        values = {
            "status": DECISIONS[command.decision],
            "decided_by": actor.label,
            "decided_by_name": actor.name,
            "decided_at": now,
            "note": core.contacts.encrypt(note),
        }
        if not reviews.decide(tx, row.id, values):
            raise ReviewAlreadyDecided
        done = _follow(tx, core, actor, command.decision, row, now)
        _note(tx, core, actor, row, done, now)
    return done


def _checked(command: DecideReview) -> str | None:
    if command.decision not in DECISIONS:
        raise InputInvalid(errors=[{"field": "decision", "message": "Send release, block or note."}])
    if command.decision == "release" and not (command.note or "").strip():
        return None
    return reasons.reason(command.note, "note")


def _claimed_before(tx: Connection, core: Core, actor: Actor, command: DecideReview, now: datetime) -> bool:
    if not command.idempotency_key:
        return False
    request = {"id": command.review_id, "decision": command.decision, "note": command.note}
    claim = Claim(f"{actor.label}:reviews", command.idempotency_key, request, command.review_id)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key))
    if isinstance(found, Refusal):
        raise found
    return found is not None


def _done(tx: Connection, row: Any) -> Mapping[str, int]:
    """Return what followed from a decision, as its audit entry has it."""
    table = audit_events.c
    this = (table.subject_kind == "review", table.subject_id == str(row.id), table.action == f"review.{row.status}")
    facts: Mapping[str, Any] = tx.execute(sa.select(table.facts).where(*this)).scalar_one()
    return {name: int(facts.get(name, 0)) for name in ("unfrozen", "voided", "messages")}


def _seen(tx: Connection, actor: Actor, review_id: uuid.UUID) -> Any:
    """Return a review that an actor sees, locked."""
    row = reviews.locked(tx, review_id)
    if row is None or (actor.location is not None and row.location not in (None, actor.location)):
        raise ReviewNotFound
    return row


def _check(tx: Connection, core: Core, row: Any, actor: Actor, command: DecideReview) -> None:
    if row.status != reviews.OPEN:
        raise ReviewAlreadyDecided(decision=row.status, decided_at=row.decided_at.isoformat())
    # Who agreed to pass a budget by does not look at it as the second one either.
    caused = {row.actor, *(each["approved_by"] for each in row.signals if "approved_by" in each)}
    if same_hands.is_any_of(tx, core, actor, caused):
        raise SelfReview
    if command.decision == "note" and row.action == signals.HOLD:
        message = "Something is held back for this: release it, or block it."
        raise InputInvalid(errors=[{"field": "decision", "message": message}])


def _follow(tx: Connection, core: Core, actor: Actor, decision: str, row: Any, now: datetime) -> Reviewed:
    """Let what is held go, or take it back; what was only refused or noted has nothing to follow."""
    status = DECISIONS[decision]
    if row.action != signals.HOLD or row.issuance_id is None:
        return Reviewed(review_id=row.id, status=status)
    if decision == "release":
        return _release(tx, core, actor, row, now)
    return Reviewed(review_id=row.id, status=status, voided=_void_all(tx, core, actor, row, now))


def _release(tx: Connection, core: Core, actor: Actor, row: Any, now: datetime) -> Reviewed:
    given = tx.execute(
        sa.select(issuances.c.case_id, issuances.c.currency).where(issuances.c.id == row.issuance_id)
    ).one()
    freed = reviewing.unfreeze(tx, row)
    told = 0
    for each in freed:
        told += outbox.release_held(tx, row.issuance_id, each.id, now)
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="voucher.unfrozen",
            subject_kind="issuance",
            subject_id=row.issuance_id,
            case_id=given.case_id,
            facts={
                "voucher_id": str(each.id),
                "last4": each.last4,
                "amount_minor": each.amount_minor,
                "currency": given.currency,
                "review_id": str(row.id),
            },
        )
    return Reviewed(review_id=row.id, status=reviews.RELEASED, unfrozen=len(freed), messages=told)


def _void_all(tx: Connection, core: Core, actor: Actor, row: Any, now: datetime) -> int:
    """Take back every voucher of an issuance that has not ended by itself meanwhile."""
    query = sa.select(vouchers.c.id).where(vouchers.c.issuance_id == row.issuance_id).order_by(vouchers.c.number)
    count = 0
    # All of them are locked before the budgets of the first: a till that spends the second one waits for those.
    for taken in [aftercare.take(tx, actor, voucher_id) for voucher_id in tx.execute(query).scalars().all()]:
        if lifecycle.status_now(taken, now) in vouchers_aftercare.OPEN:
            void(tx, core, actor, taken, _BLOCKED, now)
            count += 1
    return count


def _note(tx: Connection, core: Core, actor: Actor, row: Any, done: Reviewed, now: datetime) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=f"review.{done.status}",
        subject_kind="review",
        subject_id=row.id,
        facts={
            "kind": row.kind,
            "signals": [each["name"] for each in row.signals],
            "issuance_id": str(row.issuance_id) if row.issuance_id else None,
            "unfrozen": done.unfrozen,
            "voided": done.voided,
            "messages": done.messages,
        },
    )
