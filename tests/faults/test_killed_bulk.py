"""A worker is killed in the midst of a chunk: nothing of the chunk stays, and whoever goes on gives each line once."""

import os
import uuid

import sqlalchemy as sa

from incentives.flows.bulk_run import Pace, run_chunk
from incentives.kernel.core import Core
from incentives.queries.bulk import one_job
from incentives.spending.tables import budget_movements
from incentives.vouchers.tables import vouchers
from tests.faults.doomed import DEAD, contents, die_before, exit_code
from tests.flows.bulk_shop import finished, foreseen, loaded, people
from tests.races.deeds import broken, counters, rows
from tests.small_catalog import PRICE_MINOR, TAG, catalog
from tests.world import api_key, make_core, publish_catalog

ROWS = 60
CHUNK = 30  # enough for PostgreSQL's COPY to be what is cut
STATEMENTS_MIN = 15


def give_until(database_url: str, job_id: uuid.UUID, statement: int) -> None:
    """Give one chunk; die before its statement of a number, of which the commit is the last."""
    core = make_core(database_url)
    die_before(core.database.engine, statement)
    run_chunk(core=core, job_id=job_id, pace=Pace(rows=CHUNK))
    os._exit(0)


def held(core: Core) -> int:
    total = sa.select(sa.func.sum(budget_movements.c.held_minor)).where(budget_movements.c.job_id.is_not(None))
    with core.database.read() as tx:
        return int(tx.execute(total).scalar_one() or 0)


def test_whenever_a_worker_dies_within_a_chunk_each_line_is_given_once(database_url: str) -> None:
    core = make_core(database_url)
    publish_catalog(core, catalog())
    _, actor = api_key(core, "manager")
    job_id = loaded(core, actor, people(ROWS, tag=TAG))
    foreseen(core, actor, job_id)
    before = contents(core)
    statement = 1
    while exit_code(give_until, database_url, job_id, statement) == DEAD:
        assert contents(core) == before, f"killed before statement {statement}"
        assert held(core) == ROWS * PRICE_MINOR
        assert statement < 60
        statement += 1
    assert statement > STATEMENTS_MIN
    assert (rows(core, vouchers), held(core)) == (CHUNK, (ROWS - CHUNK) * PRICE_MINOR)
    job = finished(core, actor, job_id, rows=CHUNK)
    assert (job.status, job.rows_issued, rows(core, vouchers)) == ("done", ROWS, ROWS)
    assert counters(core) == {"committed_minor": ROWS * PRICE_MINOR, "committed_count": ROWS}
    assert (held(core), broken(core)) == (0, [])
    assert one_job(core=core, actor=actor, job_id=job_id).reason is None
    core.database.dispose()
