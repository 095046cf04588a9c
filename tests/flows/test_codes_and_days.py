"""A code is shown to whom it is for, nothing is told before its day, and no end begins anew with another voucher."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.reserve import ExtendReservation, extend_reservation
from incentives.flows.reveal import RevealCode, reveal_code
from incentives.kernel.errors import (
    CodeNotShown,
    ExtensionTooLong,
    IdempotencyKeyReused,
    InputInvalid,
    OrderRefMissing,
    SelfRedemption,
)
from incentives.messages.tables import outbox_messages
from incentives.vouchers.tables import reservations, vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import EMAIL, Shop, moved, named
from tests.flows.till_shop import hold, item, pounds, redeem, reverse, till_catalog, tried

OpenShop = Callable[..., Shop]


def due(shop: Shop, voucher_id: Any) -> Any:
    """Return before when nothing about a voucher is sent."""
    rows = shop.all(outbox_messages, outbox_messages.c.voucher_id == voucher_id)
    return max(rows, key=lambda row: row.copy).available_at


# --- a sale of nothing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [(item("a", 0),), (item("a", 500), item("b", -500)), (item("a", 900, quantity=0),)])
def test_a_sale_of_nothing_uses_no_voucher_up(shop: Shop, items: Any) -> None:
    voucher = shop.voucher()
    assert tried(shop, InputInvalid, redeem, voucher.code, items=items).facts["errors"][0]["field"] == "items"
    tried(shop, InputInvalid, hold, voucher.code, items=items)
    assert redeem(shop, voucher.code, items=(item("a", 0), item("b", 600))).amount == pounds(600)


def test_one_of_a_group_names_its_order(open_shop: OpenShop) -> None:
    """Otherwise whoever leaves the order out would lay one on the other."""
    shop = open_shop(till_catalog(voucher={"exclusive_group": "one"}))
    voucher = shop.voucher()
    found = tried(shop, OrderRefMissing, redeem, voucher.code)
    assert found.facts == {"field": "order_ref", "exclusive_group": "one"}
    held = hold(shop, voucher.code)  # what is sold is told when it is paid

    def commit(**more: Any) -> Any:
        command = CommitReservation(reservation_id=held.id, **more)
        return commit_reservation(core=shop.core, actor=shop.till, command=command)

    with pytest.raises(OrderRefMissing):
        commit()
    commit(order_ref="T-1")


def test_a_hold_is_extended_once_by_one_key(shop: Shop) -> None:
    held = hold(shop, shop.voucher().code)

    def extend(minutes: int, key: str = "once") -> Any:
        command = ExtendReservation(reservation_id=held.id, minutes=minutes, idempotency_key=key)
        return extend_reservation(core=shop.core, actor=shop.till, command=command)

    first, again = extend(15), extend(15)
    assert (first.replayed, again.replayed, again.expires_at) == (False, True, first.expires_at)
    assert shop.one(reservations).expires_at == held.expires_at + timedelta(minutes=15)
    shop.refused(IdempotencyKeyReused, extend, 20)
    extend(15, "twice")


# --- who sees a code ---------------------------------------------------------------------------------------------


def test_the_rest_is_the_customer_s_alone_where_a_message_carries_it(shop: Shop) -> None:
    voucher = shop.voucher(incentive="credit", channels=("email",))
    more: dict[str, Any] = {"order_total": pounds(700), "idempotency_key": "k"}
    for done in (shop.redeem(voucher.code, **more), shop.redeem(voucher.code, **more)):
        rest = done.remainder
        assert rest is not None
        assert (rest.code, rest.token, rest.amount, len(rest.last4)) == (None, None, pounds(1300), 4)


def test_else_it_is_shown_and_who_gives_does_not_redeem_it(shop: Shop) -> None:
    first, second = (shop.voucher(incentive="credit", customer=named(f"{name}@example.com")) for name in "ab")
    rest = shop.redeem(first.code, order_total=pounds(700), idempotency_key="k").remainder
    assert rest is not None
    assert rest == shop.redeem(first.code, order_total=pounds(700), idempotency_key="k").remainder
    shop.redeem(rest.code)  # the customer comes back to the same till
    lead = moved(shop.supervisor, id=shop.core.ids.new(shop.clock.now()))
    rest = shop.redeem(second.code, by=lead, order_total=pounds(700)).remainder
    assert rest is not None
    with pytest.raises(SelfRedemption):
        shop.redeem(rest.code, by=lead)


def test_a_replay_shows_no_code_that_went_to_the_customer_when_a_sale_was_undone(shop: Shop) -> None:
    voucher = shop.voucher(location="london", customer=named(EMAIL), channels=("email",))
    done = redeem(shop, voucher.code, order_total=pounds(700))
    first, again = (reverse(shop, done.id, "new_code", idempotency_key="k").voucher for _ in range(2))
    assert first is not None
    assert again is not None
    assert (first.code, first.token) == (None, None)
    assert (again.id, again.code, again.token) == (first.id, None, None)


def test_a_replay_shows_no_code_of_what_was_left_that_went_to_the_customer(shop: Shop) -> None:
    voucher = shop.voucher(incentive="credit", location="london", customer=named(EMAIL), channels=("email",))
    order: dict[str, Any] = {"order_total": pounds(700), "idempotency_key": "k"}
    first, again = (redeem(shop, voucher.code, **order).remainder for _ in range(2))
    assert first is not None
    assert (first.code, first.token) == (None, None)
    assert again == first


def test_what_was_sent_to_the_customer_is_not_revealed(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000, customer=named(EMAIL))
    given = shop.decide(asked.approval_id).issued
    assert given is not None
    assert given.voucher is not None
    see: dict[str, Any] = {"core": shop.core, "actor": shop.agent, "command": RevealCode(issuance_id=asked.id)}
    assert reveal_code(**see).voucher.id == given.voucher.id
    new = Care(shop).reissue(given.voucher.id, channels=("email",)).voucher
    found = shop.refused(CodeNotShown, reveal_code, **see)
    assert found.facts["reason"] == "sent-to-customer"
    handed = Care(shop).reissue(new.id, channels=()).voucher
    assert reveal_code(**see).voucher.id == handed.id


# --- when it is told ---------------------------------------------------------------------------------------------


def test_nothing_is_told_before_its_day(shop: Shop) -> None:
    day = shop.clock.now() + timedelta(days=3)
    voucher = shop.voucher(incentive="credit", channels=("email",), deliver_after=day)
    assert due(shop, voucher.id) == day
    new = Care(shop).reissue(voucher.id).voucher
    assert due(shop, new.id) == day
    done = shop.redeem(new.code, order_total=pounds(700))
    assert done.remainder is not None
    assert due(shop, done.remainder.id) == day
    again = reverse(shop, done.id, "new_code").voucher
    assert again is not None
    assert due(shop, again.id) == day


def test_nor_is_a_copy(shop: Shop) -> None:
    day = shop.clock.now() + timedelta(days=3)
    voucher = shop.voucher(deliver_after=day)
    Care(shop).resend(voucher.id, channels=("email",))
    assert due(shop, voucher.id) == day
    assert shop.deliver() == []
    shop.later(days=3, seconds=1)
    assert shop.deliver() == ["captured"]


# --- how long it lasts -------------------------------------------------------------------------------------------


def _left(shop: Shop, voucher_id: Any) -> int:
    found = shop.refused(ExtensionTooLong, Care(shop).extend, voucher_id, 3000)
    return int(found.facts["days_left"])


def test_what_comes_in_its_place_is_not_extended_from_none_again(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(credit={"most_extend_days": 20}))
    voucher = shop.voucher(incentive="credit")
    Care(shop).extend(voucher.id, 15)
    done = shop.redeem(voucher.code, order_total=pounds(700))
    assert done.remainder is not None
    assert _left(shop, done.remainder.id) == 5
    Care(shop).extend(done.remainder.id, 3)
    end = shop.one(vouchers, vouchers.c.id == done.remainder.id).expires_at
    again = reverse(shop, done.id, "new_code").voucher
    assert again is not None
    assert (again.expires_at, _left(shop, again.id)) == (end, 2)


def test_a_rest_that_was_extended_is_gathered_with_its_end(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(credit={"most_extend_days": 20}))
    voucher = shop.voucher(incentive="credit")
    done = shop.redeem(voucher.code, order_total=pounds(700))
    assert done.remainder is not None
    Care(shop).extend(done.remainder.id, 8)
    end = shop.one(vouchers, vouchers.c.id == done.remainder.id).expires_at
    again = reverse(shop, done.id, "same_code").voucher
    assert again is not None
    assert (again.id, again.expires_at, _left(shop, voucher.id)) == (voucher.id, end, 12)
    shop.check()
