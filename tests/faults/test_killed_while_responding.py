"""A process is killed before each statement of responding: nothing of it stays, and the next one does it once."""

import os
import uuid

import sqlalchemy as sa

from incentives.flows.respond import respond_due, respond_to
from incentives.kernel.core import Core
from incentives.messages.tables import outbox_messages
from incentives.recovery.feedback_tables import criteria_firings, criteria_hours, feedback
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import vouchers
from tests.faults.doomed import DEAD, contents, die_before, exit_code
from tests.races.deeds import broken, rows
from tests.races.responding import prepare, reported
from tests.world import make_core

STATEMENTS_MIN = 20


def respond_until(database_url: str, feedback_id: uuid.UUID, statement: int) -> None:
    """Respond; die before the statement of a number, of which the commit is the last."""
    core = make_core(database_url)
    die_before(core.database.engine, statement)
    respond_to(core=core, feedback_ids=[feedback_id])
    os._exit(0)


def status(core: Core) -> str:
    with core.database.read() as tx:
        return str(tx.execute(sa.select(feedback.c.status)).scalar_one())


def test_whatever_dies_while_responding_there_is_one_voucher_afterwards(database_url: str) -> None:
    core = make_core(database_url)
    prepare(core)
    piece = reported(core)
    before = contents(core)
    statement = 1
    while exit_code(respond_until, database_url, piece, statement) == DEAD:
        assert contents(core) == before, f"killed before statement {statement}"
        assert status(core) == "settling"
        assert statement < 100
        statement += 1
    assert statement > STATEMENTS_MIN
    assert respond_due(core=core) == 0
    once = (vouchers, criteria_firings, recovery_cases, outbox_messages)
    assert [rows(core, table) for table in once] == [1, 1, 1, 1]
    assert rows(core, criteria_hours) == 2
    assert status(core) == "acted"
    assert broken(core) == []
    core.database.dispose()


def test_the_worker_does_what_a_killed_process_left(database_url: str) -> None:
    core = make_core(database_url)
    prepare(core)
    piece = reported(core)
    assert exit_code(respond_until, database_url, piece, STATEMENTS_MIN) == DEAD
    assert respond_due(core=core) == 1
    assert rows(core, vouchers) == 1
    core.database.dispose()
