"""Undoing: a till's own mistaken scan within minutes, and a redemption after a refund; once, and to the penny."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events, ledger_entries
from incentives.flows.reverse import Undone
from incentives.kernel.errors import (
    AlreadyRedeemed,
    AnnulmentTooLate,
    CodeGone,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    NotYourRedemption,
    RedemptionAlreadyReversed,
    RedemptionNotFound,
    RemainderUsed,
    ReversalTooLate,
    VoucherReplaced,
    VoucherVoided,
)
from incentives.messages.tables import outbox_messages
from incentives.queries.redemptions import last_redemptions, one_redemption
from incentives.spending.tables import budget_allocations, budget_movements
from incentives.vouchers.tables import redemption_reversals, redemptions, vouchers
from tests.flows.shop import Shop, budget, catalog
from tests.flows.till_shop import annul, other_till, pounds, redeem, reverse, till_catalog, tried
from tests.world import START, actor

OpenShop = Callable[..., Shop]
KINDS = ("voucher", "percent", "meal", "refund")
ORDER: dict[str, Any] = {"order_total": pounds(700)}


def sold(shop: Shop, incentive: str = "voucher", **more: Any) -> tuple[Any, Any]:
    """Give something and redeem it; return the voucher and the redemption."""
    voucher = shop.voucher(incentive=incentive, location="london", **more)
    return voucher, redeem(shop, voucher.code, **ORDER)


# --- annulment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("incentive", KINDS)
def test_a_mistaken_scan_is_undone_by_its_till_as_if_it_had_not_been(shop: Shop, incentive: str) -> None:
    voucher = shop.voucher(incentive=incentive, location="london")
    before = (shop.pots(), shop.pots("count"), shop.balances())
    done = redeem(shop, voucher.code, **ORDER)
    shop.later(minutes=15)
    undone = annul(shop, done.id, reason=" Scanned twice. ")
    assert (undone.kind, undone.restore, undone.amount, undone.reason) == (
        "annulment",
        "same_code",
        voucher.amount,
        "Scanned twice.",
    )
    assert undone.voucher is not None
    assert (undone.voucher.id, undone.voucher.code, undone.voucher.expires_at) == (voucher.id, None, voucher.expires_at)
    pots, counts, balances = shop.pots(), shop.pots("count"), shop.balances()
    assert (pots, counts) == before[:2]
    assert {name: value for name, value in balances.items() if value} == before[2]
    row = shop.one(redemption_reversals)
    assert (row.kind, row.redemption_id, row.voucher_id, row.actor) == (
        "annulment",
        done.id,
        voucher.id,
        shop.till.label,
    )
    assert shop.one(audit_events, audit_events.c.action == "redemption.annulled").reason == "Scanned twice."
    shop.check()
    again = redeem(shop, voucher.code, other_till(shop), **ORDER)
    assert again.amount == done.amount
    shop.check()


def test_a_scan_is_undone_within_minutes_and_by_its_own_till_only(shop: Shop) -> None:
    _, done = sold(shop)
    shop.refused(NotYourRedemption, annul, shop, done.id, other_till(shop))
    shop.refused(NotYourRedemption, annul, shop, done.id, shop.supervisor)
    shop.refused(NotPermitted, annul, shop, done.id, actor(shop.core, "finance"))
    shop.refused(RedemptionNotFound, annul, shop, shop.core.ids.new(START))
    for reason in ("", " ", "x" * 501, "\0"):
        found = shop.refused(InputInvalid, annul, shop, done.id, reason=reason)
        assert found.facts["errors"][0]["field"] == "reason"
    shop.clock.advance(timedelta(minutes=15, microseconds=1))
    found = shop.refused(AnnulmentTooLate, annul, shop, done.id)
    assert found.facts == {"annullable_until_at": (START + timedelta(minutes=15)).isoformat()}


def test_undoing_a_scan_does_not_make_a_voucher_good_for_longer_than_it_takes(shop: Shop) -> None:
    voucher = shop.voucher()
    shop.clock.advance(voucher.expires_at - START - timedelta(minutes=1))
    done = redeem(shop, voucher.code)
    shop.later(minutes=5)
    undone = annul(shop, done.id)
    assert undone.voucher is not None
    assert undone.voucher.expires_at == shop.clock.now() + timedelta(minutes=15)
    redeem(shop, voucher.code)


def test_the_same_key_replays_an_annulment(shop: Shop) -> None:
    _, done = sold(shop)
    first = annul(shop, done.id, idempotency_key="k")
    before = shop.everything()
    again = annul(shop, done.id, idempotency_key="k")
    assert again.replayed
    assert (again.id, again.amount, again.at) == (first.id, first.amount, first.at)
    assert shop.everything() == before
    shop.refused(RedemptionAlreadyReversed, annul, shop, done.id)


def test_a_till_sees_what_it_redeemed_last(shop: Shop) -> None:
    numbers = [sold(shop)[1].id for _ in range(11)]
    redeem(shop, shop.voucher().code, other_till(shop))
    annul(shop, numbers[-1])
    found = last_redemptions(core=shop.core, actor=shop.till)
    assert [each.id for each in found] == numbers[:0:-1]
    assert [each.reversal.kind if each.reversal else None for each in found[:2]] == ["annulment", None]
    shop.later(days=1)
    assert last_redemptions(core=shop.core, actor=shop.till) == []


# --- reversal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("incentive", KINDS)
def test_the_same_code_can_be_redeemed_again(shop: Shop, incentive: str) -> None:
    voucher = shop.voucher(incentive=incentive, location="london")
    before = (shop.pots(), shop.pots("count"), shop.balances())
    done = redeem(shop, voucher.code, **ORDER)
    shop.later(days=3)
    undone = reverse(shop, done.id)
    assert (undone.kind, undone.restore, undone.amount) == ("reversal", "same_code", voucher.amount)
    assert (shop.pots(), shop.pots("count")) == before[:2]
    assert {name: value for name, value in shop.balances().items() if value} == before[2]
    assert shop.one(vouchers).status == "issued"
    assert shop.one(redemptions).reversed_at == shop.clock.now()
    seen = one_redemption(core=shop.core, actor=shop.till, redemption_id=done.id).reversal
    assert seen is not None
    assert (seen.reason, seen.reversed_by, seen.voucher_id) == ("Refunded.", "Supervisor", voucher.id)
    shop.check()
    redeem(shop, voucher.code, **ORDER)
    shop.check()


def test_what_is_given_back_is_good_for_days_of_grace(shop: Shop) -> None:
    voucher, done = sold(shop)
    shop.later(days=60)
    undone = reverse(shop, done.id)
    assert undone.voucher is not None
    # Thirty days are long over: seven more from now, to the end of the last one in London.
    assert undone.voucher.expires_at == datetime(2027, 1, 26, 23, 59, 59, 999999, tzinfo=UTC)
    shop.later(days=7)
    assert shop.expire() == (0, 0)
    redeem(shop, voucher.code)
    shop.check()


def test_what_is_given_back_lapses_in_its_turn(shop: Shop) -> None:
    _, done = sold(shop)
    shop.later(days=60)
    reverse(shop, done.id)
    shop.later(days=8)
    assert shop.expire() == (1, 0)
    assert shop.balances()["breakage"] == -1000
    assert shop.pot("all-gbp") == (0, 0, 0)
    shop.check()


def test_a_new_code_leaves_the_old_one_dead(shop: Shop) -> None:
    voucher = shop.voucher(channels=("email",))
    shop.deliver()
    done = redeem(shop, voucher.code, **ORDER)
    undone = reverse(shop, done.id, "new_code")
    new = undone.voucher
    assert new is not None
    assert (new.amount, new.id != voucher.id, undone.amount) == (pounds(1000), True, pounds(1000))
    # The customer is told by email, so nobody else sees it.
    assert (new.code, new.token) == (None, None)
    tried(shop, VoucherReplaced, redeem, voucher.code)
    old, fresh = shop.all(vouchers)
    assert (old.status, fresh.status, fresh.replaces_id, fresh.number) == ("replaced", "issued", old.id, 2)
    assert [(row.voucher_id, row.status) for row in shop.all(outbox_messages)] == [
        (old.id, "captured"),
        (fresh.id, "queued"),
    ]
    assert shop.pot("all-gbp") == (0, 1000, 0)
    assert shop.pot("all-gbp", "count") == (0, 1, 0)
    shop.check()


def test_a_new_code_is_seen_by_who_may_give_where_no_letter_carries_it(shop: Shop) -> None:
    sales = [sold(shop)[1].id for _ in range(2)]
    hidden = reverse(shop, sales[0], "new_code", actor(shop.core, "finance")).voucher
    assert hidden is not None
    assert (hidden.code, hidden.token) == (None, None)
    asked: dict[str, Any] = {"restore": "new_code", "idempotency_key": "k"}
    seen = reverse(shop, sales[1], **asked).voucher
    assert seen is not None
    assert seen.code is not None
    assert reverse(shop, sales[1], **asked).voucher == seen
    assert seen.code.replace("-", "") not in repr(shop.everything())
    redeem(shop, seen.code)
    shop.check()


def test_with_nothing_given_back_the_spending_is_undone(shop: Shop) -> None:
    voucher, done = sold(shop)
    undone = reverse(shop, done.id, "none")
    assert (undone.amount, undone.voucher) == (pounds(700), None)
    tried(shop, VoucherVoided, redeem, voucher.code)
    assert shop.pots() == {}
    assert shop.pots("count") == {}
    balances = {name: value for name, value in shop.balances().items() if value}
    assert balances == {"recovery-expense": 300, "breakage": -300}  # what lapsed, lapsed
    assert shop.one(redemption_reversals).amount_minor == 700
    shop.check()


@pytest.mark.parametrize("restore", ["same_code", "new_code", "none"])
def test_a_redemption_is_undone_once(shop: Shop, restore: str) -> None:
    _, done = sold(shop)
    reverse(shop, done.id, restore)
    for again in ("same_code", "new_code", "none"):
        found = shop.refused(RedemptionAlreadyReversed, reverse, shop, done.id, again)
        assert (found.facts["kind"], found.facts["restore"]) == ("reversal", restore)
    shop.refused(RedemptionAlreadyReversed, annul, shop, done.id)


def test_each_redemption_of_a_code_is_undone_by_itself(shop: Shop) -> None:
    voucher, first = sold(shop)
    reverse(shop, first.id)
    second = redeem(shop, voucher.code)
    reverse(shop, second.id)
    redeem(shop, voucher.code)
    shop.refused(RedemptionAlreadyReversed, reverse, shop, first.id)
    assert len(shop.all(ledger_entries, ledger_entries.c.kind == "redemption-reversed")) == 2
    shop.check()


def test_the_window_is_the_incentive_s(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"reversal_days": 10}))
    (_, in_time), (_, done) = sold(shop), sold(shop)
    shop.later(days=10)
    assert isinstance(reverse(shop, in_time.id), Undone)  # at its last instant
    shop.clock.advance(timedelta(microseconds=1))
    found = shop.refused(ReversalTooLate, reverse, shop, done.id)
    assert found.facts == {"reversible_until_at": (START + timedelta(days=10)).isoformat()}


@pytest.mark.parametrize("role", ["frontline", "till", "auditor"])
def test_who_may_not_reverse_is_refused(shop: Shop, role: str) -> None:
    _, done = sold(shop)
    shop.refused(NotPermitted, reverse, shop, done.id, by=actor(shop.core, role))


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"reason": ""}, "reason"), ({"reason": "x" * 501}, "reason"), ({"restore": "cash"}, "restore")],
)
def test_what_a_reversal_must_say(shop: Shop, changes: dict[str, str], field: str) -> None:
    _, done = sold(shop)
    found = shop.refused(InputInvalid, reverse, shop, done.id, **changes)
    assert found.facts["errors"][0]["field"] == field


def test_the_same_key_replays_a_reversal(shop: Shop) -> None:
    _, done = sold(shop)
    first = reverse(shop, done.id, idempotency_key="k")
    before = shop.everything()
    shop.later(days=200)
    again = reverse(shop, done.id, idempotency_key="k")
    parts = {name: getattr(first, name) for name in first.__dataclass_fields__}
    assert again == Undone(**{**parts, "replayed": True})
    assert shop.everything() == before
    shop.refused(IdempotencyKeyReused, reverse, shop, done.id, "none", idempotency_key="k")
    shop.refused(RedemptionNotFound, reverse, shop, shop.core.ids.new(START), idempotency_key="other")


# --- the rest of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restore", ["same_code", "new_code"])
def test_a_rest_that_nobody_used_is_gathered_in(shop: Shop, restore: str) -> None:
    voucher, done = sold(shop, "credit")
    undone = reverse(shop, done.id, restore)
    assert undone.amount == pounds(2000)
    assert done.remainder is not None
    tried(shop, VoucherVoided, redeem, done.remainder.code)
    assert shop.pot("all-gbp") == (0, 2000, 0)
    assert shop.balances()["voucher-liability"] == -2000
    shop.check()
    if restore == "same_code":
        assert redeem(shop, voucher.code).amount == pounds(2000)
        shop.check()


def test_of_a_rest_that_was_used_the_other_part_comes_back_by_a_new_code(shop: Shop) -> None:
    _, done = sold(shop, "credit")
    assert done.remainder is not None
    redeem(shop, done.remainder.code)
    found = shop.refused(RemainderUsed, reverse, shop, done.id)
    assert found.facts == {"remainder_id": str(done.remainder.id)}
    shop.refused(RemainderUsed, annul, shop, done.id)
    undone = reverse(shop, done.id, "new_code")
    assert undone.amount == pounds(700)
    assert undone.voucher is not None
    assert undone.voucher.code is not None
    assert shop.pot("all-gbp") == (0, 700, 1300)
    tried(shop, AlreadyRedeemed, redeem, done.remainder.code)
    assert redeem(shop, undone.voucher.code).amount == pounds(700)
    shop.check()


def test_with_nothing_given_back_the_rest_stays_the_customer_s(shop: Shop) -> None:
    _, done = sold(shop, "credit")
    reverse(shop, done.id, "none")
    assert done.remainder is not None
    assert shop.pot("all-gbp") == (0, 1300, 0)
    assert shop.pot("all-gbp", "count") == (0, 1, 0)
    assert redeem(shop, done.remainder.code).amount == pounds(1300)
    assert shop.pot("all-gbp", "count") == (0, 0, 1)
    shop.check()


def test_what_a_voucher_of_several_uses_took_comes_back_as_one_of_them(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"max_redemptions": 2}))
    voucher = shop.voucher()
    first, second = redeem(shop, voucher.code, **ORDER), redeem(shop, voucher.code)
    undone = reverse(shop, first.id)
    assert undone.amount == pounds(1000)
    again = redeem(shop, voucher.code)
    assert (again.use_number, second.use_number) == (1, 2)
    new = reverse(shop, second.id, "new_code").voucher
    assert new is not None
    tried(shop, AlreadyRedeemed, redeem, voucher.code)
    assert shop.pot("all-gbp") == (0, 1000, 1000)
    shop.check()


def test_once_the_other_uses_have_ended_only_a_new_code_can_be_given(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"max_redemptions": 2}))
    voucher = shop.voucher()
    done = redeem(shop, voucher.code)
    shop.later(days=40)
    for swept in (False, True):
        if swept:
            assert shop.expire() == (1, 0)
        assert shop.refused(CodeGone, reverse, shop, done.id).facts == {"voucher_status": "expired"}
    new = reverse(shop, done.id, "new_code").voucher
    assert new is not None
    assert new.code is not None
    assert redeem(shop, new.code).amount == pounds(1000)
    shop.check()


def test_a_promise_that_is_made_again_is_kept_though_others_have_had_its_room(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("tight", period="none", cap_minor=1000)))
    _, done = sold(shop)  # 700 spent, 300 lapsed and free again
    shop.voucher(incentive="credit", amount_minor=200)
    undone = reverse(shop, done.id)
    assert shop.pot("tight") == (0, 1200, 0)
    row = shop.one(budget_allocations)
    assert (row.kind, row.amount_minor, row.source_id) == ("restored", 200, undone.id)
    facts = shop.one(audit_events, audit_events.c.action == "redemption.reversed").facts
    assert [each["amount_minor"] for each in facts["allocations"]] == [200]
    shop.check()


def test_every_movement_moves_something(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("count", cap_count=9)))
    for restore in ("same_code", "new_code", "none"):
        reverse(shop, sold(shop, "credit")[1].id, restore)
    for row in shop.all(budget_movements):
        assert any(value for name, value in row._mapping.items() if name.endswith(("_minor", "_count"))), row
    shop.check()
