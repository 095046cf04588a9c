"""Reveal: a hand-over that was granted later shows its code to whoever asked for it, and each look is recorded.

A hand-over has no address that its code could be sent to. Who asks over the API gets the code with the answer of
issuing; where somebody else had to agree first, that answer had none.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds import answers
from incentives.deeds.answers import IssuedVoucher
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CodeNotShown, IssuanceNotFound
from incentives.messages import outbox
from incentives.spending.tables import approvals
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealCode:
    """Show the code of an issuance's voucher."""

    issuance_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """The issuance, and its voucher with the secrets."""

    id: uuid.UUID
    case_id: uuid.UUID
    voucher: IssuedVoucher


def reveal_code(*, core: Core, actor: Actor, command: RevealCode) -> Revealed:
    """Show the code of a granted hand-over to the very actor who asked for it, while it can be used.

    Raises ``IssuanceNotFound`` (for everybody else alike), ``CodeNotShown``, ``KeyRetired`` and ``NotPermitted``.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.write() as tx:
        given = _given(tx, actor, command.issuance_id)
        voucher = _voucher(tx, given, now)
        revealed = answers.again(core, voucher)
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="voucher.revealed",
            subject_kind="voucher",
            subject_id=revealed.id,
            case_id=given.case_id,
            facts={"issuance_id": str(given.id), "last4": revealed.last4},
        )
    return Revealed(id=given.id, case_id=given.case_id, voucher=revealed)


def _given(tx: Connection, actor: Actor, issuance_id: uuid.UUID) -> Any:
    query = (
        sa.select(issuances, approvals.c.status.label("approval"))
        .outerjoin(approvals, approvals.c.issuance_id == issuances.c.id)
        .where(issuances.c.id == issuance_id, issuances.c.actor == actor.label)
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        raise IssuanceNotFound
    return row


def _voucher(tx: Connection, given: Any, now: datetime) -> dict[str, Any]:
    """Return the row of the voucher that is there now. Raises ``CodeNotShown`` with its reason."""
    if given.approval is None:
        raise CodeNotShown("It was given at once: its code stood in the answer.", reason="given-at-once")
    if given.status != "issued":
        raise CodeNotShown(reason=given.status.replace("_", "-"))
    if given.channels:
        raise CodeNotShown("It went to the customer's own address.", reason="sent-to-customer")
    latest = sa.select(vouchers).where(vouchers.c.issuance_id == given.id).order_by(vouchers.c.number.desc()).limit(1)
    row = tx.execute(latest.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise CodeNotShown("An apology has no code.", reason="no-voucher")
    if outbox.about_voucher(tx, given.id, row.id):
        # It took the place of the one that was handed over, or was sent later: it is the customer's alone.
        raise CodeNotShown("It went to the customer's own address.", reason="sent-to-customer")
    status = lifecycle.status_now(row, now)
    if status != "issued" or lifecycle.is_frozen(row, now):
        raise CodeNotShown(reason="frozen" if status == "issued" else status)
    return row._asdict()
