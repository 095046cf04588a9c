"""Who could take a case on, and what tasks wait, across all cases."""

import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from incentives.access.tables import users
from incentives.kernel.actors import PERMISSIONS, Actor, permit
from incentives.kernel.core import Core
from incentives.queries.case_parts import Task, tasks_of
from incentives.queries.cases import seen
from incentives.queries.paging import Page, page
from incentives.queries.scope import case_seen_by
from incentives.recovery.tables import case_tasks, recovery_cases


@dataclass(frozen=True, slots=True, kw_only=True)
class Colleague:
    """Somebody who could work on a case, and how many open ones they have."""

    label: str
    name: str
    role: str
    team: str | None
    location: str | None
    open_cases: int


def people_to_assign(*, core: Core, actor: Actor, case_id: uuid.UUID) -> tuple[Colleague, ...]:
    """Return who could be given a case, those with the fewest open ones first, or raise ``CaseNotFound``."""
    permit(actor, "cases:manage")
    table = users.c
    workers = [role for role, permissions in PERMISSIONS.items() if "cases:work" in permissions]
    with core.database.read() as tx:
        case = seen(tx, actor, case_id)
        here = sa.true() if case.location is None else sa.or_(table.location.is_(None), table.location == case.location)
        rows = tx.execute(
            sa.select(users).where(here, table.disabled_at.is_(None), table.role.in_(workers)).order_by(table.name)
        ).all()
        owner = recovery_cases.c.owner
        counted = sa.select(owner, sa.func.count().label("open_cases")).where(
            recovery_cases.c.status == "open", owner.is_not(None)
        )
        loads = {row.owner: row.open_cases for row in tx.execute(counted.group_by(owner))}
    found = [
        Colleague(
            label=f"person:{row.id}",
            name=row.name,
            role=row.role,
            team=row.team,
            location=row.location,
            open_cases=loads.get(f"person:{row.id}", 0),
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda each: (each.open_cases, each.name)))


def waiting_tasks(
    *,
    core: Core,
    actor: Actor,
    mine: bool = False,
    overdue: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> Page[Task]:
    """Return tasks that are not done in cases that the actor sees, the newest first."""
    permit(actor, "cases:read")
    now = core.clock.now()
    table = case_tasks.c
    query = (
        sa.select(case_tasks)
        .join(recovery_cases, recovery_cases.c.id == table.case_id)
        .where(table.done_at.is_(None), case_seen_by(actor))
    )
    if mine:
        query = query.where(table.owner == actor.label)
    if overdue:
        query = query.where(table.due_at <= now)
    with core.database.read() as tx:
        found = page(tx, query, table.id, lambda row: row, limit=limit, after=after)
        return Page(items=tasks_of(tx, core, found.items, now), next=found.next)
