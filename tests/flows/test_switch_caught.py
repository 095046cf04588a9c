"""What a switch caught in flight says what each thing is, and where to find it."""

from typing import Any

import pytest

from incentives.queries.switches import CaughtKind, caught
from incentives.vouchers.bulk_tables import bulk_jobs
from incentives.vouchers.tables import vouchers
from tests.flows.aftercare import Care
from tests.flows.bulk_shop import chunk, foreseen, loaded
from tests.flows.bulk_shop import people as customers
from tests.flows.shop import Shop, moved, named
from tests.flows.test_switch import put
from tests.flows.till_shop import hold
from tests.world import person


def in_flight(shop: Shop, **scope: Any) -> dict[str, CaughtKind]:
    found = put(shop, "issuing", scope.get("scope", "organization"), scope.get("subject"))
    got = caught(core=shop.core, actor=scope.get("by", shop.manager), switch_id=found.id)
    return {each.kind: each for each in got.kinds}


def test_a_job_and_what_came_from_it_are_found_by_it(shop: Shop) -> None:
    boss = person(shop.core, "manager")
    job_id = loaded(shop.core, boss, customers(3))
    foreseen(shop.core, boss, job_id)
    chunk(shop.core, job_id, rows=2)
    kinds = in_flight(shop)
    (job,) = kinds["jobs"].items
    assert (job.id, job.job_id, job.word) == (job_id, job_id, shop.one(bulk_jobs).file_name or boss.name)
    given = shop.all(vouchers)
    assert {(each.voucher_id, each.job_id) for each in kinds["given"].items} == {(each.id, job_id) for each in given}
    assert {each.job_id for each in kinds["messages"].items} <= {job_id}


def test_a_hold_and_a_message_are_found_by_their_voucher(shop: Shop) -> None:
    held, told = shop.voucher(), shop.voucher(channels=("email",))
    hold(shop, held.code)
    asked = shop.ask(amount_minor=3000)
    kinds = in_flight(shop)
    assert [(each.voucher_id, each.job_id) for each in kinds["holds"].items] == [(held.id, None)]
    assert [(each.voucher_id, each.job_id) for each in kinds["messages"].items] == [(told.id, None)]
    assert [(each.id, each.voucher_id) for each in kinds["requests"].items] == [(asked.approval_id, None)]


def test_what_went_to_another_address_just_before_is_a_kind_by_itself(shop: Shop) -> None:
    old = shop.voucher(channels=("email",), customer=named("first@example.com"), location="london")
    late = shop.voucher(channels=("email",), customer=named("late@example.com"))
    shop.later(minutes=2)
    new = Care(shop).reissue(old.id, customer=named("second@example.com")).voucher
    again = Care(shop).reissue(late.id).voucher  # the same address: it is only given anew
    kinds = in_flight(shop)
    (item,) = kinds["addresses"].items
    assert (item.id, item.voucher_id, item.location, item.word) == (new.id, new.id, "london", f"voucher …{new.last4}")
    assert (item.amount, item.case_id is not None) == (new.amount, True)
    assert [each.id for each in kinds["given"].items] == [again.id]


@pytest.mark.parametrize(("scope", "subject", "count"), [("location", "leeds", 0), ("location", "london", 1)])
def test_an_address_that_was_changed_elsewhere_is_not_caught(shop: Shop, scope: str, subject: str, count: int) -> None:
    old = shop.voucher(channels=("email",), customer=named("first@example.com"), location="london")
    Care(shop).reissue(old.id, customer=named("second@example.com"))
    assert in_flight(shop, scope=scope, subject=subject)["addresses"].count == count


def test_who_belongs_elsewhere_does_not_see_it(shop: Shop) -> None:
    old = shop.voucher(channels=("email",), customer=named("first@example.com"), location="london")
    Care(shop).reissue(old.id, customer=named("second@example.com"))
    assert in_flight(shop, by=moved(shop.supervisor, location="leeds"))["addresses"].count == 0
