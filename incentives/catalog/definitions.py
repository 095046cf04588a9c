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

from incentives.kernel.business_hours import WEEKDAYS

EVERYTHING = "*"
"""The issue tag of a protocol that covers every trouble which no other protocol covers."""

RESURVEY = "resurvey"
"""The source of what customers answer when they are asked again after a recovery."""

OUR_SOURCES = ("staff", "form", "voucher-form", RESURVEY)
"""The sources that are our own: what staff report, what comes by a form or a voucher's, what is answered when asked."""

# What feedback and cases are made of; ``incentives.recovery`` stores the same words.
FEEDBACK_KINDS = ("survey", "complaint", "employee_report", "event")
EVENTS = ("order_late", "canceled", "refunded", "outage", "rage_click", "abandoned", "purchase", "other")
SCALES = ("stars_5", "csat", "nps", "ces_7", "percent")
CLOCKS = ("first_contact", "apology", "incentive", "fix", "close")
QUESTIONS = ("what", "who", "when", "differently")
TASK_KINDS = ("customer", "process", "employee")


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
        return [_to_json(each) for each in value]
    return {name: _to_json(each) for name, each in value.items()} if isinstance(value, Mapping) else value


def _from_json(name: str, value: object) -> object:
    if name.endswith("_date") and isinstance(value, str):
        return date.fromisoformat(value)
    return _frozen(value)


