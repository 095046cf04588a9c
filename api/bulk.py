"""Bulk: a file of many rows becomes a job, which is foreseen, started, watched, stopped and tried again."""

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from typing import IO, Any

import orjson
from flask import Response, request
from marshmallow import fields, validate
from werkzeug.exceptions import UnsupportedMediaType

from api.authentication import current_actor, current_core
from api.fields import Answer, Key, Query, QueryNumber, QueryTruth, Text
from api.offers import SEVERITY_MAX, SEVERITY_MIN
from api.paging import PageQuery, page_of
from api.problems import type_of
from api.smorest import IDEMPOTENCY_KEY, Blueprint
from incentives.flows import bulk_run
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.kernel import errors
from incentives.kernel.money import AMOUNT_MINOR_MAX
from incentives.kernel.sheet import csv_text
from incentives.queries import bulk
from incentives.queries.bulk import Job, JobRow

blueprint = Blueprint("bulk", "Many rows at once: foreseen before anything is charged, and each given once.")

FILE_BYTES_MAX = 512 * 1024 * 1024
CSV, NDJSON = "text/csv", "application/x-ndjson"
_FORMATS = {CSV: "csv", NDJSON: "ndjson"}
_BLOCK_BYTES = 1 << 20
_CREATE = "bulk:create"
_FILE = {
    CSV: {
        "type": "string",
        "description": "A header and a row for each customer. Columns: issue_tag, incentive, amount_minor, severity, "
        "external_ref, name, email, phone, locale, segment, channels (`email sms`), location, order_ref, note, "
        "metadata.*",
    },
    NDJSON: {"type": "string", "description": "A line for each customer, as the body of POST /issuances."},
}
_ROW_STATUSES = ("waiting", "issued", "pending_approval", "refused", "would_be_refused")


class BulkQuery(Query):
    """How to take the file, and what holds for all of its rows that do not say otherwise."""

    dry_run = QueryTruth(load_default=False, metadata={"description": "Only foresee; start it afterwards, or never."})
    mode = fields.String(
        load_default="best_effort",
        validate=validate.OneOf(("best_effort", "all_or_nothing")),
        metadata={
            "description": "all_or_nothing begins only when every row would be given or asked for, and stops at the "
            "first that is refused after all; what was given by then stays given."
        },
    )
    again = QueryTruth(
        load_default=False,
        metadata={"description": "Give the same file once more: once for each Idempotency-Key, which must be sent."},
    )
    file_name = Text(200)
    incident_id = fields.UUID(metadata={"description": "Each customer in their case of this incident, once."})
    issue_tag = Key()
    incentive = Key()
    amount_minor = QueryNumber(minimum=0, maximum=min(AMOUNT_MINOR_MAX, 999_999_999))
    severity = QueryNumber(minimum=SEVERITY_MIN, maximum=SEVERITY_MAX)
    channels = Text(20, pattern=r"^(email|sms)?( (email|sms))?$", metadata={"description": "`email sms`"})
    location = Key()
    order_ref = Text(200)
    note = Text(2000)


class VerdictsSchema(Answer):
    """How many rows would come to what."""

    issued = fields.Integer()
    pending_approval = fields.Integer()
    refused = fields.Integer()


class CurrencyTotalSchema(Answer):
    """What would be promised in one currency, in minor units."""

    currency = fields.String()
    issued_minor = fields.Integer()
    pending_minor = fields.Integer()


class BudgetTotalSchema(Answer):
    """What would be used of one budget, and what was left of it before; null where it has no such cap."""

    budget = fields.String()
    name = fields.String()
    subject = fields.String()
    period_key = fields.String()
    currency = fields.String(allow_none=True)
    amount_minor = fields.Integer()
    count = fields.Integer()
    left_minor = fields.Integer(allow_none=True)
    left_count = fields.Integer(allow_none=True)


class RefusalTotalSchema(Answer):
    """How many rows would be refused for one reason."""

    type = fields.String()
    rows = fields.Integer()


