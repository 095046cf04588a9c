"""The API keeps its own contract: thousands of requests made from its OpenAPI document, good ones and bent ones.

No answer is a 5xx, every answer is documented and fits its schema, bent requests are refused, good ones are
understood, a 405 says what is allowed, and nobody comes in without a key.
"""

import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case, Response
from schemathesis.core.result import Ok
from schemathesis.generation.meta import TestPhase
from schemathesis.schemas import BaseSchema

import api.door
from tests.contract.known import ABSENCE, NAMES, Known
from tests.doors.machines import Machines, opened
from tests.world import make_core

ROLES = ("admin", "integrator", "till", "supervisor", "frontline", "finance")

# At least so many requests are sent to each operation.
CASES_MIN = {
    "POST /api/v1/issuances": 300,
    "POST /api/v1/offers": 200,
    "POST /api/v1/redemptions": 140,
    "POST /api/v1/vouchers/lookup": 100,
    "POST /api/v1/approvals/{approval_id}/decision": 120,
    "GET /api/v1/approvals": 110,
    "GET /api/v1/approvals/{approval_id}": 60,
    "GET /api/v1/approvals/policies/simulate": 100,
    "POST /api/v1/approvals/decisions": 70,
    "POST /api/v1/approvals/{approval_id}/withdrawal": 70,
    "POST /api/v1/issuances/{issuance_id}/reveal": 60,
    **dict.fromkeys(("GET /api/v1/delegations", "POST /api/v1/delegations"), 50),
    **dict.fromkeys((f"{verb} /api/v1/delegations/{{delegation_id}}" for verb in ("GET", "DELETE")), 25),
    **dict.fromkeys(("GET /api/v1/locations", "GET /api/v1/issue-tags", "GET /api/v1/incentives"), 100),
    **dict.fromkeys(("GET /api/v1/protocols", "GET /api/v1/budgets", "GET /api/v1/ledger/entries"), 100),
    "GET /api/v1/ledger/balances": 70,
    "GET /api/v1/issuances/{issuance_id}": 70,
    "GET /api/v1/redemptions/{redemption_id}": 70,
    **{f"POST /api/v1/redemptions/{{redemption_id}}/{deed}": 60 for deed in ("annulment", "reversal")},
    "POST /api/v1/reservations": 120,
    **dict.fromkeys(("GET /api/v1/reservations", "GET /api/v1/reservations/{reservation_id}"), 25),
    **{f"POST /api/v1/reservations/{{reservation_id}}/{deed}": 25 for deed in ("extend", "release", "commit")},
    "GET /api/v1/budgets/{budget_id}": 65,
    **dict.fromkeys(("GET /api/v1/budgets/alerts", "GET /api/v1/budgets/{budget_id}/history"), 65),
    "GET /api/v1/budget-requests": 50,
    "POST /api/v1/budget-requests": 100,
    "GET /api/v1/budget-requests/{request_id}": 30,
    **{f"POST /api/v1/budget-requests/{{request_id}}/{deed}": 30 for deed in ("decision", "withdrawal")},
    "GET /api/v1/root-causes": 50,
    # the catalog under four eyes
    **dict.fromkeys(("GET /api/v1/catalog/releases", "POST /api/v1/catalog/releases"), 25),
    **{f"GET /api/v1/catalog/releases/{{number}}{part}": 25 for part in ("", "/difference")},
    **{
        f"POST /api/v1/catalog/releases/{{number}}/{deed}": 25
        for deed in ("approval", "withdrawal", "rollback", "what-if")
    },
    **dict.fromkeys(("GET /api/v1/catalog/languages", "GET /api/v1/catalog/export"), 1),
    # in bulk
    "POST /api/v1/issuances/bulk": 80,
    **dict.fromkeys(("GET /api/v1/jobs", "GET /api/v1/jobs/{job_id}/rows"), 40),
    "GET /api/v1/jobs/{job_id}": 25,
    **{f"GET /api/v1/jobs/{{job_id}}/result.{form}": 25 for form in ("csv", "ndjson")},
    **{f"POST /api/v1/jobs/{{job_id}}/{deed}": 25 for deed in ("start", "stop", "retry")},
    # feedback
    "POST /api/v1/feedback": 300,
    "GET /api/v1/feedback": 100,
    **dict.fromkeys(("GET /api/v1/feedback/{feedback_id}", "GET /api/v1/feedback/waiting"), 30),
    "POST /api/v1/feedback/waiting/{inbox_id}/replay": 30,
    "POST /api/v1/feedback/waiting/{inbox_id}/ignore": 45,
    "POST /api/v1/connectors/{source}": 35,
    **dict.fromkeys(("GET /api/v1/feedback-forms", "GET /api/v1/feedback-forms/{form_id}"), 30),
    "POST /api/v1/feedback-forms": 70,
    "POST /api/v1/feedback-forms/{form_id}/close": 30,
    **dict.fromkeys(("GET /api/v1/criteria", "GET /api/v1/criteria/{key}/firings"), 50),
    "POST /api/v1/criteria/simulation": 100,
    # cases
    "GET /api/v1/cases": 150,
    "POST /api/v1/cases": 200,
    "GET /api/v1/cases/{case_id}": 30,
    **{f"POST /api/v1/cases/{{case_id}}/{deed}": 70 for deed in ("steps", "apologies", "answers", "tasks", "splits")},
    **{
        f"POST /api/v1/cases/{{case_id}}/{deed}": 45
        for deed in ("notes", "shares", "merge", "links", "close", "reopen")
    },
    **{f"PUT /api/v1/cases/{{case_id}}/{part}": 45 for part in ("causes", "responsible", "assignment", "salvageable")},
    "POST /api/v1/cases/{case_id}/tasks/{task_id}/done": 50,
    "POST /api/v1/cases/{case_id}/files": 30,
    "GET /api/v1/cases/{case_id}/files/{file_id}": 30,
    "DELETE /api/v1/cases/{case_id}/shares/{share_id}": 30,
    "GET /api/v1/tasks": 70,
    # vouchers after they were given, and the audit trail
    **{
        f"POST /api/v1/vouchers/{{voucher_id}}/{deed}": 60
        for deed in ("void", "reissue", "address", "resend", "extend", "adjust", "freeze", "unfreeze")
    },
    "GET /api/v1/vouchers/{voucher_id}": 25,
    "POST /api/v1/issuances/{issuance_id}/undo": 25,
    "GET /api/v1/audit": 50,
    "GET /api/v1/books/seals": 40,
    **dict.fromkeys(("GET /api/v1/books/seal-keys", "GET /api/v1/books/checks"), 1),
    # switches, reviews, lists
    **dict.fromkeys(("GET /api/v1/switches", "GET /api/v1/reviews", "GET /api/v1/listed-values"), 50),
    **dict.fromkeys(("POST /api/v1/switches", "POST /api/v1/listed-values"), 50),
    **dict.fromkeys(("GET /api/v1/reviews/summary", "GET /api/v1/reviews/{review_id}"), 30),
    "POST /api/v1/listed-values/import": 50,
    "POST /api/v1/reviews/{review_id}/decision": 50,
    "POST /api/v1/listed-values/{listed_id}/removal": 45,
    "GET /api/v1/suppressions": 50,
    "POST /api/v1/suppressions/{suppression_id}/lift": 45,
    "POST /api/v1/switches/{switch_id}/lift": 45,
    "GET /api/v1/switches/{switch_id}/caught": 30,
    # incidents and reports
    **dict.fromkeys(("GET /api/v1/incidents", "POST /api/v1/incidents"), 50),
    "GET /api/v1/incidents/{incident_id}": 30,
    **{f"POST /api/v1/incidents/{{incident_id}}/{deed}": 30 for deed in ("attach", "close")},
    **{
        f"GET /api/v1/reports/{name}": 100 for name in ("funnel", "times", "trends", "costs", "effectiveness", "return")
    },
    "GET /api/v1/reports/alerts": 30,
    **dict.fromkeys(("GET /api/v1/health/live", "GET /api/v1/health/ready", "GET /api/v1/metrics"), 5),
}
# Where there is money, and in the catalog, more is tried.
_EXAMPLES, _EXAMPLES_OF_MONEY = 25, 65
_OF_MONEY = "/(issuances|offers|redemptions|vouchers|approvals|budgets|ledger)"
_OF_CATALOG = "/(locations|issue-tags|incentives|protocols)"
_STEADY = settings(database=None, derandomize=True, suppress_health_check=list(HealthCheck))

