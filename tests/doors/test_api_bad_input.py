"""What bad input gets: a named problem, the right status, the field at fault; nothing written, nothing charged."""

import io
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from incentives.flows import people
from incentives.kernel.actors import SYSTEM
from tests.databases import BACKENDS
from tests.doors.machines import Machines, assert_problem, fresh_key, json_of, opened


@pytest.fixture(scope="module", params=BACKENDS)
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    """One world for all of them: what is refused leaves nothing behind that could disturb the next."""
    databases = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")
    url = databases.new()
    with opened(url) as machines:
        machines.issue(key="taken")
        yield machines
    databases.drop(url)


@pytest.fixture
def untouched(machines: Machines) -> Iterator[None]:
    """Everything in the database is afterwards what it was before."""
    before = machines.rows()
    yield
    assert machines.rows() == before


class Case(NamedTuple):
    name: str
    changes: dict[str, Any]
    status: int
    slug: str
    field: str | None = None


ANA = {"email": "ana.ruiz@customer.example.com"}

ISSUES = [
    Case("unknown tag", {"issue_tag": "sea-monster"}, 422, "unknown-issue-tag", "issue_tag"),
    Case("no tag", {"issue_tag": None}, 422, "input-invalid", "issue_tag"),
    Case("unknown incentive", {"incentive": "a-pony"}, 422, "unknown-incentive", "incentive"),
    Case("incentive not in the protocol", {"incentive": "refund-gbp"}, 422, "incentive-not-in-protocol", "incentive"),
    Case(
        "another currency",
        {"location": "new-york", "incentive": "travel-voucher-gbp", "issue_tag": "flight"},
        422,
        "incentive-not-offerable",
        "incentive",
    ),
    Case("unknown location", {"location": "atlantis"}, 422, "unknown-location", "location"),
    Case("above the protocol", {"amount_minor": 15001}, 422, "amount-above-protocol", "amount_minor"),
    Case("above the incentive", {"amount_minor": 30001}, 422, "amount-out-of-range", "amount_minor"),
    Case("below the incentive", {"amount_minor": 0}, 422, "amount-out-of-range", "amount_minor"),
    Case("fixed value", {"incentive": "meal-gbp", "amount_minor": 900}, 422, "amount-not-adjustable", "amount_minor"),
    Case("below zero", {"amount_minor": -1}, 422, "input-invalid", "amount_minor"),
    Case("a float", {"amount_minor": 4069.7}, 422, "input-invalid", "amount_minor"),
    Case("a text", {"amount_minor": "2500"}, 422, "input-invalid", "amount_minor"),
    Case("a truth", {"amount_minor": True}, 422, "input-invalid", "amount_minor"),
    Case("2^53", {"amount_minor": 2**53}, 422, "input-invalid", "amount_minor"),
    Case("2^63", {"amount_minor": 2**63}, 422, "input-invalid", "amount_minor"),
    Case("2^64", {"amount_minor": 2**64}, 422, "input-invalid", "amount_minor"),
    Case("severity zero", {"severity": 0}, 422, "input-invalid", "severity"),
    Case("severity five", {"severity": 5}, 422, "input-invalid", "severity"),
    Case(
        "an impossible address", {"customer": {"email": "ana@nowhere..example"}}, 422, "email-invalid", "customer.email"
    ),
    Case("no address at all", {"customer": {"email": "ana"}}, 422, "email-invalid", "customer.email"),
    Case("a number from nowhere", {"customer": {"phone": "+999 1234 5678"}}, 422, "phone-invalid", "customer.phone"),
    Case("half a number", {"customer": {"phone": "020 7946"}}, 422, "phone-invalid", "customer.phone"),
    Case("email without address", {"channels": ["email"]}, 422, "channel-without-address", "customer.email"),
    Case(
        "sms without number",
        {"channels": ["email", "sms"], "customer": ANA},
        422,
        "channel-without-address",
        "customer.phone",
    ),
    Case("unknown channel", {"channels": ["pigeon"]}, 422, "input-invalid", "channels.0"),
    Case("a segment that is not", {"customer": {"segment": "platinum"}}, 422, "input-invalid", "customer.segment"),
    Case("a language that is not", {"customer": {"locale": "../../etc"}}, 422, "input-invalid", "customer.locale"),
    Case("unknown case", {"case_id": "01912345-0000-7000-8000-000000000000"}, 404, "case-not-found", "case_id"),
    Case("a case that is no id", {"case_id": "seven"}, 422, "input-invalid", "case_id"),
    Case("an unknown name", {"ammount_minor": 1}, 422, "input-invalid", "ammount_minor"),
    Case("an unknown name inside", {"customer": {"e-mail": "x"}}, 422, "input-invalid", "customer.e-mail"),
    Case("a column of ours", {"status": "issued"}, 422, "input-invalid", "status"),
    Case("a long note", {"note": "x" * 2001}, 422, "input-invalid", "note"),
    Case("NUL", {"note": "a\x00b"}, 422, "input-invalid", "note"),
    Case("NUL in metadata", {"metadata": {"a": "\x00"}}, 422, "input-invalid", "metadata.a"),
    Case("much metadata", {"metadata": {str(number): 1 for number in range(51)}}, 422, "input-invalid", "metadata"),
    Case(
        "large metadata",
        {"metadata": {str(number): "é" * 400 for number in range(11)}},
        422,
        "input-invalid",
        "metadata",
    ),
    Case("nested metadata", {"metadata": {"a": {"b": 1}}}, 422, "input-invalid", "metadata.a"),
    Case("a number too large to keep", {"metadata": {"a": 1e300}}, 422, "input-invalid", "metadata.a"),
    Case("metadata that is none", {"metadata": [1]}, 422, "input-invalid", "metadata"),
]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("case", ISSUES, ids=[case.name for case in ISSUES])
def test_what_issuing_refuses(machines: Machines, case: Case) -> None:
    assert_problem(machines.issue(**case.changes), case.status, case.slug, field=case.field)


