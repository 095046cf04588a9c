"""Expire: vouchers and requests whose time is over end, and what they held or promised goes where the policy says."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit, ledger
from incentives.deeds import unneeded
from incentives.deeds.batch import Batch
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.messages import outbox
from incentives.spending import budgets, settling
from incentives.spending.budgets import Charged
from incentives.spending.tables import approvals
from incentives.vouchers import aftercare, lifecycle, shares
from incentives.vouchers.tables import issuances

MOST_AT_ONCE = 200

_Move = tuple[Charged, str, dict[str, int]]  # a pot, the kind of its movement, and how its counters change


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """How many ended in one transaction."""

    vouchers: int
    approvals: int


def expire_due(*, core: Core) -> Expired:
    """End what is due, at most ``MOST_AT_ONCE`` of each; call it again until both counts are zero.

    A voucher ends whether it is held, frozen or free; one that was used in part loses what is left. Nothing depends
    on this: what is past its time cannot be used, swept or not. Two sweeps at once share the work: each locks what it
    takes and passes over what the other has.
    """
    now = core.clock.now()
    with core.database.write() as tx:
        ended = lifecycle.expire_due(tx, now, MOST_AT_ONCE)
        waited = _expire_approvals(tx, now)
        _end_what_hangs_on(tx, ended, now)
        entries = [_entry(core, row, now) for row in ended]
        ledger.post(tx, core=core, actor=SYSTEM.label, now=now, entries=entries)
        audit.record_all(tx, _voucher_events(core, ended, now))
        _release(tx, core, ended, waited, now)
    return Expired(vouchers=len(ended), approvals=len(waited))


def _end_what_hangs_on(tx: Connection, ended: Sequence[Any], now: datetime) -> None:
    """Let holds of vouchers that ended lapse, and what waits to be told of them not be told."""
    held = [row.id for row in ended if row.reservation_id is not None]
    if held:
        aftercare.lapse_holds(tx, held)
    if ended:
        outbox.withdraw(tx, [(row.issuance_id, row.id) for row in ended], now, "The voucher's time is over.")


def _lost_minor(row: Any) -> int:
    """Return what is lost of a voucher: its unspent uses."""
    return shares.left_minor(row.amount_minor, row.max_redemptions, row.redeemed_count)


def _entry(core: Core, row: Any, now: datetime) -> ledger.Entry:
    return ledger.lapsed(
        core,
        voucher_id=row.id,
        currency=row.currency,
        amount_minor=_lost_minor(row),
        expires_at=row.expires_at,
        now=now,
    )


def _expire_approvals(tx: Connection, now: datetime) -> list[Any]:
    """End requests that nobody decided in time; return their rows."""
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
            .returning(
                approvals.c.id, approvals.c.issuance_id, approvals.c.requested_amount_minor, approvals.c.requested_by
            ),
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
            facts={
                "amount_minor": _lost_minor(row),
                "currency": row.currency,
                "last4": row.last4,
                "issuance_id": str(row.issuance_id),
                "voucher_id": str(row.id),
            },
        )
        for row in rows
    ]


def _approval_events(
    tx: Connection, core: Core, rows: Sequence[Any], charged: Mapping[uuid.UUID, Sequence[Charged]], now: datetime
) -> list[dict[str, Any]]:
    """Return what the audit trail knows of requests that ended: what each held of which budgets is free again."""
    if not rows:
        return []
    table = issuances.c
    query = sa.select(table.id, table.case_id, table.currency, table.incentive)
    asked = {each.id: each for each in tx.execute(query.where(table.id.in_([row.issuance_id for row in rows])))}
    return [
        audit.event(
            core=core,
            actor=SYSTEM,
            now=now,
            action="approval.expired",
            subject_kind="issuance",
            subject_id=row.issuance_id,
            case_id=asked[row.issuance_id].case_id,
            reason="Nobody decided in time.",
            facts={
                "amount_minor": row.requested_amount_minor,
                "currency": asked[row.issuance_id].currency,
                "incentive": asked[row.issuance_id].incentive,
                "approval_id": str(row.id),
                "requested_by": row.requested_by,
                "released": [list(each.pot) for each in charged[row.issuance_id]],
            },
        )
        for row in rows
    ]


def _release(tx: Connection, core: Core, ended: Sequence[Any], waited: Sequence[Any], now: datetime) -> None:
    """Give back what was held or committed, or keep it as breakage where the budget's policy says so."""
    issuance_ids = {row.issuance_id for row in (*ended, *waited)}
    if not issuance_ids:
        return
    shared = {row.issuance_id for row in ended if lifecycle.has_siblings(row)}
    if shared:
        lifecycle.lock_issuance(tx, *shared)
    family = _by_issuance(aftercare.families(tx, {row.issuance_id for row in ended}))
    found, pots = budgets.lock_charged(tx, issuance_ids)
    charged = _by_issuance(found)
    audit.record_all(tx, _approval_events(tx, core, waited, charged, now))
    moves = [(row, move) for row in ended for move in _lapse(row, charged[row.issuance_id], family[row.issuance_id])]
    moves += [(row, move) for row in waited for move in _free(charged[row.issuance_id])]
    movements = [
        budgets.movement(
            core=core,
            now=now,
            actor=SYSTEM.label,
            pot=pots[each.pot_id],
            issuance_id=row.issuance_id,
            source_id=row.id,
            kind=kind,
            changes=changes,
        )
        for row, (each, kind, changes) in moves
    ]
    batch = Batch(core=core, actor=SYSTEM, now=now)
    ends = {row.issuance_id: row.id for row in (*ended, *waited)}
    if allocations := unneeded.take_back(tx, batch, ends, pots):
        audit.record_all(tx, [_taken_back(core, allocations, now)])
    budgets.write(tx, pots.values(), movements, batch.allocations)


def _taken_back(core: Core, allocations: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    return audit.event(
        core=core,
        actor=SYSTEM,
        now=now,
        action="budget.taken_back",
        subject_kind="budget",
        subject_id=str(allocations[0]["pot"][0])[:64],
        reason="What it was allotted for has ended.",
        facts={"allocations": list(allocations)},
    )


def _by_issuance(rows: Iterable[Any]) -> dict[uuid.UUID, list[Any]]:
    found: dict[uuid.UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.issuance_id].append(row)
    return found


def _lapse(row: Any, charged: Sequence[Charged], family: Sequence[Any]) -> list[_Move]:
    """Return what becomes of the money that a voucher's pots hold; the issuance counts until all of it has ended."""
    whole = not any(each.status in aftercare.OPEN for each in family)
    found = []
    for each, changes in settling.taken(charged, _lost_minor(row)):
        keeps = each.on_expiry == "keep"
        kept = {"spent_minor": -changes["committed_minor"]} if keeps and "committed_minor" in changes else {}
        moved = settling.counted(each, {**changes, **kept}, whole=whole, keeps=keeps)
        if moved:
            found.append((each, "breakage" if keeps else "release", moved))
            # Another voucher of the same issuance may end in this very sweep.
            each.sums.update({name: each.sums[name] + by for name, by in moved.items()})
    return found


def _free(charged: Sequence[Charged]) -> list[_Move]:
    """Return how pots are freed that a request held."""
    names = ("held_minor", "held_count")
    moves = [(each, {name: -each.sums[name] for name in names if each.sums[name]}) for each in charged]
    return [(each, "release", changes) for each, changes in moves if changes]