# Most requests should get as far as the flows, and there name things that exist.
_KNOWN = {
    "issue_tag": ["flight-delayed", "flight", "bag-lost", "long-wait"],
    "location": ["london", "new-york", "madrid"],
    "customer.email": ["ana.ruiz@customer.example.com", "Ana.Ruiz+x@customer.example.com"],
    "customer.phone": ["+442079460000", "+34600123456"],
    "budget": ["london-month", "all-gbp"],
    "from_budget": ["all-gbp", "london-month"],
    "absent_email": [ABSENCE[0]],
    "delegate_email": [ABSENCE[1]],
    "into_id": [NAMES["other_case_id"]],
    "other_id": [NAMES["other_case_id"]],
    "team": ["london-gates", "care-line"],
    # One that stopped all of it would be all that the requests after it are answered.
    "scope": ["source"],
    "stops": ["redeeming"],
}
_PATHS = {
    **{name: [sign] for name, sign in NAMES.items() if name != "other_case_id"},
    "source": ["asknicely", "stella-connect"],
    "budget_id": ["london-month", "all-gbp", "agent-day"],
    "key": ["grave-words", "worse-after-recovery"],
}
_IN_BODIES = {f"body.{name}": {"dictionary": name.replace(".", "-"), "probability": 0.8} for name in _KNOWN}
_IN_PATHS = {f"path.{name}": {"dictionary": name, "probability": 0.6} for name in _PATHS}
_REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]
_UNDERSTOOD = ["2xx", "401", "403", "404", "409", "422", "429"]
_CONFIG = {
    "dictionaries": {
        name.replace(".", "-"): {"values": values} for known in (_KNOWN, _PATHS) for name, values in known.items()
    },
    "parameters": _IN_BODIES | _IN_PATHS,
    # Whether keys are needed is a check of its own; a request that is bent only by having no key would get one here.
    "generation": {"with-security-parameters": False, "max-examples": _EXAMPLES},
    # A request that is well formed may still be refused by the business, by name: what must not be, is below.
    # A bent body may be too long as well.
    "checks": {
        "positive_data_acceptance": {"expected-statuses": _UNDERSTOOD},
        "negative_data_rejection": {"expected-statuses": _REFUSED},
    },
    "operations": [
        {"include-path-regex": f"{_OF_MONEY}|{_OF_CATALOG}", "generation": {"max-examples": _EXAMPLES_OF_MONEY}},
        # Whether a file is one of the kinds that are kept, its bytes say.
        {
            "include-operation-id": "add_case_file",
            "checks": {"positive_data_acceptance": {"expected-statuses": [*_UNDERSTOOD, "415"]}},
        },
    ],
}


