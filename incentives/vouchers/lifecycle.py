"""A voucher's rows: made, and moved from state to state by conditional updates."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.database import AmountMinor, UtcDateTime
from incentives.kernel.errors import KeyRetired
from incentives.kernel.money import Money
from incentives.vouchers import codes
from incentives.vouchers.tables import issuances, redemption_reversals, redemptions, vouchers


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
    max_redemptions: int = 1,
    replaces_id: uuid.UUID | None = None,
) -> Made:
    """Return a new voucher with its derived code."""
    voucher_id = core.ids.new(now)
    key_id = core.keys.codes.newest_id
    code = codes.code_of(core.keys.codes, key_id, voucher_id)
    row = {
        "id": voucher_id,
        "issuance_id": issuance_id,
        "number": number,
        "replaces_id": replaces_id,
        "max_redemptions": max_redemptions,
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
        "frozen_at": None,
    }
    return Made(row=row, code=codes.printed(code), token=codes.token_of(core.keys.links, voucher_id))


def secrets_of(core: Core, voucher_id: uuid.UUID, code_key_id: str) -> tuple[str, str]:
    """Return a voucher's printed code and its token, derived again. Raises ``KeyRetired``."""
    if code_key_id not in core.keys.codes.ids:
        raise KeyRetired
    code = codes.code_of(core.keys.codes, code_key_id, voucher_id)
    return codes.printed(code), codes.token_of(core.keys.links, voucher_id)


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


def worth(row: Any) -> sa.ColumnElement[bool]:
    """Return the condition that a voucher is still worth what its row said: what was weighed is what is spent."""
    amount_minor: int = row.amount_minor
    return vouchers.c.amount_minor == amount_minor


def is_frozen(row: Any, now: datetime) -> bool:
    """Return whether a voucher's row is frozen as of an instant."""
    return row.frozen_at is not None and (row.frozen_until_at is None or row.frozen_until_at > now)


_THEN = vouchers.c.redeemed_count + 1
_USED_ONCE: Mapping[str, Any] = {
    "redeemed_count": _THEN,
    "status": sa.case((vouchers.c.max_redemptions <= _THEN, "redeemed"), else_="issued"),
    "reservation_id": None,
    "reserved_until_at": None,
}


def redeem(tx: Connection, voucher_id: uuid.UUID, condition: sa.ColumnElement[bool]) -> int | None:
    """Spend one use of a voucher, if it is so: one conditional update. Return how many are spent now, or None."""
    statement = vouchers.update().where(vouchers.c.id == voucher_id, condition).values(**_USED_ONCE)
    return tx.execute(statement.returning(vouchers.c.redeemed_count)).scalar_one_or_none()


def redeem_all(tx: Connection, weighed: Mapping[uuid.UUID, Any], now: datetime) -> dict[uuid.UUID, int]:
    """Spend one use of each voucher that is good and as its row said; return how many are spent now.

    What was weighed is what is spent: one whose worth changed since its row was read, or that was held since, even if
    that hold is over, is left to be looked at again. Several are locked in the order of their ids first, so that two
    tills' sequences cannot wait for each other.
    """
    rows = list(weighed.values())
    if len(rows) > 1 and tx.dialect.name == "postgresql":
        told = {name: [getattr(row, column) for row in rows] for name, column in _TOLD.items()}
        return {row.id: row.redeemed_count for row in tx.execute(_REDEEM_ALL, {**told, "at": now})}
    done = [
        tx.execute(_REDEEM, {"this_id": row.id, "worth": row.amount_minor, "held_by": row.reservation_id, "at": now})
        for row in rows
    ]
    return {row.id: row.redeemed_count for found in done for row in found}


_NOW: Any = sa.bindparam("at", type_=UtcDateTime())
_REDEEM = (
    vouchers.update()
    .where(
        vouchers.c.id == sa.bindparam("this_id"),
        good(_NOW),
        vouchers.c.amount_minor == sa.bindparam("worth", type_=AmountMinor()),
        vouchers.c.reservation_id.is_not_distinct_from(sa.bindparam("held_by", type_=sa.Uuid())),
    )
    .values(**_USED_ONCE)
    .returning(vouchers.c.id, vouchers.c.redeemed_count)
)
_TOLD = {"ids": "id", "worth": "amount_minor", "held_by": "reservation_id"}
_IDS, _WORTH, _HELD_BY = (
    sa.bindparam(name, type_=postgresql.ARRAY(kind))
    for name, kind in (("ids", sa.Uuid()), ("worth", sa.BigInteger()), ("held_by", sa.Uuid()))
)
_WEIGHED = sa.select(
    sa.func.unnest(_IDS).label("id"),
    sa.func.unnest(_WORTH).label("minor"),
    sa.func.unnest(_HELD_BY, type_=sa.Uuid()).label("held_by"),
).subquery("weighed")
_LOCKED = (
    sa.select(vouchers.c.id)
    .where(vouchers.c.id == sa.any_(_IDS))
    .order_by(vouchers.c.id)
    .with_for_update(key_share=True)
    .cte("locked")
)
# A CASE is the same condition to look a row over by, and none to find rows by: of a table that was not analyzed yet
# PostgreSQL thinks that hardly a voucher is good, and reads all that are.
_STILL_GOOD = sa.case(
    (good(_NOW) & vouchers.c.reservation_id.is_not_distinct_from(_WEIGHED.c.held_by), sa.true()), else_=sa.false()
)
_REDEEM_ALL = (
    vouchers.update()
    .where(
        vouchers.c.id == _LOCKED.c.id,
        vouchers.c.id == _WEIGHED.c.id,
        vouchers.c.amount_minor == _WEIGHED.c.minor,
        _STILL_GOOD,
    )
    .values(**_USED_ONCE)
    .returning(vouchers.c.id, vouchers.c.redeemed_count)
)


