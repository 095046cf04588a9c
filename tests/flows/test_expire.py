"""Expiring: what nobody used in time ends, and its money is free again or kept, as each budget's policy says."""

from collections.abc import Callable

import pytest

from incentives.books.tables import audit_events, ledger_entries
from incentives.deeds.deciding import APPROVAL_LIFETIME
from incentives.flows import expire
from incentives.flows.expire import Expired, expire_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.errors import ApprovalExpired, BudgetExhausted
from incentives.kernel.money import Money
from incentives.queries.issuances import one_issuance
from incentives.spending.tables import approvals, budget_movements
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.shop import Shop, budget, catalog, moved, named, wish
from tests.flows.till_shop import redeem, reverse, till_catalog

OpenShop = Callable[..., Shop]

BOTH_POLICIES = (
    budget("released", period="none", cap_minor=5000),
    budget("kept", period="none", cap_minor=5000, on_expiry="keep"),
    budget("counted", period="none", cap_count=5, on_expiry="keep"),
)


@pytest.fixture
def two_pots(open_shop: OpenShop) -> Shop:
    return open_shop(catalog(*BOTH_POLICIES))


def test_an_expired_voucher_lapses_on_all_books(two_pots: Shop) -> None:
    shop = two_pots
    voucher = shop.voucher(amount_minor=1500)
    shop.later(days=31)
    assert expire_due(core=shop.core) == Expired(vouchers=1, approvals=0)
    assert shop.one(vouchers).status == "expired"
    assert shop.one(issuances).status == "issued"  # it was issued; the voucher is what expired
    assert shop.pot("released") == shop.pot("released", "count") == (0, 0, 0)
    assert shop.pot("kept") == (0, 0, 1500)
    assert shop.pot("kept", "count") == shop.pot("counted", "count") == (0, 0, 1)
    assert shop.pot("counted") == (0, 0, 0)
    assert shop.balances() == {"recovery-expense": 1500, "voucher-liability": 0, "breakage": -1500}
    assert [row.kind for row in shop.all(ledger_entries)] == ["voucher-issued", "voucher-expired"]
    assert {row.kind for row in shop.all(budget_movements)} == {"commit", "release", "breakage"}
    event = shop.one(audit_events, audit_events.c.action == "voucher.expired")
    assert (event.actor, event.subject_id) == (SYSTEM.label, str(voucher.id))
    about = {"issuance_id": str(shop.one(issuances).id), "voucher_id": str(voucher.id)}
    assert event.facts == {"amount_minor": 1500, "currency": "GBP", "last4": voucher.last4, **about}
    shop.check()


def test_what_is_released_can_be_given_again_and_what_is_kept_cannot(two_pots: Shop) -> None:
    shop = two_pots
    shop.issue(amount_minor=5000)
    shop.later(days=31)
    shop.expire()
    found = shop.refused(BudgetExhausted, shop.issue)
    assert found.facts["budget"] == "kept"
    assert shop.pot("released") == (0, 0, 0)


def test_a_request_that_nobody_decided_ends_and_frees_everything(two_pots: Shop) -> None:
    shop = two_pots
    asked = shop.ask(amount_minor=3000)
    shop.clock.advance(APPROVAL_LIFETIME)
    assert expire_due(core=shop.core) == Expired(vouchers=0, approvals=1)
    assert shop.pots() == {}  # nothing was promised, so there is nothing to keep
    assert (shop.one(approvals).status, shop.one(issuances).status) == ("expired", "expired")
    assert shop.all(ledger_entries) == []
    event = shop.one(audit_events, audit_events.c.action == "approval.expired")
    assert (event.actor, event.subject_id, event.reason) == (SYSTEM.label, str(asked.id), "Nobody decided in time.")
    (was_asked,) = shop.all(audit_events, audit_events.c.action == "approval.requested")
    assert event.case_id == asked.case_id
    assert {name: event.facts[name] for name in ("amount_minor", "currency", "incentive", "approval_id")} == {
        name: was_asked.facts[name] for name in ("amount_minor", "currency", "incentive", "approval_id")
    }
    assert event.facts["requested_by"] == shop.agent.label
    assert sorted(event.facts["released"]) == sorted(was_asked.facts["charged"])
    shop.refused(ApprovalExpired, shop.decide, asked.approval_id)
    now = one_issuance(core=shop.core, actor=shop.agent, issuance_id=asked.id)
    assert now.approval is not None
    assert (now.status, now.approval.status, now.voucher) == ("expired", "expired", None)
    shop.check()