# No schema can say whether a value of these makes sense: it depends on the catalog, the case, the scale or the day.
_BEYOND_SCHEMA = (
    *("period", "budget_period", "from_budget", "from_budget_period", "amount_minor", "amount_count"),
    *("after", "customer.segment", "label", "at_most"),
    *("ends_at", "absent_email", "delegate_email"),
    "reason",  # needed to release the hold of another till
    "items",  # a sale comes to something
    "Idempotency-Key",  # needed to give for the same file again
    *("from_date", "until_date", "started_at", "occurred_at", "due_at"),
    *("subject", "scope", "value", "expires_at", "note", "csv", "file", "decision"),
    *("into_id", "other_id", "causes", "causes.0.cause", "words", "step", "team", "owner", "owner_team", "rule"),
    *("message", "deliver_after", "until_at", "channels", "customer.email"),
    # a year that can be meant
    *("order_placed_at", "customer_attributes_at", "as_of", "changed_since", "starts_at", "effective_at", "from", "to"),
)
_BEYOND_SCHEMA_WITHIN = ("story.", "customer_attributes.")


class Application:
    """The application under test as WSGI: at first what the documents need, then one with a database.

    Requests bear ``test-<role>`` for a key, for the keys are made with the database.
    """

    def __init__(self) -> None:
        """Serve the documents alone."""
        self._machines: Machines | None = None
        self._known: Known | None = None
        self._documents = Flask("documents")
        api.door.hang(self._documents)

    def be(self, machines: Machines | None, known: Known | None = None) -> None:
        """Serve an application with a database from now on; of what is known in it requests can name something."""
        self._machines, self._known = machines, known

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        if self._machines is None:
            return self._documents(environ, start_response)
        role = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer test-")
        if role in ROLES:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self._machines.secrets[role]}"
        if self._known is not None:
            self._known.named(environ)
        return self._machines.app(environ, start_response)