class TotalsSchema(Answer):
    """What a job was foreseen to do."""

    verdicts = fields.Nested(VerdictsSchema)
    currencies = fields.List(fields.Nested(CurrencyTotalSchema))
    budgets = fields.List(fields.Nested(BudgetTotalSchema))
    refusals = fields.List(fields.Nested(RefusalTotalSchema))


class JobSchema(Answer):
    """A job and how far it is."""

    id = fields.UUID()
    status = fields.String(
        metadata={"description": "loading, checking, checked, running, stopping, stopped, done, refused"}
    )
    mode = fields.String()
    dry_run = fields.Boolean()
    file_name = fields.String(allow_none=True)
    file_digest = fields.String(metadata={"description": "SHA-256 of the file and of what was said for all its rows."})
    format = fields.String()
    incident_id = fields.UUID(allow_none=True)
    retry_of_id = fields.UUID(allow_none=True)
    actor_name = fields.String()
    location = fields.String(allow_none=True)
    rows_total = fields.Integer()
    rows_checked = fields.Integer()
    rows_issued = fields.Integer()
    rows_pending = fields.Integer()
    rows_refused = fields.Integer()
    totals = fields.Nested(TotalsSchema, allow_none=True, metadata={"description": "Null until it was foreseen."})
    reason = fields.String(allow_none=True, metadata={"description": "Why it was refused or stopped."})
    created_at = fields.AwareDateTime()
    checked_at = fields.AwareDateTime(allow_none=True)
    started_at = fields.AwareDateTime(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)


class JobLoadedSchema(JobSchema):
    """The job of a file. `repeated` when the same file was sent before: nothing is given twice."""

    repeated = fields.Boolean()


class JobRetrySchema(JobSchema):
    """The job that tries again. `repeated` when there was one already."""

    repeated = fields.Boolean()


class JobsQuery(PageQuery):
    """Which jobs."""

    incident_id = fields.UUID()


class RowsQuery(PageQuery):
    """Which rows."""

    status = fields.String(validate=validate.OneOf(_ROW_STATUSES))


class RowErrorSchema(Answer):
    """Why a row was refused, or would be."""

    type = fields.String()
    detail = fields.String()
    field = fields.String(allow_none=True)


class RowVerdictSchema(Answer):
    """What a row was foreseen to come to."""

    status = fields.String()
    incentive = fields.String(allow_none=True)
    amount_minor = fields.Integer(allow_none=True)
    currency = fields.String(allow_none=True)
    reasons = fields.List(fields.String())
    error = fields.Nested(RowErrorSchema, allow_none=True)


class RowSchema(Answer):
    """One row of a job's file."""

    line = fields.Integer()
    status = fields.String()
    issuance_id = fields.UUID(allow_none=True)
    voucher_id = fields.UUID(allow_none=True)
    error = fields.Nested(RowErrorSchema, allow_none=True)
    verdict = fields.Nested(RowVerdictSchema, allow_none=True)


_JOB_REFUSALS = (errors.BulkJobNotFound, errors.NotFound)
_LINKS = {
    "GetJob": {"operationId": "get_job", "parameters": {"job_id": "$response.body#/id"}},
    "StopJob": {"operationId": "stop_bulk", "parameters": {"job_id": "$response.body#/id"}},
}


