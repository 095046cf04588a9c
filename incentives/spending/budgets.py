"""Budgets: which match, how much room they have, and every change of them as a movement.

A budget is charged for what is promised. All budgets that match are locked in one fixed order, decided on in memory
while they are held, and written with the movements that explain them, in one transaction.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.many import Into, RowsTogether, insert_absent, insert_many, update_many
from incentives.spending.matching import Dimensions, PotKey, Rule, Wanted, matching
from incentives.spending.tables import COUNTERS, budget_allocations, budget_movements, budget_periods

_THERE = "budgets.there"  # in the core's cache: pots whose rows are known to be there

ALLOTTED = ("allotted_minor", "allotted_count")
_HUNDRED = 100

__all__ = [
    "Dimensions",
    "PotKey",
    "Rule",
    "Wanted",
    "allotment",
    "charges_of",
    "in_unit",
    "lock",
    "lock_ids",
    "matching",
    "movement",
    "read",
    "write",
]


@dataclass(slots=True)
class Pot:
    """A locked row of counters; ``changes`` collects what this transaction does to it."""

    id: uuid.UUID
    counters: dict[str, int]
    changes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    rule: Rule | None = None
    made: bool = False  # by this very transaction
    allotted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ALLOTTED, 0))
    allotments: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ALLOTTED, 0))

    def stands(self, state: str, unit: str) -> int:
        """Return what is held, committed or spent, changes of this transaction included (unit: minor or count)."""
        return self.counters[f"{state}_{unit}"] + self.changes[f"{state}_{unit}"]

    def used(self, unit: str, rule: Rule | None = None) -> int:
        """Return how much of the cap is used up, by the basis of a rule; without one, by what is promised."""
        promised = self.stands("held", unit) + self.stands("committed", unit)
        return used_of(promised, self.stands("spent", unit), rule)

    def allowance(self, unit: str) -> int:
        """Return what was allotted on top of the cap, changes of this transaction included."""
        return self.allotted[f"allotted_{unit}"] + self.allotments[f"allotted_{unit}"]

    def lacks(self, rule: Rule, amount_minor: int, count: int = 1) -> dict[str, int]:
        """Return by how much one more of an amount would pass a rule's caps, by unit; nothing where it fits."""
        wanted = {
            "minor": (rule.cap_minor if rule.currency is not None else None, amount_minor),
            "count": (rule.cap_count, count),
        }
        over = {}
        for unit, (cap, more) in wanted.items():
            if cap is None:
                continue
            promised = self.stands("held", unit) + self.stands("committed", unit) + more
            over[unit] = used_of(promised, self.stands("spent", unit), rule) - cap - self.allowance(unit)
        return {unit: by for unit, by in over.items() if by > 0}

    def has_room(self, rule: Rule, amount_minor: int) -> bool:
        """Return whether one more of an amount fits under a rule's caps."""
        return not self.lacks(rule, amount_minor)

    def add(self, changes: Mapping[str, int]) -> None:
        """Collect changes of counters."""
        for name, value in changes.items():
            self.changes[name] += value

    @property
    def changed(self) -> bool:
        """Return whether this transaction does anything to it."""
        return any(self.changes.values()) or any(self.allotments.values())


class Based(Protocol):
    """Whatever says by which basis a budget is charged: a rule, or the catalog's own definition of it."""

    @property
    def basis(self) -> str:
        """Return face, expected or redemption."""

    @property
    def expected_percent(self) -> int:
        """Return how much of what is promised is expected to be spent."""


