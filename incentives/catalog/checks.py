"""What is right in each item and wrong between them: missing references, circles, conflicts."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from incentives.catalog import checks_recovery, eligibility
from incentives.catalog.catalog import Item
from incentives.catalog.definitions import EVERYTHING, Criterion, IssueTag, Location, Protocol, RootCause
from incentives.catalog.fields import Fields, Reading
from incentives.catalog.incentive import Incentive

ItemT = TypeVar("ItemT", bound=Item)

_GUESSED_MOST, _GUESSED_FROM_MOST = 50, 1000
_CIRCLE_SHOWN = 20

_WORDS = {
    "issue_tag": "issue tag",
    "approval_limit": "approval limit",
    "root_cause": "root cause",
    "approval_policy": "approval policy",
    "metadata_field": "metadata field",
}


@dataclass(frozen=True, slots=True)
class Placed(Generic[ItemT]):
    """An item together with the fields it was read from."""

    fields: Fields
    item: ItemT


def check(placed: Sequence[Placed[Item]], reading: Reading) -> None:
    """Note every mistake between items."""
    _check_twice(placed)
    _check_references(placed, reading)
    incentives = {each.item.key: each.item for each in _of(placed, Incentive)}
    _check_circles(_of(placed, IssueTag), "issue tags")
    _check_circles(_of(placed, RootCause), "root causes")
    _check_conflicts(_of(placed, Protocol))
    locations = {each.item.key: each.item for each in _of(placed, Location)}
    _check_currencies(_of(placed, Incentive), locations)
    _check_usable(_of(placed, Incentive), locations)
    _check_defaults(_of(placed, Protocol), incentives)
    checks_recovery.check_aliases([(each.fields, each.item) for each in _of(placed, IssueTag)])
    checks_recovery.check_criteria([(each.fields, each.item) for each in _of(placed, Criterion)], incentives)


def _of(placed: Iterable[Placed[Item]], kind: type[ItemT]) -> list[Placed[ItemT]]:
    return [Placed(each.fields, each.item) for each in placed if isinstance(each.item, kind) and each.item.key]


def _check_twice(placed: Sequence[Placed[Item]]) -> None:
    first: dict[tuple[str, str], Placed[Item]] = {}
    for each in placed:
        item = each.item
        if not item.key or item.item_kind in ("brand", "segment"):
            continue
        other = first.setdefault((item.item_kind, item.key), each)
        if other is not each:
            what, line = _WORDS.get(item.item_kind, item.item_kind), other.fields.node.line
            message = f"The {what} “{item.key}” stands in line {line} already; give each its own key."
            each.fields.wrong(each.fields.at("key"), message)


def _check_references(placed: Sequence[Placed[Item]], reading: Reading) -> None:
    known: dict[str, dict[str, None]] = {}
    for each in placed:
        known.setdefault(each.item.item_kind, {})[each.item.key] = None
    missing = 0
    for reference in reading.references:
        keys = known.get(reference.item_kind, {})
        if reference.key not in keys:
            missing += 1
            # A guess compares with every key: a file that names nothing right would be guessed at for minutes.
            few = list(keys)[:_GUESSED_FROM_MOST] if missing <= _GUESSED_MOST else []
            guess = difflib.get_close_matches(reference.key, few, 1)
            hint = f"did you mean “{guess[0]}”?" if guess else "add it, or name another."
            what = _WORDS.get(reference.item_kind, reference.item_kind)
            reading.mistakes.add(reference.node, f"There is no {what} “{reference.key}”; {hint}")


def _check_circles(tree: Sequence[Placed[IssueTag]] | Sequence[Placed[RootCause]], what: str) -> None:
    parents = {each.item.key: each.item.parent for each in tree}
    circles = _circles(parents)
    for each in tree:
        circle = circles.get(each.item.key)
        if circle is None:
            continue
        begin = circle.index(each.item.key) if len(circle) <= _CIRCLE_SHOWN else 0
        turned = [*circle[begin:], *circle[:begin]]
        shown = " → ".join([*turned[:_CIRCLE_SHOWN], *(["…"] if len(turned) > _CIRCLE_SHOWN else []), turned[0]])
        each.fields.wrong(each.fields.at("parent"), f"These {what} are a circle: {shown}; cut it somewhere.")


def _circles(parents: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Return each key that is part of a circle, with it; every key is walked over once."""
    walked: dict[str, str] = {}  # by key, from which one it was come to first
    found: dict[str, list[str]] = {}
    for start in parents:
        line: list[str] = []
        current: str | None = start
        while current is not None and current not in walked:
            walked[current] = start
            line.append(current)
            current = parents.get(current)
        if current is not None and walked[current] == start:
            circle = line[line.index(current) :]
            found |= dict.fromkeys(circle, circle)
    return found


def _check_conflicts(protocols: Sequence[Placed[Protocol]]) -> None:
    first: dict[tuple[Any, ...], Placed[Protocol]] = {}
    for each in protocols:
        item = each.item
        covers = (item.issue_tag, item.severity, item.location, item.segment)
        other = first.setdefault(covers, each)
        if other is not each and item.issue_tag:
            where = "everything" if item.issue_tag == EVERYTHING else f"“{item.issue_tag}”"
            both = f"“{item.key}” and “{other.item.key}” (line {other.fields.node.line})"
            message = f"{both} are both for {where} with the same severity, location and segment;"
            each.fields.wrong(each.fields.node, f"{message} make one of them finer, or take it out.")


def _check_currencies(incentives: Sequence[Placed[Incentive]], locations: dict[str, Location]) -> None:
    for each in incentives:
        for name, deed in (("locations", "offered"), ("redeem_locations", "redeemed")):
            for key in getattr(each.item, name):
                location = locations.get(key)
                if location and each.item.currency and location.currency != each.item.currency:
                    message = f"{key} uses {location.currency}: this could never be {deed} there;"
                    each.fields.wrong(each.fields.at(name), f"{message} take {key} out or change the currency.")


def _check_usable(incentives: Sequence[Placed[Incentive]], locations: dict[str, Location]) -> None:
    """Note what is offered somewhere and good nowhere: a promise that cannot be kept is none."""
    for each in incentives:
        item = each.item
        alike = [key for key, place in locations.items() if place.currency == item.currency]
        name = next((name for name in ("excluded_locations", "redeem_locations") if getattr(item, name)), None)
        if name and alike and not any(eligibility.usable_at(item, key) for key in alike):
            message = f"This could nowhere be redeemed; leave it one place at least that takes {item.currency}."
            each.fields.wrong(each.fields.at(name), message)


def _check_defaults(protocols: Sequence[Placed[Protocol]], incentives: dict[str, Incentive]) -> None:
    for each in protocols:
        default = incentives.get(each.item.default)
        if default is None or default.currency is None:
            continue
        most = each.item.most_minor.get(default.currency)
        charge = default.charge_minor()
        if most is not None and charge > most:
            message = f"“{default.key}” costs {charge}, and {most} {default.currency} is the most here;"
            each.fields.wrong(each.fields.at("default"), f"{message} lower one or raise the other.")
