"""How much a redemption spends: faces, percentages with their ceiling, things, and what becomes of the rest."""

from collections.abc import Callable

import pytest

from incentives.kernel.errors import AlreadyRedeemed, CurrencyMismatch, InputInvalid, OrderTotalMissing
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.spending.tables import budget_movements
from incentives.vouchers.tables import redemptions, vouchers
from tests.flows.shop import Shop, budget, catalog
from tests.flows.test_redeem import refused_try

OpenShop = Callable[..., Shop]


def pounds(amount_minor: int) -> Money:
    return Money(amount_minor, "GBP")


def test_a_refund_is_paid_out_whatever_the_sale_comes_to(shop: Shop) -> None:
    voucher = shop.voucher(incentive="refund")
    assert shop.redeem(voucher.code, order_total=pounds(300)).amount == voucher.amount
    shop.check()


@pytest.mark.parametrize("incentive", ["voucher", "fixed"])
@pytest.mark.parametrize("total_minor", [None, 300, 100_000])
def test_the_unused_part_of_a_face_is_forfeited(shop: Shop, incentive: str, total_minor: int | None) -> None:
    voucher = shop.voucher(incentive=incentive)
    face = voucher.amount.amount_minor
    done = shop.redeem(voucher.code, order_total=pounds(total_minor) if total_minor else None)
    spent = min(face, total_minor or face)
    assert done.amount == pounds(spent)
    assert done.remainder is None
    assert shop.one(redemptions).order_total_minor == total_minor
    lost = {"breakage": spent - face} if spent < face else {}
    assert shop.balances() == {
        "recovery-expense": face,
        "voucher-liability": 0,
        "redemption-settlement": -spent,
        **lost,
    }
    # What nobody can spend any more is free for others.
    assert shop.pot("all-gbp") == (0, 0, spent)
    assert shop.pot("all-gbp", "count") == (0, 0, 1)
    refused_try(shop, AlreadyRedeemed, voucher.code)
    shop.check()


@pytest.mark.parametrize(
    ("total_minor", "spent_minor"),
    [
        (10_000, 1500),
        (20_000, 3000),
        (20_001, 3000),
        (19_996, 2999),  # 2999.4
        (19_990, 2999),  # 2998.5: half a penny goes to the customer
        (1, 0),
        (3, 0),  # 0.45
        (4, 1),  # 0.6
        (10, 2),  # 1.5
        (2**53 - 1, 3000),
    ],
)
def test_a_percentage_is_taken_from_the_total_up_to_its_ceiling(shop: Shop, total_minor: int, spent_minor: int) -> None:
    voucher = shop.voucher(incentive="percent")
    assert shop.redeem(voucher.code, order_total=pounds(total_minor)).amount == pounds(spent_minor)
    # What was under the ceiling was never promised to be spent: it was no expense after all, and no breakage.
    balances = shop.balances()
    assert balances.get("recovery-expense", 0) == spent_minor
    assert balances.get("redemption-settlement", 0) == -spent_minor
    assert "breakage" not in balances
    assert shop.pot("all-gbp") == (0, 0, spent_minor)
    assert shop.pot("all-gbp", "count") == (0, 0, 1)
    shop.check()


def test_a_percentage_of_an_unknown_total_is_refused(shop: Shop) -> None:
    voucher = shop.voucher(incentive="percent")
    found = refused_try(shop, OrderTotalMissing, voucher.code, idempotency_key="k")
    assert found.facts == {"field": "order_total", "percent": 15}
    shop.redeem(voucher.code, order_total=pounds(1000), idempotency_key="k")


@pytest.mark.parametrize("incentive", ["meal", "points", "gift"])
def test_a_thing_is_spent_whole(shop: Shop, incentive: str) -> None:
    voucher = shop.voucher(incentive=incentive, location="london")
    done = shop.redeem(voucher.code, order_total=pounds(1))
    assert done.amount == voucher.amount
    assert shop.pot("all-gbp") == (0, 0, voucher.amount.amount_minor)
    assert shop.pot("all-gbp", "count") == (0, 0, 1)
    shop.check()


@pytest.mark.parametrize("incentive", ["voucher", "percent", "credit", "points"])
def test_another_currency_is_refused(shop: Shop, incentive: str) -> None:
    voucher = shop.voucher(incentive=incentive)
    for currency in ("USD", "EUR"):
        found = refused_try(shop, CurrencyMismatch, voucher.code, order_total=Money(1000, currency))
        assert found.facts == {"field": "order_total.currency", "currency": "GBP"}


