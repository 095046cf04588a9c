"""The operator gives in bulk: a file is looked through, confirmed, given with a bar, stopped, gone on with."""

from pathlib import Path

import pytest

from incentives.flows.bulk_load import LoadJob, load_job
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.bulk import list_jobs
from incentives.queries.people import person_by_email
from tests.databases import SqliteDatabases
from tests.doors.operator import Operator
from tests.world import make_core, person, publish_catalog

AS = ("--as", "boss@example.com")


@pytest.fixture
def operator(sqlite: SqliteDatabases) -> Operator:
    return Operator(sqlite.new())


@pytest.fixture
def core(operator: Operator) -> Core:
    core = make_core(operator.url)
    publish_catalog(core)
    person(core, "manager", email="boss@example.com")
    return core


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "late.csv"
    path.write_text("location,email\nlondon,a@customer.example\nlondon,b@customer.example\nmoon,c@customer.example\n")
    return path


def test_a_file_is_shown_first_and_given_once_that_is_confirmed(operator: Operator, core: Core, file: Path) -> None:
    issue = ("bulk", "issue", str(file), *AS, "--issue-tag", "flight-delayed", "--channel", "email")
    shown = operator.types(*issue, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "Would be given: 2." in shown.stdout
    assert "Would be refused: 1." in shown.stdout
    assert "1 refused: unknown-location" in shown.stdout
    assert "Looking" in shown.stderr
    given = operator.types(*issue, "--yes")
    assert given.exit_code == 0, given.output
    assert "The same file was sent before" in given.stdout
    assert "is done: 2 given, 0 waiting for an approval, 1 refused of 3." in given.stdout
    assert "Giving" in given.stderr
    (job,) = list_jobs(core=core, actor=_boss(core)).items
    assert operator.gets("bulk", "result", str(job.id), *AS).splitlines()[0] == "line,status,voucher_id,error"
    assert str(job.id) in operator.gets("bulk", "list", *AS)
    again = operator.types(*issue, "--yes")
    assert "is done" not in again.stdout
    retried = operator.types("bulk", "retry", str(job.id), *AS)
    assert "is refused: 0 given" in retried.stdout
    assert retried.exit_code == 1
    core.database.dispose()


def _boss(core: Core) -> Actor:
    return person_by_email(core=core, email="boss@example.com")


def test_a_job_is_stopped_and_started(operator: Operator, core: Core, file: Path) -> None:
    with file.open("rb") as content:
        command = LoadJob(file=content, format="csv", defaults={"issue_tag": "flight-delayed"})
        job_id = str(load_job(core=core, actor=_boss(core), command=command).id)
    assert "is stopped" in operator.gets("bulk", "stop", job_id, *AS)
    assert "is done: 2 given" in operator.gets("bulk", "start", job_id, *AS)
    assert "The job is done. Look at how far it is" in operator.is_refused("bulk", "stop", job_id, *AS)
    core.database.dispose()


def test_what_cannot_be_read_is_said_line_by_line(operator: Operator, core: Core, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("colour\nred\n")
    said = operator.is_refused("bulk", "issue", str(bad), *AS)
    assert "line 1: There is no column “colour”" in said
    core.database.dispose()
