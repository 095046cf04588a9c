"""The conditions of incentives in the catalog file: what of them cannot be meant is told where it stands."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from incentives.catalog.conditions import (
    ATTRIBUTE,
    DEPTH_MOST,
    FACTS,
    GROUPS,
    NODES_MOST,
    OPERATORS,
    REDEEM,
    TYPES,
    Fact,
)
from incentives.catalog.fields import Fields, hint
from incentives.catalog.yaml_tree import Node
from incentives.kernel.money import AMOUNT_MINOR_MAX

_HOURS_MOST = 8760
_MISSING = ("fail", "pass")
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_TYPE_OF_FIELD = {"text": "text", "choice": "text", "number": "number", "flag": "flag", "date": "date"}


def read_condition(fields: Fields, name: str, *, stage: str, currency: str | None) -> dict[str, Any]:
    """Read a condition of an incentive in ``currency``; an absent one is none. ``stage`` is when it is asked."""
    if not fields.has(name):
        return {}
    return _Reader(fields, stage, currency).node(fields.at(name), 1)


class _Reader:
    """Reads one condition; counts its nodes on the way."""

    def __init__(self, fields: Fields, stage: str, currency: str | None) -> None:
        self._fields = fields
        self._stage = stage
        self._currency = currency
        self._count = 0

    def node(self, node: Node, depth: int) -> dict[str, Any]:
        """Return what stands at a node; nothing, with the mistake noted, where it cannot be meant."""
        self._count += 1
        if depth > DEPTH_MOST or self._count > NODES_MOST:
            if depth > DEPTH_MOST or self._count == NODES_MOST + 1:
                most = f"{DEPTH_MOST} levels deep and has {NODES_MOST} parts"
                self._fields.wrong(node, f"A condition is at most {most}; make this one simpler.")
            return {}
        here = node.value if isinstance(node.value, dict) else {}
        kinds = [name for name in (*GROUPS, "not", "fact") if name in here]
        if len(kinds) != 1:
            self._fields.wrong(node, "Write one of: all: […], any: […], not: {…}, or {fact: …} with a comparison.")
            return {}
        (kind,) = kinds
        if kind == "fact":
            return self._comparison(node)
        for other in here.keys() - {kind}:
            self._fields.wrong(
                here[other], f"“{other}” does not belong beside “{kind}”; put it inside, or take it out."
            )
        if kind == "not":
            return {"not": self.node(here["not"], depth + 1)}
        parts = here[kind].value
        if not isinstance(parts, list) or not parts:
            self._fields.wrong(here[kind], "This must be a list with at least one condition.")
            return {}
        return {kind: tuple(self.node(each, depth + 1) for each in parts)}

    def _comparison(self, node: Node) -> dict[str, Any]:
        inside = self._fields.under(node)
        name = inside.text("fact")
        fact = self._fact(inside, name) if name else None
        if fact is None:
            return {}
        inside.only(("fact",), (*TYPES[fact.type].operators, "missing", "within_hours"), of=f"a condition on {name}")
        operators = [each for each in TYPES[fact.type].operators if inside.has(each)]
        if len(operators) != 1 and not any(inside.has(each) for each in OPERATORS if each not in operators):
            known = ", ".join(TYPES[fact.type].operators)
            inside.wrong(node, f"A condition compares once; give exactly one of: {known}.")
        if len(operators) != 1:
            return {}
        self._check_age(inside, name)
        (operator,) = operators
        found = {
            "fact": name,
            operator: self._wanted(inside, operator, fact),
            "missing": inside.choice("missing", _MISSING, "fail"),
            "within_hours": inside.maybe_number("within_hours", least=1, most=_HOURS_MOST),
        }
        defaults = {"missing": "fail", "within_hours": None}
        return {part: value for part, value in found.items() if part not in defaults or value != defaults[part]}

    def _fact(self, inside: Fields, name: str) -> Fact | None:
        known = {each: fact for each, fact in self._known() if self._stage in fact.stages}
        if name in known:
            fact = known[name]
            if fact.type == "amount" and self._currency is None:
                inside.wrong(inside.at("fact"), "This incentive has no currency, so no amount can be compared.")
            return fact
        if name.startswith(ATTRIBUTE):
            why = "is not among metadata_fields of customer; declare it there."
        elif name in FACTS:
            when = "when it is redeemed" if self._stage == REDEEM else "when it is offered"
            why = f"is not known {when}; {hint(name, list(known))}"
        else:
            why = f"is nothing that a condition can ask; {hint(name, list(known))}"
        inside.wrong(inside.at("fact"), f"“{name}” {why}")
        return None

    def _known(self) -> Iterator[tuple[str, Fact]]:
        yield from FACTS.items()
        if self._stage != REDEEM:
            for each in self._fields.reading.attributes:
                fact = Fact(_TYPE_OF_FIELD[each.type], f"“{each.name}”", choices=each.choices)
                yield f"{ATTRIBUTE}{each.name}", fact

    def _check_age(self, inside: Fields, name: str) -> None:
        if inside.has("within_hours") and not name.startswith(ATTRIBUTE):
            why = "Only a customer's attribute has an age; leave this out."
            inside.wrong(inside.at("within_hours"), why)

    def _wanted(self, inside: Fields, operator: str, fact: Fact) -> Any:
        node = inside.at(operator)
        if operator != "in":
            return self._value(inside, node, fact)
        if not isinstance(node.value, list) or not node.value:
            inside.wrong(node, "This must be a list with at least one entry, such as [one, two].")
            return ()
        return tuple(self._value(inside, each, fact) for each in node.value)

    def _value(self, inside: Fields, node: Node, fact: Fact) -> Any:
        if not _CHECK[fact.type](node.value):
            inside.wrong(node, f"This must be {TYPES[fact.type].wants}.")
            return None
        if fact.choices and node.value not in fact.choices:
            inside.wrong(node, f"“{node.value}” is not possible here; {hint(node.value, fact.choices)}")
        if fact.item_kind:
            inside.refer(node, fact.item_kind, node.value)
        return node.value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return type(value) is int and abs(value) <= AMOUNT_MINOR_MAX  # as much as every program that reads it can hold


def _is_amount(value: object) -> bool:
    return type(value) is int and 0 <= value <= AMOUNT_MINOR_MAX


def _is_date(value: object) -> bool:
    # Weeks (2026-W01-1) are dates for Python too, and for no page and no other program that shows them.
    return _parses(date, value) and date.fromisoformat(str(value)).isoformat() == value


def _is_instant(value: object) -> bool:
    if not _parses(datetime, value) or not _is_date(str(value)[: len("2026-12-31")]):
        return False
    instant = datetime.fromisoformat(str(value))
    try:
        return instant.tzinfo is not None and instant.astimezone(UTC) is not None
    except OverflowError:  # in the first or the last year there is, and in none at Greenwich
        return False


def _parses(kind: type[date], value: object) -> bool:
    try:
        return isinstance(value, str) and kind.fromisoformat(value) is not None
    except ValueError:
        return False


_CHECK: Mapping[str, Any] = {
    "text": _is_text,
    "texts": _is_text,
    "number": _is_number,
    "amount": _is_amount,
    "flag": lambda value: isinstance(value, bool),
    "date": _is_date,
    "time": lambda value: isinstance(value, str) and _TIME.fullmatch(value) is not None,
    "instant": _is_instant,
}
