"""Reissuing: the new voucher takes the place of the old one, and what was promised stays promised once."""

from collections.abc import Callable

import pytest

from incentives.books.tables import audit_events, ledger_entries
from incentives.kernel.errors import (
    ChannelWithoutAddress,
    CustomerCapReached,
    EmailInvalid,
    InputInvalid,
    NotPermitted,
    OverLimit,
    VoucherExpired,
    VoucherFrozen,
    VoucherNotFound,
    VoucherReplaced,
)
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries.vouchers import customer_voucher
from incentives.spending.tables import budget_movements
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import EMAIL, LIMITS, Shop, budget, catalog, moved, named

OpenShop = Callable[..., Shop]
POTS = (budget("money", cap_minor=10_000), budget("each", "customer", cap_minor=3000), budget("counted", cap_count=9))


@pytest.fixture
def desk(open_shop: OpenShop) -> Care:
    return Care(open_shop(catalog(*POTS)))


def test_old_and_new_are_never_both_good(desk: Care) -> None:
    shop = desk.shop
    old = shop.voucher(amount_minor=1500, channels=("email",))
    entries, moves = shop.all(ledger_entries), shop.all(budget_movements)
    new = desk.reissue(old.id, idempotency_key="k")
    assert new.voucher.id != old.id
    assert new.voucher.code != old.code
    assert (new.voucher.amount, new.voucher.expires_at) == (old.amount, old.expires_at)
    assert (shop.all(ledger_entries), shop.all(budget_movements)) == (entries, moves)
    rows = {row.id: row for row in shop.all(vouchers)}
    assert (rows[old.id].status, rows[new.voucher.id].status) == ("replaced", "issued")
    assert (rows[new.voucher.id].replaces_id, rows[new.voucher.id].number) == (old.id, 2)
    with pytest.raises(VoucherReplaced):
        shop.redeem(old.code)
    assert customer_voucher(core=shop.core, token=old.token) is None
    assert customer_voucher(core=shop.core, token=new.voucher.token) is not None
    assert sorted(row.status for row in shop.all(outbox_messages)) == ["queued", "withdrawn"]
    assert shop.deliver() == ["captured"]
    assert shop.sender().letters[-1].code == new.voucher.code
    assert shop.redeem(new.voucher.code).amount == Money(1500, "GBP")
    assert shop.pot("money") == (0, 0, 1500)
    assert shop.pot("counted", "count") == (0, 0, 1)
    shop.check()


def test_the_same_key_makes_one_new_voucher(desk: Care) -> None:
    shop = desk.shop
    old = shop.voucher()
    first = desk.reissue(old.id, channels=(), idempotency_key="k")
    before = shop.everything()
    again = desk.reissue(old.id, channels=(), idempotency_key="k")
    assert (again.voucher, again.shown, again.replayed) == (first.voucher, True, True)
    assert shop.everything() == before


def test_of_a_chain_only_the_last_is_good(desk: Care) -> None:
    shop = desk.shop
    first = shop.voucher()
    second = desk.reissue(first.id).voucher
    third = desk.reissue(second.id).voucher
    for dead in (first, second):
        shop.refused(VoucherReplaced, desk.reissue, dead.id)
        shop.refused(VoucherReplaced, desk.void, dead.id)
    desk.void(third.id)
    assert shop.pots() == {}
    shop.check()


def test_what_it_was_extended_by_counts_on(desk: Care) -> None:
    old = desk.shop.voucher()
    longer = desk.extend(old.id, 80)
    new = desk.reissue(old.id).voucher
    assert new.expires_at == longer.expires_at
    assert desk.shop.one(vouchers, vouchers.c.id == new.id).extended_days == 80
    desk.extend(new.id, 10)


def test_a_new_address_gets_the_new_link_and_the_old_one_nothing(desk: Care) -> None:
    shop = desk.shop
    old = shop.voucher(channels=("email",))
    done = desk.reissue(old.id, customer=named("ana.right@example.com"))
    assert [each.channel for each in done.deliveries] == ["email"]
    shop.deliver()
    (letter,) = shop.sender().letters
    assert (letter.to, letter.code) == ("ana.right@example.com", done.voucher.code)
    assert customer_voucher(core=shop.core, token=old.token) is None
    row = shop.one(issuances)
    assert "ana.right" in (shop.core.contacts.decrypt(row.contact) or "")
    assert EMAIL not in str(shop.everything())
    event = shop.one(audit_events, audit_events.c.action == "voucher.reissued")
    assert (event.facts["address_changed"], event.facts["replaces_id"]) == (True, str(old.id))
    shop.check()


def test_a_new_address_is_no_way_around_a_customers_cap(desk: Care) -> None:
    shop = desk.shop
    shop.voucher(amount_minor=2500)  # Ana has 500 left
    stray = shop.voucher(amount_minor=1000, customer=named("nobody@example.com"), channels=("email",))
    refusal = shop.refused(CustomerCapReached, desk.reissue, stray.id, customer=named(EMAIL))
    assert refusal.facts["budget"] == "each"
    small = shop.voucher(amount_minor=500, customer=named("someone@example.com"), channels=("email",))
    desk.reissue(small.id, customer=named(EMAIL))
    assert sum(pot[1] for name, pot in shop.pots().items() if name[0] == "each") == 2500 + 1000 + 500
    shop.check()
    shop.later(days=31)
    shop.expire()
    assert shop.pots() == {}
    shop.check()


def test_nor_around_the_limit_for_one_customer(open_shop: OpenShop) -> None:
    own = {"role": "supervisor", "currency": "GBP", "per_voucher_minor": 4000, "per_customer_minor": 1500}
    shop = open_shop(catalog(limits=[own, *(each for each in LIMITS if each["role"] != "supervisor")]))
    desk, by = Care(shop), shop.supervisor
    shop.issue(by)
    stray = shop.voucher(by, customer=named("nobody@example.com"), channels=("email",))
    refusal = shop.refused(OverLimit, desk.reissue, stray.id, by, customer=named(EMAIL))
    assert refusal.facts["reasons"] == ["over-customer-limit"]


def test_bad_addresses_are_refused(desk: Care) -> None:
    shop = desk.shop
    old = shop.voucher(channels=("email",))
    shop.refused(EmailInvalid, desk.reissue, old.id, customer=named("nobody"))
    shop.refused(InputInvalid, desk.reissue, old.id, customer=named(EMAIL))
    shop.refused(InputInvalid, desk.reissue, old.id, customer=named())
    shop.refused(ChannelWithoutAddress, desk.reissue, old.id, channels=("sms",))
    shop.refused(InputInvalid, desk.reissue, old.id, channels=("pigeon",))


def test_who_may_not_and_what_has_ended(desk: Care) -> None:
    shop = desk.shop
    voucher = shop.voucher(location="london")
    shop.refused(NotPermitted, desk.reissue, voucher.id, shop.agent)
    shop.refused(VoucherNotFound, desk.reissue, voucher.id, moved(shop.supervisor, location="leeds"))
    shop.refused(
        VoucherNotFound, desk.reissue, voucher.id, moved(shop.supervisor, location="leeds"), customer=named("x")
    )
    shop.refused(InputInvalid, desk.reissue, voucher.id, reason=" ")
    desk.freeze(voucher.id)
    shop.refused(VoucherFrozen, desk.reissue, voucher.id)
    shop.later(days=31)
    shop.refused(VoucherExpired, desk.reissue, voucher.id)
