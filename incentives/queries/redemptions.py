"""Redemptions as they stand today: one, and the last of a till."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import RedemptionNotFound
from incentives.kernel.money import Money
from incentives.queries.scope import seen_by
from incentives.vouchers.tables import issuances, redemption_reversals, redemptions, vouchers

LAST_MOST = 10
_LAST_WITHIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """What undid a redemption; ``voucher_id`` is what the customer has again, None where that is nothing."""

    id: uuid.UUID
    kind: str
    restore: str
    amount: Money
    reason: str
    reversed_by: str
    at: datetime
    voucher_id: uuid.UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """One redemption of a voucher: when, where, by whom, on what, and how much."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    incentive: str
    last4: str
    amount: Money
    location: str | None
    order_ref: str | None
    order_total: Money | None
    order_initial_total: Money | None
    items: tuple[Mapping[str, Any], ...]
    use_number: int
    max_redemptions: int
    reservation_id: uuid.UUID | None
    redeemed_at: datetime
    redeemed_by: str
    reversed_at: datetime | None
    reversal: Reversal | None


def one_redemption(*, core: Core, actor: Actor, redemption_id: uuid.UUID) -> Redemption:
    """Return a redemption, or raise ``RedemptionNotFound``.

    Who belongs to a place sees what was redeemed there, and what was given there.
    """
    permit(actor, "vouchers:lookup")
    seen = sa.or_(seen_by(actor, redemptions.c.location), seen_by(actor, issuances.c.location))
    with core.database.read() as tx:
        row = tx.execute(_SELECTED.where(redemptions.c.id == redemption_id, seen)).one_or_none()
    if row is None:
        raise RedemptionNotFound
    return _redemption(row)


def last_redemptions(*, core: Core, actor: Actor) -> list[Redemption]:
    """Return what an actor has redeemed within a day, the newest first, at most ten."""
    permit(actor, "redemptions:create")
    done = redemptions.c
    mine = (done.actor == actor.label, done.redeemed_at > core.clock.now() - _LAST_WITHIN)
    query = _SELECTED.where(*mine).order_by(done.redeemed_at.desc(), done.id.desc()).limit(LAST_MOST)
    with core.database.read() as tx:
        return [_redemption(row) for row in tx.execute(query)]


_UNDOING = ("id", "kind", "restore", "amount_minor", "reason", "actor_name", "at", "voucher_id")
_SELECTED = (
    sa.select(
        redemptions,
        vouchers.c.last4,
        vouchers.c.max_redemptions,
        issuances.c.incentive,
        *(redemption_reversals.c[name].label(f"undone_{name}") for name in _UNDOING),
    )
    .join(vouchers, vouchers.c.id == redemptions.c.voucher_id)
    .join(issuances, issuances.c.id == vouchers.c.issuance_id)
    .outerjoin(redemption_reversals, redemption_reversals.c.redemption_id == redemptions.c.id)
)


def _redemption(row: Any) -> Redemption:
    return Redemption(
        id=row.id,
        voucher_id=row.voucher_id,
        incentive=row.incentive,
        last4=row.last4,
        amount=Money(row.amount_minor, row.currency),
        location=row.location,
        order_ref=row.order_ref,
        order_total=_money(row.order_total_minor, row.currency),
        order_initial_total=_money(row.order_initial_minor, row.currency),
        items=tuple(row.order_items or ()),
        use_number=row.use_number,
        max_redemptions=row.max_redemptions,
        reservation_id=row.reservation_id,
        redeemed_at=row.redeemed_at,
        redeemed_by=row.actor_name,
        reversed_at=row.reversed_at,
        reversal=_reversal(row) if row.undone_id else None,
    )


def _reversal(row: Any) -> Reversal:
    return Reversal(
        id=row.undone_id,
        kind=row.undone_kind,
        restore=row.undone_restore,
        amount=Money(row.undone_amount_minor, row.currency),
        reason=row.undone_reason,
        reversed_by=row.undone_actor_name,
        at=row.undone_at,
        voucher_id=row.undone_voucher_id,
    )


def _money(amount_minor: int | None, currency: str) -> Money | None:
    return None if amount_minor is None else Money(amount_minor, currency)
