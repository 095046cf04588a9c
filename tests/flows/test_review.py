"""Reviews: somebody else looks at what was held back, and lets it go or takes it back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from incentives.books.tables import audit_events
from incentives.flows.freeze import UnfreezeVoucher, unfreeze_voucher
from incentives.flows.review import DecideReview, decide_review
from incentives.kernel.errors import (
    BlockedBySafeguards,
    InputInvalid,
    NotPermitted,
    ReviewAlreadyDecided,
    ReviewNotFound,
    SelfReview,
    UnderReview,
    VoucherVoided,
)
from incentives.messages.tables import outbox_messages
from incentives.queries.reviews import held_money, list_reviews, precision, waiting_reviews
from incentives.safeguards.tables import reviews
from incentives.vouchers.tables import vouchers
from tests.flows.aftercare import Care
from tests.flows.guarded import decide, suspicious
from tests.flows.shop import EMAIL, Shop, budget, moved, named
from tests.flows.till_shop import reverse, till_catalog


@pytest.fixture
def held(open_shop: Callable[..., Shop]) -> tuple[Shop, Any]:
    """A shop in which the agent's second gift is held back."""
    shop = open_shop(suspicious(budget("small", cap_minor=5000), issues_per_person={"count": 1, "action": "hold"}))
    shop.issue(shop.agent, amount_minor=500)
    return shop, shop.issue(shop.agent, amount_minor=700, channels=("email",), customer=named(EMAIL))


def test_releasing_makes_it_good_and_tells_the_customer(held: tuple[Shop, Any]) -> None:
    """The voucher can be used and its messages go out; the trail says who let it go."""
    shop, given = held
    done = decide(shop, "release", shop.supervisor, note=None)
    assert (done.status, done.unfrozen, done.voided, done.messages) == ("released", 1, 0, 1)
    assert shop.one(outbox_messages).status == "queued"
    assert shop.redeem(given.voucher.code).amount.amount_minor == 700
    actions = [each.action for each in shop.all(audit_events)]
    assert {"voucher.unfrozen", "review.released"} <= set(actions)
    shop.check()


def test_blocking_takes_it_back_in_the_same_transaction(held: tuple[Shop, Any]) -> None:
    """The voucher is voided, its budgets are free again, its messages are withdrawn."""
    shop, given = held
    assert shop.pot("small") == (0, 1200, 0)
    done = decide(shop, "block", shop.supervisor, note="The same family of addresses.")
    assert (done.status, done.voided) == ("blocked", 1)
    assert shop.pot("small") == (0, 500, 0)
    assert shop.one(outbox_messages).status == "withdrawn"
    with pytest.raises(VoucherVoided):
        shop.redeem(given.voucher.code)
    row = shop.one(reviews)
    assert row.note
    assert "family" not in row.note  # encrypted
    shop.check()


def test_nobody_decides_what_they_caused(held: tuple[Shop, Any]) -> None:
    """Four eyes, by the flow and by the database."""
    shop, _ = held
    promoted = moved(shop.agent, role="supervisor")
    shop.refused(SelfReview, decide, shop, "release", promoted)


def test_is_decided_once(held: tuple[Shop, Any]) -> None:
    """Whoever comes second is told."""
    shop, _ = held
    row = shop.one(reviews)
    decide(shop, "release")
    command = DecideReview(review_id=row.id, decision="block", note="Too late.")
    refusal = shop.refused(ReviewAlreadyDecided, decide_review, core=shop.core, actor=shop.supervisor, command=command)
    assert refusal.facts["decision"] == "released"


def test_a_repeated_decision_is_answered_again(held: tuple[Shop, Any]) -> None:
    """With its key a decision is replayed, and nothing happens a second time."""
    shop, _ = held
    command = DecideReview(review_id=shop.one(reviews).id, decision="block", note="Twice sent.", idempotency_key="once")
    first = decide_review(core=shop.core, actor=shop.manager, command=command)
    again = decide_review(core=shop.core, actor=shop.manager, command=command)
    assert (first.replayed, again.replayed, again.status, first.voided) == (False, True, "blocked", 1)
    assert replace(again, replayed=False) == first


def test_a_repeated_release_says_what_the_first_one_did(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(issues_per_person={"count": 1, "minutes": 600, "action": "hold"}))
    for _ in range(2):
        shop.issue(shop.agent, amount_minor=500, channels=("email",))
    command = DecideReview(review_id=shop.one(reviews).id, decision="release", idempotency_key="once")
    first, again = (decide_review(core=shop.core, actor=shop.manager, command=command) for _ in range(2))
    assert (first.unfrozen, first.messages) == (1, 1)
    assert again == replace(first, replayed=True)


