"""What a bad code, a bad token or a bad sale gets: a named problem and the field at fault; nothing is redeemed.

A refused try to redeem is recorded, with what it was refused for; that row is all that a refusal leaves.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from incentives.kernel.clock import FixedClock
from incentives.kernel.ids import Ids
from incentives.kernel.keys import KeyRing
from incentives.vouchers import codes
from tests.databases import BACKENDS
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.world import START


@pytest.fixture(scope="module", params=BACKENDS)
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")
    url = databases.new()
    with opened(url) as machines:
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


def _bad_token(_: Machines) -> str:
    return "AaHz.not-a-token"


def _foreign_token(_: Machines) -> str:
    """Return the token of another installation, whose keys we do not have."""
    return codes.token_of(KeyRing((("t", b"somebody else's key, 32 bytes long"),)), Ids().new(START))


def _token_for_nothing(machines: Machines) -> str:
    """Return a token that we signed, for a voucher that is not there."""
    return codes.token_of(machines.core.keys.links, machines.core.ids.new(machines.core.clock.now()))


def _bent_token(machines: Machines) -> str:
    token = str(json_of(machines.issue())["voucher"]["token"])
    return token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]


@pytest.mark.parametrize("make", [_bad_token, _foreign_token, _token_for_nothing, _bent_token])
def test_a_token_that_is_none(machines: Machines, make: Callable[[Machines], str]) -> None:
    token = make(machines)
    before = machines.rows(without=("redemption_attempts",))
    assert_problem(machines.post("/vouchers/lookup", {"token": token}, "till"), 404, "voucher-not-found", field="token")
    assert_problem(machines.redeem("supervisor", token=token), 404, "voucher-not-found", field="token")
    assert machines.rows(without=("redemption_attempts",)) == before


@pytest.mark.parametrize("code", ["0000-0000-0000-1", "hello", "7KQ4-9M2X-ABCD-E-EXTRA", "ÜÜÜÜ-0000-0000-0"])
def test_a_mistyped_code(machines: Machines, code: str) -> None:
    before = machines.rows(without=("redemption_attempts",))
    assert_problem(machines.post("/vouchers/lookup", {"code": code}, "till"), 422, "code-malformed", field="code")
    assert_problem(machines.redeem(code=code), 422, "code-malformed", field="code")
    assert machines.rows(without=("redemption_attempts",)) == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("body", [{}, {"code": "0000-0000-0000-0", "token": "x"}, {"code": None}])
def test_neither_code_nor_token_or_both(machines: Machines, body: dict[str, Any]) -> None:
    assert_problem(machines.post("/vouchers/lookup", body, "till"), 422, "input-invalid", field="code")
    assert_problem(machines.redeem(**body), 422, "input-invalid", field="code")


REDEMPTIONS = [
    Case(
        "another currency",
        {"order_total": {"amount_minor": 5000, "currency": "EUR"}},
        422,
        "currency-mismatch",
        "order_total.currency",
    ),
    Case("no currency", {"order_total": {"amount_minor": 5000}}, 422, "input-invalid", "order_total.currency"),
    Case(
        "small letters",
        {"order_total": {"amount_minor": 5000, "currency": "gbp"}},
        422,
        "input-invalid",
        "order_total.currency",
    ),
    Case(
        "below zero",
        {"order_total": {"amount_minor": -1, "currency": "GBP"}},
        422,
        "input-invalid",
        "order_total.amount_minor",
    ),
    Case(
        "a float",
        {"order_total": {"amount_minor": 10.5, "currency": "GBP"}},
        422,
        "input-invalid",
        "order_total.amount_minor",
    ),
    Case("unknown location", {"location": "atlantis"}, 422, "unknown-location", "location"),
    Case("an unknown name", {"amount_minor": 100}, 422, "input-invalid", "amount_minor"),
    Case("a long reference", {"order_ref": "x" * 201}, 422, "input-invalid", "order_ref"),
]


@pytest.fixture(scope="module")
def code(machines: Machines) -> str:
    return machines.new_code()


@pytest.mark.parametrize("case", REDEMPTIONS, ids=[case.name for case in REDEMPTIONS])
def test_what_redeeming_refuses(machines: Machines, code: str, case: Case) -> None:
    before = machines.rows(without=("redemption_attempts",))
    assert_problem(machines.redeem(code=code, **case.changes), case.status, case.slug, field=case.field)
    assert machines.rows(without=("redemption_attempts",)) == before


def test_an_expired_voucher(machines: Machines) -> None:
    issued = json_of(machines.issue(incentive="meal-gbp"))["voucher"]
    clock = machines.core.clock
    assert isinstance(clock, FixedClock)
    clock.advance(timedelta(days=3))
    before = machines.rows(without=("redemption_attempts",))
    problem = assert_problem(machines.redeem(token=issued["token"], location="london"), 409, "voucher-expired")
    assert problem["expires_at"] == issued["expires_at"]
    assert machines.rows(without=("redemption_attempts",)) == before


def test_a_voucher_of_another_location(machines: Machines) -> None:
    code = machines.new_code(incentive="meal-gbp")
    before = machines.rows(without=("redemption_attempts",))
    problem = assert_problem(machines.redeem(code=code, location="madrid"), 422, "not-usable-here", field="location")
    assert problem["locations"] == ["london"]
    assert machines.rows(without=("redemption_attempts",)) == before


def test_a_percentage_without_the_total(machines: Machines) -> None:
    code = machines.new_code(role="supervisor", issue_tag="flight", incentive="percent-off-gbp")
    assert_problem(machines.redeem(code=code), 422, "order-total-missing", field="order_total")
