"""A new installation's first hour: plans that were made for nearly empty tables must not read them when they are full.

PostgreSQL keeps a plan until a table is analyzed, and thinks nothing of reading all of one that has a few rows.
"""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.deeds import unneeded
from incentives.flows import issue, redeem
from incentives.flows.issue import Issued
from incentives.flows.redeem import Redeemed, RedeemVoucher
from incentives.queries import vouchers
from incentives.vouchers import bulk_rows, finding
from tests.flows.bulk_shop import loaded, people
from tests.flows.shop import PLENTY, Shop, budget, catalog, named, wish

pytestmark = pytest.mark.parametrize("backend", ["postgresql"])

TABLES = ("vouchers", "issuances", "recovery_cases", "customers", "budget_periods", "budget_movements")
SMALL, MANY, TOGETHER = 4, 600, 16
ROWS_MOST = 30  # of all these tables, for one request; some twenty are what it is about and what that refers to

_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables WHERE relname = ANY (%s)
"""


def rows_read(shop: Shop) -> int:
    for engine in (shop.core.database.engine, shop.core.database._reader):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
            connection.exec_driver_sql("SELECT 1")
    with shop.core.database.read() as tx:
        return int(tx.exec_driver_sql(_READ, (list(TABLES),)).scalar_one())


def read_for(shop: Shop, deed: Callable[[], Any]) -> float:
    before = rows_read(shop)
    deed()
    return (rows_read(shop) - before) / TOGETHER


def give(shop: Shop, prefix: str, count: int) -> list[str]:
    """Give to so many, each somebody new, as requests that wait at the same moment do, and return their codes."""
    wishes = [(shop.manager, wish(customer=named(f"{prefix}{number}@example.com"))) for number in range(count)]
    given = issue._give(shop.core, wishes)
    assert all(isinstance(each, Issued) for each in given), given
    return [each.voucher.code for each in given if isinstance(each, Issued) and each.voucher]


def spend(shop: Shop, codes: list[str]) -> None:
    used = redeem._redeem_all(shop.core, [(shop.till, RedeemVoucher(code=code)) for code in codes])
    assert all(isinstance(each, Redeemed) for each in used), used


def later(shop: Shop) -> None:
    """Let so much time pass that whoever asks has a connection of its own age."""
    for engine in (shop.core.database.engine, shop.core.database._reader):
        with engine.connect() as connection:
            record = connection.connection._connection_record
            assert record is not None
            record.starttime -= 600


def look_up(shop: Shop, codes: list[str]) -> None:
    sought = [finding.sought_by(shop.core, code=code, token=None) for code in codes]
    asked = [vouchers._Asked(actor=shop.till, sought=each, now=shop.core.clock.now()) for each in sought]
    assert all(isinstance(each, vouchers._Seen) for each in vouchers._see_all(shop.core, asked))


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_plan_that_was_made_for_a_few_rows_reads_few_of_many(open_shop: Callable[..., Shop], analyzed: bool) -> None:
    shop = open_shop(catalog(budget("all", cap_minor=PLENTY), budget("each", "customer", cap_minor=PLENTY)))
    with shop.core.database.write() as tx:
        for table in TABLES:
            tx.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    for turn in range(16):  # until they are prepared, and their plans kept
        if analyzed and turn == 1:
            # PostgreSQL is sure then that they are nearly empty: what helps is that connections do not live long.
            with shop.core.database.write() as tx:
                tx.exec_driver_sql(f"ANALYZE {', '.join(TABLES)}")
        first = give(shop, f"first-{turn}-", SMALL)
        look_up(shop, first)
        spend(shop, first)
    codes = [code for turn in range(MANY // 50) for code in give(shop, f"many-{turn}-", 50)]
    if analyzed:
        later(shop)
    assert read_for(shop, lambda: look_up(shop, codes[:TOGETHER])) < ROWS_MOST
    assert read_for(shop, lambda: spend(shop, codes[:TOGETHER])) < ROWS_MOST
    assert read_for(shop, lambda: give(shop, "last-", TOGETHER)) < ROWS_MOST
    shop.check()


def test_a_chunk_of_a_job_reads_its_own_lines(shop: Shop) -> None:
    """A batch of one job has the job in common: by that alone all of the job would be found."""
    job_id = loaded(shop.core, shop.manager, people(60))
    with shop.core.database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE bulk_rows SET (autovacuum_enabled = false)")
        tx.exec_driver_sql(
            "INSERT INTO bulk_rows (job_id, line, status, request) "
            "SELECT job_id, line + number, status, request FROM bulk_rows, generate_series(100, 6000, 100) AS number"
        )
    fates = [bulk_rows.Fate(line=line, status="refused") for line in range(102, 102 + 50)]
    with shop.core.database.write() as tx:
        bulk_rows.settle(tx, job_id, fates)
        assert 50 <= fetched(tx, "bulk_rows") < 50 * 3


def test_what_one_gift_was_allotted_is_found_among_much(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("all", cap_minor=PLENTY)))
    gift = shop.issue()
    with shop.core.database.write() as tx:
        for source, number in (("gen_random_uuid()", 3000), (f"'{gift.id}'", 1)):
            tx.exec_driver_sql(
                "INSERT INTO budget_allocations "
                "(id, budget_period_id, kind, source_id, amount_minor, reason, actor, at) "
                f"SELECT gen_random_uuid(), id, 'override', {source}, 100, 'A test.', 'system', now() "
                f"FROM budget_periods, generate_series(1, {number})"
            )
    with shop.core.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE budget_allocations")
    with shop.core.database.write() as tx:
        pots = tx.exec_driver_sql("SELECT id FROM budget_periods").scalars().all()
        found = unneeded._allotted_for(tx, [gift.id], pots, ("budget",))
        assert [(row.issuance_id, row.minor) for row in found] == [(gift.id, 100)] * len(pots)
        assert fetched(tx, "budget_allocations") < 20


def fetched(tx: sa.Connection, table: str) -> int:
    """Return how many rows of a table this transaction has read."""
    query = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = %s"
    return int(tx.exec_driver_sql(query, (table,)).scalar_one())
