"""A pot of money that a transaction holds: how much of it is used up, and what room it has."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from incentives.spending.matching import Rule
from incentives.spending.tables import COUNTERS

ALLOTTED = ("allotted_minor", "allotted_count")
_HUNDRED = 100


@dataclass(slots=True)
class Pot:
    """A locked row of counters; ``changes`` collects what this transaction does to it."""

    id: uuid.UUID
    counters: dict[str, int]
    changes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    charged_by: Rule | None = None  # the rule in force, where this transaction charged it by that
    made: bool = False  # by this very transaction
    # The row of one that nobody else can know of: it is written when it is charged.
    unwritten: Mapping[str, Any] | None = None
    allotted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ALLOTTED, 0))
    allotments: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ALLOTTED, 0))

    @property
    def rule(self) -> Rule | None:
        """Return the terms that its row will have; None where it keeps those that it has.

        Where a cap was lowered below what is used, it is as high as the pot was full when it was locked: the database
        could not agree to less, and by itself lets nobody add to it.
        """
        rule = self.charged_by
        if rule is None or rule.basis != "face":
            return rule
        minor, count = self._kept("minor", rule.cap_minor), self._kept("count", rule.cap_count)
        same = (minor, count) == (rule.cap_minor, rule.cap_count)
        return rule if same else replace(rule, cap_minor=minor, cap_count=count)

    @rule.setter
    def rule(self, rule: Rule | None) -> None:
        self.charged_by = rule

    def _kept(self, unit: str, cap: int | None) -> int | None:
        if cap is None or self.used(unit) <= cap + self.allowance(unit):
            return cap
        states = ("held", "committed", "spent")
        return max(cap, sum(self.counters[f"{state}_{unit}"] for state in states) - self.allotted[f"allotted_{unit}"])

    def stands(self, state: str, unit: str) -> int:
        """Return what is held, committed or spent, changes of this transaction included (unit: minor or count)."""
        return self.counters[f"{state}_{unit}"] + self.changes[f"{state}_{unit}"]

    def used(self, unit: str, rule: Rule | None = None) -> int:
        """Return how much of the cap is used up, by the basis of a rule; without one, by what is promised."""
        promised = self.stands("held", unit) + self.stands("committed", unit)
        return used_of(promised, self.stands("spent", unit), rule)

    def allowance(self, unit: str) -> int:
        """Return what was allotted on top of the cap, changes of this transaction included."""
        return self.allotted[f"allotted_{unit}"] + self.allotments[f"allotted_{unit}"]

    def lacks(self, rule: Rule, amount_minor: int, count: int = 1) -> dict[str, int]:
        """Return by how much one more of an amount would pass a rule's caps, by unit; nothing where it fits.

        What is over a cap that was lowered has room for what adds nothing to it. One more of nothing at all is the
        question by how much it is over.
        """
        over = {}
        for unit, cap, more in (("minor", rule.cap_minor, amount_minor), ("count", rule.cap_count, count)):
            if cap is None or (unit == "minor" and rule.currency is None) or (not more and (amount_minor or count)):
                continue
            promised = self.stands("held", unit) + self.stands("committed", unit) + more
            over[unit] = used_of(promised, self.stands("spent", unit), rule) - cap - self.allowance(unit)
        return {unit: by for unit, by in over.items() if by > 0}

    def has_room(self, rule: Rule, amount_minor: int) -> bool:
        """Return whether one more of an amount fits under a rule's caps."""
        return not self.lacks(rule, amount_minor)

    def add(self, changes: Mapping[str, int]) -> None:
        """Collect changes of counters."""
        for name, value in changes.items():
            self.changes[name] += value

    @property
    def changed(self) -> bool:
        """Return whether this transaction does anything to it."""
        return any(self.changes.values()) or any(self.allotments.values())


class Based(Protocol):
    """Whatever says by which basis a budget is charged: a rule, or the catalog's own definition of it."""

    @property
    def basis(self) -> str:
        """Return face, expected or redemption."""

    @property
    def expected_percent(self) -> int:
        """Return how much of what is promised is expected to be spent."""


def used_of(promised: int, spent: int, rule: Based | None) -> int:
    """Return how much of a cap is used up: what is promised (held and committed) and spent, by a rule's basis.

    The counters are the same whatever the basis: who switches it sees at once what would have been used all along.
    """
    if rule is None or rule.basis == "face":
        return promised + spent
    if rule.basis == "redemption":
        return spent
    return spent + -(-promised * rule.expected_percent // _HUNDRED)  # rounded up: never less than is expected


def in_unit(currency: str | None, changes: Mapping[str, int]) -> dict[str, int]:
    """Return the part of a change that a pot counts: without a currency, money of several would be added up."""
    return {name: value for name, value in changes.items() if currency is not None or name.endswith("_count")}