def test_sweeping_again_changes_nothing(two_pots: Shop) -> None:
    shop = two_pots
    shop.issue()
    shop.ask(amount_minor=3000)
    shop.later(days=31)
    assert expire_due(core=shop.core) == Expired(vouchers=1, approvals=1)
    before = shop.everything()
    for _ in range(3):
        assert expire_due(core=shop.core) == Expired(vouchers=0, approvals=0)
        shop.later(days=1)
    assert shop.everything() == before


def test_nothing_ends_before_its_time(two_pots: Shop) -> None:
    shop = two_pots
    shop.issue()
    shop.ask(amount_minor=3000)
    before = shop.everything()
    shop.later(days=2, hours=23, minutes=59)
    assert shop.expire() == (0, 0)
    assert shop.everything() == before


def test_only_what_is_due_ends(two_pots: Shop) -> None:
    shop = two_pots
    early = shop.voucher()
    spent = shop.voucher(customer=named())
    shop.redeem(spent.code)
    shop.later(days=5)
    late = shop.voucher()
    shop.later(days=26)
    assert shop.expire() == (1, 0)
    states = {row.id: row.status for row in shop.all(vouchers)}
    assert states == {early.id: "expired", spent.id: "redeemed", late.id: "issued"}
    assert shop.pot("released") == (0, 1000, 1000)
    assert shop.pot("kept") == (0, 1000, 2000)
    shop.check()


def test_a_granted_voucher_expires_from_what_was_granted(two_pots: Shop) -> None:
    shop = two_pots
    asked = shop.ask(amount_minor=3000)
    shop.decide(asked.approval_id, amount_minor=2000)
    shop.later(days=31)
    assert shop.expire() == (1, 0)
    assert shop.pot("released") == (0, 0, 0)
    assert shop.pot("kept") == (0, 0, 2000)
    shop.check()


def test_a_declined_request_does_not_end_again(two_pots: Shop) -> None:
    shop = two_pots
    asked = shop.ask(amount_minor=3000)
    shop.decide(asked.approval_id, "decline")
    shop.later(days=31)
    assert shop.expire() == (0, 0)


def test_a_thing_that_costs_nothing_expires_too(two_pots: Shop) -> None:
    shop = two_pots
    shop.issue(incentive="gift")
    shop.later(days=31)
    assert shop.expire() == (1, 0)
    assert shop.pot("released", "count") == (0, 0, 0)
    assert shop.pot("kept", "count") == (0, 0, 1)
    shop.check()


def test_a_limit_is_free_again_when_what_it_let_pass_lapses(open_shop: OpenShop) -> None:
    shop = open_shop(catalog())
    shop.issue(shop.agent)
    shop.later(days=31)
    shop.expire()
    assert shop.pots() == {}


def test_many_end_a_batch_at_a_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expire, "MOST_AT_ONCE", 4)
    shop.issue_many(*(wish(customer=named()) for _ in range(10)))
    by = moved(shop.agent, location=None)
    shop.issue_many(*(wish(customer=named(), amount_minor=3000) for _ in range(5)), by=by)
    shop.later(days=31)
    assert expire_due(core=shop.core) == Expired(vouchers=4, approvals=4)
    assert shop.expire() == (6, 1)
    assert shop.pots() == {}
    shop.check()


def test_two_currencies_lapse_side_by_side(shop: Shop) -> None:
    shop.issue(moved(shop.manager, location=None), incentive="dollars")
    shop.issue()
    shop.later(days=31)
    assert shop.expire() == (2, 0)
    shop.check()


def test_the_rest_of_a_credit_lapses(two_pots: Shop) -> None:
    shop = two_pots
    shop.redeem(shop.voucher(incentive="credit").code, order_total=Money(700, "GBP"))
    shop.later(days=31)
    assert shop.expire() == (1, 0)
    assert shop.pot("released") == (0, 0, 700)
    assert shop.pot("kept") == (0, 0, 2000)
    assert shop.pot("released", "count") == shop.pot("counted", "count") == (0, 0, 1)
    shop.check()


@pytest.mark.parametrize("on_expiry", ["release", "keep"])
def test_an_issuance_counts_once_though_two_of_its_vouchers_end_in_one_sweep(
    open_shop: OpenShop, on_expiry: str
) -> None:
    small = budget("small", period="none", cap_minor=9000, cap_count=9, on_expiry=on_expiry)
    shop = open_shop(till_catalog(small, voucher={"max_redemptions": 2}))
    voucher = shop.voucher(amount_minor=1000)
    reverse(shop, redeem(shop, voucher.code).id, "new_code")  # a voucher of its own beside the second use
    shop.later(days=60)
    assert shop.expire() == (2, 0)
    kept = on_expiry == "keep"
    assert shop.pot("small") == (0, 0, 2000 if kept else 0)
    assert shop.pot("small", "count") == (0, 0, 1 if kept else 0)
    shop.check()
