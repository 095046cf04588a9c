"""A file of many rows becomes a job: read row by row, kept in batches, and the same file is the same job again."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO

from incentives.deeds import assessment, jobbing
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import BulkJobNotReady, InputInvalid
from incentives.vouchers import bulk_jobs, bulk_reading, bulk_rows
from incentives.vouchers.bulk_reading import Row

__all__ = ["LoadJob", "Loaded", "load_job"]

BATCH_ROWS = 1000
_DEFAULTS = frozenset(
    {"issue_tag", "incentive", "amount_minor", "severity", "location", "order_ref", "note", "channels"}
)
_NAME_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadJob:
    """A file, from its beginning, and what holds for all of its rows that do not say otherwise (``defaults``).

    ``dry_run`` only foresees; otherwise it runs once it was foreseen. With ``again`` the same file is given once more:
    it is a key that tells this time from any other, so that sending it twice with one key is one more time, not two.
    """

    file: BinaryIO
    format: str
    file_name: str | None = None
    mode: str = "best_effort"
    dry_run: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    incident_id: uuid.UUID | None = None
    again: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The job of a file; ``replayed`` when it was there before."""

    id: uuid.UUID
    rows: int
    replayed: bool = False


def load_job(*, core: Core, actor: Actor, command: LoadJob) -> Loaded:
    """Keep the rows of a file as a job that will be foreseen, and unless it is a dry run then run.

    The same file of the same actor with the same defaults is the job that is there: nothing is given twice. Where that
    one was a dry run and this is none, it is to be started by its own door. Until it has begun it takes the mode that
    is asked for now. Raises ``BulkFileInvalid`` (nothing is kept), ``InputInvalid``, ``IncidentNotFound``,
    ``IncidentOver``, ``OtherLocation``, ``NotPermitted`` and ``BulkJobNotReady`` while the same file is being loaded,
    and where it has begun in another mode.
    """
    permit(actor, jobbing.CREATE)
    if command.incident_id:
        permit(actor, jobbing.INCIDENTS)
    _check(command)
    now = core.clock.now()
    job_id = core.ids.new(now)
    said = {**command.defaults, "incident_id": command.incident_id, "again": command.again}
    digest = bulk_jobs.digest_of(command.file, said)
    with core.database.read() as tx:
        there = bulk_jobs.of_file(tx, actor.label, digest)
    if there is not None and there.status != "loading":
        _take_mode(core, there, command.mode)
        return Loaded(id=there.id, rows=there.rows_total, replayed=True)
    rows = sum(1 for _ in _rows(command))
    made = _begin(core, actor, command, job_id, digest, now)
    kept = _keep(core, command, made)
    _complete(core, actor, made, kept)
    return Loaded(id=made.id, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    id: uuid.UUID
    lease_id: uuid.UUID
    defaults: Mapping[str, Any]


def _check(command: LoadJob) -> None:
    wrong = []
    if command.format not in bulk_reading.FORMATS:
        wrong.append({"field": "format", "message": "A file is csv or ndjson."})
    if command.mode not in bulk_jobs.MODES:
        wrong.append({"field": "mode", "message": "A mode is best_effort or all_or_nothing."})
    wrong += [
        {"field": name, "message": "This cannot hold for all rows."}
        for name in command.defaults
        if name not in _DEFAULTS
    ]
    if wrong:
        raise InputInvalid(errors=wrong)
    bulk_reading.checked({"issue_tag": "-", **command.defaults})


def _take_mode(core: Core, there: Any, mode: str) -> None:
    """Let a job run as it is asked for now, unless it has begun to run otherwise."""
    if there.mode == mode:
        return
    with core.database.write() as tx:
        if not bulk_jobs.set_mode(tx, there.id, mode):
            raise BulkJobNotReady(f"The same file was begun as {there.mode}.", job_status=there.status)


def _rows(command: LoadJob) -> Iterator[Row]:
    command.file.seek(0)
    return bulk_reading.rows(command.file, command.format)


def _begin(core: Core, actor: Actor, command: LoadJob, job_id: uuid.UUID, digest: str, now: datetime) -> _Making:
    """Make the job, or take over one whose loading a dead process left: it is then what is asked for now.

    Who sent it first may have wanted it given at once, and who sends it now a dry run.
    """
    lease_id = core.ids.new(now)
    with core.database.write() as tx:
        defaults = dict(command.defaults)
        if command.incident_id:
            incident = jobbing.open_incident(tx, actor, command.incident_id)
            assessment.at_home(actor, incident.location)
            defaults = {
                "issue_tag": incident.issue_tag,
                **({"location": incident.location} if incident.location else {}),
                **defaults,
            }
        said = {
            "mode": command.mode,
            "dry_run": command.dry_run,
            "file_name": (command.file_name or "")[-_NAME_LONGEST:] or None,
            "format": command.format,
            "actor_name": actor.name,
            "location": actor.location,
        }
        row = {
            **said,
            "id": job_id,
            "status": "loading",
            "file_digest": digest,
            "incident_id": command.incident_id,
            "actor": actor.label,
            "totals": {},
            "created_at": now,
            "lease_id": lease_id,
            "lease_until_at": now + bulk_jobs.LEASE,
        }
        if not bulk_jobs.make(tx, row):
            there = bulk_jobs.of_file(tx, actor.label, digest)
            if there is None or not bulk_jobs.lease(tx, there.id, "loading", lease_id, now, **said):
                raise BulkJobNotReady("The same file is being loaded right now.", job_status="loading")
            bulk_jobs.empty(tx, there.id)
            job_id = there.id
    return _Making(id=job_id, lease_id=lease_id, defaults=defaults)


def _keep(core: Core, command: LoadJob, made: _Making) -> int:
    """Keep the rows, a batch a transaction; the lease says that somebody is at it."""
    rows, count = _rows(command), 0
    while batch := list(islice(rows, BATCH_ROWS)):
        with core.database.write() as tx:
            count += bulk_rows.add(tx, core, made.id, batch, made.defaults)
            _go_on(tx, core, made, rows_total=count)
    return count


def _go_on(tx: Any, core: Core, made: _Making, **values: Any) -> None:
    if not bulk_jobs.renew(tx, made.id, "loading", made.lease_id, core.clock.now(), **values):
        raise BulkJobNotReady("Somebody else has begun to load the same file.", job_status="loading")


def _complete(core: Core, actor: Actor, made: _Making, rows: int) -> None:
    now = core.clock.now()
    with core.database.write() as tx:
        _go_on(tx, core, made)
        bulk_jobs.move(tx, made.id, ["loading"], "checking", rows_total=rows, lease_id=None, lease_until_at=None)
        jobbing.say(tx, core, actor, made.id, "loaded", now, rows=rows)
