"""A case is worked on by many at once: it is closed once, nothing is given in it afterwards, each step is done once."""

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.flows.assign import AssignCase, assign_case
from incentives.flows.close_case import CloseCase, ReopenCase, close_case, reopen_case
from incentives.flows.escalate import escalate_due
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.flows.join_cases import MergeCase, merge_case
from incentives.flows.open_case import OpenCase, open_case
from incentives.flows.work_case import DoStep, do_step
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.recovery import cases
from incentives.recovery.tables import case_clocks, case_steps, recovery_cases
from incentives.vouchers.tables import issuances
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.deeds import MANAGER, broken, rows
from tests.small_catalog import LOCATION, TAG, TEAM, catalog
from tests.world import START, publish_catalog

# A program opens the cases, so that nobody owns them.
PROGRAM = Actor(kind="key", id=uuid.UUID(int=7), name="Program", role="integrator", location=LOCATION)
PEOPLE, MOST_OPEN = 4, 2
TURNS = 12


class Job(NamedTuple):
    """Something to be done to a case."""

    deed: str
    case_id: uuid.UUID
    other_id: uuid.UUID | None = None


def publish(core: Core) -> None:
    """Put a catalog in force in which an apology is due within half an hour, and people have a cap."""
    document = orjson.loads(catalog())
    document["protocols"][0]["clocks"] = {"apology": 30}
    document["teams"][0]["most_open_cases"] = MOST_OPEN
    publish_catalog(core, orjson.dumps(document).decode())


def opened(core: Core, number: int) -> list[uuid.UUID]:
    command = OpenCase(issue_tag=TAG)
    return [open_case(core=core, actor=PROGRAM, command=command).id for _ in range(number)]


def do(core: Core, job: Job) -> Outcome:
    """Do a job; its outcome is its name, or that of the refusal."""
    try:
        return Outcome(job.deed, DEEDS[job.deed](core, job))
    except Refusal as refusal:
        return Outcome(type(refusal).__name__, job.case_id)


def _close(core: Core, job: Job) -> Any:
    close_case(core=core, actor=MANAGER, command=CloseCase(case_id=job.case_id, outcome="recovered", note="Well."))
    return rows(core, issuances, issuances.c.case_id == job.case_id)


def _issue(core: Core, job: Job) -> Any:
    return issue_voucher(core=core, actor=MANAGER, command=IssueVoucher(issue_tag=TAG, case_id=job.case_id)).id


def _step(core: Core, job: Job) -> Any:
    return do_step(core=core, actor=MANAGER, command=DoStep(case_id=job.case_id, step="apologize")).state


def _merge(core: Core, job: Job) -> Any:
    assert job.other_id is not None
    merge_case(core=core, actor=MANAGER, command=MergeCase(case_id=job.case_id, into_id=job.other_id, reason="One."))


def _reopen(core: Core, job: Job) -> Any:
    return reopen_case(core=core, actor=MANAGER, command=ReopenCase(case_id=job.case_id, reason="Again.")).round


def _assign(core: Core, job: Job) -> Any:
    command = AssignCase(case_id=job.case_id, reason="By turns.", rule={"to": "team", "team": TEAM})
    return assign_case(core=core, actor=MANAGER, command=command).owner


DEEDS = {"close": _close, "issue": _issue, "step": _step, "merge": _merge, "reopen": _reopen, "assign": _assign}


def ready(core: Core, number: int) -> list[uuid.UUID]:
    """Return cases that can be closed."""
    made = opened(core, number)
    for case_id in made:
        _step(core, Job("step", case_id))
    return made


def test_a_step_is_done_by_one_of_many(crew: Crew, core: Core) -> None:
    publish(core)
    made = opened(core, TURNS)
    rounds = [[Job("step", case_id)] * SIZE for case_id in made]
    found = count(flat(crew.at_once(do, rounds, core.settings.database_url)))
    assert found == {"step": TURNS, "StepAlreadyDone": TURNS * (SIZE - 1)}
    assert rows(core, case_steps) == TURNS


def test_a_case_is_closed_by_one_of_many(crew: Crew, core: Core) -> None:
    publish(core)
    rounds = [[Job("close", case_id)] * SIZE for case_id in ready(core, TURNS)]
    found = count(flat(crew.at_once(do, rounds, core.settings.database_url)))
    assert found == {"close": TURNS, "CaseClosed": TURNS * (SIZE - 1)}


def test_nothing_is_given_in_a_case_once_it_is_closed(crew: Crew, core: Core) -> None:
    publish(core)
    made = ready(core, TURNS)
    rounds = [[Job("close", case_id), *[Job("issue", case_id)] * 7] for case_id in made]
    outcomes = crew.at_once(do, rounds, core.settings.database_url)
    found = count(flat(outcomes))
    assert found["close"] == TURNS
    assert set(found) <= {"close", "issue", "CaseClosed"}
    assert given_after_closing(core, made, outcomes) == 0
    assert broken(core) == []


