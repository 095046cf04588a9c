"""Verbs one after the other: what one leaves behind must not let the next one give, spend or see more than it may."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    decide_budget_request,
    propose_budget_change,
)
from incentives.flows.people import CreateApiKey, create_api_key
from incentives.flows.publish import ApproveRelease, ProposeCatalog, approve_release, propose_catalog
from incentives.flows.reveal import RevealCode, reveal_code
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AlreadyRedeemed,
    BudgetExhausted,
    BudgetRedefined,
    CustomerCapReached,
    RedemptionNotFound,
    SelfApproval,
    SelfRedemption,
    VoucherFrozen,
)
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries.access import actor_of_api_key
from incentives.queries.redemptions import one_redemption
from incentives.queries.vouchers import lookup
from incentives.spending.tables import budget_allocations
from incentives.vouchers.tables import reservations, vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import LIMITS, Shop, budget, catalog, moved
from tests.flows.till_shop import commit, hold, redeem, release, reverse, secret_of, till_catalog, tried
from tests.world import person, publish_catalog

OpenShop = Callable[..., Shop]
CAP = budget("each", "customer", cap_minor=1500, cap_count=2)
LEADS = [*LIMITS, {"role": "admin", "currency": "GBP", "unlimited": True}]


def sold(shop: Shop, incentive: str = "voucher", **more: Any) -> tuple[Any, Any]:
    voucher = shop.voucher(incentive=incentive, location="london", **more)
    return voucher, redeem(shop, voucher.code, order_total=Money(700, "GBP"))


# --- who has seen a code does not spend it -------------------------------------------------------------------------


def test_whoever_was_shown_a_reissued_code_does_not_redeem_it(shop: Shop) -> None:
    given = shop.voucher(location="london")
    new = Care(shop).reissue(given.id, shop.supervisor, channels=()).voucher
    for deed in (redeem, hold):
        refusal = tried(shop, SelfRedemption, deed, new.code, shop.supervisor)
        assert refusal.detail == "You were shown the code of this voucher: somebody else redeems it."
    seen = lookup(core=shop.core, actor=shop.supervisor, code=new.code)
    assert (seen.redeemable, seen.reason) == (False, "self-redemption")
    tried(shop, SelfRedemption, redeem, new.code, shop.manager)  # who gave it does not either
    assert redeem(shop, new.code).amount == given.amount


def test_whom_no_code_was_shown_may_redeem_what_they_have_reissued(shop: Shop) -> None:
    given = shop.voucher(location="london", channels=("email",))
    new = Care(shop).reissue(given.id, shop.supervisor).voucher
    assert redeem(shop, new.code, shop.supervisor).amount == given.amount


def test_whoever_was_shown_the_code_of_a_reversal_does_not_redeem_it(shop: Shop) -> None:
    _, done = sold(shop)
    first = reverse(shop, done.id, "new_code", idempotency_key="k")
    again = reverse(shop, done.id, "new_code", idempotency_key="k")
    assert first.voucher is not None
    assert again.voucher is not None
    assert again.replayed
    assert again.voucher.code == first.voucher.code is not None
    tried(shop, SelfRedemption, redeem, first.voucher.code, shop.supervisor)
    held = hold(shop, first.voucher.code)
    assert commit(shop, held.id).amount == first.voucher.amount


def test_a_hold_from_before_is_not_committed_by_whoever_was_shown_the_code(shop: Shop) -> None:
    given = shop.voucher(location="london")
    held = hold(shop, given.code, shop.supervisor)
    release(shop, held.id, shop.supervisor)
    new = Care(shop).reissue(given.id, shop.supervisor, channels=()).voucher
    held = hold(shop, new.code)
    with shop.core.database.write() as tx:  # as if it had been taken by the same person before the code was shown
        tx.execute(reservations.update().values(actor=shop.supervisor.label))
    tried(shop, SelfRedemption, lambda shop: commit(shop, held.id, shop.supervisor))


def test_whoever_reveals_a_code_does_not_redeem_it(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000)
    shop.decide(asked.approval_id)
    shown = reveal_code(core=shop.core, actor=shop.agent, command=RevealCode(issuance_id=asked.id)).voucher
    tried(shop, SelfRedemption, redeem, shown.code, shop.agent)
    new = Care(shop).reissue(shown.id, shop.supervisor, channels=()).voucher
    seen = reveal_code(core=shop.core, actor=shop.agent, command=RevealCode(issuance_id=asked.id)).voucher
    assert seen.code == new.code
    for each in (shop.agent, shop.supervisor):
        tried(shop, SelfRedemption, redeem, new.code, each)


# --- undone, and then something else -------------------------------------------------------------------------------


def test_what_is_used_up_though_nothing_of_it_stands_is_refused_and_no_bug(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"max_redemptions": 2}))
    voucher = shop.voucher()
    for done in [redeem(shop, voucher.code), redeem(shop, voucher.code)]:
        reverse(shop, done.id, "none")
    for deed in (Care(shop).void, Care(shop).reissue, Care(shop).freeze, Care(shop).extend):
        shop.refused(AlreadyRedeemed, deed, voucher.id)
    assert shop.pots() == {}
    assert shop.pots("count") == {}
    shop.check()


def test_what_was_redeemed_elsewhere_is_not_there_to_be_reversed(shop: Shop) -> None:
    _, done = sold(shop)
    elsewhere = moved(shop.supervisor, location="leeds")
    shop.refused(RedemptionNotFound, reverse, shop, done.id, "same_code", elsewhere)
    with pytest.raises(RedemptionNotFound):
        one_redemption(core=shop.core, actor=elsewhere, redemption_id=done.id)
    assert one_redemption(core=shop.core, actor=shop.supervisor, redemption_id=done.id).id == done.id
    reverse(shop, done.id, "same_code", shop.supervisor)


@pytest.mark.parametrize("place", ["london", "leeds"])
def test_where_it_was_given_it_can_be_reversed_too(shop: Shop, place: str) -> None:
    """There and where it was redeemed, and nowhere else."""
    given = shop.voucher(location="london")
    done = redeem(shop, given.code, moved(shop.till, location="leeds"), order_total=Money(700, "GBP"))
    assert done.location == "leeds"
    shop.refused(RedemptionNotFound, reverse, shop, done.id, "same_code", moved(shop.supervisor, location="new-york"))
    reverse(shop, done.id, "same_code", moved(shop.supervisor, location=place))
    shop.check()


def test_what_is_frozen_does_not_go_on_as_another_voucher(open_shop: OpenShop) -> None:
    shop = open_shop(till_catalog(voucher={"max_redemptions": 2}))
    voucher = shop.voucher()
    done = redeem(shop, voucher.code)
    Care(shop).freeze(voucher.id)
    shop.refused(VoucherFrozen, reverse, shop, done.id, "new_code")
    reverse(shop, done.id, "same_code")
    tried(shop, VoucherFrozen, redeem, voucher.code)
    shop.check()


def test_a_frozen_remainder_is_not_gathered_in(shop: Shop) -> None:
    _, done = sold(shop, "credit")
    assert done.remainder is not None
    Care(shop).freeze(done.remainder.id)
    for restore in ("same_code", "new_code"):
        shop.refused(VoucherFrozen, reverse, shop, done.id, restore)
    reverse(shop, done.id, "none")
    shop.check()


def test_a_remainder_that_is_gathered_in_is_neither_told_of_nor_held(shop: Shop) -> None:
    _, done = sold(shop, "credit", channels=("email",))
    shop.deliver()
    assert done.remainder is not None
    Care(shop).resend(done.remainder.id)
    hold(shop, secret_of(shop, done.remainder.id))
    shop.later(minutes=16)
    reverse(shop, done.id)
    waits = shop.all(outbox_messages, outbox_messages.c.voucher_id == done.remainder.id)
    assert {each.status for each in waits} <= {"captured", "withdrawn"}
    assert [each.status for each in shop.all(reservations)] == ["lapsed"]
    shop.check()


# --- the catalog is another one now --------------------------------------------------------------------------------


def test_a_promise_is_raised_under_the_cap_that_it_had_where_the_catalog_has_the_budget_no_more(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=2000)))
    voucher = shop.voucher()
    publish_catalog(shop.core, catalog())
    shop.refused(BudgetExhausted, Care(shop).adjust, voucher.id, 2500)
    Care(shop).adjust(voucher.id, 1900)
    assert shop.pot("pot") == (0, 1900, 0)
    shop.check()


@pytest.mark.parametrize("other", [{"currency": "USD"}, {"period": "day"}])
def test_a_budget_does_not_come_back_as_another_one(open_shop: OpenShop, other: Any) -> None:
    """Its pots are there yet: their money would be counted on in another unit, or another period."""
    shop = open_shop(catalog(budget("pot", cap_minor=2000)))
    shop.voucher()
    publish_catalog(shop.core, catalog())
    with pytest.raises(BudgetRedefined):
        publish_catalog(shop.core, catalog(budget("pot", cap_minor=9000, **other)))
    publish_catalog(shop.core, catalog(budget("pot", cap_minor=9000)))
    shop.voucher()
    assert shop.pot("pot") == (0, 2000, 0)


# --- what was allotted for one promise -----------------------------------------------------------------------------


def overridden(open_shop: OpenShop, **more: Any) -> tuple[Shop, Any]:
    """Return a shop in which a customer's cap has let a second gift pass, and that gift."""
    shop = open_shop(catalog(CAP, limits=LEADS))
    shop.issue()
    return shop, shop.issue(**{"by": shop.supervisor, "amount_minor": 1000, "override_reason": "Two guests.", **more})


