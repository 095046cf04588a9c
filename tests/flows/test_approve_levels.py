"""Levels: so many of each must agree, the last vote grants, one who declines ends it, and what grew old goes on."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.approve import DecideApproval, decide_approvals
from incentives.flows.escalate_approvals import escalate_approvals_due
from incentives.flows.expire import expire_due
from incentives.kernel.errors import (
    AlreadyVoted,
    ApprovalAlreadyDecided,
    ApprovalAmountInvalid,
    ApprovalExpired,
    ApprovalNotFound,
    ApproverLimitExceeded,
    InputInvalid,
    NotPermitted,
    NotYourLevel,
    SelfApproval,
)
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries.approvals import Filters, count_pending, list_approvals, one_approval
from incentives.spending.tables import approval_votes, approvals
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.approvals_shop import Board, OpenShop, person, policed, statements
from tests.world import START, api_key, publish_catalog


@pytest.fixture
def board(open_shop: OpenShop) -> Board:
    return Board(open_shop(policed()))


def mine(board: Board, who: Any) -> list[Any]:
    """Return the requests on which it is somebody's turn, by list and by count alike."""
    found = list_approvals(core=board.core, actor=who, filters=Filters(status="pending", mine=True)).items
    assert count_pending(core=board.core, actor=who) == len(found)
    assert all(each.may_decide for each in found)
    return [each.id for each in found]


def test_a_request_pins_the_policy_that_fits(board: Board) -> None:
    found = {each: board.ask(each) for each in (3000, 3001, 5999, 6000)}
    odd = board.ask(2000, issue_tag="odd")
    rows = {row.id: row for row in board.shop.all(approvals)}
    assert rows[found[3000].approval_id].policy_item_id is None
    middle = rows[found[3001].approval_id].policy_item_id
    assert rows[found[5999].approval_id].policy_item_id == middle
    dear = rows[found[6000].approval_id]
    assert dear.policy_item_id not in (None, middle)
    assert (dear.level, dear.level_since_at) == (1, START)
    assert dear.escalates_at == START + timedelta(minutes=60)
    assert dear.expires_at == START + timedelta(hours=24)
    assert rows[odd.approval_id].policy_item_id not in (None, middle, dear.policy_item_id)
    # A new catalog does not reach back.
    publish_catalog(board.core, policed(policies=[]))
    seen = one_approval(core=board.core, actor=board.mona, approval_id=found[6000].approval_id)
    assert (seen.policy, len(seen.levels)) == ("dear", 2)
    board.refused(NotYourLevel, board.vote, found[6000], board.fay)


def test_two_of_a_level_and_one_of_the_next_grant(board: Board) -> None:
    asked = board.ask(5000)
    first = board.vote(asked, board.sam, comment="Fine with me.")
    assert (first.status, first.level, first.levels, first.still_needed, first.issued) == ("pending", 1, 2, 1, None)
    assert board.shop.all(vouchers) == []
    board.shop.later(minutes=5)
    second = board.vote(asked, board.sue)
    assert (second.status, second.level, second.still_needed) == ("pending", 2, 1)
    row = board.shop.one(approvals)
    assert (row.status, row.level, row.level_since_at) == ("pending", 2, START + timedelta(minutes=5))
    assert row.escalates_at is None
    done = board.vote(asked, board.mona, comment="Go.")
    assert done.status == "granted"
    assert done.issued is not None
    assert done.issued.voucher is not None
    assert done.issued.voucher.amount == Money(5000, "GBP")
    assert [(each.level, each.actor, each.decision) for each in board.shop.all(approval_votes)] == [
        (1, board.sam.label, "grant"), (1, board.sue.label, "grant"), (2, board.mona.label, "grant"),
    ]  # fmt: skip
    assert board.shop.pots() == {("all-gbp", "organization"): (0, 5000, 0)}
    events = board.shop.all(audit_events, audit_events.c.subject_id == str(asked.id))
    assert [each.action for each in events] == [
        "approval.requested", "approval.agreed", "approval.agreed", "approval.granted",
    ]  # fmt: skip
    granted = events[-1].facts
    assert granted["charged"] == [["all-gbp", "organization", "2026-01-01"]]
    assert (granted["amount_minor"], granted["requested_amount_minor"]) == (5000, 5000)
    assert granted["agreed"] == [board.sam.label, board.sue.label]
    assert granted["voucher_id"] == str(done.issued.voucher.id)
    board.shop.check()


