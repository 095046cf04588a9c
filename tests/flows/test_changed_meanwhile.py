"""What a voucher's row is decides what becomes of it, not what it was when somebody looked: the update has the say."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from incentives.vouchers import lifecycle, reservations
from incentives.vouchers.tables import vouchers
from tests.flows.shop import Shop, named
from tests.flows.till_shop import freeze, hold

MINUTE = timedelta(minutes=1)
CHANGES = (
    "dearer",
    "cheaper",
    "frozen",
    "frozen for a while",
    "held",
    "held to this instant",
    "held until just now",
    "over",
    "spent",
    "taken back",
    "replaced",
)


def changed(name: str, now: datetime) -> Mapping[str, Any]:
    """Return what has become of a voucher since it was weighed."""
    held = {"status": "reserved", "reservation_id": uuid.uuid4()}
    values: Mapping[str, Mapping[str, Any]] = {
        "dearer": {"amount_minor": 1500},
        "cheaper": {"amount_minor": 500},
        "frozen": {"frozen_at": now},
        "frozen for a while": {"frozen_at": now, "frozen_until_at": now + MINUTE},
        "held": {**held, "reserved_until_at": now + MINUTE},
        "held to this instant": {**held, "reserved_until_at": now},
        "held until just now": {**held, "reserved_until_at": now - MINUTE},
        "over": {"expires_at": now - MINUTE},
        "spent": {"status": "redeemed", "redeemed_count": 1},
        "taken back": {"status": "voided"},
        "replaced": {"status": "replaced"},
    }
    return values[name]


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_since_it_was_weighed_is_not_spent_beside_what_has_not(shop: Shop, name: str) -> None:
    first, other, last = (shop.voucher(customer=named(f"{each}@example.com")).id for each in "abc")
    now = shop.clock.now()
    weighed = {row.id: row for row in shop.all(vouchers)}
    with shop.core.database.write() as tx:
        tx.execute(vouchers.update().where(vouchers.c.id == other).values(**changed(name, now)))
        assert lifecycle.redeem_all(tx, weighed, now) == {first: 1, last: 1}
    counts = {row.id: row.redeemed_count for row in shop.all(vouchers)}
    assert counts == {first: 1, other: 1 if name == "spent" else 0, last: 1}


@pytest.mark.parametrize("until_minutes", [None, 1])
def test_a_hold_on_what_was_frozen_meanwhile_is_neither_committed_nor_extended(
    shop: Shop, until_minutes: int | None
) -> None:
    voucher = shop.voucher()
    held, now = hold(shop, voucher.code), shop.clock.now()
    freeze(shop)
    if until_minutes:
        with shop.core.database.write() as tx:
            tx.execute(vouchers.update().values(frozen_until_at=now + timedelta(minutes=until_minutes)))
    with shop.core.database.write() as tx:
        assert lifecycle.redeem(tx, voucher.id, reservations.commits(held.id, now)) is None
        assert not reservations.keep_longer(tx, voucher.id, held.id, now + timedelta(minutes=20), now)
    assert shop.one(vouchers).redeemed_count == 0
