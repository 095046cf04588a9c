"""Reissue: a new voucher takes the place of one that is lost, or that went to the wrong address.

Old and new in one transaction: the old one is good for nothing from then on, and what was promised stays promised once.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.safeguarding import AbusePolicy
from incentives.deeds import aftercare as care
from incentives.deeds import (
    answers,
    assessment,
    capping,
    guarding,
    readdressing,
    reasons,
    reviewing,
    suspecting_addresses,
    wording,
)
from incentives.deeds.answers import Delivery, IssuedVoucher
from incentives.deeds.batch import Batch
from incentives.deeds.readdressing import Addressed, AddressMoved, Moved
from incentives.deeds.suspecting import HELD
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards
from incentives.kernel.money import Money
from incentives.messages import outbox
from incentives.messages.tables import outbox_messages
from incentives.recovery.customers import CustomerGiven
from incentives.safeguards.signals import NOTHING, Suspicion
from incentives.vouchers import aftercare, lifecycle
from incentives.vouchers.tables import vouchers

_REPLACED = "A newer voucher took its place."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReissueVoucher:
    """Put a new voucher in the place of one. ``channels`` None: as before; empty: it is shown on the screen.

    With ``customer`` the address changes; of their name, email and phone what is None stays as it was.
    """

    voucher_id: uuid.UUID
    reason: str
    channels: tuple[str, ...] | None = None
    customer: CustomerGiven | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reissued:
    """The new voucher. Its secrets are told where it is to be shown on the screen; else they are the customer's."""

    voucher: IssuedVoucher
    shown: bool
    replaces_id: uuid.UUID
    issuance_id: uuid.UUID
    case_id: uuid.UUID
    deliveries: tuple[Delivery, ...]
    replayed: bool = False


def reissue_voucher(*, core: Core, actor: Actor, command: ReissueVoucher) -> Reissued:
    """Replace a voucher by one of the same worth, end and uses left; nothing is charged again.

    A customer who is somebody else than before is charged to their own caps, for all that is open of the issuance, and
    a new address is asked what issuing to it would be asked; whoever has it no more is charged no longer.

    Raises ``NotPermitted``, ``InputInvalid``, ``EmailInvalid``, ``PhoneInvalid``,
    ``ChannelWithoutAddress``, ``VoucherNotFound``, ``AlreadyRedeemed``, ``VoucherExpired``, ``VoucherVoided``,
    ``VoucherReplaced``, ``VoucherReserved``, ``VoucherFrozen``, ``CustomerCapReached``, ``OverLimit``, ``ContactCap``,
    ``IssuingStopped`` (where it comes into other hands than it is in), ``BlockedBySafeguards`` (of which a review is
    left), ``IdempotencyKeyReused`` and ``IdempotencyKeyInFlight``.
    """
    permit(actor, "vouchers:reissue")
    reason, now = reasons.reason(command.reason), core.clock.now()
    names = ("voucher_id", "channels", "customer")
    request = {**{name: getattr(command, name) for name in names}, "reason": reason}
    while True:
        try:
            with core.database.write() as tx:
                key = command.idempotency_key
                before = care.done_before(tx, core, actor, "reissues", key, request, now)
                if before:
                    return _replay(tx, core, actor, before.voucher_id)
                return _reissue(tx, core, actor, command, reason, now)
        except AddressMoved:
            continue  # It begins again whenever somebody else has finished, so it ends.
        except BlockedBySafeguards as refusal:
            _remember(core, actor, refusal, now)
            raise


def _remember(core: Core, actor: Actor, refusal: BlockedBySafeguards, now: datetime) -> None:
    """Write what rules against abuse keep of what they refused, once nothing else is left of it."""
    with core.database.write() as tx:
        stopped = reviewing.remember(tx, core, actor, [refusal], now)
    if stopped:
        guarding.forget(core)


