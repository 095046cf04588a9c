"""Budgets: which match, how much room they have, and every change of them as a movement.

A budget is charged for what is promised. All budgets that match are locked in one fixed order, decided on in memory
while they are held, and written with the movements that explain them, in one transaction.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.periods import period_of
from incentives.spending.tables import COUNTERS, budget_movements, budget_periods

_THERE = "budgets.there"  # in the core's cache: pots whose rows are known to be there


class PotKey(NamedTuple):
    """What tells one pot of money from all others; sorting by it is the order in which pots are locked."""

    budget: str
    subject: str
    period_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the approved catalog says of a budget, as far as charging it goes."""

    key: str
    name: str
    scope: str
    of: str | None
    currency: str | None
    period: str
    time_zone: str
    week_start: int
    cap_minor: int | None
    cap_count: int | None
    on_expiry: str
    asks_approval: bool = False  # an approval limit: when it bursts somebody is asked, and it is not charged


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One charge on one pot that an issuance wants to make."""

    rule: Rule
    pot: PotKey
    start_at: datetime | None
    end_at: datetime | None


@dataclass(slots=True)
class Pot:
    """A locked row of counters; ``changes`` collects what this transaction does to it."""

    id: uuid.UUID
    counters: dict[str, int]
    changes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    rule: Rule | None = None
    made: bool = False  # by this very transaction

    def used(self, unit: str) -> int:
        """Return what is held, committed or spent, changes of this transaction included (unit: minor or count)."""
        return sum(
            self.counters[f"{state}_{unit}"] + self.changes[f"{state}_{unit}"]
            for state in ("held", "committed", "spent")
        )

    def has_room(self, rule: Rule, amount_minor: int) -> bool:
        """Return whether one more of an amount fits under a rule's caps."""
        money = rule.cap_minor is None or rule.currency is None or self.used("minor") + amount_minor <= rule.cap_minor
        count = rule.cap_count is None or self.used("count") + 1 <= rule.cap_count
        return money and count

    def add(self, changes: Mapping[str, int]) -> None:
        """Collect changes of counters."""
        for name, value in changes.items():
            self.changes[name] += value


class Dimensions(Protocol):
    """What of an issuance budgets match on."""

    @property
    def location(self) -> str | None:
        """Return the key of the location where it is given."""

    @property
    def team(self) -> str | None:
        """Return the key of the team that gives it."""

    @property
    def issue_tags(self) -> tuple[str, ...]:
        """Return the issue tag and its ancestors, nearest first."""

    @property
    def incentive(self) -> str:
        """Return the incentive's key."""

    @property
    def currency(self) -> str:
        """Return the currency that budgets are charged in."""

    @property
    def agent_names(self) -> tuple[str, ...]:
        """Return how a budget may name who gives it: the label first, then the email."""

    @property
    def customers(self) -> tuple[uuid.UUID, ...]:
        """Return the customers behind the addresses that were given."""


def _subjects(rule: Rule, of: Dimensions) -> list[str]:
    """Return for whom a rule is charged: nobody when it does not match."""
    if rule.scope == "organization":
        return ["organization"]
    if rule.scope == "customer":
        return [str(each) for each in of.customers if rule.of in (None, str(each))]
    names: dict[str, tuple[str | None, ...]] = {
        "location": (of.location,),
        "team": (of.team,),
        "agent": of.agent_names,
        "issue_tag": of.issue_tags,
        "incentive": (of.incentive,),
    }
    own = [name for name in names[rule.scope] if name]
    if rule.of is not None:
        return [rule.of] if rule.of in own else []
    return own[:1]


def matching(rules: Iterable[Rule], of: Dimensions, now: datetime) -> list[Wanted]:
    """Return every charge that an issuance makes: one a matching rule and subject, in lock order."""
    wanted = []
    for rule in rules:
        if rule.currency not in (None, of.currency):
            continue
        for subject in _subjects(rule, of):
            period = period_of(now, rule.period, rule.time_zone, rule.week_start)
            pot = PotKey(rule.key, subject, period.key)
            wanted.append(Wanted(rule=rule, pot=pot, start_at=period.start_at, end_at=period.end_at))
    return sorted(wanted, key=lambda each: each.pot)


def read(tx: Connection, wanted: Iterable[Wanted]) -> dict[PotKey, Pot]:
    """Return the pots as they stand, without locking; one that has no row yet is empty."""
    pots = _select(tx, {each.pot for each in wanted}, lock=False)
    empty = dict.fromkeys(COUNTERS, 0)
    return {each.pot: pots.get(each.pot) or Pot(id=uuid.UUID(int=0), counters=dict(empty)) for each in wanted}


