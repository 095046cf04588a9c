"""What the flows of bulk jobs share: whose job it is, what its rows ask for, and how it ends.

Not a flow: it opens no transaction. Who ends a job locks its budgets first and its row last, as every chunk does.
"""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import api_keys, users
from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import assessment, job_budgets
from incentives.deeds.job_budgets import Need
from incentives.deeds.wanting import IssueVoucher
from incentives.kernel.actors import SYSTEM, Actor, may
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    BulkJobNotFound,
    BulkJobNotReady,
    BulkJobOfAnother,
    IncidentNotFound,
    IncidentOver,
    Refusal,
)
from incentives.queries.scope import seen_by
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import incidents
from incentives.spending.matching import wanted_now
from incentives.vouchers import bulk_jobs, bulk_rows
from incentives.vouchers.bulk_rows import Kept
from incentives.vouchers.bulk_tables import bulk_jobs as jobs

CREATE = "bulk:create"
INCIDENTS = "incidents:manage"
GONE = "Whoever made this job may not give in bulk any more."
INCIDENT_OVER = "The incident is closed."


def maker(tx: Connection, job: Any) -> Actor | None:
    """Return who made a job as they are now, or None when they may not give in bulk any more."""
    kind, _, text = job.actor.partition(":")
    if job.actor == SYSTEM.label:
        return SYSTEM
    table, gone = (users, users.c.disabled_at) if kind == "person" else (api_keys, api_keys.c.revoked_at)
    row = tx.execute(sa.select(table).where(table.c.id == uuid.UUID(text), gone.is_(None))).one_or_none()
    if row is None:
        return None
    actor = Actor(
        kind=kind,
        id=row.id,
        name=row.name,
        role=row.role,
        location=row.location,
        team=row.team,
        email=row.email if kind == "person" else None,
    )
    return actor if may(actor, CREATE) and (job.incident_id is None or may(actor, INCIDENTS)) else None


def seen(tx: Connection, actor: Actor, job_id: uuid.UUID, *, lock: bool = False) -> Any:
    """Return a job that an actor may see, locked if asked for. Raises ``BulkJobNotFound``."""
    query = sa.select(jobs).where(jobs.c.id == job_id, seen_by(actor, jobs.c.location))
    job = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if job is None:
        raise BulkJobNotFound
    return job


def own(tx: Connection, actor: Actor, job_id: uuid.UUID, *, lock: bool = False) -> Any:
    """Return a job that an actor made. Raises ``BulkJobNotFound`` and ``BulkJobOfAnother``."""
    job = seen(tx, actor, job_id, lock=lock)
    if job.actor != actor.label:
        raise BulkJobOfAnother(made_by=job.actor_name)
    return job


def not_ready(job: Any) -> BulkJobNotReady:
    """Return the refusal of what a job's state does not allow."""
    return BulkJobNotReady(f"The job is {job.status}.", job_status=job.status)


def open_incident(tx: Connection, actor: Actor, incident_id: uuid.UUID) -> Any:
    """Return an incident that goes on. Raises ``IncidentNotFound`` and ``IncidentOver``."""
    query = sa.select(incidents).where(incidents.c.id == incident_id, seen_by(actor, incidents.c.location))
    incident = tx.execute(query).one_or_none()
    if incident is None:
        raise IncidentNotFound(field="incident_id")
    if incident.closed_at is not None:
        raise IncidentOver(field="incident_id")
    return incident


def why_not(tx: Connection, job: Any) -> str | None:
    """Return why a job cannot go on, whatever its rows say, or None."""
    if maker(tx, job) is None:
        return GONE
    if job.incident_id is not None:
        closed = sa.select(incidents.c.closed_at).where(incidents.c.id == job.incident_id)
        if tx.execute(closed).scalar_one_or_none() is not None:
            return INCIDENT_OVER
    return None


