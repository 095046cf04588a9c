"""Offer: what may this person offer this customer for this trouble, now? It decides as issuing does."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from incentives.catalog import eligibility, releases, scripts
from incentives.catalog.incentive import Incentive
from incentives.catalog.protocols import Loser
from incentives.deeds import assessment, guarding, stacking, suspecting, telling
from incentives.deeds.assessment import Ground, Proposal, Trouble
from incentives.deeds.stacking import Stack
from incentives.deeds.telling import Told
from incentives.deeds.wanting import Draft, IssueVoucher
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards, CaseNotFound, Refusal, slug_of
from incentives.kernel.money import Money
from incentives.queries.came_back import CameBack, came_back
from incentives.recovery import cases, customers
from incentives.recovery.customers import CustomerGiven
from incentives.safeguards import signals
from incentives.spending import budgets
from incentives.vouchers.history import EarlierRecovery, earlier_recoveries

__all__ = [
    "CameBack",
    "CustomerGiven",
    "EarlierRecovery",
    "Explanation",
    "Offer",
    "Offers",
    "Told",
    "Trouble",
    "offer_incentives",
]

_STRANGER = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One of the reasons why an incentive is blocked, in words for staff; ``failed`` is what a condition fails on.

    ``message`` is what the catalog itself says about it, in the customer's language.
    """

    reason: str
    words: str
    failed: tuple[str, ...] = ()
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One incentive of the protocol. ``blocked_reasons`` empty means that issuing it now would succeed.

    ``explanations`` say more of each reason.

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
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """The protocol for a trouble, why it is that one, what to say, and what may be given.

    ``losers`` are the protocols that would have covered it too, each with the reason why it lost. ``came_back`` says
    to which of the customer's addresses nothing is sent, and why.
    """

    protocol: str
    matched: Mapping[str, str | int]
    issue_tag: str
    severity: int
    script: str
    steps: tuple[str, ...]
    offers: tuple[Offer, ...]
    earlier_recoveries: tuple[EarlierRecovery, ...]
    losers: tuple[Loser, ...] = ()
    came_back: tuple[CameBack, ...] = ()


