"""Replaying: what was given is decided once more, under another catalog, on paper.

It walks through ``assessment`` as offering and issuing do. Pots are kept in memory, empty when their period or the
replay begins; what was allotted to the real ones is allotted to these too, and what was really redeemed is spent of
these at the same instant. Who would have to ask for an approval is taken to get it. What a case or a customer has open
at once is not replayed, and the report says so where the catalog limits it. What nobody wrote down (the order's total,
a customer's attributes) cannot be asked again: a condition that rests on it alone is counted as unknown, and lets pass.
"""

import heapq
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from incentives.catalog.incentive import Incentive
from incentives.catalog.releases import CurrentCatalog
from incentives.deeds import assessment, telling
from incentives.deeds.assessment import Ground, Proposal, Trouble
from incentives.kernel.actors import Actor, Role
from incentives.kernel.errors import Refusal
from incentives.recovery.customers import CustomerGiven
from incentives.spending.budgets import PotKey, Rule, Wanted, used_of

EXAMPLES_MOST = 20
_PRUNE_EVERY = 5000


@dataclass(slots=True)
class PaperPot:
    """A pot that exists for a replay only; it answers what ``assessment`` asks of a real one."""

    allotted: tuple[int, int]
    end_at: datetime | None
    minor: int = 0
    count: int = 0
    spent_minor: int = 0
    spent_count: int = 0

    def has_room(self, rule: Rule, amount_minor: int) -> bool:
        """Return whether one more of an amount fits under a rule's caps."""
        caps = (
            (rule.cap_minor if rule.currency else None, self.minor + amount_minor, self.spent_minor),
            (rule.cap_count, self.count + 1, self.spent_count),
        )
        return all(
            cap is None or used_of(promised, spent, rule) <= cap + extra
            for (cap, promised, spent), extra in zip(caps, self.allotted, strict=True)
        )

    def spend(self, minor: int, count: int) -> None:
        """Turn part of what is promised into what is spent."""
        self.minor, self.spent_minor = self.minor - minor, self.spent_minor + minor
        self.count, self.spent_count = self.count - count, self.spent_count + count


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One thing that was given or asked for, as far as deciding on it again goes.

    ``chosen_minor`` is the amount that staff chose, None for the incentive's own; ``amount_minor`` is what was charged.
    """

    issuance_id: uuid.UUID
    issue_tag: str
    severity: int
    segment: str | None
    incentive: str
    amount_minor: int
    chosen_minor: int | None
    currency: str
    location: str | None
    team: str | None
    order_ref: str | None
    locale: str
    actor: str
    actor_role: str | None
    actor_email: str | None
    customers: tuple[uuid.UUID, ...]
    asked: bool
    at: datetime
    uses: tuple[tuple[datetime, int], ...] = ()  # what was redeemed of it when, and still is, in minor units


@dataclass(slots=True)
class Sum:
    """How many, and how much in one currency, were given and would be; and how many would be refused."""

    was_count: int = 0
    was_minor: int = 0
    would_count: int = 0
    would_minor: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One that would be refused, and every reason why."""

    issuance_id: uuid.UUID
    at: datetime
    issue_tag: str
    incentive: str
    amount_minor: int
    currency: str
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What a replay has counted so far; its size does not grow with what is replayed."""

    replayed: int = 0
    refused: int = 0
    asked_then: int = 0
    asked_now: int = 0
    not_known: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    burst: Counter[str] = field(default_factory=Counter)
    budgets: dict[str, Sum] = field(default_factory=dict)
    totals: dict[tuple[str, str, str], Sum] = field(default_factory=dict)  # by what, its key, the currency
    examples: list[Example] = field(default_factory=list)


class Replay:
    """Decides on one past gift after another, in the order in which they were given."""

    def __init__(self, current: CurrentCatalog, allotted: Mapping[PotKey, tuple[int, int]]) -> None:
        """Begin with empty pots."""
        self.tally = Tally()
        self._current = current
        self._allotted = allotted
        self._pots: dict[PotKey, PaperPot] = {}
        self._uses: list[tuple[datetime, int, tuple[Wanted, ...], int, int]] = []
        self._numbers = count()

    def decide(self, past: Past) -> None:
        """Decide on one, and count what comes of it."""
        tally = self.tally
        tally.replayed += 1
        tally.asked_then += past.asked
        if tally.replayed % _PRUNE_EVERY == 0:
            self._forget(past.at)
        self._spend(past.at)
        sums = [tally.totals.setdefault((what, key, past.currency), Sum()) for what, key in _dimensions(past)]
        for each in sums:
            each.was_count += 1
            each.was_minor += past.amount_minor
        try:
            proposal, reasons = self._weigh(past)
            wanted = () if reasons else self._wanted(proposal, past)
        except Refusal as refusal:
            self._refuse(past, (refusal.slug,), sums)
            return
        reasons += tuple(self._bursts(wanted, proposal))
        if reasons:
            self._refuse(past, reasons, sums)
        else:
            self._give(past, proposal, wanted, sums)

    def _weigh(self, past: Past) -> tuple[Proposal, tuple[str, ...]]:
        trouble = Trouble(
            issue_tag=past.issue_tag,
            severity=past.severity,
            customer=CustomerGiven(segment=past.segment, locale=past.locale),
            location=past.location,
            order_ref=past.order_ref,
        )
        actor = _actor(past)
        ground = assessment.ground(self._current, actor, trouble)
        incentive = ground.catalog.incentive(past.incentive)
        chosen = past.chosen_minor
        reasons = assessment.blocked(ground, incentive, amount_minor=chosen, now=past.at)
        if telling.CONDITION_NOT_MET in reasons and self._unknown(ground, incentive, past):
            self.tally.not_known += 1
            reasons = tuple(each for each in reasons if each != telling.CONDITION_NOT_MET)
        proposal = assessment.propose(ground, actor, incentive, amount_minor=chosen, customers=past.customers)
        return proposal, reasons

    def _unknown(self, ground: Ground, incentive: Incentive, past: Past) -> bool:
        return telling.condition(ground, incentive, now=past.at, unknown_passes=True).holds

    def _wanted(self, proposal: Proposal, past: Past) -> tuple[Wanted, ...]:
        wanted = tuple(assessment.charges(proposal, _actor(past), past.at))
        for each in wanted:
            if each.pot not in self._pots:
                self._pots[each.pot] = PaperPot(self._allotted.get(each.pot, (0, 0)), each.end_at)
        return wanted

    def _bursts(self, wanted: Iterable[Wanted], proposal: Proposal) -> Iterable[str]:
        for refusal in assessment.bursts(wanted, self._pots, proposal.amount.amount_minor):
            self.tally.burst[refusal.facts["budget"]] += 1
            yield refusal.slug

    def _refuse(self, past: Past, reasons: tuple[str, ...], sums: list[Sum]) -> None:
        tally = self.tally
        tally.refused += 1
        tally.reasons.update(set(reasons))
        for each in sums:
            each.refused += 1
        if len(tally.examples) < EXAMPLES_MOST:
            example = Example(
                issuance_id=past.issuance_id,
                at=past.at,
                issue_tag=past.issue_tag,
                incentive=past.incentive,
                amount_minor=past.amount_minor,
                currency=past.currency,
                reasons=tuple(dict.fromkeys(reasons)),
            )
            tally.examples.append(example)

    def _give(self, past: Past, proposal: Proposal, wanted: tuple[Wanted, ...], sums: list[Sum]) -> None:
        amount_minor = proposal.amount.amount_minor
        asks = self._asks(past, proposal, wanted)
        self.tally.asked_now += asks
        for each in sums:
            each.would_count += 1
            each.would_minor += amount_minor
        for charge in wanted:
            if asks and charge.rule.asks_approval:
                continue
            pot, rule = self._pots[charge.pot], charge.rule
            pot.minor += amount_minor if rule.currency else 0
            pot.count += 1
            if not rule.asks_approval:
                line = self.tally.budgets.setdefault(rule.key, Sum())
                line.would_minor += amount_minor if rule.currency else 0
                line.would_count += 1
        charged = tuple(each for each in wanted if not (asks and each.rule.asks_approval))
        for number, (at, minor) in enumerate(past.uses):
            # As much of what it is worth now as was redeemed of what it was worth then.
            share = amount_minor * minor // past.amount_minor if past.amount_minor else 0
            heapq.heappush(self._uses, (at, next(self._numbers), charged, share, int(number == 0)))

    def _spend(self, now: datetime) -> None:
        """Let what was redeemed until now be spent."""
        while self._uses and self._uses[0][0] <= now:
            _, _, charged, minor, number = heapq.heappop(self._uses)
            for each in charged:
                if each.pot in self._pots:
                    self._pots[each.pot].spend(minor if each.rule.currency else 0, number)

    def _asks(self, past: Past, proposal: Proposal, wanted: tuple[Wanted, ...]) -> bool:
        """Return whether an approval would be asked for; of those whom nobody knows any more, whether it was."""
        actor = _actor(past)
        if actor.role is None:
            return past.asked
        return bool(assessment.approval_reasons(proposal, actor, wanted, self._pots))

    def _forget(self, now: datetime) -> None:
        """Forget pots whose period is over: nothing is charged to them any more."""
        self._pots = {key: pot for key, pot in self._pots.items() if pot.end_at is None or pot.end_at > now}


def _dimensions(past: Past) -> tuple[tuple[str, str], ...]:
    return (
        ("issue_tag", past.issue_tag),
        ("location", past.location or ""),
        ("incentive", past.incentive),
    )


def _actor(past: Past) -> Actor:
    """Return who gave it, where and with whom they did; of their role what it is today."""
    kind, _, number = past.actor.partition(":")
    role = Role.INTEGRATOR if kind == "rule" else past.actor_role
    return Actor(
        kind=kind,
        id=uuid.UUID(number),
        name=past.actor,
        role=role,
        location=past.location,
        team=past.team,
        email=past.actor_email,
    )


def chosen_minor(row: Any, given: Incentive) -> int | None:
    """Return the amount that staff chose for what was given under a version of its incentive; None for its own."""
    each_minor, left = divmod(row.amount_minor, given.max_redemptions)
    return None if left or not given.adjustable or each_minor == given.amount_minor else each_minor
