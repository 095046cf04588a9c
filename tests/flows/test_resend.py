"""Resending: the same code once more, while it is good, and not without end."""

import pytest

from incentives.flows.resend import MOST_COPIES
from incentives.kernel.errors import (
    ChannelWithoutAddress,
    InputInvalid,
    MessageOnItsWay,
    NotPermitted,
    TooManyCopies,
    VoucherFrozen,
    VoucherNotFound,
    VoucherVoided,
)
from incentives.messages.tables import outbox_messages
from tests.flows.aftercare import Care
from tests.flows.shop import PHONE, Shop, moved, named


@pytest.fixture
def desk(shop: Shop) -> Care:
    return Care(shop)


def test_the_same_letter_goes_out_again(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(channels=("email",))
    shop.deliver()
    desk.resend(voucher.id, shop.agent)
    assert shop.deliver() == ["captured"]
    first, second = shop.sender().letters
    assert (first.code, first.to) == (second.code, second.to)
    assert [row.copy for row in shop.all(outbox_messages)] == [0, 1]
    shop.check()


def test_by_another_channel_too(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(customer=named("ana@example.com", phone=PHONE), channels=("email",))
    shop.deliver()
    desk.resend(voucher.id, channels=("sms",))
    shop.deliver()
    assert [each.code for each in shop.sender("sms").letters] == [voucher.code]
    shop.refused(ChannelWithoutAddress, desk.resend, shop.voucher(channels=("email",)).id, channels=("sms",))


def test_not_while_one_is_on_its_way_and_not_without_end(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(channels=("email",))
    shop.refused(MessageOnItsWay, desk.resend, voucher.id)
    shop.deliver()
    for _ in range(MOST_COPIES):
        desk.resend(voucher.id)
        shop.deliver()
    assert shop.refused(TooManyCopies, desk.resend, voucher.id).facts["most"] == MOST_COPIES


def test_what_has_no_address_or_is_no_good(desk: Care) -> None:
    shop = desk.shop
    shown, voided, frozen = (shop.voucher(), shop.voucher(channels=("email",)), shop.voucher(channels=("email",)))
    shop.deliver()
    desk.void(voided.id)
    desk.freeze(frozen.id)
    shop.refused(InputInvalid, desk.resend, shown.id)
    shop.refused(VoucherVoided, desk.resend, voided.id)
    shop.refused(VoucherFrozen, desk.resend, frozen.id)


def test_the_same_key_sends_one_copy_and_strangers_send_none(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(channels=("email",), location="london")
    shop.deliver()
    shop.refused(NotPermitted, desk.resend, voucher.id, shop.till)
    shop.refused(VoucherNotFound, desk.resend, voucher.id, moved(shop.agent, location="leeds"))
    shop.refused(InputInvalid, desk.resend, voucher.id, reason="")
    desk.resend(voucher.id, idempotency_key="k")
    before = shop.everything()
    assert desk.resend(voucher.id, idempotency_key="k").replayed
    assert shop.everything() == before
