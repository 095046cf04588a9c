"""A job runs: chunk by chunk, each in one transaction with what it gives, so that a death loses and doubles nothing.

A chunk takes rows that nobody else is at, gives them, gives back what the job held for them, and writes what became of
each. Any number of workers may be at one job. Whoever stops it waits for the chunks that are under way, a fraction of a
second; what was given by then stays given.

``best_effort`` goes on where a row is refused. ``all_or_nothing`` begins only when every row was foreseen to be good,
and stops at the first that is refused after all; the chunk in which that happens is undone, the chunks before it stay.
"""

import logging
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.deeds import jobbing, reviewing
from incentives.deeds.giving import AwaitingApproval, Issued, IssueVoucher, give
from incentives.deeds.job_budgets import JobHold
from incentives.kernel.actors import SYSTEM, Actor, permit
from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    BulkJobNotReady,
    BulkRowBroke,
    IdempotencyKeyInFlight,
    IssuingStopped,
    Refusal,
    StorageUnavailable,
)
from incentives.safeguards import switches
from incentives.vouchers import bulk_jobs, bulk_rows
from incentives.vouchers.bulk_rows import Fate, Kept

__all__ = ["Chunk", "Pace", "Retry", "retry_job", "run_chunk", "run_next", "start_job", "stop_job"]

CHUNK_SECONDS = 0.35
"""What a chunk aims to take: whoever else gives waits so long for the budgets, and so does whoever stops the job."""
_CHUNK_ROWS = (40, 500)
_BROKEN_MOST = 3
_STOPPED = "Stopped by {name}."

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pace:
    """How many rows a worker takes at once: few at first, then as many as it can give in a third of a second."""

    rows: int = 50
    after: int = 0  # the last line it took: those before it are another's, or done
    broken: int = 0  # how many rows in succession met a bug by themselves

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a chunk."""
        fitting = int(rows * CHUNK_SECONDS / max(seconds, 0.001))
        self.rows = min(max(fitting, _CHUNK_ROWS[0]), _CHUNK_ROWS[1], self.rows * 2)
        self.broken = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one step did: how many rows, and whether the job goes on."""

    job_id: uuid.UUID
    rows: int
    goes_on: bool


class _Stop(Exception):
    """The chunk is undone, and the job stops for a reason; what is left of its ``refused`` rows is not undone."""

    def __init__(self, reason: str | None = None, refused: Sequence[Refusal] = ()) -> None:
        super().__init__(reason or "")
        self.refused = refused


def start_job(*, core: Core, actor: Actor, job_id: uuid.UUID) -> str:
    """Let a job of one's own run, or go on after it was stopped; return its status.

    It runs at once when what was foreseen still holds, and is foreseen anew before otherwise (``checking``). Raises
    ``BudgetExhausted`` naming the budget that has no room for all of it, ``BulkJobNotFound``, ``BulkJobOfAnother``,
    ``BulkJobNotReady``, ``IncidentOver``, ``NotPermitted``.
    """
    permit(actor, jobbing.CREATE)
    now = core.clock.now()
    with core.database.write() as tx:
        job = jobbing.own(tx, actor, job_id)
        if job.incident_id is not None:
            permit(actor, jobbing.INCIDENTS)
            jobbing.open_incident(tx, actor, job.incident_id)
        if job.status in ("running", "checking") and not job.dry_run:
            return str(job.status)
        if job.status not in ("checked", "stopped", "refused", "checking"):
            raise jobbing.not_ready(job)
        if job.status != "checking" and not jobbing.is_stale(tx, core, job, now):
            jobbing.begin(tx, core, actor, job, now)
            return "running"
        again = {"dry_run": False, "ended_at": None, "reason": None}
        if not bulk_jobs.move(tx, job_id, [job.status], "checking", **again):
            raise jobbing.not_ready(job)
    return "checking"


