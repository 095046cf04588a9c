"""Approve: a second person decides on an issuance over a limit. The budgets have held the amount since it was asked."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import answers, assessment
from incentives.deeds.answers import Issued
from incentives.deeds.batch import Batch, Gift
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    ApprovalAlreadyDecided,
    ApprovalAmountInvalid,
    ApprovalExpired,
    ApprovalNotFound,
    ApproverLimitExceeded,
    InputInvalid,
    Refusal,
    SelfApproval,
)
from incentives.kernel.idempotency import Claim
from incentives.kernel.money import Money
from incentives.recovery.tables import recovery_cases
from incentives.spending import budgets, limits
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances

DECISIONS = {"grant": "granted", "decline": "declined"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideApproval:
    """Grant or decline. ``amount_minor`` may lower what was asked for, where the incentive's value is adjustable."""

    approval_id: uuid.UUID
    decision: str
    amount_minor: int | None = None
    comment: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided; ``issued`` is what the customer was given, None when it was declined.

    The voucher's secrets go to the customer and to nobody else: an approver does not see the code.
    """

    approval_id: uuid.UUID
    issuance_id: uuid.UUID
    status: str
    issued: Issued | None
    replayed: bool = False


def decide_approval(*, core: Core, actor: Actor, command: DecideApproval) -> Decided:
    """Decide once, by somebody else than the requester.

    Raises ``ApprovalNotFound``, ``ApprovalAlreadyDecided``, ``ApprovalExpired``, ``SelfApproval``,
    ``ApprovalAmountInvalid``, ``ApproverLimitExceeded``, ``InputInvalid``, ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "approvals:decide")
    now = core.clock.now()
    if command.decision not in DECISIONS:
        raise InputInvalid(errors=[{"field": "decision", "message": "Send grant or decline."}])
    with core.database.write() as tx:
        replayed = _claimed_before(tx, core, actor, command, now)
        if replayed:
            return replayed
        asked = _asked(tx, command.approval_id)
        _check(core, tx, actor, command, asked, now)
        amount_minor = asked.requested_amount_minor if command.amount_minor is None else command.amount_minor
        _decide(tx, actor, command, amount_minor, now)
        if command.decision == "decline":
            _decline(tx, core, actor, command, asked, now)
            return Decided(approval_id=asked.id, issuance_id=asked.issuance_id, status="declined", issued=None)
        issued = _grant(tx, core, actor, command, asked, amount_minor, now)
        return Decided(approval_id=asked.id, issuance_id=asked.issuance_id, status="granted", issued=issued)


def _claimed_before(tx: Connection, core: Core, actor: Actor, command: DecideApproval, now: datetime) -> Decided | None:
    if not command.idempotency_key:
        return None
    request = {
        "id": command.approval_id,
        "decision": command.decision,
        "amount": command.amount_minor,
        "comment": command.comment,
    }
    claim = Claim(f"{actor.label}:decisions", command.idempotency_key, request, command.approval_id)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key))
    if isinstance(found, Refusal):
        raise found
    if found is None:
        return None
    row = _asked(tx, found)
    issued = answers.given(tx, core, row.issuance_id, row.case_id, replayed=True) if row.status == "granted" else None
    return Decided(approval_id=row.id, issuance_id=row.issuance_id, status=row.status, issued=issued, replayed=True)


def _asked(tx: Connection, approval_id: uuid.UUID) -> Any:
    """Return the approval with its issuance; locked, so that what is decided on does not change meanwhile.

    Its case is locked too, before the budgets, as by whoever gives within it.
    """
    row = tx.execute(
        sa.select(
            approvals,
            issuances.c.case_id,
            issuances.c.incentive,
            issuances.c.incentive_item_id,
            issuances.c.currency,
            issuances.c.channels,
            issuances.c.location,
        )
        .join(issuances, issuances.c.id == approvals.c.issuance_id)
        .join(recovery_cases, recovery_cases.c.id == issuances.c.case_id)
        .where(approvals.c.id == approval_id)
        .with_for_update(of=[approvals, recovery_cases], key_share=True),
    ).one_or_none()
    if row is None:
        raise ApprovalNotFound
    return row


def _check(core: Core, tx: Connection, actor: Actor, command: DecideApproval, asked: Any, now: datetime) -> None:
    if actor.location is not None and asked.location not in (None, actor.location):
        raise ApprovalNotFound  # it is another place's, and its queue does not show it
    if asked.requested_by == actor.label:
        raise SelfApproval
    if asked.status == "expired" or (asked.status == "pending" and asked.expires_at <= now):
        raise ApprovalExpired
    if asked.status != "pending":
        raise ApprovalAlreadyDecided(
            decision=asked.status, decided_at=asked.decided_at.isoformat() if asked.decided_at else None
        )
    if command.decision == "grant":
        _check_amount(core, tx, actor, command, asked)


