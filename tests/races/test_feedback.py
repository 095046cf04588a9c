"""One piece of feedback is one, however many servers are told of it at the same instant."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.flows.take_in import TakenIn, take_in
from incentives.kernel.core import Core
from incentives.recovery import feedback as rows_of
from incentives.recovery.feedback_tables import feedback, feedback_inbox, feedback_revisions
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.flows.feedback_shop import piece
from tests.races.conftest import DropConstraint
from tests.races.deeds import MANAGER, rows
from tests.small_catalog import catalog
from tests.world import publish_catalog


def report(core: Core, job: Any) -> Outcome:
    """Report a piece under an id with a score."""
    external_id, score = job
    (taken,) = take_in(core=core, actor=MANAGER, commands=[piece(external_id, score=score)])
    assert isinstance(taken, TakenIn)
    return Outcome("repeated" if taken.repeated else "taken", taken.id)


@contextmanager
def look_then_insert() -> Iterator[None]:
    """Look whether the piece is there, and write it if it is not."""

    def naive(tx: Connection, given: Sequence[Mapping[str, Any]]) -> set[Any]:
        made = set()
        for row in given:
            known = feedback.c.external_id == row["external_id"]
            there = tx.execute(sa.select(feedback.c.id).where(known)).first()
            time.sleep(A_MOMENT_SECONDS)
            if not there:
                tx.execute(feedback.insert(), row)
                made.add(row["id"])
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_of, "insert", naive)
        yield


def test_sixteen_servers_that_hear_the_same_write_it_once(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = [[(f"piece {number}", 2)] * SIZE for number in range(5)]
    for outcomes in crew.at_once(report, rounds, core.settings.database_url):
        assert count(outcomes) == {"taken": 1, "repeated": SIZE - 1}
        assert len({each.value for each in outcomes}) == 1
    assert rows(core, feedback) == rows(core, feedback_inbox) == 5


def test_sixteen_versions_at_once_are_one_piece_and_none_is_lost(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    jobs = [("piece", 1 + number / 4) for number in range(SIZE)]
    outcomes = flat(crew.at_once(report, [jobs], core.settings.database_url))
    assert {each.name for each in outcomes} <= {"taken", "repeated"}, outcomes
    assert len({each.value for each in outcomes}) == 1
    assert rows(core, feedback) == 1
    assert rows(core, feedback_inbox) == rows(core, feedback_revisions) == SIZE
    with core.database.read() as tx:
        assert tx.execute(sa.select(feedback.c.revision)).scalar_one() == SIZE


def revise_all(core: Core, job: Any) -> Outcome:
    """Send a newer version of the same pieces in one batch, in an order of one's own."""
    turn, order = job
    commands = [piece(str(number), score=1 + turn / 100) for number in order]
    results = take_in(core=core, actor=MANAGER, commands=commands)
    return Outcome("taken" if all(isinstance(each, TakenIn) for each in results) else "refused")


def test_batches_that_name_the_same_pieces_in_any_order_do_not_wait_in_a_ring(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    numbers = list(range(30))
    revise_all(core, (0, numbers))
    rounds = [
        [(turn * SIZE + each + 1, numbers if each % 2 else numbers[::-1]) for each in range(SIZE)] for turn in range(4)
    ]
    outcomes = flat(crew.at_once(revise_all, rounds, core.settings.database_url))
    assert count(outcomes) == {"taken": 4 * SIZE}
    assert rows(core, feedback) == len(numbers)


def test_one_who_looks_first_and_writes_then_has_it_twice(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    publish_catalog(core, catalog())
    drop_constraint("feedback", "uq_feedback_source_external_id")
    jobs = [("piece", 1 + number / 4) for number in range(SIZE)]
    crew.at_once(report, [jobs], core.settings.database_url, twin=look_then_insert)
    assert rows(core, feedback) > 1
