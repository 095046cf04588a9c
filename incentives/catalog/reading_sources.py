"""The sources of the catalog file: which tool reports, and where in its JSON each of our fields stands."""

import re

from incentives.catalog.definitions import EVENTS, FEEDBACK_KINDS, OUR_SOURCES, SCALES, Brand, FeedbackSource
from incentives.catalog.fields import Fields, hint
from incentives.catalog.international import is_currency
from incentives.catalog.reading_recovery import ALIAS_LONGEST, check_source_name
from incentives.catalog.yaml_tree import Node

OUR_FIELDS = (
    "external_id", "kind", "event", "revision", "score", "scale", "comment", "issue_tags", "occurred_at",
    "customer.email", "customer.name", "customer.phone", "customer.external_ref", "customer.locale",
    "customer.segment", "customer_value_minor", "agent", "order_ref", "location", "product", "amount_minor", "currency",
    "severity", "consent",
)  # fmt: skip
"""The fields of a piece of feedback that a source may fill."""

CONSTANT = "="
"""What a text in ``fields`` begins with that is no pointer but the value itself."""

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_POINTER_LONGEST = 300
_TOLERANCE_MOST_HOURS = 24 * 366
_WORDS_OF = {"kind": FEEDBACK_KINDS, "event": EVENTS, "scale": SCALES}
_ITEMS_OF = {"location": "location", "issue_tags": "issue_tag", "customer.segment": "segment"}


def read_source(fields: Fields, _brand: Brand) -> FeedbackSource:
    """Read a source, and look whether what it maps to can be understood."""
    fields.only(("key", "name", "kind", "fields"), ("scale", "tag_source", "values", "tolerance_hours"), of="a source")
    if fields.has("tag_source"):
        check_source_name(fields, fields.at("tag_source"), fields.text("tag_source"))
    source = FeedbackSource(
        key=fields.key(),
        name=fields.text("name"),
        kind=fields.choice("kind", FEEDBACK_KINDS),
        fields=_fields_of(fields),
        scale=fields.choice("scale", SCALES) or None,
        tag_source=fields.maybe_text("tag_source"),
        values=_values_of(fields),
        tolerance_hours=fields.number_or(24 * 31, "tolerance_hours", least=1, most=_TOLERANCE_MOST_HOURS),
    )
    _check(fields, source)
    return source


def _fields_of(fields: Fields) -> dict[str, tuple[str, ...]]:
    mapped = fields.inside("fields")
    if fields.has("fields"):
        mapped.only(("external_id",), OUR_FIELDS, of="what a source can tell")
    return {name: _places_of(mapped, name) for name in OUR_FIELDS if mapped.has(name)}


def _places_of(mapped: Fields, name: str) -> tuple[str, ...]:
    node = mapped.at(name)
    places = mapped.texts_of(node.value if isinstance(node.value, list) else [node], longest=_POINTER_LONGEST)
    for place, at in places.items():
        if place.startswith(CONSTANT):
            _check_value(mapped, at, name, place.removeprefix(CONSTANT))
        elif not _POINTER.fullmatch(place):
            why = "is not a JSON Pointer (RFC 6901); write it as /question/score, or =value for a constant."
            mapped.wrong(at, f"“{place}” {why}")
    if node.value == []:
        mapped.wrong(node, "This must be a JSON Pointer such as /question/score, or a list of them.")
    return tuple(places)


def _values_of(fields: Fields) -> dict[str, dict[str, str]]:
    values = fields.inside("values")
    mapped = [name for name in OUR_FIELDS if fields.inside("fields").has(name)]
    values.only((), mapped, of="the values of the fields that this source has")
    return {name: _translations(values, name) for name in mapped if values.has(name)}


def _translations(values: Fields, name: str) -> dict[str, str]:
    theirs = values.inside(name)
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for given, node in values.entries(name).items():
        other = first.setdefault(given.strip().casefold(), given)
        if other != given:
            values.wrong(node, f"“{given}” and “{other}” are the same value; keep one of the two.")
        found[given] = theirs.text(given, longest=ALIAS_LONGEST)
        if found[given]:
            _check_value(theirs, node, name, found[given])
    return found


def _check_value(fields: Fields, node: Node, name: str, value: str) -> None:
    """Note a value of one of our fields that nothing here goes by."""
    if name in _ITEMS_OF:
        fields.refer(node, _ITEMS_OF[name], value)
    if name in _WORDS_OF and value not in _WORDS_OF[name]:
        fields.wrong(node, f"“{value}” is not possible here; {hint(value, _WORDS_OF[name])}")
    if name == "currency" and not is_currency(value):
        fields.wrong(node, f"“{value}” is not a currency of ISO 4217; write three capital letters, such as EUR.")
    if name == "external_id":
        fields.wrong(node, "With this every report would be the same one; point at what tells them apart.")


def _check(fields: Fields, source: FeedbackSource) -> None:
    mapped = fields.inside("fields")
    if source.key in OUR_SOURCES:
        fields.wrong(fields.at("key"), f"“{source.key}” is a source of our own; give this one another key.")
    if "score" in source.fields and source.scale is None and "scale" not in source.fields:
        why = f"A score means nothing without its scale; add it to the source: {', '.join(SCALES)}."
        fields.wrong(mapped.at("score"), why)
    if source.kind == "event" and source.fields and "event" not in source.fields:
        fields.wrong(fields.at("fields"), "Which event is it? Add “event”, such as =order_late.", under="event")
