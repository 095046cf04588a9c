"""Expire: vouchers and requests whose time is over end, and what they held or promised goes where the policy says."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit, ledger
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.spending import budgets
from incentives.spending.tables import approvals
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances

MOST_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """How many ended in one transaction."""

    vouchers: int
    approvals: int


def expire_due(*, core: Core) -> Expired:
    """End what is due, at most ``MOST_AT_ONCE`` of each; call it again until both counts are zero.

    Two sweeps at once share the work: each locks what it takes and passes over what the other has.
    """
    now = core.clock.now()
    with core.database.write() as tx:
        ended = lifecycle.expire_due(tx, now, MOST_AT_ONCE)
        waited = _expire_approvals(tx, now)
        ledger.post(
            tx,
            core=core,
            actor=SYSTEM.label,
            now=now,
            entries=[
                ledger.lapsed(core, voucher_id=row.id, currency=row.currency, amount_minor=row.amount_minor, now=now)
                for row in ended
            ],
        )
        audit.record_all(tx, [*_voucher_events(core, ended, now), *_approval_events(core, waited, now)])
        sources = {row.issuance_id: row.id for row in (*ended, *waited)}
        _release(tx, core, sources, now)
    return Expired(vouchers=len(ended), approvals=len(waited))


def _expire_approvals(tx: Connection, now: datetime) -> list[Any]:
    due = (
        sa.select(approvals.c.id)
        .where(approvals.c.status == "pending", approvals.c.expires_at <= now)
        .order_by(approvals.c.expires_at)
        .limit(MOST_AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("due")  # a subquery could be run again for each row, past its limit
    )
    ended = list(
        tx.execute(
            approvals.update()
            .where(approvals.c.id.in_(sa.select(due.c.id)), approvals.c.status == "pending")
            .values(status="expired")
            .returning(approvals.c.id, approvals.c.issuance_id),
        ).all()
    )
    if ended:
        tx.execute(
            issuances.update()
            .where(issuances.c.id.in_([row.issuance_id for row in ended]), issuances.c.status == "pending_approval")
            .values(status="expired"),
        )
    return ended


def _voucher_events(core: Core, rows: Iterable[Any], now: datetime) -> list[dict[str, Any]]:
    return [
        audit.event(
            core=core,
            actor=SYSTEM,
            now=now,
            action="voucher.expired",
            subject_kind="voucher",
            subject_id=row.id,
            reason="Its time is over.",
            facts={"amount_minor": row.amount_minor, "currency": row.currency, "last4": row.last4},
        )
        for row in rows
    ]


def _approval_events(core: Core, rows: Iterable[Any], now: datetime) -> list[dict[str, Any]]:
    return [
        audit.event(
            core=core,
            actor=SYSTEM,
            now=now,
            action="approval.expired",
            subject_kind="issuance",
            subject_id=row.issuance_id,
            reason="Nobody decided in time.",
        )
        for row in rows
    ]


def _release(tx: Connection, core: Core, sources: Mapping[uuid.UUID, uuid.UUID], now: datetime) -> None:
    """Give back what was held or committed, or keep it as breakage where the budget's policy says so."""
    if not sources:
        return
    charged = budgets.charges_of(tx, sources)
    pots = budgets.lock_ids(tx, {each.pot_id for each in charged})
    movements = []
    for each in charged:
        sums = each.sums
        keeps = each.on_expiry == "keep" and sums["committed_minor"] + sums["committed_count"] > 0
        kept = {"spent_minor": sums["committed_minor"], "spent_count": sums["committed_count"]} if keeps else {}
        gone = {name: -sums[name] for name in ("held_minor", "held_count", "committed_minor", "committed_count")}
        if not any(gone.values()):
            continue  # A pot that only counts, of what was spent in part, has nothing more to give back.
        movements.append(
            budgets.movement(
                core=core,
                now=now,
                actor=SYSTEM.label,
                pot=pots[each.pot_id],
                issuance_id=each.issuance_id,
                source_id=sources[each.issuance_id],
                kind="breakage" if keeps else "release",
                changes={**gone, **kept},
            )
        )
    budgets.write(tx, pots.values(), movements)
