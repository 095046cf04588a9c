"""The catalog of the lives: one of everything that may become of a voucher and of its money, with little room."""

import json
from typing import Any

from tests.flows.shop import budget, catalog, incentive

INCENTIVES = (
    incentive("voucher", "amount_off", amount_minor=1000, min_amount_minor=500, max_amount_minor=8000),
    incentive("fixed", "amount_off", amount_minor=700, exclusive_group="one", valid_days=5),
    incentive(
        "credit",
        "store_credit",
        amount_minor=2000,
        min_amount_minor=100,
        max_amount_minor=10000,
        remainder="new_voucher",
    ),
    incentive("percent", "percent_off", percent=15, max_discount_minor=3000, min_order_minor=300),
    incentive("thrice", "amount_off", amount_minor=333, max_redemptions=3, grace_days=3, most_extend_days=20),
    incentive("many", "percent_off", percent=10, max_discount_minor=401, max_redemptions=4),
    incentive("points", "points", points=500, accounting_cost_minor=250, redeemers=["till"]),
    incentive("refund", "refund_request", amount_minor=1200, expiry="instant", reversal_days=20),
    incentive("gift", "free_shipping", accounting_cost_minor=0, most_open_per_customer=3),
    incentive("lean", "amount_off", amount_minor=900, products=["socks"], excluded_products=["shoes"], grace_days=0),
    incentive("dollars", "amount_off", currency="USD", amount_minor=1000, max_redemptions=2),
    incentive("sorry", "apology_only"),
)
KEYS = tuple(each["key"] for each in INCENTIVES)
ADJUSTABLE = ("voucher", "credit")

MONTH_CAPS = (90_000, 110_000, 120_000)  # the catalog that is in force at first has the greatest

BUDGETS = (
    budget("all", period="year", cap_minor=900_000, break_glass_percent=10),
    budget("dollars", period="month", currency="USD", cap_minor=40_000, break_glass_percent=20),
    budget("month", cap_minor=MONTH_CAPS[-1], on_expiry="keep", break_glass_percent=5),
    budget("week", scope="location", period="week", cap_minor=60_000, rollover="carry_over"),
    budget("kept", period="none", scope="issue_tag", of="service", cap_minor=800_000, on_expiry="keep"),
    budget("expected", period="quarter", cap_minor=150_000, basis="expected", expected_percent=60),
    budget("spent", period="quarter", cap_minor=90_000, basis="redemption", on_expiry="keep"),
    budget("customer", scope="customer", cap_count=12),
    budget("clerk", scope="agent", period="day", cap_count=30, cap_minor=50_000),
    budget("number", scope="incentive", period="month", cap_count=200, on_expiry="keep"),
)

POLICIES = (
    {
        "key": "large",
        "name": "Large amounts",
        "at_least_minor": {"GBP": 4500},
        "levels": [
            {"roles": ["supervisor", "manager"], "escalate_after_minutes": 120},
            {"roles": ["manager", "finance", "admin"], "needed": 2, "escalate_after_minutes": 600},
        ],
        "fallback_roles": ["admin"],
        "lifetime_hours": 48,
    },
    {"key": "pair", "name": "Two of them", "incentives": ["credit"], "levels": [{"roles": ["manager"], "needed": 2}]},
)

LIMITS: tuple[dict[str, Any], ...] = (
    {
        "role": "frontline",
        "currency": "GBP",
        "per_voucher_minor": 2500,
        "per_day_minor": 9000,
        "per_day_count": 20,
        "per_customer_minor": 9000,
        "per_customer_count": 6,
    },
    {
        "role": "supervisor",
        "currency": "GBP",
        "per_voucher_minor": 4000,
        "per_day_minor": 40_000,
        "per_customer_minor": 20_000,
    },
    *({"role": role, "currency": "GBP", "unlimited": True} for role in ("manager", "finance", "admin")),
    *({"role": role, "currency": "USD", "unlimited": True} for role in ("manager", "supervisor")),
)

ABUSE = {
    "signals": {
        "same_customer_by_person": {"count": 5, "minutes": 600, "action": "hold"},
        "issues_per_person": {"count": 12, "minutes": 60, "action": "step_up"},
        "redemptions_per_till": {"count": 25, "minutes": 10, "action": "step_up"},
        "unknown_codes": {"count": 0},
    },
}


def lives_catalog(*, month_minor: int = MONTH_CAPS[-1]) -> str:
    """Return the catalog's text."""
    document = json.loads(catalog(*BUDGETS, roomy=False, limits=LIMITS, incentives=INCENTIVES))
    (protocol,) = document["protocols"]
    undoable = {**protocol, "key": "odd", "issue_tag": "odd", "undo_seconds": 60}
    document["protocols"] = [
        {**each, "incentives": list(KEYS), "most_minor": {"GBP": 8000}} for each in (protocol, undoable)
    ]
    document["approval_policies"] = list(POLICIES)
    document["abuse"] = ABUSE
    (month,) = (each for each in document["budgets"] if each["key"] == "month")
    month["cap_minor"] = month_minor
    return json.dumps(document)
