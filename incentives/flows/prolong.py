"""Prolong: a voucher that is still good lasts some days longer.

Its promise stands in the budgets that it was charged to, whenever it ends. What has ended is not brought back: the
budgets may have given its money to others since, and a till would not know. Something new is given then.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.eligibility import end_of_day
from incentives.deeds import aftercare as care
from incentives.deeds import reasons
from incentives.deeds.aftercare import Cared
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ExtensionTooLong, InputInvalid
from incentives.vouchers import aftercare

DAYS_MAX = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendVoucher:
    """Let a voucher last so many days longer, to the end of that day in its zone."""

    voucher_id: uuid.UUID
    days: int
    reason: str
    idempotency_key: str | None = None


def extend_voucher(*, core: Core, actor: Actor, command: ExtendVoucher) -> Cared:
    """Let a voucher last longer; all its extensions together may not be longer than its incentive allows.

    One that a till holds, or that is frozen, may be extended too. Raises ``NotPermitted``, ``InputInvalid``,
    ``VoucherNotFound``, ``AlreadyRedeemed``, ``VoucherExpired``, ``VoucherVoided``, ``VoucherReplaced``,
    ``ExtensionTooLong``, ``IdempotencyKeyReused`` and ``IdempotencyKeyInFlight``.
    """
    permit(actor, "vouchers:extend")
    reason, now = reasons.reason(command.reason), core.clock.now()
    if not 1 <= command.days <= DAYS_MAX:
        raise InputInvalid(errors=[{"field": "days", "message": "Extend by at least one day."}])
    request = {"voucher_id": command.voucher_id, "days": command.days, "reason": reason}
    with core.database.write() as tx:
        before = care.done_before(tx, core, actor, "extensions", command.idempotency_key, request, now)
        return before or _extend(tx, core, actor, command, reason, now)


def _extend(tx: Connection, core: Core, actor: Actor, command: ExtendVoucher, reason: str, now: datetime) -> Cared:
    row = care.take(tx, actor, command.voucher_id)
    care.check(tx, row, now, held=True, frozen=True)
    most = releases.incentive_of(tx, row.incentive_item_id, core.cache).most_extend_days
    left = most - row.extended_days
    if command.days > left:
        raise ExtensionTooLong(field="days", most_days=most, days_left=max(0, left))
    expires_at = _later(row, command.days)
    care.changed(aftercare.extend(tx, row, command.days, expires_at, now))
    batch = Batch(core=core, actor=actor, now=now)
    facts = {"days": command.days, "expires_at": expires_at.isoformat(), "before": row.expires_at.isoformat()}
    care.note(batch, row, "voucher.extended", reason, {"amount_minor": care.outstanding_minor(row), **facts})
    batch.write(tx, ())
    return care.cared(care.find(tx, actor, row.id), now)


def _later(row: Any, days: int) -> datetime:
    """Return the end of the local day so many days after the one on which a voucher ends."""
    zone = ZoneInfo(row.time_zone)
    return end_of_day(row.expires_at.astimezone(zone).date() + timedelta(days=days), zone)
