"""Approving: a second person grants, lowers or declines, once; the budget has held the amount meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from incentives.books.tables import audit_events, ledger_entries
from incentives.deeds.deciding import APPROVAL_LIFETIME
from incentives.kernel.errors import (
    ApprovalAlreadyDecided,
    ApprovalAmountInvalid,
    ApprovalExpired,
    ApprovalNotFound,
    ApproverLimitExceeded,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    SelfApproval,
)
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries.approvals import count_pending, list_approvals, one_approval
from incentives.queries.issuances import one_issuance
from incentives.spending.tables import approvals, budget_movements
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.shop import EMAIL, Shop, budget, catalog, moved, named
from tests.world import START, actor, publish_catalog

OpenShop = Callable[..., Shop]


def test_a_granted_request_becomes_a_voucher(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000, channels=("email",), order_ref="BA1")
    shop.later(hours=1)
    decided = shop.decide(asked.approval_id, comment="Of course.")
    assert (decided.approval_id, decided.issuance_id, decided.status) == (asked.approval_id, asked.id, "granted")
    issued = decided.issued
    assert issued is not None
    assert issued.voucher is not None
    assert (issued.id, issued.case_id) == (asked.id, asked.case_id)
    assert issued.voucher.amount == Money(3000, "GBP")
    # The thirty days begin with the decision.
    assert issued.voucher.expires_at == datetime(2026, 12, 20, 23, 59, 59, 999999, tzinfo=UTC)
    row, approval = shop.one(issuances), shop.one(approvals)
    assert (row.status, row.issued_at, row.amount_minor) == ("issued", START + timedelta(hours=1), 3000)
    assert (approval.status, approval.decided_by, approval.granted_amount_minor) == (
        "granted",
        shop.manager.label,
        3000,
    )
    assert (approval.decided_at, approval.comment) == (START + timedelta(hours=1), "Of course.")
    assert shop.pots() == {("all-gbp", "organization"): (0, 3000, 0)}
    assert shop.pot("all-gbp", "count") == (0, 1, 0)
    assert [row.kind for row in shop.all(budget_movements)] == ["hold", "grant"]
    assert shop.balances() == {"recovery-expense": 3000, "voucher-liability": -3000}
    assert [(each.channel, each.status) for each in issued.deliveries] == [("email", "queued")]
    event = shop.one(audit_events, audit_events.c.action == "approval.granted")
    assert (event.actor, event.reason, event.case_id) == (shop.manager.label, "Of course.", asked.case_id)
    assert event.facts["requested_by"] == shop.agent.label
    shop.check()


def test_the_granted_voucher_is_delivered_and_can_be_spent(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000, channels=("email",))
    assert shop.deliver() == []
    decided = shop.decide(asked.approval_id)
    assert shop.deliver() == ["captured"]
    code = shop.sender().letters[0].code
    assert decided.issued is not None
    assert decided.issued.voucher is not None
    assert code == decided.issued.voucher.code
    assert shop.redeem(code).amount == Money(3000, "GBP")
    shop.check()


def test_a_later_day_counts_from_the_decision_where_it_is_given(shop: Shop) -> None:
    asked = shop.ask(moved(shop.agent, location="new-york"), incentive="dollars")
    shop.later(days=2, hours=15)
    issued = shop.decide(asked.approval_id).issued
    assert issued is not None
    assert issued.voucher is not None
    # 23 November, 3:00 UTC, is 22 November in New York.
    assert issued.voucher.expires_at == datetime(2026, 12, 23, 4, 59, 59, 999999, tzinfo=UTC)
    assert shop.one(vouchers).time_zone == "America/New_York"


def test_a_lower_grant_frees_the_rest(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=3000)))
    asked = shop.ask(amount_minor=3000)
    decided = shop.decide(asked.approval_id, amount_minor=2000)
    assert decided.issued is not None
    assert decided.issued.voucher is not None
    assert decided.issued.voucher.amount == Money(2000, "GBP")
    assert shop.pot("pot") == (0, 2000, 0)
    assert shop.one(issuances).amount_minor == 2000
    assert shop.balances()["voucher-liability"] == -2000
    shop.issue(amount_minor=1000)
    shop.check()


@pytest.mark.parametrize("amount_minor", [3001, 499, 0, -1, 2**63])
def test_a_grant_is_never_raised_nor_below_what_the_incentive_allows(shop: Shop, amount_minor: int) -> None:
    asked = shop.ask(amount_minor=3000)
    found = shop.refused(ApprovalAmountInvalid, shop.decide, asked.approval_id, amount_minor=amount_minor)
    assert found.facts == {"field": "amount_minor", "least_minor": 500, "most_minor": 3000}
    shop.decide(asked.approval_id, amount_minor=500)


@pytest.mark.parametrize(("incentive", "fixed_minor"), [("percent", 3000), ("dollars", 1000)])
def test_a_fixed_value_cannot_be_lowered(shop: Shop, incentive: str, fixed_minor: int) -> None:
    asked = shop.ask(moved(shop.agent, location=None), incentive=incentive)
    shop.refused(ApprovalAmountInvalid, shop.decide, asked.approval_id, amount_minor=fixed_minor - 1)
    shop.decide(asked.approval_id, amount_minor=fixed_minor)  # naming the same value lowers nothing


def test_a_declined_request_gives_everything_back(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000, channels=("email",))
    decided = shop.decide(asked.approval_id, "decline", comment="Not this time.", amount_minor=10)
    assert (decided.status, decided.issued) == ("declined", None)
    assert shop.pots() == {}
    assert shop.one(issuances).status == "declined"
    approval = shop.one(approvals)
    assert (approval.status, approval.comment, approval.granted_amount_minor) == ("declined", "Not this time.", None)
    assert shop.all(vouchers) == shop.all(outbox_messages) == shop.all(ledger_entries) == []
    assert [row.kind for row in shop.all(budget_movements)] == ["hold", "release"]
    event = shop.one(audit_events, audit_events.c.action == "approval.declined")
    assert event.reason == "Not this time."
    shop.check()


@pytest.mark.parametrize(
    ("first", "second"), [("grant", "grant"), ("grant", "decline"), ("decline", "grant"), ("decline", "decline")]
)
def test_a_request_is_decided_once(shop: Shop, first: str, second: str) -> None:
    asked = shop.ask(amount_minor=3000)
    shop.decide(asked.approval_id, first)
    other = actor(shop.core, "manager")
    found = shop.refused(ApprovalAlreadyDecided, shop.decide, asked.approval_id, second, other)
    assert found.facts["decided_at"] == START.isoformat()


def test_nobody_decides_their_own_request(shop: Shop) -> None:
    asked = shop.ask(shop.supervisor, amount_minor=5000)
    for decision in ("grant", "decline"):
        shop.refused(SelfApproval, shop.decide, asked.approval_id, decision, shop.supervisor)
    own = moved(shop.supervisor, role="manager")  # a promotion does not help
    shop.refused(SelfApproval, shop.decide, asked.approval_id, "grant", own)
    shop.decide(asked.approval_id)


def test_a_request_expires_and_is_not_decided_then(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000)
    shop.clock.advance(APPROVAL_LIFETIME - timedelta(microseconds=1))
    assert count_pending(core=shop.core, actor=shop.manager) == 1
    shop.clock.advance(timedelta(microseconds=1))
    for decision in ("grant", "decline"):
        shop.refused(ApprovalExpired, shop.decide, asked.approval_id, decision)
    assert count_pending(core=shop.core, actor=shop.manager) == 0
    shop.expire()
    shop.refused(ApprovalExpired, shop.decide, asked.approval_id)


def test_at_the_last_instant_it_can_still_be_granted(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000)
    shop.clock.advance(APPROVAL_LIFETIME - timedelta(microseconds=1))
    assert shop.decide(asked.approval_id).status == "granted"


def test_an_approver_gives_no_more_than_they_may_give_themselves(shop: Shop) -> None:
    asked = shop.ask(amount_minor=4500)
    found = shop.refused(ApproverLimitExceeded, shop.decide, asked.approval_id, "grant", shop.supervisor)
    assert found.facts == {"field": "amount_minor", "most_minor": 4000, "currency": "GBP"}
    shop.refused(ApproverLimitExceeded, shop.decide, asked.approval_id, "grant", shop.supervisor, amount_minor=4001)
    assert shop.decide(asked.approval_id, "grant", shop.supervisor, amount_minor=4000).status == "granted"


def test_an_approver_without_any_limit_grants_nothing(shop: Shop) -> None:
    asked = shop.ask(moved(shop.agent, location=None), incentive="dollars")
    found = shop.refused(ApproverLimitExceeded, shop.decide, asked.approval_id, "grant", shop.supervisor)
    assert found.facts["most_minor"] == 0
    # Saying no needs no limit.
    shop.decide(asked.approval_id, "decline", shop.supervisor)


def test_an_unknown_request_or_decision_is_refused(shop: Shop) -> None:
    shop.refused(ApprovalNotFound, shop.decide, UUID(int=7))
    asked = shop.ask(amount_minor=3000)
    for decision in ("approve", "", "GRANT"):
        found = shop.refused(InputInvalid, shop.decide, asked.approval_id, decision)
        assert found.facts["errors"][0]["field"] == "decision"


@pytest.mark.parametrize("role", ["frontline", "till", "auditor", "integrator"])
def test_who_may_not_decide_is_refused(shop: Shop, role: str) -> None:
    asked = shop.ask(amount_minor=3000)
    shop.refused(NotPermitted, shop.decide, asked.approval_id, "grant", actor(shop.core, role))


# --- the same key ------------------------------------------------------------------------------------------------


def test_a_decision_with_the_same_key_is_replayed(shop: Shop) -> None:
    granted, declined = shop.ask(amount_minor=3000, channels=("email",)), shop.ask(amount_minor=3500)
    first = shop.decide(granted.approval_id, amount_minor=2500, idempotency_key="g")
    shop.decide(declined.approval_id, "decline", idempotency_key="d")
    before = shop.everything()
    again = shop.decide(granted.approval_id, amount_minor=2500, idempotency_key="g")
    assert again.replayed
    assert again.issued is not None
    assert first.issued is not None
    assert (again.status, again.issued.voucher, again.issued.deliveries) == (
        "granted", first.issued.voucher, first.issued.deliveries,
    )  # fmt: skip
    no = shop.decide(declined.approval_id, "decline", idempotency_key="d")
    assert (no.status, no.issued, no.replayed) == ("declined", None, True)
    assert shop.everything() == before


def test_a_decision_s_key_stands_for_that_decision_alone(shop: Shop) -> None:
    one, two = shop.ask(amount_minor=3000), shop.ask(amount_minor=3000)
    shop.decide(one.approval_id, idempotency_key="k")
    shop.refused(IdempotencyKeyReused, shop.decide, two.approval_id, idempotency_key="k")
    shop.refused(IdempotencyKeyReused, shop.decide, one.approval_id, "decline", idempotency_key="k")
    shop.refused(IdempotencyKeyReused, shop.decide, one.approval_id, amount_minor=2500, idempotency_key="k")
    other = actor(shop.core, "manager")
    shop.refused(ApprovalAlreadyDecided, shop.decide, one.approval_id, "grant", other, idempotency_key="k")
    shop.decide(two.approval_id, "grant", other, idempotency_key="k")


def test_a_key_is_not_used_up_by_a_refusal(shop: Shop) -> None:
    asked = shop.ask(amount_minor=4500)
    shop.refused(ApproverLimitExceeded, shop.decide, asked.approval_id, "grant", shop.supervisor, idempotency_key="k")
    decided = shop.decide(asked.approval_id, "grant", shop.supervisor, amount_minor=4000, idempotency_key="k")
    assert not decided.replayed


# --- what changes meanwhile --------------------------------------------------------------------------------------


def test_what_was_asked_for_is_granted_as_it_was_approved_then(shop: Shop) -> None:
    """A voucher pins the version of its incentive: a new price, or its end, does not reach back."""
    asked = shop.ask(incentive="percent")
    pinned = shop.one(issuances).incentive_item_id
    text = (
        catalog()
        .replace('"percent":15', '"percent":25')
        .replace('"max_discount_minor":3000', '"max_discount_minor":5000')
    )
    assert text != catalog()
    publish_catalog(shop.core, text)
    shop.decide(asked.approval_id)
    assert shop.one(vouchers).incentive_item_id == pinned
    assert shop.one(vouchers).amount_minor == 3000
    shop.check()


def test_the_queue_shows_an_approver_what_to_decide_on(shop: Shop) -> None:
    earlier = shop.issue(customer=named(EMAIL))
    shop.later(days=1)
    asked = shop.ask(amount_minor=3000, note="She missed her wedding.", location="london", order_ref="BA1")
    elsewhere = moved(shop.supervisor, location="new-york")
    fixed = shop.ask(elsewhere, incentive="dollars")
    # Who belongs to one place sees what is asked for there; who belongs to none sees all of it.
    assert [each.id for each in list_approvals(core=shop.core, actor=shop.supervisor).items] == [asked.approval_id]
    everywhere = moved(shop.supervisor, location=None)
    (second, first) = list_approvals(core=shop.core, actor=everywhere).items
    assert (first.id, second.id, first.own, second.own) == (asked.approval_id, fixed.approval_id, False, True)
    assert (first.amount, first.least_minor, first.reasons) == (Money(3000, "GBP"), 500, ("over-voucher-limit",))
    assert (second.amount, second.least_minor) == (Money(1000, "USD"), 1000)
    assert (first.note, first.location, first.order_ref) == ("She missed her wedding.", "london", "BA1")
    assert [each.issuance_id for each in first.earlier_recoveries] == [fixed.id, earlier.id]
    assert count_pending(core=shop.core, actor=shop.supervisor) == 1
    shop.decide(asked.approval_id, comment="Yes.", amount_minor=2000)
    done = one_approval(core=shop.core, actor=shop.supervisor, approval_id=asked.approval_id)
    assert (done.status, done.granted, done.comment) == ("granted", Money(2000, "GBP"), "Yes.")
    now = one_issuance(core=shop.core, actor=shop.agent, issuance_id=asked.id)
    assert now.voucher is not None
    assert now.approval is not None
    assert (now.status, now.amount, now.voucher.status, now.approval.status) == (
        "issued", Money(2000, "GBP"), "issued", "granted",
    )  # fmt: skip
