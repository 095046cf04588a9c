"""Mappings: where in a source's own JSON each of our fields stands, so that a new survey tool is a file, not code.

Pure: a document and a mapping in, our fields out. Places are JSON Pointers (RFC 6901).
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

from incentives.kernel.errors import InputInvalid

FORM = "application/x-www-form-urlencoded"
CONSTANT = "="
_FORM_FIELDS_MAX = 500
_INDEX = re.compile("0|[1-9][0-9]{0,8}")

# What ``POST /feedback`` takes, as a mapping of its own: a kept request is read again by the very same code.
CONTRACT: Mapping[str, tuple[str, ...]] = {
    **{
        name: (f"/{name}",)
        for name in (
            "source", "external_id", "kind", "event", "score", "scale", "comment", "issue_tags", "agent", "order_ref",
            "product", "location", "occurred_at", "amount_minor", "currency", "customer_value_minor", "consent",
            "severity", "choices", "revision",
        )
    },
    **{
        f"customer.{name}": (f"/customer/{name}",)
        for name in ("external_ref", "name", "email", "phone", "locale", "segment")
    },
}  # fmt: skip


class Absent:
    """Stands for a place where nothing is; null is something."""


ABSENT = Absent()


def document_of(body: bytes, media_type: str) -> Any:
    """Return the document that a body is: JSON, or a form as an object of texts.

    Numbers with a fraction come as ``Decimal``. Raises ``InputInvalid``, naming ``body``, for what is neither.
    """
    if media_type == FORM:
        return _form(body)
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:  # An exponent may be more than a Decimal holds.
        raise _unreadable("The body is not JSON in UTF-8, or is nested too deep.") from error


def _form(body: bytes) -> dict[str, Any]:
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FORM_FIELDS_MAX)
    except ValueError as error:
        raise _unreadable("The form cannot be read.") from error
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON.


def _unreadable(message: str) -> InputInvalid:
    return InputInvalid(message, errors=[{"field": "body", "message": message}])


def at(document: Any, pointer: str) -> Any:
    """Return what stands at a JSON Pointer, ``ABSENT`` where there is no such place."""
    if pointer == "":
        return document
    found = document
    for name in pointer.removeprefix("/").split("/"):
        found = _step(found, name.replace("~1", "/").replace("~0", "~"))
        if found is ABSENT:
            return ABSENT
    return found


def _step(found: Any, name: str) -> Any:
    if isinstance(found, Mapping):
        return found.get(name, ABSENT)
    # RFC 6901: an index has no sign and no leading zero. Its length is bounded, for Python refuses to read long ones.
    if isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
        return found[int(name)]
    return ABSENT


def read(document: Any, fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return our fields as a document has them; one that is null or nowhere is left out.

    Of a field's places the first that is there counts; a place that begins with ``=`` is a constant.
    """
    found: dict[str, Any] = {}
    for name, places in fields.items():
        for place in places:
            value = place.removeprefix(CONSTANT) if place.startswith(CONSTANT) else at(document, place)
            if value is not ABSENT and value is not None:
                found[name] = value
                break
    return found


def translated(found: Mapping[str, Any], values: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return our fields in our words where the mapping has one for what the source says, in any case of letters."""
    return {name: _translated(value, values[name]) if name in values else value for name, value in found.items()}


def _translated(value: Any, ours: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_translated(each, ours) for each in value]
    return folded(ours).get(fold(value), value)


def folded(names: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping whose keys are fit to be looked up whatever their letters' case."""
    return {fold(name): value for name, value in names.items()}


def fold(value: Any) -> str:
    """Return a value as a text fit to be compared: trimmed, in small letters, truth as JSON writes it."""
    return (str(value).lower() if isinstance(value, bool) else str(value)).strip().casefold()


def listed(value: Any) -> list[Any]:
    """Return the values of a field that may hold one, several, or several in one text parted by commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str | int | bool | Decimal)]
    return [value] if isinstance(value, int | Decimal) else []
