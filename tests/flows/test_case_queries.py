"""What is seen of cases: the list with its filters, and one case on one screen, however much there is in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.flows.describe_case import AddNote, add_note
from incentives.kernel.errors import InputInvalid, NotPermitted
from incentives.kernel.money import Money
from incentives.queries.cases import CaseFilters, count_cases, list_cases, one_case
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import vouchers
from tests.flows.cases_shop import CASES, S3_STEPS, Desk, OpenShop
from tests.flows.shop import moved, named
from tests.world import START, api_key

STATEMENTS_MOST = 45


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(CASES))


@contextmanager
def counted(desk: Desk) -> Iterator[list[str]]:
    """Count the statements that are sent to the database."""
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    reader = desk.core.database._reader
    sa.event.listen(reader, "before_cursor_execute", note)
    try:
        yield said
    finally:
        sa.event.remove(reader, "before_cursor_execute", note)


def ids(desk: Desk, **wanted: Any) -> list[Any]:
    """Return the cases that are found, the newest first."""
    found = list_cases(core=desk.core, actor=desk.shop.supervisor, wanted=CaseFilters(**wanted))
    return [case.id for case in found.items]


def test_cases_are_found_by_each_filter(desk: Desk) -> None:
    mine = desk.open(order_ref="BA 100%")
    _, program = api_key(desk.core, "integrator")
    nobodys = desk.open(program, issue_tag="odd", location="london")
    closed = desk.open(customer=named("other@example.com"))
    desk.work_through(closed)
    desk.close(closed)
    desk.shop.later(minutes=31)
    desk.step(mine, "apologize")
    assert ids(desk) == [closed, nobodys, mine]
    assert ids(desk, status="open") == [nobodys, mine]
    assert ids(desk, status="closed") == [closed]
    assert ids(desk, unowned=True) == [nobodys]
    assert ids(desk, overdue=True) == [nobodys]
    assert ids(desk, issue_tag="service") == [closed, mine]
    assert ids(desk, issue_tag="odd") == [nobodys]
    assert ids(desk, location="leeds") == []
    assert ids(desk, team="gates") == [closed, mine]
    assert ids(desk, customer_id=desk.row(mine).customer_id) == [nobodys, mine]
    assert ids(desk, q="100%") == [mine]
    assert ids(desk, q="ba") == [mine]
    assert ids(desk, q="_") == []
    assert ids(desk, q=str(closed)) == [closed]
    assert ids(desk, changed_since=START) == [mine]
    assert ids(desk, mine=True) == []
    mine_only = list_cases(core=desk.core, actor=desk.shop.agent, wanted=CaseFilters(mine=True, status="open"))
    assert [case.id for case in mine_only.items] == [mine]
    counts = count_cases(core=desk.core, actor=desk.shop.agent)
    assert (counts.open, counts.mine, counts.unowned, counts.overdue) == (2, 1, 1, 1)


def test_the_list_says_whose_a_case_is_and_what_is_next(desk: Desk) -> None:
    desk.open(customer=named("ana@example.com", name="Ana"))
    (case,) = list_cases(core=desk.core, actor=desk.shop.supervisor).items
    assert (case.state, case.next_clock, case.next_due_at) == ("open", "first_contact", START + timedelta(minutes=30))
    assert (case.owner, case.customer_name, case.overdue) == (desk.shop.agent.label, "Ana", False)


def test_the_list_is_read_with_few_statements(desk: Desk) -> None:
    desk.open()
    with counted(desk) as few:
        list_cases(core=desk.core, actor=desk.shop.supervisor)
    for _ in range(5):
        desk.step(desk.open(), "apologize")
    with counted(desk) as many:
        list_cases(core=desk.core, actor=desk.shop.supervisor)
    assert len(many) == len(few) <= 6


def test_pages_of_the_list_follow_each_other(desk: Desk) -> None:
    made = [desk.open() for _ in range(3)]
    first = list_cases(core=desk.core, actor=desk.shop.supervisor, limit=2)
    second = list_cases(core=desk.core, actor=desk.shop.supervisor, limit=2, after=first.next)
    assert [case.id for case in (*first.items, *second.items)] == made[::-1]
    with pytest.raises(InputInvalid):
        list_cases(core=desk.core, actor=desk.shop.supervisor, after="nonsense")
    with pytest.raises(NotPermitted):
        list_cases(core=desk.core, actor=desk.shop.till)


def test_a_screen_has_everything_in_its_order(desk: Desk) -> None:
    shop = desk.shop
    case_id = desk.open(customer=named("ana@example.com", name="Ana"), order_ref="BA1")
    shop.later(minutes=1)
    desk.apologize(case_id)
    shop.later(minutes=1)
    given = shop.issue(case_id=case_id, customer=named("ana@example.com", name="Ana"), channels=("email",))
    shop.later(minutes=1)
    asked = shop.ask(case_id=case_id, customer=named("ana@example.com"), amount_minor=3000, note="She asked for more.")
    shop.decide(asked.approval_id, "decline", comment="Enough.")
    shop.later(minutes=1)
    shop.deliver()
    assert given.voucher is not None
    shop.redeem(given.voucher.code)
    desk.step(case_id, "review", note="Looked into it.")
    screen = desk.screen(case_id)
    kinds = [item.kind for item in screen.timeline]
    assert set(kinds[:2]) == {"deed", "task"}
    assert {"apology", "message", "step", "voucher", "approval", "redemption", "task"} <= set(kinds)
    assert [item.at for item in screen.timeline] == sorted(item.at for item in screen.timeline)
    messages = {item.title: item.facts["status"] for item in screen.timeline if item.kind == "message"}
    assert messages == {"apology": "captured", "voucher": "captured"}
    vouchers_shown = {item.facts["status"]: item for item in screen.timeline if item.kind == "voucher"}
    assert vouchers_shown["issued"].facts["voucher_status"] == "redeemed"
    assert vouchers_shown["issued"].facts["amount"] == Money(1000, "GBP")
    assert vouchers_shown["declined"].text == "She asked for more."
    (decision,) = [item for item in screen.timeline if item.kind == "approval"]
    assert (decision.title, decision.text) == ("declined", "Enough.")
    assert screen.protocol is not None
    assert screen.protocol.steps == tuple(S3_STEPS)
    assert screen.protocol.guidance == "Listen first."
    assert screen.protocol.script == "Dear Ana, Acme is sorry about BA1."
    assert screen.contact.email == "ana@example.com"
    assert given.voucher.code not in str(screen)


def test_the_deeds_are_as_they_were(desk: Desk) -> None:
    given = desk.shop.issue(customer=named("ana@example.com", name="Ana"))
    found = one_case(core=desk.core, actor=desk.shop.manager, case_id=given.case_id)
    assert (found.customer_name, found.case.status) == ("Ana", "open")
    assert [deed.action for deed in found.deeds] == ["voucher.issued"]


def test_earlier_recoveries_are_counted_with_their_cost_for_all_that_a_customer_is(desk: Desk) -> None:
    shop = desk.shop
    first = shop.issue(customer=named("ana@example.com"), amount_minor=1500).case_id
    second = shop.issue(customer=named(phone="+442079460018"), location="leeds").case_id
    shop.issue(customer=named("stranger@example.com"))
    case_id = desk.open(customer=named("ana@example.com", phone="+442079460018"))
    earlier = desk.screen(case_id).earlier
    assert (earlier.count, earlier.recovered, earlier.cost) == (2, 0, (Money(2500, "GBP"),))
    assert [(each.id, each.given, each.may_open) for each in earlier.cases] == [
        (second, (Money(1000, "GBP"),), False),
        (first, (Money(1500, "GBP"),), True),
    ]
    assert desk.screen(desk.open(customer=named())).earlier.count == 0


def test_a_screen_of_five_hundred_items_takes_as_few_statements_as_one_of_five(desk: Desk) -> None:
    small, large = desk.open(), desk.open()
    for case_id, times in ((small, 1), (large, 125)):
        for number in range(times):
            command = AddNote(case_id=case_id, body=f"Note {number}")
            add_note(core=desk.core, actor=desk.shop.agent, command=command)
            desk.task(case_id, kind="process", title=f"Task {number}", due_at=START + timedelta(days=1))
            desk.shop.issue(case_id=case_id, incentive="gift", channels=())
            desk.apologize(case_id, channel="phone")
    desk.screen(large)
    with counted(desk) as few:
        desk.screen(small)
    began = time.perf_counter()
    with counted(desk) as many:
        screen = desk.screen(large)
    took = time.perf_counter() - began
    assert len(screen.timeline) >= 500
    assert len(many) == len(few) <= STATEMENTS_MOST
    assert took < 1


def test_a_voucher_without_a_case_of_its_own_kind_is_still_shown(desk: Desk) -> None:
    given = desk.shop.issue(incentive="sorry", customer=named("ana@example.com"))
    assert desk.shop.all(vouchers) == []
    (item,) = [item for item in desk.screen(given.case_id).timeline if item.kind == "voucher"]
    assert "last4" not in item.facts


def test_a_case_from_before_protocols_were_kept_is_shown_by_today_s(desk: Desk) -> None:
    case_id = desk.open()
    with desk.core.database.write() as tx:
        tx.execute(recovery_cases.update().values(protocol_item_id=None, changed_at=None, contact=None, locale=None))
    screen = desk.screen(case_id)
    assert (screen.next_step, screen.case.changed_at) == ("apologize", START)
    with desk.core.database.write() as tx:
        tx.execute(recovery_cases.update().values(issue_tag="gone", location="gone"))
    gone = desk.screen(case_id, moved(desk.shop.supervisor, location=None))
    assert (gone.protocol, gone.steps, gone.next_step) == (None, (), None)
