"""The shortest ways to what the lives once broke: each stands here by itself, so that it is not lost with the dice."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.reverse import ReverseRedemption, reverse_redemption
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.kernel.money import Money
from incentives.vouchers.tables import vouchers
from tests.flows.shop import named
from tests.machines.agreement import pots_of
from tests.machines.lives import Life, opened

SALE = Money(600, "GBP")


class Ways:
    """A life, and one voucher after the other."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def do(self, flow: Callable[..., Any], who: str, command: Any) -> Any:
        return flow(core=self.life.core, actor=self.life.people[who], command=command)

    def give(self, incentive: str = "voucher", **more: Any) -> Any:
        wish = {"issue_tag": "long-wait", "incentive": incentive, "customer": named("a@example.com"), **more}
        return self.do(issue_voucher, "manager", IssueVoucher(location="london", **wish)).voucher

    def sell(self, voucher: Any) -> Any:
        return self.do(redeem_voucher, "till", RedeemVoucher(code=self.life.code(voucher), order_total=SALE)).id

    def undo(self, redemption_id: Any, restore: str) -> Any:
        command = ReverseRedemption(redemption_id=redemption_id, reason="A refund.", restore=restore)
        return self.do(reverse_redemption, "supervisor", command).voucher

    def void(self, voucher_id: Any) -> None:
        self.do(void_voucher, "manager", VoidVoucher(voucher_id=voucher_id, reason="A mistake."))

    def nothing_is_left(self) -> bool:
        self.life.check()
        return pots_of(self.life.core) == {}


@pytest.fixture
def ways(new_database: Callable[[], str]) -> Iterator[Ways]:
    life = opened(new_database())
    yield Ways(life)
    life.core.database.dispose()


def row_of(ways: Ways, voucher: Any) -> Any:
    return ways.life.shop.one(vouchers, vouchers.c.id == voucher.id)


def test_what_was_undone_and_then_taken_back_counts_nowhere(ways: Ways) -> None:
    first = ways.give()
    again = ways.undo(ways.sell(row_of(ways, first)), "new_code")
    ways.life.check()
    ways.void(again.id)
    assert ways.nothing_is_left()


def test_uses_that_were_taken_back_do_not_go_on_counting(ways: Ways) -> None:
    voucher = ways.give("thrice")
    ways.undo(ways.sell(row_of(ways, voucher)), "none")
    ways.life.check()
    ways.void(voucher.id)
    assert ways.nothing_is_left()


@pytest.mark.parametrize("restore", ["same_code", "new_code"])
def test_a_limit_gets_back_what_was_added_and_no_more(ways: Ways, restore: str) -> None:
    voucher = ways.give(amount_minor=1000)
    more = AdjustVoucher(voucher_id=voucher.id, amount_minor=1200, reason="It was worse.")
    ways.do(adjust_voucher, "supervisor", more)
    ways.life.check()
    sold = ways.sell(row_of(ways, voucher))
    ways.life.check()
    again = ways.undo(sold, restore)
    ways.life.check()
    ways.void(again.id)
    assert ways.nothing_is_left()


def test_an_address_that_changes_back_is_not_charged_twice(ways: Ways) -> None:
    voucher_id = ways.give().id
    for email in ("b@example.com", "a@example.com", "b@example.com"):
        command = ReissueVoucher(voucher_id=voucher_id, reason="Moved.", channels=(), customer=named(email))
        voucher_id = ways.do(reissue_voucher, "supervisor", command).voucher.id
        ways.life.check()
    ways.void(voucher_id)
    assert ways.nothing_is_left()


def test_a_cap_that_was_overridden_is_told_to_the_audit_trail(ways: Ways) -> None:
    for _ in range(5):
        ways.give("points")
    for _ in range(8):
        ways.do(
            issue_voucher,
            "second_manager",
            IssueVoucher(
                issue_tag="long-wait",
                incentive="fixed",
                customer=named("a@example.com"),
                override_reason="It is two people.",
            ),
        )
    allotted = [has for has in pots_of(ways.life.core).values() if "allotted_count" in has]
    assert [has["allotted_count"] for has in allotted] == [1]
    ways.life.check()


def test_what_is_given_back_counts_for_whom_it_was_given_to_at_first(ways: Ways) -> None:
    voucher = ways.give("thrice")
    sold = ways.sell(row_of(ways, voucher))
    command = ReissueVoucher(voucher_id=voucher.id, reason="Moved.", channels=(), customer=named("b@example.com"))
    moved = ways.do(reissue_voucher, "supervisor", command).voucher
    ways.void(moved.id)
    ways.life.check()
    again = ways.undo(sold, "new_code")
    ways.life.check()
    ways.void(again.id)
    assert ways.nothing_is_left()
