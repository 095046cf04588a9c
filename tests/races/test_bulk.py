"""Many workers at one bulk job, and two jobs of the same people: each line is given once, and the hold is exact."""

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.flows.bulk_check import check_job
from incentives.flows.bulk_run import Pace, run_chunk, start_job, stop_job
from incentives.flows.incidents import OpenIncident, open_incident
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.bulk import one_job
from incentives.spending.tables import budget_movements
from incentives.vouchers.bulk_tables import bulk_rows
from incentives.vouchers.tables import issuances, vouchers
from tests.crew import SIZE, Crew, Outcome, count
from tests.flows.bulk_shop import foreseen, loaded, people
from tests.races.deeds import broken, counters, rows
from tests.small_catalog import LOCATION, PRICE_MINOR, TAG, budget, catalog
from tests.world import START, api_key, publish_catalog

ROWS = 400


def work(core: Core, job_id: Any) -> Outcome:
    """Work on a job until it is over; the outcome's value is how many rows that were."""
    done, pace = 0, Pace(rows=7)
    while True:
        chunk = run_chunk(core=core, job_id=uuid.UUID(job_id), pace=pace)
        done, pace.rows = done + chunk.rows, 7
        if not chunk.goes_on:
            return Outcome("Worked", done)


def work_or_stop(core: Core, job: Any) -> Outcome:
    """Work on a job, or stop it in the midst of that."""
    job_id, stops, actor = job
    if not stops:
        return work(core, job_id)
    stop_job(core=core, actor=actor, job_id=uuid.UUID(job_id))
    with core.database.read() as tx:
        given = tx.execute(sa.select(sa.func.count()).select_from(vouchers)).scalar_one()
    return Outcome("Stopped", int(given))


def held_by_jobs(core: Core) -> int:
    total = sa.select(sa.func.sum(budget_movements.c.held_minor)).where(budget_movements.c.job_id.is_not(None))
    with core.database.read() as tx:
        return int(tx.execute(total).scalar_one() or 0)


def running(core: Core, actor: Actor, file: bytes, **more: Any) -> str:
    """Load a file, foresee it and let it run; return its job."""
    job_id = loaded(core, actor, file, **more)
    assert foreseen(core, actor, job_id).status == "running"
    return str(job_id)


@pytest.mark.timeout(300)
def test_sixteen_workers_at_one_job_give_each_line_once(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget(cap_minor=ROWS * PRICE_MINOR), budget("each", scope="customer", cap_count=1)))
    _, actor = api_key(core, "manager")
    job_id = running(core, actor, people(ROWS, tag=TAG))
    assert counters(core) == {"held_minor": ROWS * PRICE_MINOR, "held_count": ROWS}
    outcomes = crew.share(work, [job_id] * SIZE, core.settings.database_url)
    assert count(outcomes) == {"Worked": SIZE}
    assert sum(each.value for each in outcomes) == ROWS
    assert sum(each.value > 0 for each in outcomes) > 1
    job = one_job(core=core, actor=actor, job_id=uuid.UUID(job_id))
    assert (job.status, job.rows_issued, job.rows_refused, rows(core, vouchers)) == ("done", ROWS, 0, ROWS)
    assert counters(core) == {"committed_minor": ROWS * PRICE_MINOR, "committed_count": ROWS}
    assert held_by_jobs(core) == 0
    assert broken(core) == []


@pytest.mark.timeout(300)
def test_a_job_that_is_stopped_under_its_workers_gives_nothing_after_that(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    _, actor = api_key(core, "manager")
    job_id = running(core, actor, people(ROWS, tag=TAG))
    outcomes = crew.at_once(
        work_or_stop, [[(job_id, number == 5, actor) for number in range(6)]], core.settings.database_url
    )
    (stopped,) = [each for each in outcomes[0] if each.name == "Stopped"]
    assert rows(core, vouchers) == stopped.value
    assert held_by_jobs(core) == 0
    job = one_job(core=core, actor=actor, job_id=uuid.UUID(job_id))
    assert (job.status, job.rows_issued) == ("stopped", stopped.value)
    assert rows(core, bulk_rows, bulk_rows.c.status == "waiting") == ROWS - stopped.value
    assert start_job(core=core, actor=actor, job_id=job.id) == "running"
    crew.share(work, [job_id] * 4, core.settings.database_url)
    assert rows(core, vouchers) == ROWS
    assert broken(core) == []


@pytest.mark.timeout(300)
def test_two_lists_of_the_same_people_give_each_one_thing_for_an_incident(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    _, actor = api_key(core, "manager")
    command = OpenIncident(issue_tag=TAG, title="The lift", started_at=START, location=LOCATION)
    incident = open_incident(core=core, actor=actor, command=command)
    jobs = [running(core, actor, people(60, tag=TAG), incident_id=incident.id, again=True) for _ in range(3)]
    outcomes = crew.share(work, jobs * 5, core.settings.database_url)
    assert count(outcomes) == {"Worked": 15}
    assert rows(core, issuances) == rows(core, vouchers) == 60
    assert held_by_jobs(core) == 0
    assert broken(core) == []


def test_two_who_foresee_one_job_are_one(core: Core) -> None:
    publish_catalog(core, catalog())
    _, actor = api_key(core, "manager")
    job_id = loaded(core, actor, people(3, tag=TAG))
    first, second = check_job(core=core, job_id=job_id), check_job(core=core, job_id=job_id)
    assert next(first, None) is not None
    assert next(second, None) is None