def test_without_the_lock_something_is_given_in_a_closed_case(crew: Crew, core: Core) -> None:
    publish(core)
    made = ready(core, TURNS)
    rounds = [[Job("close", case_id), *[Job("issue", case_id)] * 7] for case_id in made]
    outcomes = crew.at_once(do, rounds, core.settings.database_url, twin=look_without_locking)
    assert given_after_closing(core, made, outcomes) > 0


@contextmanager
def look_without_locking() -> Iterator[None]:
    """Look whether a case is open, without locking it, and then give."""

    def existing(tx: Connection, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, cases.KnownCase]:
        table = recovery_cases.c
        wanted = list(ids)
        if not wanted:
            return {}
        found = tx.execute(sa.select(table.id, table.status, table.customer_id).where(table.id.in_(wanted))).all()
        time.sleep(A_MOMENT_SECONDS)
        return {row.id: cases.KnownCase(row.status, row.customer_id) for row in found}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "existing", existing)
        yield


def given_after_closing(core: Core, made: list[uuid.UUID], outcomes: list[list[Outcome]]) -> int:
    """Return how many issuances came after whoever closed the case had counted them."""
    counted = sum(int(each.value) for each in flat(outcomes) if each.name == "close")
    return rows(core, issuances, issuances.c.case_id.in_(made)) - counted


def test_a_case_is_either_merged_or_closed(crew: Crew, core: Core) -> None:
    publish(core)
    made = ready(core, 2 * TURNS)
    pairs = list(zip(made[::2], made[1::2], strict=True))
    rounds = [[Job("merge", one, other), Job("close", one)] for one, other in pairs]
    found = count(flat(crew.at_once(do, rounds, core.settings.database_url)))
    assert found["CaseClosed"] == TURNS
    assert found.get("merge", 0) + found.get("close", 0) == TURNS


def test_two_cases_that_are_merged_both_ways_become_one(crew: Crew, core: Core) -> None:
    publish(core)
    made = opened(core, 2 * TURNS)
    pairs = list(zip(made[::2], made[1::2], strict=True))
    rounds = [[Job("merge", one, other), Job("merge", other, one)] * 4 for one, other in pairs]
    found = count(flat(crew.at_once(do, rounds, core.settings.database_url)))
    assert found == {"merge": TURNS, "CaseClosed": 7 * TURNS}
    assert rows(core, recovery_cases, recovery_cases.c.status == "open") == TURNS


def test_a_case_is_reopened_once(crew: Crew, core: Core) -> None:
    publish(core)
    made = ready(core, TURNS)
    for case_id in made:
        _close(core, Job("close", case_id))
    rounds = [[Job("reopen", case_id)] * SIZE for case_id in made]
    outcomes = flat(crew.at_once(do, rounds, core.settings.database_url))
    assert count(outcomes) == {"reopen": TURNS, "CaseNotClosed": TURNS * (SIZE - 1)}
    assert {each.value for each in outcomes if each.name == "reopen"} == {2}
    assert rows(core, case_clocks, case_clocks.c.round == 2) == TURNS


def test_nobody_is_given_more_cases_than_their_team_lets_them_have(crew: Crew, core: Core) -> None:
    publish(core)
    people = [let_in(core, number) for number in range(PEOPLE)]
    rounds = [[Job("assign", case_id) for case_id in opened(core, SIZE)]]
    outcomes = flat(crew.at_once(do, rounds, core.settings.database_url))
    owners = [each.value for each in outcomes if each.name == "assign"]
    assert {owner: owners.count(owner) for owner in owners} == dict.fromkeys(people, MOST_OPEN)
    assert count(outcomes)["InputInvalid"] == SIZE - PEOPLE * MOST_OPEN


def let_in(core: Core, number: int) -> str:
    row = {
        "id": uuid.UUID(int=1000 + number),
        "email": f"p{number}@example.com",
        "name": f"Person {number}",
        "role": "frontline",
        "location": LOCATION,
        "team": TEAM,
        "skills": [],
        "password_hash": "-",
        "created_at": START,
    }
    with core.database.write() as tx:
        tx.execute(users.insert(), [row])
    return f"person:{row['id']}"


def test_a_late_clock_is_escalated_by_one_of_many(crew: Crew, core: Core) -> None:
    publish(core)
    opened(core, 40)
    late = START + timedelta(hours=1)
    outcomes = flat(crew.at_once(escalate, [list(range(SIZE))] * 3, core.settings.database_url, at=late))
    assert sum(each.value[0] for each in outcomes) == 40
    assert sum(each.value[1] for each in outcomes) == 40


def escalate(core: Core, _number: int) -> Outcome:
    done = escalate_due(core=core)
    return Outcome("escalated", (done.clocks, done.unowned))
