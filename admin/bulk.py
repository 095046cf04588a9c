"""Giving to many: a list is sent up, looked through, started, watched, stopped and tried again."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.forms import Form, wrong
from admin.guard import page
from admin.pages import show
from incentives.flows import bulk_run
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.kernel.actors import may
from incentives.kernel.errors import BulkFileInvalid, NoCatalog, Refusal
from incentives.kernel.money import Money
from incentives.kernel.sheet import csv_text
from incentives.queries import bulk, catalog
from incentives.queries.bulk import Job, JobRow

blueprint = Blueprint("staff_bulk", __name__)

_CREATE = "bulk:create"
UPLOAD_BYTES_MAX = 128 * 1024 * 1024
_KEY_LONGEST = 64
_SHOWN_REFUSED = 50
_FIELDS = {"file": "file", "format": "file", "issue_tag": "issue_tag", "incentive": "incentive", "location": "location"}
_MODES = (
    ("best_effort", "Give to all it can be given to"),
    ("all_or_nothing", "Begin only when nobody on the list would be refused"),
)
_STATES = {
    "loading": ("info", "Being read", "hourglass"),
    "checking": ("info", "Being looked through", "hourglass"),
    "checked": ("info", "Ready to start", "check"),
    "running": ("info", "Running", "hourglass"),
    "stopping": ("warn", "Stopping", "hourglass"),
    "stopped": ("warn", "Stopped", "alert"),
    "done": ("good", "Done", "check"),
    "refused": ("bad", "Not started", "alert"),
}


@blueprint.before_request
def _let_lists_in() -> None:
    """Let this one form be larger than others; it is said before anything reads the form."""
    if request.endpoint == f"{blueprint.name}.{send.__name__}":
        request.max_content_length = UPLOAD_BYTES_MAX


@blueprint.get("/bulk")
@page(permission=_CREATE)
def list_them() -> ResponseReturnValue:
    """Show the jobs, the newest first, and where a list is sent up."""
    return _list()


@blueprint.post("/bulk")
@page(permission=_CREATE)
def send() -> ResponseReturnValue:
    """Take a list, and look through it; it is started on its own page."""
    form = Form(request.form)
    try:
        job_id = _loaded(form)
    except Refusal as refusal:
        return _list(refusal, form)
    return redirect(f"/bulk/{job_id}", 303)


def _loaded(form: Form) -> uuid.UUID:
    given = request.files.get("file")
    if given is None or not given.filename:
        raise wrong("file", "Choose a file.")
    names = ("issue_tag", "incentive", "location")
    defaults: dict[str, Any] = {name: typed for name in names if (typed := form.text(name, _KEY_LONGEST))}
    channels = [each for each in ("email", "sms") if form.shown(each)]
    name = form_name(given.filename)
    command = LoadJob(
        file=given.stream,  # type: ignore[arg-type]  # an open file of bytes, by another name
        format="ndjson" if name.endswith((".ndjson", ".jsonl")) else "csv",
        file_name=name,
        mode=form.text("mode", _KEY_LONGEST) or "best_effort",
        dry_run=True,
        defaults={**defaults, **({"channels": channels} if channels else {})},
        incident_id=form.cursor("incident_id"),
        again=_again(form),
    )
    return load_job(core=guard.the_core(), actor=guard.the_actor(), command=command).id


def _again(form: Form) -> str | None:
    """Return the key of the page on which a list was sent up once more, so that sending it twice is once."""
    return form.key("again_key", guard.the_core().clock.now()) if form.shown("again") else None


def form_name(typed: str) -> str:
    """Return a file's name fit to be shown."""
    return Form({"name": typed}).shown("name")


@blueprint.get("/bulk/<uuid:job_id>")
@page(permission=_CREATE)
def one(job_id: uuid.UUID) -> ResponseReturnValue:
    """Show a job: how far it is, what it would do, and what was refused."""
    return _one(job_id)


@blueprint.post("/bulk/<uuid:job_id>/start")
@page(permission=_CREATE)
def start(job_id: uuid.UUID) -> ResponseReturnValue:
    """Let a job run, or go on."""
    return _do(job_id, bulk_run.start_job)


