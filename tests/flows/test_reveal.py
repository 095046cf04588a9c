"""A hand-over that was granted later shows its code to whoever asked for it, to nobody else, and each look is kept."""

from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.reveal import RevealCode, reveal_code
from incentives.kernel.errors import CodeNotShown, IssuanceNotFound, NotPermitted
from incentives.vouchers.tables import vouchers
from tests.flows.approvals_shop import Board, OpenShop, policed
from tests.world import START


@pytest.fixture
def board(open_shop: OpenShop) -> Board:
    return Board(open_shop(policed(policies=[])))


def reveal(board: Board, asked: Any, by: Any) -> Any:
    return reveal_code(core=board.core, actor=by, command=RevealCode(issuance_id=asked.id))


def test_whoever_asked_sees_the_code_once_it_is_granted(board: Board) -> None:
    asked = board.ask(2000)
    assert board.refused(CodeNotShown, reveal, board, asked, board.agent).facts["reason"] == "pending-approval"
    board.vote(asked, board.mona)
    first = reveal(board, asked, board.agent)
    again = reveal(board, asked, board.agent)
    assert first.voucher.code == again.voucher.code
    assert board.shop.redeem(first.voucher.code).last4 == first.voucher.last4
    events = board.shop.all(audit_events, audit_events.c.action == "voucher.revealed")
    assert [(each.actor, each.subject_id, each.facts["last4"]) for each in events] == [
        (board.agent.label, str(first.voucher.id), first.voucher.last4)
    ] * 2
    assert first.voucher.code not in str([each.facts for each in events])
    assert board.refused(CodeNotShown, reveal, board, asked, board.agent).facts["reason"] == "redeemed"
    board.shop.check()


def test_to_everybody_else_it_is_not_there(board: Board) -> None:
    asked = board.ask(2000)
    board.vote(asked, board.mona)
    for by in (board.mona, board.sam, board.adam, board.shop.agent):
        board.refused(IssuanceNotFound, reveal, board, asked, by)
    for by in (board.fay, board.shop.till):
        board.refused(NotPermitted, reveal, board, asked, by)


def test_only_a_granted_hand_over_that_can_be_used_is_shown(board: Board) -> None:
    sent, at_once, declined = board.ask(2000, channels=("email",)), board.shop.issue(board.mona), board.ask(2000)
    board.vote(sent, board.mona)
    board.vote(declined, board.mona, "decline")
    withdrawn = board.ask(2000)
    board.withdraw(withdrawn, board.agent)
    for asked, by, reason in (
        (sent, board.agent, "sent-to-customer"),
        (at_once, board.mona, "given-at-once"),
        (declined, board.agent, "declined"),
        (withdrawn, board.agent, "withdrawn"),
    ):
        assert board.refused(CodeNotShown, reveal, board, asked, by).facts["reason"] == reason
    granted = board.ask(2000)
    board.vote(granted, board.mona)
    with board.core.database.write() as tx:
        tx.execute(vouchers.update().where(vouchers.c.issuance_id == granted.id).values(frozen_at=START))
    assert board.refused(CodeNotShown, reveal, board, granted, board.agent).facts["reason"] == "frozen"
    with board.core.database.write() as tx:
        tx.execute(vouchers.update().where(vouchers.c.issuance_id == granted.id).values(frozen_at=None))
    board.shop.later(days=32)
    assert board.refused(CodeNotShown, reveal, board, granted, board.agent).facts["reason"] == "expired"
