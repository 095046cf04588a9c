"""What a bulk job holds of the budgets: all of it before the first row, less with each chunk, nothing at the end.

Not a flow: it opens no transaction. Customers' own budgets are not held, for they are many and each is decided with
its row; nor are limits that only ask.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import assessment, deciding
from incentives.deeds.answers import AwaitingApproval, Issued
from incentives.deeds.batch import Batch
from incentives.deeds.wanting import Draft
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import BudgetExhausted, Refusal
from incentives.spending import budgets
from incentives.spending.budgets import Pot, PotKey, Rule
from incentives.spending.matching import Wanted, wanted_in
from incentives.spending.tables import budget_movements, budget_periods

_HELD = ("held_minor", "held_count")


def is_held(rule: Rule) -> bool:
    """Return whether a job holds of a budget what its rows will charge to it."""
    return rule.scope != "customer" and not rule.asks_approval


@dataclass(frozen=True, slots=True)
class Need:
    """What a job needs of one pot."""

    pot: PotKey
    amount_minor: int
    count: int

    def as_json(self) -> list[Any]:
        """Return it as the audit trail and a job's totals have it."""
        return [*self.pot, self.amount_minor, self.count]

    @classmethod
    def from_json(cls, found: Sequence[Any]) -> "Need":
        """Return what ``as_json`` made."""
        return cls(PotKey(*found[:3]), found[3], found[4])


@dataclass(frozen=True, slots=True)
class JobHold:
    """A running job, and the deed (a chunk) in which its rows are given."""

    job_id: uuid.UUID
    chunk_id: uuid.UUID

    def lend(self, tx: Connection, pots: Mapping[PotKey, Pot], wanted: Iterable[Wanted]) -> "Lent":
        """Return what the job still holds of pots that are locked, for what is wanted of them."""
        held = {each.pot: pots[each.pot].id for each in wanted if is_held(each.rule)}
        sums = _held(tx, self.job_id, held.values())
        return Lent(self, {key: sums[pot_id] for key, pot_id in held.items() if pot_id in sums})


@dataclass(slots=True)
class Lent:
    """What a job holds of locked pots, and how much of it this transaction gives back."""

    job: JobHold
    left: dict[PotKey, dict[str, int]]
    given_back: dict[PotKey, dict[str, int]] = field(default_factory=dict)

    def decide(self, draft: Draft, pots: Mapping[PotKey, Pot], batch: Batch) -> Issued | AwaitingApproval | Refusal:
        """Give back what a row will charge, and decide it; what a refused row does not use is held on."""
        shares = self._shares(draft)
        for key, share in shares.items():
            pots[key].add({name: -value for name, value in share.items()})
        result = deciding.decide(draft, pots, batch)
        for key, share in shares.items():
            if isinstance(result, Refusal):
                pots[key].add(share)
                continue
            back = self.given_back.setdefault(key, dict.fromkeys(_HELD, 0))
            for name, value in share.items():
                back[name] += value
                self.left[key][name] -= value
        return result

    def _shares(self, draft: Draft) -> dict[PotKey, dict[str, int]]:
        wanted = {"held_minor": deciding.proposed(draft).amount.amount_minor, "held_count": 1}
        return {
            each.pot: {name: min(value, self.left[each.pot][name]) for name, value in wanted.items()}
            for each in draft.wanted
            if each.pot in self.left
        }

    def settle(self, batch: Batch, pots: Mapping[PotKey, Pot]) -> None:
        """Lay out the movements that explain what was given back: one a pot, whatever the number of rows."""
        told = []
        for key, back in sorted(self.given_back.items()):
            if not any(back.values()):
                continue
            pots[key].add(back)  # It is in the pot already, row by row; the movement takes it off once more.
            batch.movements.append(
                _movement(batch.core, batch.now, batch.actor.label, pots[key], self.job, "release", back)
            )
            told.append([*key, back["held_minor"], back["held_count"]])
        if told:
            batch.events.append(event(batch.core, batch.actor, batch.now, self.job.job_id, "drawn", {"released": told}))


