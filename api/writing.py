"""Answers written by their schemas, at a fraction of what marshmallow takes for it.

A schema is looked through once, when it first answers. What is plain (texts, numbers, instants, ids, lists and objects
of these) is then read off the value and left to ``orjson``, which writes instants and ids as marshmallow does; whatever
a field does in its own way it still does itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema, fields, missing

from api.fields import Instant, Key, Reason, Text, Words

Step = Callable[[Any, Any], Any]
"""What an object, and what stands there in it, are written as."""

_TEXTS = (fields.String, Text, Words, Reason, Key)
_AS_THEY_ARE = (fields.UUID, fields.AwareDateTime, Instant, fields.Boolean)


class Writer:
    """Writes values by one schema, as plain objects for ``orjson``."""

    def __init__(self, schema: Schema) -> None:
        """Take a schema; it is looked through when it is first used, since it may name itself or a later one."""
        self._schema = schema
        self._steps: tuple[tuple[str, str, type, Step], ...] | None = None

    def __call__(self, value: Any) -> Any:
        """Return what a value is written as: what ``orjson`` makes the same text of as of the schema's ``dump``."""
        steps = self._steps
        if steps is None:
            steps = self._steps = tuple(self._step(name, field) for name, field in self._schema.dump_fields.items())
        members = value if type(value) is dict or isinstance(value, Mapping) else None
        written = {}
        for name, attribute, usual, step in steps:
            said = getattr(value, attribute, missing) if members is None else members.get(attribute, missing)
            if type(said) is not usual:
                said = step(value, said)
            if said is not missing:
                written[name] = said
        return written

    def _step(self, name: str, field: fields.Field[Any]) -> tuple[str, str, type, Step]:
        attribute = field.attribute or name
        own_way = type(field).get_value is not fields.Field.get_value or "." in attribute
        plain = None if own_way or field.dump_default is not missing else _plain(field)
        step = plain or _by_itself(name, field, self._schema)
        return field.data_key or name, attribute, _USUAL.get(step, _Unusual), step


def _by_itself(name: str, field: fields.Field[Any], schema: Schema) -> Step:
    """Return how a field writes what it finds by itself."""
    return lambda whole, _: field.serialize(name, whole, schema.get_attribute)


def _plain(field: fields.Field[Any]) -> Step | None:
    """Return how a field is written that has no way of its own; None where it has."""
    kind = type(field)
    if kind in _TEXTS:
        return _text
    if kind in _AS_THEY_ARE and getattr(field, "format", None) in (None, "iso"):
        return _as_it_is
    if kind is fields.Integer:
        return _whole
    if isinstance(field, fields.List) and kind is fields.List:
        return _each(_plain(field.inner))
    if isinstance(field, fields.Nested) and kind is fields.Nested:
        schema = field.schema
        if not schema.many and not _is_hooked(schema):
            return _each(_object(schema)) if field.many else _object(schema)
    return None


def _is_hooked(schema: Schema) -> bool:
    """Return whether a schema does something of its own before or after it writes."""
    return bool(schema._hooks["pre_dump"] or schema._hooks["post_dump"])  # noqa: SLF001 - told nowhere else


def _text(_: Any, value: Any) -> Any:
    return value if value is None or value is missing or type(value) is str else str(value)


def _as_it_is(_: Any, value: Any) -> Any:
    return value


def _whole(_: Any, value: Any) -> Any:
    return value if value is None or value is missing or type(value) is int else int(value)


class _Unusual:
    """What nothing is."""


_USUAL: Mapping[Step, type] = {_text: str, _whole: int}
"""Of which type a value is that its step would leave as it is."""


def _each(step: Step | None) -> Step | None:
    if step is None:
        return None
    return lambda whole, value: value if value is None or value is missing else [step(whole, each) for each in value]


def _object(schema: Schema) -> Step:
    write = Writer(schema)
    return lambda _, value: value if value is None or value is missing else write(value)