def allotted(shop: Shop) -> list[tuple[str, int, int]]:
    return [(each.kind, each.amount_minor, each.amount_count) for each in shop.all(budget_allocations)]


def test_an_override_ends_with_what_it_was_for(open_shop: OpenShop) -> None:
    shop, given = overridden(open_shop)
    Care(shop).void(given.voucher.id)
    assert allotted(shop) == [("override", 500, 0), ("override", -500, 0)]
    (event,) = shop.all(audit_events, audit_events.c.action == "voucher.voided")
    assert [(each["pot"][0], each["amount_minor"]) for each in event.facts["allocations"]] == [("each", -500)]
    shop.refused(CustomerCapReached, shop.issue)
    shop.check()


def test_an_override_ends_when_the_voucher_expires(open_shop: OpenShop) -> None:
    shop, _ = overridden(open_shop)
    shop.later(days=8)  # within the month that the pot is for
    with shop.core.database.write() as tx:
        tx.execute(vouchers.update().values(expires_at=shop.clock.now()))
    shop.later(seconds=1)
    assert shop.expire() == (2, 0)
    assert allotted(shop) == [("override", 500, 0), ("override", -500, 0)]
    assert shop.one(audit_events, audit_events.c.action == "budget.taken_back").facts["allocations"]
    shop.check()


