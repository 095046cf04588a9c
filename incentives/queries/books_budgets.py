"""The proof of the budgets: every number is the sum of its entries, and nothing is held for nobody."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.queries.books_proof import Check, Prove, count, result
from incentives.spending.tables import COUNTERS, approvals, budget_allocations, budget_movements, budget_periods
from incentives.vouchers.bulk_tables import bulk_jobs
from incentives.vouchers.tables import issuances, vouchers

NO_OLD_HOLD = "no hold is older than its request"
GRACE = timedelta(minutes=1)
"""So long a request that nobody decided in time may hold money on, until a sweep has released it."""

_OVER = ("done", "stopped", "refused")  # what a bulk job holds nothing after
_PAIRS = {"transfer_in": "transfer", "transfer_out": "transfer", "carry_in": "carry-over", "carry_out": "carry-over"}


def _pot_names(rows: Any) -> list[str]:
    return [" ".join(row) for row in rows]


def _counters_are_movements(tx: sa.Connection, _now: datetime) -> Check:
    pot, moved = budget_periods.c, budget_movements.c
    sums = (
        sa.select(
            moved.budget_period_id,
            *(sa.func.sum(moved[name]).label(name) for name in COUNTERS),
        )
        .group_by(moved.budget_period_id)
        .subquery()
    )
    off = [pot[name] != sa.func.coalesce(sums.c[name], 0) for name in COUNTERS]
    rows = tx.execute(
        sa.select(pot.budget, pot.subject, pot.period_key)
        .outerjoin(sums, sums.c.budget_period_id == pot.id)
        .where(sa.or_(*off)),
    ).all()
    return result("each budget's counters are the sum of its movements", count(tx, budget_periods), _pot_names(rows))


def _allotted_is_allocations(tx: sa.Connection, _now: datetime) -> Check:
    pot, table = budget_periods.c, budget_allocations.c
    sums = (
        sa.select(
            table.budget_period_id,
            *(sa.func.sum(table[f"amount_{unit}"]).label(unit) for unit in ("minor", "count")),
        )
        .group_by(table.budget_period_id)
        .subquery()
    )
    off = [pot[f"allotted_{unit}"] != sa.func.coalesce(sums.c[unit], 0) for unit in ("minor", "count")]
    rows = tx.execute(
        sa.select(pot.budget, pot.subject, pot.period_key)
        .outerjoin(sums, sums.c.budget_period_id == pot.id)
        .where(sa.or_(*off)),
    ).all()
    return result(
        "what a budget was allotted is the sum of its allocations", count(tx, budget_allocations), _pot_names(rows)
    )


def _pairs_balance(tx: sa.Connection, _now: datetime) -> Check:
    """Prove that what transfers and carry-overs give to one pot they take from another."""
    table = budget_allocations.c
    goes = sa.case((table.kind.in_(("transfer_in", "carry_in")), 1), else_=0)
    rows = tx.execute(
        sa.select(table.source_id, sa.func.min(table.kind))
        .where(table.kind.in_(list(_PAIRS)))
        .group_by(table.source_id)
        .having(
            sa.or_(
                sa.func.sum(table.amount_minor) != 0,
                sa.func.sum(table.amount_count) != 0,
                sa.func.count() != 2,  # noqa: PLR2004 - a pair
                sa.func.sum(goes) != 1,
            )
        )
    ).all()
    return result(
        "transfers and carry-overs balance in pairs",
        count(tx, budget_allocations),
        [f"{_PAIRS[kind]} {source_id}" for source_id, kind in rows],
    )


def _budgets_within_caps(tx: sa.Connection, _now: datetime) -> Check:
    pot = budget_periods.c
    over = sa.and_(
        pot.basis == "face",
        sa.or_(
            pot.held_minor + pot.committed_minor + pot.spent_minor > pot.cap_minor + pot.allotted_minor,
            pot.held_count + pot.committed_count + pot.spent_count > pot.cap_count + pot.allotted_count,
        ),
    )
    rows = tx.execute(sa.select(pot.budget, pot.subject, pot.period_key).where(over)).all()
    return result("no budget is over its cap", count(tx, budget_periods), _pot_names(rows))


def _held_by(column: Any) -> sa.Subquery:
    """Return what still holds something, by issuance or by job."""
    moved: Any = budget_movements.c
    return (
        sa.select(column.label("id"))
        .where(column.is_not(None))
        .group_by(column, moved.budget_period_id)
        .having(sa.or_(sa.func.sum(moved.held_minor) != 0, sa.func.sum(moved.held_count) != 0))
        .subquery()
    )


def _holds_wait_for_approval(tx: sa.Connection, _now: datetime) -> Check:
    moved: Any = budget_movements.c
    held = _held_by(moved.issuance_id)
    waits = issuances.c.status == "pending_approval"
    rows = tx.execute(
        sa.select(issuances.c.id).distinct()
        .outerjoin(held, held.c.id == issuances.c.id)
        .where(waits != held.c.id.is_not(None), sa.or_(waits.is_(False), issuances.c.amount_minor > 0))
    ).scalars()  # fmt: skip
    return result(
        "budgets hold exactly what waits for an approval", count(tx, issuances), [f"issuance {each}" for each in rows]
    )


def _no_hold_outlives_its_request(tx: sa.Connection, now: datetime) -> Check:
    held = _held_by(budget_movements.c.issuance_id)
    late = sa.or_(approvals.c.id.is_(None), approvals.c.status != "pending", approvals.c.expires_at < now - GRACE)
    rows = tx.execute(
        sa.select(held.c.id).distinct().outerjoin(approvals, approvals.c.issuance_id == held.c.id).where(late)
    ).scalars()
    return result(NO_OLD_HOLD, count(tx, approvals), [f"issuance {each}" for each in rows])


def _jobs_hold_while_they_run(tx: sa.Connection, _now: datetime) -> Check:
    held = _held_by(budget_movements.c.job_id)
    rows = tx.execute(
        sa.select(bulk_jobs.c.id)
        .distinct()
        .join(held, held.c.id == bulk_jobs.c.id)
        .where(bulk_jobs.c.status.in_(_OVER))
    ).scalars()
    return result("no bulk job that is over holds anything", count(tx, bulk_jobs), [f"job {each}" for each in rows])


def _vouchers_are_charged(tx: sa.Connection, _now: datetime) -> Check:
    moved: Any = budget_movements.c
    charged = sa.select(moved.issuance_id).where(
        moved.issuance_id == vouchers.c.issuance_id, moved.kind.in_(("commit", "grant"))
    )
    rows = tx.execute(sa.select(vouchers.c.id).where(~charged.exists())).scalars()
    return result("every voucher was charged to a budget", count(tx, vouchers), [f"voucher {each}" for each in rows])


CHECKS: tuple[Prove, ...] = (
    _counters_are_movements,
    _allotted_is_allocations,
    _pairs_balance,
    _budgets_within_caps,
    _vouchers_are_charged,
    _holds_wait_for_approval,
    _no_hold_outlives_its_request,
    _jobs_hold_while_they_run,
)
