"""Carry over: what a period of a budget leaves goes to the present one, by two entries that balance.

The worker does it by itself, and again whenever something that was promised in a period that is over comes free.
What is promised still stays behind, whatever the basis: it may be spent yet. What was allotted for emergencies and for
promises that had to be kept is nobody's to keep. A pot of a budget for the organization, or for one subject, is made
for every period, so that one in which nothing was given leaves all of its cap; of a budget with a pot for each, only a
subject that something was given for has pots.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import allotting
from incentives.deeds.allotting import UNITS, Change
from incentives.deeds.assessment import budget_rule
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import NoCatalog
from incentives.spending import budgets
from incentives.spending.budgets import Pot, PotKey, Rule, Wanted
from incentives.spending.matching import wanted_now
from incentives.spending.tables import COUNTERS, budget_allocations, budget_periods

MOST_AT_ONCE = 100
EMERGENCY = ("break_glass", "override", "restored")
"""Allocations that no later period inherits."""

CARRIES = "carry_over"
_REASON = "What the period before has left."
_MOST_PERIODS_MISSED = 400


def carry_over_due(*, core: Core) -> int:
    """Carry over what periods have left; return how many rows that made or changed. Call it again until that is zero.

    Two sweeps at once carry once: what is left is counted while both pots are locked.
    """
    now = core.clock.now()
    with core.database.read() as tx:
        try:
            catalog = releases.cached_current(tx, core).catalog
        except NoCatalog:
            return 0
    rules = [budget_rule(each) for each in catalog.budgets.values() if each.rollover == CARRIES]
    return sum(_carry(core, rule, now) for rule in rules if rule.period != "none")


def _carry(core: Core, rule: Rule, now: datetime) -> int:
    with core.database.read() as tx:
        if not (_due(tx, rule, now) or _missing(tx, rule, now) or _stale(tx, rule, now)):
            return 0
    with core.database.write() as tx:
        due, missing, stale = _due(tx, rule, now), _missing(tx, rule, now), _stale(tx, rule, now)
        present = {key.subject: wanted_now(rule, key.subject, now) for key in due}
        pots = budgets.lock(tx, core, [*missing, *present.values()], now, also={*due, *stale})
        left = _left(tx, rule, [pots[key].id for key in due])
        moved = [(key, present[key.subject], left[pots[key].id]) for key in due if pots[key].id in left]
        rows = [row for each in moved for row in _move(core, rule, pots, now, *each)]
        audit.record_all(tx, [_event(core, rule, *each, now) for each in moved])
        # Pots that were made to begin a period stay, though nothing has happened to them yet.
        budgets.write(tx, [pot for pot in pots.values() if pot.changed], (), rows)
        return len(moved) + len(missing) + _refresh(tx, rule, [pots[key].id for key in stale])


def _unused(rule: Rule) -> dict[str, sa.ColumnElement[int]]:
    """Return what a pot leaves by unit, as SQL: of its cap and its allotments, without those for emergencies."""
    pot, table = budget_periods.c, budget_allocations.c
    found = {}
    for unit in UNITS:
        if (rule.cap_minor if unit == "minor" else rule.cap_count) is None:
            continue
        emergency = (
            sa.select(sa.func.coalesce(sa.func.sum(table[f"amount_{unit}"]), 0))
            .where(table.budget_period_id == pot.id, table.kind.in_(EMERGENCY))
            .scalar_subquery()
        )
        promised = pot[f"held_{unit}"] + pot[f"committed_{unit}"] + pot[f"spent_{unit}"]
        found[unit] = pot[f"cap_{unit}"] + pot[f"allotted_{unit}"] - emergency - promised
    return found


def _due(tx: Connection, rule: Rule, now: datetime) -> list[PotKey]:
    """Return pots of periods that are over and have left something."""
    pot = budget_periods.c
    leaves = sa.or_(*(each > 0 for each in _unused(rule).values()))
    query = (
        sa.select(pot.budget, pot.subject, pot.period_key)
        .where(pot.budget == rule.key, pot.rollover == CARRIES, pot.end_at <= now, leaves)
        .order_by(pot.end_at, pot.subject)
        .limit(MOST_AT_ONCE)
    )
    return [PotKey(*row) for row in tx.execute(query)]


def _left(tx: Connection, rule: Rule, pot_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    """Return what locked pots have left, by unit; nothing of those that another sweep has emptied meanwhile."""
    unused = _unused(rule)
    query = sa.select(budget_periods.c.id, *unused.values()).where(budget_periods.c.id.in_(pot_ids))
    found = {}
    for pot_id, *numbers in tx.execute(query) if pot_ids else ():
        amounts = {unit: int(number) for unit, number in zip(unused, numbers, strict=True) if (number or 0) > 0}
        if amounts:
            found[pot_id] = amounts
    return found


def _missing(tx: Connection, rule: Rule, now: datetime) -> list[Wanted]:
    """Return the pots to begin: of the present period, and of those since the last in which nobody looked."""
    subject = "organization" if rule.scope == "organization" else rule.of
    if subject is None:
        return []
    pot = budget_periods.c
    here = sa.and_(pot.budget == rule.key, pot.subject == subject, pot.start_at <= now)
    last = tx.execute(sa.select(sa.func.max(pot.end_at)).where(here)).scalar_one_or_none()
    if last is not None and last > now:
        return []
    found = [wanted_now(rule, subject, now)]
    if last is not None:
        at: datetime = last
        while at < (found[0].start_at or now) and len(found) < _MOST_PERIODS_MISSED:
            found.append(wanted_now(rule, subject, at))
            at = found[-1].end_at or now
    return found


def _stale(tx: Connection, rule: Rule, now: datetime) -> list[PotKey]:
    """Return present pots that say something else than the rule in force, and could agree with it."""
    pot = budget_periods.c
    present = sa.and_(pot.budget == rule.key, pot.start_at <= now, pot.end_at > now)
    other = sa.or_(*(pot[name].is_distinct_from(value) for name, value in _terms(rule).items()))
    query = sa.select(pot.budget, pot.subject, pot.period_key).where(present, other, _fits(rule))
    return [PotKey(*row) for row in tx.execute(query.order_by(pot.subject).limit(MOST_AT_ONCE))]


def _refresh(tx: Connection, rule: Rule, pot_ids: Sequence[uuid.UUID]) -> int:
    if not pot_ids:
        return 0
    this = sa.and_(budget_periods.c.id.in_(pot_ids), _fits(rule))
    return int(tx.execute(budget_periods.update().where(this).values(_terms(rule))).rowcount)


def _terms(rule: Rule) -> dict[str, Any]:
    names = ("cap_minor", "cap_count", "basis", "expected_percent", "rollover", "on_expiry")
    return {name: getattr(rule, name) for name in names}


def _fits(rule: Rule) -> sa.ColumnElement[bool]:
    """Return the condition that the database would let a pot have a rule's cap."""
    pot = budget_periods.c
    if rule.basis != "face":
        return sa.true()
    caps = {"minor": rule.cap_minor, "count": rule.cap_count}
    return sa.and_(
        sa.true(),
        *(
            sum((pot[name] for name in COUNTERS if name.endswith(unit)), sa.literal(0)) <= cap + pot[f"allotted_{unit}"]
            for unit, cap in caps.items()
            if cap is not None
        ),
    )


