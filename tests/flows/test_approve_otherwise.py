"""Another incentive than was asked for: its budgets are charged and the old one's freed, in one go or not at all."""

from typing import Any

import orjson
import pytest

from incentives.books.tables import audit_events
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.kernel.errors import (
    ApprovalAmountInvalid,
    ApproverLimitExceeded,
    BudgetExhausted,
    CustomerCapReached,
    IncentiveNotInProtocol,
    IncentiveNotOfferable,
    UnknownIncentive,
)
from incentives.kernel.money import Money
from incentives.queries.approvals import one_approval
from incentives.queries.issuances import one_issuance
from incentives.spending.tables import approval_votes, approvals, budget_movements
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.approvals_shop import POTS, Board, OpenShop, policed, statements
from tests.flows.shop import ANA, EMAIL, budget, named
from tests.world import publish_catalog


@pytest.fixture
def board(open_shop: OpenShop) -> Board:
    return Board(open_shop(policed(*POTS, policies=[])))


def test_another_incentive_of_the_protocol_is_given_instead(board: Board) -> None:
    asked = board.ask(2000)
    assert board.shop.pots() == {
        ("all-gbp", "organization"): (2000, 0, 0), ("voucher-pot", "voucher"): (2000, 0, 0),
    }  # fmt: skip
    done = board.vote(asked, board.mona, incentive="fixed", comment="This will do.")
    assert done.issued is not None
    assert done.issued.voucher is not None
    assert done.issued.voucher.amount == Money(700, "GBP")
    assert board.shop.pots() == {("all-gbp", "organization"): (0, 700, 0), ("fixed-pot", "fixed"): (0, 700, 0)}
    assert board.shop.pots("count") == {("all-gbp", "organization"): (0, 1, 0), ("fixed-pot", "fixed"): (0, 1, 0)}
    row, approval, voucher = board.shop.one(issuances), board.shop.one(approvals), board.shop.one(vouchers)
    assert (row.incentive, row.amount_minor, row.status) == ("fixed", 700, "issued")
    assert row.incentive_item_id == voucher.incentive_item_id
    assert (approval.granted_incentive, approval.granted_amount_minor) == ("fixed", 700)
    assert board.shop.one(approval_votes).incentive == "fixed"
    kinds = [(each.kind, each.held_minor, each.committed_minor) for each in board.shop.all(budget_movements)]
    assert sorted(kinds) == [
        ("commit", 0, 700), ("commit", 0, 700), ("hold", 2000, 0), ("hold", 2000, 0), ("release", -2000, 0),
        ("release", -2000, 0),
    ]  # fmt: skip
    facts = board.shop.one(audit_events, audit_events.c.action == "approval.granted").facts
    assert (facts["incentive"], facts["requested_incentive"], facts["amount_minor"]) == ("fixed", "voucher", 700)
    assert [each[0] for each in facts["charged"]] == ["all-gbp", "fixed-pot"]
    seen = one_issuance(core=board.core, actor=board.mona, issuance_id=asked.id)
    assert (seen.incentive, seen.amount) == ("fixed", Money(700, "GBP"))
    board.shop.check()


def test_its_amount_may_be_chosen_within_what_was_asked(board: Board) -> None:
    for amount_minor, given in ((None, 1500), (300, 300)):
        asked = board.ask(1500)
        done = board.vote(asked, board.mona, incentive="credit", amount_minor=amount_minor)
        assert done.issued is not None
        assert done.issued.voucher is not None
        assert done.issued.voucher.amount == Money(given, "GBP")
    asked = board.ask(1500)
    found = board.refused(ApprovalAmountInvalid, board.vote, asked, board.mona, incentive="credit", amount_minor=1501)
    assert found.facts == {"field": "amount_minor", "least_minor": 100, "most_minor": 1500}
    board.refused(ApprovalAmountInvalid, board.vote, asked, board.mona, incentive="credit", amount_minor=99)
    board.refused(ApprovalAmountInvalid, board.vote, asked, board.mona, incentive="fixed", amount_minor=600)
    # A fixed thing that costs more than was asked for.
    found = board.refused(ApprovalAmountInvalid, board.vote, asked, board.mona, incentive="percent")
    assert found.facts == {"field": "incentive", "least_minor": 3000, "most_minor": 1500}
    board.shop.check()


def test_what_the_catalog_forbids_is_not_given_by_an_approver_either(board: Board) -> None:
    asked = board.ask(2000)
    for incentive, refusal in (
        ("nothing-like-it", UnknownIncentive),
        ("elsewhere", IncentiveNotInProtocol),
        ("retired", IncentiveNotOfferable),
        ("summer", IncentiveNotOfferable),
        ("dollars", IncentiveNotOfferable),
    ):
        board.refused(refusal, board.vote, asked, board.mona, incentive=incentive)
    seen = one_approval(core=board.core, actor=board.mona, approval_id=asked.approval_id)
    assert [each.key for each in seen.other_incentives] == [
        "fixed", "credit", "refund", "meal", "points", "gift", "dear",
    ]  # fmt: skip
    credit = seen.other_incentives[1]
    assert (credit.amount, credit.least_minor) == (Money(2000, "GBP"), 100)


