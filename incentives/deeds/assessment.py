"""What may be given to this customer for this trouble: the part that offering and issuing share.

Both walk through these functions, so that what is offered at an instant is what issuing would do at that instant.
Nothing here opens a transaction or changes a row.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from incentives.catalog import eligibility, protocols
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import BudgetRule
from incentives.catalog.incentive import Incentive
from incentives.catalog.releases import CurrentCatalog
from incentives.deeds import telling
from incentives.deeds.telling import CONDITION_NOT_MET, Told
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AmountAboveProtocol,
    AmountNotAdjustable,
    AmountOutOfRange,
    BudgetExhausted,
    ChannelWithoutAddress,
    CustomerCapReached,
    IncentiveNotInProtocol,
    IncentiveNotOfferable,
    InputInvalid,
    NoBudget,
    OfferConditionNotMet,
    OtherLocation,
    Refusal,
)
from incentives.kernel.money import Money
from incentives.recovery.customers import Contact, CustomerGiven, checked
from incentives.spending import limits
from incentives.spending.budgets import Pot, PotKey, Rule, Wanted, matching

CHANNELS = ("email", "sms")
SEVERITIES = range(1, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong, for whom and where, as a request says it; ``case_id`` is the case that it belongs to already."""

    issue_tag: str
    severity: int | None = None
    customer: CustomerGiven = field(default_factory=CustomerGiven)
    location: str | None = None
    order_ref: str | None = None
    case_id: uuid.UUID | None = None
    channels: tuple[str, ...] = ()
    told: Told = field(default_factory=Told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A trouble, understood: the protocol that holds for it and everything that budgets match on but the incentive."""

    current: CurrentCatalog
    resolution: protocols.Resolution
    issue_tag: str
    severity: int
    location: str | None
    team: str | None
    contact: Contact
    segment: str | None
    locale: str
    time_zone: str
    currency: str
    order_ref: str | None = None
    told: Told = field(default_factory=Told)

    @property
    def catalog(self) -> Catalog:
        """Return the catalog that is in force."""
        return self.current.catalog


def at_home(actor: Actor, location: str | None) -> None:
    """Refuse an actor of one location who acts in the name of another, with ``OtherLocation``.

    Otherwise whoever has used up their own place's budget and limits would go on with somebody else's.
    """
    if actor.location is not None and location not in (None, actor.location):
        raise OtherLocation(f"You belong to “{actor.location}”.", field="location", location=actor.location)


def ground(current: CurrentCatalog, actor: Actor, trouble: Trouble) -> Ground:
    """Understand a trouble under the catalog in force.

    Raises ``UnknownIssueTag``, ``UnknownLocation``, ``OtherLocation``, ``NoProtocol``, ``InputInvalid``,
    ``EmailInvalid`` and ``PhoneInvalid``, each naming its field.
    """
    catalog = current.catalog
    tag = catalog.issue_tag(trouble.issue_tag)
    at_home(actor, trouble.location)
    location = catalog.location(trouble.location) if trouble.location else catalog.locations.get(actor.location or "")
    segment = trouble.customer.segment
    if segment is not None and segment not in catalog.segments:
        raise InputInvalid(errors=[{"field": "customer.segment", "message": "There is no such customer segment."}])
    telling.check_attributes(catalog, trouble.told)
    severity = tag.severity if trouble.severity is None else trouble.severity
    if severity not in SEVERITIES:
        raise InputInvalid(errors=[{"field": "severity", "message": "A severity is 1 (slight) to 4 (grave)."}])
    key = location.key if location else None
    resolution = catalog.once(
        ("protocol", tag.key, severity, key, segment),
        lambda: protocols.resolve(catalog, issue_tag=tag.key, severity=severity, location=key, segment=segment),
    )
    return Ground(
        current=current,
        resolution=resolution,
        issue_tag=tag.key,
        severity=severity,
        location=key,
        team=actor.team,
        contact=checked(trouble.customer, region=location.country if location else None),
        segment=segment,
        locale=trouble.customer.locale or catalog.brand.default_language,
        time_zone=catalog.time_zone(key),
        currency=catalog.currency(key),
        order_ref=trouble.order_ref,
        told=trouble.told,
    )


def addressed(channels: Sequence[str], contact: Contact) -> tuple[str, ...]:
    """Return the channels, each once, after checking that the customer can be reached by them.

    Raises ``ChannelWithoutAddress`` and ``InputInvalid``.
    """
    for channel in channels:
        if channel not in CHANNELS:
            raise InputInvalid(errors=[{"field": "channels", "message": "A channel is email or sms."}])
        if not (contact.email if channel == "email" else contact.phone):
            missing = "email" if channel == "email" else "phone"
            raise ChannelWithoutAddress(
                f"The channel {channel} needs customer.{missing}.", field=f"customer.{missing}", channel=channel
            )
    return tuple(channel for channel in CHANNELS if channel in channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One incentive at one amount, with what budgets match on; it satisfies ``spending.budgets.Dimensions``."""

    ground: Ground
    incentive_item: Incentive
    amount: Money
    agent_names: tuple[str, ...]
    customers: tuple[uuid.UUID, ...]

    @property
    def location(self) -> str | None:
        """Return the key of the location where it is given."""
        return self.ground.location

    @property
    def team(self) -> str | None:
        """Return the key of the team that gives it."""
        return self.ground.team

    @property
    def issue_tags(self) -> tuple[str, ...]:
        """Return the issue tag and its ancestors, nearest first."""
        return self.ground.catalog.lineage(self.ground.issue_tag)

    @property
    def incentive(self) -> str:
        """Return the incentive's key."""
        return self.incentive_item.key

    @property
    def currency(self) -> str:
        """Return the currency that budgets are charged in."""
        return self.amount.currency


def blocked(ground: Ground, incentive: Incentive, *, amount_minor: int | None, now: datetime) -> tuple[str, ...]:
    """Return why the catalog forbids an incentive here and now; empty when it does not."""
    reasons = eligibility.blocked_reasons(
        ground.catalog,
        incentive,
        ground.resolution.protocol,
        location=ground.location,
        now=now,
        amount_minor=amount_minor,
    )
    return reasons if telling.condition(ground, incentive, now=now).holds else (*reasons, CONDITION_NOT_MET)


def default_incentive(ground: Ground, *, now: datetime) -> Incentive:
    """Return what is given when nobody chooses: the protocol's default.

    Where the catalog does not let the default be given here (another currency, another place, its condition), the
    first of the protocol's incentives that may be given stands in for it; one protocol serves several countries.
    """
    protocol, incentives = ground.resolution.protocol, ground.catalog.incentives
    allowed = (
        incentives[key]
        for key in (protocol.default, *protocol.incentives)
        if not blocked(ground, incentives[key], amount_minor=None, now=now)
    )
    return next(allowed, incentives[protocol.default])


def amount_bounds(ground: Ground, incentive: Incentive) -> tuple[int, int] | None:
    """Return between what amounts (minor units, both included) staff may choose here; None where the value is fixed."""
    bounds = incentive.amount_bounds
    most = ground.resolution.protocol.most_minor.get(incentive.currency or "")
    return (bounds[0], min(bounds[1], most)) if bounds and most is not None else bounds


_REFUSALS: Mapping[str, type[Refusal]] = {
    CONDITION_NOT_MET: OfferConditionNotMet,
    eligibility.INCENTIVE_NOT_IN_PROTOCOL: IncentiveNotInProtocol,
    eligibility.AMOUNT_NOT_ADJUSTABLE: AmountNotAdjustable,
    eligibility.AMOUNT_OUT_OF_RANGE: AmountOutOfRange,
    eligibility.AMOUNT_ABOVE_PROTOCOL: AmountAboveProtocol,
}


def check_allowed(ground: Ground, incentive: Incentive, *, amount_minor: int | None, now: datetime) -> None:
    """Refuse what the catalog forbids here and now.

    Raises ``IncentiveNotInProtocol``, ``AmountNotAdjustable``, ``AmountOutOfRange``, ``AmountAboveProtocol``,
    ``OfferConditionNotMet``, which says what it fails on, and ``IncentiveNotOfferable``; each carries all reasons.
    """
    reasons = blocked(ground, incentive, amount_minor=amount_minor, now=now)
    if not reasons:
        return
    facts: dict[str, Any] = {
        "incentive": incentive.key,
        "protocol": ground.resolution.protocol.key,
        "blocked_reasons": list(reasons),
    }
    bounds = amount_bounds(ground, incentive)
    if bounds:
        facts |= {"least_minor": bounds[0], "most_minor": bounds[1], "currency": incentive.currency}
    if CONDITION_NOT_MET in reasons:
        facts |= telling.unmet(ground, incentive, now=now)
    field = "amount_minor" if reasons[0].startswith("amount") else "incentive"
    raise _REFUSALS.get(reasons[0], IncentiveNotOfferable)(field=field, **facts)


def propose(
    ground: Ground,
    actor: Actor,
    incentive: Incentive,
    *,
    amount_minor: int | None,
    customers: tuple[uuid.UUID, ...],
) -> Proposal:
    """Return an incentive as a proposal with the amount that budgets are charged."""
    amount = Money(incentive.charge_minor(amount_minor), incentive.currency or ground.currency)
    names = tuple(name for name in (actor.label, actor.email) if name)
    return Proposal(
        ground=ground,
        incentive_item=incentive,
        amount=amount,
        agent_names=names,
        customers=customers,
    )


def limit_of(catalog: Catalog, actor: Actor, currency: str) -> limits.Limit | None:
    """Return what the catalog lets an actor give by themselves in a currency; None is nothing."""
    role, email = actor.role, actor.email
    return catalog.once(("limit", role, email, currency), lambda: _limit_of(catalog, role, email, currency))


def _limit_of(catalog: Catalog, role: str | None, email: str | None, currency: str) -> limits.Limit | None:
    found = catalog.approval_limit(role=role, email=email, currency=currency)
    if found is None:
        return None
    return limits.Limit(
        key=found.key,
        currency=currency,
        unlimited=found.unlimited,
        per_voucher_minor=found.per_voucher_minor,
        per_day_minor=found.per_day_minor,
        per_day_count=found.per_day_count,
        per_customer_minor=found.per_customer_minor,
        per_customer_count=found.per_customer_count,
    )


@lru_cache(maxsize=1024)
def budget_rule(budget: BudgetRule) -> Rule:
    """Return a budget of the catalog as the rule that spending charges by."""
    return Rule(
        key=budget.key,
        name=budget.name,
        scope=budget.scope,
        of=budget.of,
        currency=budget.currency,
        period=budget.period,
        time_zone=budget.time_zone,
        week_start=budget.week_start_number,
        cap_minor=budget.cap_minor,
        cap_count=budget.cap_count,
        on_expiry=budget.on_expiry,
        issue_tags=budget.issue_tags,
        basis=budget.basis,
        expected_percent=budget.expected_percent,
        rollover=budget.rollover,
    )


def charges(proposal: Proposal, actor: Actor, now: datetime) -> list[Wanted]:
    """Return every charge that a proposal makes: all matching budgets and the actor's counting limits.

    An apology by itself charges nothing. Raises ``NoBudget`` when no organization-wide budget holds money in the
    currency: without one, a foreign currency would be a way around every cap.
    """
    if not proposal.incentive_item.gives_voucher:
        return []
    catalog, currency = proposal.ground.catalog, proposal.currency
    rules = catalog.once(("rules", actor.role, actor.email, currency), lambda: _rules(catalog, actor, currency))
    if not any(rule.scope == "organization" and rule.cap_minor is not None for rule in rules if rule.currency):
        raise NoBudget(f"No organization-wide budget is in {currency}.", currency=currency)
    return matching(rules, proposal, now)


def _rules(catalog: Catalog, actor: Actor, currency: str) -> list[Rule]:
    """Return what may be charged for what an actor gives in a currency: the budgets that hold it, and their limits."""
    budgets = [budget_rule(budget) for budget in catalog.budgets.values() if budget.currency in (None, currency)]
    return [*budgets, *limits.rules(limit_of(catalog, actor, currency), catalog.brand.time_zone)]


def burst(wanted: Iterable[Wanted], pots: Mapping[PotKey, Pot], amount_minor: int) -> Refusal | None:
    """Return the refusal of the first budget that has no room, or None."""
    return next(bursts(wanted, pots, amount_minor), None)


class Room(Protocol):
    """A pot, as far as it is asked whether something fits."""

    def has_room(self, rule: Rule, amount_minor: int) -> bool:
        """Return whether one more of an amount fits under a rule's caps."""


def bursts(wanted: Iterable[Wanted], pots: Mapping[PotKey, Room], amount_minor: int) -> Iterator[Refusal]:
    """Return the refusal of each budget that has no room. How much it has is not for everybody to know."""
    for each in wanted:
        if not each.rule.asks_approval and not pots[each.pot].has_room(each.rule, amount_minor):
            kind = CustomerCapReached if each.rule.scope == "customer" else BudgetExhausted
            yield kind(
                f"The budget “{each.rule.name}” has no room for this.", budget=each.rule.key, scope=each.rule.scope
            )


def approval_reasons(
    proposal: Proposal, actor: Actor, wanted: Iterable[Wanted], pots: Mapping[PotKey, Room]
) -> tuple[str, ...]:
    """Return why somebody else must agree; empty when the actor may give this alone."""
    amount_minor = proposal.amount.amount_minor
    reasons = [
        each.rule.name
        for each in wanted
        if each.rule.asks_approval and not pots[each.pot].has_room(each.rule, amount_minor)
    ]
    if limits.over_voucher(limit_of(proposal.ground.catalog, actor, proposal.currency), amount_minor):
        reasons.insert(0, limits.OVER_VOUCHER)
    return tuple(dict.fromkeys(reasons))
