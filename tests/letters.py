"""Letters for tests that need no database: one believable letter, any part of which a test may change."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from incentives.kernel.money import Money
from incentives.messages.port import Letter

CODE = "7KQ4-9M2X-ABCD-E"
TOKEN = "AZ8mQ0pTzL6xk1nVb3sR9w.Xy7cD2fGh4jKl5mNq8rTuv"
HOST = "vouchers.northwind-air.example"  # thirty characters, as a company's own would be
URL = f"https://{HOST}/v/{TOKEN}"

_LETTER = Letter(
    message_id=uuid.UUID("019ad000-0000-7000-8000-000000000001"),
    channel="email",
    template="voucher",
    locale="en-US",
    to="ana.ruiz@customer.example",
    customer_name="Ana Ruiz",
    brand="Northwind",
    apology="Your flight left four hours late.\n\nWe are sorry.",
    title="Travel voucher",
    terms="One voucher per booking.",
    kind="amount_off",
    amount=Money(2500, "USD"),
    percent=None,
    points=None,
    item=None,
    code=CODE,
    url=URL,
    expires_at=datetime(2027, 4, 1, 4, 0, tzinfo=UTC),  # midnight in New York
    time_zone="America/New_York",
    where_to_use=(),
)

# Each kind with the fields that it has; the amount of those that are not money is their cost.
KINDS: dict[str, dict[str, Any]] = {
    "amount_off": {},
    "percent_off": {"percent": 15, "amount": Money(6000, "USD")},
    "store_credit": {"title": "Store credit"},
    "refund_request": {"title": "Refund"},
    "replacement": {"item": "A suitcase of the same size"},
    "free_item": {"item": "A main dish and a drink"},
    "free_upgrade": {"item": "Next cabin class up"},
    "free_shipping": {},
    "points": {"points": 5000},
    "apology_only": {"amount": None, "template": "apology", "code": None, "url": None, "expires_at": None},
}


def letter(**changes: Any) -> Letter:
    """Return the letter with some parts changed."""
    return replace(_LETTER, **changes)


def letter_of_kind(kind: str, **changes: Any) -> Letter:
    """Return a letter about one kind of incentive."""
    return replace(_LETTER, **{"kind": kind, **KINDS[kind], **changes})


def sms(**changes: Any) -> Letter:
    """Return the letter as an SMS."""
    return letter(**{"channel": "sms", "to": "+15005550006", **changes})
