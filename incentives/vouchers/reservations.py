"""Holds: a till keeps a voucher from all others while a sale is paid. One that is over holds nothing, swept or not.

Every change locks the voucher's row first, by the conditional update that decides or by ``lifecycle.lock``.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.errors import ReservationEnded, ReservationLapsed
from incentives.vouchers.lifecycle import frozen, good
from incentives.vouchers.tables import issuances, reservations, vouchers

HOLD_MINUTES = 15
HOLD_MOST = timedelta(hours=24)


def hold(tx: Connection, voucher: Any, reservation_id: uuid.UUID, until: datetime, now: datetime) -> bool:
    """Keep a voucher for a reservation: one conditional update, whose row count is the answer.

    One that was held since its row was read is not taken, even if that hold is over: nobody would write that down.
    """
    values = {"status": "reserved", "reservation_id": reservation_id, "reserved_until_at": until}
    as_read = vouchers.c.reservation_id.is_not_distinct_from(voucher.reservation_id)
    this = vouchers.update().where(vouchers.c.id == voucher.id, good(now), as_read)
    return tx.execute(this.values(**values)).rowcount == 1


def held_by(reservation_id: uuid.UUID, now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a reservation holds its voucher: at its last instant it still does."""
    table = vouchers.c
    return (table.status == "reserved") & (table.reservation_id == reservation_id) & (table.reserved_until_at >= now)


def commits(reservation_id: uuid.UUID, now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a reservation can be committed."""
    return held_by(reservation_id, now) & ~frozen(now)


def keep_longer(
    tx: Connection, voucher_id: uuid.UUID, reservation_id: uuid.UUID, until: datetime, now: datetime
) -> bool:
    """Let a hold that stands last until an instant; False when it does not stand any more."""
    condition = (vouchers.c.id == voucher_id, commits(reservation_id, now))
    if tx.execute(vouchers.update().where(*condition).values(reserved_until_at=until)).rowcount != 1:
        return False
    tx.execute(reservations.update().where(reservations.c.id == reservation_id).values(expires_at=until))
    return True


def let_go(tx: Connection, voucher_id: uuid.UUID, reservation_id: uuid.UUID, now: datetime) -> bool:
    """Let a voucher go that a reservation holds; False when it does not hold it any more."""
    values = {"status": "issued", "reservation_id": None, "reserved_until_at": None}
    condition = (vouchers.c.id == voucher_id, held_by(reservation_id, now))
    return tx.execute(vouchers.update().where(*condition).values(**values)).rowcount == 1


def lapse(tx: Connection, voucher_id: uuid.UUID) -> None:
    """Write down that what held a voucher has lapsed; the voucher's row is locked by whoever took it since."""
    before = (reservations.c.voucher_id == voucher_id, reservations.c.status == "held")
    tx.execute(reservations.update().where(*before).values(status="lapsed", ended_at=reservations.c.expires_at))


def end(tx: Connection, reservation_id: uuid.UUID, status: str, values: Mapping[str, Any]) -> None:
    """End a reservation whose voucher's row is locked."""
    this = (reservations.c.id == reservation_id, reservations.c.status == "held")
    tx.execute(reservations.update().where(*this).values(status=status, **values))


def find(tx: Connection, reservation_id: uuid.UUID) -> Any:
    """Return a reservation's row with its voucher's last four and the incentive's key, or None."""
    return tx.execute(selected().where(reservations.c.id == reservation_id)).one_or_none()


def selected() -> Any:
    """Return the query for reservations with their voucher's last four, issuance and incentive."""
    return (
        sa.select(reservations, vouchers.c.last4, vouchers.c.issuance_id, issuances.c.incentive, issuances.c.case_id)
        .join(vouchers, vouchers.c.id == reservations.c.voucher_id)
        .join(issuances, issuances.c.id == vouchers.c.issuance_id)
    )


def status_now(row: Any, now: datetime) -> str:
    """Return a reservation's status as of an instant."""
    return "lapsed" if row.status == "held" and row.expires_at < now else str(row.status)


def lapse_due(tx: Connection, now: datetime, most: int) -> list[Any]:
    """Tidy holds up that are over, at most so many, and return their rows. Nothing depends on it.

    The voucher's row is locked before the reservation's, as everywhere; who is at one just now is passed over.
    """
    due = (
        sa.select(vouchers.c.id)
        .where(vouchers.c.status == "reserved", vouchers.c.reserved_until_at < now)
        .order_by(vouchers.c.reserved_until_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    ids = list(tx.execute(due).scalars())
    if not ids:
        return []
    free = {"status": "issued", "reservation_id": None, "reserved_until_at": None}
    tx.execute(vouchers.update().where(vouchers.c.id.in_(ids)).values(**free))
    table = reservations.c
    ended = (table.voucher_id.in_(ids), table.status == "held", table.expires_at < now)
    statement = reservations.update().where(*ended).values(status="lapsed", ended_at=table.expires_at)
    return list(tx.execute(statement.returning(table.id, table.voucher_id, table.expires_at)).all())


def check_stands(row: Any, voucher: Any, now: datetime) -> None:
    """Refuse a reservation that does not hold its voucher. Raises ``ReservationEnded`` and ``ReservationLapsed``."""
    if row.status in ("committed", "released"):
        raise ReservationEnded(ended_as=row.status, ended_at=row.ended_at.isoformat())
    if status_now(row, now) == "lapsed" or voucher.reservation_id != row.id:
        raise ReservationLapsed(expires_at=row.expires_at.isoformat())
