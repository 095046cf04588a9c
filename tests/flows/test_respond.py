"""Responding: each criterion that holds does what it says, once, within what it may; the rest is written down."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.flows import respond as flow
from incentives.flows.respond import respond_due
from incentives.kernel.actors import rule
from incentives.recovery.customers import Contact
from incentives.recovery.feedback_tables import criteria_firings, criteria_hours, feedback
from incentives.recovery.tables import case_tasks, recovery_cases
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.reported import (
    Open,
    answer,
    change,
    criterion,
    fired,
    firings,
    giving,
    report,
    respond,
    results,
    revise,
    text_with,
)
from tests.flows.shop import Shop, budget


@pytest.fixture
def shop(open_shop: Open) -> Shop:
    """A shop whose one criterion gives the default for a bad score."""
    return open_shop(text_with(giving()))


def test_a_bad_score_gets_a_case_and_a_voucher_in_the_name_of_the_rule(shop: Shop) -> None:
    done = answer(shop, comment="I waited for hours", agent="Finn")
    case, issuance = shop.one(recovery_cases), shop.one(issuances)
    assert (done.status, done.case_id, done.issuance_id, done.fired) == ("acted", case.id, issuance.id, ("bad",))
    assert case.opened_by == issuance.actor == rule("bad", "Rule bad").label
    assert (case.issue_tag, case.location, case.source, case.first_score_bp) == (
        "long-wait",
        "london",
        "survey-tool",
        0,
    )
    assert (issuance.case_id, issuance.incentive, issuance.amount_minor) == (case.id, "voucher", 1000)
    assert issuance.metadata == {"criterion": "bad", "feedback_id": str(done.feedback_id)}
    assert shop.one(vouchers).status == "issued"
    assert shop.deliver() == ["captured"]
    shop.check()


def test_a_firing_keeps_the_version_the_facts_and_what_came_of_it(shop: Shop) -> None:
    answer(shop)
    (firing,) = firings(shop)
    assert (firing.mode, firing.outcome, firing.cost_minor, firing.currency) == ("live", "acted", 1000, "GBP")
    assert firing.facts == {"score_bp": 0, "scale": "stars_5"}
    assert firing.actions == [
        {"deed": "open_case", "result": "opened"},
        {"deed": "issue", "result": "issued", "incentive": "voucher"},
    ]
    with shop.core.database.read() as tx:
        assert firing.criterion_item_id == releases.load_current(tx).item_ids["criterion", "bad"]


def test_a_good_score_is_nobodys_trouble(shop: Shop) -> None:
    done = answer(shop, score_bp=10000, score_given="5")
    assert (done.status, done.case_id, done.fired) == ("acted", None, ())
    assert shop.one(feedback).acted_at == shop.clock.now()
    assert fired(shop) == []


def test_acting_twice_is_acting_once(shop: Shop) -> None:
    piece = report(shop)
    first = respond(shop, piece)
    before = shop.everything()
    assert respond(shop, piece, piece) == first
    assert respond_due(core=shop.core) == 0
    assert shop.everything() == before


def test_nothing_is_done_before_the_settle_window_ends(shop: Shop) -> None:
    piece = report(shop, act_at=shop.clock.now() + timedelta(minutes=10))
    assert respond(shop, piece).status == "settling"
    assert respond_due(core=shop.core) == 0
    assert shop.all(issuances) == []
    shop.later(minutes=10)
    assert respond_due(core=shop.core) == 1
    assert len(shop.all(issuances)) == 1


def test_a_slip_that_is_mended_while_it_settles_costs_nothing(shop: Shop) -> None:
    piece = report(shop, act_at=shop.clock.now() + timedelta(minutes=10))
    shop.later(seconds=20)
    revise(shop, piece, 10000, after=timedelta(minutes=10))
    shop.later(minutes=10)
    assert respond_due(core=shop.core) == 1
    assert fired(shop) == []


def test_what_waits_longest_is_done_first_and_no_more_than_asked(shop: Shop) -> None:
    late = report(shop, 1, contact=Contact(email="a@example.com"))
    early = report(shop, 2, act_at=shop.clock.now() - timedelta(minutes=1), contact=Contact(email="b@example.com"))
    assert respond_due(core=shop.core, limit=1) == 1
    assert [each.feedback_id for each in firings(shop)] == [early]
    assert respond_due(core=shop.core, limit=5) == 1
    assert {each.feedback_id for each in firings(shop)} == {early, late}


def test_of_two_that_give_the_greater_priority_gives(open_shop: Open) -> None:
    shop = open_shop(
        text_with(
            giving("small", priority=1, issue={"channels": ["email"], "incentive": "fixed"}),
            giving("large", priority=9, issue={"channels": ["email"], "incentive": "voucher", "amount_minor": 2000}),
        )
    )
    answer(shop)
    assert fired(shop) == [("large", "acted"), ("small", "outranked")]
    assert shop.one(issuances).amount_minor == 2000


def test_after_one_that_stops_no_other_is_asked(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion("first", priority=9, stop=True), giving("second", priority=1)))
    answer(shop)
    assert fired(shop) == [("first", "acted")]
    assert shop.all(issuances) == []


def test_a_second_report_of_the_same_trouble_joins_the_case_and_gives_nothing_more(shop: Shop) -> None:
    first = answer(shop, 1)
    second = answer(shop, 2, tags=("service",))
    assert second.case_id == first.case_id
    assert second.issuance_id is None
    assert fired(shop) == [("bad", "acted"), ("bad", "already")]
    assert results(shop)["open_case"] == "attached"
    assert len(shop.all(issuances)) == 1


def test_another_trouble_of_the_same_customer_is_another_case(shop: Shop) -> None:
    change(shop, giving(), protocol={"issue_tag": "*"})
    assert answer(shop, 1).case_id != answer(shop, 2, tags=("odd",)).case_id
    assert len(shop.all(issuances)) == 2


def test_a_case_that_is_a_month_old_is_another_trouble(shop: Shop) -> None:
    first = answer(shop, 1)
    shop.later(days=31)
    assert answer(shop, 2).case_id != first.case_id


def test_a_budget_that_is_used_up_leaves_a_task_and_no_trace_of_the_gift(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(), budgets=[budget("tiny", cap_minor=1500)]))
    answer(shop, 1, contact=Contact(email="a@example.com"))
    done = answer(shop, 2, contact=Contact(email="b@example.com"))
    assert (done.status, done.issuance_id) == ("acted", None)
    assert fired(shop) == [("bad", "acted"), ("bad", "refused")]
    assert results(shop)["issue"] == "budget-exhausted"
    (task,) = shop.all(case_tasks, case_tasks.c.case_id == done.case_id)
    assert "budget exhausted" in (shop.core.contacts.decrypt(task.title) or "")
    assert shop.pot("tiny") == (0, 1000, 0)
    assert sum(each.count for each in shop.all(criteria_hours, criteria_hours.c.currency == "GBP")) == 1
    shop.check()


def test_the_breaker_lets_so_many_through_an_hour_and_each_source_has_its_own(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(breaker={"count_per_hour": 2})))
    for number in range(3):
        answer(shop, number, contact=Contact(email=f"p{number}@example.com"))
    answer(shop, 9, source="form", contact=Contact(email="p9@example.com"))
    assert [outcome for _, outcome in fired(shop)] == ["acted", "acted", "tripped", "acted"]
    assert len(shop.all(vouchers)) == 3
    assert len(shop.all(case_tasks)) == 1
    shop.later(hours=1)
    answer(shop, 10, contact=Contact(email="p10@example.com"))
    assert fired(shop)[-1] == ("bad", "acted")
    shop.check()


def test_the_breaker_counts_money_by_currency_and_undoes_what_is_too_much(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(breaker={"count_per_hour": 9, "amount_minor_per_hour": {"GBP": 2500}})))
    for number in range(3):
        answer(shop, number, contact=Contact(email=f"p{number}@example.com"))
    assert [outcome for _, outcome in fired(shop)] == ["acted", "acted", "tripped"]
    assert shop.pot("all-gbp") == (0, 2000, 0)
    assert results(shop)["issue"] == "breaker-tripped"
    shop.check()


def test_a_gift_larger_than_an_hour_allows_trips_at_once(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(breaker={"count_per_hour": 9, "amount_minor_per_hour": {"GBP": 999}})))
    answer(shop)
    assert fired(shop) == [("bad", "tripped")]
    assert shop.all(criteria_hours) == []


@pytest.mark.parametrize(
    ("more", "policy", "reason"),
    [
        ({"also": {"ask_approval": True}}, {}, "rule-asks"),
        ({"ask_above_minor": {"GBP": 999}}, {}, "automation-ceiling"),
        ({}, {"automation_ceiling_minor": {"GBP": 999}}, "automation-ceiling"),
        ({"ask_above_minor": {"GBP": 1000}}, {"automation_ceiling_minor": {"GBP": 1000}}, None),
    ],
)
def test_above_the_ceiling_a_person_decides(open_shop: Open, more: Any, policy: Any, reason: str | None) -> None:
    shop = open_shop(text_with(giving(**more), **({"recovery": policy} if policy else {})))
    answer(shop)
    assert fired(shop) == [("bad", "asked" if reason else "acted")]
    assert [each.reasons for each in shop.all(approvals)] == ([[reason]] if reason else [])
    if reason:
        assert shop.decide(shop.one(approvals).id).status == "granted"
        assert len(shop.all(vouchers)) == 1
    shop.check()


def test_whom_nobody_can_reach_gets_a_case_and_a_person(shop: Shop) -> None:
    answer(shop, contact=None, customer_id=None)
    assert fired(shop) == [("bad", "refused")]
    assert results(shop)["issue"] == "channel-without-address"
    assert len(shop.all(case_tasks)) == 1


def test_who_does_not_want_to_be_written_to_is_not(shop: Shop) -> None:
    answer(shop, consent=False)
    assert results(shop)["issue"] == "no-consent"


def test_a_piece_without_a_tag_waits_for_somebody_to_name_it(shop: Shop) -> None:
    done = answer(shop, tags=())
    assert (done.status, done.case_id) == ("waiting", None)
    assert "issue tag" in shop.one(feedback).reason
    assert fired(shop) == []


def test_a_tag_without_a_protocol_waits_too(shop: Shop) -> None:
    done = answer(shop, tags=("odd",))
    assert done.status == "waiting"
    assert shop.one(feedback).reason == "No protocol covers this trouble"
    assert shop.all(recovery_cases) == []


def test_a_mistake_of_ours_sets_the_piece_aside_and_the_next_is_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = report(shop, 1), report(shop, 2)
    act = flow._act

    def stumble(tx: Any, core: Any, row: Any, now: Any) -> Any:
        if row.id == bad:
            raise RuntimeError("a mistake")
        return act(tx, core, row, now)

    monkeypatch.setattr(flow, "_act", stumble)
    assert respond_due(core=shop.core) == 2
    statuses = {row.id: row.status for row in shop.all(feedback)}
    assert statuses == {bad: "waiting", good: "acted"}
    assert "could not be acted on" in caplog.text


def test_who_is_held_out_gets_everything_but_the_incentive(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(holdout_percent=50, also={"notify": ["manager"]}), giving("other", priority=1)))
    for number in range(40):
        answer(shop, number, contact=Contact(email=f"p{number}@example.com"))
    held = shop.all(criteria_firings, criteria_firings.c.mode == "held_out")
    assert 8 <= len(held) <= 32
    for firing in held:
        case = shop.one(recovery_cases, recovery_cases.c.id == firing.case_id)
        assert (case.held_out_of, case.status, firing.outcome, firing.issuance_id) == ("bad", "open", "held_out", None)
        assert {"deed": "issue", "result": "held-out"} in firing.actions
        assert "notify" in {each["deed"] for each in firing.actions}
    assert len(shop.all(issuances)) == 40 - len(held)


def test_who_is_held_out_stays_so_whatever_is_reported_next(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(holdout_percent=50)))
    for number in range(10):
        answer(shop, number, contact=Contact(email=f"p{number}@example.com"))
    held = {each.case_id for each in shop.all(criteria_firings, criteria_firings.c.mode == "held_out")}
    for number in range(10):
        answer(shop, 100 + number, contact=Contact(email=f"p{number}@example.com"))
    again = {each.case_id for each in shop.all(criteria_firings, criteria_firings.c.mode == "held_out")}
    assert held == again
    assert len(held) == 10 - len(shop.all(issuances))


def test_what_cannot_be_mended_by_an_incentive_gets_none(open_shop: Open) -> None:
    grave = criterion("grave", priority=9, when={"words": ["injured"]}, then={"unsalvageable": True})
    shop = open_shop(text_with(grave, giving(priority=1)))
    answer(shop, comment="My child was INJURED.")
    assert fired(shop) == [("grave", "acted"), ("bad", "refused")]
    assert results(shop)["issue"] == "not-salvageable"
    assert shop.one(recovery_cases).salvageable is False
    assert shop.all(issuances) == []


def test_an_offer_is_a_task_and_nothing_is_given(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion(then={"offer": True})))
    answer(shop)
    assert shop.all(issuances) == []
    assert shop.core.contacts.decrypt(shop.one(case_tasks).title) == "Send: The voucher."


def test_a_worse_score_later_lets_what_did_not_fire_yet_fire(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion("meh", when={"score_at_most_pct": 50}), giving("bad", priority=1)))
    piece = report(shop, score_bp=5000, score_given="3")
    respond(shop, piece)
    shop.later(hours=1)
    revise(shop, piece, 0)
    done = respond(shop, piece)
    assert fired(shop) == [("meh", "acted"), ("bad", "acted")]
    assert done.case_id == firings(shop)[0].case_id
    assert len(shop.all(audit_events, audit_events.c.action == "feedback.worse")) == 1


def test_a_better_score_later_takes_nothing_back(shop: Shop) -> None:
    piece = report(shop)
    respond(shop, piece)
    revise(shop, piece, 10000)
    assert respond(shop, piece).status == "acted"
    assert fired(shop) == [("bad", "acted")]
    assert shop.one(vouchers).status == "issued"
    assert len(shop.all(audit_events, audit_events.c.action == "feedback.better")) == 1


def test_who_asks_for_a_case_gets_one_whatever_the_criteria_say(shop: Shop) -> None:
    done = answer(shop, score_bp=None, open_case=True)
    assert done.case_id == shop.one(recovery_cases).id
    assert fired(shop) == []


def test_a_piece_locks_budgets_in_one_go(open_shop: Open) -> None:
    """However many rules would give for it, one does: whoever locked a second time could be waited for in a ring."""
    shop = open_shop(
        text_with(
            giving("first", priority=60, also={"notify": ["manager"]}), giving("second", priority=50), giving("third")
        )
    )
    asked: list[str] = []

    @sa.event.listens_for(shop.core.database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("SELECT") and "ORDER BY budget_periods.budget" in statement:
            asked.append(statement)

    answer(shop)
    sa.event.remove(shop.core.database.engine, "before_cursor_execute", note)
    assert [outcome for _, outcome in fired(shop)] == ["acted", "outranked", "outranked"]
    assert len(asked) == 1
    assert len(shop.all(issuances)) == 1
