"""An issuance as it stands today, for whoever may read it: without the code."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import IssuanceNotFound
from incentives.kernel.money import Money
from incentives.messages import outbox
from incentives.messages.tables import outbox_messages
from incentives.queries.letters import actor_names
from incentives.queries.scope import seen_by
from incentives.queries.voucher_care import ChainedVoucher, chain_of
from incentives.spending.tables import approvals
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, vouchers

UNCERTAIN = outbox.UNCERTAIN
"""The reason of a delivery that failed and may have arrived all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherNow:
    """A voucher as it stands, without its secrets."""

    id: uuid.UUID
    last4: str
    amount: Money
    expires_at: datetime
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalNow:
    """The approval that an issuance waited or waits for."""

    id: uuid.UUID
    status: str
    reasons: tuple[str, ...]
    expires_at: datetime
    decided_by_name: str | None
    comment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryNow:
    """One message and how far it has come."""

    id: uuid.UUID
    channel: str
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance:
    """An issuance with its latest voucher, all of them, its approval and its messages.

    ``undo_until`` is until when its giver may take it back; None where nobody can any more.
    """

    id: uuid.UUID
    status: str
    case_id: uuid.UUID
    issue_tag: str
    severity: int
    incentive: str
    amount: Money
    location: str | None
    order_ref: str | None
    metadata: dict[str, Any]
    requested_at: datetime
    issued_at: datetime | None
    voucher: VoucherNow | None
    vouchers: tuple[ChainedVoucher, ...]
    deliver_after: datetime | None
    undo_until: datetime | None
    approval: ApprovalNow | None
    deliveries: tuple[DeliveryNow, ...]


def one_issuance(*, core: Core, actor: Actor, issuance_id: uuid.UUID) -> Issuance:
    """Return an issuance, or raise ``IssuanceNotFound``."""
    permit(actor, "issuances:read")
    now = core.clock.now()
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(issuances).where(issuances.c.id == issuance_id, seen_by(actor, issuances.c.location))
        ).one_or_none()
        if row is None:
            raise IssuanceNotFound
        latest = (
            sa.select(vouchers).where(vouchers.c.issuance_id == issuance_id).order_by(vouchers.c.number.desc()).limit(1)
        )
        voucher = tx.execute(latest).one_or_none()
        chain = chain_of(tx, issuance_id, now)
        asked = tx.execute(sa.select(approvals).where(approvals.c.issuance_id == issuance_id)).one_or_none()
        names = actor_names(tx, {asked.decided_by}) if asked and asked.decided_by else {}
        table = outbox_messages.c
        sent = tx.execute(
            sa.select(outbox_messages).where(table.issuance_id == issuance_id).order_by(table.created_at, table.channel)
        ).all()
    return Issuance(
        id=row.id,
        status=row.status,
        case_id=row.case_id,
        issue_tag=row.issue_tag,
        severity=row.severity,
        incentive=row.incentive,
        amount=Money(row.amount_minor, row.currency),
        location=row.location,
        order_ref=row.order_ref,
        metadata=row.metadata,
        requested_at=row.requested_at,
        issued_at=row.issued_at,
        voucher=_voucher(voucher, now) if voucher else None,
        vouchers=chain,
        deliver_after=row.deliver_after_at,
        undo_until=row.undo_until_at if row.undo_until_at and row.undo_until_at > now else None,
        approval=_approval(asked, names) if asked else None,
        deliveries=tuple(
            DeliveryNow(id=each.id, channel=each.channel, status=each.status, reason=each.reason) for each in sent
        ),
    )


def _approval(row: Any, names: Mapping[str, str]) -> ApprovalNow:
    return ApprovalNow(
        id=row.id,
        status=row.status,
        reasons=tuple(row.reasons),
        expires_at=row.expires_at,
        decided_by_name=names.get(row.decided_by or ""),
        comment=row.comment,
    )


def _voucher(row: Any, now: datetime) -> VoucherNow:
    return VoucherNow(
        id=row.id,
        last4=row.last4,
        amount=Money(row.amount_minor, row.currency),
        expires_at=row.expires_at,
        status=lifecycle.status_now(row, now),
    )
