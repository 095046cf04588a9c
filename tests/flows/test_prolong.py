"""Extending: to the end of a local day, and by no more in all than the incentive allows."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from incentives.books.tables import audit_events
from incentives.kernel.errors import (
    ExtensionTooLong,
    InputInvalid,
    NotPermitted,
    VoucherExpired,
    VoucherNotFound,
)
from incentives.vouchers.tables import vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import Shop, moved


@pytest.fixture
def desk(shop: Shop) -> Care:
    return Care(shop)


def test_it_lasts_to_the_end_of_a_later_day_over_a_change_of_clocks(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher()
    assert voucher.expires_at == datetime(2026, 12, 20, 23, 59, 59, 999999, UTC)
    done = desk.extend(voucher.id, 90)
    assert done.expires_at == datetime(2027, 3, 20, 23, 59, 59, 999999, UTC)
    other = shop.voucher()
    assert desk.extend(other.id, 90).expires_at.hour == 23
    event = shop.all(audit_events, audit_events.c.action == "voucher.extended")[0]
    assert (event.facts["days"], event.facts["expires_at"]) == (90, done.expires_at.isoformat())
    shop.clock.advance(done.expires_at - shop.clock.now())
    assert shop.redeem(voucher.code).voucher_id == voucher.id
    shop.later(microseconds=1)
    with pytest.raises(VoucherExpired):
        shop.redeem(other.code)
    shop.check()


def test_in_summer_the_day_ends_an_hour_earlier(desk: Care) -> None:
    desk.shop.later(days=100)
    voucher = desk.shop.voucher()
    assert desk.extend(voucher.id, 1).expires_at == datetime(2027, 3, 31, 22, 59, 59, 999999, UTC)


def test_a_voucher_that_ends_at_an_instant_lasts_to_the_end_of_the_day_then(desk: Care) -> None:
    voucher = desk.shop.voucher(incentive="refund")
    assert voucher.expires_at == datetime(2026, 12, 20, 12, 0, tzinfo=UTC)
    assert desk.extend(voucher.id, 1).expires_at == datetime(2026, 12, 21, 23, 59, 59, 999999, UTC)


def test_all_extensions_together_have_a_limit(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher()
    desk.extend(voucher.id, 60)
    refusal = shop.refused(ExtensionTooLong, desk.extend, voucher.id, 31)
    assert (refusal.facts["days_left"], refusal.facts["most_days"]) == (30, 90)
    desk.extend(voucher.id, 30, shop.supervisor)
    shop.refused(ExtensionTooLong, desk.extend, voucher.id, 1, shop.supervisor)
    assert shop.one(vouchers).extended_days == 90


def test_what_has_ended_is_not_brought_back(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher()
    shop.later(days=31)
    shop.refused(VoucherExpired, desk.extend, voucher.id)
    shop.expire()
    shop.refused(VoucherExpired, desk.extend, voucher.id)


@pytest.mark.parametrize("days", [0, -1, 100_000])
def test_days_that_make_no_sense(desk: Care, days: int) -> None:
    desk.shop.refused(InputInvalid, desk.extend, desk.shop.voucher().id, days)


def test_a_frozen_one_may_be_extended_and_stays_frozen(desk: Care) -> None:
    voucher = desk.shop.voucher()
    desk.freeze(voucher.id)
    assert desk.extend(voucher.id).frozen


def test_who_may_not(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(location="london")
    shop.refused(NotPermitted, desk.extend, voucher.id, 1, shop.agent)
    shop.refused(VoucherNotFound, desk.extend, voucher.id, 1, moved(shop.supervisor, location="leeds"))
    shop.refused(VoucherNotFound, desk.extend, uuid4(), 1)
    first = desk.extend(voucher.id, 5, idempotency_key="k")
    before = shop.everything()
    assert desk.extend(voucher.id, 5, idempotency_key="k").expires_at == first.expires_at
    assert shop.everything() == before
