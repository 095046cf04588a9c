"""What a pot was allotted for one promise is taken back as that ends unspent: nobody else gets it for nothing.

Not a flow: it opens no transaction. An override lets one gift pass a customer's cap, and a promise that is made again
is kept beyond a budget's cap. Left standing when the gift is taken back, granted or adjusted to less, or when a
purchase takes less than was promised, it would let the next one pass unasked.
"""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds.batch import Batch
from incentives.spending.budgets import Pot
from incentives.spending.tables import approvals, budget_allocations, budget_movements, budget_periods
from incentives.vouchers.tables import issuances, redemption_reversals, redemptions, vouchers

_KINDS = ("override", "restored")
_UNITS = ("minor", "count")
_REASON = "What it was allotted for has ended."


def take_back(
    tx: Connection, batch: Batch, ended: Mapping[uuid.UUID, uuid.UUID], pots: Mapping[uuid.UUID, Pot]
) -> list[dict[str, Any]]:
    """Take back what locked pots were allotted for issuances, as far as it is free by now.

    ``ended`` has for each issuance the deed that ends it. The pots' own changes are laid out already. Returns what the
    audit trail is told of it.
    """
    allotted = [pot_id for pot_id, pot in pots.items() if any(pot.allotted.values())]
    if not allotted:
        return []
    names = ("budget", "subject", "period_key", "basis", "cap_minor", "cap_count")
    told = []
    for row in _allotted_for(tx, ended.keys(), allotted, names):
        pot, amounts = pots[row.pot_id], {}
        for unit in _UNITS:
            free = _free(row, pot, unit)
            by = min(int(getattr(row, unit)), int(getattr(row, unit)) if free is None else free)
            if by > 0:
                amounts[unit] = -by
        if amounts:
            batch.allot(pot, row.kind, ended[row.issuance_id], _REASON, amounts)
            signed = {f"amount_{unit}": amounts.get(unit, 0) for unit in _UNITS}
            told.append({"pot": [row.budget, row.subject, row.period_key], "kind": row.kind, **signed})
    return told


def _free(row: Any, pot: Pot, unit: str) -> int | None:
    """Return what is free in a pot, by the terms that it will have; None where what is promised does not limit it."""
    terms = row if pot.rule is None else pot.rule
    cap = getattr(terms, f"cap_{unit}")
    return None if cap is None or terms.basis != "face" else cap + pot.allowance(unit) - pot.used(unit)


def _sources_of(issuance_ids: Collection[uuid.UUID]) -> sa.CompoundSelect[Any]:
    """Return the query for what pots may be allotted for, each with its issuance: the gift, its parts, its deeds."""
    of_use, moved, decided = vouchers.alias(), budget_movements.c, approvals.c
    themselves = sa.select(issuances.c.id.label("id"), issuances.c.id.label("issuance_id")).where(
        issuances.c.id.in_(issuance_ids)
    )
    made = sa.select(vouchers.c.id, vouchers.c.issuance_id).where(vouchers.c.issuance_id.in_(issuance_ids))
    asked = sa.select(decided.id, decided.issuance_id).where(decided.issuance_id.in_(issuance_ids))
    uses = (
        sa.select(redemptions.c.id, of_use.c.issuance_id)
        .join(of_use, of_use.c.id == redemptions.c.voucher_id)
        .where(of_use.c.issuance_id.in_(issuance_ids))
    )
    done = uses.subquery()
    undone = sa.select(redemption_reversals.c.id, done.c.issuance_id).join(
        done, done.c.id == redemption_reversals.c.redemption_id
    )
    adjusted = sa.select(moved.source_id, moved.issuance_id).where(
        moved.issuance_id.in_(issuance_ids), moved.kind == "adjust"
    )
    return sa.union(themselves, made, asked, uses, undone, adjusted)  # each once, however many pots it moved


def _allotted_for(
    tx: Connection, issuance_ids: Collection[uuid.UUID], pot_ids: Collection[uuid.UUID], names: Collection[str]
) -> list[Any]:
    """Return what pots were allotted for issuances and is not taken back yet: by the gift, a deed, or its end."""
    table, pot = budget_allocations.c, budget_periods.c
    # From what it was for to what was allotted, which has an index for that: a pot may have been allotted much.
    source = _sources_of(issuance_ids).subquery()
    owner = source.c.issuance_id
    sums = [sa.func.sum(table[f"amount_{unit}"]).label(unit) for unit in _UNITS]
    query = (
        sa.select(pot.id.label("pot_id"), table.kind, owner, *(pot[name] for name in names), *sums)
        .select_from(source)
        .join(budget_allocations, table.source_id == source.c.id)
        .join(budget_periods, pot.id == table.budget_period_id)
        .where(table.budget_period_id.in_(pot_ids), table.kind.in_(_KINDS))
        .group_by(pot.id, table.kind, owner, *(pot[name] for name in names))
        .order_by(pot.id, table.kind, owner)
    )
    return list(tx.execute(query).all())
