"""Incidents: opened once, with the cases that match, told of, and ended."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from incentives.flows.incidents import OpenIncident, attach_cases, close_incident, open_incident
from incentives.flows.work_case import Apologize, apologize_to
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    IncidentAlreadyOpen,
    IncidentNotFound,
    IncidentOver,
    InputInvalid,
    NotPermitted,
    OtherLocation,
    UnknownIssueTag,
    UnknownLocation,
)
from incentives.queries.catalog import issue_tags
from incentives.queries.incidents import list_incidents, one_incident, untold
from incentives.recovery.customers import Contact
from incentives.recovery.tables import recovery_cases
from tests.schema import all_tables
from tests.world import START, actor, make_core, publish_catalog


@pytest.fixture
def core(new_database: Callable[..., str]) -> Iterator[Core]:
    """A core on the demo catalog."""
    made = make_core(new_database())
    publish_catalog(made)
    yield made
    made.database.dispose()


def a_case(
    core: Core,
    *,
    tag: str = "flight-delayed",
    location: str = "london",
    hours: int = 2,
    status: str = "open",
    email: str | None = None,
) -> uuid.UUID:
    """Write down a case that was opened so many hours ago."""
    case_id = core.ids.new(START)
    contact = core.contacts.encrypt(Contact(email=email).to_text()) if email else None
    closed = {"closed_at": START, "outcome": "no_action"} if status == "closed" else {}
    row = {
        "id": case_id, "issue_tag": tag, "severity": 2, "location": location, "status": status, "source": "staff",
        "opened_by": "person:x", "opened_at": START - timedelta(hours=hours), "salvageable": True, "round": 1,
        "contact": contact, **closed,
    }  # fmt: skip
    with core.database.write() as tx:
        tx.execute(recovery_cases.insert(), [row])
    return case_id


def command(**changes: object) -> OpenIncident:
    usual = {
        "issue_tag": "flight-delayed",
        "title": "Fog over Heathrow",
        "started_at": START - timedelta(hours=6),
        "location": "london",
    }
    return OpenIncident(**{**usual, **changes})  # type: ignore[arg-type]  # as the test says


def test_an_incident_gathers_the_open_cases_that_match(core: Core) -> None:
    manager = actor(core, "manager")
    matching = {a_case(core), a_case(core, hours=5)}
    others = [
        a_case(core, tag="long-wait"),
        a_case(core, location="madrid"),
        a_case(core, hours=9),
        a_case(core, status="closed"),
    ]
    opened = open_incident(core=core, actor=manager, command=command())
    assert opened.attached == 2
    found = one_incident(core=core, actor=manager, incident_id=opened.id)
    assert {each.case_id for each in found.log} == matching
    assert (found.incident.cases, found.incident.told, found.incident.title) == (2, 0, "Fog over Heathrow")
    events = all_tables().tables["audit_events"]
    with core.database.read() as tx:
        said = tx.execute(sa.select(events.c.action, events.c.case_id)).all()
    assert {row.case_id for row in said if row.action == "case.attached-to-incident"} == matching
    assert not {row.case_id for row in said} & set(others)
    assert attach_cases(core=core, actor=manager, incident_id=opened.id) == 0
    late = a_case(core, hours=0)
    assert attach_cases(core=core, actor=manager, incident_id=opened.id) == 1
    assert late in {each.case_id for each in one_incident(core=core, actor=manager, incident_id=opened.id).log}


def test_a_tag_brings_all_below_it_and_no_place_is_every_place(core: Core) -> None:
    manager = actor(core, "manager")
    a_case(core)
    a_case(core, location="madrid")
    opened = open_incident(core=core, actor=manager, command=command(issue_tag=_root(core), location=None))
    assert opened.attached == 2


def _root(core: Core) -> str:
    """Return what stands at the top above the tag of the tests' cases."""
    tags = {each.key: each.parent for each in issue_tags(core=core, actor=actor(core, "manager"))}
    key = "flight-delayed"
    while (above := tags[key]) is not None:
        key = above
    return key


