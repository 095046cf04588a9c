"""A new installation's first hour: plans that were made for nearly empty tables must not read them when they are full.

PostgreSQL keeps a plan until a table is analyzed, and thinks nothing of reading all of one that has a few rows.
"""

from collections.abc import Callable
from typing import Any

import pytest

from incentives.flows import issue, redeem
from incentives.flows.issue import Issued
from incentives.flows.redeem import Redeemed, RedeemVoucher
from incentives.queries import vouchers
from incentives.vouchers import finding
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


def look_up(shop: Shop, codes: list[str]) -> None:
    sought = [finding.sought_by(shop.core, code=code, token=None) for code in codes]
    asked = [vouchers._Asked(actor=shop.till, sought=each, now=shop.core.clock.now()) for each in sought]
    assert all(isinstance(each, vouchers._Seen) for each in vouchers._see_all(shop.core, asked))


def test_a_plan_that_was_made_for_a_few_rows_reads_few_of_many(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(catalog(budget("all", cap_minor=PLENTY), budget("each", "customer", cap_minor=PLENTY)))
    with shop.core.database.write() as tx:
        for table in TABLES:
            tx.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    for turn in range(8):  # until they are prepared, and their plans kept
        first = give(shop, f"first-{turn}-", SMALL)
        look_up(shop, first)
        spend(shop, first)
    codes = [code for turn in range(MANY // 50) for code in give(shop, f"many-{turn}-", 50)]
    assert read_for(shop, lambda: look_up(shop, codes[:TOGETHER])) < ROWS_MOST
    assert read_for(shop, lambda: spend(shop, codes[:TOGETHER])) < ROWS_MOST
    assert read_for(shop, lambda: give(shop, "last-", TOGETHER)) < ROWS_MOST
    shop.check()
