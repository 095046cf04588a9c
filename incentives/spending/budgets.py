"""Budgets: which match, how much room they have, and every change of them as a movement.

A budget is charged for what is promised. All budgets that match are locked in one fixed order, decided on in memory
while they are held, and written with the movements that explain them, in one transaction.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.many import Into, RowsTogether, among, insert_absent, insert_many, update_many
from incentives.spending.matching import Dimensions, PotKey, Rule, Wanted, matching
from incentives.spending.pots import ALLOTTED, Pot, in_unit, used_of
from incentives.spending.tables import COUNTERS, budget_allocations, budget_movements, budget_periods

_THERE = "budgets.there"  # in the core's cache: pots whose rows are known to be there

_NOTHING: Mapping[str, int] = dict.fromkeys(COUNTERS, 0)

__all__ = [
    "Dimensions",
    "Pot",
    "PotKey",
    "Rule",
    "Wanted",
    "allotment",
    "charges_of",
    "in_unit",
    "lock",
    "lock_charged",
    "lock_ids",
    "matching",
    "movement",
    "read",
    "used_of",
    "write",
]


def read(tx: Connection, wanted: Iterable[Wanted]) -> dict[PotKey, Pot]:
    """Return the pots as they stand, without locking; one that has no row yet is empty."""
    pots = _select(tx, {each.pot for each in wanted}, lock=False)
    empty = dict.fromkeys(COUNTERS, 0)
    return {each.pot: pots.get(each.pot) or Pot(id=uuid.UUID(int=0), counters=dict(empty)) for each in wanted}


def lock(
    tx: Connection,
    core: Core,
    wanted: Iterable[Wanted],
    now: datetime,
    *,
    also: Collection[PotKey] = (),
    newcomers: Collection[uuid.UUID] = (),
) -> dict[PotKey, Pot]:
    """Return the pots, locked in the order of their keys until the transaction ends; missing rows are made first.

    Rows are made before any is locked: whoever held one pot and waited for another to be made could be waited for
    by its maker, in a ring. ``also`` are pots that were charged before, to be locked with them in the same go.
    ``newcomers`` are customers that this very transaction has made: nobody else knows them, nor could their pots be
    there, so these are neither made nor locked before they are charged.
    """
    by_pot = {each.pot: each for each in wanted}
    unknown = {str(each) for each in newcomers}
    theirs = [each for each in by_pot.values() if each.rule.scope == "customer" and each.pot.subject in unknown]
    new = {each.pot: _unwritten(_new_row(core, each, now)) for each in theirs}
    return _locked(tx, core, {key: each for key, each in by_pot.items() if key not in new}, now, also) | new


def _unwritten(row: Mapping[str, Any]) -> Pot:
    return Pot(id=row["id"], counters=dict(_NOTHING), unwritten=row)


def _locked(
    tx: Connection, core: Core, by_pot: Mapping[PotKey, Wanted], now: datetime, also: Collection[PotKey]
) -> dict[PotKey, Pot]:
    keys = {*by_pot, *also}
    if not keys:
        return {}
    there: set[PotKey] = core.cache.setdefault(_THERE, set())
    made = _make(tx, core, [by_pot[key] for key in sorted(by_pot) if key not in there], now)
    pots = _select(tx, keys, lock=True)
    for pot in pots.values():
        pot.made = pot.id in made
    if len(pots) < len(keys):
        there.clear()  # The database was restored to an earlier day, under this process.
        return _locked(tx, core, by_pot, now, also)
    # A row of our own making may yet be rolled back, and customers are too many to remember.
    there.update(key for key in by_pot if not pots[key].made and by_pot[key].rule.scope != "customer")
    return pots


def _make(tx: Connection, core: Core, wanted: Sequence[Wanted], now: datetime) -> set[uuid.UUID]:
    """Make the rows that are not there yet, in the order of their keys; return the ids that ours have."""
    if not wanted:
        return set()
    rows = [_new_row(core, each, now) for each in wanted]
    made = insert_absent(tx, budget_periods, PotKey._fields, rows)
    return {row["id"] for row in rows if (row["budget"], row["subject"], row["period_key"]) in made}


def _new_row(core: Core, each: Wanted, now: datetime) -> dict[str, Any]:
    return {
        **each.pot._asdict(),
        "id": core.ids.new(now),
        "start_at": each.start_at,
        "end_at": each.end_at,
        "currency": each.rule.currency,
        "on_expiry": each.rule.on_expiry,
        "cap_minor": each.rule.cap_minor,
        "cap_count": each.rule.cap_count,
        "basis": each.rule.basis,
        "expected_percent": each.rule.expected_percent,
        "rollover": each.rule.rollover,
    }


def _select(tx: Connection, keys: set[PotKey], *, lock: bool) -> dict[PotKey, Pot]:
    if not keys:
        return {}
    if tx.dialect.name == "postgresql":
        told: Any = dict(zip(PotKey._fields, map(list, zip(*keys, strict=True)), strict=True))
    else:
        told = {"keys": sorted(keys)}
    rows = tx.execute(_selecting(tx.dialect.name, lock), told).all()
    return {PotKey(*row[:3]): _pot(row[3], row[4:]) for row in rows}


@cache
def _selecting(dialect: str, lock: bool) -> sa.Select[Any]:  # noqa: FBT001 - a key of the cache
    """Return the statement, made once; PostgreSQL is told keys as three arrays, so that it is one for any number."""
    table = budget_periods.c
    columns = (table.budget, table.subject, table.period_key)
    these: Any = sa.tuple_(*columns)
    query = (
        sa.select(*columns, table.id, *_numbers())
        .where(these.in_(_ARRAYS if dialect == "postgresql" else sa.bindparam("keys", expanding=True)))
        .order_by(*columns)
    )
    return query.with_for_update(key_share=True) if lock else query


_ARRAYS = sa.select(
    *(sa.func.unnest(sa.bindparam(name, type_=postgresql.ARRAY(sa.String()))) for name in PotKey._fields)
)


def _numbers() -> list[sa.Column[Any]]:
    return [budget_periods.c[name] for name in (*COUNTERS, *ALLOTTED)]


def _pot(pot_id: uuid.UUID, numbers: Sequence[int]) -> Pot:
    most = len(COUNTERS)
    return Pot(
        id=pot_id,
        counters=dict(zip(COUNTERS, numbers[:most], strict=True)),
        allotted=dict(zip(ALLOTTED, numbers[most:], strict=True)),
    )


def lock_ids(tx: Connection, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Pot]:
    """Return pots by the ids of their rows, locked in the same order as ``lock`` takes them."""
    wanted = list(set(ids))
    rows = tx.execute(_locking(tx.dialect.name), {"ids": wanted}).all() if wanted else ()
    return {row[0]: _pot(row[0], row[1:]) for row in rows}


@cache
def _locking(dialect: str) -> sa.Select[Any]:
    table = budget_periods.c
    query = sa.select(table.id, *_numbers()).where(among(dialect, table.id, "ids"))
    return query.order_by(table.budget, table.subject, table.period_key).with_for_update(key_share=True)


def movement(
    *,
    core: Core,
    now: datetime,
    actor: str,
    pot: Pot,
    issuance_id: uuid.UUID | None,
    kind: str,
    source_id: uuid.UUID,
    changes: Mapping[str, int],
    job_id: uuid.UUID | None = None,
) -> dict[str, Any]:
    """Change a locked pot and return the movement that explains it; one deed (source) moves a pot once a kind.

    It is about an issuance, or about a bulk job as a whole.
    """
    pot.add(changes)
    return {
        "id": core.ids.new(now),
        "budget_period_id": pot.id,
        **({"issuance_id": issuance_id} if job_id is None else {"issuance_id": issuance_id, "job_id": job_id}),
        "kind": kind,
        "source_id": source_id,
        **_NOTHING,
        **changes,
        "at": now,
        "actor": actor,
    }


def allotment(
    *,
    core: Core,
    now: datetime,
    actor: str,
    pot: Pot,
    kind: str,
    source_id: uuid.UUID,
    reason: str,
    amounts: Mapping[str, int],
    approved_by: str | None = None,
) -> dict[str, Any]:
    """Let a locked pot hold more than its cap, or less, and return the allocation that explains it.

    ``amounts`` are signed, by unit (``minor``, ``count``).
    """
    for unit, amount in amounts.items():
        pot.allotments[f"allotted_{unit}"] += amount
    return {
        "id": core.ids.new(now),
        "budget_period_id": pot.id,
        "kind": kind,
        "source_id": source_id,
        "amount_minor": amounts.get("minor", 0),
        "amount_count": amounts.get("count", 0),
        "reason": reason,
        "actor": actor,
        "approved_by": approved_by,
        "at": now,
    }


def write(
    into: Into,
    pots: Collection[Pot],
    movements: Sequence[Mapping[str, Any]],
    allocations: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write movements and allocations, and then the pots they change: the hottest rows are touched last.

    Pots that were made for what was refused in the end are taken back.
    """
    new = [{**pot.unwritten, **_changes(pot)} for pot in pots if pot.unwritten and pot.changed]
    insert_many(into, budget_periods, new)
    insert_many(into, budget_movements, movements)
    insert_many(into, budget_allocations, allocations)
    unused = [pot.id for pot in pots if pot.made and not pot.changed]
    if unused:
        tx = into.tx if isinstance(into, RowsTogether) else into
        tx.execute(budget_periods.delete().where(budget_periods.c.id.in_(unused)))
    changed = [pot for pot in pots if pot.changed and not pot.unwritten]
    ruled = [_changes(pot) | _said(pot.rule) for pot in changed if pot.rule is not None]
    update_many(into, budget_periods, ruled, by=("id",), to=_RULED, add=_SUMS)
    others = [_changes(pot) for pot in changed if pot.rule is None]
    update_many(into, budget_periods, others, by=("id",), add=_SUMS)