@pytest.mark.parametrize("total_minor", [0, -1])
def test_a_sale_of_nothing_is_refused(shop: Shop, total_minor: int) -> None:
    voucher = shop.voucher(incentive="credit")
    refused_try(shop, InputInvalid, voucher.code, order_total=pounds(total_minor))


# --- what is left ------------------------------------------------------------------------------------------------


def test_what_is_left_of_a_credit_becomes_a_new_voucher(shop: Shop) -> None:
    voucher = shop.voucher(incentive="credit", channels=("email",))
    shop.deliver()
    shop.later(days=3)
    done = shop.redeem(voucher.code, order_total=pounds(700))
    left = done.remainder
    assert left is not None
    assert (done.amount, left.amount) == (pounds(700), pounds(1300))
    assert left.expires_at == voucher.expires_at  # no longer than the first was good
    assert left.code != voucher.code
    first, second = shop.all(vouchers)
    assert (first.status, second.status, second.number, second.issuance_id) == (
        "redeemed",
        "issued",
        2,
        first.issuance_id,
    )
    assert (second.incentive_item_id, second.time_zone) == (first.incentive_item_id, first.time_zone)
    assert shop.pot("all-gbp") == (0, 1300, 700)
    assert shop.balances() == {"recovery-expense": 2000, "voucher-liability": -1300, "redemption-settlement": -700}
    assert [(row.voucher_id, row.status) for row in shop.all(outbox_messages)] == [
        (voucher.id, "captured"),
        (left.id, "queued"),
    ]
    refused_try(shop, AlreadyRedeemed, voucher.code)
    shop.check()


def test_a_credit_is_spent_bit_by_bit_to_the_last_penny(shop: Shop) -> None:
    code = shop.voucher(incentive="credit").code
    for spent in range(1, 5):
        done = shop.redeem(code, order_total=pounds(499))
        assert done.remainder is not None
        assert done.remainder.amount == pounds(2000 - 499 * spent)
        assert done.remainder.code is not None
        code = done.remainder.code
        shop.check()
    assert shop.redeem(code, order_total=pounds(4)).remainder is None
    assert shop.pot("all-gbp") == (0, 0, 2000)
    assert shop.pot("all-gbp", "count") == (0, 0, 1)
    assert shop.balances() == {"recovery-expense": 2000, "voucher-liability": 0, "redemption-settlement": -2000}
    shop.check()


def test_a_credit_without_a_total_is_spent_whole(shop: Shop) -> None:
    assert shop.redeem(shop.voucher(incentive="credit").code).remainder is None
    assert shop.pot("all-gbp") == (0, 0, 2000)


@pytest.mark.parametrize("on_expiry", ["release", "keep"])
def test_a_rest_that_lapses_does_not_free_the_place_of_what_was_spent(open_shop: OpenShop, on_expiry: str) -> None:
    """A cap on the number of recoveries counts the one of which only a part was spent."""
    counted = budget("customer", "customer", period="none", cap_count=3, on_expiry=on_expiry)
    shop = open_shop(catalog(counted, budget("pot", period="none", cap_minor=5000, on_expiry=on_expiry)))
    voucher = shop.voucher(incentive="credit")
    shop.redeem(voucher.code, order_total=pounds(700))
    assert shop.pot("customer", "count") == (0, 0, 1)
    shop.later(days=40)
    assert shop.expire() == (1, 0)
    assert shop.pot("customer", "count") == (0, 0, 1)
    assert shop.pot("pot") == ((0, 0, 700) if on_expiry == "release" else (0, 0, 2000))
    assert shop.pot("pot", "count") == (0, 0, 1)
    assert shop.balances()["breakage"] == -1300
    shop.check()


def test_every_movement_moves_something(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("count", cap_count=9)))
    done = shop.redeem(shop.voucher(incentive="credit").code, order_total=pounds(700))
    assert done.remainder is not None
    shop.redeem(done.remainder.code, order_total=pounds(700))
    shop.later(days=40)
    shop.expire()
    for row in shop.all(budget_movements):
        assert any(value for name, value in row._mapping.items() if name.endswith(("_minor", "_count"))), row