def hold(tx: Connection, core: Core, actor: Actor, job_id: uuid.UUID, needs: Iterable[Need], now: datetime) -> None:
    """Hold of each budget what a whole job needs. Raises ``BudgetExhausted`` naming the one that has no room."""
    catalog = releases.cached_current(tx, core).catalog
    # A budget that another catalog has dropped meanwhile charges no row.
    by_pot = {each.pot: each for each in needs if each.pot.budget in catalog.budgets}
    wanted = [_wanted(assessment.budget_rule(catalog.budgets[key.budget]), key) for key in by_pot]
    pots = budgets.lock(tx, core, wanted, now)
    run = JobHold(job_id, core.ids.new(now))
    movements = []
    for each in sorted(wanted, key=lambda one: one.pot):
        need, pot = by_pot[each.pot], pots[each.pot]
        if over := pot.lacks(each.rule, need.amount_minor, need.count):
            raise BudgetExhausted(
                f"The budget “{each.rule.name}” has no room for the whole job.",
                budget=each.rule.key,
                scope=each.rule.scope,
                lacks=over,
            )
        pot.rule = each.rule
        changes = budgets.in_unit(each.rule.currency, {"held_minor": need.amount_minor, "held_count": need.count})
        movements.append(
            _movement(core, now, actor.label, pot, run, "hold", {name: -by for name, by in changes.items()})
        )
    held = {"held": [by_pot[key].as_json() for key in sorted(by_pot)]}
    audit.record_all(tx, [event(core, actor, now, job_id, "held", held)])
    budgets.write(tx, pots.values(), movements)


def _wanted(rule: Rule, key: PotKey) -> Wanted:
    return wanted_in(rule, key.subject, key.period_key)


def release(tx: Connection, core: Core, actor: Actor, job_id: uuid.UUID, now: datetime) -> list[Need]:
    """Release what a job still holds, and return what that was."""
    moved = budget_movements.c
    ids = tx.execute(sa.select(moved.budget_period_id).where(moved.job_id == job_id).distinct()).scalars().all()
    if not ids:
        return []
    pots = budgets.lock_ids(tx, ids)
    held = {pot_id: sums for pot_id, sums in _held(tx, job_id, ids).items() if any(sums.values())}
    run = JobHold(job_id, core.ids.new(now))
    movements = [_movement(core, now, actor.label, pots[pot_id], run, "release", sums) for pot_id, sums in held.items()]
    needs = _needs(tx, held)
    if needs:
        freed = {"released": [each.as_json() for each in needs]}
        audit.record_all(tx, [event(core, actor, now, job_id, "released", freed)])
    budgets.write(tx, pots.values(), movements)
    return needs


def _needs(tx: Connection, held: Mapping[uuid.UUID, Mapping[str, int]]) -> list[Need]:
    table = budget_periods.c
    query = sa.select(table.id, table.budget, table.subject, table.period_key).where(table.id.in_(list(held)))
    return [
        Need(PotKey(*row[1:]), held[row[0]]["held_minor"], held[row[0]]["held_count"])
        for row in tx.execute(query.order_by(table.budget, table.subject, table.period_key))
    ]


def _held(tx: Connection, job_id: uuid.UUID, pot_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    moved = budget_movements.c
    rows = tx.execute(
        sa.select(moved.budget_period_id, sa.func.sum(moved.held_minor), sa.func.sum(moved.held_count))
        .where(moved.job_id == job_id, moved.budget_period_id.in_(list(pot_ids)))
        .group_by(moved.budget_period_id)
    )
    return {row[0]: {"held_minor": int(row[1]), "held_count": int(row[2])} for row in rows}


def _movement(
    core: Core, now: datetime, actor: str, pot: Pot, job: JobHold, kind: str, back: Mapping[str, int]
) -> dict[str, Any]:
    """Take off a pot what comes back (or put on, where it is negative), and return the movement that explains it."""
    return budgets.movement(
        core=core,
        now=now,
        actor=actor,
        pot=pot,
        issuance_id=None,
        job_id=job.job_id,
        kind=kind,
        source_id=job.chunk_id,
        changes={name: -by for name, by in back.items()},
    )


def event(
    core: Core,
    actor: Actor,
    now: datetime,
    job_id: uuid.UUID,
    deed: str,
    facts: Mapping[str, Any],
    *,
    reason: str | None = None,
) -> dict[str, Any]:
    """Return an audit row about a job."""
    return audit.event(
        core=core,
        actor=actor,
        now=now,
        action=f"bulk.{deed}",
        subject_kind="job",
        subject_id=job_id,
        reason=reason,
        facts=facts,
    )
