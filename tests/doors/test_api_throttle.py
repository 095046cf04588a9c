"""Whoever tries codes is slowed down; a till that scans good ones never is."""

from collections.abc import Callable, Iterator

import pytest

from incentives.kernel.throttle import LIMITS, Limit, Throttle
from incentives.vouchers import codes
from tests.doors.machines import Machines, assert_problem, opened
from tests.world import api_key
from wsgi import create_app


@pytest.fixture
def machines(database_url: str) -> Iterator[Machines]:
    with opened(database_url) as machines:
        yield machines


def _guess(machines: Machines) -> str:
    """Return a code that could be one, and is none."""
    return codes.printed(codes.code_of(machines.core.keys.codes, "t", machines.core.ids.new(machines.core.clock.now())))


def test_the_sixth_guess_in_a_minute_is_refused_and_a_good_code_is_not(machines: Machines) -> None:
    good, other = machines.new_code(), machines.new_code()
    for left in (4, 3, 2, 1, 0):
        missed = machines.post("/vouchers/lookup", {"code": _guess(machines)}, "till")
        assert_problem(missed, 404, "voucher-not-found", field="code")
        assert missed.headers["RateLimit"].startswith(f'"code-misses";r={left};t=')
        assert missed.headers["RateLimit-Policy"] == '"code-misses";q=5;w=60'
    told = set()
    for refused in (
        machines.post("/vouchers/lookup", {"code": _guess(machines)}, "till"),
        machines.post("/vouchers/lookup", {"token": "hello"}, "till"),
        machines.redeem(code=_guess(machines)),
        machines.redeem(token="x.y"),
    ):
        problem = assert_problem(refused, 429, "too-many-requests")
        told.add((problem["title"], problem["detail"], problem["next_step"]))
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit"].startswith('"code-misses";r=0;t=')
    assert len(told) == 1  # Nothing of what was typed is in it.
    assert machines.post("/vouchers/lookup", {"code": good}, "till").status_code == 200
    assert machines.redeem(code=good).status_code == 201
    assert machines.redeem(code=good).status_code == 409
    assert machines.redeem(code=other).status_code == 201


def test_foreign_qr_codes_do_not_close_a_till(machines: Machines) -> None:
    good = machines.new_code()
    for _ in range(50):
        assert machines.post("/vouchers/lookup", {"token": "hello"}, "till").status_code in (404, 429)
    assert machines.redeem(code=good).status_code == 201


def test_a_stolen_key_gains_nothing_by_many_addresses(machines: Machines) -> None:
    answers = [
        machines.call(
            "POST",
            "/vouchers/lookup",
            "till",
            json={"code": _guess(machines)},
            environ_overrides={"REMOTE_ADDR": f"203.0.113.{number}"},
        ).status_code
        for number in range(20)
    ]
    assert answers == [404] * 5 + [429] * 15


def test_all_together_are_slowed_down_too_but_not_for_good_codes(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {**LIMITS, "code-misses-of-all": Limit(tries=3, window_seconds=60)}
    machines.app.extensions["throttle"] = Throttle(limits=limits)
    roles = ("till", "manager", "supervisor", "till", "manager")
    answers = [machines.post("/vouchers/lookup", {"code": _guess(machines)}, role) for role in roles]
    assert [answer.status_code for answer in answers] == [404] * 3 + [429] * 2
    assert answers[-1].headers["Retry-After"]
    assert machines.redeem(code=machines.new_code()).status_code == 201
    assert [record.levelname for record in caplog.records if "code-misses" in record.message] == ["WARNING"]


def test_guesses_by_redeeming_and_by_looking_up_count_together(machines: Machines) -> None:
    for number in range(5):
        guess = {"code": _guess(machines)}
        missed = machines.redeem(**guess) if number % 2 else machines.post("/vouchers/lookup", guess, "till")
        assert missed.status_code == 404
    assert machines.redeem(code=_guess(machines)).status_code == 429


def test_good_scans_typing_errors_and_used_vouchers_are_not_counted(machines: Machines) -> None:
    good = machines.new_code()
    machines.redeem(code=good)
    for _ in range(20):
        assert machines.post("/vouchers/lookup", {"code": good}, "till").status_code == 200
        assert machines.post("/vouchers/lookup", {"code": "0000-0000-0000-1"}, "till").status_code == 422
        assert machines.redeem(code=good).status_code == 409


def test_one_till_does_not_slow_another_down(machines: Machines) -> None:
    for _ in range(6):
        machines.post("/vouchers/lookup", {"code": _guess(machines)}, "till")
    secret, _ = api_key(machines.core, "till")
    headers = {"Authorization": f"Bearer {secret}"}
    other = machines.call("POST", "/vouchers/lookup", None, json={"code": _guess(machines)}, headers=headers)
    assert other.status_code == 404


@pytest.mark.parametrize("backend", ["sqlite"])
def test_servers_count_together_in_redis(new_database: Callable[..., str], redis_url: str) -> None:
    with opened(new_database(), redis_url=redis_url) as one:
        for _ in range(5):
            one.post("/vouchers/lookup", {"code": _guess(one)}, "till")
        other = create_app(one.core)
        headers = {"Authorization": f"Bearer {one.secrets['till']}"}
        refused = other.test_client().post("/api/v1/vouchers/lookup", json={"code": _guess(one)}, headers=headers)
        assert_problem(refused, 429, "too-many-requests")
        other.extensions["throttle"].close()
