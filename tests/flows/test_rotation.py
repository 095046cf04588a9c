"""Rotation: while one key takes the place of another nothing that was given is refused; then the old one is retired.

Processes are started again in turn, so that for a while some know less than others. Two steps keep them from meeting
what they cannot read: the newer key is known everywhere before any process makes anything with it.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.flows.look_up import look_up
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.kernel.errors import CodeRetired, CustomerCapReached, KeyRetired, Refusal, VoucherNotFound
from incentives.queries.feedback_page import customer_form
from incentives.queries.vouchers import customer_voucher
from incentives.recovery import links
from incentives.vouchers.tables import redemption_attempts, vouchers
from tests.flows.rotating import process
from tests.flows.shop import EMAIL, Shop, budget, catalog, named

OpenShop = Callable[..., Shop]

STEPS = (("t",), ("t", "n:known"), ("t", "n"))
"""What the settings of a process say: as ever, then with a key to come, then with that key in use."""
NEXT = (("t", "n"), ("t", "n", "m:known"), ("t", "n", "m"))
LAST = (("t", "n", "m"), ("t", "n", "m", "k:known"), ("t", "n", "m", "k"))


def all_keys(*keys: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(("CODE", "LINK", "SESSION", "CONTACT", "SEAL"), keys)


@pytest.mark.parametrize("steps", [STEPS, NEXT, LAST])
def test_what_a_process_gives_another_that_is_a_step_behind_or_ahead_takes(
    shop: Shop, steps: tuple[tuple[str, ...], ...]
) -> None:
    """Every pair of processes that can run at the same time, three rotations long."""
    for behind, ahead in ((steps[0], steps[1]), (steps[1], steps[2]), (steps[2], steps[2])):
        one, other = process(shop, **all_keys(*behind)), process(shop, **all_keys(*ahead))
        for giver, taker in ((one, other), (other, one)):
            first, second = giver.voucher(), giver.voucher()
            assert look_up(core=taker.core, actor=taker.till, code=first.code).redeemable
            shown = customer_voucher(core=taker.core, token=second.token)
            assert shown is not None
            assert shown.code == second.code
            token = links.token_of(giver.core.keys.links, links.VOUCHER, second.id)
            assert customer_form(core=taker.core, token=token, language="en") is not None
            taker.redeem(first.code)
            taker.redeem(token=second.token)
    shop.check()


def test_one_step_would_not_do(shop: Shop) -> None:
    """Why there are two: a process that has not been started again does not know what a newer one gives."""
    ahead = process(shop, **all_keys("t", "n"))
    given = ahead.voucher()
    with pytest.raises(VoucherNotFound):
        shop.redeem(given.code)
    with pytest.raises(VoucherNotFound):
        shop.redeem(token=given.token)


def test_a_customer_s_cap_holds_across_the_steps(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("once", "customer", period="none", cap_count=1)))
    for number, keys in enumerate(STEPS):
        process(shop, **all_keys(*keys)).issue(customer=named(f"ana{number}@example.com"))
        for each in STEPS[max(0, number - 1) : number + 2]:
            other = process(shop, **all_keys(*each))
            other.refused(CustomerCapReached, other.issue, customer=named(f"ana{number}@example.com"))


def test_a_replay_is_one_whatever_key_is_the_newest(shop: Shop) -> None:
    first = shop.issue(idempotency_key="one")
    for keys in STEPS:
        assert process(shop, **all_keys(*keys)).issue(idempotency_key="one").id == first.id
    with pytest.raises(KeyRetired):  # the answer held a code that nobody can make any more
        process(shop, **all_keys("t:retired", "n")).issue(idempotency_key="one")
    assert len(shop.all(vouchers)) == 1


# --- retired -----------------------------------------------------------------------------------------------------


def retired(shop: Shop, **keys: tuple[str, ...]) -> Shop:
    return process(shop, **(keys or all_keys("t:retired", "n")))


def taken(shop: Shop, refusal: type[Refusal], **what: Any) -> Refusal:
    """Redeem in vain, and return why."""
    with pytest.raises(refusal) as caught:
        shop.redeem(**what)
    with pytest.raises(refusal):
        look_up(core=shop.core, actor=shop.till, **what)
    assert refusal().slug in [row.outcome for row in shop.all(redemption_attempts)]
    return caught.value


def test_a_code_of_a_retired_key_is_refused_by_name(shop: Shop) -> None:
    given = shop.voucher()
    after = retired(shop, CODE=("t:retired", "n"))
    assert taken(after, CodeRetired, code=given.code).facts == {"last4": given.last4}
    after.redeem(token=given.token)  # its link was signed by another key
    after.redeem(after.voucher().code)


def test_a_link_of_a_retired_key_is_refused_by_name_at_the_till_and_shows_nothing_to_others(shop: Shop) -> None:
    given = shop.voucher()
    after = retired(shop, LINK=("t:retired", "n"))
    assert taken(after, CodeRetired, token=given.token).facts == {}
    taken(after, CodeRetired, code=f"https://shop.example/v/{given.token}")
    assert customer_voucher(core=after.core, token=given.token) is None
    after.redeem(given.code)


def test_what_was_made_by_nobody_is_unknown_all_the_same(shop: Shop) -> None:
    after = retired(shop)
    stranger = process(shop, **all_keys("x"))
    given = stranger.voucher()
    taken(after, VoucherNotFound, code=given.code)
    taken(after, VoucherNotFound, token=given.token)


def test_whose_code_was_retired_gets_a_new_voucher(shop: Shop) -> None:
    given = shop.voucher(customer=named(EMAIL))
    after = retired(shop, CODE=("t:retired", "n"), LINK=("t:retired", "n"))
    command = ReissueVoucher(voucher_id=given.id, reason="Its key was retired.", channels=())
    new = reissue_voucher(core=after.core, actor=after.manager, command=command)
    assert new.voucher is not None
    assert after.one(vouchers, vouchers.c.id == new.voucher.id).code_key_id == "n"
    after.redeem(new.voucher.code)


def test_a_retired_key_holds_up_nothing_else(shop: Shop) -> None:
    """A message of a voucher whose code cannot be made any more is tried for a day and given up; others go out."""
    shop.issue(customer=named(EMAIL), channels=("email",))
    after = retired(shop, CODE=("t:retired", "n"))
    after.issue(customer=named("bo@example.com"), channels=("email",))
    assert after.deliver().count("captured") == 1
    after.clock.advance(timedelta(days=2))
    assert "failed" in after.deliver()