def test_whoever_declines_ends_it_at_any_level(board: Board) -> None:
    for before, by in ([], board.sam), ([board.sam], board.sue), ([board.sam, board.sue], board.fay):
        asked = board.ask(5000)
        for each in before:
            board.vote(asked, each)
        assert board.vote(asked, by, "decline", comment="No.").status == "declined"
        board.refused(ApprovalAlreadyDecided, board.vote, asked, board.mona)
    assert board.shop.pots() == {}
    board.shop.check()


def test_nobody_votes_twice_nor_out_of_turn(board: Board) -> None:
    asked = board.ask(5000)
    found = board.refused(NotYourLevel, board.vote, asked, board.mona)
    assert (found.facts["level"], found.facts["roles"]) == (1, ["supervisor"])
    board.vote(asked, board.sam)
    board.refused(AlreadyVoted, board.vote, asked, board.sam)
    board.refused(AlreadyVoted, board.vote, asked, board.sam, "decline")
    board.vote(asked, board.sue)
    board.refused(NotYourLevel, board.vote, asked, board.fred)
    # A person who is named decides whatever their role is.
    assert board.vote(asked, board.fay).status == "granted"


def test_bad_input_changes_nothing(board: Board) -> None:
    asked = board.ask(5000)
    for by, refusal in ((board.leo, ApprovalNotFound), (board.agent, NotPermitted)):
        board.refused(refusal, board.vote, asked, by)
    board.refused(InputInvalid, board.vote, asked, board.sam, "perhaps")
    board.refused(InputInvalid, board.vote, asked, board.sam, comment="x" * 2001)
    board.refused(InputInvalid, board.vote, asked, board.sam, comment="a\x00b")
    for amount_minor in (5001, 499, 0, -1):
        board.refused(ApprovalAmountInvalid, board.vote, asked, board.sam, amount_minor=amount_minor)


def test_the_lowest_amount_that_anybody_said_is_what_is_granted(board: Board) -> None:
    asked = board.ask(5000)
    board.vote(asked, board.sam, amount_minor=4500)
    board.refused(ApprovalAmountInvalid, board.vote, asked, board.sue, amount_minor=4501)
    board.vote(asked, board.sue)
    seen = one_approval(core=board.core, actor=board.mona, approval_id=asked.approval_id)
    assert (seen.agreed, seen.amount, seen.least_minor) == (Money(4500, "GBP"), Money(5000, "GBP"), 500)
    done = board.vote(asked, board.mona)
    assert done.issued is not None
    assert done.issued.voucher is not None
    assert done.issued.voucher.amount == Money(4500, "GBP")
    assert board.shop.pots() == {("all-gbp", "organization"): (0, 4500, 0)}
    board.shop.check()


def test_only_the_last_level_s_votes_must_be_within_their_own_limit(board: Board) -> None:
    """Supervisors may give 40 pounds: as the first level they agree to more, and alone they do not grant it."""
    asked = board.ask(5000)
    board.vote(asked, board.sam)
    alone = [{"key": "alone", "name": "Alone", "levels": [{"roles": ["supervisor"], "needed": 2}]}]
    publish_catalog(board.core, policed(policies=alone))
    single = board.ask(5000)
    found = board.refused(ApproverLimitExceeded, board.vote, single, board.sam)
    assert found.facts["most_minor"] == 4000
    board.vote(single, board.sam, amount_minor=4000)
    assert board.vote(single, board.sue).status == "granted"
    board.shop.check()


# --- what grows old ---------------------------------------------------------------------------------------------


def test_a_level_that_did_not_decide_in_time_has_passed_it_on_swept_or_not(board: Board) -> None:
    asked = board.ask(5000)
    board.vote(asked, board.sam)
    board.shop.later(minutes=29, seconds=59)
    assert mine(board, board.sue) == [asked.approval_id]
    assert mine(board, board.mona) == mine(board, board.sam) == []
    board.refused(NotYourLevel, board.vote, asked, board.mona)
    board.shop.later(seconds=1)
    assert mine(board, board.sue) == []
    assert mine(board, board.mona) == mine(board, board.fay) == [asked.approval_id]
    board.refused(NotYourLevel, board.vote, asked, board.sue)
    assert board.vote(asked, board.mona).status == "granted"
    row = board.shop.one(approvals)
    assert (row.level, row.level_since_at) == (2, START + timedelta(minutes=30))
    board.shop.check()


