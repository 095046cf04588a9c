"""Conditions of incentives: expressions as data, what they may ask, whether they hold and why not.

An expression is ``{"all": (…)}``, ``{"any": (…)}``, ``{"not": …}`` or a comparison ``{"fact": name, operator: value}``.
A comparison with a fact that nobody told fails, or with ``"missing": "pass"`` passes: where it stands, under a ``not``
too. With ``"within_hours": n`` a customer's attribute that is older, or of unknown age, counts as not told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from incentives.catalog.catalog import Catalog
from incentives.kernel.business_hours import WEEKDAYS
from incentives.kernel.money import Money

DEPTH_MOST = 10
NODES_MOST = 100

OFFER, REDEEM = "offer", "redeem"
ATTRIBUTE = "customer.attributes."
"""What the name of a fact begins with that is one of the customer's attributes (``metadata_fields`` of customer)."""

GROUPS = ("all", "any")


@dataclass(frozen=True, slots=True)
class FactType:
    """A type of facts: the operators that compare it, and what it is compared with in words."""

    operators: tuple[str, ...]
    wants: str


TYPES: Mapping[str, FactType] = {
    "text": FactType(("is", "in"), "text"),
    "texts": FactType(("is", "in"), "text"),  # several at once: one of them is it, or is in the list
    "number": FactType(("is", "in", "at_least", "at_most"), "a whole number"),
    "amount": FactType(("at_least", "at_most"), "a whole number of the smallest unit of the incentive's currency"),
    "flag": FactType(("is",), "true or false"),
    "date": FactType(("is", "at_least", "at_most", "before", "after"), "a date, such as 2026-12-31"),
    "time": FactType(("before", "after"), "a local time, such as 08:30"),
    "instant": FactType(("before", "after"), "an instant with its offset, such as 2026-12-31T08:30:00+00:00"),
}
OPERATORS = ("is", "in", "at_least", "at_most", "before", "after")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a condition may ask: its type, what staff call it, and when it can be known at all.

    ``item_kind`` is whose keys its values are, ``choices`` what it can be.
    """

    type: str
    words: str
    stages: tuple[str, ...] = (OFFER, REDEEM)
    item_kind: str | None = None
    choices: tuple[str, ...] = ()


FACTS: Mapping[str, Fact] = {
    "customer.segment": Fact("text", "the customer's segment", (OFFER,), item_kind="segment"),
    "customer.locale": Fact("text", "the customer's language", (OFFER,)),
    "customer.known": Fact("flag", "whether the customer is known", (OFFER,)),
    "order.given": Fact("flag", "whether an order is named"),
    "order.total_minor": Fact("amount", "the order's total"),
    "order.placed_at": Fact("instant", "the time of the order", (OFFER,)),
    "order.age_days": Fact("number", "the order's age in days", (OFFER,)),
    "order.products": Fact("texts", "the products of the order", (REDEEM,)),
    "order.collections": Fact("texts", "the collections of the order", (REDEEM,)),
    "case.issue_tag": Fact("texts", "the issue tag", item_kind="issue_tag"),
    "case.severity": Fact("number", "the severity"),
    "location": Fact("text", "the location", item_kind="location"),
    "location.group": Fact("texts", "the location's groups"),
    "location.country": Fact("text", "the location's country"),
    "time.date": Fact("date", "the day"),
    "time.weekday": Fact("text", "the day of the week", choices=WEEKDAYS),
    "time.of_day": Fact("time", "the time of day"),
    "voucher.age_days": Fact("number", "the voucher's age in days", (REDEEM,)),
}
"""What every condition may ask; ``case.issue_tag`` is the tag with all above it. Times are the location's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known when a condition is asked. ``attributes_at`` is when the customer's attributes were true."""

    values: Mapping[str, Any]
    now: datetime
    attributes_at: datetime | None = None
    unknown_passes: bool = False  # whatever the comparison says: where the past is asked, which told less


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a request tells of the order that went wrong, or of the sale that a voucher pays."""

    ref: str | None = None
    total: Money | None = None
    placed_at: datetime | None = None
    products: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()


