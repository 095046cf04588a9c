"""Reserve: a till holds a voucher while a sale is paid; the hold is extended, released, or lapses by itself."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import answers, assessment, casework, reasons, reviewing, selling, suspecting_tills, valuing
from incentives.deeds.batch import Batch
from incentives.deeds.valuing import Sale
from incentives.kernel import idempotency
from incentives.kernel.actors import SYSTEM, Actor, may, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    InputInvalid,
    NotYourReservation,
    Refusal,
    ReservationLapsed,
    ReservationNotFound,
    VoucherReserved,
)
from incentives.kernel.idempotency import Claim
from incentives.kernel.money import Money
from incentives.vouchers import finding, lifecycle, reservations, shares
from incentives.vouchers.orders import OrderTold
from incentives.vouchers.reservations import HOLD_MINUTES, HOLD_MOST
from incentives.vouchers.tables import reservations as reservations_table

MOST_AT_ONCE = 500
_TRIES = 3
_MINUTES_MOST = int(HOLD_MOST.total_seconds() // 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveVoucher(OrderTold):
    """Hold a voucher by its code or its token (exactly one) for an order, as far as that is known."""

    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    location: str | None = None
    hold_minutes: int = HOLD_MINUTES
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A hold. ``amount`` is what committing it as it stands would take off, at most where the order is not known."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    incentive: str
    last4: str
    amount: Money
    location: str | None
    order_ref: str | None
    reserved_at: datetime
    expires_at: datetime
    status: str = "held"
    replayed: bool = False


def reserve_voucher(*, core: Core, actor: Actor, command: ReserveVoucher) -> Reserved:
    """Hold a voucher, so that no other till takes it and nobody voids it, until the hold is over.

    It never holds longer than the voucher is good. Facts of the order that are to come may be left out; those that are
    told must do. A refused try is recorded. Raises what ``redeem_voucher`` does.
    """
    permit(actor, "redemptions:create")
    now = core.clock.now()
    if (command.code is None) == (command.token is None):
        raise InputInvalid(errors=[{"field": "code", "message": "Send either code or token."}])
    _check_minutes("hold_minutes", command.hold_minutes)
    with core.database.write() as tx:
        result = _reserve(tx, Batch(core=core, actor=actor, now=now), command)
    if isinstance(result, Refusal):
        raise result
    return result


def _check_minutes(field: str, minutes: int) -> None:
    if not 1 <= minutes <= _MINUTES_MOST:
        raise InputInvalid(errors=[{"field": field, "message": f"Hold it for 1 to {_MINUTES_MOST} minutes."}])


def _reserve(tx: Connection, batch: Batch, command: ReserveVoucher) -> Reserved | Refusal:
    core, actor, now = batch.core, batch.actor, batch.now
    claim = _claim(batch, command)
    before = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key)) if claim else None
    if before is not None:
        return before if isinstance(before, Refusal) else _replay(tx, command, before)
    reservation_id = claim.result_id if claim else core.ids.new(now)
    voucher, location = None, actor.location
    try:
        catalog, place = valuing.place_of(tx, core, actor, command.location)
        location = place.key if place else None
        sale = Sale(core=core, actor=actor, now=now, catalog=catalog, place=place, order=command.order, to_come=True)
        for _ in range(_TRIES):
            voucher = finding.find(tx, core, code=command.code, token=command.token)
            refusal = selling.why_not(tx, voucher, now)
            if refusal is not None:
                raise refusal
            incentive = releases.incentive_of(tx, voucher.incentive_item_id, core.cache)
            takes_minor = valuing.takes_minor(tx, sale, voucher, incentive)
            valuing.check_alone(tx, sale, incentive)
            suspecting_tills.refuse_holding(tx, core, actor, voucher, location, catalog.abuse, now)
            until = min(now + timedelta(minutes=command.hold_minutes), voucher.expires_at)
            if reservations.hold(tx, voucher, reservation_id, until, now):
                break
        else:
            raise VoucherReserved(last4=voucher.last4 if voucher else None)
    except Refusal as refusal:
        idempotency.release(tx, [claim] if claim else [])
        selling.note_attempt(tx, batch, voucher=voucher, code=command.code, location=location, outcome=refusal.slug)
        reviewing.remember(tx, core, actor, [refusal], now)
        return refusal
    valuing.guard(tx, sale, voucher)
    return _write(tx, batch, command, _row(batch, command, reservation_id, voucher, location, takes_minor, until))


def _claim(batch: Batch, command: ReserveVoucher) -> Claim | None:
    if not command.idempotency_key:
        return None
    request = command.request("code", "token", "location", "hold_minutes")
    scope = f"{batch.actor.label}:reservations"
    return Claim(scope, command.idempotency_key, request, batch.core.ids.new(batch.now))


def _row(
    batch: Batch,
    command: ReserveVoucher,
    reservation_id: uuid.UUID,
    voucher: Any,
    location: str | None,
    takes_minor: int | None,
    until: datetime,
) -> dict[str, Any]:
    share_minor = shares.share_minor(voucher.amount_minor, voucher.max_redemptions, voucher.redeemed_count + 1)
    return {
        "voucher": voucher,
        "id": reservation_id,
        "voucher_id": voucher.id,
        "status": "held",
        "location": location,
        **command.order.columns(),
        "amount_minor": share_minor if takes_minor is None else min(takes_minor, share_minor),
        "currency": voucher.currency,
        "actor": batch.actor.label,
        "actor_name": batch.actor.name,
        "reserved_at": batch.now,
        "expires_at": until,
    }


def _write(tx: Connection, batch: Batch, command: ReserveVoucher, row: dict[str, Any]) -> Reserved:
    voucher = row.pop("voucher")
    if voucher.reservation_id is not None:
        reservations.lapse(tx, voucher.id)
    tx.execute(reservations_table.insert(), row)
    selling.note_attempt(tx, batch, voucher=voucher, code=None, location=row["location"], outcome="reserved")
    facts = {
        "reservation_id": str(row["id"]),
        "voucher_id": str(voucher.id),
        "last4": voucher.last4,
        "amount_minor": row["amount_minor"],
        "currency": voucher.currency,
        "location": row["location"],
        "expires_at": row["expires_at"].isoformat(),
    }
    batch.note("voucher.reserved", voucher.issuance_id, voucher.case_id, None, facts)
    audit.record_all(tx, batch.events)
    return Reserved(
        id=row["id"],
        voucher_id=voucher.id,
        incentive=voucher.incentive,
        last4=voucher.last4,
        amount=Money(row["amount_minor"], voucher.currency),
        location=row["location"],
        order_ref=command.order_ref,
        reserved_at=batch.now,
        expires_at=row["expires_at"],
    )


def _replay(tx: Connection, command: ReserveVoucher, reservation_id: uuid.UUID) -> Reserved:
    """Return the answer that the first request got, whatever became of the hold since."""
    row = reservations.find(tx, reservation_id)
    told = next(event.facts for event in _about(tx, row) if event.action == "voucher.reserved")
    return Reserved(
        id=row.id,
        voucher_id=row.voucher_id,
        incentive=row.incentive,
        last4=row.last4,
        amount=Money(row.amount_minor, row.currency),
        location=row.location,
        order_ref=command.order_ref,
        reserved_at=row.reserved_at,
        expires_at=datetime.fromisoformat(told["expires_at"]),
        replayed=True,
    )


def _about(tx: Connection, row: Any) -> list[Any]:
    """Return what the audit trail says of a hold."""
    events = answers.history(tx, row.issuance_id)
    return [event for event in events if event.facts.get("reservation_id") == str(row.id)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendReservation:
    """Hold it for so many minutes more."""

    reservation_id: uuid.UUID
    minutes: int
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """Until when it is held now."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    expires_at: datetime
    status: str = "held"
    replayed: bool = False


