"""A case begins: by hand with its questions answered, or with the first voucher; with its clocks, tags and tasks."""

from datetime import timedelta

import pytest

from incentives.books.tables import audit_events
from incentives.kernel.errors import (
    CaseNotFound,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    OtherLocation,
    UnknownIssueTag,
)
from incentives.recovery.tables import case_clocks, case_tags, case_tasks, customers, recovery_cases
from tests.flows.cases_shop import CASES, STORY, Desk, OpenShop, cases_catalog
from tests.flows.shop import moved, named, wish
from tests.world import START, api_key


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(CASES))


def test_a_case_begins_with_its_tags_clocks_tasks_and_versions(desk: Desk) -> None:
    case_id = desk.open(issue_tags=("service", "long-wait"), severity=3, order_ref=" BA1 ", product="lounge")
    row, shop = desk.row(case_id), desk.shop
    assert (row.status, row.severity, row.location, row.team) == ("open", 3, "london", "gates")
    assert (row.order_ref, row.product, row.source, row.round) == ("BA1", "lounge", "staff", 1)
    assert (row.owner, row.opened_by, row.assigned_at) == (shop.agent.label, shop.agent.label, START)
    assert row.protocol_item_id is not None
    assert row.catalog_release_id is not None
    assert row.changed_at == START
    assert {tag.issue_tag for tag in shop.all(case_tags)} == {"long-wait", "service"}
    due = {clock.clock: clock.due_at - START for clock in shop.all(case_clocks)}
    minutes = {"first_contact": 30, "apology": 60, "incentive": 90, "fix": 120, "close": 600}
    assert due == {clock: timedelta(minutes=each) for clock, each in minutes.items()}
    task = shop.one(case_tasks)
    assert (task.kind, task.due_at - START, task.owner) == ("process", timedelta(hours=48), shop.agent.label)
    assert desk.core.contacts.decrypt(task.title) == "Look at the roster"
    (event,) = [each for each in shop.all(audit_events) if each.case_id == case_id]
    assert (event.action, event.facts) == ("case.opened", {"issue_tag": "long-wait", "source": "staff"})


def test_clocks_stand_still_while_the_place_is_closed(open_shop: OpenShop) -> None:
    brand = {
        "name": "Acme",
        "languages": ["en", "es"],
        "default_language": "en",
        "time_zone": "Europe/London",
        "currency": "GBP",
        "hours": {"friday": ["09:00", "12:20"], "monday": ["09:00", "17:00"]},
    }
    desk = Desk(open_shop(cases_catalog(brand=brand)))
    desk.open()
    due = {clock.clock: clock.due_at for clock in desk.shop.all(case_clocks)}
    # START is a Friday at noon: twenty minutes are left of it, and nobody works on the weekend.
    assert due["first_contact"].isoformat() == "2026-11-23T09:10:00+00:00"
    assert due["fix"].isoformat() == "2026-11-23T10:40:00+00:00"


def test_what_people_say_and_who_they_are_is_encrypted(desk: Desk) -> None:
    case_id = desk.open(customer=named("ana.lopez@example.com", name="Ana López"))
    row = desk.row(case_id)
    assert "queue" not in row.story
    assert "Ana" not in row.contact
    assert desk.screen(case_id).story == STORY
    assert desk.screen(case_id).customer_name == "Ana López"


def test_questions_that_must_be_answered_are_all_named(desk: Desk) -> None:
    refusal = desk.shop.refused(InputInvalid, desk.open, story={"what": " "})
    assert [each["field"] for each in refusal.facts["errors"]] == ["story.what", "story.when"]
    refusal = desk.shop.refused(InputInvalid, desk.open, story={**STORY, "why": "Because."})
    assert refusal.facts["errors"][0]["field"] == "story.why"


def test_a_case_may_be_opened_with_answers_to_come(desk: Desk) -> None:
    case_id = desk.open(story={}, answers_to_come=True)
    questions = {each.key: (each.required, each.answer) for each in desk.screen(case_id).questions}
    assert questions == {
        "what": (True, None),
        "who": (False, None),
        "when": (True, None),
        "differently": (False, None),
    }


