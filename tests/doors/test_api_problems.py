"""Problems: the table is complete, errors keep their headers, bugs leak nothing, and the catalog of them is written."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.exceptions import Gone, HTTPException, MethodNotAllowed, NotFound, RequestTimeout, ServiceUnavailable

from api import problems
from incentives.kernel import errors
from incentives.kernel.errors import Refusal

HOUSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("problems")
    with app.test_request_context("/api/v1/x"):
        yield app


def _refusals() -> set[type[Refusal]]:
    return {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Refusal)} - {Refusal}


def test_every_refusal_has_its_status_and_says_what_to_do() -> None:
    assert set(problems.STATUSES) == _refusals()
    for refusal, status in problems.STATUSES.items():
        assert 400 <= status < 600
        assert refusal.title is not Refusal.title, refusal
        assert refusal.next_step is not Refusal.next_step, refusal


def test_every_kind_of_problem_has_a_name_of_its_own() -> None:
    slugs = [kind.slug for kind in problems.all_kinds()]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", slug) for slug in slugs)


def test_the_catalog_of_problems_is_the_table() -> None:
    assert (HOUSE / "docs" / "problems.md").read_text(encoding="utf-8") == problems.catalog_page()


@pytest.mark.usefixtures("app")
def test_facts_stand_beside_the_members_and_never_in_their_place() -> None:
    answer = problems.render(errors.BudgetExhausted("No room.", budget="all", status="x", type="y"))
    problem = json.loads(answer.data)
    assert (problem["budget"], problem["status"], problem["type"]) == ("all", 409, "/problems/budget-exhausted")
    assert list(problem)[:4] == ["type", "title", "status", "detail"]


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("seconds", [0.2, 2, 59.5])
def test_a_wait_is_told_in_whole_seconds(seconds: float) -> None:
    answer = problems.render(errors.StorageUnavailable(retry_after_seconds=seconds))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= seconds


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("error", "status", "slug", "header"),
    [
        (MethodNotAllowed(valid_methods=["GET"]), 405, "method-not-allowed", ("Allow", "GET")),
        (ServiceUnavailable(retry_after=3), 503, "busy", ("Retry-After", "3")),
        (NotFound(), 404, "not-found", None),
        (RequestTimeout(), 408, "request-timeout", None),
        (Gone(), 400, "bad-request", None),
    ],
)
def test_errors_of_http_keep_their_headers(
    error: HTTPException, status: int, slug: str, header: tuple[str, str] | None
) -> None:
    answer = problems.render(error)
    assert (answer.status_code, json.loads(answer.data)["type"]) == (status, f"/problems/{slug}")
    assert answer.content_type == "application/problem+json"
    if header:
        assert answer.headers[header[0]] == header[1]


@pytest.mark.usefixtures("app")
def test_a_bug_leaks_nothing() -> None:
    answer = problems.render(RuntimeError("postgresql://app:secret@db/incentives"))
    assert answer.status_code == 500
    assert b"secret" not in answer.data
    assert json.loads(answer.data)["type"] == "/problems/internal-error"


def test_no_refusal_has_a_fact_that_a_member_would_hide() -> None:
    names = {refusal.__name__ for refusal in _refusals()}
    hidden = [
        f"{path.name}:{call.lineno} {keyword.arg}"
        for path in (HOUSE / "incentives").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names
        for keyword in call.keywords
        if keyword.arg in {"type", "title", "status", "detail", "next_step", "request_id"}
    ]
    assert hidden == []