def extend_reservation(*, core: Core, actor: Actor, command: ExtendReservation) -> Extended:
    """Hold a voucher longer: at most 24 hours in all, and never longer than it is good.

    Raises ``ReservationNotFound``, ``NotYourReservation``, ``ReservationLapsed``, ``ReservationEnded``,
    ``VoucherFrozen``, ``InputInvalid``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight`` and ``NotPermitted``.
    """
    permit(actor, "redemptions:create")
    now = core.clock.now()
    _check_minutes("minutes", command.minutes)
    event_id = core.ids.new(now)
    with core.database.write() as tx:
        before = _extended_before(tx, core, actor, command, event_id, now)
        if before is not None:
            return _extended(tx, command.reservation_id, before)
        row, voucher = _locked(tx, command.reservation_id)
        if row.actor != actor.label:
            raise NotYourReservation
        reservations.check_stands(row, voucher, now)
        if lifecycle.is_frozen(voucher, now):
            raise selling.frozen(voucher)
        until = row.expires_at + timedelta(minutes=command.minutes)
        if until > row.reserved_at + HOLD_MOST:
            message = f"A hold lasts {_MINUTES_MOST} minutes at most, in all."
            raise InputInvalid(errors=[{"field": "minutes", "message": message}])
        until = min(until, voucher.expires_at)
        if not reservations.keep_longer(tx, row.voucher_id, row.id, until, now):
            raise ReservationLapsed(expires_at=row.expires_at.isoformat())
        facts = {"expires_at": until.isoformat()}
        _note(tx, core, actor, now, "reservation.extended", row, None, facts, event_id)
    return Extended(id=row.id, voucher_id=row.voucher_id, expires_at=until)


