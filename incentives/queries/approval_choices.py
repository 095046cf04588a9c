"""What could be granted in the place of what was asked for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incentives.catalog import eligibility, protocols
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Protocol
from incentives.catalog.incentive import Incentive
from incentives.kernel.errors import Refusal
from incentives.kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherIncentive:
    """What could be granted instead, for ``amount`` usually and ``least_minor`` at least."""

    key: str
    title: str
    amount: Money
    least_minor: int


def least_minor(incentive: Incentive, most_minor: int) -> int:
    """Return how far a promise may be lowered, in all its uses; equal to the most where its value is fixed."""
    bounds = incentive.amount_bounds
    return min(bounds[0] * incentive.max_redemptions, most_minor) if bounds else most_minor


def others(catalog: Catalog, row: Any, most_minor: int, now: datetime) -> tuple[OtherIncentive, ...]:
    """Return what of the same protocol could be granted instead, for no more; the budgets say the rest."""
    try:
        protocol = protocols.resolve(
            catalog, issue_tag=row.issue_tag, severity=row.severity, location=row.location, segment=row.segment
        ).protocol
    except Refusal:
        return ()  # The catalog has another shape by now: what was asked for can be granted, and nothing else.
    found = (_other(catalog, catalog.incentives[key], protocol, row, most_minor, now) for key in protocol.incentives)
    return tuple(each for each in found if each)


def _other(
    catalog: Catalog, incentive: Incentive, protocol: Protocol, row: Any, most_minor: int, now: datetime
) -> OtherIncentive | None:
    if incentive.key == row.incentive or not incentive.gives_voucher or incentive.currency != row.currency:
        return None
    uses = incentive.max_redemptions
    usual = incentive.charge_minor()
    amount = min(usual, most_minor // uses * uses) if incentive.adjustable else usual
    face = amount // uses if incentive.adjustable else None
    blocked = eligibility.blocked_reasons(
        catalog, incentive, protocol, location=row.location, now=now, amount_minor=face
    )
    if blocked or amount > most_minor:
        return None
    return OtherIncentive(
        key=incentive.key,
        title=catalog.words(incentive.title, None),
        amount=Money(amount, row.currency),
        least_minor=least_minor(incentive, amount),
    )