def test_a_budget_of_the_other_incentive_that_would_burst_refuses_it_whole(open_shop: OpenShop) -> None:
    tight = budget("fixed-pot", "incentive", of="fixed", cap_minor=600)
    board = Board(open_shop(policed(tight, policies=[])))
    asked = board.ask(2000)
    found = board.refused(BudgetExhausted, board.vote, asked, board.mona, incentive="fixed")
    assert found.facts["budget"] == "fixed-pot"
    assert board.vote(asked, board.mona).status == "granted"
    board.shop.check()


def test_what_it_frees_counts_as_room(open_shop: OpenShop) -> None:
    """The pot is full of the request itself: what is given instead takes its place."""
    full = budget("all-of-it", cap_minor=2000, cap_count=1)
    board = Board(open_shop(policed(full, policies=[])))
    asked = board.ask(2000)
    assert board.shop.pot("all-of-it") == (2000, 0, 0)
    assert board.vote(asked, board.mona, incentive="credit").status == "granted"
    assert board.shop.pot("all-of-it") == (0, 2000, 0)
    assert board.shop.pot("all-of-it", "count") == (0, 1, 0)
    board.shop.check()


def test_a_customer_s_cap_on_the_other_incentive_counts(open_shop: OpenShop) -> None:
    cap = {**budget("one-each", "customer", cap_count=1), "issue_tags": []}
    del cap["issue_tags"]
    board = Board(open_shop(policed(cap, policies=[])))
    board.shop.issue(board.mona, customer=named("other@example.com"))
    asked = board.ask(2000, customer=ANA)
    # Their one is the request itself: what is given instead is still the one.
    assert board.vote(asked, board.mona, incentive="fixed").status == "granted"
    command = IssueVoucher(issue_tag="long-wait", customer=named(EMAIL))
    board.refused(CustomerCapReached, issue_voucher, core=board.core, actor=board.mona, command=command)
    board.shop.check()


def test_a_period_that_ended_meanwhile_is_freed_and_the_new_one_charged(open_shop: OpenShop) -> None:
    pots = budget("daily", period="day", cap_minor=10_000), POTS[0]
    board = Board(open_shop(policed(*pots, policies=[])))
    asked = board.ask(2000)
    board.shop.later(days=1)
    board.vote(asked, board.mona, incentive="fixed")
    charged = board.shop.one(audit_events, audit_events.c.action == "approval.granted").facts["charged"]
    assert ["daily", "organization", "2026-11-21"] in charged
    assert board.shop.pot("daily") == (0, 700, 0)
    board.shop.check()


def test_two_levels_agree_on_what_the_last_one_chose(open_shop: OpenShop) -> None:
    two = [{"key": "two", "name": "Two", "levels": [{"roles": ["supervisor"]}, {"roles": ["manager", "supervisor"]}]}]
    board = Board(open_shop(policed(*POTS, policies=two)))
    asked = board.ask(5000)
    board.vote(asked, board.sam, incentive="credit", amount_minor=4400)
    found = board.refused(ApproverLimitExceeded, board.vote, asked, board.sue)
    assert found.facts["most_minor"] == 4000
    seen = one_approval(core=board.core, actor=board.mona, approval_id=asked.approval_id)
    assert (seen.agreed, seen.agreed_incentive) == (Money(4400, "GBP"), "credit")
    done = board.vote(asked, board.mona)
    assert done.issued is not None
    assert done.issued.voucher is not None
    assert done.issued.voucher.amount == Money(4400, "GBP")
    assert board.shop.one(approvals).granted_incentive == "credit"
    # One may go back to what was asked for, for no more than was agreed.
    asked = board.ask(5000)
    board.vote(asked, board.sam, incentive="fixed")
    board.refused(ApprovalAmountInvalid, board.vote, asked, board.mona, incentive="voucher", amount_minor=701)
    done = board.vote(asked, board.mona, incentive="voucher")
    assert done.issued is not None
    assert done.issued.voucher is not None
    assert done.issued.voucher.amount == Money(700, "GBP")
    assert board.shop.all(approvals)[-1].granted_incentive is None
    board.shop.check()


def multi_use(**more: Any) -> str:
    """Return the catalog with a voucher that is worth its amount three times."""
    document = orjson.loads(policed(*POTS, policies=[]))
    (voucher,) = [each for each in document["incentives"] if each["key"] == "voucher"]
    voucher |= {"max_redemptions": 3, **more}
    return orjson.dumps(document).decode()


def test_a_promise_of_several_uses_is_lowered_to_the_same_for_each(board: Board) -> None:
    publish_catalog(board.core, multi_use())
    asked = board.ask(1000)
    row = board.shop.one(approvals)
    assert row.requested_amount_minor == 3000
    for amount_minor in (2000, 1497, 3001):  # not a third each, less than the least for each, more than was asked
        board.refused(ApprovalAmountInvalid, board.vote, asked, board.mona, amount_minor=amount_minor)
    done = board.vote(asked, board.mona, amount_minor=2100)
    assert done.issued is not None
    assert done.issued.voucher is not None
    assert done.issued.voucher.amount == Money(2100, "GBP")
    board.shop.check()


def test_it_takes_few_statements(board: Board) -> None:
    board.vote(board.ask(2000), board.mona, incentive="fixed")
    asked = board.ask(2000)
    with statements(board.shop) as heard:
        board.vote(asked, board.mona, incentive="fixed")
    said = [each for each in heard if not each.startswith(("BEGIN", "SET", "SELECT set_config"))]
    assert len(said) <= 26, said
