"""Forgetting: an idempotency key replays for two weeks, and then stands for a new request."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Connection

import worker
from incentives.flows import forget
from incentives.flows.forget import forget_due
from incentives.kernel import idempotency
from incentives.kernel.errors import IdempotencyKeyReused
from incentives.kernel.idempotency import KEPT, Claim, idempotency_keys
from incentives.vouchers.tables import redemptions
from tests.flows.shop import Shop


def keys(shop: Shop) -> set[str]:
    return {row.key for row in shop.all(idempotency_keys)}


def test_a_key_replays_until_its_time_is_over(shop: Shop) -> None:
    first = shop.issue(idempotency_key="one")
    shop.clock.advance(KEPT)
    assert forget_due(core=shop.core) == 0
    assert shop.issue(idempotency_key="one").id == first.id
    shop.refused(IdempotencyKeyReused, shop.issue, idempotency_key="one", amount_minor=600)
    shop.clock.advance(timedelta(microseconds=1))
    assert forget_due(core=shop.core) == 1
    assert keys(shop) == set()
    again = shop.issue(idempotency_key="one")
    assert (again.replayed, again.id != first.id) == (False, True)
    assert shop.issue(idempotency_key="one").id == again.id
    shop.check()


def test_no_key_is_forgotten_within_a_week() -> None:
    assert timedelta(days=7) <= KEPT


def test_keys_go_in_small_batches_the_oldest_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "MOST_AT_ONCE", 2)
    for number in range(5):
        shop.issue(idempotency_key=f"key {number}")
        shop.later(minutes=1)
    shop.clock.advance(KEPT - timedelta(minutes=1))
    assert [forget_due(core=shop.core), keys(shop)] == [2, {"key 2", "key 3", "key 4"}]
    assert [forget_due(core=shop.core) for _ in range(3)] == [2, 0, 0]
    assert keys(shop) == {"key 4"}
    shop.later(minutes=1)
    assert forget_due(core=shop.core) == 1


def test_what_is_never_done_twice_is_never_forgotten(shop: Shop) -> None:
    for key in ("bulk-abc:1", "incident-1-2-email", "mine", "bulk", "bulk%"):
        shop.issue(idempotency_key=key)
    shop.clock.advance(KEPT * 2)
    worker.sweep(shop.core)
    assert keys(shop) == {"bulk-abc:1", "incident-1-2-email"}


def test_what_is_claimed_late_by_a_slow_clock_is_forgotten_too(shop: Shop) -> None:
    shop.clock.advance(KEPT)
    assert forget_due(core=shop.core) == 0
    shop.clock.advance(-KEPT - timedelta(hours=1))
    shop.issue(idempotency_key="by a clock that is behind")
    shop.clock.advance(KEPT + timedelta(hours=2))
    assert forget_due(core=shop.core) == 1


def test_a_key_that_goes_while_it_is_asked_for_is_claimed_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between finding the key there and reading what it got, it is forgotten: the deed must still own its key."""
    voucher, taken = shop.voucher(), idempotency._taken
    shop.redeem(voucher.code, idempotency_key="sale")
    shop.clock.advance(KEPT * 2)

    def too_late(tx: Connection, *known: Any) -> Any:
        idempotency.forget(tx, None, shop.clock.now() - KEPT, 10)
        return taken(tx, *known)

    claim = Claim(f"{shop.till.label}:redemptions", "sale", {"a": 1}, shop.core.ids.new(shop.clock.now()))
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_taken", too_late)
        with shop.core.database.write() as tx:
            assert idempotency.claim(tx, shop.core.keys.codes, [claim], shop.clock.now()) == {}
    assert shop.one(idempotency_keys, idempotency_keys.c.scope == claim.scope).result_id == claim.result_id
    assert len(shop.all(redemptions)) == 1
