"""What a budget keeps of what expires: the money, and the place under its cap, whatever is undone afterwards."""

from collections.abc import Callable

import pytest

from tests.flows.aftercare import Care
from tests.flows.shop import Shop, budget
from tests.flows.till_shop import redeem, reverse, till_catalog

OpenShop = Callable[..., Shop]
KEEPING = (
    budget("kept", period="none", cap_minor=9000, on_expiry="keep"),
    budget("counted", period="none", cap_count=9, on_expiry="keep"),
)


def test_breakage_that_was_kept_counts_on_though_the_purchase_is_undone(open_shop: OpenShop) -> None:
    """A pot that keeps what expires has spent it: undoing the use before that frees the use, not the place."""
    shop = open_shop(till_catalog(*KEEPING, voucher={"max_redemptions": 2}))
    done = redeem(shop, shop.voucher().code)
    shop.later(days=31)
    assert shop.expire() == (1, 0)
    assert (shop.pot("kept"), shop.pot("all-gbp")) == ((0, 0, 2000), (0, 0, 1000))
    reverse(shop, done.id, "none")
    assert (shop.pot("kept"), shop.pot("kept", "count")) == ((0, 0, 1000), (0, 0, 1))
    assert shop.pot("counted", "count") == (0, 0, 1)
    assert (shop.pot("all-gbp"), shop.pot("all-gbp", "count")) == ((0, 0, 0), (0, 0, 0))
    shop.check()


@pytest.mark.parametrize("ends", ["spent", "voided"])
def test_breakage_that_was_kept_counts_whatever_becomes_of_the_rest(open_shop: OpenShop, ends: str) -> None:
    """One use goes on as a new code while the other expires: from then on the place is taken for good."""
    shop = open_shop(till_catalog(*KEEPING, voucher={"max_redemptions": 2, "grace_days": 60}))
    done = redeem(shop, shop.voucher().code)
    new = reverse(shop, done.id, "new_code").voucher
    assert new is not None
    assert shop.pot("kept", "count") == (0, 1, 0)
    shop.later(days=31)
    assert shop.expire() == (1, 0)
    assert (shop.pot("kept"), shop.pot("kept", "count")) == ((0, 1000, 1000), (0, 0, 1))
    assert shop.pot("all-gbp", "count") == (0, 1, 0)
    if ends == "spent":
        again = redeem(shop, new.code)
        assert shop.pot("kept") == (0, 0, 2000)
        reverse(shop, again.id, "none")
    else:
        Care(shop).void(new.id)
    assert (shop.pot("kept"), shop.pot("kept", "count")) == ((0, 0, 1000), (0, 0, 1))
    assert (shop.pot("all-gbp"), shop.pot("all-gbp", "count")) == ((0, 0, 0), (0, 0, 0))
    shop.check()