def _frozen(value: object) -> object:
    """Return a value with tuples for lists, however deep: as the reader of catalog files makes it."""
    if isinstance(value, list):
        return tuple(_frozen(each) for each in value)
    return {name: _frozen(each) for name, each in value.items()} if isinstance(value, dict) else value


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
    hours: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the one key that a catalog's one brand has."""
        return "brand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location(Definition):
    """A place of business. Its zone says when a day ends there, its country whose numbers its phones have.

    ``hours`` are its business hours by weekday, local ``("08:00", "18:30")``; a day that is absent is closed. Where
    nobody gives any, the brand's hold, and where the brand has none either every hour is a business hour.
    """

    item_kind: ClassVar[str] = "location"

    key: str
    name: str
    time_zone: str
    currency: str
    country: str
    groups: tuple[str, ...] = ()  # names by which catalog files mean several places at once: ``group:airports``
    hours: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Team(Definition):
    """People who work together, at one location or at none.

    ``skills`` are the issue tags (with all below them) that they take on, none meaning every one; nobody of the team
    is given a case by a rule while they have ``most_open_cases``.
    """

    item_kind: ClassVar[str] = "team"

    key: str
    name: str
    location: str | None = None
    skills: tuple[str, ...] = ()
    most_open_cases: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueTag(Definition):
    """The label of what went wrong, in a hierarchy. ``severity`` is 1 (slight) to 4 (grave).

    ``aliases`` say by what values a source (``zendesk:tag``, ``asknicely``) means it; ``words`` are words of a comment
    that mean it where a source names no tag.
    """

    item_kind: ClassVar[str] = "issue_tag"

    key: str
    label: Mapping[str, str]
    icon: str
    severity: int
    parent: str | None = None
    active: bool = True
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: tuple[str, ...] = ()


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
    cost, by currency. Of ``steps`` those in ``optional_steps`` may be left undone without a word. ``questions`` are
    what must be known before the case is worked on; ``clocks`` are business minutes from opening until something must
    have happened; ``guidance`` is what staff should know; ``tasks`` are made with the case.
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
    optional_steps: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()  # of what, who, when, differently
    clocks: Mapping[str, int] = field(default_factory=dict)  # first_contact, apology, incentive, fix, close: minutes
    guidance: Mapping[str, str] = field(default_factory=dict)  # words by language
    tasks: tuple[Mapping[str, Any], ...] = ()  # {"kind": "customer", "title": "…", "due_hours": 48}
    resurvey_after: str | None = None  # close, redemption or issue; None asks nobody again
    resurvey_hours: int = 24
    resurvey_scale: str = "stars_5"
    undo_seconds: int = 0  # so long what was given may be taken back by its giver, and nothing is sent


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCause(Definition):
    """Why something goes wrong, in a tree."""

    item_kind: ClassVar[str] = "root_cause"

    key: str
    label: Mapping[str, str]
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPolicy(Definition):
    """What holds for every recovery; each number has a default, so that a catalog may leave the section out.

    Percents are of the comparable scale, 0 (worst) to 100 (best). Amounts are minor units by currency.
    """

    item_kind: ClassVar[str] = "recovery_policy"

    root_cause_from_severity: int = 3  # closing such a case needs a root cause, where the catalog has any
    escalate_from_severity: int = 4  # whoever leads is told at once of such a case that somebody else opens
    recovered_score_pct: int = 75  # an answer at least this good is a recovery
    recovered_uplift_pct: int = 40  # … or one that is better than the first by so much
    purchase_within_days: int = 90  # … or who buys again within so many days of closing
    survey_quiet_days: int = 30  # nobody is asked again who was asked within so many days
    settle_minutes: int = 0  # how long a rating may still change before anything is done about it
    automation_ceiling_minor: Mapping[str, int] = field(default_factory=dict)  # above it a person decides
    customer_value_minor: Mapping[str, int] = field(default_factory=dict)  # what a kept customer is worth
    handling_cost_minor: Mapping[str, int] = field(default_factory=dict)  # what working on one case costs
    trend_volume_least: int = 10  # fewer cases in a week are no trend
    blame_free: bool = True  # trends name teams and causes, never people

    @property
    def key(self) -> str:
        """Return the one key that a catalog's one policy has."""
        return "recovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSource(Definition):
    """A tool that reports to us, and where in its JSON each of our fields stands.

    ``fields`` maps our field (one of ``reading_sources.OUR_FIELDS``) to JSON Pointers (RFC 6901), the first that is
    there counts; a text that begins with ``=`` is a constant. ``tag_source`` is the name that issue tags' ``aliases``
    use for it (None: the source's own key). ``values`` translate what it says of a field (``{"location": {"LHR":
    "london"}}``), in any case of letters. ``scale`` is that of its scores unless ``fields`` has one.
    """

    item_kind: ClassVar[str] = "source"

    key: str
    name: str
    kind: str
    fields: Mapping[str, tuple[str, ...]]
    scale: str | None = None
    tag_source: str | None = None
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tolerance_hours: int = 24 * 31  # older than this it is taken down but no criterion acts on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion(Definition):
    """A rule that turns feedback into cases and incentives: when all of ``when`` holds, then all of ``then``.

    ``when`` has at least one of: sources, kinds, events, issue_tags (with all below), words (in the comment, in any
    case of letters), segments, locations, weekdays (tuples: any of them); score_at_most_pct, score_at_least_pct;
    severity_at_least; customer_value_at_least_minor (by currency); earlier_recoveries_at_most; from_time and
    until_time (local "HH:MM", half-open; from 22:00 until 06:00 goes over midnight). Without ``sources`` it is every
    source but ``RESURVEY``: only a criterion that names it acts on answers after a recovery.

    ``then`` has at least one of: open_case (True); assign ({"to": "team" | "same_agent" | "supervisor", "team": key},
    the team is who gets it where ``to`` finds nobody); issue ({"channels": ("email", …), "incentive": key?,
    "amount_minor": n?}; never without channels, and with an amount only of a named incentive); ask_approval (True:
    a person decides on that ``issue``, whatever it costs); offer (True: it is put before the person who works on the
    case, and nothing is given); apologize ({"channels": (…)}); notify (roles); resurvey_hours; unsalvageable (True:
    no incentive can mend it, nothing is ever issued with it).

    Of those that hold, the greatest ``priority`` goes first; after one with ``stop`` no other is asked. ``shadow``
    writes down what it would have done. ``breaker`` is {"count_per_hour": n?, "amount_minor_per_hour": {currency: n}?}
    for each source by itself; a live criterion that issues has one. Above ``ask_above_minor`` (by currency) a person
    decides. ``holdout_percent`` of customers get no incentive by it, so that what incentives do can be told from what
    would have happened anyway.
    """

    item_kind: ClassVar[str] = "criterion"

    key: str
    name: str
    priority: int
    when: Mapping[str, Any]
    then: Mapping[str, Any]
    mode: str = "shadow"  # live, shadow, off
    stop: bool = False
    settle_minutes: int | None = None
    breaker: Mapping[str, Any] = field(default_factory=dict)
    ask_above_minor: Mapping[str, int] = field(default_factory=dict)
    holdout_percent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule(Definition):
    """A pot, or with ``of`` absent a pot for each location, team, agent … of its scope.

    ``cap_minor`` is money in ``currency``; ``cap_count`` is a number of issuances, of any currency when none
    is set. The period begins anew in ``time_zone``, weeks on ``week_start``. With ``issue_tags`` only what is given
    for those, with all below, counts.

    ``basis`` says what counts as used: ``face``, what is promised; ``expected``, ``expected_percent`` of what is
    promised and all that is spent; ``redemption``, only what is spent. With ``rollover`` ``carry_over`` what a period
    leaves goes to the next one. ``break_glass_percent`` of the cap may be added in an emergency.
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
    issue_tags: tuple[str, ...] = ()
    basis: str = "face"
    expected_percent: int = 100
    rollover: str = "none"
    break_glass_percent: int = 0

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