@blueprint.post("/issuances/bulk")
@blueprint.asks(_CREATE)
@blueprint.arguments(BulkQuery(), location="query")
@blueprint.idempotent(required=False)
@blueprint.takes(_FILE)
@blueprint.refuses(
    errors.BulkFileInvalid,
    errors.InputInvalid,
    errors.BulkJobNotReady,
    errors.BudgetExhausted,
    errors.NoCatalog,
    errors.IncidentNotFound,
    errors.IncidentOver,
    errors.OtherLocation,
)
@blueprint.answers({202: JobLoadedSchema()}, links=_LINKS)
def issue_in_bulk(query: dict[str, Any], *, idempotency_key: str | None) -> Any:
    """Take a file of up to a million rows. It is foreseen, its budgets are held, then each row is given once.

    The same file of the same caller is the same job again, so it may be sent again after a time-out. Until it has
    begun, its job takes the mode that is asked for last; once it has, another mode is refused.
    """
    if query["again"] and idempotency_key is None:  # Sent twice, it would be given twice more.
        message = "Send a key with again, and the same one when you send the file again."
        raise errors.InputInvalid(errors=[{"field": IDEMPOTENCY_KEY, "message": message}])
    if request.mimetype not in _FORMATS or request.content_encoding not in (None, "identity"):
        raise UnsupportedMediaType
    request.max_content_length = FILE_BYTES_MAX
    core, actor = current_core(), current_actor()
    with tempfile.TemporaryFile() as file:
        while block := request.stream.read(_BLOCK_BYTES):
            file.write(block)
        file.seek(0)
        loaded = load_job(core=core, actor=actor, command=_command(query, file, idempotency_key))
    job = bulk.one_job(core=core, actor=actor, job_id=loaded.id)
    if loaded.replayed and job.dry_run and not query["dry_run"]:
        bulk_run.start_job(core=core, actor=actor, job_id=job.id)
        job = bulk.one_job(core=core, actor=actor, job_id=job.id)
    return {**_shown(job), "repeated": loaded.replayed}, 202, {"Location": f"/api/v1/jobs/{job.id}"}


def _command(query: Mapping[str, Any], file: IO[bytes], key: str | None) -> LoadJob:
    how = ("dry_run", "mode", "again", "file_name", "incident_id")
    defaults = {name: value for name, value in query.items() if name not in how}
    if "channels" in defaults:
        defaults["channels"] = defaults["channels"].split()
    said = {**{name: query[name] for name in how if name in query}, "again": key if query["again"] else None}
    return LoadJob(file=file, format=_FORMATS[request.mimetype], defaults=defaults, **said)  # type: ignore[arg-type]  # a file is one


@blueprint.get("/jobs")
@blueprint.asks(_CREATE)
@blueprint.arguments(JobsQuery(), location="query")
@blueprint.answers({200: page_of(JobSchema)})
def list_bulk_jobs(query: dict[str, Any]) -> Any:
    """List bulk jobs, the newest first."""
    found = bulk.list_jobs(core=current_core(), actor=current_actor(), **query)
    return {"items": [_shown(each) for each in found.items], "next": found.next}


@blueprint.get("/jobs/<uuid:job_id>")
@blueprint.asks(_CREATE)
@blueprint.refuses(*_JOB_REFUSALS)
@blueprint.answers({200: JobSchema()})
def get_job(job_id: uuid.UUID) -> Any:
    """Show a job and how far it is."""
    return _job(job_id)


@blueprint.get("/jobs/<uuid:job_id>/rows")
@blueprint.asks(_CREATE)
@blueprint.arguments(RowsQuery(), location="query")
@blueprint.refuses(*_JOB_REFUSALS)
@blueprint.answers({200: page_of(RowSchema)})
def list_job_rows(query: dict[str, Any], job_id: uuid.UUID) -> Any:
    """List a job's rows by their lines: what would become of each, and what did."""
    found = bulk.job_rows(core=current_core(), actor=current_actor(), job_id=job_id, **query)
    return {"items": [_row(each) for each in found.items], "next": found.next}


@blueprint.get("/jobs/<uuid:job_id>/result.csv")
@blueprint.asks(_CREATE)
@blueprint.refuses(*_JOB_REFUSALS)
@blueprint.sends(CSV)
def get_job_result_csv(job_id: uuid.UUID) -> Response:
    """Download what became of every row: line, status, voucher_id, error."""
    rows = bulk.result_rows(core=current_core(), actor=current_actor(), job_id=job_id)
    return Response(_csv_lines(rows), content_type=f"{CSV}; charset=utf-8")


@blueprint.get("/jobs/<uuid:job_id>/result.ndjson")
@blueprint.asks(_CREATE)
@blueprint.refuses(*_JOB_REFUSALS)
@blueprint.sends(NDJSON)
def get_job_result_ndjson(job_id: uuid.UUID) -> Response:
    """Download what became of every row, an object a line."""
    rows = bulk.result_rows(core=current_core(), actor=current_actor(), job_id=job_id)
    return Response((orjson.dumps(_result(each)) + b"\n" for each in rows), content_type=NDJSON)


