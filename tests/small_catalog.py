"""A catalog as small as can be, for tests in which only its budgets and limits matter: everything costs one dollar."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

PRICE_MINOR = 100
TAG = "late"
INCENTIVE = "dollar"
LOCATION = "here"
TEAM = "desk"

# Every role may give by itself, but for the frontline, who asks for everything.
LIMITS: tuple[Mapping[str, Any], ...] = (
    {"role": "manager", "currency": "USD", "unlimited": True},
    {"role": "frontline", "currency": "USD", "per_voucher_minor": PRICE_MINOR - 1},
)


def budget(key: str = "all", *, scope: str = "organization", **more: Any) -> dict[str, Any]:
    """Return a budget; one for the organization in dollars unless said otherwise."""
    currency = {} if "cap_minor" not in more else {"currency": "USD"}
    return {"key": key, "name": key, "scope": scope, "period": "year", **currency, **more}


def catalog(*budgets: Mapping[str, Any], limits: Sequence[Mapping[str, Any]] = LIMITS, name: str = "Brand") -> str:
    """Return the catalog's text. Without budgets it has one that never runs dry."""
    return orjson.dumps(
        {
            "brand": {
                "name": name,
                "languages": ["en"],
                "default_language": "en",
                "time_zone": "UTC",
                "currency": "USD",
            },
            "locations": [{"key": LOCATION, "name": "Here", "time_zone": "UTC", "currency": "USD", "country": "US"}],
            "teams": [{"key": TEAM, "name": "Desk", "location": LOCATION}],
            "issue_tags": [{"key": TAG, "label": {"en": "Late"}, "icon": "clock", "severity": 2}],
            "scripts": [{"key": "sorry", "text": {"en": "{customer_name}, {brand} is sorry."}}],
            "incentives": [
                {
                    "key": INCENTIVE,
                    "kind": "amount_off",
                    "title": {"en": "A dollar"},
                    "terms": {"en": "One use."},
                    "currency": "USD",
                    "valid_days": 30,
                    "expiry": "instant",
                    "amount_minor": PRICE_MINOR,
                },
            ],
            "protocols": [
                {
                    "key": "everything",
                    "issue_tag": "*",
                    "script": "sorry",
                    "steps": ["apologize", "document"],
                    "incentives": [INCENTIVE],
                    "default": INCENTIVE,
                    "most_minor": {"USD": PRICE_MINOR},
                },
            ],
            "budgets": list(budgets) or [budget(cap_minor=1_000_000_000)],
            "approval_limits": list(limits),
        },
    ).decode()
