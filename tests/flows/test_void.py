"""Voiding: what was promised is promised no more, on the ledger, in the budgets and in the outbox."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from incentives.books.tables import audit_events, ledger_entries
from incentives.kernel.errors import (
    AlreadyRedeemed,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    VoucherExpired,
    VoucherNotFound,
    VoucherReplaced,
    VoucherVoided,
)
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.aftercare import WHY, Care
from tests.flows.shop import Shop, budget, catalog, moved, named

OpenShop = Callable[..., Shop]
POTS = (
    budget("money", cap_minor=10_000),
    budget("kept", cap_minor=10_000, on_expiry="keep"),
    budget("counted", cap_count=3),
)


@pytest.fixture
def desk(open_shop: OpenShop) -> Care:
    return Care(open_shop(catalog(*POTS)))


def test_it_frees_the_budgets_and_takes_the_cost_back(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(amount_minor=1500, channels=("email",))
    done = desk.void(voucher.id)
    assert (done.status, done.left, done.replayed) == ("voided", Money(0, "GBP"), False)
    assert shop.pots() == shop.pots("count") == {}
    assert {name: amount for name, amount in shop.balances().items() if amount} == {}
    assert [row.kind for row in shop.all(ledger_entries)] == ["voucher-issued", "voucher-voided"]
    assert [row.status for row in shop.all(outbox_messages)] == ["withdrawn"]
    assert shop.deliver() == []
    event = shop.one(audit_events, audit_events.c.action == "voucher.voided")
    assert (event.reason, event.subject_id) == (WHY, str(shop.one(issuances).id))
    assert event.facts["voucher_id"] == str(voucher.id)
    assert (event.facts["amount_minor"], event.facts["currency"], event.facts["undone"]) == (1500, "GBP", False)
    shop.check()


def test_a_voided_voucher_is_redeemed_by_nobody(desk: Care) -> None:
    voucher = desk.shop.voucher()
    desk.void(voucher.id)
    with pytest.raises(VoucherVoided):
        desk.shop.redeem(voucher.code)
    desk.shop.refused(VoucherVoided, desk.void, voucher.id)
    desk.shop.refused(VoucherVoided, desk.extend, voucher.id)


def test_the_rest_of_a_credit_is_taken_back_and_what_was_spent_stays(desk: Care) -> None:
    shop = desk.shop
    spent = shop.redeem(shop.voucher(incentive="credit").code, order_total=Money(700, "GBP"))
    assert spent.remainder
    desk.void(spent.remainder.id)
    assert shop.pot("money") == shop.pot("kept") == (0, 0, 700)
    assert shop.pot("counted", "count") == (0, 0, 1)
    assert shop.balances()["recovery-expense"] == 700
    assert shop.balances()["voucher-liability"] == 0
    shop.check()


def test_what_ended_otherwise_cannot_be_voided(desk: Care) -> None:
    shop = desk.shop
    spent, late, old = (shop.voucher(customer=named(f"{name}@example.com")) for name in ("a", "b", "c"))
    shop.redeem(spent.code)
    desk.reissue(old.id)
    refusal = shop.refused(AlreadyRedeemed, desk.void, spent.id)
    assert refusal.facts["redeemed_by"]
    shop.refused(VoucherReplaced, desk.void, old.id)
    shop.later(days=31)
    shop.refused(VoucherExpired, desk.void, late.id)
    shop.expire()
    shop.refused(VoucherExpired, desk.void, late.id)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "a\x00b"])
def test_it_needs_a_reason(desk: Care, reason: str) -> None:
    voucher = desk.shop.voucher()
    desk.shop.refused(InputInvalid, desk.void, voucher.id, reason=reason)


def test_who_may_not_and_who_is_elsewhere_do_nothing(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(location="london")
    shop.refused(NotPermitted, desk.void, voucher.id, shop.agent)
    shop.refused(NotPermitted, desk.void, voucher.id, shop.till)
    shop.refused(VoucherNotFound, desk.void, voucher.id, moved(shop.supervisor, location="leeds"))
    shop.refused(VoucherNotFound, desk.void, uuid4())
    assert desk.void(voucher.id, shop.supervisor).status == "voided"


def test_the_same_key_is_the_same_deed(desk: Care) -> None:
    shop = desk.shop
    voucher, other = shop.voucher(), shop.voucher(customer=named("other@example.com"))
    first = desk.void(voucher.id, idempotency_key="k")
    before = shop.everything()
    again = desk.void(voucher.id, idempotency_key="k")
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.voucher_id, again.status) == (first.voucher_id, first.status)
    assert shop.everything() == before
    shop.refused(IdempotencyKeyReused, desk.void, other.id, idempotency_key="k")
    shop.refused(VoucherVoided, desk.void, voucher.id, idempotency_key="another")


def test_a_frozen_voucher_can_be_voided(desk: Care) -> None:
    voucher = desk.shop.voucher()
    desk.freeze(voucher.id)
    assert desk.void(voucher.id).status == "voided"
    assert desk.shop.one(vouchers).status == "voided"
    desk.shop.check()
