"""The operator's commands for bulk jobs: ``incentives bulk``. A job that is issued here is worked on here."""

import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from admin.command_line import open_core, show_table
from incentives.flows import bulk_check, bulk_run
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import Pace
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.sheet import csv_text
from incentives.queries import bulk
from incentives.queries.bulk import Job
from incentives.queries.people import person_by_email

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WAIT_SECONDS = 0.2
_AS = click.option("--as", "email", metavar="USER", required=True, help="The email of the person who gives.")
_NOT_DONE = 1


@click.group("bulk")
def group() -> None:
    """Many rows at once: a file of customers becomes a job."""


@group.command("issue")
@click.argument("file", type=_FILE)
@_AS
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), help="By default what the file's name says.")
@click.option("--dry-run", is_flag=True, help="Only show what would become of it.")
@click.option("--yes", is_flag=True, help="Do not ask before it is given.")
@click.option(
    "--all-or-nothing", is_flag=True, help="Begin only when every row is good, stop at the first that is not."
)
@click.option("--again", metavar="NAME", help="Give the same file once more: once for each NAME, such as its date.")
@click.option("--incident", "incident_id", type=click.UUID, help="Each customer in their case of this incident, once.")
@click.option("--issue-tag")
@click.option("--incentive")
@click.option("--location")
@click.option("--channel", "channels", multiple=True, type=click.Choice(["email", "sms"]))
@click.pass_context
def issue(context: click.Context, /, file: Path, email: str, **asked: Any) -> None:
    """Foresee FILE, show what it would do, and give it once that is confirmed."""
    core = open_core(context)
    actor = person_by_email(core=core, email=email)
    job_id = _load(core, actor, file, asked)
    job = _foreseen(core, actor, job_id)
    _show_totals(job)
    if asked["dry_run"] or job.status == "done":
        return
    if not asked["yes"] and not click.confirm("Give it?"):
        click.echo(f"Nothing was given. `incentives bulk start {job_id}` does it later.")
        return
    _run(core, actor, job_id)


@group.command("start")
@click.argument("job_id", metavar="JOB", type=click.UUID)
@_AS
@click.pass_context
def start(context: click.Context, job_id: uuid.UUID, email: str) -> None:
    """Start JOB, or let it go on after it was stopped."""
    core = open_core(context)
    _run(core, person_by_email(core=core, email=email), job_id)


@group.command("stop")
@click.argument("job_id", metavar="JOB", type=click.UUID)
@_AS
@click.pass_context
def stop(context: click.Context, job_id: uuid.UUID, email: str) -> None:
    """Stop JOB: nothing more is given, and what it held of the budgets is free."""
    core = open_core(context)
    actor = person_by_email(core=core, email=email)
    bulk_run.stop_job(core=core, actor=actor, job_id=job_id)
    _show_end(bulk.one_job(core=core, actor=actor, job_id=job_id))


@group.command("retry")
@click.argument("job_id", metavar="JOB", type=click.UUID)
@_AS
@click.pass_context
def retry(context: click.Context, job_id: uuid.UUID, email: str) -> None:
    """Try the rows again that JOB refused, and no others."""
    core = open_core(context)
    actor = person_by_email(core=core, email=email)
    _run(core, actor, bulk_run.retry_job(core=core, actor=actor, job_id=job_id).id)


@group.command("list")
@_AS
@click.pass_context
def list_them(context: click.Context, email: str) -> None:
    """Show the latest jobs and how far each is."""
    core = open_core(context)
    found = bulk.list_jobs(core=core, actor=person_by_email(core=core, email=email))
    show_table(
        ("JOB", "STATUS", "FILE", "BY", "ROWS", "GIVEN", "WAITING", "REFUSED", "CREATED"),
        [
            (
                each.id,
                each.status,
                each.file_name,
                each.actor_name,
                each.rows_total,
                each.rows_issued,
                each.rows_pending,
                each.rows_refused,
                each.created_at,
            )
            for each in found.items
        ],
    )


@group.command("result")
@click.argument("job_id", metavar="JOB", type=click.UUID)
@_AS
@click.pass_context
def result(context: click.Context, job_id: uuid.UUID, email: str) -> None:
    """Print what became of every row of JOB, as CSV."""
    core = open_core(context)
    rows = bulk.result_rows(core=core, actor=person_by_email(core=core, email=email), job_id=job_id)
    click.echo("line,status,voucher_id,error")
    for row in rows:
        error = f"{row.error['slug']}: {row.error['detail']}" if row.error else None
        click.echo(csv_text((), [(row.line, row.status, row.voucher_id, error)]).strip())