def test_one_of_a_tag_and_place_is_open_at_a_time(core: Core) -> None:
    manager = actor(core, "manager")
    for place in ("london", None):
        first = open_incident(core=core, actor=manager, command=command(location=place))
        with pytest.raises(IncidentAlreadyOpen) as refusal:
            open_incident(core=core, actor=manager, command=command(location=place, title="Again"))
        assert refusal.value.facts["incident_id"] == str(first.id)
        close_incident(core=core, actor=manager, incident_id=first.id)
        open_incident(core=core, actor=manager, command=command(location=place))
    assert len(list_incidents(core=core, actor=manager).items) == 4


def test_an_incident_ends_once_and_gathers_nothing_after_that(core: Core) -> None:
    manager = actor(core, "manager")
    opened = open_incident(core=core, actor=manager, command=command())
    close_incident(core=core, actor=manager, incident_id=opened.id)
    a_case(core)
    for deed in (close_incident, attach_cases):
        with pytest.raises(IncidentOver):
            deed(core=core, actor=manager, incident_id=opened.id)
    with pytest.raises(IncidentNotFound):
        close_incident(core=core, actor=manager, incident_id=uuid.UUID(int=1))


def test_the_log_says_who_was_told(core: Core) -> None:
    manager = actor(core, "manager")
    told, waiting = a_case(core), a_case(core)
    opened = open_incident(core=core, actor=manager, command=command())
    said = Apologize(case_id=told, channel="phone", words="We are sorry for the fog.", spoken=True)
    apologize_to(core=core, actor=manager, command=said)
    log = {each.case_id: each for each in one_incident(core=core, actor=manager, incident_id=opened.id).log}
    assert (log[told].told_at, log[told].channel) == (START, "phone")
    assert log[waiting].told_at is None
    assert untold(core=core, actor=manager, incident_id=opened.id, limit=10) == (waiting,)
    (listed,) = list_incidents(core=core, actor=manager).items
    assert (listed.cases, listed.told, listed.answered) == (2, 1, 0)


def test_whom_nobody_can_reach_keeps_nobody_waiting(core: Core) -> None:
    manager = actor(core, "manager")
    without = [a_case(core, hours=hours) for hours in (5, 4)]
    later, first = a_case(core, hours=1, email="b@example.com"), a_case(core, hours=3, email="a@example.com")
    opened = open_incident(core=core, actor=manager, command=command())

    def waiting(limit: int) -> tuple[uuid.UUID, ...]:
        return untold(core=core, actor=manager, incident_id=opened.id, limit=limit)

    assert waiting(1) == (first,)
    assert waiting(2) == (first, later)
    assert waiting(10) == (first, later, *without)
    apologize_to(core=core, actor=manager, command=Apologize(case_id=first, channel="email", words="We are sorry."))
    assert waiting(2) == (later, without[0])


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"issue_tag": "gremlins"}, UnknownIssueTag),
        ({"location": "atlantis"}, UnknownLocation),
        ({"title": "  "}, InputInvalid),
        ({"title": "x" * 201}, InputInvalid),
        ({"title": "a\x00b"}, InputInvalid),
        ({"started_at": START + timedelta(minutes=1)}, InputInvalid),
        ({"started_at": START - timedelta(days=61)}, InputInvalid),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite"])
def test_what_is_no_incident_is_refused(core: Core, changes: dict[str, object], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        open_incident(core=core, actor=actor(core, "manager"), command=command(**changes))
    assert list_incidents(core=core, actor=actor(core, "manager")).items == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_whoever_belongs_to_a_place_speaks_for_it(core: Core) -> None:
    there = actor(core, "supervisor", location="madrid")
    with pytest.raises(OtherLocation):
        open_incident(core=core, actor=there, command=command())
    opened = open_incident(core=core, actor=there, command=command(location=None))
    assert one_incident(core=core, actor=there, incident_id=opened.id).incident.location == "madrid"
    elsewhere = actor(core, "supervisor", location="london")
    with pytest.raises(IncidentNotFound):
        one_incident(core=core, actor=elsewhere, incident_id=opened.id)
    with pytest.raises(NotPermitted):
        open_incident(core=core, actor=actor(core, "frontline"), command=command())