_RULED = ("cap_minor", "cap_count", "basis", "expected_percent", "rollover", "on_expiry")
_SUMS = (*COUNTERS, *ALLOTTED)


def _changes(pot: Pot) -> dict[str, Any]:
    return {"id": pot.id, **pot.changes, **pot.allotments}


def _said(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in _RULED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What an issuance has in one pot now. A pot without a currency counts issuances and no money."""

    issuance_id: uuid.UUID
    pot_id: uuid.UUID
    pot: PotKey
    on_expiry: str
    currency: str | None
    sums: dict[str, int]

    def in_its_unit(self, changes: Mapping[str, int]) -> dict[str, int]:
        """Return the part of a change that this pot counts."""
        return in_unit(self.currency, changes)


def charges_of(tx: Connection, issuance_ids: Iterable[uuid.UUID]) -> list[Charged]:
    """Return what issuances have in which pots, from the movements."""
    rows = tx.execute(_charging(tx.dialect.name, False), {"ids": list(set(issuance_ids))}).all()  # noqa: FBT003 - a key
    return [_charged(row) for row in rows]


def lock_charged(tx: Connection, issuance_ids: Iterable[uuid.UUID]) -> tuple[list[Charged], dict[uuid.UUID, Pot]]:
    """Return what issuances have in which pots, and these pots by their ids, locked as ``lock`` does.

    The caller holds what the movements of these issuances hang on, such as their vouchers: what is summed up is what
    was committed when this statement began, however long it waits for a pot.
    """
    rows = tx.execute(_charging(tx.dialect.name, True), {"ids": list(set(issuance_ids))}).all()  # noqa: FBT003 - a key
    charged = [_charged(row) for row in rows]
    most = _CHARGED_COLUMNS
    return charged, {row.pot_id: _pot(row.pot_id, row[most:]) for row in rows}


_CHARGED_COLUMNS = 7 + len(COUNTERS)


@cache
def _charging(dialect: str, lock: bool) -> sa.Select[Any]:  # noqa: FBT001 - a key of the cache
    moved, pots = budget_movements.c, budget_periods.c
    sums = (
        sa.select(
            moved.issuance_id, moved.budget_period_id, *(sa.func.sum(moved[name]).label(name) for name in COUNTERS)
        )
        .where(among(dialect, moved.issuance_id, "ids"))
        .group_by(moved.issuance_id, moved.budget_period_id)
        .subquery("charged")
    )
    key = (pots.budget, pots.subject, pots.period_key)
    query = sa.select(
        sums.c.issuance_id, pots.id.label("pot_id"), pots.on_expiry, pots.currency, *key, *(sums.c[n] for n in COUNTERS)
    ).join(budget_periods, pots.id == sums.c.budget_period_id)
    if not lock:
        return query
    return (
        query.add_columns(*_numbers())
        .order_by(*key, sums.c.issuance_id)
        .with_for_update(of=budget_periods, key_share=True)
    )


def _charged(row: Any) -> Charged:
    return Charged(
        issuance_id=row[0],
        pot_id=row[1],
        on_expiry=row[2],
        currency=row[3],
        pot=PotKey(*row[4:7]),
        sums={name: int(value) for name, value in zip(COUNTERS, row[7:_CHARGED_COLUMNS], strict=True)},
    )
