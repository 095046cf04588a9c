"""Lists by cursor: ``?limit=…&after=…`` gives ``{"items": […], "next": cursor or null}``."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from marshmallow import Schema, fields

from api.fields import Answer, Query, QueryNumber, Text
from incentives.kernel.errors import InputInvalid

LIMIT_MAX = 200
_LIMIT_USUAL = 50

Item = TypeVar("Item")


class PageQuery(Query):
    """Which part of a list."""

    limit = QueryNumber(
        minimum=1, maximum=LIMIT_MAX, load_default=_LIMIT_USUAL, metadata={"description": "How many at most."}
    )
    after = Text(200, metadata={"description": "The `next` of the page before, as it came."})


def page_of(item: type[Schema]) -> Schema:
    """Return the schema of one page of a list of items."""
    members = {
        "items": fields.List(fields.Nested(item)),
        "next": fields.String(
            allow_none=True, metadata={"description": "The cursor of the next page; null at the end."}
        ),
    }
    name = f"{item.__name__.removesuffix('Schema')}Page"
    page: Schema = type(name, (Answer,), {"__doc__": "One page of a list.", **members})()
    return page


def page_by_key(
    items: Sequence[Item], key_of: Callable[[Item], str], *, limit: int, after: str | None = None
) -> dict[str, Any]:
    """Return the page of a list in memory that comes after the item with a key.

    Raises ``InputInvalid`` for a cursor that no item has.
    """
    keys = [key_of(item) for item in items]
    if after is not None and after not in keys:
        raise InputInvalid(errors=[{"field": "after", "message": "Use the cursor of the page before, as it came."}])
    start = keys.index(after) + 1 if after is not None else 0
    end = start + limit
    return {"items": items[start:end], "next": keys[end - 1] if end < len(keys) else None}
