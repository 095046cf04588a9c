"""A budget's history: every entry that changed it, the newest first, each with what stood after it.

It begins with the cap of the release in force. Allocations change what the budget may hold, movements what is held,
committed and spent of it; summed up they are the numbers that the budget shows.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid
from incentives.queries.budgets import Budget, pot_of
from incentives.queries.letters import actor_names
from incentives.queries.paging import LIMIT_MAX
from incentives.spending.tables import COUNTERS, budget_allocations, budget_movements

_STATES = ("held", "committed", "spent")
_ALLOTTED = ("allotted_minor", "allotted_count")
NUMBERS = (*COUNTERS, *_ALLOTTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One entry. ``changes`` and ``after`` have the budget's numbers by name, such as ``held_minor``.

    ``kind`` is an allocation's (``top_up``, ``carry_in`` …), whose ``reason`` and ``approved_by_name`` say why and who
    agreed, or a movement's (``hold``, ``spend`` …), which is about an issuance or a bulk job.
    """

    id: uuid.UUID
    kind: str
    at: datetime
    actor: str
    actor_name: str
    approved_by: str | None
    approved_by_name: str | None
    reason: str | None
    source_id: uuid.UUID
    issuance_id: uuid.UUID | None
    job_id: uuid.UUID | None
    changes: dict[str, int]
    after: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One page of a budget's entries. ``sums`` are of all entries; ``agrees`` is whether the budget shows just those.

    ``next`` is the cursor of the page after it.
    """

    budget: Budget
    lines: Sequence[Line]
    sums: dict[str, int]
    agrees: bool
    next: str | None


def history_of(
    *,
    core: Core,
    actor: Actor,
    budget_id: str,
    period_key: str | None = None,
    limit: int = 50,
    after: str | None = None,
    only_allocations: bool = False,
) -> History:
    """Return a page of a pot's entries, the newest first. Raises ``NotFound`` and ``InputInvalid``.

    With ``only_allocations`` only what changed what it may hold is shown; what stood after each counts all of them.
    """
    permit(actor, "budgets:read")
    if not 1 <= limit <= LIMIT_MAX:
        raise InputInvalid(errors=[{"field": "limit", "message": f"limit is 1 to {LIMIT_MAX}."}])
    now, cursor = core.clock.now(), _cursor(after)
    with core.database.read_snapshot() as tx:  # The lines must sum up to the numbers of the same instant.
        budget, row = pot_of(tx, core, budget_id, period_key, now)
        if row is None:
            return History(budget=budget, lines=(), sums=dict.fromkeys(NUMBERS, 0), agrees=True, next=None)
        entries = _entries(row.id)
        sums = _sums(tx, entries)
        shown = sa.select(entries).order_by(entries.c.id.desc()).limit(limit + 1)
        if cursor is not None:
            shown = shown.where(entries.c.id < cursor)
        if only_allocations:
            shown = shown.where(entries.c.reason.is_not(None))
        rows = list(tx.execute(shown).all())
        lines = _lines(tx, entries, sums, rows[:limit])
    more = rows[limit - 1].id.hex if len(rows) > limit else None
    agrees = all(sums[name] == getattr(row, name) for name in NUMBERS)
    return History(budget=budget, lines=lines, sums=sums, agrees=agrees, next=more)


def _cursor(after: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(hex=after) if after is not None else None
    except ValueError:
        raise InputInvalid(
            errors=[{"field": "after", "message": "Use the cursor of the page before, as it came."}]
        ) from None


def _entries(pot_id: uuid.UUID) -> sa.Subquery:
    """Return the allocations and movements of a pot as rows of one shape."""
    allotted, moved = budget_allocations.c, budget_movements.c
    nothing = {name: sa.literal(0, sa.BigInteger()).label(name) for name in NUMBERS}
    given = sa.select(
        allotted.id,
        allotted.kind,
        allotted.at,
        allotted.actor,
        allotted.approved_by,
        allotted.reason,
        allotted.source_id,
        sa.null().cast(sa.Uuid()).label("issuance_id"),
        sa.null().cast(sa.Uuid()).label("job_id"),
        *(nothing[name] for name in COUNTERS),
        allotted.amount_minor.label("allotted_minor"),
        allotted.amount_count.label("allotted_count"),
    ).where(allotted.budget_period_id == pot_id)
    charged = sa.select(
        moved.id,
        moved.kind,
        moved.at,
        moved.actor,
        sa.null().cast(sa.String()).label("approved_by"),
        sa.null().cast(sa.String()).label("reason"),
        moved.source_id,
        moved.issuance_id,
        moved.job_id,
        *(moved[name] for name in COUNTERS),
        *(nothing[name] for name in _ALLOTTED),
    ).where(moved.budget_period_id == pot_id)
    return sa.union_all(given, charged).subquery()


def _sums(tx: Connection, entries: sa.Subquery, newer_than: uuid.UUID | None = None) -> dict[str, int]:
    query = sa.select(*(sa.func.coalesce(sa.func.sum(entries.c[name]), 0) for name in NUMBERS))
    row = tx.execute(query if newer_than is None else query.where(entries.c.id > newer_than)).one()
    return {name: int(value) for name, value in zip(NUMBERS, row, strict=True)}


def _lines(tx: Connection, entries: sa.Subquery, sums: dict[str, int], rows: Sequence[Any]) -> list[Line]:
    """Return lines with what stood after each, counted back from now."""
    if not rows:
        return []
    names = actor_names(tx, {label for row in rows for label in (row.actor, row.approved_by) if label})
    found: list[Line] = []
    for row in rows:
        newer = _sums(tx, entries, row.id) if not found or _skipped(rows) else None
        if newer is not None:
            after = {name: sums[name] - newer[name] for name in NUMBERS}
        else:
            after = {name: found[-1].after[name] - found[-1].changes[name] for name in NUMBERS}
        found.append(_line(row, after, names))
    return found


def _skipped(rows: Sequence[Any]) -> bool:
    """Return whether entries may lie between the rows: where only allocations are shown."""
    return all(row.reason is not None for row in rows)


def _line(row: Any, after: dict[str, int], names: Any) -> Line:
    return Line(
        id=row.id,
        kind=row.kind,
        at=row.at,
        actor=row.actor,
        actor_name=names.get(row.actor, row.actor),
        approved_by=row.approved_by,
        approved_by_name=names.get(row.approved_by, row.approved_by) if row.approved_by else None,
        reason=row.reason,
        source_id=row.source_id,
        issuance_id=row.issuance_id,
        job_id=row.job_id,
        changes={name: int(getattr(row, name)) for name in NUMBERS},
        after=after,
    )
