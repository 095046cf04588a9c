"""A file of many rows: foreseen, its budgets held, each row given once, stopped, gone on with, tried again."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.deeds import giving
from incentives.flows import bulk_run, people
from incentives.flows.bulk_run import Pace, retry_job, run_chunk, start_job, stop_job
from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_voucher
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.errors import (
    BudgetExhausted,
    BulkJobNotReady,
    EmailInvalid,
)
from incentives.queries.bulk import one_job
from incentives.safeguards import switches
from incentives.spending.tables import budget_movements
from incentives.vouchers.bulk_tables import bulk_jobs, bulk_rows
from incentives.vouchers.tables import issuances, vouchers
from tests import dump
from tests.flows.bulk_shop import checked, chunk, count, csv_of, done, finished, foreseen, loaded, rows_of
from tests.flows.bulk_shop import people as customers
from tests.flows.shop import Shop, budget, catalog
from tests.world import person, publish_catalog

JOBS = ("bulk_jobs", "bulk_rows")
POT = "all-gbp"


@pytest.fixture
def boss(shop: Shop) -> Actor:
    return person(shop.core, "manager")


def of_jobs(shop: Shop) -> int:
    """Return what jobs hold by their movements, all pots together."""
    with shop.core.database.read() as tx:
        total = sa.select(sa.func.sum(budget_movements.c.held_minor)).where(budget_movements.c.job_id.is_not(None))
        return int(tx.execute(total).scalar_one() or 0)


# --- foreseeing -------------------------------------------------------------------------------------------


def test_a_dry_run_charges_nothing_and_says_what_every_row_comes_to(shop: Shop, boss: Actor) -> None:
    wrong = ("nonsense,b@customer.example,", "long-wait,not an address,", "long-wait,c@customer.example,x")
    job_id = loaded(shop.core, boss, csv_of("long-wait,a@customer.example,", *wrong), dry_run=True)
    before = dump.of(shop.core, without=JOBS)
    job = foreseen(shop.core, boss, job_id)
    assert dump.differences(before, dump.of(shop.core, without=JOBS)) == {}
    assert job.status == "checked"
    assert job.totals["verdicts"] == {"issued": 1, "pending_approval": 0, "refused": 3}
    assert job.totals["currencies"] == {"GBP": {"issued_minor": 1000, "pending_minor": 0}}
    verdicts = [each.verdict or {} for each in rows_of(shop.core, boss, job)]
    assert [each["status"] for each in verdicts] == ["issued", "refused", "refused", "refused"]
    assert [each.get("slug") for each in verdicts[1:]] == ["unknown-issue-tag", "email-invalid", "input-invalid"]
    (pot,) = job.totals["budgets"]
    assert (pot["name"], pot["amount_minor"], pot["count"]) == ("Pot all-gbp", 1000, 1)


def test_what_was_foreseen_is_what_is_given(open_shop: Any) -> None:
    caps = budget("each", "customer", cap_count=2)
    shop = open_shop(catalog(caps))
    boss = person(shop.core, "supervisor", location="london")
    rows = [f"long-wait,c{number % 4}@customer.example,{500 + 700 * (number % 7)}" for number in range(20)]
    job = checked(shop.core, boss, csv_of(*rows, "long-wait,,500"))
    foretold = [(each.verdict or {})["status"] for each in rows_of(shop.core, boss, job)]
    assert {"issued", "pending_approval", "refused"} == set(foretold)
    assert job.totals["refusals"]["customer-cap-reached"] > 5  # Rows of one file count against the caps of each other.
    start_job(core=shop.core, actor=boss, job_id=job.id)
    job = finished(shop.core, boss, job.id, rows=3)
    assert [each.status for each in rows_of(shop.core, boss, job)] == foretold
    shop.check()


def test_one_customer_behind_two_addresses_is_one_within_a_file(open_shop: Any) -> None:
    shop = open_shop(catalog(budget("each", "customer", cap_count=1)))
    boss = person(shop.core, "manager")
    file = csv_of(
        "long-wait,a@customer.example,",
        "long-wait,A+again@customer.example,+447700900001",
        "long-wait,,+447700900001",
        header="issue_tag,email,phone",
    )
    job = checked(shop.core, boss, file)
    verdicts = [(each.verdict or {})["status"] for each in rows_of(shop.core, boss, job)]
    assert verdicts == ["issued", "refused", "refused"]


def test_a_budget_that_is_too_small_for_all_of_it_refuses_the_whole_and_is_named(open_shop: Any) -> None:
    small = budget("small", cap_minor=2500)
    shop = open_shop(catalog(small))
    boss = person(shop.core, "manager")
    job_id = loaded(shop.core, boss, customers(4))
    before = dump.of(shop.core, without=(*JOBS, "audit_events"))
    job = foreseen(shop.core, boss, job_id)
    assert job.status == "refused"
    assert "“Pot small” has no room for the whole job: it bursts by 2 rows" in (job.reason or "")
    assert dump.differences(before, dump.of(shop.core, without=(*JOBS, "audit_events"))) == {}
    assert [(each.verdict or {}).get("slug") for each in rows_of(shop.core, boss, job)] == [
        *(None, None),
        *("budget-exhausted", "budget-exhausted"),
    ]


def test_a_start_that_a_budget_refuses_leaves_everything_as_it_was(open_shop: Any) -> None:
    shop = open_shop(catalog(budget("small", cap_minor=3000)))
    boss = person(shop.core, "manager")
    job = checked(shop.core, boss, customers(3))
    issue_voucher(core=shop.core, actor=boss, command=IssueVoucher(issue_tag="long-wait"))
    before = dump.of(shop.core)
    with pytest.raises(BudgetExhausted) as refused:
        start_job(core=shop.core, actor=boss, job_id=job.id)
    assert refused.value.facts["budget"] == "small"
    assert dump.differences(before, dump.of(shop.core)) == {}


def test_all_or_nothing_begins_only_when_every_row_is_good(shop: Shop, boss: Actor) -> None:
    file = csv_of("long-wait,a@customer.example,", "nonsense,b@customer.example,")
    job = foreseen(shop.core, boss, loaded(shop.core, boss, file, mode="all_or_nothing"))
    assert (job.status, job.rows_done) == ("refused", 0)
    assert "1 rows would be refused, the first on line 3" in (job.reason or "")
    assert of_jobs(shop) == 0


def test_all_or_nothing_stops_at_the_first_that_is_refused_after_all(open_shop: Any) -> None:
    shop = open_shop(catalog(budget("each", "customer", cap_count=1)))
    boss = person(shop.core, "manager")
    job_id = loaded(shop.core, boss, customers(6), mode="all_or_nothing")
    foreseen(shop.core, boss, job_id)
    assert chunk(shop.core, job_id, rows=3) == 3
    wish = IssueVoucher(issue_tag="long-wait", customer=CustomerGiven(email="c4@customer.example"))
    issue_voucher(core=shop.core, actor=boss, command=wish)
    job = finished(shop.core, boss, job_id, rows=3)
    assert (job.status, job.rows_issued, job.rows_refused) == ("stopped", 3, 0)
    assert job.reason == "All or nothing: line 6 was refused. This customer has reached the limit for recoveries."
    assert of_jobs(shop) == 0
    shop.check()


def test_why_it_stopped_says_nothing_of_a_customer(shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a refusal quotes of a row is kept encrypted with the row; of the job, which is not, it is no part."""
    job_id = loaded(shop.core, boss, customers(2), mode="all_or_nothing")
    foreseen(shop.core, boss, job_id)
    said = EmailInvalid("c0@customer.example said: “never again”.", field="customer.email")
    monkeypatch.setattr(bulk_run, "give", lambda *_, **__: [said, said])
    job = finished(shop.core, boss, job_id, rows=2)
    assert (job.status, job.reason) == ("stopped", f"All or nothing: line 2 was refused. {EmailInvalid.title}.")
    told = dump.of(shop.core)
    assert not [name for name, rows in told.items() if "customer.example" in str(rows) or "never again" in str(rows)]