def test_the_sweep_records_it_once_and_tells_the_next_level(board: Board) -> None:
    asked = board.ask(9000, by=board.adam, incentive="credit")
    asked_too = board.ask(7000)
    assert escalate_approvals_due(core=board.core) == 0
    board.shop.later(minutes=60)
    assert escalate_approvals_due(core=board.core) == 2
    assert escalate_approvals_due(core=board.core) == 0
    rows = {row.id: row for row in board.shop.all(approvals)}
    row = rows[asked.approval_id]
    assert (row.level, row.level_since_at) == (2, START + timedelta(minutes=60))
    assert row.escalates_at == START + timedelta(minutes=180)
    told = board.shop.all(outbox_messages, outbox_messages.c.template == "notice-approval")
    assert sorted((each.case_id, each.user_id) for each in told) == sorted(
        (each.case_id, who.id) for each in (asked, asked_too) for who in (board.fay, board.fred)
    )
    events = board.shop.all(audit_events, audit_events.c.action == "approval.escalated")
    assert [(each.facts["from_level"], each.facts["level"], each.facts["told"]) for each in events] == [(1, 2, 2)] * 2
    board.refused(NotYourLevel, board.vote, asked_too, board.mona)
    board.refused(NotYourLevel, board.vote, asked_too, board.adam)
    # After the last level the fallback may too, and the last level still.
    board.shop.later(minutes=120)
    assert mine(board, board.adam) != []
    assert escalate_approvals_due(core=board.core) == 2
    assert escalate_approvals_due(core=board.core) == 0
    assert {row.level for row in board.shop.all(approvals)} == {3}
    # Who asked is not told that they may decide.
    told = board.shop.all(outbox_messages, outbox_messages.c.user_id == board.adam.id)
    assert [each.case_id for each in told] == [asked_too.case_id]
    seen = one_approval(core=board.core, actor=board.adam, approval_id=asked_too.approval_id)
    assert (seen.level, seen.fallback, seen.escalates_at, seen.blocked) == (2, True, None, None)
    assert board.vote(asked_too, board.adam).status == "granted"
    assert board.vote(asked, board.fred).status == "granted"
    board.shop.deliver()
    board.shop.check()


def test_a_sweep_that_slept_passes_over_several_levels(board: Board) -> None:
    asked = board.ask(7000)
    board.shop.later(hours=5)
    assert mine(board, board.adam) == [asked.approval_id]
    assert escalate_approvals_due(core=board.core) == 1
    assert board.shop.one(approvals).level == 3
    assert board.shop.one(audit_events, audit_events.c.action == "approval.escalated").facts["fallback"]


def test_what_has_lapsed_is_neither_decided_nor_passed_on(board: Board) -> None:
    asked = board.ask(7000)
    board.shop.later(hours=24)
    assert escalate_approvals_due(core=board.core) == 0
    board.refused(ApprovalExpired, board.vote, asked, board.mona)
    assert expire_due(core=board.core).approvals == 1
    assert board.shop.pots() == {}
    assert board.shop.one(issuances).status == "expired"
    board.shop.check()


# --- who may not ------------------------------------------------------------------------------------------------


def test_the_requester_has_no_say_in_any_role(board: Board) -> None:
    asked = board.ask(5000, by=board.sam)
    board.refused(SelfApproval, board.vote, asked, board.sam)
    board.refused(SelfApproval, board.vote, asked, board.sam, "decline")
    twin = person(board.shop, "Twin", "supervisor", location="london", email="sam+other@example.com")
    board.refused(SelfApproval, board.vote, asked, twin)
    assert one_approval(core=board.core, actor=twin, approval_id=asked.approval_id).blocked == "own"


