"""An approver who is away hands on the right to decide: with it come its bounds, and nothing can be handed on twice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.access.tables import users
from incentives.books.tables import audit_events
from incentives.flows.delegate import CreateDelegation, RevokeDelegation, create_delegation, revoke_delegation
from incentives.kernel.errors import (
    AlreadyVoted,
    ApprovalNotFound,
    ApproverLimitExceeded,
    DelegationEnded,
    DelegationNotFound,
    IdempotencyKeyReused,
    InputInvalid,
    NotDelegated,
    NotPermitted,
    NotYourLevel,
    SelfApproval,
    UserNotFound,
)
from incentives.queries.approvals import Filters, count_pending, list_approvals, one_approval
from incentives.queries.delegations import approvers, list_delegations
from incentives.spending.tables import approval_votes, delegations
from tests.flows.approvals_shop import Board, OpenShop, person, policed
from tests.world import START, actor, api_key

OpenBoard = Callable[..., Board]


@pytest.fixture
def board(open_shop: OpenShop) -> Board:
    return Board(open_shop(policed()))


def revoke(board: Board, delegation_id: Any, by: Any) -> Any:
    command = RevokeDelegation(delegation_id=delegation_id)
    return revoke_delegation(core=board.core, actor=by, command=command)


def test_who_stands_in_votes_in_the_other_s_place_and_both_names_are_seen(board: Board) -> None:
    asked = board.ask(7000)
    board.delegate(board.mona, board.sam)
    assert board.refused(NotYourLevel, board.vote, asked, board.sam).facts["roles"] == ["manager"]
    seen = one_approval(core=board.core, actor=board.sam, approval_id=asked.approval_id)
    assert (seen.blocked, [each.name for each in seen.stand_ins], seen.may_decide) == ("others-turn", ["Mona"], True)
    assert count_pending(core=board.core, actor=board.sam) == 1
    done = board.vote(asked, board.sam, on_behalf_of=board.mona.label, comment="For Mona.")
    assert (done.status, done.level) == ("pending", 2)
    vote = board.shop.one(approval_votes)
    assert (vote.actor, vote.on_behalf_of) == (board.sam.label, board.mona.label)
    event = board.shop.one(audit_events, audit_events.c.action == "approval.agreed")
    assert (event.actor_name, event.facts["on_behalf_of_name"]) == ("Sam", "Mona")
    seen = one_approval(core=board.core, actor=board.fay, approval_id=asked.approval_id)
    assert [(each.actor_name, each.on_behalf_of_name) for each in seen.votes] == [("Sam", "Mona")]
    # Mona has had her say, and so has Sam.
    board.refused(AlreadyVoted, board.vote, asked, board.mona)
    board.vote(asked, board.fay)
    granted = board.shop.one(audit_events, audit_events.c.action == "approval.granted").facts
    assert granted["agreed"] == [board.mona.label]
    board.shop.check()


def test_the_bounds_are_those_of_who_is_away(board: Board) -> None:
    single = [{"key": "one", "name": "One", "levels": [{"roles": ["supervisor", "manager"]}]}]
    from tests.world import publish_catalog  # noqa: PLC0415 - only here

    publish_catalog(board.core, policed(policies=single))
    asked = board.ask(4500)
    board.delegate(board.sam, board.mona)
    # Mona may give anything herself, and as Sam only what Sam may.
    found = board.refused(ApproverLimitExceeded, board.vote, asked, board.mona, on_behalf_of=board.sam.label)
    assert found.facts["most_minor"] == 4000
    board.delegate(board.max, board.sue)
    board.refused(ApproverLimitExceeded, board.vote, asked, board.sue)
    assert board.vote(asked, board.sue, on_behalf_of=board.max.label).status == "granted"
    board.shop.check()


def test_the_place_is_that_of_who_is_away(board: Board) -> None:
    asked = board.ask(5000)
    board.refused(ApprovalNotFound, board.vote, asked, board.leo)
    board.delegate(board.sam, board.leo)
    assert [each.id for each in list_approvals(core=board.core, actor=board.leo).items] == [asked.approval_id]
    board.refused(ApprovalNotFound, board.vote, asked, board.leo)
    assert board.vote(asked, board.leo, on_behalf_of=board.sam.label).status == "pending"


def test_neither_of_the_two_may_have_asked(board: Board) -> None:
    by_sam, by_sue = board.ask(5000, by=board.sam), board.ask(5000, by=board.sue)
    board.delegate(board.sam, board.sue)
    for asked in (by_sam, by_sue):
        board.refused(SelfApproval, board.vote, asked, board.sue, on_behalf_of=board.sam.label)
    assert one_approval(core=board.core, actor=board.sue, approval_id=by_sam.approval_id).stand_ins == ()


def test_one_person_fills_one_place_of_two_however_many_they_stand_in_for(board: Board) -> None:
    asked = board.ask(5000)
    board.delegate(board.sam, board.sue)
    board.vote(asked, board.sue)
    board.refused(AlreadyVoted, board.vote, asked, board.sue, on_behalf_of=board.sam.label)
    # Sam is back for a moment, and is a second person.
    assert board.vote(asked, board.sam).level == 2


def test_it_holds_from_its_beginning_to_its_end_and_until_it_is_revoked(board: Board) -> None:
    asked = board.ask(7000)
    starts_at = START + timedelta(minutes=10)
    planned = board.delegate(board.mona, board.sam, starts_at=starts_at, ends_at=START + timedelta(minutes=20))

    def refused() -> None:
        board.refused(NotDelegated, board.vote, asked, board.sam, on_behalf_of=board.mona.label)
        assert list_approvals(core=board.core, actor=board.sam, filters=Filters(mine=True)).items == []

    def status() -> str:
        (found,) = list_delegations(core=board.core, actor=board.sam).items
        return found.status

    refused()
    assert status() == "planned"
    board.shop.later(minutes=10)
    assert status() == "active"
    assert count_pending(core=board.core, actor=board.sam) == 1
    board.shop.later(minutes=10)
    assert status() == "over"
    refused()
    board.refused(DelegationEnded, revoke, board, planned, board.mona)
    again = board.delegate(board.mona, board.sam)
    revoke(board, again, board.mona)
    refused()
    event = board.shop.one(audit_events, audit_events.c.action == "delegation.revoked")
    assert event.actor == board.mona.label
    board.refused(DelegationEnded, revoke, board, again, board.mona)
    assert board.shop.all(delegations)[-1].revoked_by == board.mona.label


def test_who_left_or_changed_hands_nothing_on_any_more(board: Board) -> None:
    asked = board.ask(7000)
    board.delegate(board.mona, board.sam)
    with board.core.database.write() as tx:
        tx.execute(users.update().where(users.c.id == board.mona.id).values(role="frontline"))
    board.refused(NotDelegated, board.vote, asked, board.sam, on_behalf_of=board.mona.label)
    with board.core.database.write() as tx:
        tx.execute(users.update().where(users.c.id == board.mona.id).values(role="manager", disabled_at=START))
    board.refused(NotDelegated, board.vote, asked, board.sam, on_behalf_of=board.mona.label)


def test_there_are_no_chains(board: Board) -> None:
    asked = board.ask(7000)
    board.delegate(board.mona, board.sam)
    board.delegate(board.sam, board.sue)
    board.refused(NotDelegated, board.vote, asked, board.sue, on_behalf_of=board.mona.label)
    board.refused(NotYourLevel, board.vote, asked, board.sue, on_behalf_of=board.sam.label)
    for label in (board.sue.label, "person:x", "nobody", "key:" + str(board.sam.id)):
        board.refused(NotDelegated, board.vote, asked, board.sue, on_behalf_of=label)


def test_who_may_arrange_an_absence(board: Board) -> None:
    # Each approver their own; who leads those who may do no more than they, at their place.
    board.delegate(board.fay, board.fred)
    board.delegate(board.sam, board.sue, by=board.mona)
    board.delegate(board.sue, board.sam, by=board.adam)
    board.delegate(board.sue, board.mona, by=board.sam)
    for absent, to, by, refusal in (
        (board.sam, board.mona, board.mona, NotPermitted),  # nobody gives another's right to themselves
        (board.mona, board.sue, board.sam, UserNotFound),  # of another place, for a supervisor of one
        (board.fay, board.sam, board.mona, NotPermitted),
        (board.fay, board.sam, board.fred, NotPermitted),  # finance arranges nobody's absence
        (board.sam, board.agent, board.sam, InputInvalid),  # who decides nothing stands in for nobody
        (board.agent, board.sam, board.mona, InputInvalid),
        (board.sam, board.sam, board.sam, InputInvalid),
        (board.sam, actor(board.core, "manager", email="nobody@example.com"), board.sam, UserNotFound),
        (board.sam, board.mona, board.agent, NotPermitted),
    ):
        board.refused(refusal, board.delegate, absent, to, by=by)
    leaderless = person(board.shop, "Una", "supervisor")
    board.refused(NotPermitted, board.delegate, board.mona, board.sue, by=leaderless)
    program = api_key(board.core, "manager")[1]
    board.refused(InputInvalid, board.delegate, board.mona, board.sam, by=program, absent_email=None)
    board.delegate(board.sam, board.sue, by=program)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "a\x00"}, "reason"),
        ({"ends_at": START}, "ends_at"),
        ({"ends_at": START - timedelta(days=1)}, "ends_at"),
        ({"ends_at": START + timedelta(days=92, seconds=1)}, "ends_at"),
        ({"starts_at": START + timedelta(days=2), "ends_at": START + timedelta(days=1)}, "ends_at"),
    ],
)
def test_a_delegation_has_a_reason_and_an_end(board: Board, values: dict[str, Any], field: str) -> None:
    found = board.refused(InputInvalid, board.delegate, board.mona, board.sam, **values)
    assert found.facts["errors"][0]["field"] == field


def test_a_beginning_in_the_past_is_now(board: Board) -> None:
    board.delegate(board.mona, board.sam, starts_at=START - timedelta(days=3))
    assert board.shop.one(delegations).starts_at == START
    event = board.shop.one(audit_events, audit_events.c.action == "delegation.created")
    assert (event.reason, event.facts["from_name"], event.facts["to_name"]) == ("On holiday.", "Mona", "Sam")


def test_a_key_makes_one_delegation(board: Board) -> None:
    command = CreateDelegation(
        delegate_email="sam@example.com", ends_at=START + timedelta(days=1), reason="Away.", idempotency_key="k"
    )
    first = create_delegation(core=board.core, actor=board.mona, command=command)
    again = create_delegation(core=board.core, actor=board.mona, command=command)
    assert (again.id, again.replayed) == (first.id, True)
    board.shop.later(days=2)
    late = create_delegation(core=board.core, actor=board.mona, command=command)
    assert (late.id, late.replayed) == (first.id, True)  # It is over by now; the first answer is the answer.
    other = CreateDelegation(
        delegate_email="sue@example.com", ends_at=START + timedelta(days=1), reason="Away.", idempotency_key="k"
    )
    board.refused(IdempotencyKeyReused, create_delegation, core=board.core, actor=board.mona, command=other)


def test_a_key_of_a_vote_for_another_is_none_of_an_own_vote(board: Board) -> None:
    asked = board.ask(7000)
    board.delegate(board.mona, board.sam)
    for_mona = {"on_behalf_of": board.mona.label, "idempotency_key": "k"}
    first = board.vote(asked, board.sam, **for_mona)
    board.refused(IdempotencyKeyReused, board.vote, asked, board.sam, idempotency_key="k")
    again = board.vote(asked, board.sam, **for_mona)
    assert (again.replayed, again.status, again.level) == (True, first.status, first.level)


def test_a_delegation_is_seen_and_ended_by_whom_it_concerns(board: Board) -> None:
    hers = board.delegate(board.mona, board.sam)
    theirs = board.delegate(board.sam, board.sue)
    seen = {
        who.name: [each.id for each in list_delegations(core=board.core, actor=who).items]
        for who in (board.mona, board.sam, board.sue, board.leo, board.fay, board.adam)
    }
    assert seen == {
        "Mona": [theirs, hers], "Sam": [theirs, hers], "Sue": [theirs], "Leo": [], "Fay": [], "Adam": [theirs, hers],
    }  # fmt: skip
    for who in (board.leo, board.fay):
        board.refused(DelegationNotFound, revoke, board, theirs, who)
    board.refused(NotPermitted, revoke, board, theirs, board.agent)
    revoke(board, theirs, board.sue)  # who was given it may give it back
    revoke(board, hers, board.adam)
    found = {each.id: each for each in list_delegations(core=board.core, actor=board.adam).items}
    assert (found[hers].status, found[hers].revoked_by_name, found[theirs].revoked_by_name) == (
        "revoked", "Adam", "Sue",
    )  # fmt: skip
    assert list_delegations(core=board.core, actor=board.adam, active_only=True).items == []
    assert "Leo" not in [each.name for each in approvers(core=board.core, actor=board.sam)]
    assert {"Leo", "Mona", "Fay"} <= {each.name for each in approvers(core=board.core, actor=board.mona)}