# --- running ----------------------------------------------------------------------------------------------


def test_a_job_holds_all_of_it_first_and_less_with_each_chunk(shop: Shop, boss: Actor) -> None:
    job_id = loaded(shop.core, boss, customers(10))
    foreseen(shop.core, boss, job_id)
    assert shop.pot(POT) == (10_000, 0, 0)
    assert shop.pot(POT, "count") == (10, 0, 0)
    for given in (4, 8, 10):
        chunk(shop.core, job_id, rows=4)
        assert shop.pot(POT) == (10_000 - 1000 * given, 1000 * given, 0)
        assert of_jobs(shop) == 10_000 - 1000 * given
        shop.check()
    job = finished(shop.core, boss, job_id)
    assert (job.status, job.rows_issued, count(shop.core, vouchers)) == ("done", 10, 10)
    with shop.core.database.read() as tx:
        assert set(tx.execute(sa.select(issuances.c.job_id)).scalars()) == {job_id}


def test_what_refused_rows_would_have_taken_is_released_at_the_end(open_shop: Any) -> None:
    shop = open_shop(catalog(budget("each", "customer", cap_count=1)))
    boss = person(shop.core, "manager")
    job_id = loaded(shop.core, boss, customers(5))
    foreseen(shop.core, boss, job_id)
    done(shop.core, boss, customers(2))  # the same customers, by another list
    assert shop.pot(POT) == (5000, 2000, 0)
    job = finished(shop.core, boss, job_id, rows=2)
    assert (job.status, job.rows_issued, job.rows_refused) == ("done", 3, 2)
    assert shop.pot(POT) == (0, 5000, 0)
    assert of_jobs(shop) == 0
    shop.check()


