"""What requests may tell beside our own fields: declared by the catalog, so that rules can rely on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from incentives.catalog.definitions import Definition

OBJECTS = ("customer", "issuance", "redemption")
TYPES = ("text", "number", "flag", "date", "choice")

_NUMBER_MOST = 2**53
_TEXT_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataField(Definition):
    """One field of the metadata of an issuance or a redemption, or of the attributes of a customer (``of``).

    ``type`` is one of ``TYPES``; a choice has ``choices``. A required one is missed at creation.
    """

    item_kind: ClassVar[str] = "metadata_field"

    of: str
    name: str
    type: str
    required: bool = False
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return what it is of and its name, which is unique in a catalog."""
        return f"{self.of}.{self.name}"


def mistakes_in(
    declared: Iterable[MetadataField], given: Mapping[str, Any], *, of: str, inside: str
) -> list[dict[str, str]]:
    """Return what is wrong with the metadata of one thing as ``{field, message}``; nothing when it is as declared.

    Where the catalog declares nothing of a thing, everything may be told of it.
    """
    known = {each.name: each for each in declared if each.of == of}
    if not known:
        return []
    wrong = [(name, "The catalog does not know this field.") for name in given if name not in known]
    wrong += [(each.name, "This is missing.") for each in known.values() if each.required and _absent(given, each)]
    wrong += [
        (name, _SHOULD_BE[known[name].type].format(choices=", ".join(known[name].choices)))
        for name, value in given.items()
        if name in known and value is not None and not _fits(known[name], value)
    ]
    return [{"field": f"{inside}.{name}", "message": message} for name, message in wrong]


def _absent(given: Mapping[str, Any], each: MetadataField) -> bool:
    return given.get(each.name) is None


_SHOULD_BE = {
    "text": "This must be text of 1 to 500 characters.",
    "number": "This must be a whole number.",
    "flag": "This must be true or false.",
    "date": "This must be a date, such as 2026-12-31.",
    "choice": "This must be one of: {choices}.",
}


def _fits(each: MetadataField, value: object) -> bool:
    if each.type == "number":
        return type(value) is int and abs(value) <= _NUMBER_MOST
    if each.type == "flag":
        return isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if each.type == "date":
        return _is_date(value)
    return value in each.choices if each.type == "choice" else 0 < len(value) <= _TEXT_LONGEST


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
