"""Requests that many people want to decide, take back or pass on at the same instant: one thing happens to each."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.deeds import voting
from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.delegate import CreateDelegation, create_delegation
from incentives.flows.escalate_approvals import escalate_approvals_due
from incentives.flows.expire import expire_due
from incentives.flows.issue import AwaitingApproval
from incentives.flows.withdraw_request import WithdrawRequest, withdraw_request
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.messages.tables import outbox_messages
from incentives.spending.tables import approval_votes, approvals
from incentives.vouchers.tables import issuances, vouchers
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.deeds import FRONTLINE, broken, counters, give, rows
from tests.small_catalog import PRICE_MINOR, budget, catalog
from tests.world import START, publish_catalog

REQUESTS = 40
NEEDED = 3


def policed(levels: Sequence[Mapping[str, Any]], *budgets: Mapping[str, Any], **more: Any) -> str:
    """Return the smallest catalog with one policy."""
    document = orjson.loads(catalog(*budgets))
    document["approval_policies"] = [{"key": "all", "name": "All", "levels": list(levels), **more}]
    return orjson.dumps(document).decode()


class Move(NamedTuple):
    """What one person does to a request at the instant."""

    approval_id: uuid.UUID
    person: int
    deed: str
    on_behalf_of: str | None = None


def someone(number: int, role: str = "manager") -> Actor:
    return Actor(kind="person", id=uuid.UUID(int=100 + number), name=f"P{number}", role=role)


def act(core: Core, move: Move) -> Outcome:
    if move.deed == "withdraw":
        command = WithdrawRequest(approval_id=move.approval_id)
        return Outcome(withdraw_request(core=core, actor=FRONTLINE, command=command).status)
    if move.deed == "lapse":
        return Outcome("lapsed" if expire_due(core=core).approvals else "nothing")
    decision = DecideApproval(approval_id=move.approval_id, decision=move.deed, on_behalf_of=move.on_behalf_of)
    return Outcome(decide_approval(core=core, actor=someone(move.person), command=decision).status)


def sweep(core: Core, _job: Any) -> Outcome:
    return Outcome("swept", escalate_approvals_due(core=core))


def ask(core: Core, number: int) -> list[uuid.UUID]:
    asked = [give(core, FRONTLINE) for _ in range(number)]
    return [each.approval_id for each in asked if isinstance(each, AwaitingApproval)]


def test_grant_against_withdraw_one_wins_and_the_budget_is_exact(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget(cap_minor=REQUESTS * PRICE_MINOR)))
    asked = ask(core, REQUESTS)
    rounds = [[Move(each, number, "withdraw" if number % 2 else "grant") for number in range(6)] for each in asked]
    found = count(flat(crew.at_once(act, rounds, core.settings.database_url)))
    granted, withdrawn = found.get("granted", 0), found.get("withdrawn", 0)
    assert granted + withdrawn == REQUESTS
    assert set(found) <= {"granted", "withdrawn", "ApprovalAlreadyDecided", "idle"}
    assert rows(core, vouchers) == rows(core, issuances, issuances.c.status == "issued") == granted
    assert rows(core, approvals, approvals.c.status == "withdrawn") == withdrawn
    expected = {"committed_minor": granted * PRICE_MINOR, "committed_count": granted}
    assert counters(core) == {name: value for name, value in expected.items() if value}
    assert broken(core) == []


def test_of_many_voters_exactly_so_many_agree_and_one_of_them_completes_it(crew: Crew, core: Core) -> None:
    levels = [{"roles": ["manager"], "needed": NEEDED}, {"roles": ["manager", "finance"], "needed": 2}]
    publish_catalog(core, policed(levels))
    asked = ask(core, 12)
    rounds = [[Move(each, number, "grant") for number in range(SIZE)] for each in asked]
    found = count(flat(crew.at_once(act, rounds, core.settings.database_url)))
    # Three of the first level, two of the second, of whom the last one grants; the rest come too late.
    assert found == {
        "granted": len(asked),
        "pending": len(asked) * (NEEDED + 1),
        "ApprovalAlreadyDecided": len(asked) * (SIZE - NEEDED - 2),
    }
    assert rows(core, approval_votes) == len(asked) * (NEEDED + 2)
    assert rows(core, vouchers) == len(asked)
    assert broken(core) == []


@contextmanager
def without_locks() -> Iterator[None]:
    """Look at a request and its votes without locking it."""

    def locked(tx: Connection, approval_id: uuid.UUID) -> Any:
        query = sa.select(approvals, *(issuances.c[name] for name in voting._OF_ISSUANCE))
        joined = query.join(issuances, issuances.c.id == approvals.c.issuance_id)
        row = tx.execute(joined.where(approvals.c.id == approval_id)).one()
        time.sleep(A_MOMENT_SECONDS)
        return row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voting, "locked", locked)
        yield


def test_without_the_lock_votes_overlook_each_other(crew: Crew, core: Core) -> None:
    publish_catalog(core, policed([{"roles": ["manager"], "needed": NEEDED}]))
    asked = ask(core, 4)
    rounds = [[Move(each, number, "grant") for number in range(SIZE)] for each in asked]
    found = count(flat(crew.at_once(act, rounds, core.settings.database_url, twin=without_locks)))
    assert rows(core, approval_votes) > len(asked) * NEEDED, found


def test_grant_against_the_clock_the_sweep_or_the_grant_and_never_both(crew: Crew, core: Core) -> None:
    publish_catalog(core, policed([{"roles": ["manager"]}], lifetime_hours=1))
    asked = ask(core, SIZE)
    # At the last instant before the end it can be granted, and the sweep has nothing to do.
    early = [[Move(each, 1, "grant"), Move(each, 2, "lapse"), Move(each, 3, "grant")] for each in asked[:8]]
    last = START + timedelta(hours=1) - timedelta(microseconds=1)
    found = count(flat(crew.at_once(act, early, core.settings.database_url, at=last)))
    assert (found["granted"], found["nothing"]) == (8, 8)
    late = [[Move(each, number, "grant" if number % 2 else "lapse") for number in range(4)] for each in asked[8:]]
    found = count(flat(crew.at_once(act, late, core.settings.database_url, at=START + timedelta(hours=1))))
    assert "granted" not in found
    assert rows(core, approvals, approvals.c.status == "expired") == 8
    assert counters(core) == {"committed_minor": 8 * PRICE_MINOR, "committed_count": 8}
    assert broken(core) == []


def test_two_who_stand_in_for_one_have_one_say_between_them(crew: Crew, core: Core) -> None:
    publish_catalog(core, policed([{"roles": ["manager"], "needed": 2}]))
    absent, others = someone(0), [someone(number) for number in range(1, SIZE)]
    with core.database.write() as tx:
        people = [
            {"id": each.id, "email": f"p{each.id.int}@example.com", "name": each.name, "role": "manager",
             "password_hash": "-", "skills": [], "created_at": START}
            for each in (absent, *others)
        ]  # fmt: skip
        tx.execute(users.insert(), people)
    for each in others:
        command = CreateDelegation(
            delegate_email=f"p{each.id.int}@example.com", ends_at=START + timedelta(days=1), reason="Away."
        )
        create_delegation(core=core, actor=absent, command=command)
    asked = ask(core, 8)
    rounds = [[Move(each, number, "grant", absent.label) for number in range(1, SIZE)] for each in asked]
    found = count(flat(crew.at_once(act, rounds, core.settings.database_url)))
    assert found == {"pending": len(asked), "AlreadyVoted": len(asked) * (SIZE - 2)}
    assert rows(core, approval_votes, approval_votes.c.on_behalf_of == absent.label) == len(asked)
    assert rows(core, vouchers) == 0
    assert broken(core) == []


def test_many_sweeps_pass_each_request_on_and_tell_of_it_once(crew: Crew, core: Core) -> None:
    levels: list[dict[str, Any]] = [{"roles": ["supervisor"], "escalate_after_minutes": 10}, {"roles": ["finance"]}]
    publish_catalog(core, policed(levels))
    with core.database.write() as tx:
        row = {"id": uuid.UUID(int=900), "email": "fay@example.com", "name": "Fay", "role": "finance"}
        tx.execute(users.insert(), [{**row, "password_hash": "-", "skills": [], "created_at": START}])
    asked = ask(core, 20)
    at = START + timedelta(minutes=10)
    outcomes = flat(crew.at_once(sweep, [list(range(SIZE))], core.settings.database_url, at=at))
    assert sum(each.value for each in outcomes) == len(asked), outcomes
    assert rows(core, approvals, approvals.c.level == 2) == len(asked)
    assert rows(core, outbox_messages) == len(asked)


def test_granting_something_else_while_others_give_waits_for_nobody_in_a_ring(crew: Crew, core: Core) -> None:
    """Pots that are freed and pots that are charged are locked in one order: no deadlock, and nothing is lost."""
    document = orjson.loads(
        catalog(budget(cap_minor=10**9), budget("a", scope="incentive", of="dollar", cap_minor=10**6, cap_count=500))
    )
    (dollar,) = document["incentives"]
    document["incentives"].append({**dollar, "key": "cent", "amount_minor": 50, "title": {"en": "Half"}})
    document["protocols"][0]["incentives"].append("cent")
    document["budgets"].append(budget("z", scope="incentive", of="cent", cap_minor=10**6))
    publish_catalog(core, orjson.dumps(document).decode())
    asked = ask(core, SIZE * 3)
    jobs = [Move(each, number, "other") for number, each in enumerate(asked)]
    found = count(crew.share(otherwise, [job for each in jobs for job in (each, "give")], core.settings.database_url))
    assert found.get("granted") == len(asked), found
    given = len(asked)
    assert found.get("Issued") == given
    assert counters(core, "a") == {"committed_minor": given * PRICE_MINOR, "committed_count": given}
    assert counters(core, "z") == {"committed_minor": 50 * len(asked), "committed_count": len(asked)}
    assert broken(core) == []


def otherwise(core: Core, job: Any) -> Outcome:
    if job == "give":
        return Outcome(type(give(core)).__name__)
    command = DecideApproval(approval_id=job.approval_id, decision="grant", incentive="cent")
    return Outcome(decide_approval(core=core, actor=someone(job.person % 5), command=command).status)
