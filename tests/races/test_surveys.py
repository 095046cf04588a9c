"""A customer is asked once and answers once, however many processes ask and however often the answer comes."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.deeds import asking
from incentives.flows import follow_up
from incentives.flows.close_case import CloseCase, close_case
from incentives.flows.follow_up import follow_up_due
from incentives.flows.open_case import OpenCase, open_case
from incentives.flows.respond import respond_to
from incentives.flows.take_in import Raw, TakeIn, TakenIn, take_in
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.messages.tables import outbox_messages
from incentives.recovery import surveys as asked
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import recovery_cases, surveys
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, flat
from tests.flows.asked import asking_catalog
from tests.races.deeds import rows
from tests.world import START, publish_catalog

LATER = START + timedelta(hours=25)
MANAGER = Actor(kind="person", id=uuid.UUID(int=1), name="Mona", role="manager")


def close_cases(core: Core, number: int, email: str = "ana@example.com") -> list[uuid.UUID]:
    """Open and close so many cases of one customer."""
    found = []
    for _ in range(number):
        command = OpenCase(issue_tag="long-wait", customer=CustomerGiven(email=email))
        found.append(open_case(core=core, actor=MANAGER, command=command).id)
    with core.database.write() as tx:
        tx.execute(recovery_cases.update().values(first_score_bp=2500))
    for case_id in found:
        close = CloseCase(case_id=case_id, outcome="recovered", note="We called.")
        close_case(core=core, actor=MANAGER, command=close)
    return found


def ask(core: Core, _turn: int) -> Outcome:
    return Outcome("Asked", follow_up_due(core=core))


def ask_about(core: Core, survey_id: uuid.UUID) -> Outcome:
    """Follow one survey up, as a process does that had this one next in its list."""
    return Outcome("Asked", follow_up._follow_up(core, survey_id))


def answer(core: Core, job: tuple[uuid.UUID, int]) -> Outcome:
    """Answer a survey as its page does; each press is a request of its own."""
    survey_id, score = job
    command = TakeIn(
        source="resurvey",
        external_id=str(survey_id),
        score=str(score),
        scale="stars_5",
        customer=CustomerGiven(email="ana@example.com"),
        occurred_at=core.clock.now(),
        survey_id=survey_id,
        raw=Raw(body=uuid.uuid4().bytes, headers={}, media_type="text/plain"),
    )
    (taken,) = take_in(core=core, actor=SYSTEM, commands=[command])
    assert isinstance(taken, TakenIn), taken
    if taken.act_now and taken.id is not None:
        respond_to(core=core, feedback_ids=[taken.id])
    return Outcome("Answered", taken.id)


@contextmanager
def without_lock() -> Iterator[None]:
    """Look at a customer's surveys without holding the customer."""

    def together(tx: Connection, customer_id: uuid.UUID | None) -> tuple[uuid.UUID, ...]:
        del tx
        time.sleep(A_MOMENT_SECONDS)
        return () if customer_id is None else (customer_id,)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow_up, "_hold", together)
        patch.setattr(follow_up, "_send", _slowly(follow_up._send))
        yield


def _slowly(deed: Any) -> Any:
    def slow(*given: Any) -> Any:
        time.sleep(A_MOMENT_SECONDS)
        return deed(*given)

    return slow


@contextmanager
def without_condition() -> Iterator[None]:
    """Look whether an answer is news before the case is held, and pair it whatever became of it meanwhile."""

    def naive(tx: Connection, survey_id: uuid.UUID, score_bp: int, now: datetime) -> Any:
        time.sleep(A_MOMENT_SECONDS)
        values = {"status": "answered", "answer_score_bp": score_bp, "answered_at": now}
        return tx.execute(
            surveys.update().where(surveys.c.id == survey_id).values(**values).returning(*surveys.c)
        ).one()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asked, "answer", naive)
        yield


def pairings(core: Core) -> int:
    return rows(core, audit_events, audit_events.c.action == "survey.answered")


