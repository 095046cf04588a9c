"""Adjust: an unused voucher is worth more, or less. Who raises it does so within their own limits, the sum counting."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import ledger
from incentives.catalog import releases
from incentives.catalog.incentive import Incentive
from incentives.deeds import aftercare as care
from incentives.deeds import guarding, raising, reasons, reviewing, suspecting_addresses, unneeded
from incentives.deeds.aftercare import Cared
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    AmountAboveProtocol,
    AmountNotAdjustable,
    AmountOutOfRange,
    BlockedBySafeguards,
    InputInvalid,
    VoucherUsed,
)
from incentives.kernel.money import Money
from incentives.safeguards.signals import NOTHING, Suspicion
from incentives.spending import budgets, settling
from incentives.vouchers import aftercare


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustVoucher:
    """Let a voucher be worth another amount at each use, as at issuing, in its own currency."""

    voucher_id: uuid.UUID
    amount_minor: int
    reason: str
    idempotency_key: str | None = None


def adjust_voucher(*, core: Core, actor: Actor, command: AdjustVoucher) -> Cared:
    """Change what a voucher is worth, while nothing of it was spent; the new amount is one that could be given.

    Raising it takes budgets for the difference, in the periods in which it was promised; it needs a limit that lets
    the whole amount pass, and the difference counts under the limits of whoever raises it, today and for this customer,
    and in the budgets that are for what they give. Lowering it is free, and takes back what a cap was passed by for it.
    What is raised is asked what giving it would be: it is refused, or held back until somebody has looked at it.

    Raises ``NotPermitted``, ``InputInvalid``, ``VoucherNotFound``, ``AlreadyRedeemed``,
    ``VoucherExpired``, ``VoucherVoided``, ``VoucherReplaced``, ``VoucherReserved``, ``VoucherFrozen``, ``VoucherUsed``,
    ``AmountNotAdjustable``, ``AmountOutOfRange``, ``AmountAboveProtocol``, ``BudgetExhausted``, ``CustomerCapReached``,
    ``OverLimit``, ``IssuingStopped``, ``BlockedBySafeguards`` (of which a review is left), ``IdempotencyKeyReused`` and
    ``IdempotencyKeyInFlight``.
    """
    permit(actor, "vouchers:adjust")
    reason, now = reasons.reason(command.reason), core.clock.now()
    request = {"voucher_id": command.voucher_id, "amount_minor": command.amount_minor, "reason": reason}
    try:
        with core.database.write() as tx:
            before = care.done_before(tx, core, actor, "adjustments", command.idempotency_key, request, now)
            return before or _adjust(tx, core, actor, command, reason, now)
    except BlockedBySafeguards as refusal:
        _remember(core, actor, refusal, now)
        raise


def _remember(core: Core, actor: Actor, refusal: BlockedBySafeguards, now: datetime) -> None:
    """Write what rules against abuse keep of what they refused, once nothing else is left of it."""
    with core.database.write() as tx:
        stopped = reviewing.remember(tx, core, actor, [refusal], now)
    if stopped:
        guarding.forget(core)


def _adjust(tx: Connection, core: Core, actor: Actor, command: AdjustVoucher, reason: str, now: datetime) -> Cared:
    row = care.take(tx, actor, command.voucher_id)
    care.check(tx, row, now)
    if any(each.redeemed_count for each in aftercare.siblings(tx, row.issuance_id)):
        raise VoucherUsed(last4=row.last4)
    incentive = releases.incentive_of(tx, row.incentive_item_id, core.cache)
    total_minor = _total_minor(tx, core, row, incentive, command.amount_minor)
    delta_minor = total_minor - row.amount_minor
    if not delta_minor:
        raise InputInvalid(errors=[{"field": "amount_minor", "message": "It is worth that already."}])
    suspicion = _suspect(tx, core, actor, row, total_minor, now) if delta_minor > 0 else NOTHING
    care.changed(aftercare.adjust(tx, row, total_minor, now))
    care.lapse_hold(tx, row)
    batch, source_id = Batch(core=core, actor=actor, now=now), core.ids.new(now)
    batch.entries.append(
        ledger.adjusted(
            core, source_id=source_id, voucher_id=row.id, currency=row.currency, delta_minor=delta_minor, now=now
        )
    )
    allocations: list[dict[str, Any]] = []
    if delta_minor > 0:
        pots, moved = raising.charge(tx, batch, row, source_id, total_minor, delta_minor)
        care.refuse_stopped(tx, core, actor, row)  # it may have waited for the budgets
    else:
        pots, moved, allocations = _free(tx, batch, row, source_id, -delta_minor)
    facts = {
        "amount_minor": total_minor,
        "delta_minor": delta_minor,
        "before_minor": row.amount_minor,
        "charged": moved,
        **({"allocations": allocations} if allocations else {}),
    }
    policy = releases.cached_current(tx, core).catalog.abuse
    if suspecting_addresses.freeze(tx, batch, row, total_minor, suspicion, policy):
        facts["held_for"] = list(suspicion.names)
    care.note(batch, row, "voucher.adjusted", reason, facts)
    batch.write(tx, pots)
    return care.cared(care.find(tx, actor, row.id), now)


def _suspect(tx: Connection, core: Core, actor: Actor, row: Any, total_minor: int, now: datetime) -> Suspicion:
    """Return what giving more is suspected of. Raises ``IssuingStopped`` and ``BlockedBySafeguards``."""
    care.refuse_stopped(tx, core, actor, row)
    policy = releases.cached_current(tx, core).catalog.abuse
    contact, found = suspecting_addresses.look_at_present(tx, core, actor, row, policy, now)
    suspecting_addresses.refuse(core, actor, row, contact, Money(total_minor, row.currency), found, policy, now)
    return found


def _total_minor(tx: Connection, core: Core, row: Any, incentive: Incentive, amount_minor: int) -> int:
    """Return what all uses are worth together, after checking that the incentive and the protocol allow it."""
    bounds = incentive.amount_bounds
    if bounds is None:
        raise AmountNotAdjustable(field="amount_minor")
    facts = {"least_minor": bounds[0], "most_minor": bounds[1], "currency": row.currency}
    if not bounds[0] <= amount_minor <= bounds[1]:
        raise AmountOutOfRange(field="amount_minor", **facts)
    total_minor = incentive.charge_minor(amount_minor)
    most = releases.protocol_of(tx, row.protocol_item_id, core.cache).most_minor.get(row.currency)
    if most is not None and total_minor > most:
        raise AmountAboveProtocol(field="amount_minor", **{**facts, "most_minor": most // incentive.max_redemptions})
    return total_minor


def _free(
    tx: Connection, batch: Batch, row: Any, source_id: uuid.UUID, gone_minor: int
) -> tuple[Collection[budgets.Pot], list[list[Any]], list[dict[str, Any]]]:
    """Give budgets and limits back what a voucher is worth less; return the pots, what changed, what is taken back."""
    charged, pots = budgets.lock_charged(tx, [row.issuance_id])
    moved = []
    for each, changes in settling.taken(charged, gone_minor):
        if any(changes.values()):
            batch.move(pots[each.pot_id], row.issuance_id, source_id, "adjust", changes)
            moved.append([*each.pot, changes["committed_minor"]])
    allocations = unneeded.take_back(tx, batch, {row.issuance_id: source_id}, pots) if moved else []
    return pots.values(), moved, allocations
