"""What tills hold: by whom, where, since when and until when."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ReservationNotFound
from incentives.kernel.money import Money
from incentives.queries.paging import Page, page
from incentives.vouchers import reservations
from incentives.vouchers.tables import reservations as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A hold as it stands; ``own`` where it is the asker's. One that is over reads ``lapsed``, swept or not."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    incentive: str
    last4: str
    status: str
    amount: Money
    location: str | None
    order_ref: str | None
    held_by: str
    own: bool
    reserved_at: datetime
    expires_at: datetime
    held_seconds: int
    ended_at: datetime | None
    end_reason: str | None
    redemption_id: uuid.UUID | None


def one_reservation(*, core: Core, actor: Actor, reservation_id: uuid.UUID) -> Reservation:
    """Return a reservation, or raise ``ReservationNotFound``. Whoever belongs to a place sees those of that place."""
    permit(actor, "vouchers:lookup")
    with core.database.read() as tx:
        row = reservations.find(tx, reservation_id)
    if row is None or (actor.location is not None and row.location != actor.location and row.actor != actor.label):
        raise ReservationNotFound
    return _reservation(row, actor, core.clock.now())


def list_held(
    *, core: Core, actor: Actor, location: str | None = None, limit: int = 50, after: str | None = None
) -> Page[Reservation]:
    """Return what is held now, the newest first; whoever belongs to a place sees what is held there."""
    permit(actor, "vouchers:lookup")
    now = core.clock.now()
    wanted = actor.location or location
    query = reservations.selected().where(table.c.status == "held", table.c.expires_at >= now)
    if wanted is not None:
        query = query.where(table.c.location == wanted)
    with core.database.read() as tx:
        return page(tx, query, table.c.id, lambda row: _reservation(row, actor, now), limit=limit, after=after)


def _reservation(row: Any, actor: Actor, now: datetime) -> Reservation:
    status = reservations.status_now(row, now)
    ended_at = row.expires_at if status == "lapsed" else row.ended_at
    return Reservation(
        id=row.id,
        voucher_id=row.voucher_id,
        incentive=row.incentive,
        last4=row.last4,
        status=status,
        amount=Money(row.amount_minor, row.currency),
        location=row.location,
        order_ref=row.order_ref,
        held_by=row.actor_name,
        own=row.actor == actor.label,
        reserved_at=row.reserved_at,
        expires_at=row.expires_at,
        held_seconds=int(((ended_at or now) - row.reserved_at).total_seconds()),
        ended_at=ended_at,
        end_reason=row.end_reason,
        redemption_id=row.redemption_id,
    )