def used_of(promised: int, spent: int, rule: Based | None) -> int:
    """Return how much of a cap is used up: what is promised (held and committed) and spent, by a rule's basis.

    The counters are the same whatever the basis: who switches it sees at once what would have been used all along.
    """
    if rule is None or rule.basis == "face":
        return promised + spent
    if rule.basis == "redemption":
        return spent
    return spent + -(-promised * rule.expected_percent // _HUNDRED)  # rounded up: never less than is expected


def read(tx: Connection, wanted: Iterable[Wanted]) -> dict[PotKey, Pot]:
    """Return the pots as they stand, without locking; one that has no row yet is empty."""
    pots = _select(tx, {each.pot for each in wanted}, lock=False)
    empty = dict.fromkeys(COUNTERS, 0)
    return {each.pot: pots.get(each.pot) or Pot(id=uuid.UUID(int=0), counters=dict(empty)) for each in wanted}


def lock(
    tx: Connection, core: Core, wanted: Iterable[Wanted], now: datetime, *, also: Collection[PotKey] = ()
) -> dict[PotKey, Pot]:
    """Return the pots, locked in the order of their keys until the transaction ends; missing rows are made first.

    Rows are made before any is locked: whoever held one pot and waited for another to be made could be waited for
    by its maker, in a ring. ``also`` are pots that were charged before, to be locked with them in the same go.
    """
    by_pot = {each.pot: each for each in wanted}
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
        return lock(tx, core, by_pot.values(), now, also=also)
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
    table = budget_periods.c
    columns = (table.budget, table.subject, table.period_key)
    many = tx.dialect.name == "postgresql" and len(keys) > _KEYS_MANY
    these: Any = sa.tuple_(*columns)
    query = (
        sa.select(*columns, table.id, *_numbers())
        .where(these.in_(_ARRAYS) if many else these.in_(sorted(keys)))
        .order_by(*columns)
    )
    arrays = dict(zip(PotKey._fields, map(list, zip(*keys, strict=True)), strict=True)) if many else {}
    rows = tx.execute(query.with_for_update() if lock else query, arrays).all()
    return {PotKey(*row[:3]): _pot(row[3], row[4:]) for row in rows}


# A thousand keys as three arrays are one short statement; as literals they are one that is written anew each time.
_KEYS_MANY = 50
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
    table = budget_periods.c
    query = (
        sa.select(table.id, *_numbers())
        .where(table.id.in_(set(ids)))
        .order_by(table.budget, table.subject, table.period_key)
        .with_for_update()
    )
    return {row[0]: _pot(row[0], row[1:]) for row in tx.execute(query).all()}


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
        "issuance_id": issuance_id,
        "job_id": job_id,
        "kind": kind,
        "source_id": source_id,
        **dict.fromkeys(COUNTERS, 0),
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
    insert_many(into, budget_movements, movements)
    insert_many(into, budget_allocations, allocations)
    unused = [pot.id for pot in pots if pot.made and not pot.changed]
    if unused:
        tx = into.tx if isinstance(into, RowsTogether) else into
        tx.execute(budget_periods.delete().where(budget_periods.c.id.in_(unused)))
    ruled = [_changes(pot) | _said(pot.rule) for pot in pots if pot.changed and pot.rule is not None]
    update_many(into, budget_periods, ruled, by=("id",), to=_RULED, add=_SUMS)
    others = [_changes(pot) for pot in pots if pot.changed and pot.rule is None]
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


def in_unit(currency: str | None, changes: Mapping[str, int]) -> dict[str, int]:
    """Return the part of a change that a pot counts: without a currency, money of several would be added up."""
    return {name: value for name, value in changes.items() if currency is not None or name.endswith("_count")}


def charges_of(tx: Connection, issuance_ids: Iterable[uuid.UUID]) -> list[Charged]:
    """Return what issuances have in which pots, from the movements."""
    moved = budget_movements.c
    pots = budget_periods.c
    key = (pots.budget, pots.subject, pots.period_key)
    names = (moved.issuance_id, moved.budget_period_id, pots.on_expiry, pots.currency, *key)
    rows = tx.execute(
        sa.select(*names, *(sa.func.sum(moved[name]) for name in COUNTERS))
        .join(budget_periods, pots.id == moved.budget_period_id)
        .where(moved.issuance_id.in_(set(issuance_ids)))
        .group_by(*names),
    ).all()
    return [
        Charged(
            issuance_id=row[0],
            pot_id=row[1],
            on_expiry=row[2],
            currency=row[3],
            pot=PotKey(*row[4:7]),
            sums={name: int(value) for name, value in zip(COUNTERS, row[7:], strict=True)},
        )
        for row in rows
    ]
