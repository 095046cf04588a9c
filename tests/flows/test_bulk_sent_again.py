"""A list that is sent again: after a loader died, otherwise, once more, twice at once; and what a stop keeps."""

import io
import threading
from datetime import timedelta
from time import sleep
from typing import Any

import pytest

from incentives.flows import bulk_check, bulk_load
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import Retry, retry_job, start_job, stop_job
from incentives.kernel.actors import Actor
from incentives.kernel.errors import BulkFileInvalid, BulkJobNotReady
from incentives.queries.bulk import one_job
from incentives.spending.tables import budget_movements
from incentives.vouchers import bulk_jobs, bulk_tables
from incentives.vouchers.tables import vouchers
from tests.flows.bulk_shop import checked, chunk, count, csv_of, done, finished, foreseen, loaded, rows_of
from tests.flows.bulk_shop import people as customers
from tests.flows.shop import Shop, budget, catalog
from tests.world import person, publish_catalog


@pytest.fixture
def boss(shop: Shop) -> Actor:
    return person(shop.core, "manager")


def test_who_takes_a_dead_loaders_list_over_gets_what_they_ask_for(
    shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one wanted it given at once, and died; the second one wants a dry run, which gives nothing."""

    def dies(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bulk_load, "_keep", dies)
        with pytest.raises(KeyboardInterrupt):
            loaded(shop.core, boss, customers(3), file_name="first.csv")
    shop.clock.advance(timedelta(minutes=2))
    more = {"dry_run": True, "mode": "all_or_nothing", "file_name": "second.csv"}
    job = foreseen(shop.core, boss, loaded(shop.core, boss, customers(3), **more))
    assert (job.status, job.dry_run, job.mode, job.file_name) == ("checked", True, "all_or_nothing", "second.csv")
    assert finished(shop.core, boss, job.id).rows_issued == 0
    assert count(shop.core, vouchers) == 0


def test_the_mode_of_the_second_request_holds_until_the_job_has_begun(shop: Shop, boss: Actor) -> None:
    file = csv_of("long-wait,a@customer.example,", "nonsense,b@customer.example,")
    job = checked(shop.core, boss, file)
    assert loaded(shop.core, boss, file, mode="all_or_nothing") == job.id
    start_job(core=shop.core, actor=boss, job_id=job.id)
    job = foreseen(shop.core, boss, job.id)
    assert (job.status, job.mode, count(shop.core, vouchers)) == ("refused", "all_or_nothing", 0)
    assert loaded(shop.core, boss, file, mode="best_effort") == job.id
    start_job(core=shop.core, actor=boss, job_id=job.id)
    assert finished(shop.core, boss, job.id).rows_issued == 1
    with pytest.raises(BulkJobNotReady):
        loaded(shop.core, boss, file, mode="all_or_nothing")


def test_once_more_is_once_for_each_key(shop: Shop, boss: Actor) -> None:
    done(shop.core, boss, customers(1))
    for key in ("march", "march", "april"):
        done(shop.core, boss, customers(1), again=key)
    assert count(shop.core, vouchers) == 3


def test_two_who_try_again_at_once_make_one_job(shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    job = done(shop.core, boss, csv_of("long-wait,a@customer.example,", "nonsense,b@customer.example,"))
    together, found, look = threading.Barrier(2), list[Retry](), bulk_jobs.retry_of

    def slowly(tx: Any, job_id: Any) -> Any:
        there = look(tx, job_id)
        sleep(0.3)
        return there

    monkeypatch.setattr(bulk_jobs, "retry_of", slowly)

    def again() -> None:
        together.wait()
        found.append(retry_job(core=shop.core, actor=boss, job_id=job.id))

    threads = [threading.Thread(target=again) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({each.id for each in found}) == 1
    assert sorted(each.replayed for each in found) == [False, True]
    assert count(shop.core, bulk_tables.bulk_jobs) == 2


def test_a_stopped_job_holds_no_more_than_it_needs_when_it_goes_on(open_shop: Any) -> None:
    """What was given is charged; the two rows that are left are refused anyway, and need nothing."""
    shop = open_shop(catalog(budget("tight", cap_minor=3000)))
    boss = person(shop.core, "manager")
    rows = [f"long-wait,{name}@customer.example,1000" for name in "abc"]
    job = checked(
        shop.core, boss, csv_of(*rows, "nonsense,d@customer.example,1000", "nonsense,e@customer.example,1000")
    )
    start_job(core=shop.core, actor=boss, job_id=job.id)
    chunk(shop.core, job.id, rows=3)
    stop_job(core=shop.core, actor=boss, job_id=job.id)
    assert start_job(core=shop.core, actor=boss, job_id=job.id) == "running"
    assert shop.pot("tight") == (0, 3000, 0)
    job = finished(shop.core, boss, job.id)
    assert (job.status, job.rows_issued, job.rows_refused) == ("done", 3, 2)
    shop.check()


def test_one_that_is_stopped_while_it_is_foreseen_anew_is_foreseen_when_it_starts(open_shop: Any) -> None:
    """What it was foreseen to need yesterday was of yesterday's budget, and it holds nothing of today's."""
    shop = open_shop(catalog(budget("daily", period="day", cap_minor=5000)))
    boss = person(shop.core, "manager")
    job = checked(shop.core, boss, customers(2))
    shop.later(days=1)
    assert start_job(core=shop.core, actor=boss, job_id=job.id) == "checking"
    stop_job(core=shop.core, actor=boss, job_id=job.id)
    assert start_job(core=shop.core, actor=boss, job_id=job.id) == "checking"
    foreseen(shop.core, boss, job.id)
    assert of_jobs(shop) == 2 * 2000
    assert finished(shop.core, boss, job.id).status == "done"


def of_jobs(shop: Shop) -> int:
    """Return what jobs hold by their movements, all pots together."""
    return sum(each.held_minor for each in shop.all(budget_movements) if each.job_id is not None)


def test_a_job_is_foreseen_anew_when_the_catalog_changes_meanwhile(
    open_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget that the new one drops is no trouble, and what it adds is held for the rows before it too."""
    monkeypatch.setattr(bulk_check, "BATCH_ROWS", 2)
    shop = open_shop(catalog(budget("old", cap_minor=900000)))
    boss = person(shop.core, "manager")
    job_id = loaded(shop.core, boss, customers(5))
    steps = bulk_check.check_job(core=shop.core, job_id=job_id)
    next(steps)
    publish_catalog(shop.core, catalog(budget("new", cap_minor=900000)))
    for _ in steps:
        pass
    job = one_job(core=shop.core, actor=boss, job_id=job_id)
    assert (job.status, job.rows_checked) == ("running", 5)
    assert shop.pot("new") == (5000, 0, 0)
    assert finished(shop.core, boss, job_id).rows_issued == 5
    shop.check()


def test_the_catalog_may_change_after_the_last_row_too(open_shop: Any) -> None:
    shop = open_shop(catalog(budget("old", cap_minor=900000)))
    boss = person(shop.core, "manager")
    job_id = loaded(shop.core, boss, customers(5))
    steps = bulk_check.check_job(core=shop.core, job_id=job_id)
    next(steps)
    publish_catalog(shop.core, catalog(budget("new", cap_minor=900000)))
    for _ in steps:
        pass
    assert one_job(core=shop.core, actor=boss, job_id=job_id).status == "running"
    assert shop.pot("new") == (5000, 0, 0)


def test_blank_rows_are_passed_over_and_rows_for_nobody_refused(shop: Shop, boss: Actor) -> None:
    file = b"email,name\na@customer.example,A\n , \n\t,\n"
    job = done(shop.core, boss, file, defaults={"issue_tag": "long-wait", "incentive": "fixed"})
    assert (job.rows_total, job.rows_issued) == (1, 1)
    job = done(shop.core, boss, b'{"issue_tag": "long-wait"}\n{"issue_tag": "long-wait", "customer": {"email": ""}}\n',
               format="ndjson")  # fmt: skip
    assert (job.status, job.rows_issued) == ("refused", 0)
    verdicts = [each.verdict or {} for each in rows_of(shop.core, boss, job)]
    assert [each["errors"][0]["field"] for each in verdicts] == ["customer", "customer.email"]


@pytest.mark.parametrize(
    "line", [b'{"amount_minor": 500, "amount_minor": 5000}', b'{"customer": {"name": "A", "name": "B"}}']
)
def test_a_name_that_stands_twice_makes_a_line_unreadable(shop: Shop, boss: Actor, line: bytes) -> None:
    with pytest.raises(BulkFileInvalid) as refused:
        load_job(core=shop.core, actor=boss, command=LoadJob(file=io.BytesIO(line + b"\n"), format="ndjson"))
    assert "stands twice" in refused.value.facts["errors"][0]["message"]
