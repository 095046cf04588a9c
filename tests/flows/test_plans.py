"""What deeds ask of tables that grow for ever is found by an index, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.kernel.money import Money
from tests.flows.aftercare import Care
from tests.flows.shop import Shop, budget
from tests.flows.till_shop import redeem, reverse, till_catalog

OpenShop = Callable[..., Shop]
GROWING = ("redemptions", "redemption_reversals", "budget_movements", "budget_allocations", "vouchers", "issuances")


def _asked(shop: Shop, deed: Callable[[], Any]) -> list[tuple[str, Any]]:
    """Do something, and return what it asked of the database."""
    asked: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, values))

    engine = shop.core.database.engine
    sa.event.listen(engine, "before_cursor_execute", hear)
    deed()
    sa.event.remove(engine, "before_cursor_execute", hear)
    assert asked
    return asked


def _scanned(shop: Shop, asked: list[tuple[str, Any]], backend: str) -> list[str]:
    """Return what is looked for row by row, though an index were free of charge."""
    found = []
    with shop.core.database.read() as tx:
        if backend == "postgresql":
            tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, values in asked:
            command = "EXPLAIN " if backend == "postgresql" else "EXPLAIN QUERY PLAN "
            for row in tx.exec_driver_sql(command + statement, values):
                step = str(row[-1]).strip().removeprefix("->  ")
                if any(step.startswith((f"Seq Scan on {name} ", f"SCAN {name}")) for name in GROWING):
                    found.append(f"{step}: {statement}")
    return found


@pytest.mark.parametrize("deed", ["redeem", "reverse", "adjust", "void"])
def test_nothing_is_looked_for_row_by_row(open_shop: OpenShop, backend: str, deed: str) -> None:
    shop = open_shop(till_catalog(budget("cap", "customer", cap_minor=1000), voucher={"max_redemptions": 2}))
    desk = Care(shop)
    shop.voucher(incentive="fixed")
    voucher = shop.voucher(amount_minor=1000, override_reason="It was really bad.")
    done = redeem(shop, voucher.code, order_total=Money(600, "GBP")) if deed in ("redeem", "reverse") else None
    deeds: dict[str, Callable[[], Any]] = {
        "redeem": lambda: redeem(shop, voucher.code, order_total=Money(500, "GBP")),
        "reverse": lambda: reverse(shop, done.id if done else voucher.id, "none"),
        "adjust": lambda: desk.adjust(voucher.id, 600),
        "void": lambda: desk.void(voucher.id),
    }
    assert _scanned(shop, _asked(shop, deeds[deed]), backend) == []
