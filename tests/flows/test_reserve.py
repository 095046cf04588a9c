"""Holding: a till keeps a voucher while the sale is paid; nobody else has it until it is committed, let go or over."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.reserve import Reserved, lapse_due
from incentives.kernel.errors import (
    AlreadyRedeemed,
    CurrencyMismatch,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    NotUsableHere,
    NotYourReservation,
    OrderItemsMissing,
    OrderTooSmall,
    OrderTotalMissing,
    OtherLocation,
    ReservationEnded,
    ReservationLapsed,
    ReservationNotFound,
    SelfRedemption,
    VoucherExpired,
    VoucherFrozen,
    VoucherNotFound,
    VoucherReserved,
)
from incentives.queries.reservations import list_held, one_reservation
from incentives.queries.vouchers import customer_voucher, lookup
from incentives.vouchers import codes
from incentives.vouchers.tables import redemption_attempts, redemptions, reservations, vouchers
from tests.flows.shop import Shop, moved
from tests.flows.till_shop import (
    commit,
    extend,
    freeze,
    hold,
    item,
    other_till,
    pounds,
    redeem,
    release,
    till_catalog,
    tried,
)
from tests.world import START, actor

OpenShop = Callable[..., Shop]
QUARTER = timedelta(minutes=15)
MOMENT = timedelta(microseconds=1)


def parts(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_a_hold_is_written_down_and_moves_no_money(shop: Shop) -> None:
    voucher = shop.voucher(amount_minor=1500)
    before = (shop.balances(), shop.pots())
    held = hold(shop, voucher.code, order_ref="T-1", order_total=pounds(1200))
    assert (held.voucher_id, held.amount, held.location, held.order_ref) == (voucher.id, pounds(1200), "london", "T-1")
    assert (held.reserved_at, held.expires_at, held.status) == (START, START + QUARTER, "held")
    row = shop.one(vouchers)
    assert (row.status, row.reservation_id, row.reserved_until_at) == ("reserved", held.id, START + QUARTER)
    kept = shop.one(reservations)
    assert (kept.status, kept.actor, kept.order_total_minor, kept.amount_minor) == ("held", shop.till.label, 1200, 1200)
    assert (shop.balances(), shop.pots()) == before
    assert shop.one(redemption_attempts).outcome == "reserved"
    event = shop.one(audit_events, audit_events.c.action == "voucher.reserved")
    assert event.facts["reservation_id"] == str(held.id)
    shop.check()


def test_a_committed_hold_is_a_redemption(shop: Shop) -> None:
    held = hold(shop, shop.voucher(amount_minor=1500).code, order_ref="T-1", order_total=pounds(9000))
    shop.later(minutes=5)
    done = commit(shop, held.id, order_total=pounds(700), items=(item("tea", 700),))
    assert (done.amount, done.order_ref, done.location, done.reservation_id) == (pounds(700), "T-1", "london", held.id)
    row = shop.one(redemptions)
    assert (row.order_ref, row.order_total_minor, row.reservation_id) == ("T-1", 700, held.id)
    assert row.order_items == [{"product": "tea", "amount_minor": 700, "collection": None, "quantity": 1}]
    ended = shop.one(reservations)
    assert (ended.status, ended.redemption_id, ended.ended_by) == ("committed", done.id, shop.till.label)
    assert shop.one(vouchers).reservation_id is None
    assert shop.balances()["redemption-settlement"] == -700
    assert shop.pot("all-gbp") == (0, 0, 700)
    assert tried(shop, ReservationEnded, commit, held.id).facts["ended_as"] == "committed"
    shop.refused(ReservationEnded, release, shop, held.id)
    shop.refused(ReservationEnded, extend, shop, held.id, 5)
    shop.check()


def test_what_is_held_is_nobody_else_s(shop: Shop) -> None:
    voucher = shop.voucher()
    held = hold(shop, voucher.code)
    other = other_till(shop)
    for deed, by in ((redeem, other), (hold, other), (redeem, None), (hold, None)):
        facts = tried(shop, VoucherReserved, deed, voucher.code, by).facts
        assert facts["held_until_at"] == held.expires_at.isoformat()
        assert (facts["held_by"], facts["location"]) == ("Till", "london")
    shop.refused(NotYourReservation, commit, shop, held.id, other)
    shop.refused(NotYourReservation, extend, shop, held.id, 5, other)
    shop.refused(NotYourReservation, release, shop, held.id, other, "Mine.")
    assert customer_voucher(core=shop.core, token=voucher.token) is None
    commit(shop, held.id)


def test_a_hold_lapses_by_itself(shop: Shop) -> None:
    voucher = shop.voucher()
    held = hold(shop, voucher.code)
    shop.clock.advance(QUARTER)
    tried(shop, VoucherReserved, redeem, voucher.code)  # at its last instant it holds
    shop.clock.advance(MOMENT)
    assert lookup(core=shop.core, actor=shop.till, code=voucher.code).redeemable
    assert customer_voucher(core=shop.core, token=voucher.token) is not None
    assert one_reservation(core=shop.core, actor=shop.till, reservation_id=held.id).status == "lapsed"
    found = tried(shop, ReservationLapsed, commit, held.id)
    assert found.facts == {"expires_at": held.expires_at.isoformat()}
    shop.refused(ReservationLapsed, extend, shop, held.id, 5)
    shop.refused(ReservationLapsed, release, shop, held.id)
    redeem(shop, voucher.code, other_till(shop))
    tried(shop, ReservationLapsed, commit, held.id)
    ended = shop.one(reservations)
    assert (ended.status, ended.ended_at) == ("lapsed", held.expires_at)
    assert len(shop.all(redemptions)) == 1
    shop.check()


def test_a_hold_is_committed_at_its_last_instant(shop: Shop) -> None:
    held = hold(shop, shop.voucher().code)
    shop.clock.advance(QUARTER)
    commit(shop, held.id)


def test_who_holds_after_a_hold_has_lapsed_holds_alone(shop: Shop) -> None:
    voucher = shop.voucher()
    first = hold(shop, voucher.code)
    shop.later(minutes=16)
    second = hold(shop, voucher.code, other_till(shop))
    tried(shop, ReservationLapsed, commit, first.id)
    assert [row.status for row in shop.all(reservations)] == ["lapsed", "held"]
    assert shop.one(vouchers).reservation_id == second.id


def test_the_sweep_only_tidies_up(shop: Shop) -> None:
    voucher, other = shop.voucher(), shop.voucher()
    hold(shop, voucher.code)
    stays = hold(shop, other.code, hold_minutes=60)
    assert lapse_due(core=shop.core) == 0
    shop.later(minutes=16)
    assert lapse_due(core=shop.core) == 1
    assert lapse_due(core=shop.core) == 0
    assert [row.status for row in shop.all(reservations)] == ["lapsed", "held"]
    assert shop.one(vouchers, vouchers.c.id == voucher.id).status == "issued"
    assert shop.one(audit_events, audit_events.c.action == "reservation.lapsed").subject_id == str(voucher.id)
    commit(shop, stays.id)
    shop.check()


# --- how long ----------------------------------------------------------------------------------------------------


def test_a_hold_never_outlives_the_voucher(shop: Shop) -> None:
    voucher = shop.voucher()
    shop.clock.advance(voucher.expires_at - START - timedelta(minutes=5))
    held = hold(shop, voucher.code)
    assert held.expires_at == voucher.expires_at
    assert extend(shop, held.id, 30).expires_at == voucher.expires_at
    shop.later(minutes=6)
    assert shop.expire() == (1, 0)
    tried(shop, ReservationLapsed, commit, held.id)
    tried(shop, VoucherExpired, hold, voucher.code)
    shop.check()


def test_a_hold_is_extended_up_to_a_day(shop: Shop) -> None:
    held = hold(shop, shop.voucher().code)
    assert extend(shop, held.id, 45).expires_at == START + timedelta(hours=1)
    assert extend(shop, held.id, 23 * 60).expires_at == START + timedelta(hours=24)
    found = shop.refused(InputInvalid, extend, shop, held.id, 1)
    assert found.facts["errors"][0]["field"] == "minutes"
    shop.later(hours=24)
    commit(shop, held.id)
    assert len(shop.all(audit_events, audit_events.c.action == "reservation.extended")) == 2


@pytest.mark.parametrize("minutes", [0, -1, 24 * 60 + 1])
def test_a_hold_lasts_a_minute_to_a_day(shop: Shop, minutes: int) -> None:
    voucher = shop.voucher()
    found = shop.refused(InputInvalid, hold, shop, voucher.code, hold_minutes=minutes)
    assert found.facts["errors"][0]["field"] == "hold_minutes"
    held = hold(shop, voucher.code, hold_minutes=24 * 60)
    assert held.expires_at == START + timedelta(hours=24)
    shop.refused(InputInvalid, extend, shop, held.id, minutes)


# --- letting go --------------------------------------------------------------------------------------------------


def test_its_holder_lets_it_go(shop: Shop) -> None:
    voucher = shop.voucher()
    held = hold(shop, voucher.code)
    shop.later(minutes=1)
    release(shop, held.id)
    row = shop.one(vouchers)
    assert (row.status, row.reservation_id, row.reserved_until_at) == ("issued", None, None)
    ended = shop.one(reservations)
    assert (ended.status, ended.ended_by, ended.end_reason) == ("released", shop.till.label, None)
    shop.refused(ReservationEnded, release, shop, held.id)
    redeem(shop, voucher.code, other_till(shop))


def test_staff_release_the_hold_of_another_till_with_a_reason(shop: Shop) -> None:
    voucher = shop.voucher()
    held = hold(shop, voucher.code)
    for reason in (None, "", "  ", "x" * 501, "a\0b"):
        found = shop.refused(InputInvalid, release, shop, held.id, shop.supervisor, reason)
        assert found.facts["errors"][0]["field"] == "reason"
    elsewhere = moved(shop.supervisor, location="leeds")
    shop.refused(OtherLocation, release, shop, held.id, elsewhere, "It broke down.")
    release(shop, held.id, shop.supervisor, " It broke down. ")
    assert shop.one(reservations).end_reason == "It broke down."
    event = shop.one(audit_events, audit_events.c.action == "reservation.released")
    assert (event.actor, event.reason, event.facts["forced"]) == (shop.supervisor.label, "It broke down.", True)
    tried(shop, ReservationEnded, commit, held.id)
    redeem(shop, voucher.code)


# --- refusals ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_redeemed_cannot_be_held(shop: Shop) -> None:
    voucher, meal = shop.voucher(), shop.voucher(incentive="meal", location="london")
    unknown = codes.code_of(shop.core.keys.codes, "t", shop.core.ids.new(START))
    tried(shop, VoucherNotFound, hold, unknown)
    tried(shop, NotUsableHere, hold, meal.code, moved(shop.till, location="leeds"))
    tried(shop, CurrencyMismatch, hold, voucher.code, moved(shop.till, location="new-york"))
    tried(shop, InputInvalid, hold, voucher.code, order_total=pounds(0))
    tried(shop, SelfRedemption, hold, voucher.code, moved(shop.manager, location="london"))
    shop.refused(InputInvalid, hold, shop, voucher.code, token=voucher.token)
    shop.refused(NotPermitted, hold, shop, voucher.code, actor(shop.core, "auditor"))
    redeem(shop, voucher.code)
    tried(shop, AlreadyRedeemed, hold, voucher.code)


def test_a_frozen_voucher_is_neither_held_nor_committed_nor_kept_longer(shop: Shop) -> None:
    voucher, held_one = shop.voucher(), shop.voucher()
    held = hold(shop, held_one.code)
    freeze(shop)
    tried(shop, VoucherFrozen, hold, voucher.code)
    tried(shop, VoucherFrozen, redeem, voucher.code)
    tried(shop, VoucherFrozen, commit, held.id)
    shop.refused(VoucherFrozen, extend, shop, held.id, 5)
    assert not lookup(core=shop.core, actor=shop.till, code=voucher.code).redeemable
    assert customer_voucher(core=shop.core, token=voucher.token) is None
    release(shop, held.id)
    shop.check()


def test_what_is_not_known_of_the_order_yet_comes_with_the_commit(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(percent={"min_order_minor": 1000, "products": ["tea"]}))
    held = hold(shop, shop.voucher(incentive="percent").code)
    assert held.amount == pounds(3000)  # at most
    tried(shop, OrderItemsMissing, commit, held.id, order_total=pounds(2000))
    tried(shop, OrderTooSmall, commit, held.id, order_total=pounds(2000), items=(item("tea", 999),))
    done = commit(shop, held.id, order_total=pounds(2000), items=(item("tea", 2000),))
    assert done.amount == pounds(300)


def test_a_reservation_that_there_is_not(shop: Shop) -> None:
    nothing = shop.core.ids.new(START)
    shop.refused(ReservationNotFound, commit, shop, nothing)
    shop.refused(ReservationNotFound, extend, shop, nothing, 5)
    shop.refused(ReservationNotFound, release, shop, nothing)
    shop.refused(ReservationNotFound, one_reservation, core=shop.core, actor=shop.till, reservation_id=nothing)


@pytest.mark.parametrize("role", ["auditor", "finance", "integrator"])
def test_who_may_not_redeem_may_not_hold(shop: Shop, role: str) -> None:
    held = hold(shop, shop.voucher().code)
    nobody = actor(shop.core, role)
    shop.refused(NotPermitted, commit, shop, held.id, nobody)
    shop.refused(NotPermitted, extend, shop, held.id, 5, nobody)
    shop.refused(NotPermitted, release, shop, held.id, nobody, "Because.")


# --- the same key ------------------------------------------------------------------------------------------------


def test_the_same_key_replays_the_hold_as_it_was(shop: Shop) -> None:
    voucher = shop.voucher()
    first = hold(shop, voucher.code, order_ref="T-1", idempotency_key="k")
    extend(shop, first.id, 60)
    commit(shop, first.id)
    before = shop.everything()
    again = hold(shop, voucher.code, order_ref="T-1", idempotency_key="k")
    assert again == Reserved(**{**parts(first), "replayed": True})
    assert shop.everything() == before
    shop.refused(IdempotencyKeyReused, hold, shop, voucher.code, order_ref="T-2", idempotency_key="k")


def test_the_same_key_replays_the_commit(shop: Shop) -> None:
    held = hold(shop, shop.voucher(incentive="credit").code)
    first = commit(shop, held.id, order_total=pounds(500), idempotency_key="k")
    before = shop.everything()
    shop.later(days=2)
    again = commit(shop, held.id, order_total=pounds(500), idempotency_key="k")
    assert again == type(first)(**{**parts(first), "replayed": True})
    assert shop.everything() == before
    shop.refused(IdempotencyKeyReused, commit, shop, held.id, order_total=pounds(501), idempotency_key="k")


def test_a_key_can_be_used_again_after_a_refusal(shop: Shop) -> None:
    voucher = shop.voucher(incentive="percent")
    held = hold(shop, voucher.code, idempotency_key="k")
    tried(shop, OrderTotalMissing, commit, held.id, idempotency_key="c")
    commit(shop, held.id, order_total=pounds(500), idempotency_key="c")


# --- who sees it -------------------------------------------------------------------------------------------------


def test_staff_see_what_is_held_by_whom_and_for_how_long(shop: Shop) -> None:
    held = hold(shop, shop.voucher().code, order_ref="T-1")
    hold(shop, shop.voucher().code, other_till(shop, location="leeds"))
    over = hold(shop, shop.voucher().code, hold_minutes=1)
    shop.later(minutes=5)
    here = list_held(core=shop.core, actor=shop.supervisor)
    assert [(each.id, each.held_by, each.location, each.own, each.held_seconds) for each in here.items] == [
        (held.id, "Till", "london", False, 300)
    ]
    assert len(list_held(core=shop.core, actor=shop.manager).items) == 2
    assert len(list_held(core=shop.core, actor=shop.manager, location="leeds").items) == 1
    seen = one_reservation(core=shop.core, actor=shop.till, reservation_id=over.id)
    assert (seen.status, seen.own, seen.ended_at, seen.held_seconds) == ("lapsed", True, over.expires_at, 60)
    elsewhere = moved(shop.supervisor, location="leeds")
    shop.refused(ReservationNotFound, one_reservation, core=shop.core, actor=elsewhere, reservation_id=held.id)


def test_a_till_that_looks_a_held_voucher_up_sees_who_holds_it(shop: Shop) -> None:
    voucher = shop.voucher()
    held = hold(shop, voucher.code)
    before = shop.everything()
    found = lookup(core=shop.core, actor=shop.supervisor, code=voucher.code)
    assert (found.status, found.redeemable, found.reason) == ("reserved", False, "voucher-reserved")
    assert found.hold is not None
    assert (found.hold.held_by, found.hold.expires_at, found.hold.own) == ("Till", held.expires_at, False)
    own = lookup(core=shop.core, actor=shop.till, code=voucher.code)
    assert own.hold is not None
    assert own.hold.own
    assert shop.everything() == before