@blueprint.post("/jobs/<uuid:job_id>/start")
@blueprint.asks(_CREATE)
@blueprint.refuses(
    *_JOB_REFUSALS,
    errors.BulkJobNotReady,
    errors.BulkJobOfAnother,
    errors.BudgetExhausted,
    errors.IncidentNotFound,
    errors.IncidentOver,
    errors.NoCatalog,
)
@blueprint.answers({202: JobSchema()})
def start_bulk(job_id: uuid.UUID) -> Any:
    """Start a job after its dry run, or let one go on that was stopped; its budgets are held for all of it first."""
    bulk_run.start_job(core=current_core(), actor=current_actor(), job_id=job_id)
    return _job(job_id)


@blueprint.post("/jobs/<uuid:job_id>/stop")
@blueprint.asks(_CREATE)
@blueprint.refuses(*_JOB_REFUSALS, errors.BulkJobNotReady)
@blueprint.answers({200: JobSchema()})
def stop_bulk(job_id: uuid.UUID) -> Any:
    """Stop a job: once this is answered no row is given, and what it held is free. What was given stays given."""
    bulk_run.stop_job(core=current_core(), actor=current_actor(), job_id=job_id)
    return _job(job_id)


@blueprint.post("/jobs/<uuid:job_id>/retry")
@blueprint.asks(_CREATE)
@blueprint.refuses(*_JOB_REFUSALS, errors.BulkJobNotReady, errors.BulkJobOfAnother)
@blueprint.answers({202: JobRetrySchema()})
def retry_bulk(job_id: uuid.UUID) -> Any:
    """Try the rows again that a job refused, and no others, in a job of their own."""
    core, actor = current_core(), current_actor()
    made = bulk_run.retry_job(core=core, actor=actor, job_id=job_id)
    return {**_job(made.id), "repeated": made.replayed}


def _job(job_id: uuid.UUID) -> dict[str, Any]:
    return _shown(bulk.one_job(core=current_core(), actor=current_actor(), job_id=job_id))


def _shown(job: Job) -> dict[str, Any]:
    return {**{name: getattr(job, name) for name in Job.__dataclass_fields__}, "totals": _totals(job.totals)}


def _totals(totals: Mapping[str, Any]) -> dict[str, Any] | None:
    if not totals:
        return None
    return {
        "verdicts": totals["verdicts"],
        "budgets": totals["budgets"],
        "currencies": [{"currency": currency, **sums} for currency, sums in sorted(totals["currencies"].items())],
        "refusals": [{"type": type_of(slug), "rows": rows} for slug, rows in sorted(totals["refusals"].items())],
    }


def _row(row: JobRow) -> dict[str, Any]:
    verdict = dict(row.verdict) if row.verdict else None
    if verdict is not None:
        error = _error(verdict) if verdict["status"] == "refused" else None
        verdict = {"incentive": None, "amount_minor": None, "currency": None, "reasons": [], **verdict, "error": error}
    return {**_result(row), "verdict": verdict}


def _result(row: JobRow) -> dict[str, Any]:
    error = _error(row.error) if row.error else None
    return {
        "line": row.line,
        "status": row.status,
        "issuance_id": row.issuance_id,
        "voucher_id": row.voucher_id,
        "error": error,
    }


def _error(found: Mapping[str, Any]) -> dict[str, Any]:
    named = [each.get("field") for each in found.get("errors", [])]
    return {
        "type": type_of(found["slug"]),
        "detail": found["detail"],
        "field": found.get("field") or next(iter(named), None),
    }


def _csv_lines(rows: Iterator[JobRow]) -> Iterator[str]:
    yield csv_text(("line", "status", "voucher_id", "error"), [])
    for row in rows:
        error = f"{row.error['slug']}: {row.error['detail']}" if row.error else None
        yield csv_text((), [(row.line, row.status, row.voucher_id, error)]).removeprefix("\r\n")
