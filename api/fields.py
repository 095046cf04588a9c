"""Fields of this door, written by hand: what they let in is what the published schema says, and nothing else."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask import current_app
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from incentives.kernel.money import AMOUNT_MINOR_MAX
from incentives.kernel.years import OUTSIDE, within_years

KEY_LENGTH_MAX = 64
METADATA_ITEMS_MAX = 50
METADATA_BYTES_MAX = 8 * 1024
METADATA_NAME_LENGTH_MAX = 64
METADATA_TEXT_LENGTH_MAX = 500

# PostgreSQL cannot store the character NUL.
_NO_NUL = r"^[^\u0000]*$"
_NO_NUL_AND_NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"

# What nobody can see may hide what a text says; lines may end and be indented.
_SEEN = r"[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]"
SEEN = f"^{_SEEN}*$"
SEEN_AND_NOT_BLANK = f"^{_SEEN}*[^\\s\\u0000-\\u001f\\u007f-\\u009f]{_SEEN}*$"


def published(converter: Any, field: fields.Field[Any], ret: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a field of ours adds to its published schema; apispec calls it for every field."""
    del converter, ret
    return getattr(field, "published", {})


class Body(Schema):
    """What a request sends. A name that is not known is refused: it is a typing error, or an attack."""

    class Meta:
        """Marshmallow's options."""

        unknown = RAISE


class Query(Schema):
    """What stands behind the question mark; unknown names are refused here too."""

    class Meta:
        """Marshmallow's options."""

        unknown = RAISE


class Answer(Schema):
    """What is answered: every member is always there, null where there is nothing. Later versions may add members."""

    class Meta:
        """Marshmallow's options."""

        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: ARG002 - marshmallow's signature
        """Publish every member as one that is always there."""
        field_obj.required = True


class WholeNumber(fields.Field[int]):
    """A JSON integer within bounds.

    Marshmallow's own takes "5" and cuts 4069.7 to 4069, or, strict, refuses 4069.0, which JSON Schema calls an
    integer. This one takes what JSON Schema calls an integer and nothing else.
    """

    def __init__(self, *, minimum: int, maximum: int, **options: Any) -> None:
        """Take numbers from ``minimum`` to ``maximum``, both included."""
        super().__init__(**options)
        self.minimum, self.maximum = minimum, maximum
        self.published: Mapping[str, Any] = {"minimum": minimum, "maximum": maximum}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        del attr, data, options
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if not whole:
            raise ValidationError("Send a whole number, not a text and not a fraction.")
        if not self.minimum <= value <= self.maximum:
            raise ValidationError(f"Send a whole number from {self.minimum} to {self.maximum}.")
        return int(value)


class MinorUnits(WholeNumber):
    """An amount in the smallest unit of its currency."""

    def __init__(self, **options: Any) -> None:
        """Take amounts from 0 to the most that a JSON number holds without loss."""
        super().__init__(minimum=0, maximum=AMOUNT_MINOR_MAX, **options)


class QueryNumber(WholeNumber):
    """A whole number in a query, in plain digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", value):
            raise ValidationError(f"Send a whole number from {self.minimum} to {self.maximum}.")
        return super()._deserialize(int(value), attr, data, **options)


class Truth(fields.Field[bool]):
    """Yes or no as JSON has them; marshmallow's own takes "off" and 1 too."""

    published: Mapping[str, Any] = {"type": "boolean"}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        del attr, data, options
        if not isinstance(value, bool):
            raise ValidationError("Send true or false.")
        return value


class QueryTruth(Truth):
    """Yes or no in a query: ``true`` or ``false``."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        return super()._deserialize({"true": True, "false": False}.get(value, value), attr, data, **options)


class ScoreGiven(fields.Field[Decimal | str]):
    """A score as its scale has it: a number, or one of the scale's words."""

    published: Mapping[str, Any] = {
        "anyOf": [
            {"type": "number"},
            {"type": "string", "minLength": 1, "maxLength": 20, "pattern": _NO_NUL},
            {"type": "null"},
        ],
        "description": "On `scale`; `good` and `bad` on csat. Outside of its scale it is kept, and refused.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any
    ) -> Decimal | str:
        del attr, data, options
        if isinstance(value, str) and 1 <= len(value) <= 20 and "\x00" not in value:  # noqa: PLR2004 - as published
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValidationError("Send a number, or a word of the scale.")
        # By its shortest text: 4.1 stays 4.1.
        return Decimal(str(value))


class Text(fields.String):
    """A text of at most so many characters."""

    def __init__(self, max_length: int, *, min_length: int = 1, pattern: str = _NO_NUL, **options: Any) -> None:
        """Take texts of ``min_length`` to ``max_length`` characters."""
        length = validate.Length(min=min_length, max=max_length, error="Send {min} to {max} characters.")
        shape = validate.Regexp(pattern, error="This has characters that cannot stand here.")
        super().__init__(validate=[length, shape], error_messages={"invalid": "Send a text."}, **options)


class Words(Text):
    """A text that says something: white space alone is no reason, no note and no title."""

    def __init__(self, max_length: int, **options: Any) -> None:
        """Take texts of at most so many characters, one of them to be seen."""
        super().__init__(max_length, pattern=_NO_NUL_AND_NOT_BLANK, **options)


