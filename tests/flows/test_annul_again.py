"""A till that annuls what it redeemed lets a voucher last a little longer once, and no longer from that end on."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from incentives.kernel.errors import VoucherExpired
from incentives.vouchers.tables import vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import Shop
from tests.flows.till_shop import annul, redeem, till_catalog, tried

OpenShop = Callable[..., Shop]


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    return open_shop(till_catalog(fixed={"valid_days": 30, "most_extend_days": 30}))


def _until(shop: Shop, **before: float) -> None:
    """Let time pass until so long before the only voucher's end."""
    end = shop.one(vouchers).expires_at
    shop.later(seconds=(end - shop.clock.now() - timedelta(**before)).total_seconds())


def test_by_turns_it_is_not_kept_alive(shop: Shop) -> None:
    voucher = shop.voucher(incentive="fixed")
    first_end = voucher.expires_at
    _until(shop, minutes=10)
    done = redeem(shop, voucher.code)
    shop.later(minutes=14)
    undone = annul(shop, done.id)
    assert undone.voucher is not None
    granted = undone.voucher.expires_at
    assert granted == shop.clock.now() + timedelta(minutes=15)
    assert granted < first_end + timedelta(minutes=30)
    again = redeem(shop, voucher.code)  # that is what it lasts longer for
    shop.later(minutes=10)
    assert annul(shop, again.id).voucher.expires_at == granted  # type: ignore[union-attr] # it was just seen above
    third = redeem(shop, voucher.code)
    shop.later(minutes=14)
    annul(shop, third.id)
    tried(shop, VoucherExpired, redeem, voucher.code)
    assert shop.expire() == (1, 0)
    shop.check()


def test_from_an_end_that_somebody_agreed_to_it_is_granted_anew(shop: Shop) -> None:
    voucher = shop.voucher(incentive="fixed")
    for _ in range(2):
        _until(shop, minutes=5)
        done = redeem(shop, voucher.code)
        shop.later(minutes=10)
        annul(shop, done.id)
        assert shop.one(vouchers).expires_at == shop.clock.now() + timedelta(minutes=15)
        Care(shop).extend(voucher.id, 3)
    shop.check()
