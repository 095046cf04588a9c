"""The links of the contract lead somewhere: from what was issued to its record, its case, the till and back."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.doors.machines import Machines, fresh_key, json_of, opened


@pytest.fixture
def machines(database_url: str) -> Iterator[Machines]:
    with opened(database_url) as machines:
        yield machines


def test_every_link_can_be_followed(machines: Machines) -> None:
    document = machines.app.extensions["openapi_document"]()
    issued = machines.issue()
    reached = {"issue": issued} | _follow_all(machines, document, "/api/v1/issuances", issued)
    reached |= _follow_all(machines, document, "/api/v1/redemptions", reached["redeem"])
    opened_case = machines.post("/cases", {"issue_tag": "long-wait", "answers_to_come": True})
    reached |= {"open_recovery_case": opened_case}
    reached |= {"of_opened": _follow_all(machines, document, "/api/v1/cases", opened_case)["get_case"]}
    statuses = {name: answer.status_code for name, answer in reached.items()}
    assert statuses == {
        "issue": 201,
        "get_issuance": 200,
        "get_case": 200,
        "look_up_voucher": 200,
        "redeem": 201,
        "get_redemption": 200,
        "open_recovery_case": 201,
        "of_opened": 200,
    }


def _follow_all(
    machines: Machines, document: dict[str, Any], path: str, answer: TestResponse
) -> dict[str, TestResponse]:
    links = document["paths"][path]["post"]["responses"]["201"]["links"]
    return {
        link["operationId"]: _follow(machines, _operations(document)[link["operationId"]], link, json_of(answer))
        for link in links.values()
    }


def _follow(
    machines: Machines, operation: tuple[str, str], link: dict[str, Any], answer: dict[str, Any]
) -> TestResponse:
    method, path = operation
    for name, expression in link.get("parameters", {}).items():
        path = path.replace(f"{{{name}}}", str(_found(expression, answer)))
    body = {name: _found(expression, answer) for name, expression in link.get("requestBody", {}).items()}
    return machines.call(
        method.upper(), path.removeprefix("/api/v1"), "admin", key=fresh_key(), **({"json": body} if body else {})
    )


def _operations(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        operation["operationId"]: (method, path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }


def _found(expression: str, answer: dict[str, Any]) -> Any:
    """Return what a runtime expression such as ``$response.body#/voucher/code`` finds."""
    pointer = expression.removeprefix("$response.body#/").split("/")
    return reduce(lambda value, name: value[name], pointer, answer)