class Reason(Text):
    """Why somebody does something, as the core takes it: without characters that nobody can see."""

    def __init__(self, max_length: int, **options: Any) -> None:
        """Take texts of at most so many characters, one of them to be seen."""
        super().__init__(max_length, pattern=SEEN_AND_NOT_BLANK, **options)


class Key(Text):
    """The key of something in the catalog."""

    def __init__(self, **options: Any) -> None:
        """Take any text that could be a key; whether there is such a thing the catalog says."""
        super().__init__(KEY_LENGTH_MAX, **options)


class Instant(fields.AwareDateTime):
    """An instant, answered in UTC. One without a zone is refused: nobody could say when that is.

    So is one at the ends of the calendar: no page of another zone could show it.
    """

    def __init__(self, **options: Any) -> None:
        """Answer in UTC."""
        super().__init__(format="iso", default_timezone=None, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> datetime:
        try:
            found = super()._deserialize(value, attr, data, **options).astimezone(UTC)
        except OverflowError:
            raise ValidationError(OUTSIDE) from None
        if not within_years(found):
            raise ValidationError(OUTSIDE)
        return found


class CustomerLink(fields.String):
    """The address of a customer's page, made of a voucher's token."""

    def __init__(self, suffix: str = "", **options: Any) -> None:
        """Point to the page itself, or to what a suffix names below it."""
        super().__init__(**options)
        self.suffix = suffix

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = None) -> Any:
        """Return the address for the voucher's token; none where the token is not told."""
        del attr
        token: Any = super().get_value(obj, "token", accessor, default)
        if token is None:
            return None
        return f"{current_app.extensions['core'].settings.public_url}/v/{token}{self.suffix}"


class Part(fields.Nested):
    """An object made of members of the one around it."""

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = None) -> Any:
        """Return the one around it."""
        del attr, accessor, default
        return obj


class Labels(fields.Field[Mapping[str, str]]):
    """Texts by language."""

    published: Mapping[str, Any] = {"additionalProperties": {"type": "string"}}

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> dict[str, str] | None:
        del attr, obj, options
        return None if value is None else dict(value)


_METADATA_BOUNDS: Mapping[str, Any] = {
    "description": f"Whatever the caller wants to find again; {METADATA_BYTES_MAX} bytes in all.",
    "maxProperties": METADATA_ITEMS_MAX,
    "propertyNames": {"minLength": 1, "maxLength": METADATA_NAME_LENGTH_MAX, "pattern": _NO_NUL},
    "additionalProperties": {
        "anyOf": [
            {"type": "string", "maxLength": METADATA_TEXT_LENGTH_MAX, "pattern": _NO_NUL},
            {"type": "number", "minimum": -AMOUNT_MINOR_MAX, "maximum": AMOUNT_MINOR_MAX},
            {"type": "boolean"},
        ]
    },
}


class Metadata(fields.Field[dict[str, Any]]):
    """Whatever the caller wants to find again: names with texts, numbers and yes or no.

    Numbers are kept within what a JSON number holds without loss, so that every database gives back what it took.
    """

    published = _METADATA_BOUNDS

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any
    ) -> dict[str, Any]:
        del attr, data, options
        if not isinstance(value, dict):
            raise ValidationError("Send an object.")
        if len(value) > METADATA_ITEMS_MAX:
            raise ValidationError(f"Send at most {METADATA_ITEMS_MAX} names.")
        mistakes = {
            name[:METADATA_NAME_LENGTH_MAX]: [mistake]
            for name, item in value.items()
            if (mistake := _mistake(name, item))
        }
        if mistakes:
            raise ValidationError(mistakes)
        if sum(len(name.encode()) + len(str(item).encode()) for name, item in value.items()) > METADATA_BYTES_MAX:
            raise ValidationError(f"Send at most {METADATA_BYTES_MAX} bytes.")
        return value


def _mistake(name: str, value: Any) -> str | None:
    if not 1 <= len(name) <= METADATA_NAME_LENGTH_MAX or "\x00" in name:
        return f"A name has 1 to {METADATA_NAME_LENGTH_MAX} characters."
    if isinstance(value, str):
        fits = len(value) <= METADATA_TEXT_LENGTH_MAX and "\x00" not in value
        return None if fits else f"A text has at most {METADATA_TEXT_LENGTH_MAX} characters."
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if abs(value) <= AMOUNT_MINOR_MAX else "This number is too large to be kept without loss."
    return "Send a text, a number, true or false."


class MoneyBody(Body):
    """Money as a request sends it."""

    amount_minor = MinorUnits(required=True)
    currency = Text(3, min_length=3, pattern="^[A-Z]{3}$", required=True, metadata={"description": "ISO 4217"})


class BoundsSchema(Answer):
    """The least and the most to choose from, both included, in minor units."""

    least_minor = fields.Integer()
    most_minor = fields.Integer()


class Bounds(fields.Nested):
    """A pair of minor units (least, most)."""

    def __init__(self, **options: Any) -> None:
        """Null is answered where there is nothing to choose."""
        super().__init__(BoundsSchema, allow_none=True, **options)

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = None) -> Any:
        """Return the pair with names."""
        pair = super().get_value(obj, attr, accessor, default)
        return dict(zip(("least_minor", "most_minor"), pair, strict=True)) if isinstance(pair, tuple) else pair


class MoneySchema(Answer):
    """Money: whole minor units and a currency."""

    amount_minor = fields.Integer(metadata={"description": "In the currency's smallest unit."})
    currency = fields.String(metadata={"description": "ISO 4217"})
