"""The catalog of the year of trouble: forty places in two time zones, thirty issue tags, causes, incentives."""

import json
from collections.abc import Mapping
from typing import Any

HOURS = {day: ["08:00", "20:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday")}
INCENTIVES = ("voucher-10", "credit-15", "free-dessert", "apology-only")
COSTS_MINOR = {"voucher-10": 1000, "credit-15": 1500, "free-dessert": 400, "apology-only": 0}
CAUSES = ("understaffed", "equipment", "training", "carrier", "software", "new-supplier")
TEAMS = ("care-desk", "floor", "logistics", "digital")
TAG_STEMS = (
    "late-delivery", "cold-food", "long-wait", "rude-service", "wrong-item", "missing-item", "broken-item",
    "billing-error", "app-crash", "wifi-down", "dirty-room", "noisy-room", "no-seat", "lost-baggage", "refund-slow",
    "out-of-stock", "bad-taste", "overcharged", "late-opening", "parking", "queue-till", "voucher-refused",
    "no-answer", "wrong-advice", "damaged-box", "allergy", "lift-broken", "air-conditioning", "double-booking",
    "payment-failed",
)  # fmt: skip


def tags(count: int) -> list[str]:
    """Return so many issue tags."""
    return list(TAG_STEMS[:count])


def places(count: int) -> list[str]:
    """Return so many locations."""
    return [f"place-{number:02}" for number in range(count)]


def catalog(locations: int, tag_count: int) -> str:
    """Return the catalog's text."""
    text: dict[str, Any] = {
        "brand": _BRAND,
        "locations": [_place(number, key) for number, key in enumerate(places(locations))],
        "teams": [{"key": key, "name": key.replace("-", " ").title()} for key in TEAMS],
        "segments": ["regular", "gold"],
        "issue_tags": [_tag(number, key) for number, key in enumerate(tags(tag_count))],
        "root_causes": [{"key": key, "label": {"en": _words(key)}} for key in CAUSES],
        "recovery": {
            "customer_value_minor": {"GBP": 12000},
            "handling_cost_minor": {"GBP": 350},
            "trend_volume_least": 10,
        },
        "scripts": [{"key": "sorry", "text": {"en": "{customer_name}, {brand} is sorry."}}],
        "incentives": [_incentive(key) for key in INCENTIVES],
        "protocols": [_PROTOCOL],
        "budgets": [{"key": "all", "name": "All", "scope": "organization", "period": "year", "currency": "GBP",
                     "cap_minor": 10**11}],
        "approval_limits": [{"role": "manager", "currency": "GBP", "unlimited": True}],
    }  # fmt: skip
    return json.dumps(text)


_BRAND = {
    "name": "Brand",
    "languages": ["en"],
    "default_language": "en",
    "time_zone": "Europe/London",
    "currency": "GBP",
    "hours": HOURS,
}

_PROTOCOL: Mapping[str, Any] = {
    "key": "everything",
    "issue_tag": "*",
    "script": "sorry",
    "steps": ["apologize", "fix", "document"],
    "incentives": list(INCENTIVES),
    "default": INCENTIVES[0],
    "most_minor": {"GBP": 5000},
    "clocks": {"first_contact": 60, "apology": 120, "incentive": 240, "fix": 1440, "close": 2880},
}


def _words(key: str) -> str:
    return key.replace("-", " ").capitalize()


def _place(number: int, key: str) -> dict[str, str]:
    zone = "Europe/London" if number % 4 else "Europe/Dublin"
    return {"key": key, "name": f"Place {number}", "time_zone": zone, "currency": "GBP", "country": "GB"}


def _tag(number: int, key: str) -> dict[str, Any]:
    return {"key": key, "label": {"en": _words(key)}, "icon": "other", "severity": 1 + number % 4}


def _incentive(key: str) -> dict[str, Any]:
    shared = {"key": key, "title": {"en": _words(key)}, "terms": {"en": "One use."}, "valid_days": 90}
    if key == "apology-only":
        return {"key": key, "kind": "apology_only", "title": {"en": "An apology"}}
    if key == "free-dessert":
        return {**shared, "kind": "free_item", "item": {"en": "A dessert"}, "currency": "GBP",
                "accounting_cost_minor": COSTS_MINOR[key]}  # fmt: skip
    kind = "store_credit" if key == "credit-15" else "amount_off"
    return {**shared, "kind": kind, "currency": "GBP", "amount_minor": COSTS_MINOR[key]}
