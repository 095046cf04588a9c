"""A promise is raised: the budgets that it was charged to take the difference, and so do the limits of who raises it.

Not a flow: it opens no transaction. Nobody gets around a limit by giving little first: the whole amount must be within
the limit for one voucher, and every difference counts again under the limits for a day and for a customer, and in the
budgets for each person, of who raises it, whoever gave it at first.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import assessment, readdressing
from incentives.deeds.batch import Batch
from incentives.kernel.errors import BudgetExhausted, CustomerCapReached, OverLimit
from incentives.recovery import customers
from incentives.spending import budgets, limits
from incentives.spending.budgets import Charged, Pot, PotKey, Rule
from incentives.spending.matching import Wanted, matching, wanted_in
from incentives.spending.tables import budget_periods


def charge(
    tx: Connection, batch: Batch, row: Any, source_id: uuid.UUID, total_minor: int, delta_minor: int
) -> tuple[Collection[Pot], list[list[Any]]]:
    """Charge what a voucher is worth more; return the locked pots, and what was charged to which.

    Raises ``OverLimit``, ``BudgetExhausted`` and ``CustomerCapReached``.
    """
    catalog = releases.cached_current(tx, batch.core).catalog
    limit = assessment.limit_of(catalog, batch.actor, row.currency)
    if limits.over_voucher(limit, total_minor):
        most = limit.per_voucher_minor if limit else 0
        raise OverLimit(field="amount_minor", reasons=[limits.OVER_VOUCHER], most_minor=most, currency=row.currency)
    people = customers.together(tx, [row.customer_id]) if row.customer_id else ()
    dims = readdressing.dimensions(catalog, batch.actor, row, people)
    rules = {each.key: assessment.budget_rule(each) for each in catalog.budgets.values()}
    still = _still(budgets.charges_of(tx, [row.issuance_id]))
    promised, over = _promised(tx, rules, still, batch.now)
    before = {each.pot for each in (*promised, *over)}
    personal = (*limits.rules(limit, catalog.brand.time_zone), *(rule for rule in rules.values() if _is_personal(rule)))
    own = [each for each in matching(personal, dims, batch.now) if each.pot not in before]
    pots = budgets.lock(tx, batch.core, [*promised, *own], batch.now, also=[each.pot for each in over])
    moved = []
    for each in sorted((*promised, *over, *own), key=lambda charged: charged.pot):
        pot = pots[each.pot]
        _check(each, pot, delta_minor)
        changes = budgets.in_unit(each.rule.currency, {"committed_minor": delta_minor})
        if changes:
            # What is over keeps the terms that it had: with today's, it would leave what nobody allotted it.
            pot.rule = None if each in over else each.rule
            batch.move(pot, row.issuance_id, source_id, "adjust", changes)
            moved.append([*each.pot, delta_minor])
    return pots.values(), moved


def _is_personal(rule: Rule) -> bool:
    """Return whether a budget is for what each person gives: who raises gives, whoever gave it at first."""
    return rule.scope == "agent" and rule.currency is not None


def _still(charged: Sequence[Charged]) -> list[Charged]:
    """Return the budgets that hold money of a promise now: not those of what was asked for, or of whose it was before.

    A limit is whose it is: who raises has their own.
    """
    return [
        each
        for each in charged
        if (each.sums["committed_minor"] > 0 or each.sums["committed_count"] > 0)
        and each.currency is not None
        and not limits.is_limit(each.pot.budget)
    ]


def _promised(
    tx: Connection, rules: Mapping[str, Rule], charged: Sequence[Charged], now: datetime
) -> tuple[list[Wanted], list[Wanted]]:
    """Return the budgets that a promise was charged to, in the periods in which it was made, and those that are over.

    A period that has ended holds its promises to the end under the cap that it had; so does one that the catalog has
    no more, or with other periods.
    """
    table = budget_periods
    query = sa.select(table).where(table.c.id.in_([each.pot_id for each in charged]))
    promised, over = [], []
    for row in tx.execute(query).all():
        rule = rules.get(row.budget)
        there = _there(rule, row, now)
        if there is None:
            key = PotKey(row.budget, row.subject, row.period_key)
            over.append(Wanted(rule=_last_rule(row, rule), pot=key, start_at=row.start_at, end_at=row.end_at))
        else:
            promised.append(there)
    return promised, over


def _there(rule: Rule | None, row: Any, now: datetime) -> Wanted | None:
    """Return a pot under the rule in force; None where that has no such pot, or its period is over."""
    if rule is None or rule.currency != row.currency or (row.end_at is not None and row.end_at <= now):
        return None
    try:
        found = wanted_in(rule, row.subject, row.period_key)
    except ValueError:  # It has other periods now.
        return None
    return found if found.end_at == row.end_at else None


def _last_rule(row: Any, rule: Rule | None) -> Rule:
    return Rule(
        key=row.budget,
        name=rule.name if rule else row.budget,
        scope=rule.scope if rule else "organization",
        of=None,
        currency=row.currency,
        period="none",
        time_zone="UTC",
        week_start=0,
        cap_minor=row.cap_minor,
        cap_count=row.cap_count,
        on_expiry=row.on_expiry,
        basis=row.basis,
        expected_percent=row.expected_percent,
        rollover=row.rollover,
    )


def _check(each: Wanted, pot: Pot, delta_minor: int) -> None:
    if not pot.lacks(each.rule, delta_minor, 0):
        return
    if each.rule.asks_approval:
        raise OverLimit(field="amount_minor", reasons=[each.rule.name])
    kind = CustomerCapReached if each.rule.scope == "customer" else BudgetExhausted
    raise kind(f"The budget “{each.rule.name}” has no room for this.", budget=each.rule.key, scope=each.rule.scope)