@pytest.mark.usefixtures("untouched")
def test_every_field_at_fault_is_named_at_once(machines: Machines) -> None:
    refused = machines.issue(amount_minor=-5, severity="high", customer={"name": 7, "emial": ""}, channels=["fax"])
    problem = assert_problem(refused, 422, "input-invalid", field="severity")
    named = {error["field"] for error in problem["errors"]}
    assert named == {"amount_minor", "severity", "customer.name", "customer.emial", "channels.0"}


BODIES: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 400, "malformed-json"),
    ("half", b'{"issue_tag": "flight-del', 400, "malformed-json"),
    ("not a number", b'{"issue_tag": "flight-delayed", "amount_minor": NaN}', 400, "malformed-json"),
    ("infinity", b'{"issue_tag": "flight-delayed", "amount_minor": 1e999}', 400, "malformed-json"),
    (
        "a name twice",
        b'{"issue_tag": "flight-delayed", "amount_minor": 1000, "amount_minor": 2}',
        400,
        "malformed-json",
    ),
    (
        "a name twice inside",
        b'{"issue_tag": "flight", "customer": {"name": "a", "n\\u0061me": "b"}}',
        400,
        "malformed-json",
    ),
    ("half a surrogate pair", b'{"issue_tag": "flight-delayed", "note": "\\ud800"}', 400, "malformed-json"),
    ("not UTF-8", b'{"issue_tag": "flight-delayed", "note": "\xff"}', 400, "malformed-json"),
    ("deep", b"[" * 10_000 + b"]" * 10_000, 400, "malformed-json"),
    ("deep, within the parser's limit", b'{"issue_tag": ' + b"[" * 500 + b"]" * 500 + b"}", 400, "malformed-json"),
    ("a list", b"[]", 422, "input-invalid"),
    ("a text", b'"flight-delayed"', 422, "input-invalid"),
    ("null", b"null", 422, "input-invalid"),
    ("2 MB", b'{"note": "' + b"x" * 2_000_000 + b'"}', 413, "body-too-large"),
    ("just above the limit", b'{"note": "' + b"x" * 65_536 + b'"}', 413, "body-too-large"),
]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("body", "status", "slug"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
@pytest.mark.parametrize("path", ["/issuances", "/redemptions", "/offers", "/vouchers/lookup"])
def test_bodies_that_cannot_be_read(machines: Machines, path: str, body: bytes, status: int, slug: str) -> None:
    refused = machines.call("POST", path, "admin", key=fresh_key(), data=body, content_type="application/json")
    assert_problem(refused, status, slug, field="body" if slug == "input-invalid" else None)


@pytest.mark.usefixtures("untouched")
def test_a_large_body_that_does_not_say_how_large(machines: Machines) -> None:
    refused = machines.call(
        "POST",
        "/issuances",
        key=fresh_key(),
        input_stream=io.BytesIO(b'{"note": "' + b"x" * 2_000_000 + b'"}'),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    )
    assert_problem(refused, 413, "body-too-large")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "options",
    [
        {"data": b"issue_tag=flight-delayed", "content_type": "application/x-www-form-urlencoded"},
        {"data": b"{}", "content_type": "text/plain"},
        {"data": b"{}"},
        {"data": b"\x1f\x8b", "content_type": "application/json", "headers": {"Content-Encoding": "gzip"}},
    ],
    ids=["a form", "plain text", "unsaid", "compressed"],
)
def test_bodies_of_another_type(machines: Machines, options: dict[str, Any]) -> None:
    assert_problem(machines.call("POST", "/issuances", key=fresh_key(), **options), 415, "wrong-content-type")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", ["/issuances", "/redemptions"])