@blueprint.post("/bulk/<uuid:job_id>/stop")
@page(permission=_CREATE)
def stop(job_id: uuid.UUID) -> ResponseReturnValue:
    """Stop a job: nothing is given any more once the page comes back."""
    return _do(job_id, bulk_run.stop_job)


@blueprint.post("/bulk/<uuid:job_id>/retry")
@page(permission=_CREATE)
def retry(job_id: uuid.UUID) -> ResponseReturnValue:
    """Try again what was refused."""
    try:
        made = bulk_run.retry_job(core=guard.the_core(), actor=guard.the_actor(), job_id=job_id)
    except Refusal as refusal:
        return _one(job_id, refusal)
    return redirect(f"/bulk/{made.id}", 303)


@blueprint.get("/bulk/<uuid:job_id>/result.csv")
@page(permission=_CREATE)
def result(job_id: uuid.UUID) -> ResponseReturnValue:
    """Give what became of every row, as a table for a spreadsheet."""
    rows = bulk.result_rows(core=guard.the_core(), actor=guard.the_actor(), job_id=job_id)
    answer = Response(_lines(rows), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="bulk-{job_id}.csv"'
    return pages.closed(answer)


def _lines(rows: Any) -> Any:
    yield csv_text(("line", "status", "voucher_id", "error"), [])
    for row in rows:
        error = f"{row.error['slug']}: {row.error['detail']}" if row.error else None
        yield csv_text((), [(row.line, row.status, row.voucher_id, error)]).removeprefix("\r\n")


def _do(job_id: uuid.UUID, deed: Any) -> ResponseReturnValue:
    try:
        deed(core=guard.the_core(), actor=guard.the_actor(), job_id=job_id)
    except Refusal as refusal:
        return _one(job_id, refusal)
    return redirect(f"/bulk/{job_id}", 303)


def _list(refusal: Refusal | None = None, form: Form | None = None) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal, _FIELDS) if refusal else None
    found = bulk.list_jobs(core=core, actor=actor, after=request.args.get("after"))
    incident_id = (form.shown("incident_id") if form else "") or request.args.get("incident", "")
    return show(
        "bulk.html",
        refused.status if refused else 200,
        jobs=[row_of(each) for each in found.items],
        more=f"/bulk?after={found.next}" if found.next else None,
        upload=upload_of(form, incident_id=incident_id),
        bad_lines=bad_lines(refusal),
        refused=refused,
        errors=refused.errors if refused else {},
    )


def bad_lines(refusal: Refusal | None) -> list[tuple[int, str]]:
    """Return the lines of a file that cannot be read, with why."""
    mistakes = refusal.facts.get("errors", []) if isinstance(refusal, BulkFileInvalid) else []
    return [(each["line"], each["message"]) for each in mistakes]


def upload_of(form: Form | None = None, *, incident_id: str = "") -> dict[str, Any]:
    """Return what the form needs in which a list is sent up."""
    core, actor = guard.the_core(), guard.the_actor()
    named = ("issue_tag", "incentive", "location", "mode", "email", "sms", "again")
    return {
        "typed": {name: form.shown(name) if form else "" for name in named},
        "again_key": (form.shown("again_key") if form else "") or str(core.ids.new(core.clock.now())),
        "incident_id": incident_id,
        "tags": [("", "As the list says"), *_tags()],
        "incentives": [("", "As the list says, or what is usual"), *_incentives()],
        "places": [("", "As the list says"), *pages.location_names(actor).items()],
        "modes": _MODES,
        "columns": "issue_tag, incentive, amount_minor, severity, external_ref, name, email, phone, locale, segment, "
        "channels, location, order_ref, note, metadata.*",
    }


