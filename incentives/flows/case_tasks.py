"""Tasks of a case: what is still to be done for the customer, the process or an employee, and that it was done."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from incentives.catalog import releases
from incentives.deeds import casework
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, TaskAlreadyDone, TaskNotFound
from incentives.recovery.tables import TASK_KINDS, case_tasks

# The end of the calendar is an instant too, but no page east of Greenwich can say which day that is.
_LONGEST = timedelta(days=10 * 366)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTask:
    """Something to be done until an instant. Without an owner or a team it is the case's owner's."""

    case_id: uuid.UUID
    kind: str
    title: str
    due_at: datetime
    owner: str | None = None
    owner_team: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAdded:
    """The task that was written down."""

    id: uuid.UUID
    replayed: bool = False


def add_task(*, core: Core, actor: Actor, command: AddTask) -> TaskAdded:
    """Write down what is to be done.

    Raises ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``, ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    task_id = core.ids.new(now)
    casework.one_of(command.kind, TASK_KINDS, "kind")
    title = casework.text(command.title, "title", longest=500, needed="Say what is to be done.")
    if not now < command.due_at <= now + _LONGEST:
        wrong = "a time that is yet to come" if command.due_at <= now else "a time within the next ten years"
        raise InputInvalid(errors=[{"field": "due_at", "message": f"Choose {wrong}."}])
    request = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != "idempotency_key"}
    with core.database.write() as tx:
        before = casework.claimed_before(tx, core, actor, "tasks", command.idempotency_key, request, task_id, now)
        if before:
            return TaskAdded(id=before, replayed=True)
        case = casework.work_on(tx, actor, command.case_id)
        catalog = releases.cached_current(tx, core).catalog
        if command.owner_team is not None and command.owner_team not in catalog.teams:
            raise InputInvalid(errors=[{"field": "owner_team", "message": "There is no such team."}])
        person = casework.person(tx, command.owner, "owner")
        casework.check_sees(tx, person, case.id)
        row = {
            "id": task_id,
            "case_id": case.id,
            "kind": command.kind,
            "title": core.contacts.encrypt(title),
            "owner": command.owner or (None if command.owner_team else case.owner),
            "owner_team": command.owner_team or case.owner_team,
            "due_at": command.due_at,
            "created_at": now,
            "created_by": actor.label,
        }
        tx.execute(case_tasks.insert(), [row])
        casework.change(tx, case.id, now)
        facts = {"task": str(task_id), "kind": command.kind, "due_at": command.due_at.isoformat()}
        casework.say(tx, core, actor, now, case.id, "task-added", facts)
    return TaskAdded(id=task_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishTask:
    """A task was done, with this result."""

    case_id: uuid.UUID
    task_id: uuid.UUID
    result: str


def finish_task(*, core: Core, actor: Actor, command: FinishTask) -> None:
    """Write down that a task was done; what was learned may come long after the case was closed.

    Raises ``TaskNotFound``, ``TaskAlreadyDone``, ``InputInvalid``, ``CaseNotFound``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    result = casework.text(command.result, "result", needed="Say what came of it.")
    table = case_tasks.c
    this = sa.and_(table.id == command.task_id, table.case_id == command.case_id)
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        done = tx.execute(
            case_tasks.update()
            .where(this, table.done_at.is_(None))
            .values(done_at=now, done_by=actor.label, result=core.contacts.encrypt(result))
        )
        if done.rowcount != 1:
            there = tx.execute(sa.select(table.id).where(this)).one_or_none()
            raise TaskAlreadyDone if there else TaskNotFound
        casework.change(tx, case.id, now)
        casework.say(tx, core, actor, now, case.id, "task-done", {"task": str(command.task_id)})
