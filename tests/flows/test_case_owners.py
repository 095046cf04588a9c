"""Whose a case is: taken, given, found by a rule; what is late is told to whoever leads, once."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import worker
from incentives.access.tables import users
from incentives.flows.assign import AssignCase, TakeCase, assign_case, take_case
from incentives.flows.escalate import Escalated, escalate_due
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    CaseOwned,
    InputInvalid,
    NotPermitted,
    TaskAlreadyDone,
    TaskNotFound,
)
from incentives.messages.tables import outbox_messages
from incentives.queries.case_work import people_to_assign, waiting_tasks
from incentives.recovery.tables import case_clocks
from tests.flows.cases_shop import Desk, OpenShop, cases_catalog
from tests.world import START, api_key

TEAMS = [
    {"key": "gates", "name": "Gates", "location": "london", "skills": ["service"], "most_open_cases": 2},
    {"key": "desk", "name": "Desk"},
    {"key": "leeds-desk", "name": "Leeds", "location": "leeds"},
    {"key": "odd-ones", "name": "Odd", "skills": ["odd"]},
]


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(cases_catalog(teams=TEAMS)))


def person(desk: Desk, name: str, **more: Any) -> Actor:
    """Let somebody in without the cost of a password."""
    values = {"role": "frontline", "location": "london", "team": "gates", **more}
    skills = values.pop("skills", [])
    found = Actor(
        kind="person",
        id=desk.core.ids.new(desk.core.clock.now()),
        name=name,
        email=f"{name.lower()}@example.com",
        **values,
    )
    row = {
        "id": found.id,
        "email": found.email,
        "name": name,
        "password_hash": "-",
        "skills": skills,
        "created_at": START,
    }
    with desk.core.database.write() as tx:
        tx.execute(users.insert(), [{**row, **values}])
    return found


def program(desk: Desk) -> Actor:
    """Let a program in, whose cases nobody owns."""
    return api_key(desk.core, "integrator")[1]


def assign(desk: Desk, case_id: Any, by: Actor | None = None, **more: Any) -> Any:
    """Assign a case; the supervisor does."""
    command = AssignCase(**{"case_id": case_id, "reason": "Because.", **more})
    return assign_case(core=desk.core, actor=by or desk.shop.supervisor, command=command)


def told(desk: Desk) -> list[tuple[str, Any]]:
    """Return which notices went to whom."""
    rows = desk.shop.all(outbox_messages, outbox_messages.c.user_id.is_not(None))
    return [(row.template, row.user_id) for row in rows]


def test_a_case_is_taken_by_one(desk: Desk) -> None:
    case_id = desk.open(program(desk))
    ana, tom = person(desk, "Ana"), person(desk, "Tom")
    taken = take_case(core=desk.core, actor=ana, command=TakeCase(case_id=case_id))
    assert (taken.owner, taken.owner_team) == (ana.label, "gates")
    assert take_case(core=desk.core, actor=ana, command=TakeCase(case_id=case_id)).owner == ana.label
    desk.shop.refused(CaseOwned, take_case, core=desk.core, actor=tom, command=TakeCase(case_id=case_id))
    assert told(desk) == []


def test_whoever_leads_gives_a_case_with_a_reason(desk: Desk) -> None:
    case_id = desk.open()
    ana = person(desk, "Ana")
    desk.shop.refused(NotPermitted, assign, desk, case_id, ana, owner=ana.label)
    desk.shop.refused(InputInvalid, assign, desk, case_id, owner=ana.label, reason=" ")
    given = assign(desk, case_id, owner=ana.label)
    assert (given.owner, given.owner_name, given.owner_team) == (ana.label, "Ana", "gates")
    assert told(desk) == [("notice-assigned", ana.id)]
    (item,) = [item for item in desk.screen(case_id).timeline if item.kind == "assignment"]
    assert (item.facts["owner_name"], item.facts["by"], item.actor_name) == ("Ana", "hand", "Supervisor")
    assert "Because." in [item.text for item in desk.screen(case_id).timeline if item.kind == "note"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"owner": "person:nobody"},
        {"owner": "key:00000000-0000-0000-0000-000000000001"},
        {"owner": "person:00000000-0000-0000-0000-000000000001"},
        {"team": "nobodys"},
        {"rule": {"to": "chance"}},
        {"rule": {"to": "team", "team": "odd-ones"}},
    ],
)
def test_a_case_is_not_given_to_nobody(desk: Desk, more: dict[str, Any]) -> None:
    case_id = desk.open()
    desk.shop.refused(InputInvalid, assign, desk, case_id, **more)


def test_a_team_gets_a_case_that_waits_for_somebody(desk: Desk) -> None:
    case_id = desk.open()
    given = assign(desk, case_id, team="desk")
    assert (given.owner, given.owner_team) == (None, "desk")
    assert desk.screen(case_id).case.owner is None


def test_a_rule_goes_by_load_and_turns_and_stops_at_the_cap(desk: Desk) -> None:
    ana, tom = person(desk, "Ana"), person(desk, "Tom")
    maker = program(desk)
    owners = []
    for _ in range(4):
        desk.shop.later(minutes=1)
        owners.append(assign(desk, desk.open(maker), rule={"to": "team", "team": "gates"}).owner)
    assert sorted(owners) == sorted([ana.label, tom.label] * 2)
    assert owners[0] != owners[1]
    # Both have the two open cases that the team's people may have.
    desk.shop.refused(InputInvalid, assign, desk, desk.open(maker), rule={"to": "team", "team": "gates"})


def test_a_rule_goes_by_skill_and_place(desk: Desk) -> None:
    person(desk, "Odd", skills=["odd"])
    person(desk, "Far", location="leeds")
    person(desk, "Gone")
    able = person(desk, "Able", skills=["service"])
    with desk.core.database.write() as tx:
        tx.execute(users.update().where(users.c.name == "Gone").values(disabled_at=START))
    maker = program(desk)
    assert assign(desk, desk.open(maker), rule={"to": "team"}).owner == able.label


def test_the_same_agent_and_the_supervisor_are_found(desk: Desk) -> None:
    tom = person(desk, "Tom")
    lead = person(desk, "Lead", role="supervisor", team=None)
    case_id = desk.open(tom)
    assert assign(desk, case_id, rule={"to": "supervisor"}).owner == lead.label
    assert assign(desk, case_id, rule={"to": "same_agent"}).owner == tom.label


def test_colleagues_are_listed_by_how_much_they_have(desk: Desk) -> None:
    busy, free = person(desk, "Busy"), person(desk, "Free")
    person(desk, "Far", location="leeds")
    person(desk, "Till", role="till")
    case_id = desk.open(busy)
    found = people_to_assign(core=desk.core, actor=desk.shop.supervisor, case_id=case_id)
    assert [(each.label, each.open_cases) for each in found] == [(free.label, 0), (busy.label, 1)]


def test_a_clock_that_runs_out_is_told_to_whoever_leads_there_once(desk: Desk) -> None:
    here = person(desk, "Lead", role="supervisor", team=None)
    person(desk, "Afar", role="supervisor", location="leeds", team=None)
    case_id = desk.open()
    assert escalate_due(core=desk.core).total == 0
    desk.shop.later(minutes=61)
    assert escalate_due(core=desk.core) == Escalated(clocks=2, unowned=0, tasks=0)
    assert told(desk) == [("notice-escalated", here.id)]
    assert escalate_due(core=desk.core).total == 0
    screen = desk.screen(case_id)
    late = {clock.clock for clock in screen.clocks if clock.overdue}
    assert late == {"first_contact", "apology"} == {clock.clock for clock in screen.clocks if clock.escalated_at}
    assert (screen.case.overdue, screen.case.next_clock) == (True, "first_contact")
    actions = [item.title for item in screen.timeline if item.title == "case.escalated"]
    assert len(actions) == 2


def test_what_is_met_or_over_escalates_no_more(desk: Desk) -> None:
    person(desk, "Lead", role="supervisor", team=None)
    case_id = desk.open()
    desk.work_through(case_id)
    desk.close(case_id)
    desk.shop.later(days=2, minutes=-1)
    assert escalate_due(core=desk.core).clocks == 0


def test_leaders_of_everywhere_stand_in_where_nobody_leads(desk: Desk) -> None:
    boss = person(desk, "Boss", role="manager", location=None, team=None)
    desk.open()
    desk.shop.later(minutes=31)
    escalate_due(core=desk.core)
    assert told(desk) == [("notice-escalated", boss.id)]


def test_a_case_that_nobody_owns_is_an_alarm_once(desk: Desk) -> None:
    lead = person(desk, "Lead", role="supervisor", team=None)
    case_id = desk.open(program(desk))
    desk.shop.later(minutes=29)
    assert escalate_due(core=desk.core).unowned == 0
    desk.shop.later(minutes=1)
    assert escalate_due(core=desk.core).unowned == 1
    assert ("notice-unowned", lead.id) in told(desk)
    assert escalate_due(core=desk.core).unowned == 0
    assert desk.row(case_id).changed_at == START


def test_a_case_in_which_nothing_runs_is_no_alarm(open_shop: OpenShop) -> None:
    desk = Desk(open_shop(cases_catalog(protocol={"clocks": None})))
    desk.open(program(desk))
    desk.shop.later(days=1)
    assert escalate_due(core=desk.core).unowned == 0


def test_tasks_are_reminded_of_when_due_and_done_with_a_result(desk: Desk) -> None:
    ana = person(desk, "Ana")
    case_id = desk.open(ana)
    task_id = desk.task(
        case_id, kind="employee", title="Talk it over with Tom", due_at=START + timedelta(hours=1), owner=ana.label
    ).id
    desk.shop.refused(InputInvalid, desk.task, case_id, kind="employee", title="Late", due_at=START)
    desk.shop.refused(InputInvalid, desk.task, case_id, kind="wish", title="x", due_at=START + timedelta(hours=1))
    assert escalate_due(core=desk.core).tasks == 0
    desk.shop.later(minutes=60)
    assert escalate_due(core=desk.core).tasks == 1
    assert ("notice-task-due", ana.id) in told(desk)
    assert escalate_due(core=desk.core).tasks == 0
    late = waiting_tasks(core=desk.core, actor=ana, mine=True, overdue=True).items
    assert [(each.title, each.overdue, each.owner_name) for each in late] == [("Talk it over with Tom", True, "Ana")]
    desk.finish(case_id, task_id, result="He will ask first.")
    desk.shop.refused(TaskAlreadyDone, desk.finish, case_id, task_id)
    desk.shop.refused(TaskNotFound, desk.finish, case_id, desk.core.ids.new(START))
    done = [each for each in desk.screen(case_id).tasks if each.done_at]
    assert [(each.result, each.done_by_name) for each in done] == [("He will ask first.", desk.shop.agent.label)]
    assert "Tom" not in str(desk.shop.everything()["case_tasks"])
    assert len(waiting_tasks(core=desk.core, actor=desk.shop.supervisor).items) == 1


def test_one_press_adds_one_task(desk: Desk) -> None:
    case_id = desk.open()
    more: dict[str, Any] = {"kind": "process", "title": "Mend it", "idempotency_key": "t1"}
    more["due_at"] = START + timedelta(hours=1)
    assert desk.task(case_id, **more).id == desk.task(case_id, **more).id


def test_the_worker_looks_for_what_is_late(desk: Desk) -> None:
    lead = person(desk, "Lead", role="supervisor", team=None)
    desk.open()
    desk.shop.later(minutes=31)
    worker.sweep(desk.core)
    assert told(desk) == [("notice-escalated", lead.id)]
    assert desk.shop.deliver() == ["captured"]
    (letter,) = desk.shop.sender().letters
    assert letter.to == "lead@example.com"


def test_two_sweeps_share_the_work(desk: Desk) -> None:
    for _ in range(3):
        desk.open()
    desk.shop.later(minutes=31)
    first, second = escalate_due(core=desk.core), escalate_due(core=desk.core)
    assert (first.clocks, second.clocks) == (3, 0)
    with desk.core.database.read() as tx:
        marked = tx.execute(sa.select(sa.func.count()).where(case_clocks.c.escalated_at.is_not(None))).scalar_one()
    assert marked == 3
