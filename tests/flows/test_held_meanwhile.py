"""A till has read a voucher's row; meanwhile another holds it, by a slower clock, and that hold is over already.

On PostgreSQL only: SQLite lets one writer in at a time.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from incentives.flows import redeem as flow
from incentives.flows.redeem import Redeemed, RedeemVoucher
from incentives.kernel.clock import FixedClock
from incentives.spending import budgets
from incentives.spending.tables import budget_alerts, budget_periods
from incentives.vouchers import finding
from incentives.vouchers.tables import reservations
from tests.flows.shop import Shop
from tests.flows.till_shop import hold, other_till, redeem, till_catalog


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop(till_catalog(voucher={"max_redemptions": 3}))


def hold_meanwhile(shop: Shop, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let a till that is two minutes behind hold a voucher for one, once its row was read by the next who looks."""
    real, behind = finding.find_all, FixedClock(shop.clock.now() - timedelta(minutes=2))
    slow = replace(shop, core=replace(shop.core, clock=behind))

    def find_all(tx: Connection, sought: Iterable[Any]) -> Any:
        rows = real(tx, sought)
        monkeypatch.setattr(finding, "find_all", real)
        hold(slow, code, by=other_till(shop), hold_minutes=1)
        return rows

    monkeypatch.setattr(finding, "find_all", find_all)


def statuses(shop: Shop) -> list[str]:
    return sorted(row.status for row in shop.all(reservations))


def test_who_holds_it_next_writes_down_that_it_lapsed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    voucher = shop.voucher()
    shop.later(minutes=3)
    hold_meanwhile(shop, monkeypatch, voucher.code)
    assert hold(shop, voucher.code).status == "held"
    assert statuses(shop) == ["held", "lapsed"]
    shop.check()


@pytest.mark.parametrize("several", [False, True])
def test_who_redeems_it_does_too(shop: Shop, monkeypatch: pytest.MonkeyPatch, several: bool) -> None:
    voucher = shop.voucher()
    shop.later(minutes=3)
    hold_meanwhile(shop, monkeypatch, voucher.code)
    if several:
        redeem_together(shop, voucher.code, shop.voucher().code)
    else:
        redeem(shop, voucher.code)
    assert statuses(shop) == ["lapsed"]
    assert hold(shop, voucher.code).status == "held"
    shop.check()


def redeem_together(shop: Shop, *codes: str) -> None:
    done = flow._redeem_all(shop.core, [(shop.till, RedeemVoucher(code=code)) for code in codes])
    assert all(isinstance(each, Redeemed) for each in done), done


def test_an_alert_waits_for_nobody_who_has_its_budget(shop: Shop) -> None:
    shop.voucher(amount_minor=1000)
    pot = shop.all(budget_periods)[0]
    core = shop.core
    told = {"threshold_percent": 50, "used_minor": 1000, "used_count": 1, "at": core.clock.now()}
    row = {"id": core.ids.new(core.clock.now()), "budget_period_id": pot.id, **told}
    with core.database.write() as tx, core.database.write() as other:
        budgets.lock_ids(tx, [pot.id])
        other.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        other.execute(budget_alerts.insert(), row)
