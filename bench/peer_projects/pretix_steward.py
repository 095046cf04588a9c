"""In pretix's environment: an organizer with an event, a product, a check-in list, gift cards, a token and a device."""

import uuid
from datetime import timedelta
from decimal import Decimal
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
from django_scopes import scopes_disabled
from pretix.base.models import (
    Device,
    Event,
    GiftCard,
    GiftCardTransaction,
    Order,
    OrderPosition,
    Organizer,
    Team,
)
from pretix.base.models.devices import DeviceLastSeen
from pretix.base.models.giftcards import gen_giftcard_secret

_WORTH = Decimal("25.00")


def _shop() -> tuple[Organizer, Event, dict[str, Any]]:
    """Make everything but what is issued."""
    organizer = Organizer.objects.create(name="Bench", slug="bench")
    event = Event.objects.create(
        organizer=organizer, name="Bench", slug="bench", date_from=now(), currency="USD", live=True
    )
    item = event.items.create(name="Ticket", default_price=_WORTH, admission=True)
    quota = event.quotas.create(name="All", size=None)
    quota.items.add(item)
    gate = event.checkin_lists.create(name="Gate", all_products=True)
    team = Team.objects.create(
        organizer=organizer, name="API", all_events=True, all_event_permissions=True, all_organizer_permissions=True
    )
    till = Device.objects.create(
        organizer=organizer, name="Till", all_events=True, initialized=now(), api_token=uuid.uuid4().hex
    )
    DeviceLastSeen.objects.create(device=till)  # Or the first requests would quarrel about who makes it.
    return (
        organizer,
        event,
        {
            "version": version("pretix"),
            "token": team.tokens.create(name="bench").token,
            "device": till.api_token,
            "item": item.pk,
            "list": gate.pk,
        },
    )


def _gift_cards(count: int) -> list[tuple[int, str]]:
    """Make gift cards; return their ids and secrets."""
    cards = GiftCard.objects.bulk_create(
        GiftCard(issuer=ORGANIZER, currency="USD", secret=gen_giftcard_secret(ORGANIZER.settings.giftcard_length))
        for _ in range(count)
    )
    GiftCardTransaction.objects.bulk_create(
        GiftCardTransaction(card=card, value=_WORTH, acceptor=ORGANIZER) for card in cards
    )
    return [(card.pk, card.secret) for card in cards]


def _tickets(count: int) -> list[str]:
    """Make paid orders of one ticket each; return what is printed on them."""
    orders = Order.objects.bulk_create(_order() for _ in range(count))
    positions = OrderPosition.objects.bulk_create(
        OrderPosition(
            organizer=ORGANIZER,
            order=order,
            item_id=FACTS["item"],
            price=_WORTH,
            tax_rate=Decimal(0),
            tax_value=Decimal(0),
            positionid=1,
            secret=uuid.uuid4().hex,
            pseudonymization_id=uuid.uuid4().hex[:16].upper(),
            attendee_name_parts={"_scheme": "full", "full_name": "Ada"},
        )
        for order in orders
    )
    return [position.secret for position in positions]


def _order() -> Order:
    return Order(
        organizer=ORGANIZER,
        event=EVENT,
        code=uuid.uuid4().hex[:16].upper(),
        status=Order.STATUS_PAID,
        email="ada@example.com",
        locale="en",
        datetime=now(),
        expires=now() + timedelta(days=10),
        total=_WORTH,
        sales_channel=ORGANIZER.sales_channels.get(identifier="web"),
    )


def _vouchers(count: int) -> list[str]:
    """Make vouchers; return their codes."""
    made = [
        EVENT.vouchers.create(item_id=FACTS["item"], price_mode="subtract", value=_WORTH, tag="late")
        for _ in range(count)
    ]
    return [voucher.code for voucher in made]


with scopes_disabled():
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    ORGANIZER, EVENT, FACTS = _shop()
    steward.serve(answers, FACTS, {"gift_cards": _gift_cards, "tickets": _tickets, "vouchers": _vouchers})
