"""What a recovery costs when nobody chooses: the incentive that stands first, and what budgets are charged for it."""

from dataclasses import dataclass
from datetime import datetime

from incentives.catalog import eligibility, protocols
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Protocol
from incentives.catalog.incentive import Incentive
from incentives.kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What would be given for a trouble, and what that charges; ``blocked_reasons`` empty means that it may be."""

    protocol: str
    incentive: str
    amount: Money
    blocked_reasons: tuple[str, ...]


def default_incentive(catalog: Catalog, protocol: Protocol, *, location: str | None, now: datetime) -> Incentive:
    """Return a protocol's default, or where that may not be given here the first of its incentives that may be."""
    default = catalog.incentive(protocol.default)
    candidates = (default, *(catalog.incentive(key) for key in protocol.incentives))
    allowed = (
        each
        for each in candidates
        if not eligibility.blocked_reasons(catalog, each, protocol, location=location, now=now)
    )
    return next(allowed, default)


def price(
    catalog: Catalog,
    *,
    issue_tag: str,
    severity: int | None,
    location: str | None,
    segment: str | None,
    now: datetime,
    incentive: str | None = None,
    amount_minor: int | None = None,
) -> Price:
    """Return what a trouble's recovery costs, by the approved catalog alone: no budget and no limit is asked.

    Raises ``UnknownIssueTag``, ``UnknownLocation``, ``UnknownIncentive`` and ``NoProtocol``.
    """
    protocol = protocols.resolve(
        catalog, issue_tag=issue_tag, severity=severity, location=location, segment=segment
    ).protocol
    chosen = (
        catalog.incentive(incentive) if incentive else default_incentive(catalog, protocol, location=location, now=now)
    )
    return Price(
        protocol=protocol.key,
        incentive=chosen.key,
        amount=Money(chosen.charge_minor(amount_minor), chosen.currency or catalog.currency(location)),
        blocked_reasons=eligibility.blocked_reasons(
            catalog, chosen, protocol, location=location, now=now, amount_minor=amount_minor
        ),
    )
