"""Asking again: planned once, sent when it does not nag, and what the answer comes to."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.deeds import asking as helper
from incentives.flows.close_case import ReopenCase, reopen_case
from incentives.kernel.actors import SYSTEM
from incentives.messages.port import SurveyLetter
from incentives.messages.tables import outbox_messages
from incentives.queries import feedback_page
from incentives.recovery.feedback_tables import feedback, feedback_revisions
from incentives.recovery.links import SURVEY, token_of
from incentives.recovery.tables import recovery_cases, surveys
from tests.flows.asked import Asking, asking
from tests.flows.shop import ANA, EMAIL, PHONE, Shop, named
from tests.world import person

OpenShop = Callable[..., Shop]
NOBODY = named()


@pytest.fixture
def asks(open_shop: OpenShop) -> Asking:
    return asking(open_shop)


def deeds(asks: Asking) -> list[str]:
    rows = asks.shop.all(audit_events)
    return [row.action for row in sorted(rows, key=lambda row: row.id) if row.action.startswith(("survey.", "case."))]


# --- planning --------------------------------------------------------------------------------------------------------


def test_closing_plans_a_survey_that_is_sent_when_it_is_due(asks: Asking) -> None:
    case_id = asks.closed()
    planned = asks.survey(case_id)
    assert (planned.status, planned.after, planned.channel, planned.scale) == ("planned", "close", "email", "stars_5")
    assert planned.due_at == asks.core.clock.now() + timedelta(hours=24)
    assert planned.first_score_bp == 2500
    asks.shop.later(hours=23)
    assert asks.follow_up() == 0
    asks.shop.later(hours=1)
    assert asks.follow_up() == 1
    assert asks.follow_up() == 0
    assert asks.survey(case_id).status == "sent"
    assert asks.survey(case_id).sent_at == asks.core.clock.now()
    assert asks.shop.deliver() == ["captured"]
    letter: Any = asks.shop.sender().letters[0]
    assert type(letter) is SurveyLetter
    assert (letter.to, letter.brand, letter.about, letter.scores) == (EMAIL, "Acme", "Words", (1, 2, 3, 4, 5))
    token = token_of(asks.core.keys.links, SURVEY, planned.id)
    assert letter.url == f"http://127.0.0.1:8000/f/{token}"
    (message,) = asks.shop.all(outbox_messages)
    assert (message.issuance_id, message.case_id, message.survey_id) == (None, case_id, planned.id)
    told = asks.shop.one(audit_events, audit_events.c.action == "message.captured")
    assert (told.subject_kind, told.subject_id, told.case_id) == ("case", str(case_id), case_id)
    asks.shop.check()


def test_who_has_no_email_is_asked_by_sms(asks: Asking) -> None:
    asks.asked(customer=named(phone=PHONE, locale="es-MX"))
    assert asks.shop.one(surveys).channel == "sms"
    asks.shop.deliver()
    (letter,) = asks.shop.sender("sms").letters
    assert (letter.to, letter.locale) == (PHONE, "es-MX")


@pytest.mark.parametrize(
    ("outcome", "more", "reason"),
    [
        ("recovered", {"customer": NOBODY}, helper.NO_ADDRESS),
        ("no_action", {}, helper.NOT_TO_BE_ASKED),
    ],
)
def test_who_cannot_be_asked_is_not_and_the_reason_is_kept(
    asks: Asking, outcome: str, more: dict[str, Any], reason: str
) -> None:
    case_id = asks.opened(**more)
    closed = asks.close(case_id, outcome, reason="Nothing was wrong.")
    assert not closed.survey_planned
    assert (asks.survey(case_id).status, asks.survey(case_id).reason) == ("suppressed", reason)
    asks.shop.later(days=3)
    assert asks.follow_up() == 0
    assert asks.shop.deliver() == []


def test_who_said_no_is_not_asked(asks: Asking) -> None:
    case_id = asks.opened()
    asks.buys()
    with asks.core.database.write() as tx:
        tx.execute(feedback.update().values(case_id=case_id, consent=False))
    asks.close(case_id)
    assert (asks.survey(case_id).status, asks.survey(case_id).reason) == ("suppressed", helper.NO_CONSENT)


def test_a_protocol_that_does_not_ask_asks_nobody(open_shop: OpenShop) -> None:
    asks = asking(open_shop, after=None)
    asks.closed()
    assert asks.shop.all(surveys) == []


def test_redeeming_plans_a_survey_where_the_protocol_says_so(open_shop: OpenShop) -> None:
    asks = asking(open_shop, after="redemption", hours=2)
    issued = asks.shop.issue(incentive="fixed")
    assert asks.shop.all(surveys) == []
    asks.close(issued.case_id)
    assert asks.shop.all(surveys) == []  # the voucher may still be spent
    assert issued.voucher
    asks.shop.redeem(issued.voucher.code)
    survey = asks.shop.one(surveys)
    assert (survey.after, survey.status, survey.case_id) == ("redemption", "planned", issued.case_id)
    assert survey.due_at == asks.core.clock.now() + timedelta(hours=2)


def test_where_nothing_was_given_closing_is_what_is_asked_after(open_shop: OpenShop) -> None:
    asks = asking(open_shop, after="redemption")
    case_id = asks.closed()
    assert asks.survey(case_id).after == "close"


def test_giving_plans_a_survey_where_the_protocol_says_so(open_shop: OpenShop) -> None:
    asks = asking(open_shop, after="issue", hours=48)
    first = asks.shop.issue(incentive="fixed", channels=("email",))
    survey = asks.shop.one(surveys)
    assert (survey.after, survey.case_id) == ("issue", first.case_id)
    asks.shop.issue(incentive="fixed", case_id=first.case_id)
    assert asks.close(first.case_id).survey_planned  # by what was given
    assert asks.shop.one(surveys).id == survey.id  # once a round


def test_what_is_granted_is_asked_after_too(open_shop: OpenShop) -> None:
    asks = asking(open_shop, after="issue")
    asked = asks.shop.ask(incentive="voucher", amount_minor=4000, location="london")
    assert asks.shop.all(surveys) == []
    asks.shop.decide(asked.approval_id)
    assert asks.shop.one(surveys).case_id == asked.case_id


def test_a_criterion_s_hours_ask_whatever_the_protocol_says(open_shop: OpenShop) -> None:
    asks = asking(open_shop, after=None)
    case_id = asks.opened()
    now = asks.core.clock.now()
    with asks.core.database.write() as tx:
        catalog = releases.cached_current(tx, asks.core).catalog
        planned = helper.plan(tx, asks.core, now, catalog, case_id, "issue", hours=6)
        again = helper.plan(tx, asks.core, now, catalog, case_id, "issue", hours=6)
    assert asks.shop.one(surveys).id == planned
    assert asks.shop.one(surveys).due_at == now + timedelta(hours=6)
    assert again is None


# --- nagging ---------------------------------------------------------------------------------------------------------


def test_nobody_is_asked_twice_within_the_quiet_days(open_shop: OpenShop) -> None:
    asks = asking(open_shop, survey_quiet_days=10)
    asks.asked()
    second = asks.closed()
    asks.shop.later(days=2)
    assert asks.follow_up() == 1
    survey = asks.survey(second)
    assert survey.status == "suppressed"
    assert "less than 10 days ago" in survey.reason
    third = asks.closed()
    asks.shop.later(days=9)
    assert asks.follow_up() == 1
    assert asks.survey(third).status == "sent"


def test_two_spellings_of_one_customer_are_asked_once(asks: Asking) -> None:
    both = named(EMAIL, phone=PHONE)
    asks.closed(customer=named(EMAIL))
    asks.closed(customer=named(phone=PHONE))
    asks.closed(customer=both)  # says that they are one
    asks.shop.later(days=2)
    assert asks.follow_up() == 3
    assert sorted(row.status for row in asks.shop.all(surveys)) == ["sent", "suppressed", "suppressed"]


def test_nobody_is_asked_about_one_case_while_another_is_open(asks: Asking) -> None:
    case_id = asks.closed()
    other = asks.opened()
    asks.shop.later(days=2)
    assert asks.follow_up() == 1
    assert asks.survey(case_id).reason == "Another case of the customer is open."
    assert asks.case(other).status == "open"


@pytest.mark.parametrize(
    ("hours", "until"), [(7, "2026-11-21 09:00"), (19.99, "2026-11-21 09:00"), (32, "2026-11-22 09:00")]
)
def test_no_phone_rings_at_night(asks: Asking, hours: float, until: str) -> None:
    # It is noon in London when this begins; the survey is due after as many hours as it takes to be night.
    case_id = asks.opened(customer=named(phone=PHONE))
    plan_now(asks, case_id)
    asks.shop.later(hours=hours + 1)
    assert asks.follow_up() == 1
    put_off = asks.survey(case_id)
    assert (put_off.status, f"{put_off.due_at:%Y-%m-%d %H:%M}") == ("planned", until)
    assert asks.follow_up() == 0
    with asks.core.database.read() as tx:
        assert tx.execute(outbox_messages.select()).all() == []
    asks.shop.clock.advance(put_off.due_at - asks.shop.clock.now())
    assert asks.follow_up() == 1
    assert asks.survey(case_id).status == "sent"


def test_an_email_may_come_at_night(asks: Asking) -> None:
    case_id = asks.opened()
    plan_now(asks, case_id)
    asks.shop.later(hours=12)
    assert asks.follow_up() == 1
    assert asks.survey(case_id).status == "sent"


def plan_now(asks: Asking, case_id: Any) -> None:
    with asks.core.database.write() as tx:
        catalog = releases.cached_current(tx, asks.core).catalog
        helper.plan(tx, asks.core, asks.core.clock.now(), catalog, case_id, "issue", hours=0)


# --- taking back -----------------------------------------------------------------------------------------------------


def test_reopening_takes_the_plan_back(asks: Asking) -> None:
    case_id = asks.closed()
    reopen_case(core=asks.core, actor=asks.shop.manager, command=ReopenCase(case_id=case_id, reason="Not over."))
    assert (asks.survey(case_id).status, asks.survey(case_id).reason) == ("withdrawn", "The case is open again.")
    asks.shop.later(days=2)
    assert asks.follow_up() == 0
    asks.close(case_id)
    assert [(row.round, row.status) for row in asks.shop.all(surveys)] == [(1, "withdrawn"), (2, "planned")]


def test_a_message_that_waits_is_not_sent_after_the_case_was_reopened(asks: Asking) -> None:
    asks.asked()
    case_id = asks.shop.one(surveys).case_id
    reopen_case(core=asks.core, actor=asks.shop.manager, command=ReopenCase(case_id=case_id, reason="Not over."))
    assert asks.shop.deliver() == ["withdrawn"]
    assert asks.shop.sender().letters == []
    (message,) = asks.shop.all(outbox_messages)
    assert message.reason.startswith("It was taken back")


# --- answers ---------------------------------------------------------------------------------------------------------


def test_a_good_answer_is_a_recovery_by_score(asks: Asking) -> None:
    survey_id = asks.asked()
    taken = asks.answer(survey_id, 5, "All is well.")
    survey, case = asks.shop.one(surveys), asks.shop.one(recovery_cases)
    assert (survey.status, survey.first_score_bp, survey.answer_score_bp) == ("answered", 2500, 10_000)
    assert (case.status, case.recovered, case.recovered_evidence) == ("closed", True, "score")
    row = asks.shop.one(feedback)
    assert (row.id, row.survey_id, row.case_id, row.status) == (taken.id, survey_id, case.id, "acted")
    assert "survey.answered" in deeds(asks)


def test_an_answer_outweighs_what_staff_thought_and_staff_never_outweigh_it(asks: Asking) -> None:
    survey_id = asks.asked()
    case_id = asks.shop.one(recovery_cases).id
    assert asks.case(case_id).recovered_evidence == "judgment"
    asks.answer(survey_id, 3)  # better by a quarter only, and not good
    case = asks.case(case_id)
    assert (case.recovered, case.recovered_evidence, case.status) == (False, "score", "closed")
    with asks.core.database.write() as tx:
        now = asks.core.clock.now()
        assert not helper.settle(tx, asks.core, now, case_id, recovered=True, evidence="judgment")
        assert not helper.settle(tx, asks.core, now, case_id, recovered=True, evidence="purchase")
    assert asks.case(case_id) == case


def test_a_great_uplift_is_a_recovery_though_the_score_is_not_good(asks: Asking) -> None:
    asks.answer(asks.asked(first_bp=0), 3)
    case = asks.shop.one(recovery_cases)
    assert (case.recovered, case.recovered_evidence) == (True, "uplift")


def test_a_bad_answer_reopens_the_case_and_tells_its_owner(asks: Asking) -> None:
    maria = person(asks.core, "manager", email="maria@example.com")
    asks.shop.manager = maria
    survey_id = asks.asked(by=maria)
    asks.shop.deliver()
    asks.answer(survey_id, 1, "Nobody called.")
    case = asks.shop.one(recovery_cases)
    assert (case.status, case.round, case.outcome, case.recovered) == ("open", 2, None, None)
    assert case.owner == maria.label
    assert asks.shop.one(surveys).status == "answered"
    reopened = asks.shop.one(audit_events, audit_events.c.action == "case.reopened")
    assert (reopened.actor, reopened.reason) == (SYSTEM.label, helper.BAD_ANSWER)
    assert asks.shop.deliver() == ["captured"]
    notice = asks.shop.sender().letters[-1]
    assert (notice.template, notice.to, notice.url) == (
        "notice-bad-answer",
        "maria@example.com",
        f"http://127.0.0.1:8000/cases/{case.id}",
    )
    # The next round is asked about anew, once it is over.
    asks.close(case.id)
    assert [row.round for row in asks.shop.all(surveys)] == [1, 2]


def test_a_worse_answer_reopens_even_where_it_is_not_bad(asks: Asking) -> None:
    asks.answer(asks.asked(first_bp=6250), 3)
    assert asks.shop.one(recovery_cases).status == "open"


def test_an_answer_may_be_changed_within_a_day_and_counts_once(asks: Asking) -> None:
    survey_id = asks.asked()
    asks.answer(survey_id, 3)
    asks.shop.later(hours=20)
    asks.answer(survey_id, 5)
    survey, case = asks.shop.one(surveys), asks.shop.one(recovery_cases)
    assert (survey.answer_score_bp, case.recovered, case.recovered_evidence) == (10_000, True, "score")
    row = asks.shop.one(feedback)
    assert (row.revision, row.score_given) == (2, "5")
    assert [each.score_given for each in asks.shop.all(feedback_revisions)] == ["3", "5"]
    assert deeds(asks).count("survey.answered") == 2


def test_the_same_answer_once_more_changes_nothing(asks: Asking) -> None:
    survey_id = asks.asked()
    asks.answer(survey_id, 1)
    before = asks.shop.one(recovery_cases)
    asks.answer(survey_id, 1)
    assert asks.shop.one(recovery_cases) == before
    assert deeds(asks).count("survey.answered") == 1
    assert deeds(asks).count("case.reopened") == 1


def test_after_a_day_an_answer_stands(asks: Asking) -> None:
    survey_id = asks.asked()
    asks.answer(survey_id, 5)
    asks.shop.later(hours=25)
    asks.answer(survey_id, 1)
    survey, case = asks.shop.one(surveys), asks.shop.one(recovery_cases)
    assert (survey.answer_score_bp, case.status, case.recovered) == (10_000, "closed", True)


def test_an_answer_to_a_round_that_is_over_is_kept_and_decides_nothing(asks: Asking) -> None:
    survey_id = asks.asked()
    asks.shop.deliver()
    case_id = asks.shop.one(recovery_cases).id
    reopen_case(core=asks.core, actor=asks.shop.manager, command=ReopenCase(case_id=case_id, reason="Not over."))
    asks.answer(survey_id, 5)
    assert asks.shop.one(surveys).answer_score_bp == 10_000
    assert asks.shop.one(surveys).status == "withdrawn"
    assert (asks.case(case_id).recovered, asks.case(case_id).round) == (None, 2)


def test_nobody_answers_what_was_not_asked(asks: Asking) -> None:
    case_id = asks.closed()
    token = token_of(asks.core.keys.links, SURVEY, asks.survey(case_id).id)
    assert feedback_page.customer_form(core=asks.core, token=token, language="en") is None


# --- buying again ----------------------------------------------------------------------------------------------------


def test_who_buys_again_is_recovered_by_purchase(asks: Asking) -> None:
    case_id = asks.closed("not_recovered")
    assert (asks.case(case_id).recovered, asks.case(case_id).recovered_evidence) == (False, "judgment")
    asks.shop.later(days=80)
    asks.buys()
    assert (asks.case(case_id).recovered, asks.case(case_id).recovered_evidence) == (True, "purchase")


def test_a_purchase_after_the_policy_s_days_or_of_somebody_else_says_nothing(asks: Asking) -> None:
    case_id = asks.closed("not_recovered")
    asks.buys(named("bob@example.com"))
    asks.shop.later(days=91)
    asks.buys()
    assert asks.case(case_id).recovered_evidence == "judgment"


def test_a_purchase_does_not_outweigh_a_bad_answer(asks: Asking) -> None:
    survey_id = asks.asked()
    asks.answer(survey_id, 3)
    asks.buys()
    assert asks.shop.one(recovery_cases).recovered_evidence == "score"


def test_a_voucher_spent_on_an_order_is_a_purchase(asks: Asking) -> None:
    issued = asks.shop.issue(incentive="fixed", customer=ANA)
    asks.close(issued.case_id, "not_recovered")
    assert issued.voucher
    asks.shop.redeem(issued.voucher.code, order_ref="T-1")
    assert asks.case(issued.case_id).recovered_evidence == "purchase"
