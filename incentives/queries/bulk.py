"""Bulk jobs as they stand, and what became of each of their rows."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import BulkJobNotFound, InputInvalid
from incentives.queries.paging import LIMIT_MAX, Page, page
from incentives.queries.scope import seen_by
from incentives.vouchers.bulk_rows import told
from incentives.vouchers.bulk_tables import ROW_STATUSES, bulk_jobs, bulk_rows
from incentives.vouchers.tables import vouchers

_READ = "bulk:create"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job and how far it is. ``totals`` are what was foreseen; empty until then."""

    id: uuid.UUID
    status: str
    mode: str
    dry_run: bool
    file_name: str | None
    file_digest: str
    format: str
    incident_id: uuid.UUID | None
    retry_of_id: uuid.UUID | None
    actor: str
    actor_name: str
    location: str | None
    rows_total: int
    rows_checked: int
    rows_refused: int
    rows_issued: int
    rows_pending: int
    totals: Mapping[str, Any]
    reason: str | None
    created_at: datetime
    checked_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def rows_done(self) -> int:
        """Return how many rows were given, asked for or refused."""
        return self.rows_issued + self.rows_pending + self.rows_refused

    @property
    def goes_on(self) -> bool:
        """Return whether something is being done about it now."""
        return self.status in ("loading", "checking", "running", "stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One row: its line, what would become of it, and what did. ``error`` says why it was refused."""

    line: int
    status: str
    verdict: Mapping[str, Any] | None
    issuance_id: uuid.UUID | None
    voucher_id: uuid.UUID | None
    error: Mapping[str, Any] | None


_JOB = sa.select(*(bulk_jobs.c[name] for name in Job.__dataclass_fields__))


def list_jobs(
    *, core: Core, actor: Actor, incident_id: uuid.UUID | None = None, limit: int = 50, after: str | None = None
) -> Page[Job]:
    """Return jobs, the newest first. Raises ``NotPermitted`` and ``InputInvalid``."""
    permit(actor, _READ)
    query = _JOB.where(seen_by(actor, bulk_jobs.c.location))
    if incident_id is not None:
        query = query.where(bulk_jobs.c.incident_id == incident_id)
    with core.database.read() as tx:
        return page(tx, query, bulk_jobs.c.id, _job, limit=limit, after=after)


def one_job(*, core: Core, actor: Actor, job_id: uuid.UUID) -> Job:
    """Return a job. Raises ``BulkJobNotFound`` and ``NotPermitted``."""
    permit(actor, _READ)
    with core.database.read() as tx:
        return _seen(tx, actor, job_id)


def _seen(tx: Connection, actor: Actor, job_id: uuid.UUID) -> Job:
    row = tx.execute(_JOB.where(bulk_jobs.c.id == job_id, seen_by(actor, bulk_jobs.c.location))).one_or_none()
    if row is None:
        raise BulkJobNotFound
    return _job(row)


def _job(row: Any) -> Job:
    return Job(**row._mapping)  # noqa: SLF001 - how SQLAlchemy gives a row as a mapping


def job_rows(
    *,
    core: Core,
    actor: Actor,
    job_id: uuid.UUID,
    status: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[JobRow]:
    """Return rows of a job in their order; ``status`` is one of theirs, or ``would_be_refused`` before it runs.

    Raises ``BulkJobNotFound``, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, _READ)
    if not 1 <= limit <= LIMIT_MAX:
        raise InputInvalid(errors=[{"field": "limit", "message": f"limit is 1 to {LIMIT_MAX}."}])
    with core.database.read() as tx:
        _seen(tx, actor, job_id)
        rows = _rows(tx, core, job_id, _line(after), limit + 1, status)
    more = len(rows) > limit
    return Page(items=rows[:limit], next=str(rows[limit - 1].line) if more else None)


def result_rows(*, core: Core, actor: Actor, job_id: uuid.UUID) -> Iterator[JobRow]:
    """Yield every row of a job in its order, a thousand at a time: a file of any length takes the same memory.

    Raises ``BulkJobNotFound`` and ``NotPermitted`` before the first.
    """
    permit(actor, _READ)
    with core.database.read() as tx:
        _seen(tx, actor, job_id)
    return _stream(core, job_id)


def _stream(core: Core, job_id: uuid.UUID) -> Iterator[JobRow]:
    line = 0
    while True:
        with core.database.read() as tx:
            rows = _rows(tx, core, job_id, line, _AT_ONCE, None)
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        line = rows[-1].line


def _line(after: str | None) -> int:
    if after is None:
        return 0
    if not (after.isascii() and after.isdecimal() and len(after) <= len("1000001")):
        message = "Use the cursor of the page before, as it came."
        raise InputInvalid(errors=[{"field": "after", "message": message}])
    return int(after)


def _rows(tx: Connection, core: Core, job_id: uuid.UUID, after: int, limit: int, status: str | None) -> list[JobRow]:
    table = bulk_rows.c
    query = (
        sa.select(
            table.line,
            table.status,
            table.verdict,
            table.issuance_id,
            vouchers.c.id.label("voucher_id"),
            table.problem.label("error"),
        )
        .outerjoin(vouchers, (vouchers.c.issuance_id == table.issuance_id) & (vouchers.c.number == 1))
        .where(table.job_id == job_id, table.line > after, *_in_status(status))
        .order_by(table.line)
        .limit(limit)
    )
    return [
        JobRow(**{**row, "verdict": told(core, row["verdict"]), "error": told(core, row["error"])})
        for row in tx.execute(query).mappings()
    ]


def _in_status(status: str | None) -> list[sa.ColumnElement[bool]]:
    table = bulk_rows.c
    if status is None:
        return []
    if status == "would_be_refused":
        return [table.verdict["status"].as_string() == "refused"]
    if status not in ROW_STATUSES:
        message = f"A status is one of {', '.join((*ROW_STATUSES, 'would_be_refused'))}."
        raise InputInvalid(errors=[{"field": "status", "message": message}])
    return [table.status == status]