def _reissue(tx: Connection, core: Core, actor: Actor, command: ReissueVoucher, reason: str, now: datetime) -> Reissued:
    # Who may not see it must not get as far as to customers. Its case is locked before they are met, as everywhere.
    met = care.find(tx, actor, command.voucher_id)
    row = care.take(tx, actor, command.voucher_id)
    cases = readdressing.hold_cases(tx, row.case_id) if command.customer else ()
    address = readdressing.address(tx, core, actor, met, command.customer, now)
    care.check(tx, row, now)
    if command.customer:
        readdressing.check_unchanged(tx, row, met)
    channels = assessment.addressed(row.channels if command.channels is None else command.channels, address.contact)
    anew = command.customer is not None or not channels  # it comes into other hands than it is in
    if anew:
        care.refuse_stopped(tx, core, actor, row)
    policy, suspicion = _suspect(tx, core, actor, command, row, address, now)
    care.changed(aftercare.replace(tx, row.id, now))
    care.lapse_hold(tx, row)
    outbox.withdraw(tx, [(row.issuance_id, row.id)], now, _REPLACED)
    batch = Batch(core=core, actor=actor, now=now)
    made = _made(tx, batch, row)
    shown_to = None if channels else actor.label  # who sees the code does not redeem it
    batch.vouchers.append({**made.row, "extended_days": row.extended_days, "shown_to": shown_to})
    messages = batch.tell(row.issuance_id, made.row["id"], channels, wording.not_before(row))
    held = suspecting_addresses.hold_back(batch, row, batch.vouchers[-1], suspicion, policy)
    batch.room = capping.room_for(tx, core, address.contact, messages, now)
    moved = _readdress(tx, batch, row, made, address, channels, cases) if command.customer else None
    if anew:
        care.refuse_stopped(tx, core, actor, row)  # it may have waited for the budgets
    facts = {
        "voucher_id": str(made.row["id"]),
        "last4": made.row["last4"],
        "replaces_id": str(row.id),
        "replaced_last4": row.last4,
        "amount_minor": made.row["amount_minor"],
        "address_changed": command.customer is not None,
        "charged": [],
        **(moved.facts if moved else {}),
        "channels": list(channels),
        **({"held_for": list(suspicion.names)} if held else {}),
    }
    care.note(batch, row, "voucher.reissued", reason, facts)
    batch.write(tx, moved.pots if moved else ())
    return Reissued(
        voucher=answers.shown(made),
        shown=not channels,
        replaces_id=row.id,
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        deliveries=_deliveries(messages, held=held),
    )


def _suspect(
    tx: Connection, core: Core, actor: Actor, command: ReissueVoucher, row: Any, address: Addressed, now: datetime
) -> tuple[AbusePolicy, Suspicion]:
    """Return what a new address is suspected of. Raises ``BlockedBySafeguards``."""
    if command.customer is None:
        return AbusePolicy(), NOTHING
    policy, contact = releases.cached_current(tx, core).catalog.abuse, address.contact
    found = suspecting_addresses.look(tx, core, actor, row, contact, address.customers, address.own, policy, now)
    worth = Money(care.outstanding_minor(row), row.currency)
    suspecting_addresses.refuse(core, actor, row, contact, worth, found, policy, now)
    return policy, found


def _made(tx: Connection, batch: Batch, row: Any) -> lifecycle.Made:
    """Return the new voucher: what is left of the old one, to the same end."""
    return lifecycle.make(
        core=batch.core,
        now=batch.now,
        issuance_id=row.issuance_id,
        number=lifecycle.next_number(tx, row.issuance_id),
        incentive_item_id=row.incentive_item_id,
        amount=Money(care.outstanding_minor(row), row.currency),
        expires_at=row.expires_at,
        time_zone=row.time_zone,
        max_redemptions=row.max_redemptions - row.redeemed_count,
        replaces_id=row.id,
    )


def _readdress(
    tx: Connection,
    batch: Batch,
    row: Any,
    made: lifecycle.Made,
    address: Addressed,
    channels: Sequence[str],
    cases: Sequence[Any],
) -> Moved:
    """Write the new address down, and let its customers' caps be charged instead of those of who has it no more."""
    readdressing.write(tx, batch, row, address, channels, cases)
    return readdressing.charge(tx, batch, row, made.row, address)


def _deliveries(messages: list[dict[str, Any]], *, held: bool) -> tuple[Delivery, ...]:
    """Return messages as they were when they were fresh."""
    found = answers.deliveries(messages)
    return tuple(replace(each, status=HELD) for each in found) if held else found


def _replay(tx: Connection, core: Core, actor: Actor, replaced_id: uuid.UUID) -> Reissued:
    """Return the answer that the first request got."""
    old = care.find(tx, actor, replaced_id)
    new = tx.execute(sa.select(vouchers).where(vouchers.c.replaces_id == replaced_id)).mappings().one()
    table = outbox_messages.c
    about = (table.issuance_id == old.issuance_id, table.voucher_id == new["id"], table.copy == 0)
    sent = tx.execute(sa.select(table.id, table.channel).where(*about).order_by(table.channel)).all()
    voucher = answers.again(core, {str(name): value for name, value in new.items()})
    return Reissued(
        voucher=voucher,
        shown=not sent,
        replaces_id=replaced_id,
        issuance_id=old.issuance_id,
        case_id=old.case_id,
        deliveries=_deliveries([each._asdict() for each in sent], held=reviewing.was_held(tx, new["id"])),
        replayed=True,
    )
