"""Every staff page: who may see it, what it holds, and that it is whole HTML behind a strict policy."""

import re
from collections import Counter
from typing import NoReturn

import pytest
from flask import Flask

from admin import door, guard
from admin.guard import ANYBODY, SIGNED_IN, page
from admin.pages import PLACES, first_place
from incentives.kernel.actors import PERMISSIONS, may
from incentives.kernel.database import Database
from incentives.kernel.errors import StorageUnavailable
from incentives.queries import catalog
from tests.doors.staff import ROLES, Page, Staff, Visitor

PAGES = {
    "/staff": "issuances:create",
    "/staff?under=flight": "issuances:create",
    "/staff/give/flight-delayed": "issuances:create",
    "/staff/give/flight-canceled?severity=4": "issuances:create",
    "/approvals": "approvals:read",
    "/approvals?show=mine": "approvals:read",
    "/approvals/absences": "approvals:read",
    "/approvals/policies": "approvals:read",
    "/scan": "redemptions:create",
    "/cases": "cases:read",
    "/finance": "budgets:read",
    "/finance/budgets/london-month": "budgets:read",
    "/finance/requests": "budgets:read",
    "/finance/requests/new?budget=london-month": "budgets:propose",
    "/catalog": "catalog:read",
    "/sessions": SIGNED_IN,
}


def check(found: Page) -> None:
    """Check what holds for every page, whatever it shows."""
    assert found.title.removesuffix(" · Incentives")
    assert len(found.all("h1")) == 1
    assert len(found.all("main")) == 1
    assert found.tree.get("lang") == "en"
    ids = Counter(each.get("id") for each in found.tree.iter() if each.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    _check_forms(found, set(ids))
    _check_policy(found)


def _check_forms(found: Page, ids: set[str | None]) -> None:
    labels = {each.get("for") for each in found.all("label")}
    within = {id(field) for label in found.all("label") for field in label.iter("input")}
    for form in found.all("form"):
        assert form.get("action"), "a form names where it goes"
        assert any(each.get("type") == "submit" for each in form.iter("button"))
        if form.get("method") == "get":
            # A filter changes nothing, and its token would stand in the address.
            assert "csrf_token" not in {each.get("name") for each in form.iter("input")}
            continue
        assert form.get("method") == "post"
        assert any(each.get("name") == "csrf_token" and each.get("value") for each in form.iter("input"))
    for field in [*found.all("input"), *found.all("select"), *found.all("textarea")]:
        if field.get("type") != "hidden":
            assert field.get("id") in labels or id(field) in within or field.get("aria-label"), field.attrib
    for each in found.tree.iter():
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(each.get(name, "").split()) <= ids, f"{name}={each.get(name)}"
        if each.tag == "a" and (each.get("href") or "").startswith("#"):
            assert each.attrib["href"][1:] in ids


def _check_policy(found: Page) -> None:
    policy = dict(part.strip().partition(" ")[::2] for part in found.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert found.headers["Cache-Control"] == "no-store"
    assert found.headers["Referrer-Policy"] == "same-origin"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    for each in found.tree.iter():
        assert "style" not in each.attrib
        assert not [name for name in each.attrib if name.startswith("on")]
        assert not re.match(r"(?:https?:)?//", each.get("src") or each.get("href") or "")
    assert all(each.get("src") and not each.text for each in found.all("script"))
    assert found.all("style") == []


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_whole(staff: Staff, path: str) -> None:
    found = staff.role("admin").get(path)
    assert found.status == 200
    check(found)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_exactly_what_it_may(staff: Staff, role: str) -> None:
    actor = staff.person(role)
    for path, permission in PAGES.items():
        allowed = permission == SIGNED_IN or may(actor, permission)
        found = staff.role(role).get(path)
        assert found.status == (200 if allowed else 403), path
        check(found)
        open_to = [each.get("href") for each in found.all("a") if each.get("class") == "nav-item"]
        assert open_to == [place.href for place in PLACES if may(actor, place.permission)]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_begins_where_it_may(staff: Staff, role: str) -> None:
    answer = staff.role(role).client.get("/")
    assert answer.status_code == 303
    assert answer.location == first_place(staff.person(role))
    assert staff.role(role).get(answer.location).status == 200


@pytest.mark.parametrize("path", PAGES)
def test_who_is_not_signed_in_is_led_to_the_door_and_back(staff: Staff, path: str) -> None:
    visitor = Visitor(staff.app)
    answer = visitor.client.get(path)
    assert answer.status_code == 303
    found = visitor.get(answer.location)
    check(found)
    assert found.form("/sign-in")["next"] == path


def test_every_route_says_what_it_asks(staff: Staff) -> None:
    known = {permission for permissions in PERMISSIONS.values() for permission in permissions}
    views = {name: staff.app.view_functions[name] for name in door.endpoints(staff.app)}
    assert len(views) > 15
    asks = {name: guard.guard_of(view) for name, view in views.items()}
    assert [name for name, asked in asks.items() if asked is None] == []
    permissions = {name: asked.permission for name, asked in asks.items() if asked}
    assert set(permissions.values()) <= known | {SIGNED_IN, ANYBODY}
    assert [name for name, permission in permissions.items() if permission == ANYBODY] == [
        "staff_sign_in.door",
        "staff_sign_in.enter",
        "staff_shared_case.show_it",
    ]


def test_every_route_that_is_not_an_api_or_a_customers_belongs_to_the_staff(staff: Staff) -> None:
    ours = set(door.endpoints(staff.app))
    for rule in staff.app.url_map.iter_rules():
        if door.owns(rule.rule):
            assert rule.endpoint in ours, rule.rule
        else:
            assert rule.endpoint not in ours, rule.rule


def test_every_form_route_refuses_who_is_not_signed_in(staff: Staff) -> None:
    ours = set(door.endpoints(staff.app)) - {"staff_sign_in.enter"}
    given = {"<uuid": "00000000-0000-7000-8000-000000000000", "<int(": "1"}
    for rule in staff.app.url_map.iter_rules():
        if rule.endpoint in ours and "POST" in (rule.methods or ()):
            path = re.sub(r"<[^>]+>", lambda match: given.get(match[0][:5], "flight"), rule.rule)
            answer = Visitor(staff.app).send(path, {})
            assert answer.status_code == 401, path


def test_an_application_with_a_page_that_forgot_to_ask_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from flask import Blueprint  # noqa: PLC0415 - only here

    forgetful = Blueprint("forgetful", __name__)
    forgetful.add_url_rule("/open", view_func=lambda: "secrets", endpoint="open")
    monkeypatch.setattr(door, "_BLUEPRINTS", (forgetful,))
    with pytest.raises(RuntimeError, match=r"forgetful\.open"):
        door.hang(Flask("test", static_folder=None))


def test_a_page_that_asks_nothing_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="permission"):
        page()  # type: ignore[call-arg]  # that is the point


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "nothing here"),
        ("GET", "/staff/nowhere", 404, "nothing here"),
        ("GET", "/cases/00000000-0000-7000-8000-000000000000", 404, "no such recovery case"),
        ("GET", "/staff/given/00000000-0000-7000-8000-000000000000", 404, "no such issuance"),
        ("GET", "/staff/give/nonsense", 422, "no such issue tag"),
        ("GET", "/staff?under=nonsense", 404, "nothing here"),
        ("GET", "/cases?after=nonsense", 422, "cannot be used"),
        ("GET", "/scan/redeem", 405, "does not work this way"),
        ("POST", "/staff", 405, "does not work this way"),
    ],
)
def test_each_error_is_a_page_with_a_next_step(staff: Staff, method: str, path: str, status: int, words: str) -> None:
    answer = staff.role("admin").client.open(path, method=method)
    found = Page(answer)
    check(found)
    assert found.status == status
    assert words in found.words
    assert "name this number" in found.words
    if status == 405:
        assert answer.headers["Allow"]


