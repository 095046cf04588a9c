"""Approval limits: how much an actor may give by themselves. Those that count are pots like any budget."""

from dataclasses import dataclass

from incentives.spending.budgets import Rule

OVER_VOUCHER = "over-voucher-limit"
OVER_DAY = "over-daily-limit"
OVER_CUSTOMER = "over-customer-limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What an actor may give in one currency; a number that is None does not limit."""

    key: str
    currency: str
    unlimited: bool = False
    per_voucher_minor: int | None = None
    per_day_minor: int | None = None
    per_day_count: int | None = None
    per_customer_minor: int | None = None
    per_customer_count: int | None = None


def is_limit(budget: str) -> bool:
    """Return whether a pot's budget is the counting part of somebody's limit; a budget's own key has no slash."""
    return "/" in budget


def over_voucher(limit: Limit | None, amount_minor: int) -> bool:
    """Return whether one voucher of an amount is more than may be given without asking.

    Deny by default: where nobody set a limit, everything of value needs an approval.
    """
    if limit is None:
        return amount_minor > 0
    return limit.per_voucher_minor is not None and not limit.unlimited and amount_minor > limit.per_voucher_minor


def rules(limit: Limit | None, time_zone: str) -> list[Rule]:
    """Return a limit's counting parts as rules: a pot a day for the agent, a pot a month for each customer."""
    if limit is None or limit.unlimited:
        return []
    parts = (
        (OVER_DAY, "agent", "day", limit.per_day_minor, limit.per_day_count),
        (OVER_CUSTOMER, "customer", "month", limit.per_customer_minor, limit.per_customer_count),
    )
    return [
        Rule(
            key=f"{limit.key}/{period}",
            name=reason,
            scope=scope,
            of=None,
            currency=limit.currency,
            period=period,
            time_zone=time_zone,
            week_start=0,
            cap_minor=minor,
            cap_count=count,
            on_expiry="release",
            asks_approval=True,
        )
        for reason, scope, period, minor, count in parts
        if minor is not None or count is not None
    ]
