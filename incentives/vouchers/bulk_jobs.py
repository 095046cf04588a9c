"""Bulk jobs in the database: made once for a file, leased, and moved from state to state by conditional updates."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from incentives.vouchers.bulk_tables import bulk_jobs, bulk_rows

LEASE = timedelta(seconds=60)
MODES = ("best_effort", "all_or_nothing")
_BLOCK_BYTES = 1 << 20
_REASON_LONGEST = 500


def digest_of(file: BinaryIO, said: Mapping[str, Any]) -> str:
    """Return what tells one job from all others: the file, and what was said for all of its rows.

    Without the latter, the same list with another incentive would be taken for the first one.
    """
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    told = {name: value for name, value in said.items() if value}
    if told:
        digest.update(b"\x00" + json.dumps(told, sort_keys=True, default=str).encode())
    file.seek(0)
    return digest.hexdigest()


def of_file(tx: Connection, actor: str, digest: str) -> Any:
    """Return the job that an actor made of a file, or None."""
    table = bulk_jobs.c
    query = sa.select(bulk_jobs).where(table.actor == actor, table.file_digest == digest, table.retry_of_id.is_(None))
    return tx.execute(query).one_or_none()


def make(tx: Connection, row: Mapping[str, Any]) -> bool:
    """Make a job, unless the actor has one of the same file; return whether it was made."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = insert(bulk_jobs).on_conflict_do_nothing().returning(bulk_jobs.c.id)
    return tx.execute(statement, dict(row)).first() is not None


def empty(tx: Connection, job_id: uuid.UUID) -> None:
    """Take the rows of a job away that were kept by a process which died before it had all of them."""
    tx.execute(bulk_rows.delete().where(bulk_rows.c.job_id == job_id))


def one(tx: Connection, job_id: uuid.UUID) -> Any:
    """Return a job's row, or None."""
    return tx.execute(sa.select(bulk_jobs).where(bulk_jobs.c.id == job_id)).one_or_none()


def in_states(tx: Connection, states: Iterable[str]) -> list[uuid.UUID]:
    """Return the jobs that are in some states, the oldest first."""
    table = bulk_jobs.c
    return list(tx.execute(sa.select(table.id).where(table.status.in_(list(states))).order_by(table.id)).scalars())


def set_mode(tx: Connection, job_id: uuid.UUID, mode: str) -> bool:
    """Let a job run in another mode; False when it has begun to run, for its rows were told another rule."""
    this = (bulk_jobs.c.id == job_id) & bulk_jobs.c.started_at.is_(None)
    return tx.execute(bulk_jobs.update().where(this).values(mode=mode)).rowcount == 1


def lease(tx: Connection, job_id: uuid.UUID, status: str, lease_id: uuid.UUID, now: datetime, **values: Any) -> bool:
    """Lease a job for one who works on it alone; False where another does, or it is not in that state."""
    table = bulk_jobs.c
    free = sa.or_(table.lease_until_at.is_(None), table.lease_until_at < now)
    mine = (table.id == job_id) & (table.status == status) & free
    until = {"lease_id": lease_id, "lease_until_at": now + LEASE}
    return tx.execute(bulk_jobs.update().where(mine).values({**until, **values})).rowcount == 1


def renew(tx: Connection, job_id: uuid.UUID, status: str, lease_id: uuid.UUID, now: datetime, **values: Any) -> bool:
    """Go on with a leased job, and write how far it is; False when the lease was lost or the job was stopped."""
    table = bulk_jobs.c
    mine = (table.id == job_id) & (table.status == status) & (table.lease_id == lease_id)
    until = {"lease_until_at": now + LEASE}
    return tx.execute(bulk_jobs.update().where(mine).values({**until, **values})).rowcount == 1


def move(tx: Connection, job_id: uuid.UUID, before: Iterable[str], status: str, **values: Any) -> bool:
    """Move a job from one of some states to another; one conditional update, whose row count is the answer."""
    table = bulk_jobs.c
    if isinstance(values.get("reason"), str):
        values["reason"] = values["reason"][:_REASON_LONGEST]
    condition = (table.id == job_id) & table.status.in_(list(before))
    return tx.execute(bulk_jobs.update().where(condition).values(status=status, **values)).rowcount == 1


def retry_of(tx: Connection, job_id: uuid.UUID) -> Any:
    """Return the job that tries again what another refused, or None; the newest where there were several."""
    table = bulk_jobs.c
    query = sa.select(bulk_jobs).where(table.retry_of_id == job_id).order_by(table.id.desc()).limit(1)
    return tx.execute(query).one_or_none()


def copy_refused(tx: Connection, job: Any, new_id: uuid.UUID, now: datetime) -> int:
    """Make a job of the rows that another has refused, by their lines; return how many."""
    kept = ("mode", "file_name", "file_digest", "format", "incident_id", "actor", "actor_name", "location")
    row = {name: getattr(job, name) for name in kept}
    made = {"id": new_id, "status": "checking", "dry_run": False, "retry_of_id": job.id, "totals": {}}
    tx.execute(bulk_jobs.insert(), {**row, **made, "created_at": now, "rows_total": job.rows_refused})
    table = bulk_rows.c
    refused = sa.select(sa.literal(new_id, table.job_id.type), table.line, sa.literal("waiting"), table.request).where(
        table.job_id == job.id, table.status == "refused"
    )
    names = ["job_id", "line", "status", "request"]
    tx.execute(bulk_rows.insert().from_select(names, refused))
    return int(job.rows_refused)
