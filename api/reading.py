"""Bodies read by their schemas, at a fraction of what marshmallow takes for it.

A schema is looked through once, when it first reads. A body that is good is then read member by member: texts here,
whatever a field reads in its own way by that field itself. About a body that is not, marshmallow is asked, which says
all that is wrong with it. So what is let in, and what is said of the rest, is marshmallow's.
"""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, missing

from incentives.kernel.errors import InputInvalid

_MISTAKES_TOLD = 3

Step = Callable[[Any, str, Mapping[str, Any]], Any]
"""What a member's value is read as, by its name and the whole that it stands in. Raises ``ValidationError``."""


class Reader:
    """Reads bodies by one schema."""

    def __init__(self, schema: Schema) -> None:
        """Take a schema; it is looked through when it is first used."""
        self._schema = schema
        self._read: Callable[[Any], Any] | None = None

    def __call__(self, body: Any) -> Any:
        """Return a body as the schema's ``load`` reads it. Raises ``ValidationError`` as that does."""
        if self._read is None:
            self._read = _reading(self._schema) or self._schema.load
        try:
            return self._read(body)
        except ValidationError:
            return self._schema.load(body)


def parsed(reader: Reader, value: Any) -> Any:
    """Return a value as a schema reads it, such as one line of many. Raises ``InputInvalid`` as a body's does."""
    try:
        return reader(value)
    except ValidationError as error:
        raise refused(error.messages) from None


def refused(messages: Any) -> InputInvalid:
    """Return the refusal of what marshmallow says is wrong: every field at fault by its path."""
    mistakes = [(path or "body", text) for path, text in _mistakes(messages)]
    return InputInvalid(
        " ".join(f"{path}: {text}" for path, text in mistakes[:_MISTAKES_TOLD]),
        errors=[{"field": path, "message": text} for path, text in mistakes],
    )


def _mistakes(messages: Any, path: str = "") -> list[tuple[str, str]]:
    """Return every mistake as (dotted path, message)."""
    if isinstance(messages, Mapping):
        return [
            mistake
            for name, below in messages.items()
            for mistake in _mistakes(below, path if name == "_schema" else f"{path}.{name}".lstrip("."))
        ]
    return [(path, str(text)) for text in messages]


def _reading(schema: Schema) -> Callable[[Any], dict[str, Any]] | None:
    """Return what reads a good body, and raises about any other; None for a schema with more ways of its own."""
    hooks = schema._hooks  # noqa: SLF001 - told nowhere else
    checks = [(name, options) for name, many, options in hooks["validates_schema"] if not many]
    steps = [_member(name, field) for name, field in schema.load_fields.items()]
    plain = (
        type(schema)._deserialize is Schema._deserialize  # noqa: SLF001 - told nowhere else
        and schema.unknown == RAISE
        and not (schema.many or schema.partial)
        and not any(hooks[tag] for tag in ("pre_load", "post_load", "validates"))
        and len(checks) == len(hooks["validates_schema"])
        and not any(options.get("pass_original") for _, options in checks)
        and not any("." in step[1] for step in steps)
    )
    validators = [getattr(schema, name) for name, _ in checks]

    def read(body: Any) -> dict[str, Any]:
        if type(body) is not dict:
            raise _amiss()
        value: dict[str, Any] = {}
        met = 0
        for name, attribute, field, step in steps:
            sent = body.get(name, missing)
            if sent is missing:
                if field.required:
                    raise _amiss()
                sent = field.load_default
                if sent is not missing:
                    value[attribute] = sent() if callable(sent) else sent
                continue
            met += 1
            if sent is None and field.allow_none:
                value[attribute] = None
            else:
                value[attribute] = step(sent, name, body)
        if met < len(body):
            raise _amiss()
        for check in validators:
            check(value, many=False, partial=schema.partial, unknown=schema.unknown)
        return value

    return read if plain else None


def _amiss() -> ValidationError:
    return ValidationError("Marshmallow says what.")


def _member(name: str, field: fields.Field[Any]) -> tuple[str, str, fields.Field[Any], Step]:
    step = field.deserialize if field.pre_load or field.post_load else _plain(field) or field.deserialize
    return field.data_key or name, field.attribute or name, field, step


def _plain(field: fields.Field[Any]) -> Step | None:
    """Return how a field is read that has no way of its own; None where it has."""
    kind = type(field)
    if kind._deserialize is fields.String._deserialize and kind._validate is fields.Field._validate:  # noqa: SLF001 - told nowhere else
        return _text(field)
    if kind is fields.Nested and isinstance(field, fields.Nested) and not (field.many or field.unknown):
        return None if field.validators else _nested(field)
    return None


def _text(field: fields.Field[Any]) -> Step:
    checks = tuple(field.validators)

    def read(sent: Any, _name: str, _whole: Mapping[str, Any]) -> Any:
        if type(sent) is not str:
            raise _amiss()
        for check in checks:
            check(sent)
        return sent

    return read


def _nested(field: fields.Nested) -> Step:
    """Return what reads an object within the object; its schema is looked through later, since it may name itself."""
    known: list[Callable[[Any], Any]] = []

    def read(sent: Any, _name: str, _whole: Mapping[str, Any]) -> Any:
        if not known:
            known.append(_reading(field.schema) or field.schema.load)
        return known[0](sent)

    return read
