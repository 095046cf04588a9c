"""Files for bulk jobs, and the steps from a file to what became of it."""

import io
import uuid
from typing import Any

import sqlalchemy as sa

from incentives.flows.bulk_check import check_job
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import Pace, run_chunk
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.bulk import Job, JobRow, job_rows, one_job


def csv_of(*rows: str, header: str = "issue_tag,email,amount_minor") -> bytes:
    """Return a CSV file."""
    return "\n".join((header, *rows, "")).encode()


def people(number: int, *, start: int = 0, tag: str = "long-wait") -> bytes:
    """Return a CSV file with so many customers, each with an address of their own."""
    return csv_of(*(f"{tag},c{each}@customer.example," for each in range(start, start + number)))


def loaded(core: Core, actor: Actor, file: bytes, **more: Any) -> uuid.UUID:
    """Load a file and return its job."""
    command = LoadJob(**{"file": io.BytesIO(file), "format": "csv", **more})
    return load_job(core=core, actor=actor, command=command).id


def checked(core: Core, actor: Actor, file: bytes, **more: Any) -> Job:
    """Load a file as a dry run, and return the job once it was foreseen."""
    job_id = loaded(core, actor, file, **{"dry_run": True, **more})
    return foreseen(core, actor, job_id)


def foreseen(core: Core, actor: Actor, job_id: uuid.UUID) -> Job:
    """Foresee a job to its end."""
    for _ in check_job(core=core, job_id=job_id):
        pass
    return one_job(core=core, actor=actor, job_id=job_id)


def chunk(core: Core, job_id: uuid.UUID, rows: int = 500) -> int:
    """Give one chunk of a job."""
    return run_chunk(core=core, job_id=job_id, pace=Pace(rows=rows)).rows


def finished(core: Core, actor: Actor, job_id: uuid.UUID, rows: int = 500) -> Job:
    """Let a job that runs come to its end."""
    pace = Pace(rows=rows)
    while run_chunk(core=core, job_id=job_id, pace=pace).goes_on:
        pace.rows = rows
    return one_job(core=core, actor=actor, job_id=job_id)


def done(core: Core, actor: Actor, file: bytes, rows: int = 500, **more: Any) -> Job:
    """Load a file, and let its job come to its end."""
    job_id = loaded(core, actor, file, **more)
    foreseen(core, actor, job_id)
    return finished(core, actor, job_id, rows)


def count(core: Core, table: sa.Table) -> int:
    """Return how many rows a table has."""
    with core.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def rows_of(core: Core, actor: Actor, job: Job) -> tuple[JobRow, ...]:
    """Return the rows of a job."""
    return tuple(job_rows(core=core, actor=actor, job_id=job.id, limit=200).items)
