"""What forms may send: the page says what is wrong and keeps the rest; on both databases."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from admin import forms
from admin.forms import Form
from incentives.kernel.clock import FixedClock
from incentives.kernel.errors import InputInvalid
from tests.doors.staff import Page, Staff, settle
from tests.doors.test_pages import check
from tests.world import START, make_core

GIVE = "/staff/give/flight-delayed"
FAR_KEY = "ffffffff-ffff-7fff-bfff-ffffffffffff"
TODAY_KEY = "01a1f8d3-ea00-7976-a741-c01de24f6c18"

NUL = "a\0b"
CANNOT_STAND = "characters that cannot stand here"
TOO_LONG = "Write at most"


@pytest.fixture
def clerks(new_database: Callable[..., str]) -> Iterator[Staff]:
    """Who gives, decides and scans, on a database of either kind."""
    core = make_core(new_database())
    yield Staff(core, settle(core, ("frontline", "supervisor")))
    core.database.dispose()


def check_refused(answer: Page, said: str) -> None:
    check(answer)
    assert answer.status == 422
    assert said in answer.words


def test_the_tablet_takes_nothing_that_does_not_fit(clerks: Staff) -> None:
    visitor = clerks.role("frontline")
    assert clerks.give(email="ana.ruiz@gmail.com").status_code == 303
    assert isinstance(clerks.core.clock, FixedClock)
    clerks.core.clock.advance(timedelta(minutes=1))
    fields = visitor.get(GIVE).form(GIVE) | {"email": "ana.ruiz@gmail.com", "name": "Ana"}
    for name, typed, said in (
        ("order_ref", NUL, CANNOT_STAND),
        ("note", NUL, CANNOT_STAND),
        ("name", NUL, CANNOT_STAND),
        ("email", NUL, CANNOT_STAND),
        ("incentive", NUL, CANNOT_STAND),
        ("order_ref", "x" * 201, f"{TOO_LONG} 200 characters"),
        ("note", "x" * 501, f"{TOO_LONG} 500 characters"),
        ("locale", "x" * 21, f"{TOO_LONG} 20 characters"),
        ("seen", "9" * 5000, "could not be read"),
        ("seen", "²", "could not be read"),
        ("idempotency_key", NUL, "not whole"),
        ("idempotency_key", FAR_KEY, "not whole"),
    ):
        refused = Page(visitor.send(GIVE, fields | {name: typed}))
        check_refused(refused, said)
        assert refused.form(GIVE)["name"] == ("ab" if name == "name" else "Ana"), name
        assert visitor.send(f"{GIVE}/offers", fields | {name: typed}).status_code == 200, name
    asked_again = Page(visitor.send(GIVE, fields | {"order_ref": "x" * 200}))
    assert asked_again.status == 200
    assert visitor.send(GIVE, asked_again.form(GIVE)).status_code == 303


def test_the_queue_takes_nothing_that_does_not_fit(clerks: Staff) -> None:
    clerks.asked()
    visitor = clerks.role("supervisor")
    queue = visitor.get("/approvals")
    action = next(each.attrib["action"] for each in queue.all("form") if "/decision" in each.attrib["action"])
    fields = queue.form(action) | {"decision": "grant", "comment": "Well asked"}
    for name, typed, said in (
        ("comment", NUL, CANNOT_STAND),
        ("comment", "x" * 501, f"{TOO_LONG} 500 characters"),
        ("amount", NUL, CANNOT_STAND),
        ("amount", "9" * 5000, f"{TOO_LONG} 40 characters"),
        ("idempotency_key", NUL, "not whole"),
        ("idempotency_key", "x" * 300, "not whole"),
        ("decision", NUL, "Send grant or decline"),
    ):
        refused = Page(visitor.send(action, fields | {name: typed}))
        check_refused(refused, said)
        if name != "comment":
            assert refused.form(action)["comment"] == "Well asked"
    assert visitor.send(action, fields).location == "/approvals?done=granted"


def test_the_till_takes_nothing_that_does_not_fit(clerks: Staff) -> None:
    code = clerks.new_code()
    visitor = clerks.role("supervisor")
    fields = Page(visitor.fill("/scan", "/scan", code=code)).form("/scan/redeem") | {"order_total": "20"}
    for name, typed, said in (
        ("order_ref", NUL, CANNOT_STAND),
        ("order_ref", "x" * 201, f"{TOO_LONG} 200 characters"),
        ("order_total", "9" * 5000, f"{TOO_LONG} 40 characters"),
        ("idempotency_key", NUL, "not whole"),
        ("idempotency_key", "x" * 256, "not whole"),
    ):
        refused = Page(visitor.send("/scan/redeem", fields | {name: typed}))
        check_refused(refused, said)
        again = refused.form("/scan/redeem")
        assert again["code"] == code
        if name != "order_total":
            assert again["order_total"] == "20"
    check_refused(Page(visitor.send("/scan/redeem", fields | {"code": NUL})), CANNOT_STAND)
    check_refused(Page(visitor.fill("/scan", "/scan", code="x" * 501)), TOO_LONG)
    assert "Redeemed £20.00" in Page(visitor.send("/scan/redeem", fields)).words


def test_the_sign_in_page_names_an_email_that_is_none(clerks: Staff) -> None:
    visitor = clerks.role("frontline")
    visitor.client.delete_cookie("staff")
    refused = Page(visitor.sign_in(NUL))
    check_refused(refused, CANNOT_STAND)
    assert refused.form("/sign-in")["email"] == "ab"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("  Ana  ", "Ana"), ("O'Neil, Zoë 李", "O'Neil, Zoë 李"), ("x" * 200, "x" * 200)],
)
def test_what_fits_comes_back_trimmed(typed: str, kept: str) -> None:
    assert Form({"name": typed}).text("name", 200) == Form({"name": typed}).shown("name") == kept


@pytest.mark.parametrize("typed", ["a\0b", "a\tb", "a\nb", "a\x7fb", "a\x9fb", "a\ud800b", "x" * 201])
def test_what_does_not_fit_is_refused_by_the_name_of_its_field(typed: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        Form({"name": typed}).text("name", 200)
    assert [each["field"] for each in refused.value.facts["errors"]] == ["name"]


@pytest.mark.parametrize("typed", ["11", "9" * 5000, "-1", "1.0", "²", "१", "1\0"])
def test_a_number_is_a_small_whole_one(typed: str) -> None:
    assert [Form({"seen": each}).number("seen", 10) for each in ("", "0", " 10 ")] == [0, 0, 10]
    with pytest.raises(InputInvalid):
        Form({"seen": typed}).number("seen", 10)


@pytest.mark.parametrize("key", ["", NUL, "x" * 300, FAR_KEY, "01a1f8d3-ea00-4976-a741-c01de24f6c18"])
def test_a_key_is_one_that_a_page_was_made_with(key: str) -> None:
    assert Form({"key": TODAY_KEY}).key("key", START) == TODAY_KEY
    assert abs(forms.made_at(TODAY_KEY) - START) < timedelta(days=365)
    with pytest.raises(InputInvalid):
        Form({"key": key}).key("key", START)
