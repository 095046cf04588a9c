"""Issuing in numbers: one transaction, an answer each, and a refused command leaves nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from incentives.flows.issue import AwaitingApproval, Issued
from incentives.kernel.errors import (
    BudgetExhausted,
    CaseNotFound,
    CustomerCapReached,
    EmailInvalid,
    IdempotencyKeyReused,
    InputInvalid,
    NoBudget,
    UnknownIncentive,
)
from incentives.kernel.idempotency import idempotency_keys
from incentives.recovery.tables import customer_identities, customers, recovery_cases
from incentives.spending.tables import budget_periods
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.shop import PHONE, Shop, budget, catalog, moved, named, wish

OpenShop = Callable[..., Shop]


def ana(number: int = 1, **more: Any) -> Any:
    return named(f"ana{number}@example.com", **more)


def test_nothing_to_do_is_done(shop: Shop) -> None:
    before = shop.everything()
    assert shop.issue_many() == []
    assert shop.everything() == before


def test_each_command_gets_its_own_answer_in_order(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("fixed-pot", "incentive", of="fixed", cap_count=1)))
    answers = shop.issue_many(
        wish(customer=ana(1), channels=("email",)),
        wish(incentive="no-such"),
        wish(customer=ana(2), incentive="fixed"),
        wish(customer=named("not an address")),
        wish(customer=ana(3), amount_minor=3000),  # over the agent's limit
        wish(customer=ana(4), incentive="fixed"),  # the pot has room for one
        wish(customer=ana(5), incentive="euros"),
        wish(customer=ana(6), case_id=shop.core.ids.new(shop.clock.now())),
        wish(customer=ana(7), incentive="sorry"),
        by=moved(shop.agent, location=None),
    )
    assert [type(each) for each in answers] == [
        Issued,
        UnknownIncentive,
        Issued,
        EmailInvalid,
        AwaitingApproval,
        BudgetExhausted,
        NoBudget,
        CaseNotFound,
        Issued,
    ]
    assert [row.incentive for row in shop.all(issuances)] == ["voucher", "fixed", "voucher", "sorry"]
    assert len(shop.all(vouchers)) == 2
    # Customers 1, 2, 3 and 7: those of refused commands are not kept.
    assert len(shop.all(customers)) == len(shop.all(customer_identities)) == len(shop.all(recovery_cases)) == 4
    assert shop.pot("all-gbp") == (3000, 1700, 0)
    shop.check()


def test_two_commands_that_together_exceed_a_budget(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=2500)))
    first, second, third = shop.issue_many(
        wish(customer=ana(1), amount_minor=1500),
        wish(customer=ana(2), amount_minor=1500),
        wish(customer=ana(3), amount_minor=1000),
    )
    assert isinstance(first, Issued)
    assert isinstance(second, BudgetExhausted)
    assert second.facts == {"budget": "pot", "scope": "organization"}
    assert isinstance(third, Issued)  # it fits into what the second was refused
    assert shop.pot("pot") == (0, 2500, 0)
    shop.check()


def test_one_customer_in_one_sequence_is_one_customer(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("each", "customer", cap_count=2)))
    answers = shop.issue_many(
        wish(customer=named("Ana.Lopez@example.com")),
        wish(customer=named("analopez+hotel@EXAMPLE.com", phone=PHONE)),
        wish(customer=named(phone="+44 (0)20 7946-0018")),
    )
    assert [type(each) for each in answers] == [Issued, Issued, CustomerCapReached]
    assert len(shop.all(customers)) == 1
    assert shop.pot("each", "count") == (0, 2, 0)


def test_the_second_that_is_over_the_daily_limit_is_asked_for(shop: Shop) -> None:
    answers = shop.issue_many(*(wish(customer=ana(number), amount_minor=2000) for number in range(6)), by=shop.agent)
    assert [each.status for each in answers] == ["issued"] * 5 + ["pending_approval"]
    assert answers[5].reasons == ("over-daily-limit",)
    shop.check()


def test_a_refused_command_leaves_no_pots(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=1500), budget("each", "customer", cap_count=9)))
    before = shop.everything()
    assert [type(each) for each in shop.issue_many(wish(amount_minor=2000), wish(amount_minor=2500))] == [
        BudgetExhausted
    ] * 2
    assert shop.everything() == before
    shop.issue_many(wish(customer=ana(1), amount_minor=1000), wish(customer=ana(2), amount_minor=1000))
    assert sorted(row.budget for row in shop.all(budget_periods)) == ["all-gbp", "each", "pot"]
    assert [row.subject for row in shop.all(budget_periods) if row.budget == "each"] == [str(shop.one(customers).id)]


def test_a_refused_command_tells_nothing_new_about_a_customer(shop: Shop) -> None:
    shop.issue(customer=ana(1))
    before = shop.everything()
    # The phone would have become Ana's, had the command been carried out.
    (refused,) = shop.issue_many(wish(customer=ana(1, phone=PHONE), incentive="euros"))
    assert isinstance(refused, NoBudget)
    assert shop.everything() == before


def test_what_a_neighbor_tells_about_a_customer_stays(shop: Shop) -> None:
    given, refused, also = shop.issue_many(
        wish(customer=ana(1)),
        wish(customer=ana(1, phone=PHONE, external_ref="C-9"), incentive="euros"),
        wish(customer=ana(1, external_ref="C-9")),
    )
    assert [type(given), type(refused), type(also)] == [Issued, NoBudget, Issued]
    assert sorted(row.kind for row in shop.all(customer_identities)) == ["email", "reference"]
    shop.issue(customer=named(phone=PHONE))
    assert len(shop.all(customers)) == 2


# --- keys --------------------------------------------------------------------------------------------------------


def test_keys_of_refused_commands_can_be_used_again(shop: Shop) -> None:
    shop.issue_many(
        wish(idempotency_key="a"), wish(idempotency_key="b", incentive="no-such"), wish(idempotency_key="c")
    )
    assert [row.key for row in shop.all(idempotency_keys)] == ["a", "c"]
    again = shop.issue_many(
        wish(idempotency_key="a"), wish(idempotency_key="b"), wish(idempotency_key="c", incentive="fixed")
    )
    assert again[0].replayed
    assert not again[1].replayed
    assert isinstance(again[2], IdempotencyKeyReused)
    assert len(shop.all(issuances)) == 3


def test_a_key_twice_in_one_sequence_is_carried_out_once(shop: Shop) -> None:
    first, second, third = shop.issue_many(
        wish(idempotency_key="k"), wish(idempotency_key="k"), wish(idempotency_key="k", incentive="fixed")
    )
    assert isinstance(first, Issued)
    for each in (second, third):
        assert isinstance(each, InputInvalid)
        assert each.facts["errors"][0]["field"] == "Idempotency-Key"
    assert len(shop.all(issuances)) == 1
    # And the key stands for the one that was carried out.
    again = shop.issue(idempotency_key="k")
    assert again.replayed
    assert again.voucher == first.voucher
    with pytest.raises(IdempotencyKeyReused):
        shop.issue(idempotency_key="k", incentive="fixed")


def test_a_key_twice_whose_first_command_is_refused(shop: Shop) -> None:
    first, second = shop.issue_many(wish(idempotency_key="k", incentive="no-such"), wish(idempotency_key="k"))
    assert isinstance(first, UnknownIncentive)
    assert isinstance(second, InputInvalid)
    assert shop.all(idempotency_keys) == []
    assert not shop.issue(idempotency_key="k").replayed


def test_a_key_of_an_earlier_day_twice_in_one_sequence(shop: Shop) -> None:
    shop.issue(idempotency_key="k")
    first, second = shop.issue_many(wish(idempotency_key="k"), wish(idempotency_key="k", incentive="fixed"))
    assert first.replayed
    assert isinstance(second, InputInvalid)
    assert len(shop.all(issuances)) == 1


def test_fifty_at_once_are_fifty(shop: Shop) -> None:
    answers = shop.issue_many(
        *(wish(customer=ana(number), channels=("email",), idempotency_key=str(number)) for number in range(50))
    )
    assert len({each.voucher.code for each in answers}) == 50
    assert shop.pot("all-gbp") == (0, 50000, 0)
    assert shop.count()["outbox_messages"] == 50
    shop.check()