def stop_job(*, core: Core, actor: Actor, job_id: uuid.UUID, reason: str | None = None) -> None:
    """Stop a job: no row is given once this returns, and what it held is free again. It can be started again.

    Raises ``BulkJobNotFound``, ``BulkJobNotReady`` and ``NotPermitted``.
    """
    permit(actor, jobbing.CREATE)
    now = core.clock.now()
    told = reason or _STOPPED.format(name=actor.name)
    with core.database.write() as tx:
        job = jobbing.seen(tx, actor, job_id)
        # What was known of one that is being foreseen anew is out of date: it is foreseen when it is started again.
        if not (
            bulk_jobs.move(tx, job_id, ["checking"], "stopping", reason=told, stopped_by=actor.label, totals={})
            or bulk_jobs.move(tx, job_id, ["running"], "stopping", reason=told, stopped_by=actor.label)
        ):
            raise jobbing.not_ready(job)
    _end(core, actor, job_id, ["stopping"], "stopped", now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The job that tries again what another refused; ``replayed`` when there is one already."""

    id: uuid.UUID
    rows: int
    replayed: bool = False


def retry_job(*, core: Core, actor: Actor, job_id: uuid.UUID) -> Retry:
    """Make a job of the rows that a job of one's own has refused, and of no others; it runs once it was foreseen.

    Raises ``BulkJobNotFound``, ``BulkJobOfAnother``, ``BulkJobNotReady`` (it goes on, or refused nothing), and
    ``NotPermitted``.
    """
    permit(actor, jobbing.CREATE)
    now = core.clock.now()
    new_id = core.ids.new(now)
    with core.database.write() as tx:
        job = jobbing.own(tx, actor, job_id, lock=True)  # Of two who ask at once, the second finds the first one's job.
        if job.status not in ("done", "stopped") or not job.rows_refused:
            raise BulkJobNotReady("Only what a job refused can be tried again, once it is over.", job_status=job.status)
        there = bulk_jobs.retry_of(tx, job_id)
        if there is not None:
            return Retry(id=there.id, rows=there.rows_total, replayed=True)
        rows = bulk_jobs.copy_refused(tx, job, new_id, now)
        jobbing.say(tx, core, actor, new_id, "loaded", now, rows=rows, retry_of=str(job_id))
    return Retry(id=new_id, rows=rows)


def run_next(*, core: Core, paces: dict[uuid.UUID, Pace]) -> int:
    """Give a chunk of each job that runs, and end those that are over; return how many rows that were.

    ``paces`` is what this worker has learnt of each job.
    """
    with core.database.read() as tx:
        going = bulk_jobs.in_states(tx, ["running", "stopping"])
    for job_id in paces.keys() - set(going):
        del paces[job_id]
    return sum(run_chunk(core=core, job_id=job_id, pace=paces.setdefault(job_id, Pace())).rows for job_id in going)


def run_chunk(*, core: Core, job_id: uuid.UUID, pace: Pace) -> Chunk:
    """Give the next rows of a job that nobody is at; end it when none is left, or when it must not go on.

    A row that meets a bug is tried alone, and refused then: in ``best_effort`` those behind it are given all the same.
    Several in succession are no trouble of a row's, and stop the job with their lines.
    """
    now, began = core.clock.now(), elapsed_seconds()
    taken: list[Kept] = []
    job: Any = None
    stopped = False
    try:
        with core.database.write() as tx:
            job = bulk_jobs.one(tx, job_id)
            if job is None or job.status not in ("running", "stopping"):
                return Chunk(job_id=job_id, rows=0, goes_on=False)
            if job.status == "running":
                taken += bulk_rows.waiting(tx, job_id, after=pace.after, most=pace.rows, lease=True)
                stopped = _give(tx, core, job, taken, now) if taken else False
    except _Stop as stop:
        return _stopped(core, job_id, str(stop), now, stop.refused)
    except (IdempotencyKeyInFlight, StorageUnavailable):
        raise  # Nothing is wrong with the rows: whoever works on it tries again.
    except Refusal as refusal:
        return _stopped(core, job_id, refusal.detail, now)
    except Exception:
        if job is None:
            raise  # It was not even looked at: nothing is known to be wrong with it.
        log.exception("job %s stumbled", job_id)
        return _broken(core, job, taken, pace, now)
    if not taken:
        return _over(core, job, pace, now)
    if stopped:
        switches.forget(core)
    pace.after = taken[-1].line
    pace.took(len(taken), elapsed_seconds() - began)
    return Chunk(job_id=job_id, rows=len(taken), goes_on=True)


def _broken(core: Core, job: Any, rows: Sequence[Kept], pace: Pace, now: datetime) -> Chunk:
    """Go on in spite of a bug: with fewer rows, without the one that met it; or stop the job, with the lines."""
    if job.mode == "best_effort" and len(rows) > 1:
        pace.rows = 1
        return Chunk(job_id=job.id, rows=0, goes_on=True)
    if job.mode == "best_effort" and rows and pace.broken < _BROKEN_MOST:
        pace.broken += 1
        pace.after = rows[0].line
        fate = Fate(line=rows[0].line, status="refused", problem=bulk_rows.problem_of(core, BulkRowBroke()))
        with core.database.write() as tx:
            # Another worker may have given it meanwhile, or somebody stopped the job.
            if bulk_rows.waiting(tx, job.id, after=fate.line - 1, most=1, lease=True)[:1] == list(rows):
                bulk_rows.settle(tx, job.id, [fate])
                bulk_rows.count(tx, job.id, [fate])
        return Chunk(job_id=job.id, rows=1, goes_on=True)
    lines = f" at lines {rows[0].line} to {rows[-1].line}" if rows else ""
    return _stopped(core, job.id, f"Something broke on our side{lines}. Nothing of these was given.", now)


def _give(tx: Connection, core: Core, job: Any, rows: Sequence[Kept], now: datetime) -> bool:
    """Give rows in the name of who made the job, and write what is left of those that rules against abuse refused.

    Return whether a switch was set for one of them, which this process must not miss once that is committed.
    """
    why_not = jobbing.why_not(tx, job)
    actor = jobbing.maker(tx, job)
    if why_not or actor is None:
        raise _Stop(why_not)
    wanted = [jobbing.command(core, job, each) for each in rows]
    commands = [each for each in wanted if isinstance(each, IssueVoucher)]
    results = iter(give(tx, core, actor, commands, now, job=JobHold(job.id, core.ids.new(now))))
    answers = [each if isinstance(each, Refusal) else next(results) for each in wanted]
    refused = [each for each in answers if isinstance(each, Refusal)]
    try:
        fates = [_fate(core, job, row.line, answer) for row, answer in zip(rows, answers, strict=True)]
    except _Stop as stop:
        raise _Stop(str(stop), refused) from None
    bulk_rows.settle(tx, job.id, fates)
    if not bulk_rows.count(tx, job.id, fates):
        raise _Stop  # Somebody has ended it while this chunk waited for its budgets.
    return reviewing.remember(tx, core, actor, refused, now)


def _fate(core: Core, job: Any, line: int, answer: Issued | AwaitingApproval | Refusal) -> Fate:
    if isinstance(answer, IssuingStopped):
        raise _Stop(answer.detail)
    if not isinstance(answer, Refusal):
        return Fate(line=line, status=answer.status, issuance_id=answer.id)
    if job.mode == "all_or_nothing":
        # Its kind only: the detail may quote what the row says of a customer, and a job's reason is kept in clear.
        raise _Stop(f"All or nothing: line {line} was refused. {answer.title}.")
    return Fate(line=line, status="refused", problem=bulk_rows.problem_of(core, answer))


def _stopped(core: Core, job_id: uuid.UUID, reason: str, now: datetime, refused: Sequence[Refusal] = ()) -> Chunk:
    """Stop a job from within; what is left of rows that rules against abuse refused is written all the same."""
    switched = False
    with core.database.write() as tx:
        if reviewing.left_of(refused):
            maker = jobbing.maker(tx, bulk_jobs.one(tx, job_id)) or SYSTEM
            switched = reviewing.remember(tx, core, maker, refused, now)
        mine = bulk_jobs.move(tx, job_id, ["running"], "stopping", reason=reason, stopped_by=SYSTEM.label)
    if switched:
        switches.forget(core)
    if mine:
        _end(core, SYSTEM, job_id, ["stopping"], "stopped", now)
    return Chunk(job_id=job_id, rows=0, goes_on=False)


def _over(core: Core, job: Any, pace: Pace, now: datetime) -> Chunk:
    """Look once more from the first line on; where no row waits at all, the job is over."""
    if job.status == "running":
        with core.database.read() as tx:
            if bulk_rows.any_waiting(tx, job.id):
                pace.after = 0
                return Chunk(job_id=job.id, rows=0, goes_on=True)
    _end(core, SYSTEM, job.id, [job.status], "done" if job.status == "running" else "stopped", now)
    return Chunk(job_id=job.id, rows=0, goes_on=False)


class _MovedOn(Exception):
    """Somebody else has ended the job."""


def _end(core: Core, actor: Actor, job_id: uuid.UUID, before: list[str], status: str, now: datetime) -> None:
    """End a job, unless somebody else does: release what it holds, and say so, in one transaction."""
    with suppress(_MovedOn), core.database.write() as tx:
        _end_in(tx, core, actor, bulk_jobs.one(tx, job_id), before, status, now)


def _end_in(tx: Connection, core: Core, actor: Actor, job: Any, before: list[str], status: str, now: datetime) -> None:
    if not jobbing.end(tx, core, actor, job, before, status, now, job.reason):
        raise _MovedOn
