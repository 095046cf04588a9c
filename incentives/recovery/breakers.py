"""Breakers: how much a criterion may give within an hour for one source, counted in rows that only grow.

A broken survey tool then costs an hour's allowance and not the month's budget.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from incentives.kernel.money import Money
from incentives.recovery.feedback_tables import criteria_hours

ANY_CURRENCY = "XXX"
"""ISO 4217's word for no currency: the row that counts what is given, whatever it is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What a criterion may give within an hour for one source. A number that is None (or absent) does not limit."""

    count_per_hour: int | None = None
    amount_minor_per_hour: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> "Breaker":
        """Return the breaker of a criterion's definition."""
        return cls(
            count_per_hour=definition.get("count_per_hour"),
            amount_minor_per_hour=definition.get("amount_minor_per_hour") or {},
        )


@dataclass(frozen=True, slots=True)
class Hour:
    """One criterion's hour for one source."""

    criterion: str
    source: str
    start_at: datetime

    @classmethod
    def at(cls, criterion: str, source: str, now: datetime) -> "Hour":
        """Return the hour that an instant is in; hours are those of the clock, in UTC."""
        return cls(criterion, source, now.replace(minute=0, second=0, microsecond=0))


def charge(tx: Connection, hour: Hour, breaker: Breaker, amount: Money) -> bool:
    """Count one gift, unless it would be one too many; False then, and the caller undoes what it did.

    Each row is changed by one conditional statement, the count always first, so that two who give at the same
    instant cannot both be the last, nor wait for each other in a ring.
    """
    most = breaker.amount_minor_per_hour.get(amount.currency)
    counted = _add(tx, hour, ANY_CURRENCY, 0, most_count=breaker.count_per_hour, most_minor=None)
    return counted and _add(tx, hour, amount.currency, amount.amount_minor, most_count=None, most_minor=most)


def is_open(tx: Connection, hour: Hour, breaker: Breaker) -> bool:
    """Return whether an hour's count is used up already: nothing need be tried then. ``charge`` is what decides."""
    if breaker.count_per_hour is None:
        return False
    counted = tx.execute(
        sa.select(criteria_hours.c.count).where(*_this(hour), criteria_hours.c.currency == ANY_CURRENCY)
    ).scalar()
    return (counted or 0) >= breaker.count_per_hour


def _this(hour: Hour) -> tuple[sa.ColumnElement[bool], ...]:
    table = criteria_hours.c
    return (
        table.criterion == hour.criterion,
        table.source == hour.source,
        table.hour_start_at == hour.start_at,
    )


def _add(
    tx: Connection, hour: Hour, currency: str, amount_minor: int, *, most_count: int | None, most_minor: int | None
) -> bool:
    if (most_count is not None and most_count < 1) or (most_minor is not None and most_minor < amount_minor):
        return False  # More than an hour that nothing was given in yet allows.
    table = criteria_hours.c
    make = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    room: list[sa.ColumnElement[bool]] = [sa.true()]
    if most_count is not None:
        room.append(table.count + 1 <= most_count)
    if most_minor is not None:
        room.append(table.amount_minor + amount_minor <= most_minor)
    statement = (
        make(criteria_hours)
        .values(
            criterion=hour.criterion,
            source=hour.source,
            hour_start_at=hour.start_at,
            currency=currency,
            count=1,
            amount_minor=amount_minor,
        )
        .on_conflict_do_update(
            index_elements=["criterion", "source", "hour_start_at", "currency"],
            set_={"count": table.count + 1, "amount_minor": table.amount_minor + amount_minor},
            where=sa.and_(*room),
        )
        .returning(table.count)
    )
    return tx.execute(statement).first() is not None
