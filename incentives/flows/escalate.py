"""Escalate: what is late is told to whoever leads where it is, once; the worker looks for it."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.deeds import owning
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.messages import outbox
from incentives.recovery.tables import case_clocks, case_tasks, recovery_cases

MOST_AT_ONCE = 100
UNOWNED_AFTER = timedelta(minutes=30)

_TEMPLATES = ("notice-escalated", "notice-unowned", "notice-task-due")


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

    Each clock, each case that nobody owns and each task is told of once, however many processes look. The cases of
    somebody who was shut out, or whose role works on none any more, are nobody's from here on.
    """
    now = core.clock.now()
    with core.database.write() as tx:
        _release(tx, core, now)
        clocks, unowned, tasks = _clocks(tx, now), _unowned(tx, now), _tasks(tx, now)
        _tell(
            tx,
            core,
            now,
            [
                *(
                    ("notice-escalated", case_id, location or None, None)
                    for case_id, location in sorted({(row.case_id, row.location or "") for row in clocks})
                ),
                *(("notice-unowned", row.id, row.location, None) for row in unowned),
                *(("notice-task-due", row.case_id, row.location, row.owner) for row in tasks),
            ],
        )
        events = [
            *_events(
                core, now, "escalated", ((row.case_id, {"clock": row.clock, "round": row.round}) for row in clocks)
            ),
            *_events(core, now, "unowned", ((row.id, {}) for row in unowned)),
            *_events(core, now, "task-due", ((row.case_id, {"task": str(row.id)}) for row in tasks)),
        ]
        audit.record_all(tx, events)
    return Escalated(clocks=len(clocks), unowned=len(unowned), tasks=len(tasks))


def _release(tx: Connection, core: Core, now: datetime) -> None:
    """Take open cases from people who were shut out, or work on cases no longer, so that they wait for somebody."""
    case = recovery_cases.c
    left = sa.or_(users.c.disabled_at.is_not(None), users.c.role.not_in(owning.WORKERS))
    gone = tx.execute(sa.select(users.c.id).where(left)).scalars().all()
    if not gone:
        return
    theirs = sa.and_(case.status == "open", case.owner.in_([f"person:{each}" for each in gone]))
    query = sa.select(case.id, case.owner, case.owner_team).where(theirs).order_by(case.id).limit(MOST_AT_ONCE)
    found = tx.execute(query.with_for_update(skip_locked=True, key_share=True)).all()
    if found:
        nobodys = {"owner": None, "assigned_at": None, "unowned_told_at": None, "changed_at": now}
        tx.execute(recovery_cases.update().where(case.id.in_([row.id for row in found])).values(nobodys))
    facts = ((row.id, {"owner": None, "team": row.owner_team, "by": "left", "before": row.owner}) for row in found)
    audit.record_all(tx, _events(core, now, "assigned", facts))


_Late = tuple[str, uuid.UUID, str | None, str | None]
"""A notice's template, its case and location, and the label of whoever it is for, None for whoever leads."""


def _tell(tx: Connection, core: Core, now: datetime, late: Collection[_Late]) -> None:
    """Put notices into the outbox for whom each is, else, where they are gone too, for whoever leads there."""
    if not late:
        return
    table = users.c
    ids = {found for *_, owner in late if (found := owning.person_id(owner))}
    here = set(tx.execute(sa.select(table.id).where(table.id.in_(ids), table.disabled_at.is_(None))).scalars())
    leaders = {
        location: [found for label in owning.leaders(tx, location) if (found := owning.person_id(label))]
        for location in {location for _, _, location, _ in late}
    }
    told, notices = outbox.told_lately(tx, now, _TEMPLATES), []
    for template, case_id, location, owner in late:
        person = owning.person_id(owner)
        for user_id in [person] if person and person in here else leaders[location]:
            told[user_id] = told.get(user_id, 0) + 1
            if told[user_id] <= outbox.MOST_NOTICES:
                notices.append(outbox.notice(core=core, now=now, case_id=case_id, user_id=user_id, template=template))
    outbox.enqueue(tx, notices)


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
