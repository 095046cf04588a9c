"""Escalate: what is late is told to whoever leads where it is, once; the worker looks for it."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.flows import owning
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.recovery.tables import case_clocks, case_tasks, recovery_cases

MOST_AT_ONCE = 100
UNOWNED_AFTER = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """How much was late, in one transaction."""

    clocks: int
    unowned: int
    tasks: int

    @property
    def total(self) -> int:
        """Return how many things were late."""
        return self.clocks + self.unowned + self.tasks


def escalate_due(*, core: Core) -> Escalated:
    """Tell of what is late, at most ``MOST_AT_ONCE`` of each kind; call it again until nothing is.

    Each clock, each case that nobody owns and each task is told of once, however many processes look.
    """
    now = core.clock.now()
    with core.database.write() as tx:
        clocks, unowned, tasks = _clocks(tx, now), _unowned(tx, now), _tasks(tx, now)
        for case_id, location in sorted({(row.case_id, row.location or "") for row in clocks}):
            owning.tell(tx, core, now, case_id, owning.leaders(tx, location or None), "notice-escalated")
        for row in unowned:
            owning.tell(tx, core, now, row.id, owning.leaders(tx, row.location), "notice-unowned")
        for row in tasks:
            whom = [row.owner] if row.owner else owning.leaders(tx, row.location)
            owning.tell(tx, core, now, row.case_id, whom, "notice-task-due")
        events = [
            *_events(
                core, now, "escalated", ((row.case_id, {"clock": row.clock, "round": row.round}) for row in clocks)
            ),
            *_events(core, now, "unowned", ((row.id, {}) for row in unowned)),
            *_events(core, now, "task-due", ((row.case_id, {"task": str(row.id)}) for row in tasks)),
        ]
        audit.record_all(tx, events)
    return Escalated(clocks=len(clocks), unowned=len(unowned), tasks=len(tasks))


def _clocks(tx: Connection, now: datetime) -> list[Any]:
    """Mark clocks that have run out in open cases, and return them with their cases' locations."""
    clock, case = case_clocks.c, recovery_cases.c
    due = (
        sa.select(clock.case_id, clock.round, clock.clock, case.location)
        .join(recovery_cases, sa.and_(case.id == clock.case_id, case.round == clock.round))
        .where(clock.met_at.is_(None), clock.escalated_at.is_(None), clock.due_at <= now, case.status == "open")
        .order_by(clock.due_at)
        .limit(MOST_AT_ONCE)
        .with_for_update(of=case_clocks, skip_locked=True)
    )
    found = list(tx.execute(due).all())
    for row in found:
        this = sa.and_(clock.case_id == row.case_id, clock.round == row.round, clock.clock == row.clock)
        tx.execute(case_clocks.update().where(this).values(escalated_at=now))
    return found


def _unowned(tx: Connection, now: datetime) -> list[Any]:
    """Mark open cases that nobody has owned for a while though something is to be done, and return them."""
    case, clock = recovery_cases.c, case_clocks.c
    running = sa.select(clock.case_id).where(
        clock.case_id == case.id, clock.round == case.round, clock.met_at.is_(None)
    )
    due = (
        sa.select(case.id, case.location)
        .where(
            case.status == "open",
            case.owner.is_(None),
            case.unowned_told_at.is_(None),
            case.opened_at <= now - UNOWNED_AFTER,
            running.exists(),
        )
        .order_by(case.opened_at)
        .limit(MOST_AT_ONCE)
        .with_for_update(of=recovery_cases, skip_locked=True, key_share=True)
    )
    found = list(tx.execute(due).all())
    if found:
        told = recovery_cases.update().where(case.id.in_([row.id for row in found]))
        tx.execute(told.values(unowned_told_at=now))
    return found


def _tasks(tx: Connection, now: datetime) -> list[Any]:
    """Mark tasks that are due and were not reminded of, and return them with their cases' locations."""
    task, case = case_tasks.c, recovery_cases.c
    due = (
        sa.select(task.id, task.case_id, task.owner, case.location)
        .join(recovery_cases, case.id == task.case_id)
        .where(task.done_at.is_(None), task.reminded_at.is_(None), task.due_at <= now)
        .order_by(task.due_at)
        .limit(MOST_AT_ONCE)
        .with_for_update(of=case_tasks, skip_locked=True)
    )
    found = list(tx.execute(due).all())
    if found:
        tx.execute(case_tasks.update().where(task.id.in_([row.id for row in found])).values(reminded_at=now))
    return found


def _events(
    core: Core, now: datetime, action: str, about: Iterable[tuple[uuid.UUID, dict[str, Any]]]
) -> list[dict[str, Any]]:
    return [
        audit.event(
            core=core,
            actor=SYSTEM,
            now=now,
            action=f"case.{action}",
            subject_kind="case",
            subject_id=case_id,
            case_id=case_id,
            facts=facts,
        )
        for case_id, facts in about
    ]
