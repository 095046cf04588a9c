"""Whether a voucher can be used in a sale, and how much the sale takes of it: what redeeming and holding share.

Not a flow: it opens no transaction. What can change meanwhile is not decided here but by a conditional update.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import conditions, redeeming, releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Location
from incentives.catalog.incentive import Incentive, IncentiveKind
from incentives.deeds import assessment, guarding, telling
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    ConditionNotMet,
    CurrencyMismatch,
    InputInvalid,
    NotCombinable,
    NothingEligible,
    NotUsableHere,
    OrderItemsMissing,
    OrderRefMissing,
    OrderTooSmall,
    OrderTotalMissing,
)
from incentives.kernel.money import Money
from incentives.queries import mailboxes
from incentives.vouchers import orders
from incentives.vouchers.orders import ITEMS_MOST, Order
from incentives.vouchers.tables import redemptions, vouchers

_HUNDRED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A try to use a voucher: by whom, when, where, on what. ``to_come`` lets facts of the order be told later."""

    core: Core
    actor: Actor
    now: datetime
    catalog: Catalog
    place: Location | None
    order: Order
    to_come: bool = False


def place_of(tx: Connection, core: Core, actor: Actor, location: str | None) -> tuple[Catalog, Location | None]:
    """Return the catalog in force, and where it is: as the request says, if there is such a place, else the till's.

    Raises ``UnknownLocation``, ``OtherLocation`` and ``NoCatalog``.
    """
    catalog = releases.cached_current(tx, core).catalog
    return catalog, place_in(catalog, actor, location)


def place_in(catalog: Catalog, actor: Actor, location: str | None) -> Location | None:
    """Return where it is, by a catalog. Raises ``UnknownLocation`` and ``OtherLocation``."""
    assessment.at_home(actor, location)
    if location is not None:
        return catalog.location(location)
    return catalog.locations.get(actor.location or "")


def takes_minor(tx: Connection, sale: Sale, voucher: Any, incentive: Incentive) -> int | None:
    """Return how much a sale would take of a voucher that were worth enough; None where it takes all that there is.

    Raises what redeeming refuses for whoever asks, wherever it is, and whatever is bought.
    """
    guard(tx, sale, voucher)
    _check_who_and_where(tx, sale, voucher, incentive)
    _check_currency(sale, voucher, incentive)
    _check_order(sale.order)
    telling.check_redemption(sale.catalog, sale.actor, sale.order.metadata or {}, to_come=sale.to_come)
    counted_minor = _counted_minor(sale, incentive)
    _check_condition(sale, voucher, incentive)
    return _taken_minor(sale, incentive, counted_minor)


def guard(tx: Connection, sale: Sale, voucher: Any) -> None:
    """Refuse what a switch stops now. Raises ``RedeemingStopped``."""
    if not guarding.anything_stopped(tx, sale.core):
        return
    tags = sale.catalog.lineage(voucher.issue_tag) if voucher.issue_tag in sale.catalog.issue_tags else ()
    guarding.refuse_voucher_stopped(
        tx, sale.core, sale.actor, voucher, sale.place.key if sale.place else None, tags or (voucher.issue_tag,)
    )


def _check_who_and_where(tx: Connection, sale: Sale, voucher: Any, incentive: Incentive) -> None:
    refusal = redeeming.redeemer_refusal(
        incentive,
        sale.actor,
        issued_by=voucher.issued_by,
        shown_to=voucher.shown_to,
        same_mailbox=mailboxes.shared(tx, sale.actor, voucher.issued_by, voucher.shown_to),
    )
    if refusal is not None:
        raise refusal
    if not redeeming.usable_at(incentive, sale.place.key if sale.place else None):
        raise NotUsableHere(field="location", locations=list(redeeming.usable_locations(incentive)))


def _check_currency(sale: Sale, voucher: Any, incentive: Incentive) -> None:
    # A till takes the currency of its place, whether it says the total or not. A thing has none.
    totals = {"order_total": sale.order.total, "order_initial_total": sale.order.initial_total}
    for field, total in totals.items():
        if total is not None and total.currency != voucher.currency:
            raise CurrencyMismatch(field=f"{field}.currency", currency=voucher.currency)
    takes_money = incentive.has_face_amount or incentive.percent is not None
    if takes_money and sale.place is not None and sale.place.currency != voucher.currency:
        raise CurrencyMismatch(field="location", currency=voucher.currency)


def _check_order(order: Order) -> None:
    if any(item.amount_minor < 0 or item.quantity < 1 for item in order.items or ()):
        raise _wrong("items", "An item's quantity is above zero, and what is paid for it is not below.")
    if order.items != () and order.total_minor is not None and order.total_minor <= 0:
        # A sale of nothing would use the voucher up for nothing.
        field = "items" if order.total is None else "order_total.amount_minor"
        raise _wrong(field, "A sale's total is above zero.")
    before, after = order.initial_total, order.total
    if before is not None and after is not None and before.amount_minor < after.amount_minor:
        raise _wrong("order_initial_total.amount_minor", "Before discounts a sale comes to no less than after them.")
    if order.items is not None and not 1 <= len(order.items) <= ITEMS_MOST:
        raise _wrong("items", f"Send 1 to {ITEMS_MOST} items, or none at all.")


