"""The proof of the books can fail: what is tampered with is named, and nothing else is."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.kernel.actors import SYSTEM
from incentives.queries.books import check_books
from incentives.spending.tables import budget_allocations, budget_movements, budget_periods
from incentives.vouchers.bulk_tables import bulk_jobs
from incentives.vouchers.tables import redemptions, vouchers
from tests.flows.shop import Shop, budget, catalog


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    shop = open_shop(catalog(budget("small", cap_minor=50_000)))
    shop.redeem(shop.voucher(incentive="fixed").code)
    shop.issue()
    shop.check()
    return shop


def broken(shop: Shop) -> set[str]:
    return {each.name for each in check_books(core=shop.core, actor=SYSTEM) if not each.holds}


def write(shop: Shop, statement: sa.Executable) -> None:
    with shop.core.database.write() as tx:
        tx.execute(statement)


def allocation(shop: Shop, kind: str, amount_minor: int, source_id: uuid.UUID) -> sa.Executable:
    pot = shop.one(budget_periods, budget_periods.c.budget == "small")
    new_id = shop.core.ids.new(shop.clock.now())
    row = {"id": new_id, "budget_period_id": pot.id, "kind": kind, "source_id": source_id, "amount_minor": amount_minor}
    return budget_allocations.insert().values(**row, reason="x", actor="person:x", at=shop.clock.now())


SMALL = budget_periods.c.budget == "small"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            budget_periods.update().where(SMALL).values(committed_minor=1001),
            {"each budget's counters are the sum of its movements"},
        ),
        (
            budget_periods.update().where(SMALL).values(allotted_count=1),
            {"what a budget was allotted is the sum of its allocations"},
        ),
        (
            vouchers.update().where(vouchers.c.status == "issued").values(amount_minor=999),
            {
                "liability is the value of outstanding vouchers",
                "each issuance is owed what its vouchers are worth",
                "no voucher is worth more than was given",
            },
        ),
        (
            vouchers.update().where(vouchers.c.status == "redeemed").values(status="voided", redeemed_count=0),
            {"a voucher is used exactly as often as it was redeemed"},
        ),
        (
            redemptions.update().values(amount_minor=701),
            {"every redemption is settled as it was made, and taken back where it was reversed"},
        ),
    ],
)
def test_what_is_tampered_with_is_named(shop: Shop, statement: Any, named: set[str]) -> None:
    write(shop, statement)
    assert broken(shop) == named


def test_a_reversal_that_nobody_wrote_is_named(shop: Shop) -> None:
    write(shop, redemptions.update().values(reversed_at=shop.clock.now()))
    assert broken(shop) >= {"what is reversed has its reversal"}


@pytest.mark.parametrize("kind", ["transfer_in", "transfer_out", "carry_in", "carry_out"])
def test_one_half_of_a_pair_is_named(shop: Shop, kind: str) -> None:
    source_id = uuid.uuid4()
    write(shop, allocation(shop, kind, 0, source_id))
    assert broken(shop) == {"transfers and carry-overs balance in pairs"}


def test_a_pair_that_does_not_balance_is_named(shop: Shop) -> None:
    source_id = uuid.uuid4()
    write(shop, allocation(shop, "transfer_in", 100, source_id))
    write(shop, allocation(shop, "transfer_out", -99, source_id))
    write(shop, budget_periods.update().where(SMALL).values(allotted_minor=1))
    assert broken(shop) == {"transfers and carry-overs balance in pairs"}


def test_two_debts_that_cancel_out_are_named_all_the_same(shop: Shop) -> None:
    shop.issue()
    first, second = (row.id for row in shop.all(vouchers, vouchers.c.status == "issued"))
    write(shop, vouchers.update().where(vouchers.c.id == first).values(amount_minor=900))
    write(shop, vouchers.update().where(vouchers.c.id == second).values(amount_minor=1100))
    found = broken(shop)
    assert "liability is the value of outstanding vouchers" not in found
    assert "each issuance is owed what its vouchers are worth" in found


def test_a_hold_may_outlive_its_request_by_a_minute_and_no_more(shop: Shop) -> None:
    asked = shop.ask(amount_minor=2500)
    shop.clock.advance(asked.expires_at - shop.clock.now() + timedelta(seconds=59))
    assert "no hold is older than its request" not in broken(shop)
    shop.later(seconds=2)
    assert "no hold is older than its request" in broken(shop)
    shop.expire()
    assert "no hold is older than its request" not in broken(shop)


def test_what_a_job_that_is_over_still_holds_is_named(shop: Shop) -> None:
    now, job_id = shop.clock.now(), uuid.uuid4()
    job = {"id": job_id, "status": "running", "mode": "best_effort", "dry_run": False, "file_digest": "x"}
    row = {**job, "format": "csv", "actor": "person:x", "actor_name": "X", "totals": {}, "created_at": now}
    write(shop, bulk_jobs.insert().values(row))
    pot = shop.one(budget_periods, SMALL)
    movement = {"id": uuid.uuid4(), "budget_period_id": pot.id, "job_id": job_id, "kind": "hold", "held_minor": 500}
    write(shop, budget_movements.insert().values(**movement, source_id=job_id, at=now, actor="person:x"))
    write(shop, budget_periods.update().where(SMALL).values(held_minor=500))
    assert broken(shop) == set()
    write(shop, bulk_jobs.update().values(status="done"))
    assert broken(shop) == {"no bulk job that is over holds anything"}