def _load(core: Core, actor: Actor, file: Path, asked: dict[str, Any]) -> uuid.UUID:
    defaults = {name: asked[name] for name in ("issue_tag", "incentive", "location") if asked[name]}
    if asked["channels"]:
        defaults["channels"] = list(asked["channels"])
    form = asked["form"] or ("ndjson" if file.suffix in (".ndjson", ".jsonl") else "csv")
    with file.open("rb") as content:
        command = LoadJob(
            file=content,
            format=form,
            file_name=file.name,
            mode="all_or_nothing" if asked["all_or_nothing"] else "best_effort",
            dry_run=True,
            defaults=defaults,
            incident_id=asked["incident_id"],
            again=asked["again"],
        )
        loaded = load_job(core=core, actor=actor, command=command)
    known = " The same file was sent before: this is its job." if loaded.replayed else ""
    click.echo(f"Job {loaded.id}, {loaded.rows:,} rows.{known}")
    return loaded.id


def _foreseen(core: Core, actor: Actor, job_id: uuid.UUID) -> Job:
    step = _Foreseeing(core, job_id)
    return _watch(core, actor, job_id, "Looking", step, lambda job: job.rows_checked, ("checking",))


class _Foreseeing:
    """One step of foreseeing at a time; it does nothing where another worker is at it."""

    def __init__(self, core: Core, job_id: uuid.UUID) -> None:
        self._core, self._job_id = core, job_id
        self._steps = bulk_check.check_job(core=core, job_id=job_id)

    def __call__(self) -> bool:
        if next(self._steps, None) is not None:
            return True
        self._steps = bulk_check.check_job(core=self._core, job_id=self._job_id)
        return False


def _run(core: Core, actor: Actor, job_id: uuid.UUID) -> None:
    """Give a job to its end; an interrupt stops it in order."""
    bulk_run.start_job(core=core, actor=actor, job_id=job_id)
    pace = Pace()

    def give() -> bool:
        return bool(bulk_run.run_chunk(core=core, job_id=job_id, pace=pace).rows)

    try:
        job = _foreseen(core, actor, job_id)
        job = _watch(core, actor, job_id, "Giving", give, lambda each: each.rows_done, ("running", "stopping"))
    except KeyboardInterrupt:
        bulk_run.stop_job(core=core, actor=actor, job_id=job_id)
        job = bulk.one_job(core=core, actor=actor, job_id=job_id)
    _show_end(job)
    if job.status != "done":
        sys.exit(_NOT_DONE)


def _watch(
    core: Core,
    actor: Actor,
    job_id: uuid.UUID,
    label: str,
    step: Callable[[], bool],
    done: Callable[[Job], int],
    states: tuple[str, ...],
) -> Job:
    """Work on a job while it is in some states, and show how far it is, whoever else works on it."""
    job = bulk.one_job(core=core, actor=actor, job_id=job_id)
    if job.status not in states:
        return job
    with click.progressbar(length=job.rows_total, label=label, show_pos=True, file=sys.stderr) as bar:
        while job.status in states:
            if not step():
                time.sleep(_WAIT_SECONDS)
            job = bulk.one_job(core=core, actor=actor, job_id=job_id)
            bar.update(done(job) - bar.pos)
    return job


def _show_totals(job: Job) -> None:
    if not job.totals:
        _show_end(job)
        return
    verdicts = job.totals["verdicts"]
    click.echo(
        f"Would be given: {verdicts['issued']:,}. Would wait for an approval: {verdicts['pending_approval']:,}. "
        f"Would be refused: {verdicts['refused']:,}."
    )
    for slug, rows in sorted(job.totals["refusals"].items()):
        click.echo(f"  {rows:,} refused: {slug}")
    show_table(
        ("BUDGET", "FOR", "PERIOD", "CURRENCY", "WOULD USE", "VOUCHERS", "LEFT"),
        [
            (
                each["name"],
                each["subject"],
                each["period_key"],
                each["currency"],
                each["amount_minor"],
                each["count"],
                each["left_minor"] if each["left_minor"] is not None else each["left_count"],
            )
            for each in job.totals["budgets"]
        ],
    )


def _show_end(job: Job) -> None:
    said = f" {job.reason}" if job.reason else ""
    click.echo(
        f"Job {job.id} is {job.status}: {job.rows_issued:,} given, {job.rows_pending:,} waiting for an approval, "
        f"{job.rows_refused:,} refused of {job.rows_total:,}.{said}"
    )