def offer_incentives(*, core: Core, actor: Actor, command: Trouble) -> Offers:
    """Return what may be offered now.

    Raises ``UnknownIssueTag``, ``UnknownLocation``, ``NoProtocol``, ``InputInvalid``, ``EmailInvalid``,
    ``PhoneInvalid``, ``NoCatalog``, ``NotPermitted``, ``CaseNotFound``, ``CaseClosed`` and ``CaseOfAnotherCustomer``.
    """
    permit(actor, "offers:read")
    now = core.clock.now()
    with core.database.read() as tx:
        ground = assessment.ground(releases.cached_current(tx, core), actor, command)
        known = customers.known(tx, core, [ground.contact, *suspecting.own_contacts(tx, core, actor)])
        direct = customers.matches(core, ground.contact, known)
        found = customers.together(tx, direct)
        # Issuing would make a new customer, whose caps begin with empty pots and may be too small all the same.
        people = found or ((_STRANGER,) if customers.identities(ground.contact) else ())
        people = _in_case(tx, command.case_id, people)
        candidates = [_candidate(ground, actor, key, people, now) for key in ground.resolution.protocol.incentives]
        wishes = [(each.proposal, command.case_id) for each in candidates]
        look = _Look(
            ground=ground,
            actor=actor,
            trouble=command,
            default=assessment.default_incentive(ground, now=now),
            pots=budgets.read(tx, [each for candidate in candidates for each in candidate.wanted]),
            stack=stacking.stack(tx, wishes, now, lock=False),
            stopped={each.proposal.incentive: _stopped(tx, core, actor, each.proposal) for each in candidates},
            suspected=_suspected(tx, core, actor, command, candidates, known, now),
            now=now,
        )
        earlier = earlier_recoveries(tx, found, now)
        (returned,) = came_back(tx, core, [ground.contact], now)
    protocol = ground.resolution.protocol
    return Offers(
        protocol=protocol.key,
        matched=ground.resolution.matched,
        issue_tag=ground.issue_tag,
        severity=ground.severity,
        script=_script(ground, actor, command, look.default),
        steps=tuple(protocol.steps),
        offers=tuple(_offer(look, candidate) for candidate in candidates),
        earlier_recoveries=earlier,
        losers=ground.resolution.losers,
        came_back=tuple(returned.values()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    incentive: Incentive
    proposal: Proposal
    blocked: tuple[str, ...]
    wanted: tuple[budgets.Wanted, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """All that is looked at to decide on one candidate after the other."""

    ground: Ground
    actor: Actor
    trouble: Trouble
    default: Incentive
    pots: Mapping[budgets.PotKey, budgets.Pot]
    stack: Stack
    stopped: Mapping[str, tuple[str, ...]]
    suspected: Mapping[str, Draft]
    now: datetime


def _in_case(tx: Connection, case_id: uuid.UUID | None, people: tuple[uuid.UUID, ...]) -> tuple[uuid.UUID, ...]:
    """Return whom the caps of are asked: within a case its customer, named again or not."""
    if case_id is None:
        return people
    case = cases.existing(tx, [case_id], lock=False).get(case_id)
    if case is None:
        raise CaseNotFound(field="case_id")
    case.check(people)
    return people or (customers.together(tx, [case.customer_id]) if case.customer_id else ())


def _stopped(tx: Connection, core: Core, actor: Actor, proposal: Proposal) -> tuple[str, ...]:
    if not proposal.incentive_item.gives_voucher:
        return ()
    subjects = guarding.Subjects(
        location=proposal.location,
        incentive=proposal.incentive,
        issue_tags=proposal.issue_tags,
        team=proposal.team,
        actor=actor.label,
    )
    return guarding.stopped(tx, core, guarding.ISSUING, subjects)


def _suspected(
    tx: Connection,
    core: Core,
    actor: Actor,
    trouble: Trouble,
    candidates: Sequence[_Candidate],
    known: Mapping[str, uuid.UUID],
    now: datetime,
) -> dict[str, Draft]:
    """Return each candidate as the draft that issuing it would be, with what it would be suspected of."""
    command = IssueVoucher(issue_tag=trouble.issue_tag, customer=trouble.customer)
    drafts = [
        Draft(actor=actor, command=command, id=core.ids.new(now), claim=None, proposal=each.proposal)
        for each in candidates
    ]
    met = customers.Newcomers(customers=frozenset(), digests=frozenset(), known=known)
    watch = suspecting.watch(tx, core, actor, drafts, met, now)
    for draft in drafts:
        draft.suspicion = watch.look(draft) if watch else draft.suspicion
    return {each.proposal.incentive: draft for each, draft in zip(candidates, drafts, strict=True)}


def _candidate(ground: Ground, actor: Actor, key: str, people: tuple[uuid.UUID, ...], now: datetime) -> _Candidate:
    incentive = ground.catalog.incentive(key)
    proposal = assessment.propose(ground, actor, incentive, amount_minor=None, customers=people)
    wanted: tuple[budgets.Wanted, ...] = ()
    refused: tuple[Refusal, ...] = ()
    try:
        wanted = tuple(assessment.charges(proposal, actor, now))
    except Refusal as refusal:
        refused = (refusal,)
    return _Candidate(
        incentive=incentive,
        proposal=proposal,
        blocked=assessment.blocked(ground, incentive, amount_minor=None, now=now),
        wanted=wanted,
        refused=refused,
    )


def _offer(look: _Look, candidate: _Candidate) -> Offer:
    incentive, proposal = candidate.incentive, candidate.proposal
    ground, words = look.ground, look.ground.catalog.words
    explanations = tuple(_explanations(look, candidate))
    reasons: tuple[str, ...] = ()
    if not explanations:
        reasons = assessment.approval_reasons(proposal, look.actor, candidate.wanted, look.pots)
        reasons += suspecting.reasons(look.suspected[proposal.incentive], asked=bool(reasons))
    return Offer(
        incentive=incentive.key,
        kind=incentive.kind,
        title=words(incentive.title, ground.locale),
        terms=words(incentive.terms, ground.locale) if incentive.terms else None,
        script=_script(ground, look.actor, look.trouble, incentive),
        amount=proposal.amount,
        percent=incentive.percent,
        amount_bounds=assessment.amount_bounds(ground, incentive),
        is_default=incentive.key == look.default.key,
        offerable=not explanations,
        approval_required=bool(reasons),
        approval_reasons=reasons,
        blocked_reasons=tuple(dict.fromkeys(each.reason for each in explanations)),
        explanations=explanations,
    )


def _explanations(look: _Look, candidate: _Candidate) -> Iterator[Explanation]:
    """Return everything that is in the way, not the first thing only: whoever mends one would meet the next."""
    proposal = candidate.proposal
    for reason in candidate.blocked:
        if reason == telling.CONDITION_NOT_MET:
            unmet = telling.unmet(look.ground, candidate.incentive, now=look.now)
            words = f"Its condition does not hold: {'; '.join(unmet['failed'])}."
            yield Explanation(reason=reason, words=words, failed=tuple(unmet["failed"]), message=unmet["message"])
        else:
            yield Explanation(reason=reason, words=_WORDS.get(reason, reason))
    refusals = [
        *_unaddressed(look),
        *candidate.refused,
        *look.stack.refusals(proposal, look.trouble.case_id),
        *assessment.bursts(candidate.wanted, look.pots, proposal.amount.amount_minor),
    ]
    for slug in look.stopped[proposal.incentive]:
        yield Explanation(reason=slug, words="It is stopped at present.")
    if look.suspected[proposal.incentive].suspicion.action == signals.BLOCK:
        yield Explanation(reason=slug_of(BlockedBySafeguards), words=f"{BlockedBySafeguards.title}.")
    for refusal in refusals:
        # A budget's name is said, how much it holds is not.
        yield Explanation(reason=refusal.slug, words=refusal.detail or f"{refusal.title}.")


def _unaddressed(look: _Look) -> Iterator[Refusal]:
    for channel in look.trouble.channels:
        try:
            assessment.addressed([channel], look.ground.contact)
        except Refusal as refusal:
            yield refusal


_WORDS: Mapping[str, str] = {
    eligibility.INCENTIVE_NOT_IN_PROTOCOL: "The protocol does not allow it.",
    eligibility.INACTIVE: "It is not offered at present.",
    eligibility.WINDOW_CLOSED: "It is not offered on this day.",
    eligibility.NOT_AT_THIS_LOCATION: "It is not offered at this location.",
    eligibility.WRONG_CURRENCY: "It is in another currency than the location's.",
    eligibility.AMOUNT_NOT_ADJUSTABLE: "Its amount is fixed.",
    eligibility.AMOUNT_OUT_OF_RANGE: "The amount is outside its bounds.",
    eligibility.AMOUNT_ABOVE_PROTOCOL: "It costs more than the protocol allows.",
}


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