def test_a_missing_idempotency_key(machines: Machines, path: str) -> None:
    body = {"issue_tag": "flight-delayed"} if path == "/issuances" else {"code": "0000-0000-0000-0"}
    for headers in ({}, {"Idempotency-Key": ""}):
        refused = machines.call("POST", path, json=body, headers=headers)
        assert_problem(refused, 400, "idempotency-key-missing", field="Idempotency-Key")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("key", ["x" * 256, "two words", "café"])
def test_an_idempotency_key_that_is_none(machines: Machines, key: str) -> None:
    assert_problem(machines.issue(key=key), 422, "input-invalid", field="Idempotency-Key")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "changes", [{"amount_minor": 2600}, {"note": "Once more."}, {"customer": ANA}, {"location": None}]
)
def test_a_reused_idempotency_key(machines: Machines, changes: dict[str, Any]) -> None:
    assert_problem(machines.issue(key="taken", **changes), 422, "idempotency-key-reused")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer ik_nobody",
        "Basic aWs6eA==",
        "ik_naked",
        "Bearer ik=x",
        "Bearer \xe9",
        "Digest x",
    ],
)
def test_a_wrong_api_key(machines: Machines, sent: str | None) -> None:
    refused = machines.call(
        "POST",
        "/issuances",
        None,
        key=fresh_key(),
        json={"issue_tag": "flight-delayed"},
        headers={} if sent is None else {"Authorization": sent},
    )
    assert_problem(refused, 401, "not-authenticated")
    error = "" if sent is None else ', error="invalid_token"'
    assert refused.headers["WWW-Authenticate"] == f'Bearer realm="incentives"{error}'


def test_a_revoked_api_key(machines: Machines) -> None:
    created = people.create_api_key(
        core=machines.core, actor=SYSTEM, command=people.CreateApiKey(name="leaked", role="admin")
    )
    headers = {"Authorization": f"Bearer {created.secret}"}
    assert machines.call("GET", "/locations", None, headers=headers).status_code == 200
    people.revoke_api_key(core=machines.core, actor=SYSTEM, key_id=created.id)
    revoked_at = time.monotonic()
    while machines.call("GET", "/locations", None, headers=headers).status_code == 200:
        assert time.monotonic() - revoked_at < 1  # The door keeps in mind for a moment whose a key is.
        time.sleep(0.05)
    before = machines.rows()
    assert_problem(machines.call("GET", "/locations", None, headers=headers), 401, "not-authenticated")
    assert machines.rows() == before


@pytest.mark.usefixtures("untouched")
def test_a_role_that_may_not(machines: Machines) -> None:
    problem = assert_problem(machines.issue("till"), 403, "not-permitted")
    assert (problem["permission"], problem["role"]) == ("issuances:create", "till")
    assert_problem(machines.redeem("integrator", code="0000-0000-0000-0"), 403, "not-permitted")


