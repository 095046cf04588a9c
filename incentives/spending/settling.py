"""What becomes of a promise in the pots that it was charged to, when part of it is spent, taken back or lapses.

A budget holds the whole of a promise; a limit of somebody who raised it later holds what they added. So each pot
keeps, of what it holds, as much as is still owed: none is freed too soon, and in the end none holds anything.
"""

import uuid
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.spending.budgets import Charged
from incentives.spending.tables import budget_movements


def owed_minor(charged: Iterable[Charged]) -> int:
    """Return what is still owed of an issuance, in minor units: what a budget of money holds of it."""
    return max((each.sums["committed_minor"] for each in charged if each.currency is not None), default=0)


def taken(charged: Iterable[Charged], gone_minor: int, *, spent_minor: int = 0) -> list[tuple[Charged, dict[str, int]]]:
    """Return for each pot of one issuance how its money changes, when ``gone_minor`` of it is not owed any more.

    ``spent_minor`` of it was spent. A pot that only counts issuances has no change.
    """
    pots = list(charged)
    left_minor = owed_minor(pots) - gone_minor
    found = []
    for each in pots:
        freed_minor = max(0, each.sums["committed_minor"] - left_minor)
        changes = {"committed_minor": -freed_minor, "spent_minor": min(spent_minor, freed_minor)}
        found.append((each, each.in_its_unit(changes)))
    return found


def moved_by(tx: Connection, issuance_id: uuid.UUID, redemption_id: uuid.UUID) -> dict[uuid.UUID, tuple[int, int]]:
    """Return what a redemption took from its issuance's promise in each pot (by its id), and how much was spent."""
    moved = budget_movements.c
    this = (moved.issuance_id == issuance_id, moved.source_id == redemption_id, moved.kind == "spend")
    query = sa.select(moved.budget_period_id, moved.committed_minor, moved.spent_minor).where(*this)
    return {row[0]: (-row[1], row[2]) for row in tx.execute(query)}


def again_minor(owed_minor: int, freed_minor: int, settled_minor: int) -> int:
    """Return what a pot takes of a promise that is made again: all of it, or what it gave where that was a part."""
    return owed_minor if freed_minor == settled_minor else min(freed_minor, owed_minor)


def counted(each: Charged, changes: Mapping[str, int], *, whole: bool, keeps: bool = False) -> dict[str, int]:
    """Return the changes of one pot with those of what counts issuances, where the ``whole`` issuance ended unspent.

    ``keeps`` counts it as spent all the same, and from the first breakage on: what is kept of it is never free again.
    What changes nothing is left out.
    """
    count = each.sums["committed_count"] if whole or keeps else 0
    counts = {"committed_count": -count, "spent_count": count if keeps else 0}
    return {name: by for name, by in {**changes, **counts}.items() if by}
