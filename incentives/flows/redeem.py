"""Redeem: a use of a voucher is spent exactly once. A conditional update and a unique constraint decide, not a reading.

So that no hold that ends meanwhile lets one slip through unweighed, each try begins with the row as it is.
"""

from dataclasses import dataclass

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import reviewing, selling, suspecting_tills, valuing
from incentives.deeds.batch import Batch
from incentives.deeds.selling import Redeemed, Spent
from incentives.deeds.valuing import Sale
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, Refusal, VoucherReserved
from incentives.kernel.idempotency import Claim
from incentives.vouchers import lifecycle
from incentives.vouchers.orders import ITEMS_MOST, Item, OrderTold

__all__ = ["ITEMS_MOST", "Item", "RedeemVoucher", "Redeemed", "redeem_voucher"]

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemVoucher(OrderTold):
    """Spend a voucher by its code or its token (exactly one), on an order."""

    code: str | None = None
    token: str | None = None
    location: str | None = None
    idempotency_key: str | None = None


def redeem_voucher(*, core: Core, actor: Actor, command: RedeemVoucher) -> Redeemed:
    """Spend one use of a voucher.

    A refused try is recorded too, with what it was refused for; so the refusal is raised after the transaction.
    Raises ``VoucherNotFound``, ``CodeMalformed``, ``AlreadyRedeemed``, ``VoucherExpired``, ``VoucherVoided``,
    ``VoucherReserved``, ``VoucherReplaced``, ``VoucherFrozen``, ``SelfRedemption``, ``RedeemerNotAllowed``,
    ``CurrencyMismatch``, ``OrderTotalMissing``, ``OrderItemsMissing``, ``OrderTooSmall``, ``NothingEligible``,
    ``NotCombinable``, ``ConditionNotMet``, ``NotUsableHere``, ``UnknownLocation``, ``OtherLocation``,
    ``RedeemingStopped``, ``StepUpRequired``, ``BlockedBySafeguards``, ``InputInvalid``, ``IdempotencyKeyReused``,
    ``IdempotencyKeyInFlight``, ``NoCatalog`` and ``NotPermitted``.
    """
    permit(actor, "redemptions:create")
    now = core.clock.now()
    if (command.code is None) == (command.token is None):
        raise InputInvalid(errors=[{"field": "code", "message": "Send either code or token."}])
    with core.database.write() as tx:
        result = _redeem(tx, Batch(core=core, actor=actor, now=now), command)
    if isinstance(result, Refusal):
        raise result
    return result


def _redeem(tx: Connection, batch: Batch, command: RedeemVoucher) -> Redeemed | Refusal:
    core, actor, now = batch.core, batch.actor, batch.now
    claim = _claim(core, actor, command, batch)
    before = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key)) if claim else None
    if before is not None:
        return before if isinstance(before, Refusal) else selling.replay(tx, core, before)
    voucher, location = None, actor.location
    try:
        catalog, place = valuing.place_of(tx, core, actor, command.location)
        location = place.key if place else None
        sale = Sale(core=core, actor=actor, now=now, catalog=catalog, place=place, order=command.order)
        for _ in range(_TRIES):
            voucher = lifecycle.find(tx, core, code=command.code, token=command.token)
            refusal = selling.why_not(tx, voucher, now)
            if refusal is not None:
                raise refusal
            incentive = releases.incentive_of(tx, voucher.incentive_item_id, core.cache)
            takes_minor = valuing.takes_minor(tx, sale, voucher, incentive)
            valuing.check_alone(tx, sale, incentive)
            suspecting_tills.refuse_redeeming(tx, core, actor, voucher, location, catalog.abuse, now)
            count = lifecycle.redeem(tx, voucher.id, lifecycle.good(now) & lifecycle.worth(voucher))
            if count is not None:
                break
        else:
            raise VoucherReserved(last4=voucher.last4 if voucher else None)
    except Refusal as refusal:
        idempotency.release(tx, [claim] if claim else [])
        selling.note_attempt(tx, batch, voucher=voucher, code=command.code, location=location, outcome=refusal.slug)
        reviewing.remember(tx, core, actor, [refusal], now)
        return refusal
    # Whoever waited for the voucher's row asks again: what was stopped meanwhile is undone with the transaction.
    valuing.guard(tx, sale, voucher)
    spent = Spent(
        redemption_id=claim.result_id if claim else core.ids.new(now),
        voucher=voucher,
        incentive=incentive,
        location=location,
        order=command.order,
        takes_minor=takes_minor,
        count=count,
    )
    return selling.settle(tx, batch, spent)


def _claim(core: Core, actor: Actor, command: RedeemVoucher, batch: Batch) -> Claim | None:
    if not command.idempotency_key:
        return None
    request = command.request("code", "token", "location")
    return Claim(f"{actor.label}:redemptions", command.idempotency_key, request, core.ids.new(batch.now))
