"""Requests of several people that share a transaction: each is done in its own name, as if it were alone."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events, ledger_entries
from incentives.deeds.giving import give_all
from incentives.flows import issue, redeem
from incentives.flows.issue import AwaitingApproval, Issued
from incentives.flows.redeem import RedeemVoucher
from incentives.flows.switch import SetSwitch, set_switch
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AlreadyRedeemed,
    BudgetExhausted,
    OtherLocation,
    Refusal,
)
from incentives.kernel.together import AGAIN, Again
from incentives.spending.tables import budget_movements
from incentives.vouchers.tables import issuances, redemption_attempts, redemptions, vouchers
from tests.flows.shop import Shop, budget, catalog, moved, named, wish
from tests.flows.till_shop import other_till

OpenShop = Callable[..., Shop]


def give(shop: Shop, *wishes: tuple[Actor, Any]) -> list[Any]:
    return list(issue._give(shop.core, wishes))


def spend(shop: Shop, *uses: tuple[Actor, RedeemVoucher]) -> list[Any]:
    return list(redeem._redeem_all(shop.core, uses))


def test_each_gift_is_in_the_name_of_its_giver(shop: Shop) -> None:
    given = give(
        shop,
        (shop.manager, wish(customer=named("a@example.com"), channels=("email",))),
        (shop.agent, wish(customer=named("b@example.com"), amount_minor=1000)),
        (shop.agent, wish(customer=named("c@example.com"), amount_minor=3000)),  # over the agent's limit
        (shop.agent, wish(location="leeds")),
    )
    assert [type(each) for each in given] == [Issued, Issued, AwaitingApproval, OtherLocation]
    by = {row.id: row.actor for row in shop.all(issuances)}
    assert [by[each.id] for each in given[:3]] == [shop.manager.label, shop.agent.label, shop.agent.label]
    assert {row.voucher_id: row.actor for row in shop.all(ledger_entries)} == {
        given[0].voucher.id: shop.manager.label,
        given[1].voucher.id: shop.agent.label,
    }
    told = {row.subject_id: row.actor for row in shop.all(audit_events, audit_events.c.subject_kind == "issuance")}
    assert told == {str(each): actor for each, actor in by.items()}
    moved_by = {row.issuance_id: row.actor for row in shop.all(budget_movements)}
    assert moved_by == by
    shop.check()


def test_one_gift_too_many_is_refused_whoever_asks_for_it(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_count=2)))
    givers = (shop.manager, shop.agent, shop.manager, shop.agent)
    wishes = [(by, wish(customer=named(f"n{number}@example.com"))) for number, by in enumerate(givers)]
    given = give(shop, *wishes)
    assert [type(each) for each in given] == [Issued, Issued, BudgetExhausted, BudgetExhausted]
    assert len(shop.all(issuances)) == 2
    shop.check()


def test_where_everything_is_refused_nothing_is_left(shop: Shop) -> None:
    before = shop.everything()
    given = give(shop, (shop.manager, wish(incentive="no-such")), (shop.agent, wish(location="leeds")))
    assert all(isinstance(each, Refusal) for each in given)
    assert shop.everything() == before


def test_whom_a_switch_stops_does_not_stop_the_others(shop: Shop) -> None:
    command = SetSwitch(stops="issuing", scope="team", subject="gates", reason="To be looked at.")
    set_switch(core=shop.core, actor=shop.manager, command=command)
    given = give(shop, (shop.agent, wish()), (shop.supervisor, wish()))
    assert [type(each).__name__ for each in given] == ["IssuingStopped", "Issued"]


def test_nothing_wanted_is_nothing_given(shop: Shop) -> None:
    with shop.core.database.write() as tx:
        assert give_all(tx, shop.core, [], shop.clock.now()) == []


def test_each_use_is_in_the_name_of_its_till(shop: Shop) -> None:
    codes = [shop.voucher(customer=named(f"{name}@example.com")).code for name in "abc"]
    leeds = other_till(shop, location="leeds")
    uses = [
        (shop.till, RedeemVoucher(code=codes[0], idempotency_key="one")),
        (leeds, RedeemVoucher(code=codes[1], idempotency_key="one")),
        (shop.till, RedeemVoucher(code="0000-0000-0000-0")),
        (leeds, RedeemVoucher(code=codes[2], location="london")),
    ]
    done = spend(shop, *uses)
    assert [type(each).__name__ for each in done][:2] == ["Redeemed", "Redeemed"]
    assert isinstance(done[2], Refusal)
    assert isinstance(done[3], OtherLocation)
    spent = {row.voucher_id: (row.actor, row.id) for row in shop.all(redemptions)}
    assert {done[0].voucher_id: (shop.till.label, done[0].id), done[1].voucher_id: (leeds.label, done[1].id)} == spent
    attempts = [(row.actor, row.outcome) for row in shop.all(redemption_attempts)]
    assert sorted(attempts) == sorted(
        [
            (shop.till.label, "redeemed"),
            (leeds.label, "redeemed"),
            (shop.till.label, done[2].slug),
            (leeds.label, "other-location"),
        ]
    )
    entries = shop.all(ledger_entries, ledger_entries.c.kind == "voucher-redeemed")
    assert {row.source_id: row.actor for row in entries} == {done[0].id: shop.till.label, done[1].id: leeds.label}
    shop.check()
    again = spend(shop, *uses[:2])
    assert [(each.id, each.replayed) for each in again] == [(done[0].id, True), (done[1].id, True)]
    assert isinstance(spend(shop, (leeds, RedeemVoucher(code=codes[0])))[0], AlreadyRedeemed)


def test_one_voucher_is_not_spent_twice_by_its_code_and_its_token(shop: Shop) -> None:
    voucher = shop.voucher()
    uses = [
        (shop.till, RedeemVoucher(code=voucher.code, idempotency_key="by-code")),
        (shop.till, RedeemVoucher(token=voucher.token, idempotency_key="by-token")),
    ]
    first, second = spend(shop, *uses)
    assert not isinstance(first, Refusal | Again)
    assert second is AGAIN
    assert [row.status for row in shop.all(vouchers)] == ["redeemed"]
    assert isinstance(spend(shop, uses[1])[0], AlreadyRedeemed)  # Its key was let go: it is asked anew.
    assert len(shop.all(redemptions)) == 1
    shop.check()


def test_two_uses_of_one_voucher_follow_each_other(open_shop: OpenShop) -> None:
    shop = open_shop()
    code = shop.voucher().code
    together = redeem._names((shop.till, RedeemVoucher(code=code, idempotency_key="a")))
    other = redeem._names((moved(shop.till, location=None), RedeemVoucher(code=code, idempotency_key="b")))
    assert set(together) & set(other) == {("code", code)}


@pytest.mark.parametrize("most", [1, 3])
def test_statements_are_as_many_for_several_as_for_one(shop: Shop, most: int) -> None:
    """Whoever waits for a busy budget waits for one transaction, however many it carries."""
    if shop.core.database.sqlite:
        return  # There nothing is sent anywhere.
    give(shop, *((shop.manager, wish(customer=named("warm@example.com"))) for _ in range(1)))
    counted: list[str] = []

    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted.append(statement)

    sa.event.listen(shop.core.database.engine, "before_cursor_execute", count)
    try:
        give(shop, *((shop.manager, wish(customer=named(f"n{each}@example.com"))) for each in range(most)))
    finally:
        sa.event.remove(shop.core.database.engine, "before_cursor_execute", count)
    assert len(counted) <= 10, counted