@pytest.mark.parametrize(
    ("decision", "note"),
    [("perhaps", "A word."), ("block", None), ("block", " "), ("note", "Seen."), ("block", "x" * 501)],
)
def test_refuses_what_makes_no_sense(held: tuple[Shop, Any], decision: str, note: str | None) -> None:
    """Blocking says why; what is held is either released or blocked."""
    shop, _ = held
    shop.refused(InputInvalid, decide, shop, decision, note=note)


def test_who_may_and_where(held: tuple[Shop, Any]) -> None:
    """Frontline staff decide nothing, and a supervisor of another place sees nothing."""
    shop, _ = held
    shop.refused(NotPermitted, decide, shop, "release", moved(shop.agent, id=shop.manager.id))
    shop.refused(ReviewNotFound, decide, shop, "release", moved(shop.supervisor, location="leeds"))


def test_nobody_unfreezes_around_a_review(held: tuple[Shop, Any]) -> None:
    """What waits for a review is not unfrozen by another door."""
    shop, given = held
    command = UnfreezeVoucher(voucher_id=given.voucher.id, reason="Let me.")
    shop.refused(UnderReview, unfreeze_voucher, core=shop.core, actor=shop.supervisor, command=command)


def test_what_expired_meanwhile_is_only_decided(held: tuple[Shop, Any]) -> None:
    """A held voucher whose time is over is not taken back a second time."""
    shop, _ = held
    shop.later(days=60)
    shop.expire()
    assert decide(shop, "block").voided == 0
    shop.check()


def test_a_try_that_was_blocked_is_judged_for_the_record(shop: Shop) -> None:
    """There is nothing to release; the decision says whether the signal was right."""
    with pytest.raises(Exception, match="given or used"):
        shop.issue(shop.agent, customer=named("agent@example.com"), amount_minor=500)
    assert decide(shop, "block").status == "blocked"
    found = precision(core=shop.core, actor=shop.supervisor)
    assert [(each.signal, each.released, each.blocked, each.percent) for each in found] == [("self_dealing", 0, 1, 100)]


def test_shows_what_is_held_and_since_when(held: tuple[Shop, Any]) -> None:
    """The queue says how much money waits, what showed in words, and what is late."""
    shop, given = held
    (row,) = waiting_reviews(core=shop.core, actor=shop.supervisor)
    assert (row.issuance_id, row.case_id, row.amount and row.amount.amount_minor) == (given.id, given.case_id, 700)
    assert row.signals[0]["words"] == "gave unusually often"
    assert not row.late
    (money,) = held_money(core=shop.core, actor=shop.supervisor)
    assert (money.count, money.amount.amount_minor) == (1, 700)
    shop.clock.advance(timedelta(hours=25))
    assert waiting_reviews(core=shop.core, actor=shop.supervisor)[0].late
    assert list_reviews(core=shop.core, actor=moved(shop.supervisor, location="leeds")).items == []
    decide(shop, "release")
    assert held_money(core=shop.core, actor=shop.supervisor) == []
    (found,) = precision(core=shop.core, actor=shop.supervisor)
    assert (found.released, found.blocked, found.open, found.percent) == (1, 0, 0, 0)


def test_the_voucher_is_frozen_until_then(held: tuple[Shop, Any]) -> None:
    """What is held is issued: it counts for budgets and its time runs."""
    shop, _ = held
    assert [each.status for each in shop.all(vouchers)] == ["issued", "issued"]
    assert shop.pot("small") == (0, 1200, 0)


def test_what_staff_froze_by_hand_stays_frozen(open_shop: Callable[..., Shop]) -> None:
    """A review lets go what was frozen for it, and nothing that somebody froze for a reason of their own."""
    text = orjson.loads(till_catalog(voucher={"max_redemptions": 2}))
    text["abuse"] = {"signals": {"redemptions_per_till": {"count": 1, "minutes": 60, "action": "hold"}}}
    shop = open_shop(orjson.dumps(text).decode())
    first = shop.voucher(location="london")
    other = reverse(shop, shop.redeem(first.code).id, "new_code").voucher
    assert other is not None
    Care(shop).freeze(first.id)
    by_hand_at = shop.clock.now()
    shop.later(seconds=1)
    with pytest.raises(BlockedBySafeguards):
        shop.redeem(other.code)
    frozen = {each.id: each.frozen_at for each in shop.all(vouchers)}
    assert frozen == {first.id: by_hand_at, other.id: shop.clock.now()}
    done = decide(shop, "release", shop.manager)
    assert (done.unfrozen, {each.id: each.frozen_at for each in shop.all(vouchers)}) == (
        1,
        {first.id: by_hand_at, other.id: None},
    )
    shop.later(hours=2)
    shop.redeem(other.code)
    Care(shop).unfreeze(first.id)
    shop.later(hours=2)
    shop.redeem(first.code)
    shop.check()
