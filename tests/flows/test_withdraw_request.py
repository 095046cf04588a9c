"""A request is taken back by whoever asked, or with a reason by who leads there; what was held for it is free again."""

from collections.abc import Callable

import pytest

from incentives.books.tables import audit_events, ledger_entries
from incentives.kernel.errors import (
    ApprovalAlreadyDecided,
    ApprovalExpired,
    ApprovalNotFound,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
)
from incentives.spending.tables import approvals, budget_movements
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.approvals_shop import Board, OpenShop, policed, statements

OpenBoard = Callable[..., Board]


@pytest.fixture
def board(open_shop: OpenShop) -> Board:
    return Board(open_shop(policed()))


def test_the_requester_takes_it_back_and_nothing_is_held(board: Board) -> None:
    asked = board.ask(5000)
    board.vote(asked, board.sam)
    done = board.withdraw(asked, board.agent)
    assert (done.approval_id, done.issuance_id, done.status) == (asked.approval_id, asked.id, "withdrawn")
    row = board.shop.one(approvals)
    assert (row.status, row.decided_by, row.comment) == ("withdrawn", board.agent.label, None)
    assert board.shop.one(issuances).status == "withdrawn"
    assert board.shop.pots() == {}
    assert [each.kind for each in board.shop.all(budget_movements)] == ["hold", "release"]
    assert board.shop.all(vouchers) == board.shop.all(ledger_entries) == []
    event = board.shop.one(audit_events, audit_events.c.action == "approval.withdrawn")
    assert (event.actor, event.facts["amount_minor"], event.facts["currency"]) == (board.agent.label, 5000, "GBP")
    assert event.facts["released"] == [["all-gbp", "organization", "2026-01-01"]]
    board.refused(ApprovalAlreadyDecided, board.vote, asked, board.sue)
    board.refused(ApprovalAlreadyDecided, board.withdraw, asked, board.agent)
    board.shop.check()


def test_who_leads_there_takes_it_back_with_a_reason(board: Board) -> None:
    asked = board.ask(5000)
    for reason in (None, "", "   ", "x" * 501, "a\x00b"):
        board.refused(InputInvalid, board.withdraw, asked, board.sam, reason)
    done = board.withdraw(asked, board.sam, "The customer was refunded at the gate.")
    assert done.status == "withdrawn"
    assert board.shop.one(approvals).comment == "The customer was refunded at the gate."
    board.shop.check()


def test_for_everybody_else_it_is_not_there(board: Board) -> None:
    asked = board.ask(5000)
    for by, refusal in (
        (board.shop.agent, ApprovalNotFound),
        (board.leo, ApprovalNotFound),
        (board.fay, NotPermitted),
        (board.shop.till, NotPermitted),
    ):
        board.refused(refusal, board.withdraw, asked, by, "Because.")


def test_what_was_decided_or_lapsed_is_not_taken_back(board: Board) -> None:
    granted, lapsed = board.ask(2000), board.ask(7000)
    board.vote(granted, board.mona)
    board.refused(ApprovalAlreadyDecided, board.withdraw, granted, board.agent)
    board.shop.later(hours=24)
    board.refused(ApprovalExpired, board.withdraw, lapsed, board.agent)
    board.shop.expire()
    board.refused(ApprovalExpired, board.withdraw, lapsed, board.agent)
    board.shop.check()


def test_a_key_replays_and_stands_for_one_request(board: Board) -> None:
    asked, other = board.ask(5000), board.ask(5000)
    board.withdraw(asked, board.agent, idempotency_key="k")
    before = board.shop.everything()
    again = board.withdraw(asked, board.agent, idempotency_key="k")
    assert (again.status, again.replayed) == ("withdrawn", True)
    assert board.shop.everything() == before
    board.refused(IdempotencyKeyReused, board.withdraw, other, board.agent, idempotency_key="k")
    board.refused(IdempotencyKeyReused, board.withdraw, asked, board.agent, "Why.", idempotency_key="k")


def test_it_takes_few_statements(board: Board) -> None:
    asked = board.ask(5000)
    with statements(board.shop) as heard:
        board.withdraw(asked, board.agent)
    said = [each for each in heard if not each.startswith(("BEGIN", "SET", "SELECT set_config"))]
    # request; approval, issuance; charges, pots; audit, movements, pots
    assert len(said) <= 9, said