def free_use(tx: Connection, voucher_id: uuid.UUID) -> int:
    """Return the lowest number that no use of a voucher has; its row is locked by whoever asks.

    A use that was reversed is to be had again, unless its worth went on to another voucher or was taken back.
    """
    undone, done = redemption_reversals.c, redemptions.c
    query = (
        sa.select(done.use_number)
        .outerjoin(redemption_reversals, undone.redemption_id == done.id)
        .where(done.voucher_id == voucher_id, sa.or_(done.reversed_at.is_(None), undone.restore != "same_code"))
    )
    taken = set(tx.execute(query).scalars())
    return next(number for number in count(1) if number not in taken)


def lock(tx: Connection, voucher_id: uuid.UUID) -> Any:
    """Return a voucher's row, locked until the transaction ends; rows that refer to it can be written meanwhile."""
    return tx.execute(sa.select(vouchers).where(vouchers.c.id == voucher_id).with_for_update(key_share=True)).one()


def lock_issuance(tx: Connection, *issuance_ids: uuid.UUID) -> None:
    """Lock issuances' rows until the transaction ends: after their vouchers', before the budgets'.

    Whoever ends one of several vouchers of an issuance locks it, so that each sees what became of the others.
    """
    these = sa.select(issuances.c.id).where(issuances.c.id.in_(set(issuance_ids))).order_by(issuances.c.id)
    tx.execute(these.with_for_update(key_share=True))


def has_siblings(row: Any) -> bool:
    """Return whether an open voucher may have others beside it, that are good too."""
    return bool(row.number > 1 or row.max_redemptions > 1)


def next_number(tx: Connection, issuance_id: uuid.UUID) -> int:
    """Return the number of an issuance's next voucher; its row is locked, so that no two are given the same."""
    lock_issuance(tx, issuance_id)
    return (
        int(
            tx.execute(
                sa.select(sa.func.max(vouchers.c.number)).where(vouchers.c.issuance_id == issuance_id)
            ).scalar_one()
        )
        + 1
    )


def standing_redemption(tx: Connection, voucher_id: uuid.UUID) -> Any:
    """Return when, where and by whom a voucher was redeemed at last, or None."""
    standing = (redemptions.c.voucher_id == voucher_id, redemptions.c.reversed_at.is_(None))
    return tx.execute(
        sa.select(redemptions).where(*standing).order_by(redemptions.c.redeemed_at.desc(), redemptions.c.id.desc())
    ).first()


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
    """Return a redemption with what its voucher and its issuance say, or None."""
    of_voucher = (
        vouchers.c[name] for name in ("last4", "issuance_id", "incentive_item_id", "time_zone", "max_redemptions")
    )
    of_issuance = (
        issuances.c.incentive, issuances.c.case_id, issuances.c.channels, issuances.c.location.label("issued_location"),
        issuances.c.undo_until_at, issuances.c.deliver_after_at,
    )  # fmt: skip
    return tx.execute(
        sa.select(redemptions, *of_voucher, *of_issuance)
        .join(vouchers, vouchers.c.id == redemptions.c.voucher_id)
        .join(issuances, issuances.c.id == vouchers.c.issuance_id)
        .where(redemptions.c.id == redemption_id),
    ).one_or_none()


def numbered(tx: Connection, issuance_id: uuid.UUID, number: int) -> dict[str, Any] | None:
    """Return one voucher of an issuance by its number, or None."""
    return _one(tx, vouchers.c.issuance_id == issuance_id, vouchers.c.number == number)


def by_id(tx: Connection, voucher_id: uuid.UUID) -> dict[str, Any] | None:
    """Return a voucher, or None."""
    return _one(tx, vouchers.c.id == voucher_id)


def _one(tx: Connection, *condition: sa.ColumnElement[bool]) -> dict[str, Any] | None:
    row = tx.execute(sa.select(vouchers).where(*condition)).mappings().one_or_none()
    return {str(name): value for name, value in row.items()} if row else None


_OF_EXPIRED = (
    "id", "issuance_id", "number", "amount_minor", "max_redemptions", "redeemed_count", "currency", "last4",
    "expires_at", "reservation_id",
)  # fmt: skip


def expire_due(tx: Connection, now: datetime, most: int) -> list[Any]:
    """Move vouchers whose time is over to expired, at most so many, and return their rows.

    What is due is a common table expression, for PostgreSQL may run a subquery again for each row, past its limit.
    """
    open_now = vouchers.c.status.in_(("issued", "reserved"))
    due = (
        sa.select(vouchers.c.id)
        .where(open_now, vouchers.c.expires_at < now)
        .order_by(vouchers.c.expires_at)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    statement = (
        vouchers.update()
        .where(vouchers.c.id.in_(sa.select(due.c.id)), open_now)
        .values(status="expired")
        .returning(*(vouchers.c[name] for name in _OF_EXPIRED))
    )
    return list(tx.execute(statement).all())
