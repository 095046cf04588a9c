"""Deny by default: every route of the API says who may use it, and says so in its documents; nobody else gets in."""

from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.routing import Rule

from api.smorest import Api, Blueprint
from incentives.kernel.actors import PERMISSIONS
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.world import api_key

PUBLIC = {
    "GET /api/v1/health/live",
    "GET /api/v1/health/ready",
    "GET /api/openapi.json",
    "GET /api/docs",
    "GET /api/docs/<name>",
    "GET /problems/<slug>",
}

# Who may is no role: it bears a token of its own, which test_api_metrics.py asks for.
WITH_A_TOKEN = {"GET /api/v1/metrics"}


@pytest.fixture(scope="module")
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite")
    url = databases.new()
    with opened(url) as machines:
        yield machines
    databases.drop(url)


def _rules(machines: Machines) -> list[tuple[str, Rule]]:
    """Return every method and route of this door."""
    return [
        (f"{method} {rule.rule}", rule)
        for rule in machines.app.url_map.iter_rules()
        if rule.rule.startswith(("/api", "/problems"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


def test_every_route_asks_for_a_key_but_those_that_say_nothing(machines: Machines) -> None:
    asked = 0
    for name, rule in _rules(machines):
        method, path = name.split(" ", 1)
        answer = machines.client.open(_filled(path), method=method)
        if name in PUBLIC:
            assert answer.status_code in (200, 404), name
        else:
            assert_problem(answer, 401, "not-authenticated")
            assert rule.endpoint
            asked += 1
    assert asked >= 65


def test_every_route_keeps_out_every_role_that_may_not(machines: Machines) -> None:
    document = machines.app.extensions["openapi_document"]()
    refused = let_in = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "parameters" or "x-permission" not in operation:
                continue
            for role, permissions in PERMISSIONS.items():
                answer = machines.call(method.upper(), _filled(path.removeprefix("/api/v1")), role)
                if operation["x-permission"] in permissions:
                    # Of an empty body, or of what no id names, it says so only to whoever may come in.
                    assert answer.status_code in (200, 404, 409, 415, 422), (method, path, role)
                    let_in += 1
                else:
                    assert_problem(answer, 403, "not-permitted")
                    refused += 1
    assert refused >= 190
    assert let_in >= 200


def test_the_documents_name_a_permission_that_there_is_for_every_route(machines: Machines) -> None:
    document = machines.app.extensions["openapi_document"]()
    known = set().union(*PERMISSIONS.values())
    documented = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                name = f"{method.upper()} {path}"
                documented.add(_plain(name))
                assert operation.get("x-permission") in known or name in PUBLIC | WITH_A_TOKEN, name
                assert (operation.get("security") == []) == (name in PUBLIC), name
                assert (operation.get("security") == [{"metricsToken": []}]) == (name in WITH_A_TOKEN), name
    routes = {_plain(name) for name, _ in _rules(machines) if " /api/v1/" in name}
    assert documented == routes
    assert {name.split(" ", 1)[0] for name in routes} == {"GET", "POST", "PUT", "DELETE"}


def test_a_view_that_says_nothing_about_who_may_cannot_be_registered() -> None:
    blueprint = Blueprint("forgetful", "A resource.")
    with pytest.raises(RuntimeError, match="does not say who may use it"):
        blueprint.get("/secrets")(lambda: "secret")


def test_the_door_registers_no_handler_for_the_whole_application() -> None:
    app = Flask("bare")
    Api(app, spec_kwargs={"title": "Bare", "version": "1", "openapi_version": "3.1.0"})
    assert not app.error_handler_spec


def test_a_key_that_was_found_answers_for_its_own_location(machines: Machines) -> None:
    secret, _ = api_key(machines.core, "frontline", location="madrid")
    headers = {"Authorization": f"Bearer {secret}"}
    answer = machines.call("POST", "/offers", None, json={"issue_tag": "flight"}, headers=headers)
    assert {each["incentive"]: each["offerable"] for each in json_of(answer)["offers"]}["travel-voucher-eur"]


def _filled(path: str) -> str:
    """Return a path with an id in the place of each parameter, or a number where it is one."""
    numbers = [("1" if "number" in part and part[:1] in ("<", "{") else part) for part in path.split("/")]
    return _plain("/".join(numbers)).replace("<>", "01912345-0000-7000-8000-000000000000")


def _plain(path: str) -> str:
    """Return a path with <> for each parameter, as Flask or OpenAPI write it."""
    parts = [("<>" if part[:1] in ("<", "{") else part) for part in path.split("/")]
    return "/".join(parts)
