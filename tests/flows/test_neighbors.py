"""Requests that share a transaction are strangers to each other: what becomes of one is nobody else's business."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.deeds import reviewing
from incentives.flows import issue, redeem
from incentives.flows.issue import Issued, IssueVoucher
from incentives.flows.redeem import RedeemVoucher
from incentives.kernel.actors import Actor
from incentives.kernel.errors import CustomerCapReached, NotCombinable, StepUpRequired
from incentives.kernel.together import NotTogetherError, Together
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import customer_identities, customers
from incentives.spending.tables import budget_periods
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, redemptions, vouchers
from tests.flows.guarded import suspicious
from tests.flows.shop import PHONE, Shop, budget, catalog, moved, named, wish
from tests.flows.till_shop import till_catalog

OpenShop = Callable[..., Shop]
Wish = tuple[Actor, IssueVoucher]


def at_once(shop: Shop, *wishes: Wish) -> list[Any]:
    """Let requests meet, and return what each of them hears."""
    together: Together[Wish, Any] = Together(
        lambda some, shared: issue._give(shop.core, some, shared=shared), issue._names
    )
    return told(together, wishes)


def told(together: Together[Any, Any], items: Any) -> list[Any]:
    """Return the answer to each of those that go together, each tried alone where they cannot."""
    answers = together._answer_all(items)

    def alone(item: Any) -> Any:
        try:
            return together._run([item], False)[0]
        except Exception as error:  # noqa: BLE001 - what the thread that asked would hear
            return error

    with ThreadPoolExecutor(len(items)) as pool:
        again = {
            place: pool.submit(alone, items[place])
            for place, answer in enumerate(answers)
            if type(answer).__name__ == "Again"
        }
        return [again[place].result() if place in again else answer for place, answer in enumerate(answers)]


def test_who_is_refused_takes_no_neighbor_along(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("each", scope="customer", cap_count=1)))
    shop.issue(customer=named("one@example.com"))
    capped = (shop.agent, wish(customer=named("one@example.com", phone=PHONE), amount_minor=1000))
    stranger = (shop.manager, wish(customer=named(phone=PHONE)))
    with pytest.raises(NotTogetherError):
        issue._give(shop.core, [capped, stranger])
    assert [type(each) for each in at_once(shop, capped, stranger)] == [CustomerCapReached, Issued]
    assert len(shop.all(customers)) == 2


def test_a_refused_request_makes_nobody_one_with_anybody(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("each", scope="customer", cap_count=2)))
    for customer in (named("one@example.com"), named("one@example.com"), named(phone=PHONE)):
        shop.issue(customer=customer)
    before = {row.id: row.group_id for row in shop.all(customers)}
    both = (shop.manager, wish(customer=named("one@example.com", phone=PHONE)))
    other = (shop.manager, wish(customer=named("two@example.com")))
    first, second = at_once(shop, both, other)
    assert isinstance(first, CustomerCapReached)
    assert isinstance(second, Issued)
    after = {row.id: row.group_id for row in shop.all(customers)}
    assert {each: after[each] for each in before} == before


def test_what_a_refused_request_said_of_a_customer_is_not_kept(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("gates", scope="team", cap_count=1)))
    shop.issue(shop.agent, amount_minor=1000, customer=CustomerGiven())
    mallory = CustomerGiven(name="Mallory", email="m@example.com", phone=PHONE)
    refused = (shop.agent, wish(customer=mallory, amount_minor=1000))
    given = (shop.manager, wish(customer=named(phone=PHONE)))
    assert type(at_once(shop, refused, given)[1]) is Issued
    profiles = [shop.core.contacts.decrypt(row.profile) for row in shop.all(customers)]
    assert not [each for each in profiles if each and "Mallory" in each]
    assert {row.kind for row in shop.all(customer_identities)} == {"phone"}


def test_an_order_takes_one_of_a_group_however_its_vouchers_come(open_shop: OpenShop) -> None:
    group = {"exclusive_group": "meals"}
    shop = open_shop(till_catalog(voucher=group, fixed=group))
    codes = [shop.voucher(incentive=each).code for each in ("voucher", "fixed")]
    uses = [(shop.till, RedeemVoucher(code=code, order_ref="T-1")) for code in codes]
    together: Together[Any, Any] = Together(
        lambda some, shared: redeem._redeem_all(shop.core, some, shared=shared), redeem._names
    )
    assert [type(each).__name__ for each in told(together, uses)] == ["Redeemed", NotCombinable.__name__]
    assert len(shop.all(redemptions)) == 1


def test_what_goes_wrong_after_the_gifts_is_told_to_whom_it_is_about(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: Any, **__: Any) -> None:
        raise RuntimeError("the review could not be written")

    monkeypatch.setattr(reviewing, "left_of", lambda _: [{}])
    monkeypatch.setattr(reviewing, "remember", stumble)
    wishes = [(shop.manager, wish(customer=named("a@example.com"))), (shop.manager, wish(incentive="no-such"))]
    given, refused = at_once(shop, *wishes)
    assert isinstance(given, Issued)
    assert isinstance(refused, RuntimeError)
    assert len(shop.all(issuances)) == 1


def test_a_use_that_is_tried_again_is_counted_once(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = open_shop(suspicious(redemptions_per_till={"count": 3, "minutes": 60, "action": "step_up"}))
    codes = [shop.voucher(customer=named(f"q{number}@example.com")).code for number in range(4)]
    real, asked = lifecycle.redeem_all, []

    def changed_meanwhile(*arguments: Any) -> dict[Any, int]:
        asked.append(arguments)
        return {} if len(asked) == 1 else real(*arguments)

    monkeypatch.setattr(lifecycle, "redeem_all", changed_meanwhile)
    done = redeem._redeem_all(shop.core, [(shop.till, RedeemVoucher(code=code)) for code in codes])
    assert [type(each).__name__ for each in done] == ["Redeemed"] * 3 + [StepUpRequired.__name__]


def test_a_network_is_counted_whoever_sits_in_it(open_shop: OpenShop) -> None:
    shop = open_shop(suspicious(issues_per_ip_block={"count": 2, "minutes": 60, "action": "block"}))
    here = [moved(shop.manager, ip="203.0.113.5"), moved(shop.agent, ip="203.0.113.9")]
    given = at_once(shop, *((here[number % 2], wish(customer=named(f"n{number}@example.com"))) for number in range(4)))
    assert [type(each).__name__ for each in given] == ["Issued", "Issued", *["BlockedBySafeguards"] * 2]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_lock_that_does_not_come_holds_up_its_own_request_alone(shop: Shop) -> None:
    held, *free = [shop.voucher(customer=named(f"a{number}@example.com")) for number in range(4)]
    together: Together[Any, Any] = Together(
        lambda some, shared: redeem._redeem_all(shop.core, some, shared=shared), redeem._names
    )
    asked_at, answered = time.monotonic(), {}

    def use(voucher: Any) -> None:
        together.submit((shop.till, RedeemVoucher(code=voucher.code)))
        answered[voucher.id] = time.monotonic() - asked_at

    with ThreadPoolExecutor(4) as pool:
        with shop.core.database.engine.begin() as tx:
            tx.execute(sa.select(vouchers).where(vouchers.c.id == held.id).with_for_update())
            tries = [pool.submit(use, voucher) for voucher in (held, *free)]
            for each in tries[1:]:
                each.result(8)
            assert held.id not in answered
        tries[0].result(8)
    # Once it waited for the lock together, a second at most; then each went alone.
    assert max(answered[voucher.id] for voucher in free) < 5
    assert len(shop.all(redemptions)) == 4


@pytest.mark.parametrize("backend", ["postgresql"])
def test_an_error_of_the_database_quotes_no_row(shop: Shop) -> None:
    with pytest.raises(sa.exc.DBAPIError) as caught:
        issue._give(shop.core, [(shop.manager, wish(order_ref="T-1", metadata={"secret": "Mallory", "n": "a\x00b"}))])
    assert "Mallory" not in str(caught.value)
    assert "unsupported Unicode" in str(caught.value)
    assert shop.all(budget_periods) == []
