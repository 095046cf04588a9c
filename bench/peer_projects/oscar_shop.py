"""What is asked of django-oscar: its own classes, called as its dashboard and its checkout call them, answered in JSON.

Oscar has no interface for machines, so these views are ours, and kind to it: nobody signs in, there is no session, no
page is rendered, no mail is sent, nothing is shipped or taken from stock.
"""

import json
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from oscar.core.loading import get_class, get_model

Basket = get_model("basket", "Basket")
Order = get_model("order", "Order")
Voucher = get_model("voucher", "Voucher")
VoucherForm = get_class("dashboard.vouchers.forms", "VoucherForm")
Selector = get_class("partner.strategy", "Selector")
Applicator = get_class("offer.applicator", "Applicator")
voucher_addition = get_class("basket.signals", "voucher_addition")
OrderCreator, OrderNumberGenerator = (
    get_class("order.utils", each) for each in ("OrderCreator", "OrderNumberGenerator")
)
OrderTotalCalculator = get_class("checkout.calculators", "OrderTotalCalculator")
NoShippingRequired = get_class("shipping.methods", "NoShippingRequired")


def _create(asked: dict[str, Any]) -> dict[str, Any]:
    """Make a voucher for an offer that is there, as ``dashboard.vouchers.views.VoucherCreateView`` does."""
    form = VoucherForm(asked)
    with transaction.atomic():
        if not form.is_valid():
            raise ValueError(form.errors.as_json())
        voucher = form.save()
        voucher.offers.add(*form.cleaned_data["offers"])
    return _told(voucher)


def _look_up(asked: dict[str, Any]) -> dict[str, Any]:
    """Find a voucher and see whether it may be used, as ``basket.views.VoucherAddView`` does."""
    voucher = Voucher.objects.get(code=asked["code"])
    _check(voucher)
    return {**_told(voucher), "amount": str(voucher.offers.first().benefit.value)}


def _record(asked: dict[str, Any]) -> dict[str, Any]:
    """Use a voucher for an order that is there: the part of ``OrderCreator.place_order`` that is about vouchers."""
    with transaction.atomic():
        voucher = Voucher.objects.select_for_update().get(code=asked["code"])
        _check(voucher)
        voucher.record_usage(Order.objects.get(pk=asked["order"]), AnonymousUser())
    return _told(voucher)


def _check_out(asked: dict[str, Any]) -> dict[str, Any]:
    """Put a voucher into a basket that is there and place the order, as ``VoucherAddView`` and the checkout do."""
    nobody = AnonymousUser()
    basket = Basket.open.get(pk=asked["basket"])
    basket.strategy = Selector().strategy(user=nobody)
    voucher = Voucher.objects.get(code=asked["code"])
    _check(voucher)
    basket.vouchers.add(voucher)
    voucher_addition.send(sender=None, basket=basket, voucher=voucher)
    Applicator().apply(basket, nobody)
    if voucher not in [each["voucher"] for each in basket.offer_applications]:
        raise ValueError("the voucher takes nothing off this basket")
    basket.freeze()
    shipping = NoShippingRequired()
    charge = shipping.calculate(basket)
    order = OrderCreator().place_order(
        basket=basket,
        total=OrderTotalCalculator().calculate(basket, charge),
        shipping_method=shipping,
        shipping_charge=charge,
        user=nobody,
        order_number=OrderNumberGenerator().order_number(basket),
        guest_email="ada@example.com",
    )
    basket.submit()
    return {**_told(voucher), "order": order.number}


def _check(voucher: Any) -> None:
    if voucher.is_expired() or not voucher.is_active():
        raise ValueError("the voucher is not good now")
    is_available, message = voucher.is_available_to_user(AnonymousUser())
    if not is_available:
        raise ValueError(message)


def _told(voucher: Any) -> dict[str, Any]:
    return {"voucher": voucher.code, "expires": voucher.end_datetime.isoformat()}


def _view(deed: Any, status: int) -> Any:
    def view(request: HttpRequest) -> JsonResponse:
        try:
            return JsonResponse(deed(json.loads(request.body)), status=status)
        except (ValueError, ObjectDoesNotExist) as refusal:  # What Oscar's checkout raises, and its pages show.
            return JsonResponse({"refused": str(refusal)}, status=409)

    return view


urlpatterns = [
    path("create", _view(_create, 201)),
    path("lookup", _view(_look_up, 200)),
    path("record", _view(_record, 201)),
    path("checkout", _view(_check_out, 201)),
]