def _check_amount(core: Core, tx: Connection, actor: Actor, command: DecideApproval, asked: Any) -> None:
    amount_minor = asked.requested_amount_minor
    if command.amount_minor is not None and command.amount_minor != amount_minor:
        incentive = releases.incentive_of(tx, asked.incentive_item_id, core.cache)
        least = incentive.amount_bounds[0] if incentive.amount_bounds else amount_minor
        if not least <= command.amount_minor <= amount_minor:
            raise ApprovalAmountInvalid(field="amount_minor", least_minor=least, most_minor=amount_minor)
        amount_minor = command.amount_minor
    limit = assessment.limit_of(releases.cached_current(tx, core).catalog, actor, asked.currency)
    if limits.over_voucher(limit, amount_minor):
        raise ApproverLimitExceeded(
            field="amount_minor", most_minor=(limit.per_voucher_minor or 0) if limit else 0, currency=asked.currency
        )


def _decide(tx: Connection, actor: Actor, command: DecideApproval, amount_minor: int, now: datetime) -> None:
    """Move the approval out of pending: one conditional update, and the database's own check of four eyes."""
    granted = command.decision == "grant"
    decided = tx.execute(
        approvals.update()
        .where(approvals.c.id == command.approval_id, approvals.c.status == "pending")
        .values(
            status=DECISIONS[command.decision],
            decided_by=actor.label,
            decided_at=now,
            comment=command.comment,
            granted_amount_minor=amount_minor if granted else None,
        ),
    )
    if decided.rowcount != 1:
        raise ApprovalAlreadyDecided


def _decline(tx: Connection, core: Core, actor: Actor, command: DecideApproval, asked: Any, now: datetime) -> None:
    batch = Batch(core=core, actor=actor, now=now)
    _move_issuance(tx, asked.issuance_id, status="declined")
    batch.note("approval.declined", asked.issuance_id, asked.case_id, command.comment, {"incentive": asked.incentive})
    batch.write(tx, _move_budgets(tx, batch, asked, committed_minor=None))


def _grant(
    tx: Connection, core: Core, actor: Actor, command: DecideApproval, asked: Any, amount_minor: int, now: datetime
) -> Issued:
    batch = Batch(core=core, actor=actor, now=now)
    catalog = releases.cached_current(tx, core).catalog
    location = catalog.locations.get(asked.location or "")
    _move_issuance(tx, asked.issuance_id, status="issued", amount_minor=amount_minor, issued_at=now)
    issued = batch.give(
        Gift(
            issuance_id=asked.issuance_id,
            case_id=asked.case_id,
            incentive=releases.incentive_of(tx, asked.incentive_item_id, core.cache),
            incentive_item_id=asked.incentive_item_id,
            amount=Money(amount_minor, asked.currency),
            time_zone=location.time_zone if location else catalog.brand.time_zone,
            channels=tuple(asked.channels),
        )
    )
    facts = {"amount_minor": amount_minor, "currency": asked.currency, "incentive": asked.incentive}
    last4 = issued.voucher.last4 if issued.voucher else None
    batch.note(
        "approval.granted",
        asked.issuance_id,
        asked.case_id,
        command.comment,
        {**facts, "last4": last4, "requested_by": asked.requested_by},
    )
    batch.write(tx, _move_budgets(tx, batch, asked, committed_minor=amount_minor))
    return issued


def _move_issuance(tx: Connection, issuance_id: uuid.UUID, **values: Any) -> None:
    moved = tx.execute(
        issuances.update()
        .where(issuances.c.id == issuance_id, issuances.c.status == "pending_approval")
        .values(**values)
    )
    if moved.rowcount != 1:
        raise ApprovalAlreadyDecided


def _move_budgets(tx: Connection, batch: Batch, asked: Any, *, committed_minor: int | None) -> Collection[budgets.Pot]:
    """Turn what is held into what is committed (the rest is free again), or give all of it back; return the pots."""
    held = budgets.charges_of(tx, [asked.issuance_id])
    pots = budgets.lock_ids(tx, (each.pot_id for each in held))
    taken = {} if committed_minor is None else {"committed_minor": committed_minor, "committed_count": 1}
    for each in held:
        freed = {"held_minor": -each.sums["held_minor"], "held_count": -each.sums["held_count"]}
        kind = "release" if committed_minor is None else "grant"
        batch.move(pots[each.pot_id], asked.issuance_id, asked.id, kind, each.in_its_unit({**freed, **taken}))
    return pots.values()