def _extended_before(
    tx: Connection, core: Core, actor: Actor, command: ExtendReservation, event_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    """Claim the key: a till that heard nothing and asks again does not hold it twice as long."""
    request = {"reservation_id": command.reservation_id, "minutes": command.minutes}
    key = command.idempotency_key
    return casework.claimed_before(tx, core, actor, "reservation-extensions", key, request, event_id, now)


def _extended(tx: Connection, reservation_id: uuid.UUID, event_id: uuid.UUID) -> Extended:
    """Return the answer that the first request got: its event says until when it was held then.

    Keys that were claimed before they named the event name the hold: of that is told until when it is held now.
    """
    row = reservations.find(tx, reservation_id)
    told = [datetime.fromisoformat(each.facts["expires_at"]) for each in _about(tx, row) if each.id == event_id]
    until = told[0] if told else row.expires_at
    return Extended(id=row.id, voucher_id=row.voucher_id, expires_at=until, replayed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReservation:
    """Let a voucher go. Whoever releases the hold of another till says why."""

    reservation_id: uuid.UUID
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The hold is over."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    ended_at: datetime
    status: str = "released"


def release_reservation(*, core: Core, actor: Actor, command: ReleaseReservation) -> Released:
    """End a hold: its holder may, and with a reason whoever may release those of others.

    Raises ``ReservationNotFound``, ``NotYourReservation``, ``OtherLocation``, ``ReservationLapsed``,
    ``ReservationEnded``, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, "redemptions:create")
    now = core.clock.now()
    reason = reasons.comment(command.reason, "reason", longest=reasons.REASON_LONGEST)
    with core.database.write() as tx:
        row, voucher = _locked(tx, command.reservation_id)
        _check_may_release(actor, row, reason)
        reservations.check_stands(row, voucher, now)
        if not reservations.let_go(tx, row.voucher_id, row.id, now):
            raise ReservationLapsed(expires_at=row.expires_at.isoformat())
        ended = {"ended_at": now, "ended_by": actor.label, "end_reason": reason}
        reservations.end(tx, row.id, "released", ended)
        _note(tx, core, actor, now, "reservation.released", row, reason, {"forced": row.actor != actor.label})
    return Released(id=row.id, voucher_id=row.voucher_id, ended_at=now)


def _check_may_release(actor: Actor, row: Any, reason: str | None) -> None:
    if row.actor == actor.label:
        return
    if not may(actor, "reservations:release"):
        raise NotYourReservation
    assessment.at_home(actor, row.location)
    if reason is None:
        raise InputInvalid(errors=[{"field": "reason", "message": "Say why the hold of another till is released."}])


def _locked(tx: Connection, reservation_id: uuid.UUID) -> tuple[Any, Any]:
    """Return a reservation and its voucher as they are while the voucher's row is locked."""
    row = reservations.find(tx, reservation_id)
    if row is None:
        raise ReservationNotFound
    voucher = lifecycle.lock(tx, row.voucher_id)
    return reservations.find(tx, reservation_id), voucher


def _note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    row: Any,
    reason: str | None,
    facts: dict[str, Any],
    event_id: uuid.UUID | None = None,
) -> None:
    event = audit.event(
        core=core,
        actor=actor,
        now=now,
        action=action,
        subject_kind="issuance",
        subject_id=row.issuance_id,
        case_id=row.case_id,
        reason=reason,
        facts={"reservation_id": str(row.id), "voucher_id": str(row.voucher_id), "last4": row.last4, **facts},
    )
    audit.record_all(tx, [{**event, "id": event_id or event["id"]}])


def lapse_due(*, core: Core) -> int:
    """Tidy up holds that are over, at most ``MOST_AT_ONCE``, and return how many; nothing depends on it."""
    now = core.clock.now()
    with core.database.write() as tx:
        rows = reservations.lapse_due(tx, now, MOST_AT_ONCE)
        events = [
            audit.event(
                core=core,
                actor=SYSTEM,
                now=now,
                action="reservation.lapsed",
                subject_kind="voucher",
                subject_id=row.voucher_id,
                reason="Its time is over.",
                facts={"reservation_id": str(row.id), "voucher_id": str(row.voucher_id)},
            )
            for row in rows
        ]
        audit.record_all(tx, events)
    return len(rows)
