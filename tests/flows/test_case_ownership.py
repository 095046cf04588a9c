"""Whose a case may be: somebody who sees it and may work on it, whatever a survey tool calls them."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.access.tables import users
from incentives.flows.assign import AssignCase, assign_case
from incentives.flows.escalate import escalate_due
from incentives.kernel.actors import Actor
from incentives.kernel.errors import CaseNotFound, InputInvalid
from incentives.queries.cases import CaseFilters, list_cases
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import recovery_cases
from tests.flows.cases_shop import Desk, OpenShop, cases_catalog
from tests.flows.test_case_owners import TEAMS, assign, person, program, told
from tests.world import START


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(cases_catalog(teams=TEAMS)))


def test_probe_agent(desk: Desk) -> None:
    from incentives.flows import owning
    from incentives.catalog import releases
    case_id = desk.open()
    with desk.core.database.write() as tx:
        cat = releases.cached_current(tx, desk.core.cache).catalog
        case = desk.row(case_id)
        owning.best_owner(tx, cat, case, {"to": "same_agent"}, agents=("person:tom",))


def test_probe_till(desk: Desk) -> None:
    person(desk, "Till", role="till")
    maker = program(desk)
    with pytest.raises(InputInvalid):
        assign(desk, desk.open(maker), rule={"to": "team", "team": "gates"})


def test_probe_elsewhere(desk: Desk) -> None:
    far = person(desk, "Far", location="leeds", team="leeds-desk")
    case_id = desk.open()
    assign(desk, case_id, owner=far.label)
    assert desk.screen(case_id, far).may_edit


def test_probe_disabled_task(desk: Desk) -> None:
    lead = person(desk, "Lead", role="supervisor", team=None)
    ana = person(desk, "Ana")
    case_id = desk.open(ana)
    desk.task(case_id, kind="customer", title="Call", due_at=START + timedelta(hours=1), owner=ana.label)
    with desk.core.database.write() as tx:
        tx.execute(users.update().where(users.c.name == "Ana").values(disabled_at=START))
    desk.shop.later(minutes=60)
    assert escalate_due(core=desk.core).tasks == 1
    assert ("notice-task-due", lead.id) in told(desk)


def test_probe_language(desk: Desk) -> None:
    case_id = desk.open()
    desk.apologize(case_id, language="x" * 30)


def test_probe_language2(desk: Desk) -> None:
    case_id = desk.open()
    desk.apologize(case_id, language="!!-\u202e")
    desk.shop.deliver()