@pytest.mark.usefixtures("untouched")
def test_who_may_not_does_not_learn_what_is_wrong_with_the_body(machines: Machines) -> None:
    assert_problem(machines.call("POST", "/issuances", "till", data=b"{"), 403, "not-permitted")
    assert_problem(machines.call("POST", "/issuances", None, data=b"{"), 401, "not-authenticated")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/locations?limit=0", "limit"),
        ("/locations?limit=201", "limit"),
        ("/locations?limit=ten", "limit"),
        ("/locations?limit=+5", "limit"),
        ("/locations?limit=5_0", "limit"),
        ("/locations?limit=%D9%A5", "limit"),
        ("/locations?limit=99999999999999999999", "limit"),
        ("/locations?after=atlantis", "after"),
        ("/cases?after=atlantis", "after"),
        ("/cases?after=%00", "after"),
        ("/cases?offset=10", "offset"),
        ("/approvals?status=maybe", "status"),
        ("/ledger/balances?as_of=yesterday", "as_of"),
        ("/ledger/balances?as_of=2026-11-20T12:00:00", "as_of"),
        ("/ledger/balances?as_of=0001-01-01T00:00:00%2B14:00", "as_of"),
        ("/ledger/balances?as_of=1899-12-31T23:59:59Z", "as_of"),
        ("/ledger/balances?as_of=9999-01-01T00:00:00Z", "as_of"),
    ],
)
def test_bad_queries(machines: Machines, path: str, field: str) -> None:
    assert_problem(machines.get(path), 422, "input-invalid", field=field)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("/issuances/01912345-0000-7000-8000-000000000000", "issuance-not-found"),
        ("/redemptions/01912345-0000-7000-8000-000000000000", "redemption-not-found"),
        ("/cases/01912345-0000-7000-8000-000000000000", "case-not-found"),
        ("/issuances/seven", "not-found"),
        ("/budgets/petty-cash", "not-found"),
        ("/budgets/agent-day:nobody", "not-found"),
        ("/ponies", "not-found"),
    ],
)
def test_what_is_not_there(machines: Machines, path: str, slug: str) -> None:
    assert_problem(machines.get(path), 404, slug)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/issuances", {"POST", "OPTIONS"}), ("PUT", "/locations", {"GET", "HEAD", "OPTIONS"})],
)
def test_a_method_that_is_not_there(machines: Machines, method: str, path: str, allowed: set[str]) -> None:
    refused = machines.call(method, path)
    assert_problem(refused, 405, "method-not-allowed")
    assert set(refused.allow or ()) == allowed


DECISIONS = [
    Case("unknown decision", {"decision": "maybe"}, 422, "input-invalid", "decision"),
    Case("no decision", {"decision": None}, 422, "input-invalid", "decision"),
    Case("raised", {"amount_minor": 12001}, 422, "approval-amount-invalid", "amount_minor"),
    Case("below the incentive", {"amount_minor": 500}, 422, "approval-amount-invalid", "amount_minor"),
    Case("a float", {"amount_minor": 0.5}, 422, "input-invalid", "amount_minor"),
]


@pytest.fixture(scope="module")
def waiting(machines: Machines) -> str:
    asked = machines.issue(amount_minor=12000)
    assert asked.status_code == 202, asked.json
    return str(json_of(asked)["approval"]["id"])


@pytest.mark.parametrize("case", DECISIONS, ids=[case.name for case in DECISIONS])
def test_what_deciding_refuses(machines: Machines, waiting: str, case: Case) -> None:
    before = machines.rows()
    body = {"decision": "grant", **case.changes}
    refused = machines.post(f"/approvals/{waiting}/decision", body, "manager")
    assert_problem(refused, case.status, case.slug, field=case.field)
    assert machines.rows() == before


@pytest.mark.usefixtures("untouched")
def test_deciding_on_nothing(machines: Machines) -> None:
    path = "/approvals/01912345-0000-7000-8000-000000000000/decision"
    assert_problem(machines.post(path, {"decision": "grant"}, "manager"), 404, "approval-not-found")