def test_the_same_key_opens_one_case(desk: Desk) -> None:
    first = desk.opened(idempotency_key="k1")
    again = desk.opened(idempotency_key="k1")
    assert (again.id, again.replayed, first.replayed) == (first.id, True, False)
    assert len(desk.shop.all(recovery_cases)) == 1
    desk.shop.refused(IdempotencyKeyReused, desk.opened, idempotency_key="k1", order_ref="another")


@pytest.mark.parametrize(
    ("refusal", "command"),
    [
        (UnknownIssueTag, {"issue_tag": "nothing"}),
        (UnknownIssueTag, {"issue_tags": ("nothing",)}),
        (OtherLocation, {"location": "leeds"}),
        (InputInvalid, {"severity": 5}),
        (InputInvalid, {"occurred_at": START + timedelta(minutes=1)}),
        (InputInvalid, {"order_ref": "x" * 201}),
    ],
)
def test_what_cannot_be_opened_leaves_nothing(desk: Desk, refusal: type[Exception], command: dict[str, object]) -> None:
    desk.shop.refused(refusal, desk.open, **command)  # type: ignore[arg-type]  # each is a refusal


def test_tills_open_no_cases_and_programs_own_none(desk: Desk) -> None:
    desk.shop.refused(NotPermitted, desk.open, desk.shop.till)
    _, program = api_key(desk.core, "integrator")
    assert desk.row(desk.open(program)).owner is None


def test_giving_opens_the_same_case(desk: Desk) -> None:
    shop = desk.shop
    given = shop.issue(customer=named("ana.lopez@example.com", name="Ana", locale="es", segment="gold"))
    row = desk.row(given.case_id)
    assert (row.owner, row.locale, row.segment) == (shop.manager.label, "es", "gold")
    assert [tag.issue_tag for tag in shop.all(case_tags)] == ["long-wait"]
    met = {clock.clock: clock.met_at for clock in shop.all(case_clocks)}
    assert {clock for clock, at in met.items() if at} == {"incentive", "first_contact"}
    assert len(shop.all(case_tasks)) == 1
    assert desk.screen(given.case_id, shop.manager).customer_name == "Ana"


def test_a_letter_with_a_voucher_apologizes_too(desk: Desk) -> None:
    shop = desk.shop
    shop.issue(channels=("email",))
    shop.issue(case_id=desk.open(), incentive="sorry")
    for row in shop.all(case_clocks, case_clocks.c.clock == "apology"):
        assert row.met_at == START


def test_asking_leaves_the_clock_running_until_it_is_granted(desk: Desk) -> None:
    shop = desk.shop
    shop.later(minutes=-3)
    case_id = desk.open()
    shop.later(minutes=3)
    asked = shop.ask(amount_minor=3000, case_id=case_id)
    assert desk.row(case_id).changed_at == START
    incentive = case_clocks.c.clock == "incentive"
    assert shop.one(case_clocks, incentive).met_at is None
    shop.later(minutes=20)
    shop.decide(asked.approval_id)
    assert shop.one(case_clocks, incentive).met_at == START + timedelta(minutes=20)
    assert desk.row(asked.case_id).changed_at == START + timedelta(minutes=20)


def test_giving_within_a_case_stops_its_clock_once(desk: Desk) -> None:
    shop, case_id = desk.shop, desk.open()
    shop.later(minutes=5)
    shop.issue(case_id=case_id)
    shop.later(minutes=5)
    shop.issue(case_id=case_id)
    assert shop.one(case_clocks, case_clocks.c.clock == "incentive").met_at == START + timedelta(minutes=5)
    assert desk.row(case_id).changed_at == START + timedelta(minutes=10)


def test_many_cases_are_opened_with_a_statement_a_table(desk: Desk) -> None:
    given = desk.shop.issue_many(*(wish(customer=named(f"c{number}@example.com")) for number in range(5)))
    assert len({each.case_id for each in given}) == 5
    assert desk.shop.count()["case_clocks"] == 25
    assert len(desk.shop.all(customers)) == 5


def test_another_place_sees_nothing_of_it(desk: Desk) -> None:
    case_id = desk.open()
    with pytest.raises(CaseNotFound):
        desk.screen(case_id, moved(desk.shop.supervisor, location="leeds"))
