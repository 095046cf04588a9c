"""What a figure is, and how it is asked for: from the end of an index, or by counting so many rows and no more.

So each takes milliseconds at any size. No figure names a customer, a voucher or a person, or says what anybody wrote:
a label is a word of the house, or the name of a provider.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.database import UtcDateTime

MOST = 10_000
"""So many rows of a kind are counted; whoever reads this number knows that there are at least so many."""

NOW, SINCE, LATE = (sa.bindparam(name, type_=UtcDateTime()) for name in ("now", "since", "late"))


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure: its name, what it says, and by what it is told apart."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


Sample = tuple[Gauge, tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Part:
    """Figures that are read together, so that one that cannot be read hides no other part's."""

    name: str
    gauges: tuple[Gauge, ...]
    read: Callable[[Connection, datetime], Iterable[Sample]]


def word(value: str) -> sa.BindParameter[str]:
    """Return a word that stands in the statement itself: PostgreSQL must see that it is a rare one.

    A plan that was made for any status would read the millions of messages that are over to find one that waits.
    """
    return sa.bindparam(None, value, type_=sa.String(), literal_execute=True)


def some(columns: Sequence[Any], *conditions: Any, order: Any = None) -> sa.Subquery:
    """Return at most ``MOST`` rows as something to count."""
    query = sa.select(*columns).where(*conditions)
    return (query if order is None else query.order_by(order)).limit(MOST).subquery()


def counted(columns: Sequence[Any], *conditions: Any, order: Any = None) -> sa.Select[Any]:
    """Return the count of some rows, by their columns."""
    rows = some(columns, *conditions, order=order)
    return sa.select(*rows.c, sa.func.count().label("count")).group_by(*rows.c)


def waiting(what: str, since: Any, *conditions: Any, order: Any = None) -> Any:
    """Return what waits: its name, how many, and since when the one that has waited longest does."""
    rows = some([since.label("since")], *conditions, order=order)
    return sa.select(sa.literal(what), sa.func.count(), sa.func.min(rows.c.since)).select_from(rows)


def longest(what: str, since: Any, *conditions: Any) -> Any:
    """Return what is due: its name, and since when what has been due longest is."""
    first = sa.select(since.label("since")).where(*conditions, since <= NOW).order_by(since).limit(1).subquery()
    return sa.select(sa.literal(what), sa.func.min(first.c.since)).select_from(first)


def age(now: datetime, since: datetime | None) -> float:
    """Return for how many seconds something has been so; none where it is not, or will be."""
    return max((now - since).total_seconds(), 0.0) if since is not None else 0.0