def _wrong(field: str, message: str) -> InputInvalid:
    return InputInvalid(errors=[{"field": field, "message": message}])


def _counted_minor(sale: Sale, incentive: Incentive) -> int | None:
    """Return how much of the sale counts; None where nobody said what it comes to."""
    counted_minor = _eligible_minor(sale, incentive)
    least_minor = incentive.min_order_minor
    if least_minor is None or (counted_minor is None and sale.to_come):
        return counted_minor
    if counted_minor is None:
        raise OrderTotalMissing(field="order_total", min_order_minor=least_minor)
    if counted_minor < least_minor:
        raise OrderTooSmall(field="order_total", min_order_minor=least_minor, counted_minor=counted_minor)
    return counted_minor


def _eligible_minor(sale: Sale, incentive: Incentive) -> int | None:
    """Return what the eligible part of the sale comes to: discounts that others gave lower the whole of it."""
    order = sale.order
    named = {name: getattr(incentive, name) for name in ("products", "collections", "excluded_products")}
    if not any(named.values()):
        return order.total_minor
    if order.items is None:
        if sale.to_come:
            return None
        raise OrderItemsMissing(field="items")
    counted = orders.eligible(order, **named)
    worth_minor = min(sum(item.amount_minor for item in counted), order.total_minor or 0)
    costs = incentive.has_face_amount or incentive.percent is not None
    if not counted or (costs and worth_minor <= 0):
        facts: dict[str, Any] = {name: list(keys) for name, keys in named.items()}
        raise NothingEligible(field="items", **facts)
    return worth_minor


def _check_condition(sale: Sale, voucher: Any, incentive: Incentive) -> None:
    if not incentive.redeem_when:
        return
    order, items = sale.order, sale.order.items or ()
    facts = conditions.facts_of(
        sale.catalog,
        now=sale.now,
        currency=voucher.currency,
        location=sale.place.key if sale.place else None,
        issue_tag=voucher.issue_tag if voucher.issue_tag in sale.catalog.issue_tags else None,
        severity=voucher.severity,
        order=conditions.Order(
            ref=order.ref,
            total=Money(order.total_minor, voucher.currency) if order.total_minor is not None else None,
            products=tuple(dict.fromkeys(item.product for item in items)),
            collections=tuple(dict.fromkeys(item.collection for item in items if item.collection)),
        ),
        given_at=voucher.issued_at,
    )
    verdict = conditions.explain(incentive.redeem_when, facts)
    if not verdict.holds:
        said = sale.catalog.words(incentive.redeem_when_message, None) if incentive.redeem_when_message else ""
        raise ConditionNotMet(said, failed=list(verdict.failed))


def _taken_minor(sale: Sale, incentive: Incentive, counted_minor: int | None) -> int | None:
    if incentive.kind == IncentiveKind.PERCENT_OFF:
        if counted_minor is None:
            if sale.to_come:
                return None
            raise OrderTotalMissing(field="order_total", percent=incentive.percent)
        # Half a minor unit goes to the customer: they were let down once already.
        return (counted_minor * (incentive.percent or 0) * 2 + _HUNDRED) // (_HUNDRED * 2)
    # A refund is paid out, not taken off a sale: what the sale comes to does not lower it.
    if incentive.has_face_amount and incentive.kind != IncentiveKind.REFUND_REQUEST:
        return counted_minor
    return None


def check_alone(tx: Connection, sale: Sale, incentive: Incentive) -> None:
    """Refuse a second voucher of an exclusive group for one order at one place, and one for an order that nobody names.

    Whoever asks holds the group's place in the order until the transaction ends, so that two tills cannot both find it
    free. It is asked for before the voucher's row is locked. Raises ``NotCombinable`` and ``OrderRefMissing``.
    """
    group, ref = incentive.exclusive_group, sale.order.ref
    if group is None:
        return
    if ref is None:
        if sale.to_come:
            return
        raise OrderRefMissing(field="order_ref", exclusive_group=group)
    location = sale.place.key if sale.place else None
    if tx.dialect.name == "postgresql":  # on SQLite one writes at a time
        name = f"exclusive:{group}:{location}:{ref}"
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))))
    done = redemptions.c
    same_place = done.location.is_(None) if location is None else done.location == location
    query = (
        sa.select(vouchers.c.incentive_item_id)
        .join(redemptions, done.voucher_id == vouchers.c.id)
        .where(done.order_ref == ref, same_place, done.reversed_at.is_(None))
        .distinct()
    )
    used = tx.execute(query).scalars().all()
    if any(releases.incentive_of(tx, each, sale.core.cache).exclusive_group == group for each in used):
        raise NotCombinable(field="order_ref", exclusive_group=group)
