"""A redemption as it stands today."""

import uuid
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import RedemptionNotFound
from incentives.kernel.money import Money
from incentives.vouchers.tables import issuances, redemptions, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """The one spending of a voucher: when, where, by whom, and how much."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    incentive: str
    last4: str
    amount: Money
    location: str | None
    order_ref: str | None
    redeemed_at: datetime
    redeemed_by: str
    reversed_at: datetime | None


def one_redemption(*, core: Core, actor: Actor, redemption_id: uuid.UUID) -> Redemption:
    """Return a redemption, or raise ``RedemptionNotFound``."""
    permit(actor, "vouchers:lookup")
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(redemptions, vouchers.c.last4, issuances.c.incentive)
            .join(vouchers, vouchers.c.id == redemptions.c.voucher_id)
            .join(issuances, issuances.c.id == vouchers.c.issuance_id)
            .where(redemptions.c.id == redemption_id),
        ).one_or_none()
    if row is None:
        raise RedemptionNotFound
    return Redemption(
        id=row.id,
        voucher_id=row.voucher_id,
        incentive=row.incentive,
        last4=row.last4,
        amount=Money(row.amount_minor, row.currency),
        location=row.location,
        order_ref=row.order_ref,
        redeemed_at=row.redeemed_at,
        redeemed_by=row.actor_name,
        reversed_at=row.reversed_at,
    )
