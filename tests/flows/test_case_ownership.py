"""Whose a case may be: somebody who sees it and may work on it. What is late is told, with measure."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.access.tables import users
from incentives.flows.assign import TakeCase, take_case
from incentives.flows.escalate import escalate_due
from incentives.kernel.errors import CaseNotFound, InputInvalid
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import case_clocks, case_tasks
from tests.flows.cases_shop import Desk, OpenShop, cases_catalog
from tests.flows.test_case_owners import TEAMS, assign, person, program, told
from tests.world import START


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(cases_catalog(teams=TEAMS)))


def become(desk: Desk, name: str, **values: Any) -> None:
    """Change what a person is; without more they are shut out."""
    with desk.core.database.write() as tx:
        tx.execute(users.update().where(users.c.name == name).values(values or {"disabled_at": START}))


def served_by(desk: Desk, case_id: Any, agent: str) -> None:
    """Let a survey tool have said who served."""
    row = {"id": desk.core.ids.new(START), "case_id": case_id, "agent": agent, "source": "stars", "external_id": "1"}
    required = {
        column.name: "x" if column.type.python_type is str else START if "at" in column.name else 0
        for column in feedback.c
        if not column.nullable and column.server_default is None and column.name not in row
    }
    with desk.core.database.write() as tx:
        tx.execute(feedback.insert(), [{**required, **row, "kind": "survey", "status": "acted"}])


@pytest.mark.parametrize("agent", ["person:tom", "person:", "person:00000000-0000-0000-0000-000000000001"])
def test_an_agent_who_only_looks_like_a_label_is_nobody(desk: Desk, agent: str) -> None:
    tom = person(desk, "Tom")
    case_id = desk.open(tom)
    served_by(desk, case_id, agent)
    assert assign(desk, case_id, rule={"to": "same_agent"}).owner == tom.label


def test_a_rule_gives_a_case_to_those_who_may_work_on_it(desk: Desk) -> None:
    for role in ("till", "finance", "auditor"):
        person(desk, role.title(), role=role)
    able = person(desk, "Able")
    desk.open(able)
    assert assign(desk, desk.open(program(desk)), rule={"to": "team", "team": "gates"}).owner == able.label


def test_a_team_elsewhere_works_on_what_it_was_given(desk: Desk) -> None:
    far = person(desk, "Far", location="leeds", team="leeds-desk")
    case_id = desk.open(program(desk))
    with pytest.raises(CaseNotFound):
        desk.screen(case_id, far)
    assign(desk, case_id, team="leeds-desk")
    assert desk.screen(case_id, far).may_edit
    assert take_case(core=desk.core, actor=far, command=TakeCase(case_id=case_id)).owner == far.label
    assign(desk, case_id, team="desk")
    with pytest.raises(CaseNotFound):
        desk.screen(case_id, far)


def test_nothing_is_given_to_those_who_do_not_see_the_case(desk: Desk) -> None:
    alone = person(desk, "Alone", location="leeds", team=None)
    case_id = desk.open()
    refusal = desk.shop.refused(InputInvalid, assign, desk, case_id, owner=alone.label)
    assert refusal.facts["errors"][0]["field"] == "owner"
    due: dict[str, Any] = {"kind": "customer", "title": "Call", "due_at": START + timedelta(hours=1)}
    desk.shop.refused(InputInvalid, desk.task, case_id, owner=alone.label, **due)
    desk.task(case_id, owner=person(desk, "Here").label, **due)


def test_what_is_beyond_the_calendar_of_anybody_is_refused(desk: Desk) -> None:
    case_id = desk.open()
    beyond = START.replace(year=9999)
    refusal = desk.shop.refused(InputInvalid, desk.task, case_id, kind="process", title="Mend", due_at=beyond)
    assert refusal.facts["errors"][0]["field"] == "due_at"
    refusal = desk.shop.refused(InputInvalid, desk.open, occurred_at=START.replace(year=1))
    assert refusal.facts["errors"][0]["field"] == "occurred_at"


def test_a_task_of_a_team_is_nobodys_yet(desk: Desk) -> None:
    case_id = desk.open()
    task = desk.task(case_id, kind="process", title="Mend", due_at=START + timedelta(hours=1), owner_team="desk").id
    row = desk.shop.one(case_tasks, case_tasks.c.id == task)
    assert (row.owner, row.owner_team) == (None, "desk")


def test_the_task_of_somebody_who_left_is_told_to_whoever_leads(desk: Desk) -> None:
    lead, ana = person(desk, "Lead", role="supervisor", team=None), person(desk, "Ana")
    case_id = desk.open()
    desk.task(case_id, kind="customer", title="Call", due_at=START + timedelta(minutes=10), owner=ana.label)
    become(desk, "Ana")
    desk.shop.later(minutes=10)
    assert escalate_due(core=desk.core).tasks == 1
    assert told(desk) == [("notice-task-due", lead.id)]


@pytest.mark.parametrize("now", [{}, {"role": "till"}])
def test_the_cases_of_somebody_who_left_wait_for_somebody_again(desk: Desk, now: dict[str, Any]) -> None:
    lead, ana = person(desk, "Lead", role="supervisor", team=None), person(desk, "Ana")
    case_id = desk.open(program(desk))
    desk.shop.later(minutes=29)
    take_case(core=desk.core, actor=ana, command=TakeCase(case_id=case_id))
    become(desk, "Ana", **now)
    desk.shop.later(minutes=1)
    assert escalate_due(core=desk.core).unowned == 1
    assert ("notice-unowned", lead.id) in told(desk)
    row = desk.row(case_id)
    assert (row.owner, row.owner_team, row.assigned_at) == (None, "gates", None)
    last = [item for item in desk.screen(case_id).timeline if item.kind == "assignment"][-1]
    assert (last.facts["owner"], last.facts["before"], last.facts["by"]) == (None, ana.label, "left")
    assert escalate_due(core=desk.core).unowned == 0


def test_a_case_that_is_opened_again_and_is_nobodys_is_an_alarm_again(desk: Desk) -> None:
    case_id = desk.open(program(desk))
    desk.work_through(case_id)
    desk.shop.later(minutes=30)
    assert escalate_due(core=desk.core).unowned == 1
    desk.close(case_id)
    desk.reopen(case_id)
    assert escalate_due(core=desk.core).unowned == 1


def test_a_flood_of_what_is_late_does_not_bury_whoever_leads(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("incentives.messages.outbox.MOST_NOTICES", 3)
    person(desk, "Lead", role="supervisor", team=None)
    for _ in range(5):
        desk.open()
    desk.shop.later(minutes=31)
    assert escalate_due(core=desk.core).clocks == 5
    assert len(told(desk)) == 3
    assert all(row.escalated_at for row in desk.shop.all(case_clocks, case_clocks.c.clock == "first_contact"))
    # More of it within the hour is not told; an hour later it is.
    desk.shop.later(minutes=30)
    escalate_due(core=desk.core)
    assert len(told(desk)) == 3
    desk.shop.later(minutes=31)
    escalate_due(core=desk.core)
    assert len(told(desk)) == 6


def test_whoever_leads_is_told_at_once_of_what_is_grave(desk: Desk) -> None:
    lead = person(desk, "Lead", role="supervisor", team=None)
    desk.open(severity=3)
    assert told(desk) == []
    desk.open(severity=4)
    assert told(desk) == [("notice-new", lead.id)]
    desk.open(lead, severity=4)
    assert len(told(desk)) == 1


def test_from_which_severity_whoever_leads_is_told_stands_in_the_catalog(open_shop: OpenShop) -> None:
    desk = Desk(open_shop(cases_catalog(teams=TEAMS, recovery={"escalate_from_severity": 2})))
    lead = person(desk, "Lead", role="supervisor", team=None)
    desk.open(severity=1)
    desk.open(program(desk), severity=2)
    assert told(desk) == [("notice-new", lead.id)]
