"""What a till tells of a sale, and how much of it a voucher can be spent on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from incentives.kernel.money import Money

ITEMS_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a sale; ``amount_minor`` is what is paid for all of its quantity, in the sale's currency."""

    product: str
    amount_minor: int
    collection: str | None = None
    quantity: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the form in which it is kept."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A sale: what is to be paid before this voucher (``total``), and what it was before any discount (``initial``).

    ``metadata`` is what the till adds to the redemption, as the catalog declares it.
    """

    ref: str | None = None
    total: Money | None = None
    initial_total: Money | None = None
    items: tuple[Item, ...] | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def total_minor(self) -> int | None:
        """Return what is to be paid; where nobody said it, what the items come to; None where nobody said those."""
        if self.total is not None:
            return self.total.amount_minor
        return None if self.items is None else sum(item.amount_minor for item in self.items)

    def over(self, later: "Order") -> "Order":
        """Return the sale with what was said of it later in the place of what was said before."""
        names = ("ref", "total", "initial_total", "items", "metadata")
        said = {name: getattr(later, name) for name in names if getattr(later, name) is not None}
        return Order(**({name: getattr(self, name) for name in names} | said))

    def columns(self) -> dict[str, Any]:
        """Return the columns in which a redemption or a reservation keeps it."""
        return {
            "order_ref": self.ref,
            "order_total_minor": self.total.amount_minor if self.total else None,
            "order_initial_minor": self.initial_total.amount_minor if self.initial_total else None,
            "order_items": [item.as_json() for item in self.items] if self.items is not None else None,
            "metadata": dict(self.metadata) if self.metadata else None,
        }


def of_row(row: Any) -> Order:
    """Return the sale that a redemption's or a reservation's row keeps."""
    items: list[Mapping[str, Any]] | None = row.order_items
    return Order(
        ref=row.order_ref,
        total=_money(row.order_total_minor, row.currency),
        initial_total=_money(row.order_initial_minor, row.currency),
        items=None if items is None else tuple(Item(**item) for item in items),
        metadata=row.metadata,
    )


def _money(amount_minor: int | None, currency: str) -> Money | None:
    return None if amount_minor is None else Money(amount_minor, currency)


def eligible(
    order: Order, *, products: Collection[str], collections: Collection[str], excluded_products: Collection[str]
) -> tuple[Item, ...]:
    """Return the items of a sale that count: of what is named, or of everything, but never what is excluded."""
    named = bool(products or collections)
    return tuple(
        item
        for item in order.items or ()
        if item.product not in excluded_products
        and (not named or item.product in products or item.collection in collections)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTold:
    """The part of a till's command that tells of the sale; all of it can be left out.

    ``order_total`` is what is to be paid before this voucher and what a percentage is taken from, ``items`` what it
    consists of, ``order_initial_total`` what it was before any discount. ``metadata`` is whatever else belongs to it.
    """

    order_ref: str | None = None
    order_total: Money | None = None
    order_initial_total: Money | None = None
    items: tuple[Item, ...] | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def order(self) -> Order:
        """Return the sale."""
        return Order(
            ref=self.order_ref,
            total=self.order_total,
            initial_total=self.order_initial_total,
            items=self.items,
            metadata=self.metadata,
        )

    def request(self, *names: str) -> dict[str, str]:
        """Return what makes two commands under one key the same. What was not always there counts when it is told."""
        later = [name for name in ("order_initial_total", "items", "metadata") if getattr(self, name) is not None]
        return {name: str(getattr(self, name)) for name in (*names, "order_ref", "order_total", *later)}
