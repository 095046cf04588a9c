"""What criteria do besides giving, what those in shadow only write down, and rules that would feed themselves."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.flows.open_case import OpenCase, open_case
from incentives.flows.respond import respond_due
from incentives.flows.work_case import DoStep, do_step
from incentives.messages.tables import outbox_messages
from incentives.recovery.customers import Contact
from incentives.recovery.feedback_tables import criteria_firings, criteria_hours, feedback
from incentives.recovery.tables import case_apologies, case_clocks, case_steps, case_tags, recovery_cases, surveys
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.reported import (
    ISSUE,
    Open,
    answer,
    criterion,
    fired,
    firings,
    giving,
    report,
    respond,
    results,
    text_with,
)
from tests.flows.shop import ANA, budget
from tests.world import person

SHADOW = giving("quiet", mode="shadow", priority=50)


# --- shadow -----------------------------------------------------------------------------------------------


def test_a_rule_in_shadow_writes_down_its_cost_and_nothing_else(open_shop: Open) -> None:
    shop = open_shop(text_with(giving("quiet", mode="shadow", also={"open_case": True, "notify": ["manager"]})))
    before = shop.count()
    done = answer(shop)
    assert (done.status, done.case_id, done.fired) == ("acted", None, ())
    (firing,) = firings(shop)
    assert (firing.mode, firing.outcome, firing.cost_minor, firing.currency) == ("shadow", "would_have", 1000, "GBP")
    assert results(shop) == {"open_case": "would", "notify": "would", "issue": "would"}
    made = {name: count - before.get(name, 0) for name, count in shop.count().items() if count != before.get(name)}
    reported = {"customer_identities": 1, "customers": 1, "feedback": 1, "feedback_tags": 1}
    assert made == {"criteria_firings": 1, **reported}


@pytest.mark.parametrize(
    ("given", "more", "result"),
    [
        ({"contact": None}, {}, "channel-without-address"),
        ({"tags": ("odd",)}, {}, "no-protocol"),
        ({}, {"ask_above_minor": {"GBP": 10}}, "would-ask"),
        ({}, {"also": {"ask_approval": True}}, "would-ask"),
        ({}, {"issue": {"channels": ["email"], "incentive": "summer"}}, "incentive-not-offerable"),
    ],
)
def test_shadow_says_what_would_have_stood_against_it(open_shop: Open, given: Any, more: Any, result: str) -> None:
    shop = open_shop(text_with(giving("quiet", mode="shadow", **more)))
    answer(shop, **given)
    assert results(shop)["issue"] == result
    assert firings(shop)[0].cost_minor == (1000 if result == "would-ask" else None)


def test_shadow_counts_the_same_trouble_of_a_customer_once(open_shop: Open) -> None:
    shop = open_shop(text_with(SHADOW))
    answer(shop, 1)
    answer(shop, 2)
    answer(shop, 3, contact=Contact(email="somebody@example.com"))
    assert [each.cost_minor for each in firings(shop)] == [1000, None, 1000]
    assert results(shop, 1)["issue"] == "already"


def test_shadow_behind_a_rule_that_gives_would_have_given_nothing(open_shop: Open) -> None:
    shop = open_shop(text_with(giving("loud", priority=60), SHADOW))
    answer(shop)
    assert fired(shop) == [("loud", "acted"), ("quiet", "would_have")]
    assert results(shop)["issue"] == "outranked"


def test_a_shadow_that_stops_stops_nobody(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion("quiet", mode="shadow", priority=999, stop=True), giving()))
    answer(shop)
    assert fired(shop) == [("quiet", "would_have"), ("bad", "acted")]


def test_a_rule_that_is_off_is_not_asked(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion(mode="off")))
    answer(shop)
    assert fired(shop) == []


# --- other deeds ------------------------------------------------------------------------------------------


def test_the_people_of_a_role_are_told_once_a_case(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion(then={"notify": ["supervisor", "manager"]})))
    here = person(shop.core, "supervisor", email="here@example.com", location="london")
    person(shop.core, "supervisor", email="there@example.com", location="leeds")
    everywhere = person(shop.core, "manager", email="boss@example.com")
    case_id = answer(shop, 1).case_id
    answer(shop, 2)
    notices = shop.all(outbox_messages)
    assert {each.user_id for each in notices} == {here.id, everywhere.id}
    assert {(each.case_id, each.template, each.channel) for each in notices} == {(case_id, "notice-new", "email")}
    assert len(notices) == 2
    assert results(shop)["notify"] == "nobody-new"


def test_a_storm_does_not_fill_everybodys_mail(open_shop: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("incentives.messages.outbox.MOST_NOTICES", 3)
    shop = open_shop(text_with(criterion(then={"open_case": True, "notify": ["manager"]})))
    person(shop.core, "manager", email="boss@example.com")
    for number in range(5):
        answer(shop, number, contact=Contact(email=f"customer-{number}@example.com"))
    assert len(shop.all(outbox_messages)) == 3
    shop.later(minutes=61)
    answer(shop, 6, contact=Contact(email="customer-6@example.com"))
    assert len(shop.all(outbox_messages)) == 4


def test_a_case_goes_to_who_has_the_fewest_and_keeps_its_owner(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion(then={"assign": {"to": "team", "team": "gates"}})))
    people = {
        person(shop.core, "frontline", email=f"{name}@example.com", location="london", team="gates").label
        for name in ("one", "two")
    }
    for number in range(4):
        answer(shop, number, contact=Contact(email=f"p{number}@example.com"))
    owners = [each.owner for each in shop.all(recovery_cases)]
    assert sorted(owners) == sorted([*people, *people])
    answer(shop, 9, contact=Contact(email="p0@example.com"))
    assert results(shop)["assign"] == "already"
    assert {each.owner_team for each in shop.all(recovery_cases)} == {"gates"}


def test_the_agent_who_served_is_found_by_what_the_source_calls_them(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion(then={"assign": {"to": "same_agent", "team": "gates"}})))
    agent = person(shop.core, "frontline", email="finn@example.com", location="london", team="gates")
    answer(shop, 1, agent="finn@example.com")
    assert shop.one(recovery_cases).owner == agent.label
    answer(shop, 2, agent="nobody@example.com", contact=Contact(email="p@example.com"))
    assert [each.owner for each in shop.all(recovery_cases)] == [agent.label, None]


def test_an_apology_goes_out_at_once_and_is_recorded(open_shop: Open) -> None:
    shop = open_shop(
        text_with(criterion(then={"apologize": {"channels": ["email", "sms"]}}), protocol={"clocks": {"apology": 60}})
    )
    answer(shop, 1)
    apology = shop.one(case_apologies)
    assert "Dear Ana, Acme is sorry" in (shop.core.contacts.decrypt(apology.words) or "")
    assert (apology.script, apology.channel, apology.spoken) == ("sorry", "email", False)
    assert [each.step for each in shop.all(case_steps)] == ["apologize"]
    assert shop.one(case_clocks).met_at == shop.clock.now()
    assert shop.deliver() == ["captured"]
    assert "Acme is sorry" in shop.sender().letters[0].apology
    answer(shop, 2)
    assert results(shop)["apologize"] == "already"
    assert len(shop.all(case_apologies)) == 1


def test_an_apology_goes_out_though_the_incentive_waits(open_shop: Open) -> None:
    also = {"apologize": {"channels": ["email"]}, "ask_approval": True}
    shop = open_shop(text_with(giving(also=also)))
    answer(shop)
    assert fired(shop) == [("bad", "asked")]
    assert shop.deliver() == ["captured"]
    assert shop.all(vouchers) == []


def test_asking_again_is_planned_whatever_the_protocol_says(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion(then={"resurvey_hours": 48})))
    answer(shop)
    survey = shop.one(surveys)
    assert (survey.status, survey.due_at) == ("planned", shop.clock.now() + timedelta(hours=48))
    assert results(shop)["resurvey_hours"] == "planned"


def test_what_intake_knows_is_not_asked_again(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion()))
    answer(shop, comment="The wait", agent="Finn", order_ref="A-1", product="tea", tags=("long-wait", "service"))
    case = shop.one(recovery_cases)
    story = shop.core.contacts.decrypt(case.story) or ""
    assert "The wait" in story
    assert "Finn" in story
    assert (case.order_ref, case.product) == ("A-1", "tea")
    assert {each.issue_tag for each in shop.all(case_tags)} == {"long-wait", "service"}


def test_earlier_recoveries_of_the_same_customer_count_behind_every_address(open_shop: Open) -> None:
    only_new = giving("first-time", when={"score_at_most_pct": 25, "earlier_recoveries_at_most": 0}, priority=9)
    shop = open_shop(text_with(only_new, criterion("again", priority=1)))
    answer(shop, 1)
    shop.later(days=40)
    answer(shop, 2, contact=Contact(name="Ana", email="ANA.lopez+x@example.com"))
    assert fired(shop) == [("first-time", "acted"), ("again", "acted"), ("again", "acted")]


# --- loops ------------------------------------------------------------------------------------------------


def test_an_answer_after_a_recovery_feeds_no_rule_that_does_not_name_it(open_shop: Open) -> None:
    shop = open_shop(text_with(giving()))
    case_id = answer(shop, 1).case_id
    for number in range(2, 6):
        done = answer(shop, number, source="resurvey", case_id=case_id)
        assert (done.status, done.case_id) == ("acted", case_id)
    assert fired(shop) == [("bad", "acted")]


def test_what_is_said_about_a_voucher_for_ever_gives_once(open_shop: Open) -> None:
    """Who rates the voucher badly, gets one for that, and rates that one badly, and so on."""
    shop = open_shop(text_with(giving()))
    answer(shop, 1)
    for number in range(2, 8):
        answer(shop, number, voucher_id=shop.all(vouchers)[-1].id, contact=None, tags=())
    assert len(shop.all(issuances)) == 1
    assert [outcome for _, outcome in fired(shop)] == ["acted"] + ["already"] * 6


def test_a_voucher_of_a_closed_case_gives_nothing_by_the_same_rule_either(open_shop: Open) -> None:
    shop = open_shop(text_with(giving()))
    first = answer(shop, 1)
    with shop.core.database.write() as tx:
        tx.execute(recovery_cases.update().values(status="closed", outcome="recovered", closed_at=shop.clock.now()))
    second = answer(shop, 2, voucher_id=shop.one(vouchers).id)
    assert second.case_id != first.case_id
    assert [outcome for _, outcome in fired(shop)] == ["acted", "already"]


def test_two_rules_that_disagree_do_what_the_greater_priority_says(open_shop: Open) -> None:
    no = criterion("no", priority=9, then={"unsalvageable": True}, stop=True)
    shop = open_shop(text_with(no, giving("yes", priority=8)))
    answer(shop)
    assert fired(shop) == [("no", "acted")]
    assert shop.all(issuances) == []


# --- storms -----------------------------------------------------------------------------------------------


def test_a_storm_costs_an_hour_and_not_the_budget(open_shop: Open) -> None:
    storm = text_with(giving(breaker={"count_per_hour": 3}), budgets=[budget("month", cap_minor=100_000)])
    shop = open_shop(storm)
    for number in range(30):
        report(shop, number, contact=Contact(email=f"p{number}@example.com"))
    assert respond_due(core=shop.core) == 30
    outcomes = [outcome for _, outcome in fired(shop)]
    assert (outcomes.count("acted"), outcomes.count("tripped")) == (3, 27)
    assert shop.pot("month") == (0, 3000, 0)
    assert len(shop.all(recovery_cases)) == 30
    assert {(each.currency, each.count) for each in shop.all(criteria_hours)} == {("XXX", 3), ("GBP", 3)}
    shop.check()


def test_where_two_currencies_are_given_the_count_is_of_both(open_shop: Open) -> None:
    issue = {**ISSUE}
    shop = open_shop(text_with(giving(issue=issue, breaker={"count_per_hour": 2})))
    for number, location in enumerate(("london", "new-york", "london")):
        answer(shop, number, location=location, contact=Contact(email=f"p{number}@example.com"))
    assert [each.currency for each in shop.all(issuances)] == ["GBP", "USD"]
    assert fired(shop)[-1] == ("bad", "tripped")


def test_firings_are_never_changed(open_shop: Open) -> None:
    shop = open_shop(text_with(giving()))
    answer(shop)
    with pytest.raises(Exception, match="append-only"), shop.core.database.write() as tx:
        tx.execute(criteria_firings.update().values(outcome="refused"))


def test_a_piece_that_nobody_settled_yet_is_not_taken(open_shop: Open) -> None:
    shop = open_shop(text_with(giving()))
    piece = report(shop, status="ignored")
    assert respond(shop, piece).status == "ignored"
    assert shop.one(feedback).acted_at is None


def test_a_step_that_a_person_wrote_down_does_not_keep_a_rule_from_apologizing(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion(then={"open_case": True, "apologize": {"channels": ["email"]}})))
    trouble = OpenCase(issue_tag="service", customer=ANA, location="london", severity=3, order_ref="o-1")
    case_id = open_case(core=shop.core, actor=shop.manager, command=trouble).id
    do_step(core=shop.core, actor=shop.manager, command=DoStep(case_id=case_id, step="apologize"))
    done = answer(shop, order_ref="o-1")
    assert (done.status, shop.one(feedback).status) == ("acted", "acted")
    assert shop.one(case_apologies).case_id == done.case_id
