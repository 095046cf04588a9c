"""The first hour of a period: many pots come into being at once, and nobody waits for each other in a ring."""

import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy.engine import Connection

from incentives.flows import issue
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.kernel.actors import Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.spending import budgets
from tests.crew import SIZE, Crew, Outcome, count, flat
from tests.races.deeds import broken, counters
from tests.small_catalog import LOCATION, TAG, TEAM, budget, catalog
from tests.world import START, publish_catalog

DAYS = 8
# Their keys are chosen so that the pots of all, of some and of one stand before and behind each other.
BUDGETS = [
    budget(f"{place}-{scope}", scope=scope, period="day", cap_count=10_000)
    for place in "abc"
    for scope in ("agent", "team", "location", "organization")
]


def agent(number: int, *, team: str | None = None, location: str | None = None) -> Actor:
    return Actor(kind="person", id=uuid.UUID(int=number), name="Agent", role="manager", team=team, location=location)


def issue_on(core: Core, job: tuple[int, int]) -> Outcome:
    """Issue as one of several agents, of whom some are in the team and some at the location, on a day."""
    day, number = job
    who = agent(50 + number % 5, team=TEAM if number % 2 else None, location=LOCATION if number % 3 else None)
    then = replace(core, clock=FixedClock(START + timedelta(days=day)))
    return Outcome(type(issue_voucher(core=then, actor=who, command=IssueVoucher(issue_tag=TAG))).__name__)


def test_many_new_pots_at_once_make_no_ring_of_waiting(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(budget("z", period="day", cap_minor=10_000_000), *BUDGETS))
    rounds = [[(day, number) for number in range(SIZE)] for day in range(DAYS)]
    outcomes = flat(crew.at_once(issue_on, rounds, core.settings.database_url))
    assert count(outcomes) == {"Issued": DAYS * SIZE}
    assert counters(core, "a-organization") == {"committed_count": DAYS * SIZE}
    assert broken(core) == []


class Pace(NamedTuple):
    """When somebody starts, and how long they take to look, and to make the pots that they missed."""

    team: str | None
    start_seconds: float
    look_seconds: float = 0
    make_seconds: float = 0


def issue_at_a_pace(core: Core, pace: Pace) -> Outcome:
    """Issue with a lock that takes the pots that are there first, and only then makes the others."""

    def naive(
        tx: Connection, core: Core, wanted: Iterable[budgets.Wanted], now: datetime, **_newcomers: Any
    ) -> dict[budgets.PotKey, budgets.Pot]:
        by_pot = {each.pot: each for each in wanted}
        pots = budgets._select(tx, set(by_pot), lock=True)
        time.sleep(pace.look_seconds)
        budgets._make(tx, core, [by_pot[key] for key in sorted(set(by_pot) - set(pots))], now)
        time.sleep(pace.make_seconds)
        return budgets._select(tx, set(by_pot), lock=True)

    time.sleep(pace.start_seconds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "lock", naive)
        # Without the second try that whoever failed for want of a lock has.
        wish = (agent(1, team=pace.team), IssueVoucher(issue_tag=TAG))
        (given,) = issue._give(core, [wish], shared=False)
    return Outcome(type(given).__name__)


def test_one_who_locks_first_and_makes_then_waits_in_a_ring(crew: Crew, core: Core) -> None:
    """One makes everybody's pot. One who saw no pot makes the team's. One holds everybody's and wants the team's."""
    publish_catalog(core, catalog(budget(cap_minor=10_000_000), budget("team", scope="team", cap_count=10_000)))
    paces = [Pace(None, 0), Pace(TEAM, 0, look_seconds=0.8, make_seconds=0.8), Pace(TEAM, 1.2)]
    outcomes = flat(crew.at_once(issue_at_a_pace, [paces], core.settings.database_url))
    assert count(outcomes) == {"Issued": 2, "StorageUnavailable": 1}
