"""Redeem: a voucher is spent exactly once. One conditional update and a unique constraint decide, never a reading."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import ledger
from incentives.catalog import releases
from incentives.catalog.definitions import Location
from incentives.catalog.incentive import NEW_VOUCHER, Incentive, IncentiveKind
from incentives.deeds import answers, asking, assessment
from incentives.deeds.answers import IssuedVoucher
from incentives.deeds.batch import Batch
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    AlreadyRedeemed,
    CurrencyMismatch,
    InputInvalid,
    NotUsableHere,
    OrderTotalMissing,
    Refusal,
    VoucherExpired,
    VoucherReplaced,
    VoucherReserved,
    VoucherVoided,
)
from incentives.kernel.idempotency import Claim
from incentives.kernel.money import Money
from incentives.spending import budgets
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import redemption_attempts, redemptions

_HUNDRED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemVoucher:
    """Spend a voucher by its code or its token (exactly one). ``order_total`` is what a percentage is taken from."""

    code: str | None = None
    token: str | None = None
    location: str | None = None
    order_ref: str | None = None
    order_total: Money | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """The one redemption of a voucher; ``remainder`` is a new voucher over what was left, if the incentive says so."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    amount: Money
    location: str | None
    order_ref: str | None
    redeemed_at: datetime
    last4: str
    incentive: str
    remainder: IssuedVoucher | None = None
    replayed: bool = False


def redeem_voucher(*, core: Core, actor: Actor, command: RedeemVoucher) -> Redeemed:
    """Spend a voucher.

    A refused try is recorded too, with what it was refused for; so the refusal is raised after the transaction.
    Raises ``VoucherNotFound``, ``CodeMalformed``, ``AlreadyRedeemed``, ``VoucherExpired``, ``VoucherVoided``,
    ``VoucherReserved``, ``VoucherReplaced``, ``CurrencyMismatch``, ``OrderTotalMissing``, ``NotUsableHere``,
    ``UnknownLocation``, ``OtherLocation``, ``InputInvalid``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``
    and ``NotPermitted``.
    """
    permit(actor, "redemptions:create")
    now = core.clock.now()
    if (command.code is None) == (command.token is None):
        raise InputInvalid(errors=[{"field": "code", "message": "Send either code or token."}])
    with core.database.write() as tx:
        result = _redeem(tx, core, actor, command, now)
    if isinstance(result, Refusal):
        raise result
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sale:
    """What a voucher was spent on."""

    redemption_id: uuid.UUID
    voucher: Any
    incentive: Incentive
    location: str | None
    spent_minor: int

    @property
    def left_minor(self) -> int:
        """Return what the sale left of the voucher's value, in its minor units."""
        return int(self.voucher.amount_minor) - self.spent_minor

    @property
    def keeps_remainder(self) -> bool:
        """Return whether what is left becomes a new voucher."""
        return self.incentive.remainder == NEW_VOUCHER and self.left_minor > 0


def _redeem(tx: Connection, core: Core, actor: Actor, command: RedeemVoucher, now: datetime) -> Redeemed | Refusal:
    batch = Batch(core=core, actor=actor, now=now)
    claim = _claim(core, actor, command, now)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key)) if claim else None
    if found is not None:
        return found if isinstance(found, Refusal) else _replay(tx, core, found)
    voucher, location = None, actor.location
    try:
        place = _place(tx, core, actor, command)
        location = place.key if place else None
        voucher = lifecycle.find(tx, core, code=command.code, token=command.token)
        incentive = releases.incentive_of(tx, voucher.incentive_item_id, core.cache)
        spent_minor = _spent_minor(voucher, incentive, command, place, now)
        if not lifecycle.redeem(tx, voucher.id, now):
            raise _why_not(tx, voucher, now)
    except Refusal as refusal:
        idempotency.release(tx, [claim] if claim else [])
        _note_attempt(tx, batch, command, voucher, location, refusal.slug)
        return refusal
    redemption_id = claim.result_id if claim else core.ids.new(now)
    sale = _Sale(
        redemption_id=redemption_id, voucher=voucher, incentive=incentive, location=location, spent_minor=spent_minor
    )
    return _settle(tx, batch, command, sale)


def _claim(core: Core, actor: Actor, command: RedeemVoucher, now: datetime) -> Claim | None:
    if not command.idempotency_key:
        return None
    request = {name: str(getattr(command, name)) for name in ("code", "token", "location", "order_ref", "order_total")}
    return Claim(f"{actor.label}:redemptions", command.idempotency_key, request, core.ids.new(now))


