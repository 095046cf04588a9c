"""Void: a voucher is taken back before it is used, by whoever may; or by its giver, while nothing was sent yet."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds import aftercare as care
from incentives.deeds import reasons
from incentives.deeds.aftercare import Cared
from incentives.deeds.batch import Batch
from incentives.deeds.voiding import void
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import IssuanceNotFound, UndoOver
from incentives.messages import outbox
from incentives.vouchers.tables import issuances, vouchers

UNDONE = "Its giver took it back at once."


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidVoucher:
    """Take a voucher back; of one that was used in part, what is left."""

    voucher_id: uuid.UUID
    reason: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoIssuance:
    """Take back what one has just given oneself."""

    issuance_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was taken back; ``voucher`` is None where it was an apology by itself."""

    issuance_id: uuid.UUID
    case_id: uuid.UUID
    voucher: Cared | None


def void_voucher(*, core: Core, actor: Actor, command: VoidVoucher) -> Cared:
    """Take a voucher back that nobody holds: what was owed is owed no more, and its budgets are free again.

    Raises ``NotPermitted``, ``InputInvalid``, ``VoucherNotFound``, ``AlreadyRedeemed``, ``VoucherExpired``,
    ``VoucherVoided``, ``VoucherReplaced``, ``VoucherReserved``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``.
    """
    permit(actor, "vouchers:void")
    reason, now = reasons.reason(command.reason), core.clock.now()
    request = {"voucher_id": command.voucher_id, "reason": reason}
    with core.database.write() as tx:
        before = care.done_before(tx, core, actor, "voids", command.idempotency_key, request, now)
        return before or void(tx, core, actor, care.take(tx, actor, command.voucher_id), reason, now, undone=False)


def undo_issuance(*, core: Core, actor: Actor, command: UndoIssuance) -> Undone:
    """Take back what one gave oneself, within the protocol's window: nothing was sent, and nobody has used it.

    It needs no right to void: it is as if it had not been given. Raises ``NotPermitted``, ``IssuanceNotFound`` for
    what somebody else gave, ``UndoOver``, and whatever voiding is refused for.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.write() as tx:
        row = _given(tx, actor, command.issuance_id)
        if row.undo_until_at is None or row.undo_until_at <= now:
            raise UndoOver(undo_until_at=row.undo_until_at.isoformat() if row.undo_until_at else None)
        voucher = None
        if row.voucher_id is None:
            _withdraw_apology(tx, core, actor, row, now)
        else:
            taken = care.take(tx, actor, row.voucher_id)
            voucher = void(tx, core, actor, taken, UNDONE, now, undone=True)
        return Undone(issuance_id=row.id, case_id=row.case_id, voucher=voucher)


def _given(tx: Connection, actor: Actor, issuance_id: uuid.UUID) -> Any:
    """Return what an actor gave, locked, with its voucher."""
    given = issuances.c
    row = tx.execute(
        sa.select(given.id, given.case_id, given.undo_until_at, vouchers.c.id.label("voucher_id"))
        .outerjoin(vouchers, sa.and_(vouchers.c.issuance_id == given.id, vouchers.c.number == 1))
        .where(given.id == issuance_id, given.actor == actor.label)
    ).one_or_none()
    if row is None:
        raise IssuanceNotFound
    return row


def _withdraw_apology(tx: Connection, core: Core, actor: Actor, row: Any, now: datetime) -> None:
    """Let an apology by itself not be sent: there is nothing else that it did."""
    if not outbox.withdraw_apology(tx, row.id, now, UNDONE):
        raise UndoOver
    batch = Batch(core=core, actor=actor, now=now)
    batch.note("apology.undone", row.id, row.case_id, UNDONE, {})
    batch.write(tx, ())