def test_what_waits_for_an_approval_is_held_by_its_issuance(shop: Shop) -> None:
    boss = person(shop.core, "supervisor", location="london")
    job = done(shop.core, boss, csv_of("long-wait,a@customer.example,5000", "long-wait,b@customer.example,"))
    assert (job.status, job.rows_pending, job.rows_issued) == ("done", 1, 1)
    assert shop.pot(POT) == (5000, 1000, 0)
    assert of_jobs(shop) == 0
    shop.check()


def test_a_stopped_job_gives_nothing_more_and_holds_nothing_and_goes_on_from_there(shop: Shop, boss: Actor) -> None:
    job_id = loaded(shop.core, boss, customers(9))
    foreseen(shop.core, boss, job_id)
    chunk(shop.core, job_id, rows=4)
    stop_job(core=shop.core, actor=boss, job_id=job_id)
    assert shop.pot(POT) == (0, 4000, 0)
    assert not run_chunk(core=shop.core, job_id=job_id, pace=Pace()).goes_on
    job = one_job(core=shop.core, actor=boss, job_id=job_id)
    assert (job.status, job.rows_issued, job.reason) == ("stopped", 4, "Stopped by Manager.")
    assert start_job(core=shop.core, actor=boss, job_id=job_id) == "running"
    assert shop.pot(POT) == (5000, 4000, 0)
    job = finished(shop.core, boss, job_id)
    assert (job.status, job.rows_issued, job.reason, count(shop.core, vouchers)) == ("done", 9, None, 9)
    assert shop.pot(POT) == (0, 9000, 0)
    with pytest.raises(BulkJobNotReady):
        start_job(core=shop.core, actor=boss, job_id=job_id)


def test_a_switch_stops_a_running_job_with_its_reason(shop: Shop, boss: Actor) -> None:
    job_id = loaded(shop.core, boss, customers(6))
    foreseen(shop.core, boss, job_id)
    chunk(shop.core, job_id, rows=2)
    set_switch(shop, boss)
    job = finished(shop.core, boss, job_id)
    assert (job.status, job.rows_issued, job.rows_refused) == ("stopped", 2, 0)
    assert "A fire." in (job.reason or "")
    assert of_jobs(shop) == 0


def set_switch(shop: Shop, boss: Actor) -> None:
    row = {
        "id": shop.core.ids.new(shop.clock.now()),
        "stops": "issuing",
        "scope": "organization",
        "subject": "organization",
        "reason": "A fire.",
        "set_by": boss.label,
        "set_by_name": boss.name,
        "set_at": shop.clock.now(),
    }
    with shop.core.database.write() as tx:
        switches.add(tx, row)
    switches.forget(shop.core)


@pytest.mark.parametrize("change", [{"role": "frontline"}, None])
def test_a_job_whose_maker_is_gone_or_may_not_any_more_stops(shop: Shop, boss: Actor, change: Any) -> None:
    job_id = loaded(shop.core, boss, customers(4))
    foreseen(shop.core, boss, job_id)
    chunk(shop.core, job_id, rows=1)
    if change:
        people.change_user(core=shop.core, actor=SYSTEM, command=people.ChangeUser(email=str(boss.email), **change))
    else:
        people.disable_user(core=shop.core, actor=SYSTEM, email=str(boss.email))
    finished_quietly(shop, job_id)
    job = one_job(core=shop.core, actor=shop.manager, job_id=job_id)
    assert (job.status, job.rows_issued) == ("stopped", 1)
    assert "may not give in bulk any more" in (job.reason or "")
    assert of_jobs(shop) == 0


def finished_quietly(shop: Shop, job_id: Any) -> None:
    while run_chunk(core=shop.core, job_id=job_id, pace=Pace()).goes_on:
        pass


def breaking(monkeypatch: pytest.MonkeyPatch, email: str = "") -> None:
    """Let giving meet a bug at the rows whose address begins so."""
    real = giving.give

    def give(tx: Any, core: Any, actor: Actor, commands: Any, *more: Any, **named: Any) -> Any:
        if any((each.customer.email or "").startswith(email) for each in commands):
            raise ZeroDivisionError
        return real(tx, core, actor, commands, *more, **named)

    monkeypatch.setattr("incentives.flows.bulk_run.give", give)


