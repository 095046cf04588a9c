"""Inside django-oscar's environment: a product, an offer for vouchers, an order, and baskets without a voucher."""

import uuid
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import steward  # type: ignore[import-not-found]  # it lies beside this file

answers = steward.take_output()

import django  # only now: nothing of it may print where the answers go
from django.conf import settings

settings.MIGRATION_MODULES = steward.FromModels()
django.setup()

from django.core.management import call_command  # only now: these need the applications
from django.utils.timezone import now
from oscar.core.loading import get_class, get_model

Basket, Line = get_model("basket", "Basket"), get_model("basket", "Line")
Voucher = get_model("voucher", "Voucher")
_PRICE, _WORTH = 40, 25


def _shop() -> tuple[Any, Any, dict[str, Any]]:
    """Make everything but vouchers and baskets; of the product there is no stock to be kept."""
    product_class = get_model("catalogue", "ProductClass").objects.create(
        name="Things", requires_shipping=False, track_stock=False
    )
    product = get_model("catalogue", "Product").objects.create(title="A thing", product_class=product_class)
    partner = get_model("partner", "Partner").objects.create(name="Us")
    stock = product.stockrecords.create(partner=partner, partner_sku="1", price_currency="USD", price=_PRICE)
    things = get_model("offer", "Range").objects.create(name="All", includes_all_products=True)
    condition = get_model("offer", "Condition").objects.create(range=things, type="Count", value=1)
    benefit = get_model("offer", "Benefit").objects.create(range=things, type="Absolute", value=_WORTH)
    offer = get_model("offer", "ConditionalOffer").objects.create(
        name="Sorry", offer_type="Voucher", condition=condition, benefit=benefit
    )
    get_model("sites", "Site").objects.update_or_create(pk=settings.SITE_ID, defaults={"domain": "x", "name": "x"})
    order = get_model("order", "Order").objects.create(
        number="1", currency="USD", total_incl_tax=_PRICE, total_excl_tax=_PRICE, guest_email="ada@example.com"
    )
    return stock, offer, {"version": version("django-oscar"), "offer": offer.pk, "order": order.pk}


def _vouchers(count: int) -> list[str]:
    """Make single-use vouchers; return their codes."""
    codes = [uuid.uuid4().hex.upper() for _ in range(count)]
    begin = now() - timedelta(days=1)
    made = Voucher.objects.bulk_create(
        Voucher(name=code, code=code, usage="Single use", start_datetime=begin, end_datetime=begin + timedelta(days=90))
        for code in codes
    )
    through = Voucher.offers.through
    through.objects.bulk_create(through(voucher_id=each.pk, conditionaloffer_id=OFFER.pk) for each in made)
    return codes


def _baskets(count: int) -> list[int]:
    """Make baskets with one thing in each; return their ids."""
    baskets = Basket.objects.bulk_create(Basket() for _ in range(count))
    reference = baskets[0]._create_line_reference(STOCK.product, STOCK, None)  # noqa: SLF001 - as add_product does
    Line.objects.bulk_create(
        Line(
            basket=each,
            line_reference=reference,
            product=STOCK.product,
            stockrecord=STOCK,
            quantity=1,
            price_currency="USD",
            price_excl_tax=_PRICE,
            price_incl_tax=_PRICE,
        )
        for each in baskets
    )
    return [each.pk for each in baskets]


call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
STOCK, OFFER, FACTS = _shop()
get_class("order.utils", "OrderCreator")  # So that what is missing is missed now.
steward.serve(answers, FACTS, {"vouchers": _vouchers, "baskets": _baskets})