def test_a_key_and_whoever_made_it_are_one(board: Board) -> None:
    from incentives.flows import people  # noqa: PLC0415 - only here
    from incentives.queries.access import actor_of_api_key  # noqa: PLC0415

    def key(role: str, by: Any) -> Any:
        command = people.CreateApiKey(name=f"{role} of {by.name}", role=role, location="london")
        made = people.create_api_key(core=board.core, actor=by, command=command)
        return actor_of_api_key(core=board.core, secret=made.secret)

    publish_catalog(board.core, policed(policies=[]))
    asking = key("frontline", board.adam)
    asked = board.ask(2000, by=asking)
    board.refused(SelfApproval, board.vote, asked, board.adam)
    board.refused(SelfApproval, board.vote, asked, key("supervisor", board.adam))
    # A key that the operator made is nobody's.
    operators = api_key(board.core, "manager")[1]
    assert board.vote(asked, operators).status == "granted"


def test_a_person_s_own_key_does_not_decide_for_them(board: Board) -> None:
    from incentives.flows import people  # noqa: PLC0415
    from incentives.queries.access import actor_of_api_key  # noqa: PLC0415

    limits = [{"role": role, "currency": "GBP", "per_voucher_minor": 10} for role in ("admin", "frontline")]
    limits.append({"role": "manager", "currency": "GBP", "unlimited": True})
    publish_catalog(board.core, policed(policies=[], approval_limits=limits))
    asked = board.ask(2000, by=board.adam)
    made = people.create_api_key(
        core=board.core, actor=board.adam, command=people.CreateApiKey(name="k", role="manager", location=None)
    )
    own_key = actor_of_api_key(core=board.core, secret=made.secret)
    board.refused(SelfApproval, board.vote, asked, own_key)
    assert board.vote(asked, board.mona).status == "granted"


# --- the same key, many at once, and how much is said --------------------------------------------------------------


def test_a_vote_is_replayed_as_it_was(board: Board) -> None:
    asked = board.ask(5000)
    first = board.vote(asked, board.sam, idempotency_key="k")
    board.vote(asked, board.sue, idempotency_key="k")
    board.vote(asked, board.mona, idempotency_key="k")
    before = board.shop.everything()
    again = board.vote(asked, board.sam, idempotency_key="k")
    assert (again.status, again.level, again.still_needed, again.replayed) == (
        first.status, first.level, first.still_needed, True,
    )  # fmt: skip
    second = board.vote(asked, board.sue, idempotency_key="k")
    assert (second.status, second.level, second.still_needed) == ("pending", 2, 1)
    third = board.vote(asked, board.mona, idempotency_key="k")
    assert (third.status, third.replayed, third.issued is not None) == ("granted", True, True)
    assert board.shop.everything() == before


def test_many_are_decided_at_once_each_with_its_own_answer(board: Board) -> None:
    fine, other, done = board.ask(2000), board.ask(5000), board.ask(2000)
    board.vote(done, board.mona, "decline")
    ids = [each.approval_id for each in (fine, other, done, fine)]
    commands = [DecideApproval(approval_id=each, decision="grant") for each in ids]
    found = decide_approvals(core=board.core, actor=board.mona, commands=commands)
    assert [getattr(each, "status", type(each).__name__) for each in found] == [
        "granted", "NotYourLevel", "ApprovalAlreadyDecided", "ApprovalAlreadyDecided",
    ]  # fmt: skip
    many = [commands[0]] * 101
    board.refused(InputInvalid, decide_approvals, core=board.core, actor=board.mona, commands=many)
    board.refused(NotPermitted, decide_approvals, core=board.core, actor=board.agent, commands=[])
    board.shop.check()


def test_each_vote_takes_few_statements(board: Board) -> None:
    asked = board.ask(5000)
    board.vote(board.ask(5000), board.sam)  # what is read once is read
    said = {}
    for name, by in (("agreed", board.sam), ("moved on", board.sue), ("granted", board.mona)):
        with statements(board.shop) as heard:
            board.vote(asked, by)
        said[name] = [each for each in heard if not each.startswith(("BEGIN", "SET", "SELECT set_config"))]
    counts = {name: len(each) for name, each in said.items()}
    # request, requester, whether it is for the voter themselves, votes, catalog; vote, level, audit
    assert counts["agreed"] <= 8, said["agreed"]
    # … and who had a say; who is to be told: people, those who stand in, how often lately, the notices
    assert counts["moved on"] <= 13, said["moved on"]
    assert counts["granted"] <= 24, said["granted"]
    with statements(board.shop) as heard:
        list_approvals(core=board.core, actor=board.mona, filters=Filters(status="pending", mine=True))
    assert len(heard) <= 16, heard