def test_a_bug_at_every_row_stops_the_job_with_its_lines(
    shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rows in succession are tried alone; then nothing speaks for the next one."""
    job_id = loaded(shop.core, boss, customers(6))
    foreseen(shop.core, boss, job_id)
    breaking(monkeypatch)
    pace = Pace()
    while run_chunk(core=shop.core, job_id=job_id, pace=pace).goes_on:
        pass
    job = one_job(core=shop.core, actor=boss, job_id=job_id)
    assert (job.status, job.rows_refused, job.rows_issued, count(shop.core, vouchers)) == ("stopped", 3, 0, 0)
    assert "at lines 5 to 5" in (job.reason or "")
    assert of_jobs(shop) == 0


def test_a_row_that_meets_a_bug_is_refused_and_those_behind_it_are_given(
    shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = loaded(shop.core, boss, customers(9))
    foreseen(shop.core, boss, job_id)
    breaking(monkeypatch, "c4@")
    pace = Pace()
    while run_chunk(core=shop.core, job_id=job_id, pace=pace).goes_on:
        pass
    job = one_job(core=shop.core, actor=boss, job_id=job_id)
    assert (job.status, job.rows_issued, job.rows_refused) == ("done", 8, 1)
    (row,) = [each for each in rows_of(shop.core, boss, job) if each.error]
    assert (row.line, row.error["slug"]) == (6, "bulk-row-broke")  # type: ignore[index]  # it was filtered for that
    monkeypatch.undo()
    retry = retry_job(core=shop.core, actor=boss, job_id=job_id)
    foreseen(shop.core, boss, retry.id)
    assert finished(shop.core, boss, retry.id).rows_issued == 1
    shop.check()


def test_a_bug_stops_a_job_of_all_or_nothing_at_once(shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = loaded(shop.core, boss, customers(4), mode="all_or_nothing")
    foreseen(shop.core, boss, job_id)
    breaking(monkeypatch, "c3@")
    finished_quietly(shop, job_id)
    job = one_job(core=shop.core, actor=boss, job_id=job_id)
    assert (job.status, job.rows_done, count(shop.core, vouchers)) == ("stopped", 0, 0)
    assert "at lines 2 to 5" in (job.reason or "")


def test_only_what_was_refused_is_tried_again(open_shop: Any) -> None:
    cap = budget("each", "customer", cap_count=1)
    shop = open_shop(catalog(cap))
    boss = person(shop.core, "manager")
    twice = [f"long-wait,c{number}@customer.example," for number in (0, 1, 0, 1, 2)]
    job = done(shop.core, boss, csv_of(*twice))
    assert (job.rows_issued, job.rows_refused) == (3, 2)
    publish_catalog(shop.core, catalog({**cap, "cap_count": 2}))
    retry = retry_job(core=shop.core, actor=boss, job_id=job.id)
    assert (retry.rows, retry.replayed) == (2, False)
    assert retry_job(core=shop.core, actor=boss, job_id=job.id).id == retry.id
    foreseen(shop.core, boss, retry.id)
    again = finished(shop.core, boss, retry.id)
    assert (again.status, again.rows_issued, again.retry_of_id) == ("done", 2, job.id)
    assert [each.line for each in rows_of(shop.core, boss, again)] == [4, 5]
    assert count(shop.core, vouchers) == 5
    shop.check()


def test_a_line_is_given_once_whichever_job_comes_to_it(shop: Shop, boss: Actor) -> None:
    job = done(shop.core, boss, customers(2))
    with shop.core.database.write() as tx:  # as if both jobs had the same line to do
        tx.execute(bulk_rows.update().values(status="waiting"))
        tx.execute(bulk_jobs.update().values(status="running"))
    again = finished(shop.core, boss, job.id)
    assert again.status == "done"
    assert count(shop.core, vouchers) == 2
    shop.check()


def test_a_job_is_foreseen_anew_when_the_catalog_is_another(shop: Shop, boss: Actor) -> None:
    job = checked(shop.core, boss, customers(2))
    publish_catalog(shop.core, catalog(budget("more", cap_minor=5000)))
    assert start_job(core=shop.core, actor=boss, job_id=job.id) == "checking"
    job = foreseen(shop.core, boss, job.id)
    assert job.status == "running"
    assert shop.pot("more") == (2000, 0, 0)
    assert finished(shop.core, boss, job.id).status == "done"
    assert shop.pot("more") == (0, 2000, 0)


def test_a_job_is_foreseen_anew_when_a_budgets_next_period_has_begun(open_shop: Any) -> None:
    shop = open_shop(catalog(budget("daily", period="day", cap_minor=5000)))
    boss = person(shop.core, "manager")
    job = checked(shop.core, boss, customers(2))
    shop.clock.advance(timedelta(days=1))
    assert start_job(core=shop.core, actor=boss, job_id=job.id) == "checking"
    foreseen(shop.core, boss, job.id)
    shop.clock.advance(timedelta(days=1))  # and once more while it runs
    assert finished(shop.core, boss, job.id).status == "done"
    assert shop.pot("daily") == (0, 2000, 0)
    assert of_jobs(shop) == 0
    shop.check()
