"""The scan page: found, redeemed, used already, expired, not known; each with a next step."""

import re
from datetime import timedelta

import pytest

from admin.scan import secret_of
from incentives.kernel.clock import FixedClock
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check


def look_up(staff: Staff, code: str, role: str = "till") -> Page:
    return Page(staff.role(role).fill("/scan", "/scan", code=code))


def redeem(staff: Staff, code: str, role: str = "till", **fields: str) -> Page:
    found = look_up(staff, code, role)
    return Page(staff.role(role).send("/scan/redeem", found.form("/scan/redeem") | fields))


def test_looking_up_shows_what_it_is_worth_and_changes_nothing(staff: Staff) -> None:
    code = staff.new_code()
    for _ in range(2):
        found = look_up(staff, code.lower().replace("-", " "))
        check(found)
        assert found.status == 200
        assert "Can be redeemed" in found.words
        assert "£25.00 off Travel voucher" in found.words
        assert "20 November 2027, end of the day (London time)" in found.words
        assert "For any flight or stay. One use." in found.words


def test_redeemed_once_and_the_second_time_says_when_where_and_by_whom(staff: Staff) -> None:
    code = staff.new_code()
    found = redeem(staff, code, order_ref="MA 12", order_total="20,00")
    check(found)
    assert found.status == 200
    assert "verdict-good" in found.html
    assert "Redeemed £20.00" in found.words
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(minutes=7))
    again = look_up(staff, code, "supervisor")
    check(again)
    assert again.status == 200
    assert "verdict-warn" in again.html
    assert "Used already On 20 Nov 2026, 12:00, at London Heathrow, by Till." in again.words
    assert "Tell the customer when and where" in again.words


def test_two_tills_at_once_redeem_once(staff: Staff) -> None:
    code = staff.new_code()
    first = look_up(staff, code, "till").form("/scan/redeem")
    second = look_up(staff, code, "supervisor").form("/scan/redeem")
    assert "Redeemed" in Page(staff.role("till").send("/scan/redeem", first)).words
    assert "Redeemed" in Page(staff.role("till").send("/scan/redeem", first)).words
    late = Page(staff.role("supervisor").send("/scan/redeem", second))
    check(late)
    assert late.status == 409
    assert "Used already" in late.words


@pytest.mark.parametrize(
    ("code", "status", "title", "next_step"),
    [
        ("0000-0000-0000-0", 404, "Not known", "call a supervisor"),
        ("ABCD", 422, "Mistyped", "Read the code again"),
        ("http://127.0.0.1:8000/v/nonsense", 404, "Not known", "call a supervisor"),
        ("<script>", 422, "Mistyped", "Read the code again"),
    ],
)
def test_a_code_that_is_none_says_what_to_do(staff: Staff, code: str, status: int, title: str, next_step: str) -> None:
    found = look_up(staff, code)
    check(found)
    assert found.status == status
    assert found.title.startswith(title)
    assert next_step in found.words


def test_an_empty_field_is_named(staff: Staff) -> None:
    found = look_up(staff, "  ")
    check(found)
    assert found.status == 422
    assert "type the code first" in found.words


def test_an_expired_voucher_says_since_when(staff: Staff) -> None:
    code = staff.new_code(incentive="meal-gbp")
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(days=3))
    staff.signed_in_again("till")
    found = look_up(staff, code)
    check(found)
    assert "Expired It was good until 22 November 2026, end of the day (London time)." in found.words


def test_a_percentage_needs_the_total(staff: Staff) -> None:
    code = staff.new_code("supervisor", tag="flight", incentive="percent-off-gbp")
    found = look_up(staff, code)
    assert "15% off" in found.words
    refused = redeem(staff, code)
    check(refused)
    assert refused.status == 422
    assert "Type the order total" in refused.words
    refused = redeem(staff, code, order_total="a lot")
    assert refused.status == 422
    assert refused.form("/scan/redeem")["order_total"] == "a lot"
    assert "Redeemed £12.00" in redeem(staff, code, order_total="80").words


def test_what_is_left_of_credit_becomes_a_new_voucher(staff: Staff) -> None:
    code = staff.new_code(incentive="credit-gbp")
    found = redeem(staff, code, order_total="15")
    assert "Redeemed £15.00" in found.words
    rest = re.search(r"The rest, £25\.00, is on a new voucher: (\S+)", found.words)
    assert rest
    assert "£25.00 credit" in look_up(staff, rest[1]).words


def test_a_scanner_that_types_the_whole_link_is_understood(staff: Staff) -> None:
    place = staff.give().location
    (picture,) = [each.attrib["src"] for each in staff.role("frontline").get(place).all("img")]
    link = f"http://127.0.0.1:8000{picture.removesuffix('/qr.svg')}"
    for typed in (link, link.rpartition("/")[2]):
        assert "Can be redeemed" in look_up(staff, typed).words
    assert "Redeemed" in redeem(staff, link).words


def test_a_thing_is_handed_over_not_taken_off_a_bill(staff: Staff) -> None:
    found = redeem(staff, staff.new_code(incentive="meal-gbp"))
    assert "A meal on us" in found.words
    assert "Hand it over" in found.words


def test_guessing_is_slowed_down_and_a_busy_till_is_not(staff: Staff) -> None:
    code = staff.new_code()
    guesses = [look_up(staff, "0000-0000-0000-0", "supervisor").status for _ in range(6)]
    assert guesses == [404] * 5 + [429]
    check(look_up(staff, "0000-0000-0000-0", "supervisor"))
    # Whoever guesses is slowed down; whoever has a good code is served, and be it after five bad ones.
    assert look_up(staff, code, "supervisor").status == 200
    assert [look_up(staff, code).status for _ in range(8)] == [200] * 8


@pytest.mark.parametrize(
    ("typed", "secret"),
    [
        ("7K3M-Q9XD-4TGA-P", {"code": "7K3M-Q9XD-4TGA-P"}),
        ("https://x.example.com/v/abc.DEF_-1", {"token": "abc.DEF_-1"}),
        ("https://x.example.com/v/abc.DEF_-1?utm=1", {"token": "abc.DEF_-1"}),
        ("a" * 22 + "." + "b" * 22, {"token": "a" * 22 + "." + "b" * 22}),
    ],
)
def test_what_was_scanned_is_a_code_or_a_token(typed: str, secret: dict[str, str]) -> None:
    assert secret_of(typed) == secret