def lock(tx: Connection, core: Core, wanted: Iterable[Wanted], now: datetime) -> dict[PotKey, Pot]:
    """Return the pots, locked in the order of their keys until the transaction ends; missing rows are made first.

    Rows are made before any is locked: whoever held one pot and waited for another to be made could be waited for
    by its maker, in a ring.
    """
    by_pot = {each.pot: each for each in wanted}
    if not by_pot:
        return {}
    there: set[PotKey] = core.cache.setdefault(_THERE, set())
    made = _make(tx, core, [by_pot[key] for key in sorted(by_pot) if key not in there], now)
    pots = _select(tx, set(by_pot), lock=True)
    for pot in pots.values():
        pot.made = pot.id in made
    if len(pots) < len(by_pot):
        there.clear()  # The database was restored to an earlier day, under this process.
        return lock(tx, core, by_pot.values(), now)
    # A row of our own making may yet be rolled back, and customers are too many to remember.
    there.update(key for key, pot in pots.items() if not pot.made and by_pot[key].rule.scope != "customer")
    return pots


def _make(tx: Connection, core: Core, wanted: Sequence[Wanted], now: datetime) -> set[uuid.UUID]:
    """Make the rows that are not there yet, in the order of their keys; return the ids that ours have."""
    if not wanted:
        return set()
    make = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = make(budget_periods).on_conflict_do_nothing(index_elements=["budget", "subject", "period_key"])
    rows = [_new_row(core, each, now) for each in wanted]
    tx.execute(statement, rows)
    return {row["id"] for row in rows}


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
    }


def _select(tx: Connection, keys: set[PotKey], *, lock: bool) -> dict[PotKey, Pot]:
    table = budget_periods.c
    query = (
        sa.select(table.budget, table.subject, table.period_key, table.id, *(table[name] for name in COUNTERS))
        .where(sa.tuple_(table.budget, table.subject, table.period_key).in_(sorted(keys)))
        .order_by(table.budget, table.subject, table.period_key)
    )
    rows = tx.execute(query.with_for_update() if lock else query).all()
    return {PotKey(*row[:3]): Pot(id=row[3], counters=dict(zip(COUNTERS, row[4:], strict=True))) for row in rows}


def lock_ids(tx: Connection, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Pot]:
    """Return pots by the ids of their rows, locked in the same order as ``lock`` takes them."""
    table = budget_periods.c
    query = (
        sa.select(table.id, *(table[name] for name in COUNTERS))
        .where(table.id.in_(set(ids)))
        .order_by(table.budget, table.subject, table.period_key)
        .with_for_update()
    )
    return {
        row[0]: Pot(id=row[0], counters=dict(zip(COUNTERS, row[1:], strict=True))) for row in tx.execute(query).all()
    }


def movement(
    *,
    core: Core,
    now: datetime,
    actor: str,
    pot: Pot,
    issuance_id: uuid.UUID,
    kind: str,
    source_id: uuid.UUID,
    changes: Mapping[str, int],
) -> dict[str, Any]:
    """Change a locked pot and return the movement that explains it; one deed (source) moves a pot once a kind."""
    pot.add(changes)
    return {
        "id": core.ids.new(now),
        "budget_period_id": pot.id,
        "issuance_id": issuance_id,
        "kind": kind,
        "source_id": source_id,
        **dict.fromkeys(COUNTERS, 0),
        **changes,
        "at": now,
        "actor": actor,
    }


def write(tx: Connection, pots: Collection[Pot], movements: Sequence[Mapping[str, Any]]) -> None:
    """Write movements, and then the pots they change: the hottest rows are touched last.

    Pots that were made for what was refused in the end are taken back.
    """
    if movements:
        tx.execute(budget_movements.insert(), list(movements))
    changed = [pot for pot in pots if any(pot.changes.values())]
    unused = [pot.id for pot in pots if pot.made and not any(pot.changes.values())]
    if unused:
        tx.execute(budget_periods.delete().where(budget_periods.c.id.in_(unused)))
    charged = [pot for pot in changed if pot.rule is not None]
    if charged:
        values: dict[str, Any] = {
            "cap_minor": sa.bindparam("new_cap_minor"),
            "cap_count": sa.bindparam("new_cap_count"),
        }
        tx.execute(
            _update(values),
            [
                {**_change_binds(pot), "new_cap_minor": pot.rule.cap_minor, "new_cap_count": pot.rule.cap_count}
                for pot in charged
                if pot.rule is not None
            ],
        )
    if len(changed) > len(charged):
        tx.execute(_update({}), [_change_binds(pot) for pot in changed if pot.rule is None])


def _update(values: Mapping[str, Any]) -> sa.Update:
    table = budget_periods.c
    sums = {name: table[name] + sa.bindparam(f"by_{name}", type_=sa.BigInteger()) for name in COUNTERS}
    return budget_periods.update().where(table.id == sa.bindparam("pot_id")).values(**sums, **values)


def _change_binds(pot: Pot) -> dict[str, Any]:
    return {"pot_id": pot.id, **{f"by_{name}": value for name, value in pot.changes.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What an issuance has in one pot now. A pot without a currency counts issuances and no money."""

    issuance_id: uuid.UUID
    pot_id: uuid.UUID
    on_expiry: str
    currency: str | None
    sums: Mapping[str, int]

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
    names = (moved.issuance_id, moved.budget_period_id, pots.on_expiry, pots.currency)
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
            sums={name: int(value) for name, value in zip(COUNTERS, row[4:], strict=True)},
        )
        for row in rows
    ]
