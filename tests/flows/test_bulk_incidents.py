"""A list for an incident: a case and a voucher for each customer, in the case that they have there, and once."""

import uuid

import pytest
import sqlalchemy as sa

from incentives.flows.bulk_run import start_job
from incentives.flows.incidents import OpenIncident, attach_cases, close_incident, open_incident
from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_voucher
from incentives.flows.open_case import OpenCase, open_case
from incentives.kernel.actors import Actor
from incentives.kernel.errors import IncidentNotFound, IncidentOver, NotPermitted
from incentives.queries.bulk import list_jobs
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances
from tests.flows.bulk_shop import checked, chunk, count, csv_of, done, finished, foreseen, loaded, people, rows_of
from tests.flows.shop import Shop
from tests.world import api_key, person


@pytest.fixture
def boss(shop: Shop) -> Actor:
    return person(shop.core, "manager")


def opened(shop: Shop, boss: Actor) -> uuid.UUID:
    command = OpenIncident(issue_tag="long-wait", title="The lift", started_at=shop.clock.now(), location="london")
    return open_incident(core=shop.core, actor=boss, command=command).id


def cases(shop: Shop, incident_id: uuid.UUID) -> dict[uuid.UUID, int]:
    """Return the incident's cases, each with how often something was given in it."""
    case = recovery_cases.c
    query = (
        sa.select(case.id, sa.func.count(issuances.c.id))
        .outerjoin(issuances, issuances.c.case_id == case.id)
        .where(case.incident_id == incident_id)
        .group_by(case.id)
    )
    with shop.core.database.read() as tx:
        return {row[0]: row[1] for row in tx.execute(query)}


def names(*rows: str) -> bytes:
    """Return a list of nothing but addresses: tag and place are the incident's."""
    return csv_of(*rows, header="email")


def test_each_customer_gets_a_case_of_the_incident_and_a_voucher(shop: Shop, boss: Actor) -> None:
    incident_id = opened(shop, boss)
    job = done(shop.core, boss, names("a@customer.example", "b@customer.example"), incident_id=incident_id)
    assert (job.status, job.rows_issued, job.incident_id) == ("done", 2, incident_id)
    assert sorted(cases(shop, incident_id).values()) == [1, 1]
    with shop.core.database.read() as tx:
        places = tx.execute(sa.select(recovery_cases.c.location, recovery_cases.c.issue_tag)).all()
    assert {tuple(each) for each in places} == {("london", "long-wait")}
    assert [each.id for each in list_jobs(core=shop.core, actor=boss, incident_id=incident_id).items] == [job.id]


def test_what_is_given_goes_into_the_case_that_a_customer_has_there(shop: Shop, boss: Actor) -> None:
    incident_id = opened(shop, boss)
    known = CustomerGiven(email="a@customer.example")
    command = OpenCase(issue_tag="long-wait", customer=known, location="london", answers_to_come=True)
    case_id = open_case(core=shop.core, actor=boss, command=command).id
    assert attach_cases(core=shop.core, actor=boss, incident_id=incident_id) == 1
    done(shop.core, boss, names("A+other@customer.example", "b@customer.example"), incident_id=incident_id)
    found = cases(shop, incident_id)
    assert len(found) == 2
    assert found[case_id] == 1


def test_nobody_is_given_twice_for_one_incident(shop: Shop, boss: Actor) -> None:
    incident_id = opened(shop, boss)
    first = checked(shop.core, boss, names("a@customer.example", "a@customer.example"), incident_id=incident_id)
    assert first.totals["refusals"] == {"already-given-for-incident": 1}
    start_job(core=shop.core, actor=boss, job_id=first.id)
    first = finished(shop.core, boss, first.id)
    assert (first.rows_issued, first.rows_refused) == (1, 1)
    second = checked(shop.core, boss, names("a@customer.example", "b@customer.example"), incident_id=incident_id)
    assert second.totals["verdicts"] == {"issued": 1, "pending_approval": 0, "refused": 1}
    start_job(core=shop.core, actor=boss, job_id=second.id)
    second = finished(shop.core, boss, second.id)
    error = rows_of(shop.core, boss, second)[0].error or {}
    assert error["slug"] == "already-given-for-incident"
    assert uuid.UUID(error["case_id"]) in cases(shop, incident_id)
    # What is no part of the incident is no matter of it.
    issue_voucher(
        core=shop.core,
        actor=boss,
        command=IssueVoucher(issue_tag="long-wait", customer=CustomerGiven(email="a@customer.example")),
    )
    assert sorted(cases(shop, incident_id).values()) == [1, 1]
    assert count(shop.core, issuances) == 3


def test_a_job_stops_when_its_incident_is_closed(shop: Shop, boss: Actor) -> None:
    incident_id = opened(shop, boss)
    job_id = loaded(shop.core, boss, people(4), incident_id=incident_id)
    foreseen(shop.core, boss, job_id)
    chunk(shop.core, job_id, rows=1)
    close_incident(core=shop.core, actor=boss, incident_id=incident_id)
    job = finished(shop.core, boss, job_id)
    assert (job.status, job.rows_issued, job.reason) == ("stopped", 1, "The incident is closed.")
    assert shop.pot("all-gbp") == (0, 1000, 0)
    with pytest.raises(IncidentOver):
        start_job(core=shop.core, actor=boss, job_id=job_id)
    with pytest.raises(IncidentOver):
        loaded(shop.core, boss, people(2), incident_id=incident_id)


def test_who_may_not_lead_incidents_gives_none_for_them(shop: Shop, boss: Actor) -> None:
    incident_id = opened(shop, boss)
    _, program = api_key(shop.core, "integrator")
    with pytest.raises(NotPermitted):
        loaded(shop.core, program, people(1), incident_id=incident_id)
    elsewhere = person(shop.core, "supervisor", location="leeds")
    with pytest.raises(IncidentNotFound):
        loaded(shop.core, elsewhere, people(1), incident_id=incident_id)