def test_a_form_that_is_too_big_is_refused_as_a_page(staff: Staff) -> None:
    found = Page(staff.role("admin").send("/scan", {"code": "A" * 2_000_000}))
    check(found)
    assert found.status == 413


def test_when_the_records_are_away_the_page_says_so_and_when_to_come_back(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: Database) -> NoReturn:
        raise StorageUnavailable(retry_after_seconds=2)

    visitor = staff.role("admin")
    monkeypatch.setattr(Database, "read", away)
    found = visitor.get("/finance")
    check(found)
    assert found.status == 503
    assert found.headers["Retry-After"] == "2"
    assert "nothing is ever given twice" in found.words


def test_a_bug_leaks_nothing(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> NoReturn:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(catalog, "issue_tags", broken)
    found = staff.role("admin").get("/catalog")
    check(found)
    assert found.status == 500
    assert "secret" not in found.html
    assert "Traceback" not in found.html
    assert "Something broke on our side" in found.words


def test_our_files_may_be_kept_for_good_and_others_are_not_there(staff: Staff) -> None:
    visitor = Visitor(staff.app)
    assert [path for path in _files(visitor.get("/sign-in")) if not visitor.file(path)] == []
    assert visitor.client.get("/static/staff/../pages.py").status_code == 404


def test_each_icon_of_the_catalog_and_of_the_pages_is_drawn(staff: Staff) -> None:
    from incentives.catalog.reading import ICONS  # noqa: PLC0415 - only here

    sprite = Visitor(staff.app).file("/static/staff/icons.svg?v=1").decode()
    drawn = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    shown = {
        name for path in PAGES for name in re.findall(r"icons\.svg\?v=\w+#([\w-]+)", staff.role("admin").get(path).html)
    }
    assert len(shown) > 10
    assert set(ICONS) | shown <= drawn


def test_staff_pages_weigh_little(staff: Staff) -> None:
    found = staff.role("admin").get("/staff/give/flight-delayed")
    assert sum(len(staff.role("admin").file(path)) for path in _files(found)) < 60_000
    assert len(found.html) < 60_000


def _files(found: Page) -> list[str]:
    return [each.attrib["href"] for each in found.all("link")] + [each.attrib["src"] for each in found.all("script")]