def facts_of(
    catalog: Catalog,
    *,
    now: datetime,
    currency: str | None,
    location: str | None,
    issue_tag: str | None = None,
    severity: int | None = None,
    order: Order | None = None,
    customer: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
    attributes_at: datetime | None = None,
    given_at: datetime | None = None,
) -> Facts:
    """Return the facts of one moment; what is None is not told.

    ``currency`` is the incentive's: an order in another has no comparable total. ``customer`` may hold ``segment``,
    ``locale`` and ``known``; ``given_at`` is when the voucher was given, at a till.
    """
    sold = order or Order()
    place = catalog.location(location) if location else None
    local = now.astimezone(ZoneInfo(catalog.time_zone(location)))
    told: dict[str, Any] = {
        **{f"customer.{name}": value for name, value in (customer or {}).items()},
        **{f"{ATTRIBUTE}{name}": value for name, value in (attributes or {}).items()},
        "order.given": sold.ref is not None,
        "order.total_minor": sold.total.amount_minor if sold.total and sold.total.currency == currency else None,
        "order.placed_at": sold.placed_at,
        "order.age_days": (now - sold.placed_at).days if sold.placed_at else None,
        "order.products": sold.products or None,
        "order.collections": sold.collections or None,
        "case.issue_tag": catalog.lineage(issue_tag) if issue_tag else None,
        "case.severity": severity,
        "location": location,
        "location.group": place.groups if place else None,
        "location.country": place.country if place else None,
        "time.date": local.date(),
        "time.weekday": WEEKDAYS[local.weekday()],
        "time.of_day": f"{local:%H:%M}",
        "voucher.age_days": (now - given_at).days if given_at else None,
    }
    values = {name: value for name, value in told.items() if value is not None}
    return Facts(values=values, now=now, attributes_at=attributes_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a condition holds; if not, what it fails on, in words for staff, and the whole of it with each answer."""

    holds: bool
    failed: tuple[str, ...] = ()
    tree: Mapping[str, Any] = field(default_factory=dict)


_HOLDS = Verdict(holds=True)


def explain(condition: Mapping[str, Any], facts: Facts) -> Verdict:
    """Return whether a condition holds, and why not; none always holds."""
    return _asked(condition, facts, negated=False) if condition else _HOLDS


def _asked(node: Mapping[str, Any], facts: Facts, *, negated: bool) -> Verdict:
    """Ask a node, or with ``negated`` its opposite.

    A ``not`` is carried down to the comparisons, so that each of them says what a missing fact comes to, and so that
    people are told what was to hold instead of what was not to.
    """
    if "not" in node:
        return _asked(node["not"], facts, negated=not negated)
    group = next((name for name in GROUPS if name in node), None)
    if group is None:
        return _compared(node, facts, negated=negated)
    parts = [_asked(each, facts, negated=negated) for each in node[group]]
    every = (group == "all") != negated
    holds = all(each.holds for each in parts) if every else any(each.holds for each in parts)
    failed = [words for each in parts for words in each.failed]
    if not every and len(failed) > 1:
        failed = [f"none of these: {'; '.join(failed)}"]
    tree = {"all" if every else "any": [each.tree for each in parts], "holds": holds}
    return Verdict(holds=holds, failed=() if holds else tuple(failed), tree=tree)


def _compared(node: Mapping[str, Any], facts: Facts, *, negated: bool) -> Verdict:
    operator = next(name for name in OPERATORS if name in node)
    name, wanted = node["fact"], node[operator]
    found = _found(node, facts)
    if found is None:
        holds = facts.unknown_passes or node.get("missing") == "pass"
    else:
        holds = _COMPARE[operator](found, _typed(found, wanted)) != negated
    tree = {**node, "negated": negated, "found": _shown(found) if found is not None else None, "holds": holds}
    told = () if holds else (_words(name, operator, wanted, found, negated=negated),)
    return Verdict(holds=holds, failed=told, tree=tree)


def _found(node: Mapping[str, Any], facts: Facts) -> Any:
    hours = node.get("within_hours")
    if hours is not None:
        asked_at = facts.attributes_at
        if asked_at is None or facts.now - asked_at > timedelta(hours=hours):
            return None
    return facts.values.get(node["fact"])


def _typed(found: Any, wanted: Any) -> Any:
    """Return what a condition wants as what was found: dates and instants stand in a catalog as text."""
    if isinstance(found, datetime):
        return datetime.fromisoformat(wanted)
    return date.fromisoformat(wanted) if isinstance(found, date) else wanted


def _is(found: Any, wanted: Any) -> bool:
    return wanted in found if isinstance(found, (tuple, list)) else bool(found == wanted)


_COMPARE: Mapping[str, Any] = {
    "is": _is,
    "in": lambda found, wanted: any(_is(found, each) for each in wanted),
    "at_least": lambda found, wanted: found >= wanted,
    "at_most": lambda found, wanted: found <= wanted,
    "before": lambda found, wanted: found < wanted,
    "after": lambda found, wanted: found > wanted,
}
_SAID = {
    "is": "",
    "in": "one of ",
    "at_least": "at least ",
    "at_most": "at most ",
    "before": "before ",
    "after": "after ",
}


def words_of(name: str) -> str:
    """Return what staff call a fact."""
    fact = FACTS.get(name)
    return fact.words if fact else f"the customer's “{name.removeprefix(ATTRIBUTE)}”"


def _words(name: str, operator: str, wanted: Any, found: Any, *, negated: bool) -> str:
    must = f"{'not ' if negated else ''}{_SAID[operator]}{_shown(wanted)}"
    if found is None:
        return f"{words_of(name)} is not known; it must be {must}"
    return f"{words_of(name)} is {_shown(found)}; it must be {must}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_shown(each) for each in value)
    return value.isoformat() if isinstance(value, date) else str(value)
