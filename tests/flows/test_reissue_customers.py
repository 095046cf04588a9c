"""Whose caps hold what was given, when the address changes: those of who has it, for all of it, and nobody else's."""

from collections.abc import Callable
from dataclasses import replace

from incentives.books.tables import audit_events
from incentives.flows.issue import IssuedVoucher, issue_voucher
from incentives.kernel.errors import CustomerCapReached
from incentives.kernel.money import Money
from incentives.recovery.customers import CustomerGiven
from tests.flows.aftercare import Care
from tests.flows.shop import ANA, EMAIL, LIMITS, Shop, budget, catalog, named, wish
from tests.flows.till_shop import redeem, reverse, till_catalog
from tests.machines.agreement import balances_of, disagreements, pots_of
from tests.machines.recount import Recount

OpenShop = Callable[..., Shop]
TYPO, RIGHT = named("typo@example.com"), named("right@example.com")
CAP = budget("cap", "customer", cap_minor=3000, cap_count=2)


def _of_each(shop: Shop, unit: str = "minor") -> list[tuple[int, int, int]]:
    """Return what each customer's pot has, the oldest customer first; those of nothing are left out."""
    return [pot for name, pot in sorted(shop.pots(unit).items()) if name[0] == "cap"]


def _agrees(shop: Shop, text: str) -> None:
    """Look that the books prove, and that the model counts the same from the audit trail alone."""
    shop.check()
    model = Recount(text)
    model.tell(dict(row._mapping) for row in shop.all(audit_events))
    assert disagreements(model, pots_of(shop.core), balances_of(shop.core)) == []


def _has_siblings(shop: Shop) -> tuple[IssuedVoucher, IssuedVoucher]:
    """Return two vouchers of one issuance to Ana: one of two uses, and a new code for the third, which was undone."""
    voucher = shop.voucher(amount_minor=1000, channels=("email",))
    undone = reverse(shop, redeem(shop, voucher.code).id, "new_code", by=shop.manager)
    assert undone.voucher is not None
    shop.deliver()
    (letter,) = (each for each in shop.sender().letters if each.code != voucher.code)
    assert letter.code is not None
    return voucher, replace(voucher, id=undone.voucher.id, code=letter.code)


def test_a_stranger_is_charged_for_all_that_goes_to_their_address(open_shop: OpenShop) -> None:
    text = till_catalog(CAP, voucher={"max_redemptions": 3, "reversal_days": 40})
    shop = open_shop(text)
    desk = Care(shop)
    _, new = _has_siblings(shop)
    shop.voucher(amount_minor=500, customer=RIGHT)  # three uses: 1500 of 3000
    refusal = shop.refused(CustomerCapReached, desk.reissue, new.id, customer=RIGHT)
    assert refusal.facts == {"budget": "cap", "scope": "customer"}
    done = desk.reissue(new.id, customer=TYPO)
    # Who had it before may still have the code of the other one.
    assert sorted(_of_each(shop)) == [(0, 1500, 0), (0, 3000, 0), (0, 3000, 0)]
    event = shop.one(audit_events, audit_events.c.action == "voucher.reissued")
    assert [each[0] for each in event.facts["charged"]] == ["cap"]
    assert "released" not in event.facts
    _agrees(shop, text)
    redeem(shop, done.voucher.code)
    _agrees(shop, text)


def test_who_had_it_by_a_mistake_is_charged_no_longer(open_shop: OpenShop) -> None:
    text = catalog(CAP, limits=[{**LIMITS[1], "role": "manager", "per_customer_minor": 3000}])
    shop = open_shop(text)
    desk = Care(shop)
    voucher = shop.voucher(amount_minor=2000, customer=TYPO, channels=("email",))
    new = desk.reissue(voucher.id, customer=RIGHT).voucher
    assert (_of_each(shop), _of_each(shop, "count")) == ([(0, 2000, 0)], [(0, 1, 0)])
    assert [pot[1] for name, pot in shop.pots().items() if name[0].endswith("/month")] == [2000]
    event = shop.one(audit_events, audit_events.c.action == "voucher.reissued")
    assert sorted(each[0] for each in event.facts["released"]) == ["cap", "role:manager:GBP/month"]
    _agrees(shop, text)
    shop.voucher(amount_minor=3000, customer=TYPO)  # all of it is theirs again
    back = desk.reissue(new.id, customer=CustomerGiven(email="other@example.com")).voucher
    again = desk.reissue(back.id, customer=RIGHT).voucher
    assert sorted(_of_each(shop)) == [(0, 2000, 0), (0, 3000, 0)]
    _agrees(shop, text)
    desk.adjust(again.id, 2500)  # nor is the stranger in the way of a raise
    assert sorted(_of_each(shop)) == [(0, 2500, 0), (0, 3000, 0)]
    redeem(shop, again.code)
    _agrees(shop, text)
    shop.deliver()
    shop.later(days=31)
    shop.expire()
    _agrees(shop, text)


def test_who_spent_a_part_of_it_stays_charged(open_shop: OpenShop) -> None:
    text = catalog(CAP)
    shop = open_shop(text)
    voucher = shop.voucher(incentive="credit", amount_minor=2000, channels=("email",))
    rest = redeem(shop, voucher.code, order_total=Money(700, "GBP")).remainder
    assert rest is not None
    new = Care(shop).reissue(rest.id, customer=RIGHT).voucher
    assert sorted(_of_each(shop)) == [(0, 1300, 0), (0, 1300, 700)]
    assert sorted(_of_each(shop, "count")) == [(0, 0, 1), (0, 1, 0)]
    _agrees(shop, text)
    redeem(shop, new.code)
    _agrees(shop, text)


def test_what_a_cap_was_passed_by_goes_with_it(open_shop: OpenShop) -> None:
    text = catalog(CAP)
    shop = open_shop(text)
    desk = Care(shop)
    shop.voucher(amount_minor=3000)
    extra = shop.voucher(amount_minor=2000, channels=("email",), override_reason="It was really bad.")
    new = desk.reissue(extra.id, customer=RIGHT).voucher
    assert sorted(_of_each(shop)) == [(0, 2000, 0), (0, 3000, 0)]
    command = wish(amount_minor=500, customer=ANA)
    shop.refused(CustomerCapReached, issue_voucher, core=shop.core, actor=shop.manager, command=command)
    _agrees(shop, text)
    shop.voucher(amount_minor=1000, customer=RIGHT)
    shop.refused(CustomerCapReached, desk.reissue, new.id, customer=named(EMAIL))
    desk.void(new.id)
    _agrees(shop, text)


def test_who_is_the_same_by_their_phone_is_charged_on(open_shop: OpenShop) -> None:
    text = catalog(CAP)
    shop = open_shop(text)
    customer = named("typo@example.com", phone="+442079460018")
    voucher = shop.voucher(amount_minor=2000, customer=customer, channels=("email",))
    Care(shop).reissue(voucher.id, customer=RIGHT)
    assert (0, 2000, 0) in _of_each(shop)
    event = shop.one(audit_events, audit_events.c.action == "voucher.reissued")
    assert "released" not in event.facts
    _agrees(shop, text)
