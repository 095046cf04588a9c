"""What the doors say when an address or a number is sent no more for now: when it may be again, and what to do."""

from collections.abc import Iterator
from typing import Any

import pytest

from incentives.flows.issue import CustomerGiven, Issued, IssueVoucher, issue_vouchers
from incentives.kernel.core import Core
from tests.databases import SqliteDatabases
from tests.doors.machines import Machines, assert_problem, fresh_key, json_of
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check
from tests.doors.test_pages_vouchers import a_voucher
from tests.world import actor, make_core

PHONE = "+447400123456"
ANA: dict[str, Any] = {"customer": {"phone": PHONE}, "channels": ["sms"]}


@pytest.fixture
def machines(sqlite: SqliteDatabases) -> Iterator[Machines]:
    url = sqlite.new()
    core = make_core(url, INCENTIVES_CONTACT_CAP="3")
    yield Machines(core)
    core.database.dispose()
    sqlite.drop(url)


def apologize(core: Core, times: int) -> None:
    """Send so many apologies to one number, which cost nothing."""
    wish = IssueVoucher(
        issue_tag="flight-delayed",
        incentive="apology-only",
        location="london",
        customer=CustomerGiven(phone=PHONE),
        channels=("sms",),
    )
    found = issue_vouchers(core=core, actor=actor(core, "manager"), commands=[wish] * times)
    assert all(isinstance(each, Issued) for each in found)


def test_a_program_hears_when_it_may_be_tried_again(machines: Machines) -> None:
    apologize(machines.core, 3)
    key, before = fresh_key(), machines.rows()
    refused = machines.issue("supervisor", key=key, **ANA)
    problem = assert_problem(refused, 429, "contact-cap")
    assert (refused.headers["Retry-After"], problem["retry_after_seconds"]) == ("86400", 86400)
    assert (problem["channel"], problem["most"]) == ("sms", 3)
    assert "screen" in problem["next_step"]
    assert PHONE not in refused.text
    assert machines.rows() == before
    shown = machines.issue("supervisor", key=key, **{**ANA, "channels": []})
    assert shown.status_code == 201
    assert json_of(shown)["voucher"]["code"]


def test_nor_is_it_sent_again_or_to_there(machines: Machines) -> None:
    sent = json_of(machines.issue("supervisor", **ANA))["voucher"]["id"]
    elsewhere = json_of(machines.issue("supervisor", customer={"phone": "+447400123457"}, channels=["sms"]))
    apologize(machines.core, 2)
    why = {"reason": "The customer asked."}
    address = {**why, "customer": {"phone": PHONE}}
    for path, body in (
        (f"/vouchers/{sent}/reissue", why),
        (f"/vouchers/{elsewhere['voucher']['id']}/address", address),
    ):
        refused = machines.post(path, body, "supervisor")
        assert_problem(refused, 429, "contact-cap")
        assert refused.headers["Retry-After"] == "86400"
    assert machines.post(f"/vouchers/{sent}/reissue", {**why, "channels": []}, "supervisor").status_code == 201


def test_staff_are_told_to_show_it(staff: Staff) -> None:
    apologize(staff.core, 20)
    answer = staff.give(phone=PHONE)
    refused = Page(answer)
    check(refused)
    assert refused.status == 429
    assert "This address or number is sent no more messages for now" in refused.words
    assert "Show it on this screen or print it: leave sending it out. Or wait 24 hours, then send it." in refused.words
    assert PHONE[-6:] not in refused.words
    assert staff.give(phone=PHONE, screen_only="yes").status_code == 303


def test_staff_are_told_so_where_they_send_it_again(staff: Staff) -> None:
    _, path = a_voucher(staff, phone=PHONE)
    apologize(staff.core, 19)
    visitor = staff.role("supervisor")
    refused = Page(visitor.fill(path, f"{path}/reissue", reason="It was lost.", told="before"))
    check(refused)
    assert refused.status == 429
    assert "Show it on this screen or print it" in refused.words
    assert visitor.fill(path, f"{path}/reissue", reason="It was lost.", told="screen").status_code == 200
