"""Signing in and out: sessions that end, cookies that stay, forms that only our own pages send."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from admin import guard
from admin.guard import POLL_HEADER, local_path
from incentives.kernel.clock import FixedClock
from incentives.kernel.throttle import LIMITS, Limit, Throttle
from tests.doors.staff import Page, Staff, Visitor
from tests.doors.test_pages import check
from tests.world import PASSWORD, make_core, person
from wsgi import create_app


def test_signing_in_leads_where_one_wanted_to_go(staff: Staff) -> None:
    visitor = Visitor(staff.app)
    address = visitor.client.get("/staff/give/flight-delayed?severity=3").location
    answer = visitor.fill(address, "/sign-in", email="Frontline@Example.com ", password=PASSWORD)
    assert answer.status_code == 303
    assert answer.location == "/staff/give/flight-delayed?severity=3"
    assert visitor.get("/sessions").status == 200


@pytest.mark.parametrize(("email", "password"), [("frontline@example.com", "wrong"), ("nobody@example.com", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_are_told_alike(staff: Staff, email: str, password: str) -> None:
    found = Page(Visitor(staff.app).sign_in(email, password))
    check(found)
    assert found.status == 401
    assert "That email and password do not match" in found.words
    assert found.form("/sign-in")["email"] == email
    assert found.form("/sign-in")["password"] == ""


def test_the_sixth_try_waits_and_others_do_not(staff: Staff) -> None:
    visitor = Visitor(staff.app)
    tries = [visitor.sign_in("frontline@example.com", "wrong").status_code for _ in range(5)]
    assert tries == [401] * 5
    answer = visitor.sign_in("frontline@example.com")
    found = Page(answer)
    check(found)
    assert found.status == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert re.search(r"Wait \d+ minutes?, then try again", found.words)
    assert Visitor(staff.app).sign_in(str(staff.person("supervisor").email)).status_code == 303


def _from(visitor: Visitor, address: str) -> Visitor:
    visitor.client.environ_base["REMOTE_ADDR"] = address
    return visitor


def test_an_outsider_locks_nobody_out(staff: Staff) -> None:
    outsider = _from(Visitor(staff.app), "203.0.113.1")
    assert [outsider.sign_in("frontline@example.com", "wrong").status_code for _ in range(7)] == [401] * 5 + [429] * 2
    assert outsider.sign_in("frontline@example.com").status_code == 429  # From there not even the right password.
    assert _from(Visitor(staff.app), "203.0.113.2").sign_in("frontline@example.com").status_code == 303


def test_one_address_may_fail_so_often_whatever_accounts_it_tries(staff: Staff) -> None:
    staff.app.extensions["throttle"] = Throttle(limits={**LIMITS, "sign-in-address": Limit(3, 900)})
    visitor = _from(Visitor(staff.app), "2001:db8::1")
    assert [visitor.sign_in(f"{number}@example.com", "wrong").status_code for number in range(3)] == [401] * 3
    _from(visitor, "2001:db8::2")  # The same household.
    assert visitor.sign_in("4@example.com", "wrong").status_code == 429
    _from(visitor, "2001:db8:0:1::1")
    assert visitor.sign_in("4@example.com", "wrong").status_code == 401


def test_tries_from_everywhere_are_bounded_but_not_for_whoever_signed_in_from_there(staff: Staff) -> None:
    staff.app.extensions["throttle"] = Throttle(limits={**LIMITS, "sign-in-account": Limit(3, 900)})
    known = _from(Visitor(staff.app), "198.51.100.1")
    assert known.sign_in("frontline@example.com").status_code == 303
    answers = [
        _from(Visitor(staff.app), f"203.0.113.{number}").sign_in("frontline@example.com", "wrong").status_code
        for number in range(5)
    ]
    assert answers == [401] * 3 + [429] * 2
    assert _from(Visitor(staff.app), "198.51.100.1").sign_in("frontline@example.com").status_code == 303


def test_proving_who_one_is_forgets_the_failed_tries(staff: Staff) -> None:
    visitor = Visitor(staff.app)
    for _ in range(2):
        assert [visitor.sign_in("frontline@example.com", "wrong").status_code for _ in range(4)] == [401] * 4
        assert visitor.sign_in("frontline@example.com").status_code == 303
        visitor.fill("/sessions", "/sign-out")


def test_the_cookie_is_out_of_reach(staff: Staff) -> None:
    cookies = Visitor(staff.app).sign_in("frontline@example.com").headers.getlist("Set-Cookie")
    (cookie,) = [each for each in cookies if each.startswith("staff=")]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}


def test_over_https_the_cookie_is_tied_to_the_host(sqlite: Any) -> None:
    url = sqlite.new()
    core = make_core(url, INCENTIVES_PUBLIC_URL="https://recovery.example.com")
    person(core, "frontline")
    visitor = Visitor(create_app(core))
    visitor.client.environ_base["wsgi.url_scheme"] = "https"
    answer = visitor.client.get("/sign-in", base_url="https://recovery.example.com")
    fields = Page(answer).form("/sign-in") | {"email": "frontline@example.com", "password": PASSWORD}
    entered = visitor.client.post("/sign-in", data=fields, base_url="https://recovery.example.com")
    assert entered.status_code == 303
    (cookie,) = [each for each in entered.headers.getlist("Set-Cookie") if each.startswith("__Host-staff=")]
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    core.database.dispose()
    sqlite.drop(url)


def test_signing_out_ends_the_session_everywhere_the_cookie_went(staff: Staff) -> None:
    visitor = Visitor(staff.app)
    visitor.sign_in("frontline@example.com")
    stolen = Visitor(staff.app)
    cookie = visitor.client.get_cookie("staff")
    assert cookie
    stolen.client.set_cookie("staff", cookie.value)
    assert stolen.get("/staff").status == 200
    answer = visitor.fill("/sessions", "/sign-out")
    assert answer.location == "/sign-in?bye"
    assert "You are signed out" in visitor.get(answer.location).words
    assert stolen.client.get("/staff").status_code == 303


def test_one_sees_and_ends_ones_own_sessions_only(staff: Staff) -> None:
    here, there, other = staff.role("frontline"), Visitor(staff.app), staff.role("supervisor")
    there.sign_in("frontline@example.com")
    found = here.get("/sessions")
    check(found)
    assert found.words.count("End it") == 2
    assert found.words.count("This one") == 1
    ends = [each.attrib["action"] for each in found.all("form") if "/revoke" in each.attrib["action"]]
    for action in ends:
        other.send(action, {"csrf_token": other.get("/sessions").form("/sign-out")["csrf_token"]})
    assert there.get("/staff").status == 200
    own = next(each for each in found.all("li") if "This one" in "".join(each.itertext()))
    others = next(action for action in ends if action != next(own.iter("form")).get("action"))
    assert here.send(others, found.form(others)).location == "/sessions?ended"
    assert there.client.get("/staff").status_code == 303
    assert here.get("/sessions").words.count("End it") == 1


def test_a_session_that_rests_too_long_ends(sqlite: Any) -> None:
    url = sqlite.new()
    core = make_core(url)
    person(core, "frontline")
    visitor = Visitor(create_app(core))
    visitor.sign_in("frontline@example.com")
    assert isinstance(core.clock, FixedClock)
    for _ in range(4):
        core.clock.advance(timedelta(minutes=20))
        assert visitor.get("/sessions").status == 200
    core.clock.advance(timedelta(minutes=31))
    assert visitor.client.get("/sessions").status_code == 303
    core.database.dispose()
    sqlite.drop(url)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_a_form_from_another_page_is_refused_with_a_right_token(staff: Staff, headers: dict[str, str]) -> None:
    visitor = staff.role("frontline")
    fields = visitor.get("/staff/give/flight-delayed").form("/staff/give/flight-delayed") | {"screen_only": "yes"}
    found = Page(visitor.send("/staff/give/flight-delayed", fields, headers=headers))
    check(found)
    assert found.status == 403
    assert "This form has expired" in found.words
    assert "No open cases" in staff.role("auditor").get("/cases").words


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
        {"Origin": "http://127.0.0.1:8000"},
        {},
    ],
)
def test_a_form_from_our_page_passes(staff: Staff, headers: dict[str, str]) -> None:
    visitor = staff.role("frontline")
    fields = visitor.get("/staff/give/flight-delayed").form("/staff/give/flight-delayed") | {"screen_only": "yes"}
    assert visitor.send("/staff/give/flight-delayed", fields, headers=headers).status_code == 303


@pytest.mark.parametrize("token", ["", "nonsense", "ünïcode", None])
def test_a_form_without_its_token_is_refused(staff: Staff, token: str | None) -> None:
    visitor = staff.role("frontline")
    fields = visitor.get("/scan").form("/scan") | {"code": "X"}
    del fields["csrf_token"]
    more = {} if token is None else {"csrf_token": token}
    assert visitor.send("/scan", fields | more).status_code == 403


def test_the_token_of_another_session_is_refused(staff: Staff) -> None:
    token = staff.role("supervisor").get("/scan").form("/scan")["csrf_token"]
    assert staff.role("frontline").send("/scan", {"csrf_token": token, "code": "X"}).status_code == 403


def test_a_sign_in_form_of_a_foreign_browser_is_refused(staff: Staff) -> None:
    fields = Visitor(staff.app).get("/sign-in").form("/sign-in")
    answer = Visitor(staff.app).send("/sign-in", fields | {"email": "frontline@example.com", "password": PASSWORD})
    assert answer.status_code == 403
    assert answer.headers.getlist("Set-Cookie") == [] or "staff=" not in str(answer.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/cases", "/cases"),
        ("/cases?after=1", "/cases?after=1"),
        ("https://elsewhere.example.com/", "/"),
        ("//elsewhere.example.com/", "/"),
        ("///elsewhere.example.com/", "/"),
        ("/\\elsewhere.example.com/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/elsewhere.example.com", "/"),
        ("//[", "/"),
        ("https://[elsewhere]/", "/"),
        ("", "/"),
        (None, "/"),
    ],
)
def test_signing_in_leads_nowhere_else(wanted: str | None, path: str) -> None:
    assert local_path(wanted) == path


def test_an_address_that_is_none_leads_to_the_sign_in_page_alone(staff: Staff) -> None:
    assert Visitor(staff.app).get("/sign-in?next=//[").status == 200


def test_waiting_alone_keeps_nobody_signed_in(staff: Staff) -> None:
    page = staff.asked()
    visitor, clock = staff.role("frontline"), staff.core.clock
    assert isinstance(clock, FixedClock)
    idle_minutes = staff.core.settings.session_idle_minutes
    answers = []
    for _ in range(4):
        clock.advance(timedelta(minutes=idle_minutes / 3, seconds=1))
        answers.append(visitor.client.get(page, headers={POLL_HEADER: "1"}).status_code)
    assert answers == [200, 200, 303, 303]


def test_who_looks_themselves_stays_signed_in(staff: Staff) -> None:
    page = staff.asked()
    visitor, clock = staff.role("frontline"), staff.core.clock
    assert isinstance(clock, FixedClock)
    for _ in range(4):
        clock.advance(timedelta(minutes=staff.core.settings.session_idle_minutes / 3, seconds=1))
        assert visitor.get(page).status == 200


def test_the_script_says_that_it_asks_by_itself() -> None:
    script = (Path(guard.__file__).parent / "static" / "app.js").read_text(encoding="utf-8")
    assert script.count(f'"{POLL_HEADER}": "1"') == 1


def test_a_forgotten_password_is_a_matter_for_an_administrator(staff: Staff) -> None:
    assert "An administrator of your organization gives you a new one" in Visitor(staff.app).get("/sign-in").words
