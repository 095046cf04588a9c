"""Bulk jobs: who may do what with them, and the workers that are at them."""

from datetime import timedelta

import pytest

from incentives.flows.bulk_check import check_job, check_next
from incentives.flows.bulk_run import Pace, retry_job, run_next, start_job, stop_job
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    BulkJobNotFound,
    BulkJobOfAnother,
    InputInvalid,
    NotPermitted,
)
from incentives.queries.bulk import list_jobs, one_job
from tests.flows.bulk_shop import checked, finished, foreseen, loaded
from tests.flows.bulk_shop import people as customers
from tests.flows.shop import Shop
from tests.world import person


@pytest.fixture
def boss(shop: Shop) -> Actor:
    return person(shop.core, "manager")


def test_who_may_not_give_in_bulk_does_nothing(shop: Shop, boss: Actor) -> None:
    job = checked(shop.core, boss, customers(1))
    for deed in (
        lambda who: loaded(shop.core, who, customers(1)),
        lambda who: start_job(core=shop.core, actor=who, job_id=job.id),
        lambda who: stop_job(core=shop.core, actor=who, job_id=job.id),
        lambda who: retry_job(core=shop.core, actor=who, job_id=job.id),
        lambda who: one_job(core=shop.core, actor=who, job_id=job.id),
    ):
        with pytest.raises(NotPermitted):
            deed(shop.agent)
    with pytest.raises(BulkJobOfAnother):
        start_job(core=shop.core, actor=shop.manager, job_id=job.id)
    with pytest.raises(InputInvalid):
        loaded(shop.core, boss, customers(1), mode="maybe")
    with pytest.raises(InputInvalid):
        loaded(shop.core, boss, customers(1), defaults={"customer": {}})


def test_whoever_belongs_to_a_place_sees_what_is_given_there(shop: Shop) -> None:
    places = ("london", "leeds")
    here, there = (person(shop.core, "supervisor", location=each, email=f"{each}@example.com") for each in places)
    job = checked(shop.core, here, customers(1))
    assert [each.id for each in list_jobs(core=shop.core, actor=here).items] == [job.id]
    assert list_jobs(core=shop.core, actor=there).items == []
    with pytest.raises(BulkJobNotFound):
        one_job(core=shop.core, actor=there, job_id=job.id)


def test_a_check_that_died_is_begun_anew_once_its_lease_has_ended(
    shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incentives.flows.bulk_check.BATCH_ROWS", 2)
    job_id = loaded(shop.core, boss, customers(5), dry_run=True)
    assert next(check_job(core=shop.core, job_id=job_id)).rows == 2
    assert list(check_next(core=shop.core)) == []
    shop.clock.advance(timedelta(minutes=2))
    assert [each.rows for each in check_next(core=shop.core)] == [2, 4, 5, 5]
    assert one_job(core=shop.core, actor=boss, job_id=job_id).totals["verdicts"]["issued"] == 5


def test_a_check_that_is_stopped_ends_at_its_next_batch(
    shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incentives.flows.bulk_check.BATCH_ROWS", 2)
    job_id = loaded(shop.core, boss, customers(5))
    steps = check_job(core=shop.core, job_id=job_id)
    next(steps)
    stop_job(core=shop.core, actor=boss, job_id=job_id)
    assert list(steps) == []
    assert one_job(core=shop.core, actor=boss, job_id=job_id).status == "stopped"
    assert start_job(core=shop.core, actor=boss, job_id=job_id) == "checking"
    foreseen(shop.core, boss, job_id)
    assert finished(shop.core, boss, job_id).rows_issued == 5


def test_a_worker_gives_a_chunk_of_each_job_in_turn(shop: Shop, boss: Actor) -> None:
    jobs = [loaded(shop.core, boss, customers(3, start=start)) for start in (0, 10)]
    for job_id in jobs:
        foreseen(shop.core, boss, job_id)
    paces = {job_id: Pace(rows=2) for job_id in jobs}
    assert run_next(core=shop.core, paces=paces) == 4
    assert [one_job(core=shop.core, actor=boss, job_id=each).rows_issued for each in jobs] == [2, 2]
    while run_next(core=shop.core, paces=paces):
        pass
    assert {one_job(core=shop.core, actor=boss, job_id=each).status for each in jobs} == {"done"}


def test_a_worker_takes_as_many_rows_as_fit_into_a_third_of_a_second() -> None:
    pace = Pace()
    pace.took(50, 0.05)
    assert pace.rows == 100  # no more than twice as many at a time
    pace.took(100, 0.1)
    assert pace.rows == 200
    pace.took(200, 1.0)
    assert pace.rows == 70
    pace.took(70, 60)
    assert pace.rows == 40
