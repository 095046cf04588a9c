"""What a budget holds for requests that wait and for bulk jobs: whose it is, since when, and until when."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor, may, permit
from incentives.kernel.core import Core
from incentives.queries.budgets import pot_of
from incentives.queries.letters import actor_names
from incentives.queries.scope import seen_by
from incentives.spending.tables import approvals, budget_movements
from incentives.vouchers.bulk_tables import bulk_jobs
from incentives.vouchers.tables import issuances

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One hold. ``kind`` is approval or job.

    ``case_id`` and ``approval_id`` are there for whoever may see them, ``job_id`` for a job.
    """

    kind: str
    owner: str
    owner_name: str
    amount_minor: int
    count: int
    since_at: datetime
    until_at: datetime | None
    approval_id: uuid.UUID | None
    case_id: uuid.UUID | None
    job_id: uuid.UUID | None


def holds_of(*, core: Core, actor: Actor, budget_id: str, period_key: str | None = None) -> list[Hold]:
    """Return what a pot holds, the oldest first. Raises ``NotFound`` and ``InputInvalid``."""
    permit(actor, "budgets:read")
    now = core.clock.now()
    with core.database.read() as tx:
        _, row = pot_of(tx, core, budget_id, period_key, now)
        if row is None:
            return []
        found = sorted([*_requests(tx, row.id), *_jobs(tx, row.id)], key=lambda each: each["since_at"])[:_MOST]
        names = actor_names(tx, {each["owner"] for each in found})
        seen = _seen(tx, actor, [each["issuance_id"] for each in found if each["issuance_id"]])
    return [_hold(actor, each, names.get(each["owner"], each["name"]), seen) for each in found]


def _requests(tx: Connection, pot_id: uuid.UUID) -> list[dict[str, Any]]:
    moved = budget_movements.c
    sums = [sa.func.sum(moved[name]).label(name) for name in ("held_minor", "held_count")]
    asked = (approvals.c.id, approvals.c.requested_by, approvals.c.requested_at, approvals.c.expires_at)
    rows = tx.execute(
        sa.select(*asked, issuances.c.id.label("issuance_id"), issuances.c.case_id, *sums)
        .select_from(approvals)
        .join(issuances, issuances.c.id == approvals.c.issuance_id)
        .join(budget_movements, sa.and_(moved.issuance_id == issuances.c.id, moved.budget_period_id == pot_id))
        .where(approvals.c.status == "pending", issuances.c.status == "pending_approval")
        .group_by(*asked, issuances.c.id, issuances.c.case_id)
        .having(sa.or_(sa.func.sum(moved.held_minor) != 0, sa.func.sum(moved.held_count) != 0))
        .order_by(approvals.c.requested_at)
        .limit(_MOST)
    )
    return [
        {
            "kind": "approval",
            "owner": row.requested_by,
            "name": row.requested_by,
            "amount_minor": int(row.held_minor),
            "count": int(row.held_count),
            "since_at": row.requested_at,
            "until_at": row.expires_at,
            "approval_id": row.id,
            "case_id": row.case_id,
            "issuance_id": row.issuance_id,
            "job_id": None,
        }
        for row in rows
    ]


def _jobs(tx: Connection, pot_id: uuid.UUID) -> list[dict[str, Any]]:
    moved = budget_movements.c
    sums = [sa.func.sum(moved[name]).label(name) for name in ("held_minor", "held_count")]
    rows = tx.execute(
        sa.select(
            bulk_jobs.c.id, bulk_jobs.c.actor, bulk_jobs.c.actor_name, sa.func.min(moved.at).label("since_at"), *sums
        )
        .join(budget_movements, moved.job_id == bulk_jobs.c.id)
        .where(moved.budget_period_id == pot_id)
        .group_by(bulk_jobs.c.id, bulk_jobs.c.actor, bulk_jobs.c.actor_name)
        .having(sa.or_(sa.func.sum(moved.held_minor) != 0, sa.func.sum(moved.held_count) != 0))
        .limit(_MOST)
    )
    return [
        {
            "kind": "job",
            "owner": row.actor,
            "name": row.actor_name,
            "amount_minor": int(row.held_minor),
            "count": int(row.held_count),
            "since_at": row.since_at,
            "until_at": None,
            "approval_id": None,
            "case_id": None,
            "issuance_id": None,
            "job_id": row.id,
        }
        for row in rows
    ]


def _seen(tx: Connection, actor: Actor, issuance_ids: list[uuid.UUID]) -> set[uuid.UUID]:
    """Return which issuances the actor may look at, by where they are."""
    table = issuances.c
    query = sa.select(table.id).where(table.id.in_(issuance_ids), seen_by(actor, table.location))
    return set(tx.execute(query).scalars()) if issuance_ids else set()


def _hold(actor: Actor, each: dict[str, Any], name: str, seen: set[uuid.UUID]) -> Hold:
    here = each["issuance_id"] in seen
    names = ("kind", "owner", "amount_minor", "count", "since_at", "until_at", "job_id")
    return Hold(
        **{field: each[field] for field in names},
        owner_name=name,
        approval_id=each["approval_id"] if here and may(actor, "approvals:read") else None,
        case_id=each["case_id"] if here and may(actor, "cases:read") else None,
    )
