"""The first answer comes again, whatever was done in between to what it is about."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from incentives.flows.reserve import ExtendReservation, extend_reservation
from incentives.kernel.errors import KeyRetired
from incentives.kernel.idempotency import idempotency_keys
from tests.flows.aftercare import Care
from tests.flows.guarded import decide, suspicious
from tests.flows.rotating import process
from tests.flows.shop import ANA, Shop
from tests.flows.till_shop import annul, extend, hold, other_till, pounds, redeem, release, reverse, till_catalog

OpenShop = Callable[..., Shop]
Ask = Callable[[], Any]
Story = tuple[Ask, Callable[[Any], object]]
"""What is asked for twice under one key, and what happens in between."""

GIVEN: dict[str, Any] = {"incentive": "credit", "amount_minor": 4000}
TILL = till_catalog(voucher={"max_redemptions": 3})


def nearly_over(shop: Shop, ends_at: Any, **left: float) -> None:
    """Let time pass until so long before an end."""
    shop.clock.advance(ends_at - shop.clock.now() - timedelta(**left))


# --- giving ------------------------------------------------------------------------------------------------------


def a_gift(shop: Shop) -> Ask:
    return partial(shop.issue, incentive="fixed", customer=ANA, idempotency_key="k")


def given_then_extended(shop: Shop) -> Story:
    return a_gift(shop), lambda first: [Care(shop).extend(first.voucher.id, days) for days in (3, 4)]


def given_then_adjusted(shop: Shop) -> Story:
    ask = partial(shop.issue, **GIVEN, idempotency_key="k")
    return ask, lambda first: [Care(shop).adjust(first.voucher.id, minor) for minor in (2000, 4500)]


def sent_later(shop: Shop, voucher_id: Any) -> None:
    shop.later(seconds=1)
    Care(shop).resend(voucher_id, channels=("email",))


def given_then_sent(shop: Shop) -> Story:
    return a_gift(shop), lambda first: sent_later(shop, first.voucher.id)


def given_then_restored(shop: Shop) -> Story:
    def meanwhile(first: Any) -> None:
        nearly_over(shop, first.voucher.expires_at, minutes=5)
        done = redeem(shop, first.voucher.code)
        shop.later(minutes=10)
        annul(shop, done.id)

    return a_gift(shop), meanwhile


def granted_then_adjusted(shop: Shop) -> Story:
    asked = shop.ask(incentive="credit", amount_minor=3000)
    ask = partial(shop.decide, asked.approval_id, idempotency_key="k")

    def meanwhile(first: Any) -> None:
        Care(shop).adjust(first.issued.voucher.id, 2500)
        Care(shop).extend(first.issued.voucher.id, 3)

    return ask, meanwhile


# --- at the till -------------------------------------------------------------------------------------------------


def _left(shop: Shop, **more: Any) -> Ask:
    voucher = shop.voucher(**GIVEN, **more)
    return partial(redeem, shop, voucher.code, order_total=pounds(1000), idempotency_key="k")


def left_then_extended(shop: Shop) -> Story:
    return _left(shop), lambda first: Care(shop).extend(first.remainder.id, 3)


def left_then_sent(shop: Shop) -> Story:
    return _left(shop, customer=ANA), lambda first: sent_later(shop, first.remainder.id)


def left_and_told_then_extended(shop: Shop) -> Story:
    return _left(shop, channels=("email",)), lambda first: Care(shop).extend(first.remainder.id, 3)


def held_to_the_end_then_extended(shop: Shop) -> Story:
    voucher = shop.voucher()
    nearly_over(shop, voucher.expires_at, minutes=5)

    def meanwhile(first: Any) -> None:
        assert first.expires_at == voucher.expires_at
        Care(shop).extend(voucher.id, 3)

    return partial(hold, shop, voucher.code, idempotency_key="k"), meanwhile


def held_longer_then_longer(shop: Shop) -> Story:
    held = hold(shop, shop.voucher().code)
    command = ExtendReservation(reservation_id=held.id, minutes=5, idempotency_key="k")
    ask = partial(extend_reservation, core=shop.core, actor=shop.till, command=command)

    def meanwhile(_first: Any) -> None:
        extend(shop, held.id, 7)
        release(shop, held.id)

    return ask, meanwhile


# --- undoing -----------------------------------------------------------------------------------------------------


def restored_while_held(shop: Shop) -> Story:
    voucher = shop.voucher()
    done = redeem(shop, voucher.code)
    hold(shop, voucher.code, by=other_till(shop))
    return partial(reverse, shop, done.id, idempotency_key="k"), lambda first: first


def restored_then_extended(shop: Shop) -> Story:
    done = redeem(shop, shop.voucher(incentive="fixed").code)
    return partial(reverse, shop, done.id, idempotency_key="k"), lambda first: Care(shop).extend(first.voucher.id, 3)


def annulled_then_extended(shop: Shop) -> Story:
    done = redeem(shop, shop.voucher(incentive="fixed").code)
    return partial(annul, shop, done.id, idempotency_key="k"), lambda first: Care(shop).extend(first.voucher.id, 3)


def made_anew_then_extended(shop: Shop) -> Story:
    done = redeem(shop, shop.voucher(incentive="fixed").code)
    ask = partial(reverse, shop, done.id, "new_code", by=shop.manager, idempotency_key="k")
    return ask, lambda first: Care(shop).extend(first.voucher.id, 3)


# --- care --------------------------------------------------------------------------------------------------------


def _cared(shop: Shop, deed: str, *arguments: Any, **more: Any) -> Ask:
    voucher = shop.voucher(**{**GIVEN, "customer": ANA, **more})
    if deed == "unfreeze":
        Care(shop).freeze(voucher.id)
    return partial(getattr(Care(shop), deed), voucher.id, *arguments, idempotency_key="k")


def adjusted_then_adjusted(shop: Shop) -> Story:
    ask = _cared(shop, "adjust", 2000)
    return ask, lambda first: Care(shop).adjust(first.voucher_id, 1500, idempotency_key="other")


def extended_then_extended(shop: Shop) -> Story:
    return _cared(shop, "extend", 3), lambda first: Care(shop).extend(first.voucher_id, 3, idempotency_key="other")


def extended_then_frozen(shop: Shop) -> Story:
    return _cared(shop, "extend", 3), lambda first: Care(shop).freeze(first.voucher_id)


def frozen_then_unfrozen(shop: Shop) -> Story:
    until_at = (shop.clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Asia/Tokyo"))
    return _cared(shop, "freeze", until_at), lambda first: Care(shop).unfreeze(first.voucher_id)


def frozen_until_it_was_over(shop: Shop) -> Story:
    return _cared(shop, "freeze", shop.clock.now() + timedelta(days=2)), lambda _first: shop.later(days=3)


def unfrozen_then_voided(shop: Shop) -> Story:
    return _cared(shop, "unfreeze"), lambda first: Care(shop).void(first.voucher_id)


def voided_then_over(shop: Shop) -> Story:
    return _cared(shop, "void"), lambda _first: shop.later(days=40)


def sent_then_held(shop: Shop) -> Story:
    voucher = shop.voucher(**GIVEN, customer=ANA)
    ask = partial(Care(shop).resend, voucher.id, channels=("email",), idempotency_key="k")
    return ask, lambda _first: hold(shop, voucher.code)


def extended_while_held_then_redeemed(shop: Shop) -> Story:
    voucher = shop.voucher()
    redeem(shop, voucher.code)
    hold(shop, voucher.code)

    def meanwhile(first: Any) -> None:
        assert (first.status, first.left) == ("reserved", pounds(2000))
        shop.later(minutes=20)
        redeem(shop, voucher.code)

    return partial(Care(shop).extend, voucher.id, 3, idempotency_key="k"), meanwhile


STORIES = (
    given_then_extended,
    given_then_adjusted,
    given_then_sent,
    given_then_restored,
    granted_then_adjusted,
    left_then_extended,
    left_then_sent,
    left_and_told_then_extended,
    held_to_the_end_then_extended,
    held_longer_then_longer,
    restored_while_held,
    restored_then_extended,
    annulled_then_extended,
    made_anew_then_extended,
    adjusted_then_adjusted,
    extended_then_extended,
    extended_then_frozen,
    frozen_then_unfrozen,
    frozen_until_it_was_over,
    unfrozen_then_voided,
    voided_then_over,
    sent_then_held,
    extended_while_held_then_redeemed,
)


def same_again(shop: Shop, ask: Ask, meanwhile: Callable[[Any], object]) -> None:
    """Ask for something, let something happen, and ask for the same: the answer is the first, and nothing happens."""
    first = ask()
    assert not first.replayed
    meanwhile(first)
    before = shop.everything()
    again = ask()
    assert again.replayed
    if getattr(again, "issued", None) is not None:  # what a decision gave is a replay too
        again = replace(again, issued=replace(again.issued, replayed=False))
    again = replace(again, replayed=False)
    assert again == first
    assert repr(again) == repr(first)  # its instants stand in the same zone
    assert shop.everything() == before


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_first_answer_comes_again_whatever_happened_since(open_shop: OpenShop, story: Any) -> None:
    shop = open_shop(TILL)
    same_again(shop, *story(shop))


def test_what_was_held_back_is_told_so_again(open_shop: OpenShop) -> None:
    shop = open_shop(suspicious(just_below_limit={"action": "hold"}))
    given: dict[str, Any] = {"amount_minor": 1900, "channels": ("email",)}
    shop.issue(shop.agent, **given)

    def meanwhile(first: Any) -> None:
        assert [each.status for each in first.deliveries] == ["held"]
        decide(shop, "release")

    same_again(shop, partial(shop.issue, shop.agent, **given, idempotency_key="k"), meanwhile)


def named_by_its_thing(shop: Shop, thing_id: Any) -> None:
    """Let all keys name what was changed, as they did before they named how that was told."""
    with shop.core.database.write() as tx:
        tx.execute(idempotency_keys.update().values(result_id=thing_id))


def test_a_key_from_before_tells_how_long_it_is_held_now(shop: Shop) -> None:
    ask, _ = held_longer_then_longer(shop)
    first = ask()
    named_by_its_thing(shop, first.id)
    longer = extend(shop, first.id, 7)
    assert ask() == replace(longer, replayed=True)


def test_a_key_from_before_still_finds_what_was_told(shop: Shop) -> None:
    ask, meanwhile = extended_then_frozen(shop)
    first = ask()
    named_by_its_thing(shop, first.voucher_id)
    meanwhile(first)
    assert ask() == replace(first, replayed=True)


@pytest.mark.parametrize("channels", [(), ("email",)])
def test_a_till_that_asks_again_is_answered_though_the_key_was_retired(shop: Shop, channels: tuple[str, ...]) -> None:
    voucher = shop.voucher(**GIVEN, channels=channels)
    first = redeem(shop, voucher.code, order_total=pounds(1000), idempotency_key="k")
    after = process(shop, CODE=("t:retired", "n"))
    again = redeem(after, voucher.code, order_total=pounds(1000), idempotency_key="k")
    assert first.remainder is not None
    assert (first.remainder.code is None) == bool(channels)
    assert again == replace(first, replayed=True, remainder=replace(first.remainder, code=None, token=None))


def test_who_is_to_hand_over_what_is_not_known_any_more_is_told_so(shop: Shop) -> None:
    done = redeem(shop, shop.voucher(incentive="fixed").code)
    first = reverse(shop, done.id, "new_code", by=shop.manager, idempotency_key="k")
    after = process(shop, CODE=("t:retired", "n"))
    again = reverse(after, done.id, "new_code", by=shop.manager, idempotency_key="k")
    assert first.voucher is not None
    assert first.voucher.code is not None
    assert again == replace(first, replayed=True, voucher=replace(first.voucher, code=None, token=None))
    shop.issue(idempotency_key="i")
    with pytest.raises(KeyRetired):  # an answer of giving is not without its code
        after.issue(idempotency_key="i")
