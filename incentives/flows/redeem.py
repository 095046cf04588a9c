"""Redeem: a voucher is spent exactly once. One conditional update and a unique constraint decide, never a reading."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit, ledger
from incentives.catalog import releases
from incentives.catalog.incentive import NEW_VOUCHER, Incentive, IncentiveKind
from incentives.flows import answers
from incentives.flows.answers import IssuedVoucher
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
    UnknownLocation,
    VoucherExpired,
    VoucherReplaced,
    VoucherReserved,
    VoucherVoided,
)
from incentives.kernel.idempotency import Claim
from incentives.kernel.money import Money
from incentives.messages import outbox
from incentives.spending import budgets
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import redemption_attempts, redemptions, vouchers

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
    ``UnknownLocation``, ``InputInvalid``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``, ``NotPermitted``.
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


def _redeem(tx: Connection, core: Core, actor: Actor, command: RedeemVoucher, now: datetime) -> Redeemed | Refusal:
    claim = _claim(core, actor, command, now)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key)) if claim else None
    if found is not None:
        return found if isinstance(found, Refusal) else _replay(tx, core, found)
    redemption_id = claim.result_id if claim else core.ids.new(now)
    voucher = None
    try:
        location = _location(tx, core, actor, command)
        voucher = lifecycle.find(tx, core, code=command.code, token=command.token)
        incentive = releases.incentive_of(tx, voucher.incentive_item_id, core.cache)
        spent_minor = _spent_minor(voucher, incentive, command, location, now)
        if not lifecycle.redeem(tx, voucher.id, now):
            raise _why_not(tx, voucher, now)
    except Refusal as refusal:
        idempotency.release(tx, [claim] if claim else [])
        _note_attempt(tx, core, actor, command, voucher, refusal.slug, now)
        return refusal
    return _settle(tx, core, actor, command, voucher, incentive, location, redemption_id, spent_minor, now)


def _claim(core: Core, actor: Actor, command: RedeemVoucher, now: datetime) -> Claim | None:
    if not command.idempotency_key:
        return None
    request = {name: str(getattr(command, name)) for name in ("code", "token", "location", "order_ref", "order_total")}
    return Claim(f"{actor.label}:redemptions", command.idempotency_key, request, core.ids.new(now))


def _location(tx: Connection, core: Core, actor: Actor, command: RedeemVoucher) -> str | None:
    """Return where it is redeemed: as the request says, else where the till stands."""
    catalog = releases.cached_current(tx, core.cache).catalog
    if command.location is not None and command.location not in catalog.locations:
        raise UnknownLocation(field="location", location=command.location)
    return command.location or actor.location


def _spent_minor(
    voucher: Any, incentive: Incentive, command: RedeemVoucher, location: str | None, now: datetime
) -> int:
    """Return how much of the voucher is spent, in its minor units, after checking what cannot change any more."""
    if lifecycle.status_now(voucher, now) != "issued":
        return 0  # the conditional update says no; what it could be spent on does not matter
    if incentive.locations and location not in incentive.locations:
        raise NotUsableHere(field="location", locations=list(incentive.locations))
    total, worth_minor = command.order_total, int(voucher.amount_minor)
    if total is not None and total.currency != voucher.currency:
        raise CurrencyMismatch(field="order_total.currency", currency=voucher.currency)
    if total is not None and total.amount_minor < 0:
        raise InputInvalid(
            errors=[{"field": "order_total.amount_minor", "message": "A sale's total is not below zero."}]
        )
    if incentive.kind == IncentiveKind.PERCENT_OFF:
        if total is None:
            raise OrderTotalMissing(field="order_total", percent=incentive.percent)
        # Half a minor unit goes to the customer: they were let down once already.
        discount = (total.amount_minor * (incentive.percent or 0) * 2 + _HUNDRED) // (_HUNDRED * 2)
        return min(discount, worth_minor)
    if incentive.has_face_amount and total is not None:
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
    tx: Connection,
    core: Core,
    actor: Actor,
    command: RedeemVoucher,
    voucher: Any,
    outcome: str,
    now: datetime,
) -> None:
    tx.execute(
        redemption_attempts.insert(),
        [
            {
                "id": core.ids.new(now),
                "voucher_id": voucher.id if voucher else None,
                "outcome": outcome,
                "last4": voucher.last4 if voucher else lifecycle.last4_of(command.code),
                "location": actor.location,
                "actor": actor.label,
                "at": now,
            }
        ],
    )


def _settle(
    tx: Connection,
    core: Core,
    actor: Actor,
    command: RedeemVoucher,
    voucher: Any,
    incentive: Incentive,
    location: str | None,
    redemption_id: uuid.UUID,
    spent_minor: int,
    now: datetime,
) -> Redeemed:
    """Write the redemption, its entry and what follows from it; the budgets, which others wait for, come last."""
    left_minor = voucher.amount_minor - spent_minor
    keeps = incentive.remainder == NEW_VOUCHER and left_minor > 0
    tx.execute(
        redemptions.insert(),
        [
            {
                "id": redemption_id,
                "voucher_id": voucher.id,
                "amount_minor": spent_minor,
                "currency": voucher.currency,
                "location": location,
                "order_ref": command.order_ref,
                "order_total_minor": command.order_total.amount_minor if command.order_total else None,
                "actor": actor.label,
                "actor_name": actor.name,
                "redeemed_at": now,
            }
        ],
    )
    _note_attempt(tx, core, actor, command, voucher, "redeemed", now)
    remainder = _remainder(tx, core, voucher, left_minor, now) if keeps else None
    estimated = incentive.kind == IncentiveKind.PERCENT_OFF
    ledger.post(
        tx,
        core=core,
        actor=actor.label,
        now=now,
        entries=[
            ledger.honored(
                core,
                redemption_id=redemption_id,
                voucher_id=voucher.id,
                currency=voucher.currency,
                spent_minor=spent_minor,
                forfeited_minor=0 if keeps or estimated else left_minor,
                overestimated_minor=left_minor if estimated else 0,
                now=now,
            )
        ],
    )
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action="voucher.redeemed",
        subject_kind="voucher",
        subject_id=voucher.id,
        case_id=voucher.case_id,
        facts={
            "amount_minor": spent_minor,
            "currency": voucher.currency,
            "location": location,
            "last4": voucher.last4,
        },
    )
    _spend(
        tx,
        core,
        actor,
        voucher.issuance_id,
        redemption_id,
        spent_minor,
        0 if keeps else left_minor,
        now,
        last=not keeps,
    )
    return Redeemed(
        id=redemption_id,
        voucher_id=voucher.id,
        amount=Money(spent_minor, voucher.currency),
        location=location,
        order_ref=command.order_ref,
        redeemed_at=now,
        last4=voucher.last4,
        incentive=voucher.incentive,
        remainder=remainder,
    )


def _remainder(tx: Connection, core: Core, voucher: Any, left_minor: int, now: datetime) -> IssuedVoucher:
    """Make a new voucher over what was left, good for as long as the one before, told by the same channels."""
    made = lifecycle.make(
        core=core,
        now=now,
        issuance_id=voucher.issuance_id,
        number=voucher.number + 1,
        time_zone=voucher.time_zone,
        incentive_item_id=voucher.incentive_item_id,
        amount=Money(left_minor, voucher.currency),
        expires_at=voucher.expires_at,
    )
    tx.execute(vouchers.insert(), [dict(made.row)])
    outbox.enqueue(
        tx,
        [
            outbox.message(
                core=core,
                now=now,
                issuance_id=voucher.issuance_id,
                voucher_id=made.row["id"],
                channel=channel,
                template="voucher",
            )
            for channel in voucher.channels
        ],
    )
    return answers.shown(made)


def _spend(
    tx: Connection,
    core: Core,
    actor: Actor,
    issuance_id: uuid.UUID,
    redemption_id: uuid.UUID,
    spent_minor: int,
    released_minor: int,
    now: datetime,
    *,
    last: bool,
) -> None:
    """Turn what budgets had committed into what is spent; what will not be spent is free again."""
    charged = budgets.charges_of(tx, [issuance_id])
    pots = budgets.lock_ids(tx, (each.pot_id for each in charged))
    counts = {"committed_count": -1, "spent_count": 1} if last else {}
    changes = {"committed_minor": -spent_minor - released_minor, "spent_minor": spent_minor, **counts}
    movements = [
        budgets.movement(
            core=core,
            now=now,
            actor=actor.label,
            pot=pots[each.pot_id],
            issuance_id=issuance_id,
            source_id=redemption_id,
            kind="spend",
            changes=each.in_its_unit(changes),
        )
        for each in charged
    ]
    budgets.write(tx, pots.values(), movements)


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
