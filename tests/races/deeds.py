"""What the crew does: small deeds that a process finds by their names, and what the tests look at afterwards."""

import uuid
from typing import Any

import sqlalchemy as sa

from incentives.flows.issue import AwaitingApproval, CustomerGiven, Issued, IssueVoucher, issue_voucher
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.core import Core
from incentives.queries.books import check_books
from incentives.spending.tables import COUNTERS, budget_periods
from tests.crew import Outcome
from tests.small_catalog import LOCATION, TAG, TEAM

MANAGER = Actor(kind="person", id=uuid.UUID(int=1), name="Mona", role="manager", location=LOCATION, team=TEAM)
TILL = Actor(kind="key", id=uuid.UUID(int=7), name="Till", role="till", location=LOCATION)  # who gives does not redeem
FRONTLINE = Actor(kind="person", id=uuid.UUID(int=2), name="Finn", role="frontline", location=LOCATION, team=TEAM)


def give(
    core: Core, actor: Actor = MANAGER, *, key: str | None = None, email: str | None = None
) -> Issued | AwaitingApproval:
    """Give somebody a dollar."""
    command = IssueVoucher(issue_tag=TAG, customer=CustomerGiven(email=email), idempotency_key=key)
    return issue_voucher(core=core, actor=actor, command=command)


def issue(core: Core, key: Any) -> Outcome:
    """Issue one voucher under an idempotency key; the outcome's value is the issuance."""
    given = give(core, key=str(key))
    return Outcome("Replayed" if given.replayed else type(given).__name__, given.id)


def broken(core: Core) -> list[str]:
    """Return what `books check` finds wrong."""
    return [f"{check.name}: {each}" for check in check_books(core=core, actor=SYSTEM) for each in (check.broken or ())]


def counters(core: Core, budget: str = "all") -> dict[str, int]:
    """Return what stands in a budget's pots, summed, without the zeros."""
    table = budget_periods.c
    sums = [sa.func.coalesce(sa.func.sum(table[name]), 0) for name in COUNTERS]
    with core.database.read() as tx:
        row = tx.execute(sa.select(*sums).where(table.budget == budget)).one()
    return {name: int(value) for name, value in zip(COUNTERS, row, strict=True) if value}


def rows(core: Core, table: sa.Table, *where: Any) -> int:
    """Return how many rows a table has."""
    with core.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())
