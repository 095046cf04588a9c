"""What a budget is for: the rule of the approved catalog, and which rules an issuance matches."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from incentives.kernel.periods import Period, period_of, period_of_key


class PotKey(NamedTuple):
    """What tells one pot of money from all others; sorting by it is the order in which pots are locked."""

    budget: str
    subject: str
    period_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the approved catalog says of a budget, as far as charging it goes."""

    key: str
    name: str
    scope: str
    of: str | None
    currency: str | None
    period: str
    time_zone: str
    week_start: int
    cap_minor: int | None
    cap_count: int | None
    on_expiry: str
    issue_tags: tuple[str, ...] = ()  # only what is given for these, with all below; empty: for any
    basis: str = "face"
    expected_percent: int = 100
    rollover: str = "none"
    asks_approval: bool = False  # an approval limit: when it bursts somebody is asked, and it is not charged


class Wanted(NamedTuple):
    """One charge on one pot that an issuance wants to make."""

    rule: Rule
    pot: PotKey
    start_at: datetime | None
    end_at: datetime | None


class Dimensions(Protocol):
    """What of an issuance budgets match on."""

    @property
    def location(self) -> str | None:
        """Return the key of the location where it is given."""

    @property
    def team(self) -> str | None:
        """Return the key of the team that gives it."""

    @property
    def issue_tags(self) -> tuple[str, ...]:
        """Return the issue tag and its ancestors, nearest first."""

    @property
    def incentive(self) -> str:
        """Return the incentive's key."""

    @property
    def currency(self) -> str:
        """Return the currency that budgets are charged in."""

    @property
    def agent_names(self) -> tuple[str, ...]:
        """Return how a budget may name who gives it: the label first, then the email."""

    @property
    def customers(self) -> tuple[uuid.UUID, ...]:
        """Return the customers behind the addresses that were given."""


_NAMES: Mapping[str, Callable[[Dimensions], tuple[str | None, ...]]] = {
    "location": lambda of: (of.location,),
    "team": lambda of: (of.team,),
    "agent": lambda of: of.agent_names,
    "issue_tag": lambda of: of.issue_tags,
    "incentive": lambda of: (of.incentive,),
}


def _subjects(rule: Rule, of: Dimensions) -> list[str]:
    """Return for whom a rule is charged: nobody when it does not match."""
    if rule.scope == "organization":
        return ["organization"]
    if rule.scope == "customer":
        return [str(each) for each in of.customers if rule.of in (None, str(each))]
    own = [name for name in _NAMES[rule.scope](of) if name]
    if rule.of is not None:
        return [rule.of] if rule.of in own else []
    return own[:1]


def wanted_now(rule: Rule, subject: str, now: datetime) -> Wanted:
    """Return the pot that a rule has for a subject in the period of an instant."""
    return _wanted(rule, subject, period_of(now, rule.period, rule.time_zone, rule.week_start))


def wanted_in(rule: Rule, subject: str, period_key: str) -> Wanted:
    """Return the pot that a rule has for a subject in a period by its key. Raises ``ValueError`` for a foreign key."""
    return _wanted(rule, subject, period_of_key(period_key, rule.period, rule.time_zone, rule.week_start))


def _wanted(rule: Rule, subject: str, period: Period) -> Wanted:
    pot = PotKey(rule.key, subject, period.key)
    return Wanted(rule=rule, pot=pot, start_at=period.start_at, end_at=period.end_at)


def matching(rules: Iterable[Rule], of: Dimensions, now: datetime) -> list[Wanted]:
    """Return every charge that an issuance makes: one a matching rule and subject, in lock order."""
    wanted = []
    for rule in rules:
        if rule.currency not in (None, of.currency):
            continue
        if rule.issue_tags and not set(rule.issue_tags) & set(of.issue_tags):
            continue
        wanted += [wanted_now(rule, subject, now) for subject in _subjects(rule, of)]
    return sorted(wanted, key=lambda each: each.pot)
