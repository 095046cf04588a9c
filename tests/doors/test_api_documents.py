"""The API's documents: the committed contract is the served one, and its page loads nothing from anywhere else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.problems import all_kinds
from tests.doors.machines import Machines, json_of, opened

HOUSE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite")
    url = databases.new()
    with opened(url) as machines:
        yield machines
    databases.drop(url)


def test_the_committed_contract_is_the_one_that_is_served(machines: Machines) -> None:
    served = machines.client.get("/api/openapi.json")
    committed = json.loads((HOUSE / "openapi.json").read_text(encoding="utf-8"))
    assert json_of(served) == committed, "write it again: .venv/bin/incentives openapi > openapi.json"


def test_the_contract_says_its_version_and_how_to_come_in(machines: Machines) -> None:
    document = machines.app.extensions["openapi_document"]()
    assert document["openapi"] == "3.1.0"
    schemes = document["components"]["securitySchemes"]
    assert schemes["apiKey"] == {"type": "http", "scheme": "bearer"}
    assert document["security"] == [{"apiKey": []}]
    webhook = document["paths"]["/api/v1/connectors/{source}"]["post"]
    ways = [next(iter(way)) for way in webhook["security"]]
    assert [schemes[way].get("scheme", schemes[way].get("name")) for way in ways] == ["bearer", "X-Api-Key", "basic"]


def test_every_problem_in_the_contract_is_one_of_the_table(machines: Machines) -> None:
    text = machines.client.get("/api/openapi.json").text
    named = set(re.findall(r'"/problems/([a-z-]+)"', text))
    assert named <= {kind.slug for kind in all_kinds()}
    assert {"budget-exhausted", "already-redeemed", "idempotency-key-reused", "too-many-requests"} <= named


def test_every_operation_has_a_name_a_summary_and_its_problems(machines: Machines) -> None:
    document = machines.app.extensions["openapi_document"]()
    operations = [
        operation for path in document["paths"].values() for method, operation in path.items() if method != "parameters"
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) == 140
    for operation in operations:
        assert operation["summary"].endswith(".") or len(operation["summary"]) > 10
        assert "503" in operation["responses"]
        if "requestBody" in operation:
            assert {"400", "401", "403", "413"} <= set(operation["responses"])
        if "application/json" in operation.get("requestBody", {}).get("content", {}) and "security" not in operation:
            assert {"415", "422"} <= set(operation["responses"])
    keyed = {
        operation["operationId"]: operation["x-idempotency"] for operation in operations if "x-idempotency" in operation
    }
    assert {name for name, how in keyed.items() if how == "required"} == {
        *("issue", "redeem", "reserve", "commit_held", "reverse", "propose_budget_request"),
    }
    assert {name for name, how in keyed.items() if how == "optional"} == {
        *("decide", "open_recovery_case", "split_recovery_case", "apologize_in_case", "write_case_note"),
        *("void", "reissue", "change_address", "resend", "extend", "adjust", "freeze", "unfreeze"),
        *("write_case_task", "open_form", "share_recovery_case", "annul", "decide_on_budget_request"),
        *("decide_on_review", "decide_many", "withdraw_approval", "delegate_approvals", "extend_held", "issue_in_bulk"),
    }


def test_no_two_schemas_are_told_apart_by_a_number(machines: Machines) -> None:
    names = machines.app.extensions["openapi_document"]()["components"]["schemas"]
    assert [name for name in names if name[-1].isdigit()] == []


def test_bodies_that_are_not_only_json_say_so(machines: Machines) -> None:
    paths = machines.app.extensions["openapi_document"]()["paths"]
    taken = {
        path.removeprefix("/api/v1"): set(operations["post"]["requestBody"]["content"])
        for path, operations in paths.items()
        if "requestBody" in operations.get("post", {})
    }
    assert {path: types for path, types in taken.items() if types != {"application/json"}} == {
        "/feedback": {"application/json", "application/x-ndjson"},
        "/connectors/{source}": {"application/json", "application/x-www-form-urlencoded"},
        "/cases/{case_id}/files": {"multipart/form-data"},
        "/issuances/bulk": {"text/csv", "application/x-ndjson"},
        "/catalog/releases": {"application/yaml"},
    }
    assert set(paths["/api/v1/feedback"]["post"]["responses"]["202"]["content"]) == taken["/feedback"]


def test_the_page_loads_only_from_this_machine_and_runs_only_its_own_script(machines: Machines) -> None:
    page = machines.client.get("/api/docs")
    policy = page.headers["Content-Security-Policy"]
    (nonce,) = re.findall(r"'nonce-([\w-]+)'", policy)
    assert page.text.count(f'nonce="{nonce}"') == 1
    assert "script-src 'self' 'nonce-" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    again = machines.client.get("/api/docs").headers["Content-Security-Policy"]
    assert again != policy


@pytest.mark.parametrize("name", ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"])
def test_the_page_finds_its_files(machines: Machines, name: str) -> None:
    with machines.client.get(f"/api/docs/{name}") as file:
        assert file.status_code == 200
        assert "max-age" in file.headers["Cache-Control"]
        assert len(file.data) > 500


@pytest.mark.parametrize("name", ["index.html", "..%2F__init__.py", "oauth2-redirect.html"])
def test_no_other_file_is_given(machines: Machines, name: str) -> None:
    assert machines.client.get(f"/api/docs/{name}").status_code == 404


def test_the_type_of_a_problem_points_to_what_it_is(machines: Machines) -> None:
    for kind in all_kinds():
        shown = json_of(machines.client.get(kind.type))
        assert (shown["type"], shown["status"], shown["title"]) == (kind.type, kind.status, kind.title)
    assert machines.client.get("/problems/nothing-of-ours").status_code == 404


def test_the_guide_lists_every_call_with_what_it_asks_for(machines: Machines) -> None:
    guide = (HOUSE / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| `?([a-z:]+)`? \|", guide, flags=re.MULTILINE))
    document = machines.app.extensions["openapi_document"]()
    assert listed == {
        (f"{method.upper()} {path.removeprefix('/api/v1')}", operation.get("x-permission", "nobody"))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
