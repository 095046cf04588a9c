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

import api.door
from tests.contract.known import NAMES, Known
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
    **dict.fromkeys(("GET /api/v1/locations", "GET /api/v1/issue-tags", "GET /api/v1/incentives"), 100),
    **dict.fromkeys(("GET /api/v1/protocols", "GET /api/v1/budgets", "GET /api/v1/cases"), 100),
    "GET /api/v1/ledger/entries": 100,
    "GET /api/v1/ledger/balances": 70,
    "GET /api/v1/issuances/{issuance_id}": 70,
    "GET /api/v1/redemptions/{redemption_id}": 70,
    "GET /api/v1/cases/{case_id}": 70,
    "GET /api/v1/budgets/{budget_id}": 65,
    "GET /api/v1/health/live": 5,
    "GET /api/v1/health/ready": 5,
}
_EXAMPLES = 65
_STEADY = settings(database=None, derandomize=True, suppress_health_check=list(HealthCheck))

# Most requests should get as far as the flows, and there name things that exist.
_KNOWN = {
    "issue_tag": ["flight-delayed", "flight", "bag-lost", "long-wait"],
    "location": ["london", "new-york", "madrid"],
    "customer.email": ["ana.ruiz@customer.example.com", "Ana.Ruiz+x@customer.example.com"],
    "customer.phone": ["+442079460000", "+34600123456"],
    "into_id": [NAMES["other_case_id"]],
    "other_id": [NAMES["other_case_id"]],
    "team": ["london-gates", "care-line"],
}
_PATHS = {
    **{name: [sign] for name, sign in NAMES.items() if name != "other_case_id"},
    "source": ["asknicely", "stella-connect"],
    "key": ["grave-words", "worse-after-recovery"],
}
_UNDERSTOOD = ["2xx", "401", "403", "404", "409", "422", "429"]
_CONFIG = {
    "dictionaries": {
        name.replace(".", "-"): {"values": values} for known in (_KNOWN, _PATHS) for name, values in known.items()
    },
    "parameters": {
        **{f"body.{name}": {"dictionary": name.replace(".", "-"), "probability": 0.8} for name in _KNOWN},
        **{f"path.{name}": {"dictionary": name, "probability": 0.6} for name in _PATHS},
    },
    # Whether keys are needed is a check of its own; a request that is bent only by having no key would get one here.
    "generation": {"with-security-parameters": False},
    # A request that is well formed may still be refused by the business, by name: what must not be, is below.
    "checks": {"positive_data_acceptance": {"expected-statuses": _UNDERSTOOD}},
    "operations": [
        # Whether a file is one of the kinds that are kept, its bytes say.
        {
            "include-operation-id": "add_case_file",
            "checks": {"positive_data_acceptance": {"expected-statuses": [*_UNDERSTOOD, "415"]}},
        },
    ],
}


# No schema can say whether a value of these makes sense: it depends on the catalog, the case, the scale or the day.
_BEYOND_SCHEMA = (
    *("after", "customer.segment", "label", "at_most"),
    *("from_date", "until_date", "started_at", "occurred_at", "due_at"),
    *("into_id", "other_id", "causes", "causes.0.cause", "words", "step", "team", "owner", "owner_team", "rule"),
)


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


application = Application()
contract = schemathesis.openapi.from_wsgi(
    "/api/openapi.json", application, config=schemathesis.Config.from_dict(_CONFIG)
)


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
    if not (problem.get("field", "") in _BEYOND_SCHEMA or problem.get("field", "").startswith("story.")):
        assert problem["type"] not in ("/problems/input-invalid", "/problems/malformed-json"), problem


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> Iterator[tuple[Machines, Known]]:
    databases = request.getfixturevalue("postgres")
    url = databases.new()
    with opened(url) as machines:
        yield machines, Known(machines)
    application.be(None)
    databases.drop(url)


@schemathesis.serializer("application/x-ndjson")
def lines_as_they_are(_context: Any, value: Any) -> bytes:
    """Send the lines of a batch as they were made."""
    return str(value).encode()


@pytest.fixture
def sent(known: tuple[Machines, Known]) -> Iterator[Counter[str]]:
    """Count the requests that a test sends, and see that they are enough."""
    application.be(*known)  # Journeys, which may be between two of these tests, leave their own.
    counted: Counter[str] = Counter()
    yield counted
    for label, count in counted.items():
        Path("/tmp/j/counts.txt").open("a").write(f"{count} {label}\n") if 0 else print("COUNT", count, label, file=__import__("sys").__stderr__)
        assert count >= CASES_MIN.get(label, 0), f"{label}: {count} requests"


@contract.parametrize()
@settings(_STEADY, max_examples=_EXAMPLES)
def test_every_operation_keeps_its_contract(case: Case[Any], sent: Counter[str]) -> None:
    case.call_and_validate()
    sent[case.operation.label] += 1


def test_at_least_two_thousand_requests_are_sent_to_all_operations() -> None:
    operations = {found.ok().label for found in contract.get_all_operations() if isinstance(found, Ok)}
    assert set(CASES_MIN) == operations
    assert sum(CASES_MIN.values()) >= 2000


followed: Counter[tuple[str, int]] = Counter()


class Journeys(contract.as_state_machine()):  # type: ignore[misc]  # a class made from the document has no type
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