def _place(tx: Connection, core: Core, actor: Actor, command: RedeemVoucher) -> Location | None:
    """Return where it is redeemed: as the request says, if there is such a place, else where the till stands."""
    assessment.at_home(actor, command.location)
    catalog = releases.cached_current(tx, core).catalog
    if command.location is not None:
        return catalog.location(command.location)
    return catalog.locations.get(actor.location or "")


def _spent_minor(
    voucher: Any, incentive: Incentive, command: RedeemVoucher, place: Location | None, now: datetime
) -> int:
    """Return how much of the voucher is spent, in its minor units, after checking what cannot change any more."""
    if lifecycle.status_now(voucher, now) != "issued":
        return 0  # the conditional update says no; what it could be spent on does not matter
    if incentive.locations and (place is None or place.key not in incentive.locations):
        raise NotUsableHere(field="location", locations=list(incentive.locations))
    total, worth_minor = command.order_total, int(voucher.amount_minor)
    if total is not None and total.currency != voucher.currency:
        raise CurrencyMismatch(field="order_total.currency", currency=voucher.currency)
    # A till takes the currency of its place, whether it says the total or not. A thing has none.
    takes_money = incentive.has_face_amount or incentive.percent is not None
    if takes_money and place is not None and place.currency != voucher.currency:
        raise CurrencyMismatch(field="location", currency=voucher.currency)
    if total is not None and total.amount_minor <= 0:
        # A sale of nothing would use the voucher up for nothing.
        raise InputInvalid(errors=[{"field": "order_total.amount_minor", "message": "A sale's total is above zero."}])
    if incentive.kind == IncentiveKind.PERCENT_OFF:
        if total is None:
            raise OrderTotalMissing(field="order_total", percent=incentive.percent)
        # Half a minor unit goes to the customer: they were let down once already.
        discount = (total.amount_minor * (incentive.percent or 0) * 2 + _HUNDRED) // (_HUNDRED * 2)
        return min(discount, worth_minor)
    # A refund is paid out, not taken off a sale: what the sale comes to does not lower it.
    if incentive.has_face_amount and incentive.kind != IncentiveKind.REFUND_REQUEST and total is not None:
        return min(total.amount_minor, worth_minor)
    return worth_minor


def _why_not(tx: Connection, voucher: Any, now: datetime) -> Refusal:
    """Return why the conditional update found nothing to spend, read again after it: the other one has committed."""
    row = lifecycle.state(tx, voucher.id)
    status = lifecycle.status_now(row, now)
    if status == "redeemed":
        before = lifecycle.standing_redemption(tx, voucher.id)
        return AlreadyRedeemed(
            redeemed_at=before.redeemed_at.isoformat(),
            location=before.location,
            redeemed_by=before.actor_name,
            last4=voucher.last4,
        )
    if status == "expired":
        return VoucherExpired(expires_at=row.expires_at.isoformat(), time_zone=row.time_zone, last4=voucher.last4)
    kind = {"voided": VoucherVoided, "reserved": VoucherReserved, "replaced": VoucherReplaced}[status]
    return kind(last4=voucher.last4)


def _note_attempt(
    tx: Connection, batch: Batch, command: RedeemVoucher, voucher: Any, location: str | None, outcome: str
) -> None:
    attempt = {
        "id": batch.core.ids.new(batch.now),
        "voucher_id": voucher.id if voucher else None,
        "outcome": outcome,
        "last4": voucher.last4 if voucher else lifecycle.last4_of(command.code),
        "location": location,
        "actor": batch.actor.label,
        "at": batch.now,
    }
    tx.execute(redemption_attempts.insert(), attempt)


