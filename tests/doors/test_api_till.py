"""The API at the till: holds, orders, undoing; each with its named problems, and nothing left of what was refused."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from incentives.kernel.clock import FixedClock
from tests.databases import BACKENDS
from tests.doors.machines import Machines, assert_problem, fresh_key, json_of, opened


@pytest.fixture(params=BACKENDS)
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")
    url = databases.new()
    with opened(url) as machines:
        yield machines
    databases.drop(url)


def later(machines: Machines, **by: float) -> None:
    assert isinstance(machines.core.clock, FixedClock)
    machines.core.clock.advance(timedelta(**by))


def hold(machines: Machines, role: str = "till", *, key: str | None = None, **body: Any) -> Any:
    return machines.post("/reservations", {"location": "london", **body}, role, key=key or fresh_key())


def commit(machines: Machines, held: str, role: str = "till", *, key: str | None = None, **body: Any) -> Any:
    return machines.post(f"/reservations/{held}/commit", body, role, key=key or fresh_key())


def undo(machines: Machines, redemption: str, deed: str, role: str, *, key: str | None = None, **body: Any) -> Any:
    return machines.post(f"/redemptions/{redemption}/{deed}", {"reason": "A test.", **body}, role, key=key)


GBP = {"currency": "GBP"}


def test_from_a_hold_to_the_redemption_and_back(machines: Machines) -> None:
    code = machines.new_code()
    held = hold(machines, code=code, order_ref="T-1", hold_minutes=30)
    assert held.status_code == 201
    body = json_of(held)
    place = f"/reservations/{body['id']}"
    assert held.headers["Location"] == f"/api/v1{place}"
    assert (body["status"], body["amount"]["amount_minor"], body["order_ref"]) == ("held", 2500, "T-1")
    looked_up = json_of(machines.post("/vouchers/lookup", {"code": code}, "supervisor"))
    assert (looked_up["status"], looked_up["redeemable"], looked_up["reason"]) == (
        "reserved",
        False,
        "voucher-reserved",
    )
    assert (looked_up["hold"]["reservation_id"], looked_up["hold"]["own"]) == (body["id"], False)
    seen = json_of(machines.get(place, "supervisor"))
    assert (seen["held_by"], seen["own"], seen["ended_at"]) == ("test till", False, None)
    listed = json_of(machines.get("/reservations?location=london", "supervisor"))["items"]
    assert [each["id"] for each in listed] == [body["id"]]
    assert json_of(machines.get("/reservations?location=madrid", "supervisor"))["items"] == []
    longer = json_of(machines.post(f"{place}/extend", {"minutes": 30}, "till"))
    assert longer["expires_at"] > body["expires_at"]
    order: dict[str, Any] = {
        "order_total": {"amount_minor": 2000, **GBP},
        "order_initial_total": {"amount_minor": 2200, **GBP},
        "items": [{"product": "tea", "amount_minor": 2000}],
    }
    done = commit(machines, body["id"], **order)
    assert done.status_code == 201
    sold = json_of(done)
    assert (sold["amount"]["amount_minor"], sold["reservation_id"], sold["use_number"]) == (2000, body["id"], 1)
    kept = json_of(machines.get(f"/redemptions/{sold['id']}", "till"))
    assert kept["items"] == [{"product": "tea", "collection": None, "quantity": 1, "amount_minor": 2000}]
    assert (kept["order_initial_total"]["amount_minor"], kept["reversal"]) == (2200, None)
    undone = undo(machines, sold["id"], "annulment", "till")
    assert undone.status_code == 201
    assert json_of(undone)["voucher"]["code"] is None
    assert json_of(machines.get(f"/redemptions/{sold['id']}", "till"))["reversal"]["kind"] == "annulment"
    again = machines.redeem(code=code, location="london")
    assert again.status_code == 201
    back = undo(machines, json_of(again)["id"], "reversal", "supervisor", key=fresh_key(), restore="new_code")
    assert back.status_code == 201
    new = json_of(back)["voucher"]
    assert machines.redeem(code=new["code"], location="london").status_code == 201
    assert_problem(machines.redeem(code=code, location="london"), 409, "voucher-replaced")


def test_replays(machines: Machines) -> None:
    code = machines.new_code()
    first = hold(machines, code=code, key="h")
    again = hold(machines, code=code, key="h")
    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    held = json_of(first)["id"]
    sold = commit(machines, held, key="c")
    assert commit(machines, held, key="c").data == sold.data
    assert_problem(commit(machines, held, key="c", order_ref="x"), 422, "idempotency-key-reused")
    redemption = json_of(sold)["id"]
    back = undo(machines, redemption, "reversal", "supervisor", key="r", restore="new_code")
    before = machines.rows()
    assert undo(machines, redemption, "reversal", "supervisor", key="r", restore="new_code").data == back.data
    problem = undo(machines, redemption, "reversal", "supervisor", key="r", restore="none")
    assert_problem(problem, 422, "idempotency-key-reused")
    assert machines.rows() == before


def test_what_a_hold_refuses(machines: Machines) -> None:
    code = machines.new_code()
    held = json_of(hold(machines, code=code))["id"]
    before = machines.rows(without=("redemption_attempts",))
    problem = assert_problem(hold(machines, "supervisor", code=code), 409, "voucher-reserved")
    assert problem["held_by"] == "test till"
    assert_problem(machines.redeem("supervisor", code=code, location="london"), 409, "voucher-reserved")
    assert_problem(commit(machines, held, "supervisor"), 403, "not-your-reservation")
    for deed, body in (("extend", {"minutes": 5}), ("release", {"reason": "x"})):
        answer = machines.post(f"/reservations/{held}/{deed}", body, "frontline")
        assert_problem(answer, 403, "not-your-reservation")
    no_reason = machines.post(f"/reservations/{held}/release", {}, "supervisor")
    assert_problem(no_reason, 422, "input-invalid", field="reason")
    nothing = "00000000-0000-0000-0000-000000000000"
    assert_problem(commit(machines, nothing), 404, "reservation-not-found")
    assert_problem(machines.get(f"/reservations/{nothing}", "till"), 404, "reservation-not-found")
    without_key = machines.post("/reservations", {"code": code}, "till")
    assert_problem(without_key, 400, "idempotency-key-missing", field="Idempotency-Key")
    for minutes in (0, 1441, 1.5, "15"):
        problem_of = hold(machines, code=code, hold_minutes=minutes)
        assert_problem(problem_of, 422, "input-invalid", field="hold_minutes")
    assert machines.rows(without=("redemption_attempts",)) == before
    later(machines, minutes=16)
    assert_problem(commit(machines, held), 409, "reservation-lapsed")
    released = machines.post(f"/reservations/{held}/release", {"reason": "x"}, "supervisor")
    assert_problem(released, 409, "reservation-lapsed")


def test_a_supervisor_releases_with_a_reason(machines: Machines) -> None:
    held = json_of(hold(machines, code=machines.new_code()))["id"]
    released = machines.post(f"/reservations/{held}/release", {"reason": "It broke down."}, "supervisor")
    assert (released.status_code, json_of(released)["status"]) == (200, "released")
    assert_problem(commit(machines, held), 409, "reservation-ended")
    seen = json_of(machines.get(f"/reservations/{held}", "till"))
    assert (seen["status"], seen["end_reason"]) == ("released", "It broke down.")


ITEM = {"product": "tea", "amount_minor": 100}
BAD_ORDERS: list[tuple[dict[str, Any], str, str]] = [
    ({"items": []}, "input-invalid", "items"),
    ({"items": [ITEM] * 501}, "input-invalid", "items"),
    ({"items": [{"product": "tea"}]}, "input-invalid", "items.0.amount_minor"),
    ({"items": [{**ITEM, "amount_minor": -1}]}, "input-invalid", "items.0.amount_minor"),
    ({"items": [{**ITEM, "amount_minor": 1.5}]}, "input-invalid", "items.0.amount_minor"),
    ({"items": [{**ITEM, "quantity": 0}]}, "input-invalid", "items.0.quantity"),
    ({"items": [{**ITEM, "price": 1}]}, "input-invalid", "items.0.price"),
    (
        {"order_total": {"amount_minor": 2, **GBP}, "order_initial_total": {"amount_minor": 1, **GBP}},
        "input-invalid",
        "order_initial_total.amount_minor",
    ),
    (
        {"order_initial_total": {"amount_minor": 1, "currency": "EUR"}},
        "currency-mismatch",
        "order_initial_total.currency",
    ),
]


def test_orders_that_cannot_be(machines: Machines) -> None:
    code = machines.new_code()
    held = json_of(hold(machines, code=machines.new_code()))["id"]
    before = machines.rows(without=("redemption_attempts",))
    for order, slug, field in BAD_ORDERS:
        assert_problem(machines.redeem(code=code, location="london", **order), 422, slug, field=field)
        assert_problem(hold(machines, code=code, **order), 422, slug, field=field)
        assert_problem(commit(machines, held, **order), 422, slug, field=field)
    assert machines.rows(without=("redemption_attempts",)) == before


def test_who_gave_it_does_not_redeem_it(machines: Machines) -> None:
    code = machines.new_code(role="supervisor")
    assert_problem(machines.redeem("supervisor", code=code, location="london"), 403, "self-redemption")
    assert_problem(hold(machines, "supervisor", code=code), 403, "self-redemption")


def test_what_undoing_refuses(machines: Machines) -> None:
    sold = json_of(machines.redeem(code=machines.new_code(), location="london"))["id"]
    nothing = "00000000-0000-0000-0000-000000000000"
    before = machines.rows()
    assert_problem(undo(machines, sold, "annulment", "supervisor"), 403, "not-your-redemption")
    assert_problem(undo(machines, sold, "reversal", "till", key="k", restore="none"), 403, "not-permitted")
    assert_problem(undo(machines, nothing, "annulment", "till"), 404, "redemption-not-found")
    assert_problem(undo(machines, nothing, "reversal", "finance", key="k", restore="none"), 404, "redemption-not-found")
    missing = undo(machines, sold, "reversal", "finance", restore="none")
    assert_problem(missing, 400, "idempotency-key-missing", field="Idempotency-Key")
    for body, field in (
        ({"restore": "cash"}, "restore"),
        ({}, "restore"),
        ({"restore": "none", "reason": "  "}, "reason"),
        ({"restore": "none", "reason": "x" * 501}, "reason"),
    ):
        answer = undo(machines, sold, "reversal", "finance", key=fresh_key(), **body)
        assert_problem(answer, 422, "input-invalid", field=field)
    assert machines.rows() == before
    later(machines, minutes=16)
    assert_problem(undo(machines, sold, "annulment", "till"), 409, "annulment-too-late")
    hidden = undo(machines, sold, "reversal", "finance", key=fresh_key(), restore="new_code")
    assert json_of(hidden)["voucher"]["code"] is None  # finance gives nothing, so it sees no code
    twice = undo(machines, sold, "reversal", "finance", key=fresh_key(), restore="none")
    assert_problem(twice, 409, "redemption-already-reversed")
    later(machines, days=91)
    old = json_of(machines.redeem(code=machines.new_code(), location="london"))["id"]
    later(machines, days=91)
    late = undo(machines, old, "reversal", "finance", key=fresh_key(), restore="none")
    assert_problem(late, 409, "reversal-too-late")
