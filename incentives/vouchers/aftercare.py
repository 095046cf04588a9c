"""What becomes of a voucher after it was given: found, locked, and changed by conditional updates."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.vouchers.lifecycle import free, frozen, good
from incentives.vouchers.shares import left_minor
from incentives.vouchers.tables import issuances, reservations, vouchers

OPEN = ("issued", "reserved")
_LET_GO = {"reservation_id": None, "reserved_until_at": None}


def selected() -> sa.Select[Any]:
    """Return the query for vouchers with what their issuances say."""
    given = issuances.c
    return sa.select(
        vouchers,
        given.case_id,
        given.customer_id,
        given.issue_tag,
        given.incentive,
        given.protocol_item_id,
        given.location,
        given.team,
        given.actor.label("issued_by"),
        given.channels,
        given.contact,
        given.locale,
        given.undo_until_at,
        given.deliver_after_at,
        given.source,
    ).join(issuances, given.id == vouchers.c.issuance_id)


def siblings(tx: Connection, issuance_id: uuid.UUID) -> Sequence[Any]:
    """Return id, status and uses of all vouchers of an issuance."""
    return families(tx, [issuance_id])


def families(tx: Connection, issuance_ids: Collection[uuid.UUID]) -> Sequence[Any]:
    """Return id, issuance, status and uses of all vouchers of some issuances."""
    table = vouchers.c
    names = (table.id, table.issuance_id, table.status, table.redeemed_count)
    if not issuance_ids:
        return []
    return tx.execute(sa.select(*names).where(table.issuance_id.in_(issuance_ids)).order_by(table.number)).all()


def open_beside(tx: Connection, issuance_id: uuid.UUID, voucher_id: uuid.UUID) -> list[int]:
    """Return what the vouchers of an issuance that have not ended are still worth, each; one of them left out."""
    made = vouchers.c
    this = (made.issuance_id == issuance_id, made.id != voucher_id, made.status.in_(OPEN))
    rows = tx.execute(sa.select(made.amount_minor, made.max_redemptions, made.redeemed_count).where(*this))
    return [left_minor(*row) for row in rows]


def not_over(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a voucher has neither ended nor been spent: held or not, frozen or not."""
    return vouchers.c.status.in_(OPEN) & (vouchers.c.expires_at >= now)


def void(tx: Connection, voucher_id: uuid.UUID, now: datetime) -> bool:
    """Take a voucher back that nobody holds; one that is frozen too."""
    condition = (free(now), vouchers.c.expires_at >= now)
    return _change(tx, voucher_id, *condition, status="voided", **_LET_GO)


def replace(tx: Connection, voucher_id: uuid.UUID, now: datetime) -> bool:
    """End a voucher in whose place another one comes."""
    return _change(tx, voucher_id, good(now), status="replaced", **_LET_GO)


def extend(tx: Connection, row: Any, days: int, expires_at: datetime, now: datetime) -> bool:
    """Let a voucher last longer, if nobody else has extended it since its row was read."""
    unchanged = (vouchers.c.extended_days == row.extended_days, vouchers.c.expires_at == row.expires_at)
    values = {"expires_at": expires_at, "extended_days": row.extended_days + days}
    return _change(tx, row.id, not_over(now), *unchanged, **values)


def adjust(tx: Connection, row: Any, amount_minor: int, now: datetime) -> bool:
    """Change what an unused voucher is worth, if nobody else has since its row was read."""
    unchanged = (vouchers.c.redeemed_count == 0, vouchers.c.amount_minor == row.amount_minor)
    values = {"status": "issued", "amount_minor": amount_minor, **_LET_GO}
    if not _change(tx, row.id, good(now), *unchanged, **values):
        return False
    given = issuances.c
    changed = {"amount_minor": given.amount_minor + amount_minor - row.amount_minor}
    tx.execute(issuances.update().where(given.id == row.issuance_id).values(**changed))
    return True


def freeze(tx: Connection, voucher_id: uuid.UUID, until_at: datetime | None, now: datetime) -> bool:
    """Freeze a voucher that is not frozen; one that a till holds too, which then cannot be committed."""
    values = {"frozen_at": now, "frozen_until_at": until_at}
    return _change(tx, voucher_id, not_over(now), ~frozen(now), **values)


def unfreeze(tx: Connection, voucher_id: uuid.UUID, now: datetime) -> bool:
    """Let a frozen voucher be used again."""
    return _change(tx, voucher_id, not_over(now), frozen(now), frozen_at=None, frozen_until_at=None)


def lapse_holds(tx: Connection, voucher_ids: Sequence[uuid.UUID]) -> None:
    """Write down that what held some vouchers has lapsed; their rows are locked by whoever ends or changes them."""
    table = reservations.c
    held = (table.voucher_id.in_(voucher_ids), table.status == "held")
    tx.execute(reservations.update().where(*held).values(status="lapsed", ended_at=table.expires_at))


def _change(tx: Connection, voucher_id: uuid.UUID, *condition: sa.ColumnElement[bool], **values: Any) -> bool:
    return tx.execute(vouchers.update().where(vouchers.c.id == voucher_id, *condition).values(**values)).rowcount == 1
