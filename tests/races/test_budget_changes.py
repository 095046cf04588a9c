"""Budgets that are changed while they are used: one decision a request, nothing taken that is promised, one carry."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from incentives.flows import budget_requests, carry_over
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    WithdrawBudgetRequest,
    decide_budget_request,
    propose_budget_change,
    withdraw_budget_request,
)
from incentives.flows.watch_budgets import alert_due
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.spending.tables import budget_alerts, budget_allocations, budget_periods
from incentives.spending.tables import budget_requests as requests_table
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.conftest import DropConstraint
from tests.races.deeds import MANAGER, broken, counters, issue, rows
from tests.small_catalog import PRICE_MINOR, budget, catalog
from tests.world import START, make_core, publish_catalog

REQUESTS = 12
LATER = START + timedelta(days=400)


def finance(number: int) -> Actor:
    return Actor(kind="person", id=uuid.UUID(int=100 + number), name="Fin", role="finance")


def ask(core: Core, kind: str = "top_up", amount_minor: int = PRICE_MINOR, **more: Any) -> uuid.UUID:
    command = ProposeBudgetChange(
        kind=kind, pot=PotName(budget="all"), amount_minor=amount_minor, reason="It is short", **more
    )
    return propose_budget_change(core=core, actor=MANAGER, command=command).id


class Press(NamedTuple):
    """One person's press of a button."""

    request_id: uuid.UUID
    number: int


def decide(core: Core, press: Press) -> Outcome:
    if press.number == 0:
        withdrawn = withdraw_budget_request(
            core=core, actor=MANAGER, command=WithdrawBudgetRequest(request_id=press.request_id)
        )
        return Outcome(withdrawn.status)
    decision = "decline" if press.number % 2 else "approve"
    command = DecideBudgetRequest(request_id=press.request_id, decision=decision)
    return Outcome(decide_budget_request(core=core, actor=finance(press.number), command=command).status)


def approve(core: Core, press: Press) -> Outcome:
    command = DecideBudgetRequest(request_id=press.request_id, decision="approve")
    return Outcome(decide_budget_request(core=core, actor=finance(press.number), command=command).status)


@contextmanager
def look_then_decide() -> Iterator[None]:
    """Look at the request without locking it, and write the decision whatever became of it meanwhile."""
    row = budget_requests._row

    def unlocked(tx: Any, request_id: uuid.UUID, *, lock: bool = False) -> Any:
        del lock
        found = row(tx, request_id)
        time.sleep(A_MOMENT_SECONDS)
        return found

    def end(tx: Any, found: Any, status: str, actor: Actor, comment: str | None, now: Any) -> None:
        del comment
        table = requests_table
        values = {"status": status, "decided_by": actor.label, "decided_at": now}
        tx.execute(table.update().where(table.c.id == found.id).values(values))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_requests, "_row", unlocked)
        patch.setattr(budget_requests, "_end", end)
        yield


def test_sixteen_who_decide_one_request_decide_it_once(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget(cap_minor=PRICE_MINOR)))
    rounds = [[Press(each, number) for number in range(SIZE)] for each in (ask(core) for _ in range(REQUESTS))]
    outcomes = flat(crew.at_once(decide, rounds, core.settings.database_url))
    found = count(outcomes)
    approved = found.get("approved", 0)
    assert approved + found.get("declined", 0) + found.get("withdrawn", 0) == REQUESTS
    assert found["BudgetRequestAlreadyDecided"] == REQUESTS * (SIZE - 1)
    assert rows(core, budget_allocations) == approved
    assert broken(core) == []