def _settle(tx: Connection, batch: Batch, command: RedeemVoucher, sale: _Sale) -> Redeemed:
    """Write the redemption, its entry and what follows from it; the budgets, which others wait for, come last."""
    voucher = sale.voucher
    tx.execute(redemptions.insert(), _redemption_row(batch, command, sale))
    _note_attempt(tx, batch, command, voucher, sale.location, "redeemed")
    remainder = _remainder(batch, sale) if sale.keeps_remainder else None
    estimated = sale.incentive.kind == IncentiveKind.PERCENT_OFF
    batch.entries.append(
        ledger.honored(
            batch.core,
            redemption_id=sale.redemption_id,
            voucher_id=voucher.id,
            currency=voucher.currency,
            spent_minor=sale.spent_minor,
            forfeited_minor=0 if sale.keeps_remainder or estimated else sale.left_minor,
            overestimated_minor=sale.left_minor if estimated else 0,
            now=batch.now,
        )
    )
    facts = {"amount_minor": sale.spent_minor, "currency": voucher.currency, "last4": voucher.last4}
    batch.note("voucher.redeemed", voucher.issuance_id, voucher.case_id, None, {**facts, "location": sale.location})
    _follow(tx, batch, command, voucher)
    batch.write(tx, _spend(tx, batch, sale))
    return Redeemed(
        id=sale.redemption_id,
        voucher_id=voucher.id,
        amount=Money(sale.spent_minor, voucher.currency),
        location=sale.location,
        order_ref=command.order_ref,
        redeemed_at=batch.now,
        last4=voucher.last4,
        incentive=voucher.incentive,
        remainder=remainder,
    )


def _follow(tx: Connection, batch: Batch, command: RedeemVoucher, voucher: Any) -> None:
    """Let the customer's cases know: who comes back with an order has bought again, and may be asked how it was."""
    core, now = batch.core, batch.now
    asks = asking.asks_after(tx, core, voucher.protocol_item_id, "redemption")
    if not asks and not (command.order_ref and voucher.customer_id):
        return
    catalog = releases.cached_current(tx, core).catalog
    if command.order_ref:
        asking.bought_again(tx, core, now, catalog, voucher.customer_id, now)
    if asks:
        asking.plan(tx, core, now, catalog, voucher.case_id, "redemption", actor=batch.actor)


def _redemption_row(batch: Batch, command: RedeemVoucher, sale: _Sale) -> dict[str, Any]:
    return {
        "id": sale.redemption_id,
        "voucher_id": sale.voucher.id,
        "amount_minor": sale.spent_minor,
        "currency": sale.voucher.currency,
        "location": sale.location,
        "order_ref": command.order_ref,
        "order_total_minor": command.order_total.amount_minor if command.order_total else None,
        "actor": batch.actor.label,
        "actor_name": batch.actor.name,
        "redeemed_at": batch.now,
    }


def _remainder(batch: Batch, sale: _Sale) -> IssuedVoucher:
    """Make a new voucher over what was left, good for as long as the one before, told by the same channels."""
    voucher = sale.voucher
    made = lifecycle.make(
        core=batch.core,
        now=batch.now,
        issuance_id=voucher.issuance_id,
        number=voucher.number + 1,
        time_zone=voucher.time_zone,
        incentive_item_id=voucher.incentive_item_id,
        amount=Money(sale.left_minor, voucher.currency),
        expires_at=voucher.expires_at,
    )
    batch.vouchers.append(dict(made.row))
    batch.tell(voucher.issuance_id, made.row["id"], voucher.channels)
    return answers.shown(made)


def _spend(tx: Connection, batch: Batch, sale: _Sale) -> Collection[budgets.Pot]:
    """Turn what budgets had committed into what is spent; what will not be spent is free again. Return the pots.

    The issuance counts as spent from its first voucher on: that the rest may lapse must not free a place under a cap.
    """
    charged = budgets.charges_of(tx, [sale.voucher.issuance_id])
    pots = budgets.lock_ids(tx, (each.pot_id for each in charged))
    gone_minor = sale.spent_minor + (0 if sale.keeps_remainder else sale.left_minor)
    counts = {"committed_count": -1, "spent_count": 1} if sale.voucher.number == 1 else {}
    changes = {"committed_minor": -gone_minor, "spent_minor": sale.spent_minor, **counts}
    for each in charged:
        unit = each.in_its_unit(changes)
        if any(unit.values()):
            batch.move(pots[each.pot_id], sale.voucher.issuance_id, sale.redemption_id, "spend", unit)
    return pots.values()


def _replay(tx: Connection, core: Core, redemption_id: uuid.UUID) -> Redeemed:
    """Return the answer that the first request got."""
    row = lifecycle.redemption_with_voucher(tx, redemption_id)
    following = lifecycle.following(tx, row.issuance_id, row.number)
    return Redeemed(
        id=row.id,
        voucher_id=row.voucher_id,
        amount=Money(row.amount_minor, row.currency),
        location=row.location,
        order_ref=row.order_ref,
        redeemed_at=row.redeemed_at,
        last4=row.last4,
        incentive=row.incentive,
        remainder=answers.again(core, following) if following else None,
        replayed=True,
    )
