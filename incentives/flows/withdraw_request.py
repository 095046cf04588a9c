"""Withdraw: a request that waits is taken back, by whoever asked or, with a reason, by somebody who leads."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.deeds import casework, granting, reasons, voting
from incentives.kernel.actors import Actor, may, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ApprovalAlreadyDecided, ApprovalNotFound
from incentives.spending.tables import approvals


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRequest:
    """Take a request back. The requester need not say why; everybody else must."""

    approval_id: uuid.UUID
    reason: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The request is over, and what the budgets held for it is free again."""

    approval_id: uuid.UUID
    issuance_id: uuid.UUID
    status: str = "withdrawn"
    replayed: bool = False


def withdraw_request(*, core: Core, actor: Actor, command: WithdrawRequest) -> Withdrawn:
    """Take a request back before anybody has decided it; of granting and withdrawing at once, one wins.

    Raises ``ApprovalNotFound`` (for everybody but the requester and who decides where it is),
    ``ApprovalAlreadyDecided``, ``ApprovalExpired``, ``InputInvalid``, ``IdempotencyKeyReused`` and ``NotPermitted``.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.write() as tx:
        request = {"id": command.approval_id, "reason": command.reason}
        before = casework.claimed_before(
            tx, core, actor, "withdrawals", command.idempotency_key, request, command.approval_id, now
        )
        asked = voting.locked(tx, command.approval_id)
        if before:
            return Withdrawn(approval_id=asked.id, issuance_id=asked.issuance_id, replayed=True)
        _withdraw(tx, core, actor, asked, command.reason, now)
    return Withdrawn(approval_id=asked.id, issuance_id=asked.issuance_id)


def _withdraw(tx: Connection, core: Core, actor: Actor, asked: Any, text: str | None, now: datetime) -> None:
    own = asked.requested_by == actor.label
    if not own:
        if not may(actor, "approvals:decide"):
            raise ApprovalNotFound
        voting.check_place(actor, asked)
    voting.check_open(asked, now)
    longest = reasons.REASON_LONGEST
    reason = reasons.comment(text, "reason", longest=longest) if own else reasons.reason(text)
    ended = tx.execute(
        approvals.update()
        .where(approvals.c.id == asked.id, approvals.c.status == "pending")
        .values(status="withdrawn", decided_by=actor.label, decided_at=now, comment=reason, escalates_at=None)
    )
    if ended.rowcount != 1:
        raise ApprovalAlreadyDecided
    granting.give_back(tx, core, actor, asked, status="withdrawn", reason=reason, now=now)