def test_without_the_lock_and_the_condition_one_request_is_agreed_to_again(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    publish_catalog(core, catalog(budget(cap_minor=PRICE_MINOR)))
    drop_constraint("budget_allocations", "uq_budget_allocations_budget_period_id_kind_source_id")
    rounds = [[Press(each, number) for number in range(SIZE)] for each in (ask(core) for _ in range(3))]
    crew.at_once(approve, rounds, core.settings.database_url, twin=look_then_decide)
    assert rows(core, budget_allocations) > 3


def issue_or_approve(core: Core, job: Any) -> Outcome:
    return approve(core, job) if isinstance(job, Press) else issue(core, job)


def test_what_is_transferred_away_while_it_is_given_is_never_given_too(crew: Crew, core: Core) -> None:
    budgets = (budget(cap_minor=40 * PRICE_MINOR), budget("other", scope="team", of="desk", cap_minor=10**6))
    publish_catalog(core, catalog(*budgets))
    back = [
        propose_budget_change(
            core=core,
            actor=MANAGER,
            command=ProposeBudgetChange(
                kind="transfer",
                pot=PotName(budget="other"),
                from_pot=PotName(budget="all"),
                amount_minor=5 * PRICE_MINOR,
                reason="Elsewhere",
            ),
        ).id
        for _ in range(8)
    ]
    jobs: list[Any] = []
    for number, request_id in enumerate(back):
        jobs += [Press(request_id, 2), *range(number * 10, number * 10 + 10)]
    found = count(crew.share(issue_or_approve, jobs, core.settings.database_url))
    given, transferred = found.get("Issued", 0), found.get("approved", 0)
    assert given + found.get("BudgetExhausted", 0) == 80
    assert transferred + found.get("BudgetInUse", 0) == 8
    assert transferred > 0
    left = 40 - given - 5 * transferred
    assert 0 <= left < 5
    assert counters(core) == {"committed_minor": given * PRICE_MINOR, "committed_count": given}
    assert rows(core, budget_allocations) == 2 * transferred
    assert broken(core) == []


def sweep(core: Core, _job: Any) -> Outcome:
    done = carry_over.carry_over_due(core=core)
    return Outcome("carried" if done else "nothing")


def test_sixteen_sweepers_carry_over_once(crew: Crew, core: Core) -> None:
    many = [budget(f"b{number}", cap_minor=1000, rollover="carry_over") for number in range(6)]
    publish_catalog(core, catalog(budget(cap_minor=10**6), *many))
    carry_over.carry_over_due(core=core)
    crew.share(issue, range(7), core.settings.database_url)
    crew.at_once(sweep, [range(SIZE)] * 2, core.settings.database_url, at=LATER)
    after = make_core(core.settings.database_url)
    assert rows(core, budget_allocations) == 2 * 6
    with after.database.read() as tx:
        pots = tx.execute(budget_periods.select().where(budget_periods.c.budget != "all")).all()
    after.database.dispose()
    assert {(row.period_key, row.allotted_minor) for row in pots} == {("2026-01-01", -300), ("2027-01-01", 300)}
    assert broken(core) == []


@contextmanager
def count_before_locking() -> Iterator[None]:
    """Count what is left when a sweep begins, and carry that, whatever has become of it by the time it is locked."""
    left = carry_over._left

    def soon(tx: Any, rule: Any, pot_ids: Any) -> Any:
        found = left(tx, rule, pot_ids)
        time.sleep(A_MOMENT_SECONDS)  # So that others, who do not know of it yet, come meanwhile.
        return found or {pot_id: {"minor": 300} for pot_id in pot_ids}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carry_over, "_left", soon)
        yield


def test_a_sweep_that_does_not_count_under_the_lock_carries_again(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    publish_catalog(core, catalog(budget(cap_minor=1000, rollover="carry_over")))
    drop_constraint("budget_periods", "ck_budget_periods_within_cap_minor")
    carry_over.carry_over_due(core=core)
    crew.share(issue, range(7), core.settings.database_url)
    crew.at_once(sweep, [range(SIZE)], core.settings.database_url, at=LATER, twin=count_before_locking)
    assert rows(core, budget_allocations) > 2


def watch(core: Core, _job: Any) -> Outcome:
    return Outcome("told" if alert_due(core=core) else "nothing")


def test_sixteen_watchers_write_each_alert_once(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget(cap_minor=10 * PRICE_MINOR)))
    crew.share(issue, range(10), core.settings.database_url)
    crew.at_once(watch, [range(SIZE)], core.settings.database_url)
    assert rows(core, budget_alerts) == 4
    assert broken(core) == []
