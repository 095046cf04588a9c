"""The things a catalog is made of, as frozen values; each knows its plain JSON form and comes back from it.

A definition leaves out whatever has its default, so that a field added later does not make a new version of
everything. All money is whole minor units; all words are mappings from a language (BCP 47) to text.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import date
from typing import Any, ClassVar, Self

EVERYTHING = "*"
"""The issue tag of a protocol that covers every trouble which no other protocol covers."""


class Definition:
    """One item of the catalog: a frozen dataclass with a key, written to and read from plain JSON."""

    __slots__ = ()
    item_kind: ClassVar[str]

    def definition(self) -> dict[str, Any]:
        """Return the JSON form: dates as ISO text, tuples as lists, defaults left out."""
        written = [each.name for each in _fields(self) if not _has_default(self, each)]
        return {name: _to_json(getattr(self, name)) for name in written}

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> Self:
        """Return the item that a definition describes; one in the database was checked before."""
        return cls(**{name: _from_json(name, value) for name, value in definition.items()})

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the canonical definition: equal digests are the same version."""
        return digest_of(self.definition())


def digest_of(value: object) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _fields(item: Definition) -> tuple[Field[Any], ...]:
    return fields(item)  # type: ignore[arg-type]  # every child is a dataclass


def _has_default(item: Definition, each: Field[Any]) -> bool:
    value = getattr(item, each.name)
    if each.default is not MISSING:
        return bool(value == each.default)
    return each.default_factory is not MISSING and bool(value == each.default_factory())


def _to_json(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _from_json(name: str, value: object) -> object:
    if name.endswith("_date") and isinstance(value, str):
        return date.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand(Definition):
    """Who apologizes: its languages, and the zone and currency that hold where nothing nearer does."""

    item_kind: ClassVar[str] = "brand"

    name: str
    languages: tuple[str, ...]
    default_language: str
    time_zone: str
    currency: str
    support_email: str | None = None

    @property
    def key(self) -> str:
        """Return the one key that a catalog's one brand has."""
        return "brand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location(Definition):
    """A place of business. Its zone says when a day ends there, its country whose numbers its phones have."""

    item_kind: ClassVar[str] = "location"

    key: str
    name: str
    time_zone: str
    currency: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Team(Definition):
    """People who work together, at one location or at none."""

    item_kind: ClassVar[str] = "team"

    key: str
    name: str
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueTag(Definition):
    """The label of what went wrong, in a hierarchy. ``severity`` is 1 (slight) to 4 (grave)."""

    item_kind: ClassVar[str] = "issue_tag"

    key: str
    label: Mapping[str, str]
    icon: str
    severity: int
    parent: str | None = None
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(Definition):
    """The words of an apology in every language of the brand, with placeholders (see ``scripts.fill``)."""

    item_kind: ClassVar[str] = "script"

    key: str
    text: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment(Definition):
    """A group of customers that protocols may name."""

    item_kind: ClassVar[str] = "segment"

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol(Definition):
    """For an issue tag (and severity, location, segment where set): script, steps and what may be given.

    ``incentives`` are keys in the order of preference; ``most_minor`` is the most that one issuance may
    cost, by currency.
    """

    item_kind: ClassVar[str] = "protocol"

    key: str
    issue_tag: str
    script: str
    steps: tuple[str, ...]
    incentives: tuple[str, ...]
    default: str
    severity: int | None = None
    location: str | None = None
    segment: str | None = None
    most_minor: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule(Definition):
    """A pot, or with ``of`` absent a pot for each location, team, agent … of its scope.

    ``cap_minor`` is money in ``currency``; ``cap_count`` is a number of issuances, of any currency when none
    is set. The period begins anew in ``time_zone``, weeks on ``week_start``.
    """

    item_kind: ClassVar[str] = "budget"

    key: str
    name: str
    scope: str
    period: str
    time_zone: str
    of: str | None = None
    currency: str | None = None
    week_start: str = "monday"
    cap_minor: int | None = None
    cap_count: int | None = None
    on_expiry: str = "release"

    @property
    def week_start_number(self) -> int:
        """Return 0 for Monday to 6 for Sunday, as ``kernel.periods`` counts."""
        return WEEKDAYS.index(self.week_start)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLimit(Definition):
    """How much a role, or a person (by email), may give in a currency without asking somebody else.

    A number that is absent does not limit; ``unlimited`` stands instead of all numbers. What counts per
    customer counts in a calendar month. A person's row replaces the role's row for that currency.
    """

    item_kind: ClassVar[str] = "approval_limit"

    currency: str
    role: str | None = None
    person: str | None = None
    per_voucher_minor: int | None = None
    per_day_minor: int | None = None
    per_day_count: int | None = None
    per_customer_minor: int | None = None
    per_customer_count: int | None = None
    unlimited: bool = False

    @property
    def key(self) -> str:
        """Return whom and which currency it limits, which is unique in a catalog."""
        whom = f"person:{self.person}" if self.person else f"role:{self.role}"
        return f"{whom}:{self.currency}"


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