@pytest.mark.parametrize("end", ["decline", "expire"])
def test_an_override_ends_with_the_request(open_shop: OpenShop, end: str) -> None:
    shop = open_shop(catalog(CAP, limits=LEADS))
    shop.issue()
    asked = shop.ask(moved(shop.supervisor), amount_minor=4500, override_reason="Two guests.")
    assert allotted(shop) == [("override", 4000, 0)]
    if end == "decline":
        shop.decide(asked.approval_id, "decline")
    else:
        shop.later(days=8)
        assert shop.expire()[1] == 1
    assert allotted(shop) == [("override", 4000, 0), ("override", -4000, 0)]
    shop.refused(CustomerCapReached, shop.issue)
    shop.check()


def test_what_others_use_by_now_is_not_taken_back(open_shop: OpenShop) -> None:
    shop, given = overridden(open_shop)
    Care(shop).adjust(given.voucher.id, 500)
    shop.issue(by=shop.manager, incentive="gift", override_reason="A third one.")  # worth nothing, counted
    Care(shop).void(given.voucher.id)
    assert shop.pot("each") == (0, 1000, 0)
    assert sum(amount for _, amount, _ in allotted(shop)) == 0
    shop.check()


def test_what_was_restored_beyond_a_cap_is_taken_back_with_the_voucher(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("tight", period="none", cap_minor=1000)))
    voucher, done = sold(shop)  # 700 spent, 300 lapsed and free again
    shop.voucher(incentive="credit", amount_minor=200)
    reverse(shop, done.id)
    assert shop.pot("tight") == (0, 1200, 0)
    Care(shop).void(voucher.id)
    assert allotted(shop) == [("restored", 200, 0), ("restored", -200, 0)]
    assert shop.pot("tight") == (0, 200, 0)
    shop.refused(BudgetExhausted, shop.issue, incentive="credit", amount_minor=900)
    shop.check()


