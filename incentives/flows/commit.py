"""Commit: a hold becomes the redemption that it was made for, once, and only while it holds."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import reviewing, selling, suspecting_tills, valuing
from incentives.deeds.batch import Batch
from incentives.deeds.selling import Redeemed, Spent
from incentives.deeds.valuing import Sale
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    NotYourReservation,
    Refusal,
    ReservationLapsed,
    ReservationNotFound,
)
from incentives.kernel.idempotency import Claim
from incentives.vouchers import finding, lifecycle, orders, reservations
from incentives.vouchers.orders import OrderTold


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitReservation(OrderTold):
    """Spend what is held. What is said of the order here takes the place of what was said when it was held."""

    reservation_id: uuid.UUID
    idempotency_key: str | None = None


def commit_reservation(*, core: Core, actor: Actor, command: CommitReservation) -> Redeemed:
    """Redeem a voucher that the same till holds, where it was held.

    A refused try is recorded, so the refusal is raised after the transaction. Raises ``ReservationNotFound``,
    ``NotYourReservation``, ``ReservationLapsed``, ``ReservationEnded``, and what ``redeem_voucher`` does.
    """
    permit(actor, "redemptions:create")
    now = core.clock.now()
    with core.database.write() as tx:
        result = _commit(tx, Batch(core=core, actor=actor, now=now), command)
    if isinstance(result, Refusal):
        raise result
    return result


def _commit(tx: Connection, batch: Batch, command: CommitReservation) -> Redeemed | Refusal:
    core, now = batch.core, batch.now
    claim = _claim(batch, command)
    before = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key)) if claim else None
    if before is not None:
        return before if isinstance(before, Refusal) else selling.replay(tx, core, before)
    row = _of_this_till(tx, batch.actor, command.reservation_id)
    voucher = finding.found(tx, row.voucher_id)
    try:
        catalog = releases.cached_current(tx, core).catalog
        sale = Sale(
            core=core,
            actor=batch.actor,
            now=now,
            catalog=catalog,
            place=catalog.locations.get(row.location or ""),
            order=orders.of_row(row).over(command.order),
        )
        _check(row, voucher, batch)
        incentive = releases.incentive_of(tx, voucher.incentive_item_id, core.cache)
        takes_minor = valuing.takes_minor(tx, sale, voucher, incentive)
        valuing.check_alone(tx, sale, incentive)
        suspecting_tills.refuse_redeeming(tx, core, batch.actor, voucher, row.location, catalog.abuse, now)
        count = lifecycle.redeem(tx, voucher.id, reservations.commits(row.id, now))
        if count is None:
            # Somebody was faster: what is so now says what they did.
            _check(reservations.find(tx, row.id), finding.found(tx, row.voucher_id), batch)
            raise ReservationLapsed(expires_at=row.expires_at.isoformat())
    except Refusal as refusal:
        idempotency.release(tx, [claim] if claim else [])
        selling.note_attempt(tx, batch, voucher=voucher, code=None, location=row.location, outcome=refusal.slug)
        reviewing.remember(tx, core, batch.actor, [refusal], now)
        return refusal
    valuing.guard(tx, sale, voucher)
    spent = Spent(
        redemption_id=claim.result_id if claim else core.ids.new(now),
        voucher=voucher,
        incentive=incentive,
        location=row.location,
        order=sale.order,
        takes_minor=takes_minor,
        count=count,
        reservation_id=row.id,
    )
    ended = {"ended_at": now, "ended_by": batch.actor.label, "redemption_id": spent.redemption_id}
    reservations.end(tx, row.id, "committed", ended)
    return selling.settle(tx, batch, spent)


def _claim(batch: Batch, command: CommitReservation) -> Claim | None:
    if not command.idempotency_key:
        return None
    scope = f"{batch.actor.label}:commits"
    return Claim(scope, command.idempotency_key, command.request("reservation_id"), batch.core.ids.new(batch.now))


def _of_this_till(tx: Connection, actor: Actor, reservation_id: uuid.UUID) -> Any:
    """Return the reservation, if the actor holds it; of others' nothing is said and nothing recorded."""
    row = reservations.find(tx, reservation_id)
    if row is None:
        raise ReservationNotFound
    if row.actor != actor.label:
        raise NotYourReservation
    return row


def _check(row: Any, voucher: Any, batch: Batch) -> None:
    reservations.check_stands(row, voucher, batch.now)
    if lifecycle.is_frozen(voucher, batch.now):
        raise selling.frozen(voucher)
