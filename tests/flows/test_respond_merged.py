"""A trouble that was paid for stays paid for, whatever becomes of its case; and a new name is no new allowance."""

from typing import Any

from incentives.flows.join_cases import MergeCase, merge_case
from incentives.recovery.customers import Contact
from incentives.recovery.feedback_tables import criteria_hours
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import vouchers
from tests.flows.reported import Open, answer, criterion, fired, giving, report, respond, revise, text_with
from tests.flows.shop import Shop

ODD = {"when": {"issue_tags": ["odd"]}, "priority": 1}


def merge(shop: Shop, case_id: Any, into_id: Any) -> None:
    """Say that two cases are one."""
    command = MergeCase(case_id=case_id, into_id=into_id, reason="She wrote twice.")
    merge_case(core=shop.core, actor=shop.supervisor, command=command)


def test_a_trouble_whose_case_was_merged_into_another_is_not_paid_for_again(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(), criterion("odd", **ODD), protocol={"issue_tag": "*"}))
    paid = answer(shop, 1)
    other = answer(shop, 2, tags=("odd",), score_bp=9000)
    assert paid.case_id != other.case_id
    merge(shop, paid.case_id, other.case_id)
    again = answer(shop, 3)
    assert (again.case_id, again.issuance_id) == (other.case_id, None)
    assert fired(shop)[-1] == ("bad", "already")
    assert len(shop.all(vouchers)) == 1
    assert len(shop.all(recovery_cases)) == 2
    shop.check()


def test_sources_that_nobody_has_approved_share_one_allowance(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(breaker={"count_per_hour": 2})))
    for number in range(4):
        answer(shop, number, source=f"made-up-{number}", contact=Contact(email=f"p{number}@example.com"))
    assert [outcome for _, outcome in fired(shop)] == ["acted", "acted", "tripped", "tripped"]
    assert {each.source for each in shop.all(criteria_hours)} == {"unknown-sources"}


def test_a_source_that_a_criterion_names_has_its_own_allowance(open_shop: Open) -> None:
    named = criterion("named", priority=1, when={"sources": ["till-7"], "score_at_most_pct": 1})
    shop = open_shop(text_with(giving(breaker={"count_per_hour": 1}), named))
    for number, source in enumerate(("made-up", "till-7")):
        answer(shop, number, source=source, contact=Contact(email=f"p{number}@example.com"))
    assert [outcome for key, outcome in fired(shop) if key == "bad"] == ["acted", "acted"]


def test_a_worse_score_of_a_piece_that_was_paid_for_is_not_paid_for_by_another_rule(open_shop: Open) -> None:
    mild = giving("mild", when={"score_at_most_pct": 50})
    shop = open_shop(text_with(mild, giving("grave", priority=200, settle_minutes=0)))
    piece = report(shop, score_bp=5000, score_given="3")
    assert respond(shop, piece).issuance_id is not None
    revise(shop, piece, 0)
    respond(shop, piece)
    assert fired(shop) == [("mild", "acted"), ("grave", "outranked")]
    assert len(shop.all(vouchers)) == 1
    shop.check()


def test_a_worse_version_opens_its_closed_case_again(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion("meh", when={"score_at_most_pct": 50}), giving("bad", priority=1)))
    piece = report(shop, score_bp=5000, score_given="3")
    case_id = respond(shop, piece).case_id
    ended = {"status": "closed", "outcome": "recovered", "closed_at": shop.clock.now(), "closed_by": "person:x"}
    with shop.core.database.write() as tx:
        tx.execute(recovery_cases.update().values(**ended))
    revise(shop, piece, 0)
    done = respond(shop, piece)
    assert (done.case_id, done.issuance_id is None) == (case_id, False)
    case = shop.one(recovery_cases)
    assert (case.status, case.round, case.outcome) == ("open", 2, None)
    assert fired(shop) == [("meh", "acted"), ("bad", "acted")]
