"""A voucher's page: its life, and what may be done with it by whom; and how it is found."""

import re
import uuid

import pytest

from incentives.flows.deliver import deliver_next
from incentives.kernel.core import Core
from incentives.messages.outbox import UNCERTAIN
from incentives.messages.tables import outbox_messages
from incentives.queries.voucher_care import VoucherLife, find_vouchers, one_voucher
from tests.doors.staff import Staff

WHY = "She lost the message."


def a_voucher(staff: Staff, **fields: str) -> tuple[str, str]:
    """Return the code and the page of a voucher that was just given."""
    code = staff.new_code(**fields)
    (found,) = find_vouchers(core=staff.core, actor=staff.person("manager"), text=code)
    return code, f"/vouchers/{found.id}"


def life(core: Core, staff: Staff, path: str) -> VoucherLife:
    return one_voucher(core=core, actor=staff.person("manager"), voucher_id=uuid.UUID(path.rpartition("/")[2]))


def test_it_is_found_by_code_last_four_address_and_number(staff: Staff) -> None:
    code, path = a_voucher(staff, email="ana@example.com")
    visitor = staff.role("supervisor")
    _, other = a_voucher(staff, email="bea@example.com")
    found = life(staff.core, staff, path)
    for typed in (code, code.replace("-", "").lower(), found.last4, "ANA@example.com", str(found.case_id), path[10:]):
        answer = visitor.fill("/vouchers", "/vouchers", q=typed)
        assert (answer.status_code, answer.location) == (303, path), typed
    page = visitor.fill("/vouchers", "/vouchers", q="nobody@example.com")
    assert "Nothing was found" in page.text
    assert visitor.fill("/vouchers", "/vouchers", q="!!").status_code == 422
    assert other != path


def test_the_page_says_what_it_is_and_hides_the_code(staff: Staff) -> None:
    code, path = a_voucher(staff, email="ana@example.com")
    page = staff.role("supervisor").get(path)
    assert code not in page.html
    assert all(each in page.words for each in ("Can be used", "Given", "To the customer"))
    assert [each.get("action", "").rpartition("/")[2] for each in page.all("form")][1:] == [
        *("resend", "reissue", "address", "extend", "adjust", "freeze", "void"),
    ]


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        ("frontline", {"resend"}),
        ("finance", {"freeze", "void"}),
        ("auditor", set()),
    ],
)
def test_each_role_sees_only_what_it_may(staff: Staff, role: str, verbs: set[str]) -> None:
    _, path = a_voucher(staff, email="ana@example.com")
    page = staff.role(role).get(path)
    assert page.status == 200
    assert {form.get("action", "").rpartition("/")[2] for form in page.all("form")} - {"sign-out"} == verbs


def test_a_till_sees_no_page(staff: Staff) -> None:
    _, path = a_voucher(staff)
    assert staff.role("till").get(path).status == 403
    assert staff.role("till").send(f"{path}/void", {}).status_code == 403


@pytest.mark.parametrize(
    ("verb", "fields", "says"),
    [
        ("void", {}, "It is taken back"),
        ("extend", {"days": "5"}, "good for longer"),
        ("adjust", {"amount": "30"}, "has its new value"),
        ("freeze", {}, "Nobody can use it now"),
        ("freeze", {"until": "2026-11-30T10:00"}, "Nobody can use it now"),
        ("resend", {}, "goes out once more"),
        ("address", {"email": "ana.right@example.com"}, "new address"),
        ("reissue", {"told": "before"}, "new voucher"),
    ],
)
def test_each_verb_is_a_form_with_a_reason(staff: Staff, verb: str, fields: dict[str, str], says: str) -> None:
    _, path = a_voucher(staff, email="ana@example.com")
    while deliver_next(core=staff.core) is not None:
        pass
    visitor = staff.role("supervisor")
    missing = visitor.fill(path, f"{path}/{verb}", **fields)
    assert missing.status_code == 422
    assert f"{verb}-reason-error" in missing.text
    done = visitor.fill(path, f"{path}/{verb}", reason=WHY, **fields)
    assert done.status_code == 303, done.text
    page = visitor.get(done.location)
    assert says in page.words
    assert WHY in page.words


def test_a_new_one_is_shown_once_on_the_screen(staff: Staff) -> None:
    old, path = a_voucher(staff)
    answer = staff.role("supervisor").fill(path, f"{path}/reissue", reason=WHY, told="screen")
    assert answer.status_code == 200
    code = re.search(r'class="handover-code">([^<]+)<', answer.text)
    assert code
    assert code[1] != old
    (new,) = find_vouchers(core=staff.core, actor=staff.person("manager"), text=code[1])
    page = staff.role("supervisor").get(f"/vouchers/{new.id}")
    assert code[1] not in page.html
    assert "One after the other" in page.words
    assert staff.role("supervisor").get(path).words.count("Replaced") >= 1


def test_a_refusal_shows_what_was_typed_and_what_to_do(staff: Staff) -> None:
    _, path = a_voucher(staff)
    visitor = staff.role("supervisor")
    answer = visitor.fill(path, f"{path}/extend", reason=WHY, days="4000")
    assert answer.status_code == 422
    assert 'value="4000"' in answer.text
    assert WHY in answer.text
    visitor.fill(path, f"{path}/freeze", reason=WHY)
    page = visitor.get(path)
    assert "Frozen" in page.words
    stale = page.form(f"{path}/unfreeze") | {"reason": WHY}
    assert visitor.send(f"{path}/unfreeze", stale).status_code == 303
    assert visitor.send(f"{path}/unfreeze", stale).status_code == 303  # the same key: it is not done twice
    again = visitor.get(path).form(f"{path}/freeze") | {"reason": WHY}
    assert visitor.send(f"{path}/unfreeze", again).status_code == 409


@pytest.mark.parametrize("until", ["soon", "9999-12-31T23:00", "0001-01-01T00:00"])
def test_it_is_frozen_until_an_instant_that_can_be_told(staff: Staff, until: str) -> None:
    _, path = a_voucher(staff)
    visitor = staff.role("supervisor")
    answer = visitor.fill(path, f"{path}/freeze", reason=WHY, until=until)
    assert answer.status_code == 422
    assert "freeze-until-error" in answer.text
    assert "Frozen" not in visitor.get(path).words


def test_another_place_s_voucher_is_not_there(staff: Staff) -> None:
    found = find_vouchers(core=staff.core, actor=staff.person("manager"), text="0000")
    assert found == ()
    assert staff.role("supervisor").get("/vouchers/00000000-0000-7000-8000-000000000000").status == 404


def test_of_what_may_have_arrived_it_says_so_and_what_to_do(staff: Staff) -> None:
    _, path = a_voucher(staff, email="ana@example.com")
    with staff.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(status="failed", reason=UNCERTAIN))
    shown = staff.role("supervisor").get(path)
    assert UNCERTAIN in shown.words
    assert "May have arrived" in shown.words
    assert "Not delivered" not in shown.words