def command(core: Core, job: Any, kept: Kept) -> IssueVoucher | Refusal:
    """Return what a kept row asks for, or the refusal of one that is wrong in itself.

    Its key is the file's digest and the line: whatever is tried again, and by whichever job, a line is given once.
    """
    try:
        body = bulk_rows.opened(core, kept)
    except Refusal as refusal:
        return refusal
    named = {name: body[name] for name in _AS_THEY_ARE if body.get(name) is not None}
    return IssueVoucher(
        **named,
        customer=CustomerGiven(**(body.get("customer") or {})),
        channels=tuple(body.get("channels") or ()),
        metadata=body.get("metadata") or {},
        idempotency_key=f"bulk-{job.file_digest}:{kept.line}",
        job_id=job.id,
        incident_id=job.incident_id,
    )


_AS_THEY_ARE = ("issue_tag", "incentive", "amount_minor", "severity", "location", "order_ref", "note")


def refused_because(job: Any) -> str | None:
    """Return why a job that was foreseen does not begin, or None.

    A budget that is too small refuses the whole job, in either mode: what is held is what the whole file would take.
    """
    totals = job.totals
    for name, short in totals["short"].items():
        return (
            f"The budget “{_budget_name(totals, name)}” has no room for the whole job: it bursts by "
            f"{short['count']} rows."
        )
    refused = totals["verdicts"]["refused"]
    if job.mode == "all_or_nothing" and refused:
        return f"All or nothing: {refused} rows would be refused, the first on line {totals['first_refused']}."
    if refused == sum(totals["verdicts"].values()):
        return "No row of it can be given."
    return None


def _budget_name(totals: Mapping[str, Any], key: str) -> str:
    return str(next((each["name"] for each in totals["budgets"] if each["budget"] == key), key))


def is_stale(tx: Connection, core: Core, job: Any, now: datetime) -> bool:
    """Return whether what was foreseen of a job no longer tells what it needs.

    The catalog may be another one, a budget's next period may have begun, and what was refused may be mended by now.
    """
    current = releases.cached_current(tx, core)
    if not job.totals or job.totals.get("release") != current.number or refused_because(job) is not None:
        return True
    return any(
        each[0] not in current.catalog.budgets
        or wanted_now(assessment.budget_rule(current.catalog.budgets[each[0]]), each[1], now).pot.period_key != each[2]
        for each in job.totals["needs"]
    )


def begin(tx: Connection, core: Core, actor: Actor, job: Any, now: datetime) -> None:
    """Hold the budgets of a whole job, and let it run.

    Raises ``BudgetExhausted`` (nothing is held then) and ``BulkJobNotReady`` when it has moved on meanwhile.
    """
    job_budgets.hold(tx, core, actor, job.id, [Need.from_json(each) for each in job.totals["needs"]], now)
    values = {"started_at": job.started_at or now, "ended_at": None, "reason": None, "dry_run": False}
    if not bulk_jobs.move(tx, job.id, [job.status], "running", **values, lease_id=None, lease_until_at=None):
        raise not_ready(job)
    say(tx, core, actor, job.id, "started", now)


def end(
    tx: Connection,
    core: Core,
    actor: Actor,
    job: Any,
    before: Iterable[str],
    status: str,
    now: datetime,
    reason: str | None,
) -> bool:
    """Release what a job still holds, and let it end; False (and nothing must be kept) when it has moved on.

    One that is stopped remembers what it held, nothing too, so that it can go on from there and holds no more.
    """
    needs = job_budgets.release(tx, core, actor, job.id, now)
    values: dict[str, Any] = {"reason": reason, "lease_id": None, "lease_until_at": None}
    if status == "stopped" and job.totals:
        values["totals"] = {**job.totals, "needs": [each.as_json() for each in needs]}
    if not bulk_jobs.move(tx, job.id, before, status, ended_at=now, **values):
        return False
    say(tx, core, actor, job.id, status, now, reason=reason)
    return True


def say(
    tx: Connection,
    core: Core,
    actor: Actor,
    job_id: uuid.UUID,
    deed: str,
    now: datetime,
    *,
    reason: str | None = None,
    **facts: Any,
) -> None:
    """Write into the audit trail what happened to a job."""
    audit.record_all(tx, [job_budgets.event(core, actor, now, job_id, deed, facts, reason=reason)])
