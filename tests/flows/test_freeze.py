"""Freezing: nobody uses it, nothing is told of it; and it ends as always."""

from datetime import UTC, datetime, timedelta

import pytest

from incentives.books.tables import audit_events
from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.kernel.errors import (
    InputInvalid,
    NotPermitted,
    VoucherExpired,
    VoucherFrozen,
    VoucherNotFound,
    VoucherNotFrozen,
)
from incentives.messages.tables import outbox_messages
from incentives.queries.vouchers import customer_voucher
from incentives.vouchers.tables import reservations, vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import Shop, moved, named
from tests.world import actor


@pytest.fixture
def desk(shop: Shop) -> Care:
    return Care(shop)


def test_it_is_redeemed_by_nobody_until_it_is_unfrozen(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher()
    done = desk.freeze(voucher.id)
    assert (done.frozen, done.frozen_until_at, done.status) == (True, None, "issued")
    with pytest.raises(VoucherFrozen):
        shop.redeem(voucher.code)
    assert customer_voucher(core=shop.core, token=voucher.token) is None
    shop.refused(VoucherFrozen, desk.freeze, voucher.id)
    assert not desk.unfreeze(voucher.id).frozen
    shop.refused(VoucherNotFrozen, desk.unfreeze, voucher.id)
    assert shop.redeem(voucher.code).voucher_id == voucher.id
    actions = [row.action for row in shop.all(audit_events) if "frozen" in row.action]
    assert actions == ["voucher.frozen", "voucher.unfrozen"]
    shop.check()


def test_until_an_instant_and_not_a_moment_longer(desk: Care) -> None:
    shop = desk.shop
    voucher, until = shop.voucher(), shop.clock.now() + timedelta(hours=1)
    assert desk.freeze(voucher.id, until).frozen_until_at == until
    shop.clock.advance(timedelta(hours=1, microseconds=-1))
    with pytest.raises(VoucherFrozen):
        shop.redeem(voucher.code)
    shop.later(microseconds=1)
    shop.refused(VoucherNotFrozen, desk.unfreeze, voucher.id)
    assert shop.redeem(voucher.code).voucher_id == voucher.id


def test_a_till_that_holds_it_cannot_commit(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher()
    held = reserve_voucher(core=shop.core, actor=shop.till, command=ReserveVoucher(code=voucher.code))
    assert desk.freeze(voucher.id).status == "reserved"
    with pytest.raises(VoucherFrozen):
        commit_reservation(core=shop.core, actor=shop.till, command=CommitReservation(reservation_id=held.id))
    desk.unfreeze(voucher.id)
    commit_reservation(core=shop.core, actor=shop.till, command=CommitReservation(reservation_id=held.id))
    assert shop.one(vouchers).status == "redeemed"
    shop.check()


def test_its_messages_wait_and_go_when_it_is_unfrozen(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(channels=("email",))
    desk.freeze(voucher.id)
    assert shop.deliver() == ["held"]
    shop.later(days=3)
    assert shop.deliver() == []
    desk.unfreeze(voucher.id)
    assert shop.deliver() == ["captured"]
    shop.check()


def test_its_messages_go_by_themselves_when_its_time_comes(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(channels=("email",))
    desk.freeze(voucher.id, shop.clock.now() + timedelta(days=2))
    assert shop.deliver() == ["queued"]
    shop.later(days=1, hours=23)
    assert shop.deliver() == []
    shop.later(hours=1)
    assert shop.deliver() == ["captured"]


def test_it_expires_frozen_and_its_message_is_withdrawn(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(channels=("email",))
    desk.freeze(voucher.id)
    shop.deliver()
    shop.later(days=31)
    shop.refused(VoucherExpired, desk.unfreeze, voucher.id)
    assert shop.expire() == (1, 0)
    assert shop.one(outbox_messages).status == "withdrawn"
    assert shop.pots() == {}
    shop.check()


def test_a_hold_that_lapsed_ends_with_its_voucher(desk: Care) -> None:
    shop = desk.shop
    voided, swept = shop.voucher(), shop.voucher(customer=named("b@example.com"))
    for each in (voided, swept):
        reserve_voucher(core=shop.core, actor=shop.till, command=ReserveVoucher(code=each.code))
    shop.later(hours=1)
    desk.void(voided.id)
    shop.later(days=31)
    assert shop.expire() == (1, 0)
    assert {row.status for row in shop.all(reservations)} == {"lapsed"}
    shop.check()


def test_bad_input_and_who_may_not(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(location="london")
    shop.refused(InputInvalid, desk.freeze, voucher.id, shop.clock.now())
    shop.refused(InputInvalid, desk.freeze, voucher.id, datetime(2020, 1, 1, tzinfo=UTC))
    shop.refused(InputInvalid, desk.freeze, voucher.id, reason="")
    shop.refused(NotPermitted, desk.freeze, voucher.id, None, shop.agent)
    shop.refused(NotPermitted, desk.unfreeze, voucher.id, shop.agent)
    shop.refused(VoucherNotFound, desk.freeze, voucher.id, None, moved(shop.supervisor, location="leeds"))
    desk.freeze(voucher.id, None, actor(shop.core, "finance"), idempotency_key="k")
    before = shop.everything()
    assert shop.everything() == before
