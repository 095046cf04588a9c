"""Resend: a voucher's message goes out once more, with the same code, to the address that was given."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.deeds import aftercare as care
from incentives.deeds import assessment, capping, reasons, wording
from incentives.deeds.aftercare import Cared
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, MessageOnItsWay, TooManyCopies
from incentives.messages import outbox
from incentives.recovery.customers import Contact

MOST_COPIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendVoucher:
    """Send a voucher's message again; ``channels`` empty means those that it went by before."""

    voucher_id: uuid.UUID
    reason: str
    channels: tuple[str, ...] = ()
    idempotency_key: str | None = None


def resend_voucher(*, core: Core, actor: Actor, command: ResendVoucher) -> Cared:
    """Send it again, not before its day, at most ``MOST_COPIES`` times by a channel.

    A message is rendered when it is sent.

    Raises ``NotPermitted``, ``InputInvalid``, ``ChannelWithoutAddress``, ``VoucherNotFound``, ``AlreadyRedeemed``,
    ``VoucherExpired``, ``VoucherVoided``, ``VoucherReplaced``, ``VoucherReserved``, ``VoucherFrozen``,
    ``MessageOnItsWay``, ``TooManyCopies``, ``ContactCap``, ``IdempotencyKeyReused`` and ``IdempotencyKeyInFlight``.
    """
    permit(actor, "vouchers:resend")
    reason, now = reasons.reason(command.reason), core.clock.now()
    request = {"voucher_id": command.voucher_id, "channels": command.channels, "reason": reason}
    with core.database.write() as tx:
        before = care.done_before(tx, core, actor, "resends", command.idempotency_key, request, now)
        return before or _resend(tx, core, actor, command, reason, now)


def _resend(tx: Connection, core: Core, actor: Actor, command: ResendVoucher, reason: str, now: datetime) -> Cared:
    row = care.take(tx, actor, command.voucher_id)
    care.check(tx, row, now)
    contact = Contact.from_text(core.contacts.decrypt(row.contact))
    channels = assessment.addressed(command.channels or row.channels, contact)
    if not channels:
        raise InputInvalid(errors=[{"field": "channels", "message": "It was shown on a screen: there is no address."}])
    batch = Batch(core=core, actor=actor, now=now)
    sent = outbox.about_voucher(tx, row.issuance_id, row.id)
    batch.messages += [_copy(batch, row, channel, sent) for channel in channels]
    batch.room = capping.room_for(tx, core, contact, batch.messages, now)
    care.note(
        batch, row, "voucher.resent", reason, {"amount_minor": care.outstanding_minor(row), "channels": list(channels)}
    )
    batch.write(tx, ())
    return care.cared(row, now)


def _copy(batch: Batch, row: Any, channel: str, sent: Sequence[Any]) -> dict[str, Any]:
    """Return the next copy by a channel. Its voucher is locked, so that no two are the same."""
    before = [each for each in sent if each.channel == channel]
    if any(each.status in outbox.WAITING for each in before):
        raise MessageOnItsWay(channel=channel)
    number = max((each.copy for each in before), default=-1) + 1
    if number > MOST_COPIES:
        raise TooManyCopies(channel=channel, most=MOST_COPIES)
    return outbox.message(
        core=batch.core,
        now=batch.now,
        issuance_id=row.issuance_id,
        voucher_id=row.id,
        channel=channel,
        template="voucher",
        available_at=wording.not_before(row),
        copy=number,
    )