def _move(
    core: Core,
    rule: Rule,
    pots: Mapping[PotKey, Pot],
    now: datetime,
    key: PotKey,
    present: Wanted,
    amounts: Mapping[str, int],
) -> list[dict[str, Any]]:
    return allotting.allotments(
        _changes(rule, key, present, amounts),
        pots,
        core=core,
        now=now,
        actor=SYSTEM.label,
        approved_by=None,
        source_id=core.ids.new(now),
        reason=_REASON,
    )


def _changes(rule: Rule, key: PotKey, present: Wanted, amounts: Mapping[str, int]) -> Iterable[Change]:
    # Of the pot that it comes from only the key is told: what the rule says now was not said of that period.
    before = Wanted(rule=rule, pot=key, start_at=None, end_at=present.start_at)
    taken = {unit: -amount for unit, amount in amounts.items()}
    return [
        Change(wanted=before, kind="carry_out", amounts=taken),
        Change(wanted=present, kind="carry_in", amounts=amounts),
    ]


def _event(
    core: Core, rule: Rule, key: PotKey, present: Wanted, amounts: Mapping[str, int], now: datetime
) -> dict[str, Any]:
    changes = _changes(rule, key, present, amounts)
    return audit.event(
        core=core,
        actor=SYSTEM,
        now=now,
        action="budget.carry_over",
        subject_kind="budget",
        subject_id=f"{rule.key}"[:64],
        reason=_REASON,
        facts={"allocations": [each.facts for each in changes]},
    )
