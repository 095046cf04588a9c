"""A voucher's rows: made, found, and moved from state to state by conditional updates."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.errors import CodeMalformed, KeyRetired, VoucherNotFound
from incentives.kernel.money import Money
from incentives.vouchers import codes
from incentives.vouchers.tables import issuances, redemptions, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A fresh voucher: its row, and the secrets that the row does not hold."""

    row: Mapping[str, Any]
    code: str
    token: str


def make(
    *,
    core: Core,
    now: datetime,
    issuance_id: uuid.UUID,
    number: int,
    incentive_item_id: uuid.UUID,
    amount: Money,
    expires_at: datetime,
    time_zone: str,
) -> Made:
    """Return a new voucher with its derived code."""
    voucher_id = core.ids.new(now)
    key_id = core.keys.codes.newest_id
    code = codes.code_of(core.keys.codes, key_id, voucher_id)
    row = {
        "id": voucher_id,
        "issuance_id": issuance_id,
        "number": number,
        "incentive_item_id": incentive_item_id,
        "status": "issued",
        "amount_minor": amount.amount_minor,
        "currency": amount.currency,
        "code_key_id": key_id,
        "code_digest": codes.digest(core.keys.codes, key_id, code),
        "last4": codes.last4(code),
        "issued_at": now,
        "expires_at": expires_at,
        "time_zone": time_zone,
    }
    return Made(row=row, code=codes.printed(code), token=codes.token_of(core.keys.links, voucher_id))


def secrets_of(core: Core, voucher_id: uuid.UUID, code_key_id: str) -> tuple[str, str]:
    """Return a voucher's printed code and its token, derived again. Raises ``KeyRetired``."""
    if code_key_id not in core.keys.codes.ids:
        raise KeyRetired
    code = codes.code_of(core.keys.codes, code_key_id, voucher_id)
    return codes.printed(code), codes.token_of(core.keys.links, voucher_id)


_WANTED = (
    vouchers,
    issuances.c.incentive,
    issuances.c.location.label("issued_location"),
    issuances.c.case_id,
    issuances.c.customer_id,
    issuances.c.protocol_item_id,
    issuances.c.channels,
    issuances.c.contact,
    issuances.c.locale,
    issuances.c.issue_tag,
)


def find(tx: Connection, core: Core, *, code: str | None, token: str | None) -> Any:
    """Return a voucher's row (with what its issuance says) by code or token, as typed or scanned.

    A code field may hold the whole link, since scanners type what the QR says.
    Raises ``CodeMalformed`` and ``VoucherNotFound``.
    """
    if token is None and code is not None and "/v/" in code:
        code, token = None, code
    if token is not None:
        voucher_id = codes.voucher_of_token(core.keys.links, codes.token_in(token))
        condition = vouchers.c.id == voucher_id
        found = voucher_id is not None
    else:
        condition = vouchers.c.code_digest.in_(codes.digests(core.keys.codes, codes.normalized(code or "")))
        found = True
    query = sa.select(*_WANTED).join(issuances, issuances.c.id == vouchers.c.issuance_id).where(condition)
    row = tx.execute(query).one_or_none() if found else None
    if row is None:
        raise VoucherNotFound
    return row


def last4_of(code: str | None) -> str | None:
    """Return the last four symbols of what somebody typed, if it could be a code."""
    try:
        return codes.last4(codes.normalized(code)) if code else None
    except CodeMalformed:
        return None


def free(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a voucher is neither spent nor ended nor held: a hold that is over holds nothing."""
    lapsed = (vouchers.c.status == "reserved") & (vouchers.c.reserved_until_at < now)
    return (vouchers.c.status == "issued") | lapsed


def frozen(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a voucher is frozen."""
    until = vouchers.c.frozen_until_at
    return vouchers.c.frozen_at.is_not(None) & (until.is_(None) | (until > now))


def good(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a voucher can be spent: free, not frozen, and its time is not over."""
    return free(now) & ~frozen(now) & (vouchers.c.expires_at >= now)


def is_frozen(row: Any, now: datetime) -> bool:
    """Return whether a voucher's row is frozen as of an instant."""
    return row.frozen_at is not None and (row.frozen_until_at is None or row.frozen_until_at > now)


def redeem(tx: Connection, voucher_id: uuid.UUID, now: datetime) -> bool:
    """Spend a voucher: one conditional update, whose row count is the answer."""
    condition = (vouchers.c.id == voucher_id, vouchers.c.status == "issued", vouchers.c.expires_at >= now)
    return tx.execute(vouchers.update().where(*condition).values(status="redeemed")).rowcount == 1


def standing_redemption(tx: Connection, voucher_id: uuid.UUID) -> Any:
    """Return when, where and by whom a voucher was redeemed, or None."""
    return tx.execute(
        sa.select(redemptions).where(redemptions.c.voucher_id == voucher_id, redemptions.c.reversed_at.is_(None)),
    ).one_or_none()


def status_now(row: Any, now: datetime) -> str:
    """Return a voucher's status as of an instant: past the last at which it is good it is expired, swept or not."""
    if row.status in ("issued", "reserved") and row.expires_at < now:
        return "expired"
    if row.status == "reserved" and row.reserved_until_at < now:
        return "issued"
    return str(row.status)


def state(tx: Connection, voucher_id: uuid.UUID) -> Any:
    """Return a voucher's row by its id."""
    return tx.execute(sa.select(vouchers).where(vouchers.c.id == voucher_id)).one()


def redemption_with_voucher(tx: Connection, redemption_id: uuid.UUID) -> Any:
    """Return a redemption with its voucher's last four, issuance and number, and the incentive's key."""
    return tx.execute(
        sa.select(redemptions, vouchers.c.last4, vouchers.c.issuance_id, vouchers.c.number, issuances.c.incentive)
        .join(vouchers, vouchers.c.id == redemptions.c.voucher_id)
        .join(issuances, issuances.c.id == vouchers.c.issuance_id)
        .where(redemptions.c.id == redemption_id),
    ).one()


def following(tx: Connection, issuance_id: uuid.UUID, number: int) -> dict[str, Any] | None:
    """Return the voucher that was made over what a voucher left, or None."""
    return numbered(tx, issuance_id, number + 1)


def numbered(tx: Connection, issuance_id: uuid.UUID, number: int) -> dict[str, Any] | None:
    """Return one voucher of an issuance by its number, or None."""
    query = sa.select(vouchers).where(vouchers.c.issuance_id == issuance_id, vouchers.c.number == number)
    row = tx.execute(query).mappings().one_or_none()
    return {str(name): value for name, value in row.items()} if row else None


def expire_due(tx: Connection, now: datetime, most: int) -> list[Any]:
    """Move vouchers whose time is over to expired, at most so many, and return their rows.

    What is due is a common table expression, for PostgreSQL may run a subquery again for each row, past its limit.
    """
    due = (
        sa.select(vouchers.c.id)
        .where(vouchers.c.status == "issued", vouchers.c.expires_at < now)
        .order_by(vouchers.c.expires_at)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    statement = (
        vouchers.update()
        .where(vouchers.c.id.in_(sa.select(due.c.id)), vouchers.c.status == "issued")
        .values(status="expired")
        .returning(
            vouchers.c.id, vouchers.c.issuance_id, vouchers.c.amount_minor, vouchers.c.currency, vouchers.c.last4
        )
    )
    return list(tx.execute(statement).all())
