"""The parts of a voucher that is redeemed several times, and what of a sale counts."""

from hypothesis import given
from hypothesis import strategies as st

from incentives.kernel.money import Money
from incentives.vouchers import orders, shares
from incentives.vouchers.orders import Item, Order

AMOUNTS = st.integers(0, 2**53 - 1)
USES = st.integers(1, 400)


@given(AMOUNTS, USES)
def test_the_parts_sum_to_the_whole_and_differ_by_one_unit_at_most(amount_minor: int, uses: int) -> None:
    parts = [shares.share_minor(amount_minor, uses, number) for number in range(1, uses + 1)]
    assert sum(parts) == amount_minor
    assert max(parts) - min(parts) <= 1
    assert min(parts) >= 0


@given(st.integers(0, 2**40), USES)
def test_what_can_be_equal_is_equal(each_minor: int, uses: int) -> None:
    parts = {shares.share_minor(each_minor * uses, uses, number) for number in range(1, uses + 1)}
    assert parts == {each_minor}


@given(AMOUNTS, USES, st.data())
def test_what_is_used_and_what_is_left_are_the_whole(amount_minor: int, uses: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, uses))
    used = shares.used_minor(amount_minor, uses, count)
    assert used + shares.left_minor(amount_minor, uses, count) == amount_minor
    assert used == sum(shares.share_minor(amount_minor, uses, number) for number in range(1, count + 1))


TEA = Item(product="tea", amount_minor=300, collection="drinks", quantity=2)
CAKE = Item(product="cake", amount_minor=700)


def counted(**rules: tuple[str, ...]) -> tuple[Item, ...]:
    """Return what of tea and cake counts by some rules."""
    nothing: dict[str, tuple[str, ...]] = {"products": (), "collections": (), "excluded_products": ()}
    return orders.eligible(Order(items=(TEA, CAKE)), **(nothing | rules))


def test_what_counts_is_what_is_named_and_not_excluded() -> None:
    assert counted() == (TEA, CAKE)
    assert counted(products=("cake",)) == (CAKE,)
    assert counted(collections=("drinks",)) == (TEA,)
    assert counted(products=("cake",), collections=("drinks",)) == (TEA, CAKE)
    assert counted(excluded_products=("tea",)) == (CAKE,)
    assert counted(products=("tea",), excluded_products=("tea",)) == ()
    assert orders.eligible(Order(), products=("tea",), collections=(), excluded_products=()) == ()


def test_an_order_is_worth_its_total_or_else_its_items() -> None:
    assert Order(items=(TEA, CAKE)).total_minor == 1000
    assert Order(total=Money(900, "GBP"), items=(TEA, CAKE)).total_minor == 900
    assert Order(ref="T-1").total_minor is None


def test_what_is_said_later_takes_the_place_of_what_was_said_before() -> None:
    before = Order(ref="T-1", total=Money(900, "GBP"), items=(TEA,))
    assert before.over(Order()) == before
    later = before.over(Order(total=Money(800, "GBP"), items=(CAKE,)))
    assert later == Order(ref="T-1", total=Money(800, "GBP"), items=(CAKE,))
