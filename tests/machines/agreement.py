"""What the database says of pots and accounts, and where the model beside it says otherwise."""

from collections.abc import Mapping

import sqlalchemy as sa

from incentives.books.tables import ledger_postings
from incentives.kernel.core import Core
from incentives.spending.tables import COUNTERS, budget_periods
from tests.machines.recount import Recount

_NUMBERS = (*COUNTERS, "allotted_minor", "allotted_count")

Pots = Mapping[tuple[str, ...], Mapping[str, int]]
Balances = Mapping[tuple[str, ...], int]


def pots_of(core: Core) -> dict[tuple[str, ...], dict[str, int]]:
    """Return what each pot of a database has, by counter, without counters and pots of nothing."""
    with core.database.read() as tx:
        rows = tx.execute(sa.select(budget_periods)).all()
    found = {
        (row.budget, row.subject, row.period_key): {name: getattr(row, name) for name in _NUMBERS if getattr(row, name)}
        for row in rows
    }
    return {pot: has for pot, has in found.items() if has}


def balances_of(core: Core) -> dict[tuple[str, ...], int]:
    """Return how each account of a database stands in each currency, without those that stand at nothing."""
    line = ledger_postings.c
    query = sa.select(line.account, line.currency, sa.func.sum(line.amount_minor)).group_by(line.account, line.currency)
    with core.database.read() as tx:
        return {(row[0], row[1]): int(row[2]) for row in tx.execute(query) if row[2]}


def disagreements(model: Recount, pots: Pots, balances: Balances) -> list[str]:
    """Return in words where the database says otherwise; what has nothing is the same as what is not there."""
    return [*_others("pot", model.pots(), pots), *_others("account", model.balances(), balances)]


def _others(kind: str, ours: Mapping[tuple[str, ...], object], theirs: Mapping[tuple[str, ...], object]) -> list[str]:
    return [
        f"{kind} {' '.join(name)}: recounted {ours.get(name)}, stored {theirs.get(name)}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
