"""A request is decided once, however many approvers press their buttons at the same instant."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds import granting, voting
from incentives.flows import approve
from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.issue import AwaitingApproval
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import BudgetExhausted
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances, vouchers
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.conftest import DropConstraint
from tests.races.deeds import FRONTLINE, broken, counters, give, rows
from tests.small_catalog import PRICE_MINOR, budget, catalog
from tests.world import publish_catalog

REQUESTS = 100
APPROVERS = 5
NOT_NEGATIVE = ("budget_periods", "ck_budget_periods_not_negative")


class Press(NamedTuple):
    """One approver's press of a button."""

    approval_id: uuid.UUID
    approver: int
    decision: str


def decide(core: Core, press: Press) -> Outcome:
    approver = Actor(kind="person", id=uuid.UUID(int=100 + press.approver), name="Approver", role="manager")
    command = DecideApproval(approval_id=press.approval_id, decision=press.decision)
    return Outcome(decide_approval(core=core, actor=approver, command=command).status, press.approval_id)


@contextmanager
def look_then_decide() -> Iterator[None]:
    """Look whether the request is pending, without locking it, and then decide it."""

    def asked(tx: Connection, approval_id: uuid.UUID) -> Any:
        query = sa.select(approvals, *(issuances.c[name] for name in voting._OF_ISSUANCE))
        joined = query.join(issuances, issuances.c.id == approvals.c.issuance_id)
        row = tx.execute(joined.where(approvals.c.id == approval_id)).one()
        time.sleep(A_MOMENT_SECONDS)
        return row

    def decide(tx: Connection, voter: Any, on: Any, command: DecideApproval, now: datetime, choice: Any = None) -> None:
        del choice
        values = {"status": approve.DECISIONS[command.decision], "decided_by": voter.actor.label, "decided_at": now}
        tx.execute(approvals.update().where(approvals.c.id == on.asked.id).values(**values))

    def move(tx: Connection, issuance_id: uuid.UUID, **values: Any) -> None:
        tx.execute(issuances.update().where(issuances.c.id == issuance_id).values(**values))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voting, "locked", asked)
        patch.setattr(approve, "_decide", decide)
        patch.setattr(granting, "_move_issuance", move)
        yield


def ask(core: Core, number: int) -> list[uuid.UUID]:
    asked = [give(core, FRONTLINE) for _ in range(number)]
    return [each.approval_id for each in asked if isinstance(each, AwaitingApproval)]


def test_a_hundred_requests_pressed_by_five_at_once_get_one_decision_each(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget(cap_minor=REQUESTS * PRICE_MINOR)))
    asked = ask(core, REQUESTS)
    assert counters(core) == {"held_minor": REQUESTS * PRICE_MINOR, "held_count": REQUESTS}
    buttons = ["grant", "decline", "grant", "decline", "grant"]
    presses = [Press(each, number, buttons[number]) for each in asked for number in range(APPROVERS)]
    # Three requests at once, so that all sixteen are busy; the five of one request meet in any case.
    rounds = [presses[start : start + 3 * APPROVERS] for start in range(0, len(presses), 3 * APPROVERS)]
    outcomes = flat(crew.at_once(decide, rounds, core.settings.database_url))
    found = count(outcomes)
    granted = found.get("granted", 0)
    assert granted + found.get("declined", 0) == REQUESTS
    assert found["ApprovalAlreadyDecided"] == REQUESTS * (APPROVERS - 1)
    assert sorted(each.value for each in outcomes if each.name in ("granted", "declined")) == sorted(asked)
    assert rows(core, vouchers) == rows(core, approvals, approvals.c.status == "granted") == granted
    assert counters(core).get("committed_count", 0) == granted
    assert "held_count" not in counters(core)
    assert broken(core) == []


def test_without_the_locks_a_request_is_granted_and_declined(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    publish_catalog(core, catalog())
    drop_constraint(*NOT_NEGATIVE)
    asked = ask(core, 4)
    rounds = [[Press(each, number, "decline" if number else "grant") for number in range(SIZE)] for each in asked]
    outcomes = flat(crew.at_once(decide, rounds, core.settings.database_url, twin=look_then_decide))
    found = count(outcomes)
    assert found.get("granted", 0) + found.get("declined", 0) > len(asked)


def test_a_budget_that_is_wanted_back_and_given_at_once_stays_exact(crew: Crew, core: Core) -> None:
    """Declining frees what issuing waits for: the cap holds, and what is freed can be given."""
    publish_catalog(core, catalog(budget(cap_minor=SIZE * PRICE_MINOR)))
    rounds: list[list[Any]] = [[Press(each, 0, "decline"), *range(7)] for each in ask(core, SIZE)]
    outcomes = flat(crew.at_once(decide_or_issue, rounds, core.settings.database_url))
    found = count(outcomes)
    assert found["declined"] == SIZE
    assert set(found) <= {"declined", "Issued", "BudgetExhausted"}
    last = [give_or_refusal(core) for _ in range(SIZE - found.get("Issued", 0) + 1)]
    assert last.count("BudgetExhausted") == 1
    assert counters(core) == {"committed_minor": SIZE * PRICE_MINOR, "committed_count": SIZE}
    assert broken(core) == []


def decide_or_issue(core: Core, job: Any) -> Outcome:
    return decide(core, job) if isinstance(job, Press) else Outcome(give_or_refusal(core))


def give_or_refusal(core: Core) -> str:
    try:
        return type(give(core)).__name__
    except BudgetExhausted:
        return "BudgetExhausted"