def test_what_was_restored_beyond_a_cap_is_taken_back_with_what_lapses_again(open_shop: OpenShop) -> None:
    """A second purchase that takes a part too frees the rest of the promise, which nobody else was allowed."""
    shop = open_shop(catalog(budget("tight", period="none", cap_minor=1000)))
    voucher, done = sold(shop)  # 700 spent, 300 lapsed and free again
    shop.voucher(incentive="credit", amount_minor=200)
    reverse(shop, done.id)
    again = redeem(shop, voucher.code, order_total=Money(900, "GBP"))  # 100 lapse: those were allotted
    assert allotted(shop) == [("restored", 200, 0), ("restored", -100, 0)]
    assert shop.pot("tight") == (0, 200, 900)
    event = shop.all(audit_events, audit_events.c.action == "voucher.redeemed")[-1]
    assert [(each["kind"], each["amount_minor"]) for each in event.facts["allocations"]] == [("restored", -100)]
    shop.refused(BudgetExhausted, shop.issue, incentive="credit", amount_minor=100)
    shop.check()
    reverse(shop, again.id)  # and what is promised again is allotted again
    assert sum(amount for _, amount, _ in allotted(shop)) == 200
    redeem(shop, voucher.code)
    assert shop.pot("tight") == (0, 200, 1000)
    assert sum(amount for _, amount, _ in allotted(shop)) == 200  # all of it was spent: there is nothing to take back
    shop.check()


def test_an_override_ends_as_far_as_its_gift_lapses(open_shop: OpenShop) -> None:
    shop, given = overridden(open_shop)
    redeem(shop, given.voucher.code, order_total=Money(700, "GBP"))
    assert allotted(shop) == [("override", 500, 0), ("override", -300, 0)]
    shop.refused(CustomerCapReached, shop.issue, incentive="credit", amount_minor=100)
    shop.check()


def test_facts_of_the_trail_hold_no_code(shop: Shop) -> None:
    given = shop.voucher(location="london")
    new = Care(shop).reissue(given.id, shop.supervisor, channels=()).voucher
    done = redeem(shop, new.code)
    newer = reverse(shop, done.id, "new_code").voucher
    assert newer is not None
    text = json.dumps([dict(each.facts) for each in shop.all(audit_events)])
    for secret in (given.code, new.code, newer.code, given.token, new.token, newer.token):
        assert secret is not None
        assert secret not in text
        assert secret.replace("-", "") not in text


# --- four eyes are two people's ------------------------------------------------------------------------------------


def own_key(shop: Shop, maker: Actor) -> Actor:
    """Return an API key that somebody made, as an actor."""
    made = create_api_key(core=shop.core, actor=maker, command=CreateApiKey(name="Mine", role="admin"))
    found = actor_of_api_key(core=shop.core, secret=made.secret)
    assert found is not None
    return found


def test_nobody_agrees_by_their_own_key_to_what_they_want_of_a_budget(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("pot", cap_minor=2000)))
    admin = person(shop.core, "admin")
    key = own_key(shop, admin)
    wanted = ProposeBudgetChange(kind="top_up", pot=PotName(budget="pot"), amount_minor=500, reason="A bad week.")
    asked = propose_budget_change(core=shop.core, actor=admin, command=wanted)
    agreed = DecideBudgetRequest(request_id=asked.id, decision="approve")
    shop.refused(SelfApproval, decide_budget_request, core=shop.core, actor=key, command=agreed)
    asked = propose_budget_change(core=shop.core, actor=key, command=wanted)
    agreed = DecideBudgetRequest(request_id=asked.id, decision="approve")
    for decides in (admin, own_key(shop, admin)):
        shop.refused(SelfApproval, decide_budget_request, core=shop.core, actor=decides, command=agreed)
    other = person(shop.core, "admin", email="other@example.com")
    assert decide_budget_request(core=shop.core, actor=other, command=agreed).status == "approved"


def test_nobody_puts_their_own_catalog_in_force_by_their_own_key(shop: Shop) -> None:
    admin = person(shop.core, "admin")
    text = ProposeCatalog(text=catalog(budget("new", cap_minor=2000)))
    number = propose_catalog(core=shop.core, actor=admin, command=text).number
    agreed = ApproveRelease(number=number)
    shop.refused(SelfApproval, approve_release, core=shop.core, actor=own_key(shop, admin), command=agreed)


def test_a_freezing_is_replayed_after_it_has_ended(shop: Shop) -> None:
    voucher = shop.voucher()
    until_at = shop.clock.now() + timedelta(minutes=5)
    Care(shop).freeze(voucher.id, until_at, idempotency_key="k")
    shop.later(minutes=6)
    again = Care(shop).freeze(voucher.id, until_at, idempotency_key="k")
    assert (again.replayed, again.frozen) == (True, True)  # as it was told then
