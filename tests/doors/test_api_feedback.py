"""Feedback at the API's door: one by one, by the thousand, from the tools of others; nothing is ever lost."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from incentives.kernel.actors import Role
from incentives.recovery.feedback_tables import feedback, feedback_inbox
from tests.doors.machines import Machines, assert_problem, json_of
from tests.flows.feedback_shop import asknicely, catalog
from tests.world import api_key, make_core, publish_catalog

AT = "2026-11-20T11:00:00Z"
NDJSON = "application/x-ndjson"


@pytest.fixture
def machines(new_database: Callable[..., str]) -> Iterator[Machines]:
    """The API of a shop that survey tools report to."""
    core = make_core(new_database())
    publish_catalog(core, catalog())
    made = Machines(core, {role.value: api_key(core, role.value)[0] for role in Role})
    yield made
    made.close()


def body(external_id: str = "one", **changes: Any) -> dict[str, Any]:
    usual = {"source": "till", "external_id": external_id, "kind": "survey", "score": 5, "scale": "stars_5"}
    return {**usual, "occurred_at": AT, **changes}


def report(machines: Machines, external_id: str = "one", role: str = "integrator", **changes: Any) -> TestResponse:
    return machines.post("/feedback", body(external_id, **changes), role)


def webhook(machines: Machines, document: Any, *, headers: Mapping[str, str] | None = None) -> TestResponse:
    return machines.call("POST", "/connectors/asknicely", "integrator", json=document, headers=dict(headers or {}))


def rows(machines: Machines, table: sa.Table) -> list[Any]:
    with machines.core.database.read() as tx:
        return list(tx.execute(sa.select(table).order_by(table.c.id)).all())


def test_praise_is_taken_in_and_done_with(machines: Machines) -> None:
    answer = report(machines)
    assert answer.status_code == 202
    taken = json_of(answer)
    assert (taken["status"], taken["case_id"], taken["issuance_id"]) == ("acted", None, None)
    assert rows(machines, feedback)[0].id.hex == taken["id"].replace("-", "")


def test_trouble_opens_a_case_before_the_answer_and_a_repetition_names_it_again(machines: Machines) -> None:
    first = json_of(report(machines, score=1, issue_tags=["long-wait"]))
    assert (first["status"], first["case_id"] is None) == ("acted", False)
    again = json_of(report(machines, score=1, issue_tags=["long-wait"]))
    assert again == first
    assert len(rows(machines, feedback)) == 1


def test_the_same_source_and_id_with_another_score_is_a_revision(machines: Machines) -> None:
    first = json_of(report(machines))
    second = json_of(report(machines, score=2, issue_tags=["long-wait"], occurred_at="2026-11-20T11:05:00Z"))
    assert second["id"] == first["id"]
    assert second["case_id"] is not None
    shown = json_of(machines.get(f"/feedback/{first['id']}"))
    assert (shown["revision"], [each["score"] for each in shown["versions"]]) == (2, ["5", "2"])


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("score", {"score": 6}),
        ("score", {"score": True}),
        ("scale", {"scale": "stars_10"}),
        ("kind", {"kind": "gossip"}),
        ("occurred_at", {"occurred_at": "2027-11-20T11:00:00Z"}),
        ("occurred_at", {"occurred_at": "yesterday"}),
        ("occurred_at", {"occurred_at": "0001-01-01T00:00:00Z"}),  # what .NET sends for no instant at all
        ("occurred_at", {"occurred_at": "1900-01-01T00:00:00+01:00"}),
        ("comment", {"comment": "before\x00after"}),
        ("comment", {"comment": "x" * 10_001}),
        ("customer.email", {"customer": {"email": "nobody"}}),
        ("surprise", {"surprise": 1}),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_field_and_kept(
    machines: Machines, field: str, changes: dict[str, Any]
) -> None:
    problem = assert_problem(report(machines, **changes), 422, "feedback-not-understood", field=field)
    (kept,) = rows(machines, feedback_inbox)
    assert (kept.id.hex, kept.status) == (problem["inbox_id"].replace("-", ""), "waiting")
    assert orjson.loads(machines.core.contacts.open(kept.body)) == body(**changes)
    assert rows(machines, feedback) == []
    again = assert_problem(report(machines, **changes), 422, "feedback-not-understood", field=field)
    assert again["inbox_id"] == problem["inbox_id"]
    assert len(rows(machines, feedback_inbox)) == 1


def test_a_megabyte_is_too_much(machines: Machines) -> None:
    assert_problem(report(machines, comment="x" * 2**20), 413, "body-too-large")
    assert_problem(
        machines.call("POST", "/connectors/asknicely", "integrator", data=b"x" * 300_000), 413, "body-too-large"
    )


def test_what_is_no_json_is_refused_at_once(machines: Machines) -> None:
    answer = machines.call("POST", "/feedback", "integrator", data=b"{", content_type="application/json")
    assert_problem(answer, 400, "malformed-json")
    assert_problem(machines.call("POST", "/feedback", "integrator", data=b"{}"), 415, "wrong-content-type")


def test_a_till_may_not_report_and_nothing_is_kept_of_it(machines: Machines) -> None:
    assert_problem(report(machines, role="till"), 403, "not-permitted")
    assert rows(machines, feedback_inbox) == []


def test_a_batch_is_answered_line_by_line(machines: Machines) -> None:
    lines = [orjson.dumps(body("a")), b"{", orjson.dumps(body("b", score=11)), b"", orjson.dumps(body("c", kind="x"))]
    answer = machines.call("POST", "/feedback", "integrator", data=b"\n".join(lines), content_type=NDJSON)
    assert (answer.status_code, answer.mimetype) == (202, NDJSON)
    told = [orjson.loads(line) for line in answer.data.splitlines()]
    assert [(each["line"], each["status"]) for each in told] == [
        (1, "acted"), (2, "waiting"), (3, "waiting"), (4, "waiting"),
    ]  # fmt: skip
    assert [each["problem"]["field"] for each in told[1:]] == ["body", "score", "kind"]
    assert len(rows(machines, feedback_inbox)) == 4


def test_a_batch_has_its_bounds(machines: Machines) -> None:
    many = b"\n".join(orjson.dumps(body(str(number))) for number in range(1001))
    for data in (b"", many):
        answer = machines.call("POST", "/feedback", "integrator", data=data, content_type=NDJSON)
        assert_problem(answer, 422, "input-invalid", field="body")
    answer = machines.call("POST", "/feedback", "integrator", data=b"x" * (2**20 + 1), content_type=NDJSON)
    assert_problem(answer, 413, "body-too-large")


def test_lists_are_narrowed_and_go_on(machines: Machines) -> None:
    for number in range(3):
        report(machines, str(number), source="kiosk" if number else "till")
    first = json_of(machines.get("/feedback?limit=1&source=kiosk"))
    assert [each["external_id"] for each in first["items"]] == ["2"]
    rest = json_of(machines.get(f"/feedback?source=kiosk&after={first['next']}"))
    assert ([each["external_id"] for each in rest["items"]], rest["next"]) == (["1"], None)
    assert json_of(machines.get("/feedback?status=waiting"))["items"] == []


def test_what_waits_is_replayed_or_set_aside_by_who_may(machines: Machines) -> None:
    kept = [json_of(report(machines, external_id, score=9))["inbox_id"] for external_id in ("a", "b")]
    waiting = json_of(machines.get("/feedback/waiting"))["items"]
    assert [each["id"] for each in waiting] == kept[::-1]
    assert orjson.loads(waiting[0]["body"])["score"] == 9
    still = machines.call("POST", f"/feedback/waiting/{kept[0]}/replay", "supervisor")
    assert (still.status_code, json_of(still)["status"]) == (200, "waiting")
    assert "On the scale stars_5" in json_of(still)["reason"]
    aside = machines.post(f"/feedback/waiting/{kept[0]}/ignore", {"reason": "test"}, "supervisor")
    assert json_of(aside)["status"] == "ignored"
    assert_problem(machines.call("POST", f"/feedback/waiting/{kept[0]}/replay", "admin"), 409, "feedback-not-waiting")
    assert_problem(machines.call("POST", f"/feedback/waiting/{kept[1]}/replay", "integrator"), 403, "not-permitted")


def test_a_survey_tool_sends_its_own_words(machines: Machines) -> None:
    taken = json_of(webhook(machines, asknicely()))
    assert (taken["status"], taken["case_id"] is None) == ("acted", False)
    shown = json_of(machines.get(f"/feedback/{taken['id']}"))
    assert (shown["score"], shown["scale"], shown["score_percent"]) == ("3", "nps", 30.0)
    assert (shown["issue_tag"], shown["customer_name"]) == ("long-wait", "Ana López")
    assert json_of(webhook(machines, asknicely())) == taken


@pytest.mark.parametrize("scheme", ["bearer", "header", "basic"])
def test_a_tool_sends_its_key_as_it_can(machines: Machines, scheme: str) -> None:
    secret = machines.secrets["integrator"]
    basic = base64.b64encode(f"asknicely:{secret}".encode()).decode()
    headers = {
        "bearer": {"Authorization": f"Bearer {secret}"},
        "header": {"X-Api-Key": secret},
        "basic": {"Authorization": f"Basic {basic}"},
    }[scheme]
    answer = machines.call("POST", "/connectors/asknicely", None, json=asknicely(), headers=headers)
    assert answer.status_code == 202
    assert secret not in repr(machines.core.contacts.decrypt(rows(machines, feedback_inbox)[0].headers))
    wrong = {name: value.replace(secret, "ik_wrong") for name, value in headers.items()}
    if scheme != "basic":
        answer = machines.call("POST", "/connectors/asknicely", None, json=asknicely(), headers=wrong)
        assert_problem(answer, 401, "not-authenticated")
    elsewhere = machines.call("GET", "/feedback", None, headers=headers)
    assert elsewhere.status_code == (200 if scheme == "bearer" else 401)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff\xfe", "text/plain"),
        (orjson.dumps({"question": {"score": 3}}), "application/json"),
        (orjson.dumps(asknicely(score=11)), "application/json"),
        (orjson.dumps(asknicely(comment="a\x00b")), "application/json"),
        (b"[" * 5000, "application/json"),
    ],
)
def test_a_tool_is_always_answered_alike_and_what_nobody_understands_waits(
    machines: Machines, data: bytes, content_type: str
) -> None:
    answer = machines.call("POST", "/connectors/asknicely", "integrator", data=data, content_type=content_type)
    assert (answer.status_code, json_of(answer)["status"]) == (202, "waiting")
    (kept,) = rows(machines, feedback_inbox)
    assert machines.core.contacts.open(kept.body) == data
    assert kept.reason


def test_a_form_is_read_too(machines: Machines) -> None:
    machines.core.cache.clear()
    form = {
        "key": "formstack", "name": "Formstack", "kind": "complaint", "scale": "csat",
        "fields": {"external_id": ["/UniqueID"], "score": ["/rating"], "comment": ["/text"]},
    }  # fmt: skip
    publish_catalog(machines.core, catalog(sources=(form,)))
    data = {"UniqueID": "88", "rating": "bad", "text": "No"}
    answer = machines.call("POST", "/connectors/formstack", "integrator", data=data)
    assert answer.status_code == 202
    (row,) = rows(machines, feedback)
    assert (row.kind, row.score_given, row.score_bp) == ("complaint", "bad", 0)


def test_a_source_that_the_catalog_does_not_know_is_nowhere(machines: Machines) -> None:
    answer = machines.call("POST", "/connectors/zonka", "integrator", json={})
    assert_problem(answer, 404, "unknown-source")
    assert rows(machines, feedback_inbox) == []
