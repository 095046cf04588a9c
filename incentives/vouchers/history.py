"""What customers were given before, for whoever decides now."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.money import Money
from incentives.vouchers.tables import issuances

WINDOW = timedelta(days=90)
_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRecovery:
    """One incentive that the same customer was given or is waiting for."""

    issuance_id: uuid.UUID
    case_id: uuid.UUID
    issue_tag: str
    incentive: str
    amount: Money
    status: str
    location: str | None
    requested_at: datetime


def earlier_recoveries(tx: Connection, customers: Collection[uuid.UUID], now: datetime) -> tuple[EarlierRecovery, ...]:
    """Return what customers were given in the last ninety days, the newest first, at most twenty."""
    if not customers:
        return ()
    table = issuances.c
    rows = tx.execute(
        sa.select(issuances)
        .where(
            table.customer_id.in_(customers),
            table.status.in_(("issued", "pending_approval")),
            table.requested_at > now - WINDOW,
        )
        .order_by(table.requested_at.desc(), table.id.desc())
        .limit(_MOST),
    ).all()
    return tuple(
        EarlierRecovery(
            issuance_id=row.id,
            case_id=row.case_id,
            issue_tag=row.issue_tag,
            incentive=row.incentive,
            amount=Money(row.amount_minor, row.currency),
            status=row.status,
            location=row.location,
            requested_at=row.requested_at,
        )
        for row in rows
    )