def asked_survey(core: Core) -> uuid.UUID:
    """Let one case be closed and its customer asked; the survey."""
    close_cases(core, 1)
    assert follow_up_due(core=replace(core, clock=FixedClock(LATER))) == 1
    with core.database.read() as tx:
        survey_id: uuid.UUID = tx.execute(sa.select(surveys.c.id)).scalar_one()
    return survey_id


def test_one_survey_is_sent_once_whoever_asks(core: Core, crew: Crew, database_url: str) -> None:
    publish_catalog(core, asking_catalog())
    for number in range(SIZE):
        close_cases(core, 1, f"a{number}@example.com")
    outcomes = flat(crew.at_once(ask, [range(SIZE)] * 2, database_url, at=LATER))
    assert {each.name for each in outcomes} == {"Asked"}
    assert sum(each.value for each in outcomes) == SIZE
    assert rows(core, outbox_messages) == rows(core, surveys, surveys.c.status == "sent") == SIZE


def due(core: Core) -> list[uuid.UUID]:
    with core.database.read() as tx:
        return list(tx.execute(sa.select(surveys.c.id).where(surveys.c.status == "planned")).scalars())


def test_of_many_surveys_of_one_customer_one_is_sent(core: Core, crew: Crew, database_url: str) -> None:
    publish_catalog(core, asking_catalog())
    close_cases(core, SIZE)
    outcomes = flat(crew.at_once(ask_about, [due(core)], database_url, at=LATER))
    assert [each for each in outcomes if each != Outcome("Asked", True)] == []
    assert rows(core, surveys, surveys.c.status == "sent") == 1
    assert rows(core, surveys, surveys.c.status == "suppressed") == SIZE - 1
    assert rows(core, outbox_messages) == 1


def test_without_the_lock_one_customer_is_asked_more_than_once(core: Core, crew: Crew, database_url: str) -> None:
    publish_catalog(core, asking_catalog())
    close_cases(core, SIZE)
    crew.at_once(ask_about, [due(core)], database_url, at=LATER, twin=without_lock)
    assert rows(core, surveys, surveys.c.status == "sent") > 1


def test_one_answer_sent_sixteen_times_is_one_piece_and_one_pairing(core: Core, crew: Crew, database_url: str) -> None:
    publish_catalog(core, asking_catalog())
    survey_id = asked_survey(core)
    outcomes = flat(crew.at_once(answer, [[(survey_id, 1)] * SIZE] * 3, database_url, at=LATER))
    assert {each.name for each in outcomes} == {"Answered"}, outcomes
    assert len({each.value for each in outcomes}) == 1
    assert rows(core, feedback) == pairings(core) == 1
    with core.database.read() as tx:
        case = tx.execute(sa.select(recovery_cases)).one()
    assert (case.status, case.round) == ("open", 2)  # opened again, once


def test_a_piece_that_is_paired_again_is_known(core: Core, crew: Crew, database_url: str) -> None:
    publish_catalog(core, asking_catalog())
    survey_id = asked_survey(core)
    answer(replace(core, clock=FixedClock(LATER)), (survey_id, 5))
    outcomes = flat(crew.at_once(answer_again, [[survey_id] * SIZE], database_url, at=LATER))
    assert {each.name for each in outcomes} == {"Known"}
    assert pairings(core) == 1


def test_without_the_condition_one_answer_is_paired_more_than_once(core: Core, crew: Crew, database_url: str) -> None:
    publish_catalog(core, asking_catalog())
    survey_id = asked_survey(core)
    answer(replace(core, clock=FixedClock(LATER)), (survey_id, 5))
    crew.at_once(answer_again, [[survey_id] * SIZE], database_url, at=LATER, twin=without_condition)
    assert pairings(core) > 1


def answer_again(core: Core, survey_id: uuid.UUID) -> Outcome:
    """Pair the one piece once more, as a process does that began before another had ended."""
    with core.database.write() as tx:
        piece = tx.execute(sa.select(feedback).where(feedback.c.survey_id == survey_id)).one()
        catalog = releases.cached_current(tx, core).catalog
        found = asking.answered(tx, core, core.clock.now(), catalog, piece)
    return Outcome("Paired" if found else "Known")
