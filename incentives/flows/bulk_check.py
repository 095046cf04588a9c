"""A job is foreseen row by row before anything is charged; then it waits, or holds its budgets and runs."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.deeds import jobbing
from incentives.deeds.foreseeing import Foresight, ReleaseChanged
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import BudgetExhausted
from incentives.vouchers import bulk_jobs, bulk_rows

__all__ = ["Checked", "check_job", "check_next"]

BATCH_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How many rows of a job were foreseen so far."""

    job_id: uuid.UUID
    rows: int


def check_next(*, core: Core) -> Iterator[Checked]:
    """Foresee the oldest job that waits for it and that nobody is at, step by step; nothing when there is none."""
    with core.database.read() as tx:
        waiting = bulk_jobs.in_states(tx, ["checking"])
    for job_id in waiting:
        steps = check_job(core=core, job_id=job_id)
        first = next(steps, None)
        if first is not None:
            yield first
            yield from steps
            return


def check_job(*, core: Core, job_id: uuid.UUID) -> Iterator[Checked]:
    """Foresee a job, step by step; nothing when somebody else is at it or it does not wait for that.

    Each batch is read and judged in a session that cannot write, and its verdicts are written in a transaction of
    their own. A process that dies loses what it remembered, so another one begins anew once the lease has ended; and
    so does this one when another catalog comes into force meanwhile.
    """
    now = core.clock.now()
    lease_id = core.ids.new(now)
    with core.database.write() as tx:
        if not bulk_jobs.lease(tx, job_id, "checking", lease_id, now):
            return
        job = bulk_jobs.one(tx, job_id)
        actor, reason = jobbing.maker(tx, job), jobbing.why_not(tx, job)
        if actor is None or reason is not None:
            jobbing.end(tx, core, SYSTEM, job, ["checking"], "refused", now, reason)
            return
    while True:
        foresight = Foresight(core, actor, core.clock.now())
        try:
            yield from _foresee(core, job, lease_id, foresight)
        except ReleaseChanged:
            continue  # Half of it by one catalog and half by another would be foreseen of neither.
        finally:
            foresight.close()
        return


def _foresee(core: Core, job: Any, lease_id: uuid.UUID, foresight: Foresight) -> Iterator[Checked]:
    line, count, of_note = 0, 0, 0
    while True:
        with core.database.read() as tx:
            kept = bulk_rows.waiting(tx, job.id, after=line, most=BATCH_ROWS)
            verdicts = foresight.judge(tx, [jobbing.command(core, job, each) for each in kept]) if kept else []
        if not kept:
            break
        line, count = kept[-1].line, count + len(kept)
        with core.database.write() as tx:
            if not bulk_jobs.renew(tx, job.id, "checking", lease_id, core.clock.now(), rows_checked=count):
                return
            bulk_rows.judge(tx, job.id, [(each.line, verdict) for each, verdict in zip(kept, verdicts, strict=True)])
        of_note = of_note or _first_refused(kept, verdicts)
        yield Checked(job_id=job.id, rows=count)
    _conclude(core, job.id, lease_id, foresight, foresight.totals.as_json() | {"first_refused": of_note or None})
    yield Checked(job_id=job.id, rows=count)


def _first_refused(kept: list[bulk_rows.Kept], verdicts: list[dict[str, Any]]) -> int:
    refused = (row.line for row, verdict in zip(kept, verdicts, strict=True) if verdict["status"] == "refused")
    return next(refused, 0)


def _conclude(
    core: Core, job_id: uuid.UUID, lease_id: uuid.UUID, foresight: Foresight, totals: Mapping[str, Any]
) -> None:
    """Let a dry run wait for its start; let a job run that may, and say why one may not.

    Until that is committed it is a job that is being foreseen: whoever dies here leaves it to be foreseen anew.
    """
    now = core.clock.now()
    try:
        with core.database.write() as tx:
            foresight.same_release(tx)
            if bulk_jobs.renew(tx, job_id, "checking", lease_id, now, totals=dict(totals), checked_at=now):
                _go_on(tx, core, bulk_jobs.one(tx, job_id), now)
    except BudgetExhausted as refusal:
        with core.database.write() as tx:
            if bulk_jobs.renew(tx, job_id, "checking", lease_id, now, totals=dict(totals), checked_at=now):
                _refuse(tx, core, bulk_jobs.one(tx, job_id), now, refusal.detail)


def _go_on(tx: Connection, core: Core, job: Any, now: datetime) -> None:
    actor = jobbing.maker(tx, job)
    if job.dry_run or actor is None:
        bulk_jobs.move(tx, job.id, ["checking"], "checked", lease_id=None, lease_until_at=None)
        return
    reason = jobbing.refused_because(job)
    if reason is None:
        jobbing.begin(tx, core, actor, job, now)
    else:
        _refuse(tx, core, job, now, reason)


def _refuse(tx: Connection, core: Core, job: Any, now: datetime, reason: str) -> None:
    jobbing.end(tx, core, jobbing.maker(tx, job) or SYSTEM, job, ["checking"], "refused", now, reason)
