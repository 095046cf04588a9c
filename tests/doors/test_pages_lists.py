"""Long lists: a page asks the database as often for many rows as for few, and the last row can be reached."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from admin import approvals
from incentives.kernel.clock import FixedClock
from incentives.kernel.database import Database
from incentives.queries.approvals import list_approvals, one_approval, waiting
from tests.doors.staff import Page, Staff, settle
from tests.doors.test_pages import check
from tests.world import make_core

CANCELED = "/staff/give/flight-canceled"


@pytest.fixture
def clerks(new_database: Callable[..., str]) -> Iterator[Staff]:
    """Who asks and who decides, on a database of either kind."""
    core = make_core(new_database())
    yield Staff(core, settle(core, ("frontline", "supervisor")))
    core.database.dispose()


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect what every database of this process is asked."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


def ask(clerks: Staff, names: str) -> None:
    """Ask for an approval for each customer, a minute apart."""
    assert isinstance(clerks.core.clock, FixedClock)
    for name in names:
        answer = clerks.give(
            tag="flight-canceled",
            incentive="travel-voucher-gbp",
            email=f"{name}@gmail.com",
            **{"amount-travel-voucher-gbp": "80"},
        )
        assert answer.status_code == 303, answer.text
        clerks.core.clock.advance(timedelta(minutes=1))


def asked_for(clerks: Staff, path: str) -> int:
    """Return how many statements a page takes once what never changes is known."""
    clerks.role("supervisor").get(path)
    with statements() as asked:
        assert clerks.role("supervisor").get(path).status == 200
    return len(asked)


def test_more_rows_take_no_more_statements(clerks: Staff) -> None:
    ask(clerks, "ab")
    few = [asked_for(clerks, path) for path in ("/approvals", "/cases")]
    ask(clerks, "cdef")
    assert [asked_for(clerks, path) for path in ("/approvals", "/cases")] == few
    assert max(few) < 24


def test_each_request_comes_with_what_its_own_customer_was_given(clerks: Staff) -> None:
    assert clerks.give(email="a@gmail.com").status_code == 303
    assert isinstance(clerks.core.clock, FixedClock)
    clerks.core.clock.advance(timedelta(minutes=1))
    visitor = clerks.role("frontline")
    for name, seen in (("a", "1"), ("b", "0")):
        fields = visitor.get(CANCELED).form(CANCELED)
        fields |= {"email": f"{name}@gmail.com", "amount-travel-voucher-gbp": "80", "seen": seen}
        assert visitor.send(CANCELED, fields).status_code == 303
        clerks.core.clock.advance(timedelta(minutes=1))
    supervisor = clerks.person("supervisor")
    found = waiting(core=clerks.core, actor=supervisor).items
    assert [len(each.earlier_recoveries) for each in found] == [1, 0]
    assert found[0].earlier_recoveries[0].amount.amount_minor == 2500
    assert found[0] == one_approval(core=clerks.core, actor=supervisor, approval_id=found[0].id)
    assert list(reversed(found)) == list(list_approvals(core=clerks.core, actor=supervisor).items)


def forms_of(found: Page) -> list[str]:
    return [each.attrib["action"] for each in found.all("form") if each.attrib["action"].endswith("/decision")]


def test_the_longest_waiting_stands_first_and_the_last_can_be_reached(
    clerks: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "_SHOWN", 2)
    ask(clerks, "abcde")
    visitor = clerks.role("supervisor")
    parts = [visitor.get("/approvals")]
    paths = ["/approvals"]
    while links := [each for each in parts[-1].all("a") if "".join(each.itertext()).strip() == "Show more"]:
        paths.append(links[0].attrib["href"])
        parts.append(visitor.get(paths[-1]))
        check(parts[-1])
    seen = [action for part in parts for action in forms_of(part)]
    newest_first = list_approvals(core=clerks.core, actor=clerks.person("supervisor")).items
    assert seen == [f"/approvals/{each.id}/decision" for each in reversed(newest_first)]
    # A refused decision shows the very part of the queue that its request stands in, and so does the next one.
    fields = parts[-1].form(seen[-1])
    refused = Page(visitor.send(seen[-1], fields | {"decision": "grant", "amount": "a lot"}))
    check(refused)
    assert refused.status == 422
    assert forms_of(refused) == seen[-1:]
    assert refused.form(seen[-1])["amount"] == "a lot"
    assert visitor.send(seen[-1], fields | {"decision": "decline"}).location == paths[-1].replace(
        "?", "?done=declined&"
    )


def test_a_place_in_the_queue_that_is_none_is_refused(clerks: Staff) -> None:
    answer = clerks.role("supervisor").get("/approvals?after=nonsense")
    assert answer.status == 422


def test_the_database_is_the_one_that_is_counted(clerks: Staff) -> None:
    assert isinstance(clerks.core.database, Database)
    with statements() as asked, clerks.core.database.read() as tx:
        tx.execute(sa.text("SELECT 1"))
    assert "SELECT 1" in asked
