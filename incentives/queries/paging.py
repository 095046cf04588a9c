"""Cursors: a list goes on after an id. Ids grow with time, so nothing is skipped or shown twice while rows come in."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.errors import InputInvalid

LIMIT_MAX = 200

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list, the newest first; ``next`` is the cursor of the page after it, or None at the end."""

    items: Sequence[Item]
    next: str | None


def page(
    tx: Connection,
    query: sa.Select[Any],
    by: sa.ColumnElement[uuid.UUID],
    shape: Callable[[Any], Item],
    *,
    limit: int,
    after: str | None,
) -> Page[Item]:
    """Return the page of a query after a cursor, newest first. Raises ``InputInvalid`` for a foreign cursor."""
    if not 1 <= limit <= LIMIT_MAX:
        raise InputInvalid(errors=[{"field": "limit", "message": f"limit is 1 to {LIMIT_MAX}."}])
    if after is not None:
        query = query.where(by < _cursor(after))
    rows = tx.execute(query.order_by(by.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    shown = rows[:limit]
    return Page(items=[shape(row) for row in shown], next=shown[-1].id.hex if more else None)


def _cursor(after: str) -> uuid.UUID:
    try:
        return uuid.UUID(hex=after)
    except ValueError:
        raise InputInvalid(
            errors=[{"field": "after", "message": "Use the cursor of the page before, as it came."}]
        ) from None
