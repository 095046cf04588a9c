"""A promise is raised: the budgets that it was charged to take the difference, and so do the limits of who raises it.

Not a flow: it opens no transaction. Nobody gets around a limit by giving little first: the whole amount must be within
the limit for one voucher, and every difference counts again under the limits for a day and for a customer, whoever
gave it at first.
"""

import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds import assessment, readdressing
from incentives.deeds.batch import Batch
from incentives.kernel.errors import BudgetExhausted, CustomerCapReached, OverLimit
from incentives.recovery import customers
from incentives.spending import budgets, limits
from incentives.spending.budgets import Charged, Pot, Rule
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
    own = matching(limits.rules(limit, catalog.brand.time_zone), dims, batch.now)
    wanted = [*_promised(tx, catalog, budgets.charges_of(tx, [row.issuance_id])), *own]
    pots = budgets.lock(tx, batch.core, wanted, batch.now)
    for each in wanted:
        _check(each, pots[each.pot], delta_minor)
    moved = []
    for each in wanted:
        changes = budgets.in_unit(each.rule.currency, {"committed_minor": delta_minor})
        if changes:
            pots[each.pot].rule = each.rule
            batch.move(pots[each.pot], row.issuance_id, source_id, "adjust", changes)
            moved.append([*each.pot, delta_minor])
    return pots.values(), moved


def _promised(tx: Connection, catalog: Catalog, charged: Sequence[Charged]) -> list[Wanted]:
    """Return the budgets that a promise was charged to, in the periods in which it was made.

    One that the catalog has no more, or with other periods, holds its promises to the end under the cap that it had.
    """
    rules = {each.key: assessment.budget_rule(each) for each in catalog.budgets.values()}
    found = []
    for each in charged:
        if limits.is_limit(each.pot.budget):
            continue
        found.append(_there(rules.get(each.pot.budget), each) or _last(tx, each))
    return found


def _there(rule: Rule | None, charged: Charged) -> Wanted | None:
    """Return a pot under the rule in force; None where that has no such pot any more."""
    if rule is None or rule.currency != charged.currency:
        return None
    try:
        return wanted_in(rule, charged.pot.subject, charged.pot.period_key)
    except ValueError:  # It has other periods now.
        return None


def _last(tx: Connection, charged: Charged) -> Wanted:
    return Wanted(rule=_last_rule(tx, charged), pot=charged.pot, start_at=None, end_at=None)


def _last_rule(tx: Connection, charged: Charged) -> Rule:
    row = tx.execute(sa.select(budget_periods).where(budget_periods.c.id == charged.pot_id)).one()
    return Rule(
        key=row.budget,
        name=row.budget,
        scope="organization",
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
