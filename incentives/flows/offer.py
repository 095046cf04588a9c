"""Offer: what may this person offer this customer for this trouble, now? It decides as issuing does."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from incentives.catalog import releases, scripts
from incentives.catalog.incentive import Incentive
from incentives.deeds import assessment
from incentives.deeds.assessment import Ground, Proposal, Trouble
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.kernel.money import Money
from incentives.recovery import customers
from incentives.recovery.customers import CustomerGiven
from incentives.spending import budgets
from incentives.vouchers.history import EarlierRecovery, earlier_recoveries

__all__ = ["CustomerGiven", "EarlierRecovery", "Offer", "Offers", "Trouble", "offer_incentives"]


_STRANGER = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One incentive of the protocol. ``blocked_reasons`` empty means that issuing it now would succeed.

    ``script`` is the apology with this incentive in it. ``amount`` is the default; where ``amount_bounds`` (minor
    units, both included) stand, staff may choose within.
    """

    incentive: str
    kind: str
    title: str
    terms: str | None
    script: str
    amount: Money
    percent: int | None
    amount_bounds: tuple[int, int] | None
    is_default: bool
    offerable: bool
    approval_required: bool
    approval_reasons: tuple[str, ...]
    blocked_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """The protocol for a trouble, why it is that one, what to say, and what may be given."""

    protocol: str
    matched: Mapping[str, str | int]
    issue_tag: str
    severity: int
    script: str
    steps: tuple[str, ...]
    offers: tuple[Offer, ...]
    earlier_recoveries: tuple[EarlierRecovery, ...]


def offer_incentives(*, core: Core, actor: Actor, command: Trouble) -> Offers:
    """Return what may be offered now.

    Raises ``UnknownIssueTag``, ``UnknownLocation``, ``NoProtocol``, ``InputInvalid``, ``EmailInvalid``,
    ``PhoneInvalid``, ``NoCatalog`` and ``NotPermitted``.
    """
    permit(actor, "offers:read")
    now = core.clock.now()
    with core.database.read() as tx:
        ground = assessment.ground(releases.cached_current(tx, core), actor, command)
        direct = customers.matches(core, ground.contact, customers.known(tx, core, [ground.contact]))
        found = customers.together(tx, direct)
        # Issuing would make a new customer, whose caps begin with empty pots and may be too small all the same.
        people = found or ((_STRANGER,) if customers.identities(ground.contact) else ())
        candidates = [_candidate(ground, actor, key, people, now) for key in ground.resolution.protocol.incentives]
        pots = budgets.read(tx, [each for candidate in candidates for each in candidate.wanted])
        earlier = earlier_recoveries(tx, found, now)
    protocol = ground.resolution.protocol
    default = assessment.default_incentive(ground, now=now)
    return Offers(
        protocol=protocol.key,
        matched=ground.resolution.matched,
        issue_tag=ground.issue_tag,
        severity=ground.severity,
        script=_script(ground, actor, command, default),
        steps=tuple(protocol.steps),
        offers=tuple(_offer(ground, actor, command, candidate, pots, default) for candidate in candidates),
        earlier_recoveries=earlier,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    incentive: Incentive
    proposal: Proposal
    blocked: tuple[str, ...]
    wanted: tuple[budgets.Wanted, ...]


def _candidate(ground: Ground, actor: Actor, key: str, people: tuple[uuid.UUID, ...], now: datetime) -> _Candidate:
    incentive = ground.catalog.incentive(key)
    proposal = assessment.propose(ground, actor, incentive, amount_minor=None, customers=people)
    blocked = assessment.blocked(ground, incentive, amount_minor=None, now=now)
    try:
        wanted = tuple(assessment.charges(proposal, actor, now))
    except Refusal as refusal:
        blocked = (*blocked, refusal.slug)
        wanted = ()
    return _Candidate(incentive=incentive, proposal=proposal, blocked=blocked, wanted=wanted)


def _offer(
    ground: Ground,
    actor: Actor,
    trouble: Trouble,
    candidate: _Candidate,
    pots: Mapping[budgets.PotKey, budgets.Pot],
    default: Incentive,
) -> Offer:
    incentive, proposal = candidate.incentive, candidate.proposal
    refusal = assessment.burst(candidate.wanted, pots, proposal.amount.amount_minor)
    blocked = (*candidate.blocked, refusal.slug) if refusal else candidate.blocked
    reasons = () if blocked else assessment.approval_reasons(proposal, actor, candidate.wanted, pots)
    words = ground.catalog.words
    return Offer(
        incentive=incentive.key,
        kind=incentive.kind,
        title=words(incentive.title, ground.locale),
        terms=words(incentive.terms, ground.locale) if incentive.terms else None,
        script=_script(ground, actor, trouble, incentive),
        amount=proposal.amount,
        percent=incentive.percent,
        amount_bounds=assessment.amount_bounds(ground, incentive),
        is_default=incentive.key == default.key,
        offerable=not blocked,
        approval_required=bool(reasons),
        approval_reasons=reasons,
        blocked_reasons=blocked,
    )


def _script(ground: Ground, actor: Actor, trouble: Trouble, incentive: Incentive) -> str:
    catalog = ground.catalog
    script = catalog.scripts[ground.resolution.protocol.script]
    return scripts.fill(
        catalog.words(script.text, ground.locale),
        customer_name=ground.contact.name,
        brand=catalog.brand.name,
        agent_name=actor.name,
        order_ref=trouble.order_ref,
        location=catalog.locations[ground.location].name if ground.location else None,
        incentive=catalog.words(incentive.title, ground.locale),
    )
