"""No oracle: whoever is nobody to us learns of a code or a link neither by words, nor by status, nor by time.

Ten thousand requests in no order at four doors, on each database. A planted oracle shows that
the same test would find one.
"""

import random
import statistics
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.throttle import LIMITS, Limit, Throttle
from incentives.queries import letters
from incentives.vouchers import codes
from incentives.vouchers.tables import vouchers
from tests.doors.alike import PLANTED, WITHIN, timed, told_apart, work
from tests.doors.customers import Customers
from tests.world import START, make_core, publish_catalog
from wsgi import create_app

ASKED = 2_500
OF_EACH = 12
STATES = ("used", "expired", "voided", "frozen", "held", "replaced")


@pytest.fixture
def customers(database_url: str) -> Iterator[Customers]:
    clock = FixedClock(START)
    core = make_core(database_url, clock=clock)
    publish_catalog(core)
    customers = Customers(core, clock, create_app(core))
    endless = Limit(tries=1_000_000, window_seconds=60)
    customers.app.extensions["throttle"] = Throttle(limits=dict.fromkeys(LIMITS, endless))
    yield customers
    core.database.dispose()


def some(customers: Customers) -> dict[str, list[tuple[str, str]]]:
    """Return codes and tokens of each kind that nobody may tell apart."""
    made: dict[str, list[tuple[str, str]]] = {state: [] for state in STATES}
    for number in range(OF_EACH * len(STATES)):
        state = STATES[number % len(STATES)]
        voucher = customers.give(email=f"ana{number}@example.com")
        _become(customers, voucher, state)
        made[state].append((voucher.code, voucher.token))
    ring, dice = customers.core.keys.links, random.Random(7)
    unknown = [uuid.UUID(int=dice.getrandbits(128), version=4) for _ in range(OF_EACH)]
    foreign = [codes.code_of(customers.core.keys.codes, "t", each) for each in unknown]
    tokens = [codes.token_of(ring, each) for each in unknown]
    made["unknown"] = list(zip(map(codes.printed, foreign), tokens, strict=True))
    made["forged"] = [(code, token[:-6] + "A" * 6) for code, token in made["unknown"]]
    return made


def _become(customers: Customers, voucher: Any, state: str) -> None:
    if state == "used":
        customers.redeem(voucher)
    elif state == "held":
        customers.hold(voucher)
    elif state == "frozen":
        customers.freeze(voucher)
    else:
        customers.become(voucher, state)


def asking(client: FlaskClient, seen: Counter[Any], method: str, path: str, **said: Any) -> Callable[[], object]:
    """Return a request that notes how it is answered."""

    def ask() -> None:
        answer = client.open(path, method=method, **said)
        headers = sorted(name for name, _ in answer.headers)
        seen[answer.status_code, len(answer.data), tuple(headers)] += 1

    return ask


def ways(customers: Customers, door: str) -> tuple[Mapping[str, list[Callable[[], object]]], Counter[Any]]:
    """Return how each kind is asked about at a door, and where the answers are counted."""
    client, seen = customers.app.test_client(use_cookies=False), Counter[Any]()
    ask: Callable[[str, str], Callable[[], object]] = {
        "the page": lambda _, token: asking(client, seen, "GET", f"/v/{token}"),
        "the QR code": lambda _, token: asking(client, seen, "GET", f"/v/{token}/qr.svg"),
        "a look-up without a key": lambda code, _: asking(
            client, seen, "POST", "/api/v1/vouchers/lookup", json={"code": code}
        ),
        "a redemption with a wrong key": lambda code, _: asking(
            client, seen, "POST", "/api/v1/redemptions", json={"code": code},
            headers={"Authorization": "Bearer " + "x" * 43, "Idempotency-Key": "one"},
        ),
    }[door]  # fmt: skip
    return {kind: [ask(*each) for each in pairs] for kind, pairs in some(customers).items()}, seen


@pytest.mark.parametrize(
    "door", ["the page", "the QR code", "a look-up without a key", "a redemption with a wrong key"]
)
def test_nobody_learns_what_became_of_a_voucher(customers: Customers, door: str) -> None:
    asked, seen = ways(customers, door)
    took = timed(asked, ASKED, seed=20)
    assert len(seen) == 1, seen
    assert sum(seen.values()) >= ASKED
    del took["forged"]  # Its time may tell it from ours, as whoever forged it knows anyway; how much is held below.
    found = told_apart(took)
    assert [str(each) for each in found if abs(each.longer - 0.5) > WITHIN] == [], "\n".join(map(str, found))


def worked(customers: Customers, door: str) -> dict[str, float]:
    """Return how much work it is to answer about each kind; the first time is left out, when much is made for good."""
    asked, _ = ways(customers, door)
    for ask in (each for some in asked.values() for each in some):
        ask()
    return {kind: statistics.median(work(ask) for ask in some) for kind, some in asked.items()}


@pytest.mark.parametrize(
    "door", ["the page", "the QR code", "a look-up without a key", "a redemption with a wrong key"]
)
def test_to_answer_is_the_same_work_whatever_became_of_a_voucher(customers: Customers, door: str) -> None:
    """To the last function that is called. One that carries no signature of ours is less to check, and none of ours."""
    found = worked(customers, door)
    forged = found.pop("forged")
    assert len(set(found.values())) == 1, found
    assert forged == pytest.approx(found["used"], rel=0.06)


@pytest.fixture
def oracle(customers: Customers, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that plants an oracle: a voucher that was used is looked at so much more often, and no other."""
    look = letters.voucher_of_link

    def plant(times: int) -> None:
        def looked(tx: sa.Connection, core: Core, token: str, now: Any) -> Any:
            voucher_id = codes.voucher_of_token(core.keys.links, token)
            used = sa.select(vouchers.c.id).where(vouchers.c.id == voucher_id, vouchers.c.status == "redeemed")
            if tx.execute(used).one_or_none() is not None:
                for _ in range(times):
                    tx.execute(sa.select(vouchers.c.amount_minor).where(vouchers.c.id == voucher_id)).one()
            return look(tx, core, token, now)

        monkeypatch.setattr(letters, "voucher_of_link", looked)

    return plant


def test_one_more_look_would_be_seen(customers: Customers, oracle: Callable[[int], None]) -> None:
    oracle(1)
    found = worked(customers, "the page")
    used = found.pop("used")
    assert used > 1.02 * max(found.values())


def test_what_takes_longer_would_be_noticed(customers: Customers, oracle: Callable[[int], None]) -> None:
    """Sixteen looks, as whoever would write the page of a voucher before asking whether it is good."""
    oracle(16)
    asked, seen = ways(customers, "the page")
    found = {each.kind: each.longer for each in told_apart(timed(asked, ASKED // 4, seed=20))}
    assert len(seen) == 1
    assert found.pop("used") > PLANTED
    assert max(found.values()) < PLANTED