def _contract(**changes: Any) -> BaseSchema:
    config = schemathesis.Config.from_dict({**_CONFIG, **changes})
    return schemathesis.openapi.from_wsgi("/api/openapi.json", application, config=config)


application = Application()
contract = _contract()
# Journeys go where the contract's own links lead, and nowhere else.
linked = _contract(parameters=_IN_BODIES, phases={"stateful": {"inference": {"algorithms": []}}})


@linked.auth(refresh_interval=None)
@contract.auth(refresh_interval=None)
class KeyOfSomeRole:
    """Bears the key of one role or another, the same request always of the same one; on journeys that of an admin."""

    def get(self, case: Case[Any], _context: Any) -> str:
        """Return a role's key."""
        if case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL:
            return "test-admin"
        request = repr((case.body, case.query, case.path_parameters)).encode()
        return f"test-{ROLES[zlib.crc32(request) % len(ROLES)]}"

    def set(self, case: Case[Any], data: str, _context: Any) -> None:
        """Let the request bear it."""
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.check
def understood(context: Any, response: Response, case: Case[Any]) -> None:
    """Check that what the contract allows is never refused as something that it does not allow."""
    del context
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 422):
        return
    problem = response.json()
    if not (problem.get("field", "") in _BEYOND_SCHEMA or problem.get("field", "").startswith(_BEYOND_SCHEMA_WITHIN)):
        assert problem["type"] not in ("/problems/input-invalid", "/problems/malformed-json"), problem


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> Iterator[tuple[Machines, Known]]:
    databases = request.getfixturevalue("postgres")
    url = databases.new()
    with opened(url) as machines:
        yield machines, Known(machines)
    application.be(None)
    databases.drop(url)


@schemathesis.serializer("text/csv", "application/x-ndjson")
def lines_as_they_are(_context: Any, value: Any) -> bytes:
    """Send the lines of a batch as they were made; what is not text cannot be sent as lines, and says nothing."""
    return value.encode() if isinstance(value, str) else b""


@pytest.fixture
def sent(known: tuple[Machines, Known]) -> Iterator[Counter[str]]:
    """Count the requests that a test sends, and see that they are enough."""
    application.be(*known)  # Journeys, which may be between two of these tests, leave their own.
    counted: Counter[str] = Counter()
    yield counted
    for label, count in counted.items():
        assert count >= CASES_MIN[label], f"{label}: {count} requests"


@contract.parametrize()
@settings(_STEADY)
def test_every_operation_keeps_its_contract(case: Case[Any], sent: Counter[str]) -> None:
    case.call_and_validate()
    sent[case.operation.label] += 1


def test_at_least_two_thousand_requests_are_sent_to_all_operations() -> None:
    operations = {found.ok().label for found in contract.get_all_operations() if isinstance(found, Ok)}
    assert set(CASES_MIN) == operations
    assert sum(CASES_MIN.values()) >= 2000


followed: Counter[tuple[str, int]] = Counter()


class Journeys(linked.as_state_machine()):  # type: ignore[misc]  # a class made from the document has no type
    """Goes from answer to answer by the links of the contract: what was issued is read, looked up and redeemed."""

    worlds: Callable[[], Machines]
    world: Machines

    def setup(self) -> None:
        """Begin each journey in the same world, or it could not be gone again."""
        self.world = Journeys.worlds()
        application.be(self.world)

    def teardown(self) -> None:
        """Leave the world."""
        application.be(None)
        self.world.close()

    def after_call(self, response: Response, case: Case[Any]) -> None:
        """Count where journeys lead."""
        followed[case.operation.label, response.status_code] += 1


def test_journeys_along_the_links(sqlite: Any, tmp_path: Path) -> None:
    prepared = sqlite.new()
    with opened(prepared) as machines:
        secrets = machines.secrets

    def copied() -> Machines:
        path = tmp_path / "journey.db"
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(prepared.removeprefix("sqlite:///"), path)
        return Machines(make_core(f"sqlite:///{path}"), secrets)

    Journeys.worlds = staticmethod(copied)
    run_state_machine_as_test(Journeys, settings=settings(_STEADY, max_examples=30, stateful_step_count=15))
    assert {("POST /api/v1/issuances", 201), ("GET /api/v1/issuances/{issuance_id}", 200)} <= set(followed)
