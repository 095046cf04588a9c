"""Signals of abuse in bulk: many small lists are no way around what is watched one by one."""

from typing import Any

import pytest

from incentives.flows import bulk_check
from incentives.kernel.actors import Actor
from incentives.kernel.errors import BlockedBySafeguards
from incentives.safeguards.tables import reviews
from incentives.vouchers.tables import vouchers
from tests.flows.bulk_shop import checked, csv_of, done, finished, foreseen, loaded
from tests.flows.bulk_shop import people as customers
from tests.flows.guarded import suspicious
from tests.flows.shop import LIMITS, Shop, named
from tests.world import person


def shop_with(open_shop: Any, **signals: Any) -> tuple[Shop, Actor]:
    shop = open_shop(suspicious(**signals))
    return shop, person(shop.core, "manager")


def test_lists_of_one_row_to_the_same_customer_are_blocked_as_gifts_are(open_shop: Any) -> None:
    shop, boss = shop_with(open_shop, same_customer_by_person={"count": 2, "minutes": 9999, "action": "block"})
    row = csv_of("long-wait,ana@customer.example,1000")
    given = [done(shop.core, boss, row, again=str(number)) for number in range(4)]
    assert [each.rows_issued for each in given] == [1, 1, 0, 0]
    assert len(shop.all(vouchers)) == 2
    with pytest.raises(BlockedBySafeguards):
        shop.issue(boss, customer=named("ana@customer.example"), amount_minor=1000)


def test_the_same_customer_many_times_in_one_list_is_foreseen_and_blocked(
    open_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_check, "BATCH_ROWS", 2)
    shop, boss = shop_with(open_shop, same_customer_by_person={"count": 2, "minutes": 9999, "action": "block"})
    rows = csv_of(*["long-wait,ana@customer.example,1000"] * 5)
    job = checked(shop.core, boss, rows)
    assert job.totals["verdicts"] == {"issued": 2, "pending_approval": 0, "refused": 3}
    job = done(shop.core, boss, rows, again="now")
    assert (job.rows_issued, job.rows_refused) == (2, 3)
    assert shop.one(reviews).signals[0]["name"] == "same_customer_by_person"


def test_a_list_counts_as_one_gift_where_gifts_are_counted(open_shop: Any) -> None:
    """That it gives to many is what it is for; many lists within the hour are not."""
    shop, boss = shop_with(open_shop, issues_per_person={"count": 2, "minutes": 60, "action": "block"})
    assert done(shop.core, boss, customers(5), rows=2).rows_issued == 5
    shop.issue(boss, amount_minor=500)
    with pytest.raises(BlockedBySafeguards):
        shop.issue(boss, amount_minor=500)
    assert done(shop.core, boss, customers(5), again="more").rows_issued == 0
    shop.later(minutes=61)
    assert done(shop.core, boss, customers(5), again="later").rows_issued == 5
    assert shop.issue(boss, amount_minor=500).status == "issued"


def test_just_below_the_limit_counts_in_lists_too(open_shop: Any) -> None:
    limits = [*LIMITS, {"role": "manager", "currency": "GBP", "per_voucher_minor": 2000}]
    limits = [each for each in limits if each["role"] != "manager" or "per_voucher_minor" in each]
    shop = open_shop(suspicious(limits=limits, just_below_limit={"count": 2, "minutes": 60, "action": "step_up"}))
    boss = person(shop.core, "manager")
    job = done(shop.core, boss, csv_of(*(f"long-wait,c{number}@customer.example,1900" for number in range(4))))
    assert (job.rows_issued, job.rows_pending) == (2, 2)


def test_what_is_left_of_a_refused_row_is_written_with_its_chunk(
    open_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies after the chunk has lost nothing."""
    shop, boss = shop_with(open_shop, same_customer_by_person={"count": 1, "minutes": 9999, "action": "block"})
    shop.issue(boss, customer=named("ana@customer.example"), amount_minor=1000)
    job_id = loaded(shop.core, boss, csv_of("long-wait,ana@customer.example,1000", "long-wait,b@customer.example,1000"))
    foreseen(shop.core, boss, job_id)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("incentives.flows.bulk_run.Pace.took", dies)
        with pytest.raises(KeyboardInterrupt):
            finished(shop.core, boss, job_id)
    assert len(shop.all(reviews)) == 1


def test_a_job_of_all_or_nothing_that_stops_at_such_a_row_leaves_the_review_too(open_shop: Any) -> None:
    shop, boss = shop_with(open_shop, same_customer_by_person={"count": 1, "minutes": 9999, "action": "block"})
    job_id = loaded(shop.core, boss, csv_of("long-wait,ana@customer.example,1000"), mode="all_or_nothing")
    foreseen(shop.core, boss, job_id)
    shop.issue(boss, customer=named("ana@customer.example"), amount_minor=1000)
    assert finished(shop.core, boss, job_id).status == "stopped"
    assert shop.one(reviews).action == "block"