def _tags() -> list[tuple[str, str]]:
    try:
        rows = catalog.issue_tags(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        return []
    return [(each.key, pages.english(each.label)) for each in rows]


def _incentives() -> list[tuple[str, str]]:
    try:
        rows = catalog.incentives(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        return []
    return [(each.key, pages.english(each.title)) for each in rows]


def row_of(job: Job) -> dict[str, Any]:
    """Return a job as a list shows it."""
    now = guard.the_core().clock.now()
    ago = words.ago(job.created_at, now)
    tone, state, sign = _STATES[job.status]
    return {
        "href": f"/bulk/{job.id}",
        "title": job.file_name or "A list without a name",
        "what": f"{words.counted(job.rows_total, 'row', 'rows')}, sent up by {job.actor_name} {ago}",
        "done": f"{job.rows_issued:,} given, {job.rows_pending:,} waiting, {job.rows_refused:,} refused",
        "tone": tone,
        "state": state,
        "sign": sign,
        "moving": job.goes_on,
    }


def _one(job_id: uuid.UUID, refusal: Refusal | None = None) -> ResponseReturnValue:
    core, actor = guard.the_core(), guard.the_actor()
    refused = pages.refused(refusal) if refusal else None
    job = bulk.one_job(core=core, actor=actor, job_id=job_id)
    before = not job.rows_done and job.status in ("checked", "refused")
    rows = bulk.job_rows(
        core=core,
        actor=actor,
        job_id=job_id,
        status="would_be_refused" if before else "refused",
        limit=_SHOWN_REFUSED,
    )
    mine = job.actor == actor.label
    return show(
        "bulk_job.html",
        refused.status if refused else 200,
        job=row_of(job) | _progress(job) | {"reason": job.reason, "incident": _incident_of(job)},
        totals=_totals(job.totals, job) if job.totals else None,
        rows=[_row(each) for each in rows.items],
        rows_are="would be refused" if before else "were refused",
        may_start=mine and job.status in ("checked", "stopped", "refused") and may(actor, _CREATE),
        may_stop=job.status in ("running", "checking"),
        may_retry=mine and job.status in ("done", "stopped") and job.rows_refused > 0,
        going_on=job.status == "stopped",
        another=job.actor_name if not mine else "",
        refused=refused,
    )


def _incident_of(job: Job) -> str:
    return f"/incidents/{job.incident_id}" if job.incident_id else ""


def _progress(job: Job) -> dict[str, Any]:
    """Return how far a job is, of looking through it or of giving."""
    looking = job.status in ("loading", "checking", "checked", "refused") and not job.rows_done
    number = job.rows_checked if looking else job.rows_done
    return {
        "number": number,
        "total": job.rows_total,
        "progress": f"{number:,} of {job.rows_total:,} rows {'looked through' if looking else 'done'}",
        "given": f"{job.rows_issued:,}",
        "waiting": f"{job.rows_pending:,}",
        "refused": f"{job.rows_refused:,}",
    }


def _totals(totals: Mapping[str, Any], job: Job) -> dict[str, Any]:
    return {
        "verdicts": {name: f"{number:,}" for name, number in totals["verdicts"].items()},
        "sums": [_sum(currency, **sums) for currency, sums in sorted(totals["currencies"].items())],
        "refusals": [(words.in_words(slug), f"{rows:,}") for slug, rows in sorted(totals["refusals"].items())],
        "budgets": [_budget(each, job) for each in totals["budgets"]],
    }


def _sum(currency: str, *, issued_minor: int, pending_minor: int) -> str:
    asked = f", and {words.money(Money(pending_minor, currency))} that somebody must agree to" if pending_minor else ""
    return f"{words.money(Money(issued_minor, currency))}{asked}"


def _budget(each: Mapping[str, Any], job: Job) -> dict[str, str]:
    currency = each["currency"]
    money = currency is not None and each["left_minor"] is not None
    left = each["left_minor"] if money else each["left_count"]
    uses = words.money(Money(each["amount_minor"], currency)) if money else f"{each['count']:,}"
    return {
        "name": each["name"],
        "subject": _whose(each["subject"], job),
        "uses": uses,
        "left": "" if left is None else words.money(Money(left, currency)) if money and left >= 0 else f"{left:,}",
    }


def _whose(subject: str, job: Job) -> str:
    """Return whom a pot is for, as people say it: who gives, a place, and of a customer only that it is one."""
    if subject == "organization":
        return ""
    if subject == job.actor:
        return job.actor_name
    return pages.location_names(guard.the_actor()).get(subject, subject)


def _row(each: JobRow) -> dict[str, Any]:
    said = each.error or each.verdict or {}
    return {"line": each.line, "why": words.in_words(str(said.get("slug", ""))), "detail": said.get("detail", "")}
