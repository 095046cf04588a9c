"""Freeze: a voucher cannot be used until it is unfrozen, or until an instant. It can be voided, and ends as always."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from incentives.deeds import aftercare as care
from incentives.deeds import reasons, reviewing
from incentives.deeds.aftercare import Cared
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, VoucherNotFrozen
from incentives.messages import outbox
from incentives.vouchers import aftercare, lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeVoucher:
    """Let nobody use a voucher; ``until_at`` None is until somebody unfreezes it."""

    voucher_id: uuid.UUID
    reason: str
    until_at: datetime | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeVoucher:
    """Let a frozen voucher be used again."""

    voucher_id: uuid.UUID
    reason: str
    idempotency_key: str | None = None


def freeze_voucher(*, core: Core, actor: Actor, command: FreezeVoucher) -> Cared:
    """Freeze a voucher. A till that holds it cannot commit it then.

    Raises ``NotPermitted``, ``InputInvalid``, ``VoucherNotFound``, ``VoucherFrozen`` for one that is frozen already,
    ``AlreadyRedeemed``, ``VoucherExpired``, ``VoucherVoided``, ``VoucherReplaced``, ``IdempotencyKeyReused`` and
    ``IdempotencyKeyInFlight``.
    """
    permit(actor, "vouchers:freeze")
    reason, now = reasons.reason(command.reason), core.clock.now()
    request = {"voucher_id": command.voucher_id, "until_at": command.until_at, "reason": reason}
    with core.database.write() as tx:
        before = care.done_before(tx, core, actor, "freezes", command.idempotency_key, request, now)
        return before or _freeze(tx, core, actor, command, reason, now)


def unfreeze_voucher(*, core: Core, actor: Actor, command: UnfreezeVoucher) -> Cared:
    """Let a frozen voucher be used again, and what was not told because of it be told.

    Raises ``NotPermitted``, ``InputInvalid``, ``VoucherNotFound``, ``VoucherNotFrozen``, ``AlreadyRedeemed``,
    ``VoucherExpired``, ``VoucherVoided``, ``VoucherReplaced``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``,
    and ``UnderReview`` for one that waits for somebody's review: that decides.
    """
    permit(actor, "vouchers:freeze")
    reason, now = reasons.reason(command.reason), core.clock.now()
    request = {"voucher_id": command.voucher_id, "reason": reason}
    with core.database.write() as tx:
        before = care.done_before(tx, core, actor, "unfreezes", command.idempotency_key, request, now)
        return before or _unfreeze(tx, core, actor, command, reason, now)


def _freeze(tx: Connection, core: Core, actor: Actor, command: FreezeVoucher, reason: str, now: datetime) -> Cared:
    if command.until_at is not None and command.until_at <= now:
        raise InputInvalid(errors=[{"field": "until_at", "message": "Choose an instant that is still to come."}])
    row = care.take(tx, actor, command.voucher_id)
    care.check(tx, row, now, held=True)
    care.changed(aftercare.freeze(tx, row.id, command.until_at, now))
    batch = Batch(core=core, actor=actor, now=now)
    until = command.until_at.isoformat() if command.until_at else None
    facts = {"amount_minor": care.outstanding_minor(row), "until_at": until}
    care.note(batch, row, "voucher.frozen", reason, facts)
    batch.write(tx, ())
    return care.cared(care.find(tx, actor, row.id), now)


def _unfreeze(tx: Connection, core: Core, actor: Actor, command: UnfreezeVoucher, reason: str, now: datetime) -> Cared:
    row = care.take(tx, actor, command.voucher_id)
    care.check(tx, row, now, held=True, frozen=True)
    if not lifecycle.is_frozen(row, now):
        raise VoucherNotFrozen(last4=row.last4)
    reviewing.refuse_held(tx, row.issuance_id)
    care.changed(aftercare.unfreeze(tx, row.id, now))
    outbox.release_held(tx, row.issuance_id, row.id, now)
    batch = Batch(core=core, actor=actor, now=now)
    care.note(batch, row, "voucher.unfrozen", reason, {"amount_minor": care.outstanding_minor(row)})
    batch.write(tx, ())
    return care.cared(care.find(tx, actor, row.id), now)
