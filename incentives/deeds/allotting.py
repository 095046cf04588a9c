"""Allotting: a budget holds more than its cap, or less, by entries that say why; the cap itself is never edited.

Not a flow: it opens no transaction. Requests and carry-over allot by it.
"""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.catalog import Catalog
from incentives.deeds.assessment import budget_rule
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    BreakGlassLimitReached,
    BudgetCurrencyMismatch,
    BudgetInUse,
    BudgetNotFound,
    BudgetPeriodOver,
    InputInvalid,
)
from incentives.kernel.money import AMOUNT_MINOR_MAX
from incentives.spending import budgets
from incentives.spending.budgets import Pot, PotKey, Rule, Wanted
from incentives.spending.matching import wanted_in, wanted_now
from incentives.spending.tables import budget_allocations

UNITS = ("minor", "count")
FURTHEST = timedelta(days=731)
"""So far ahead a period may begin whose budget is changed."""

_HUNDRED = 100
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Whom a pot may be for, where the catalog does not know them.
_LABELS = {"agent": re.compile(f"(person|key|rule|system):{_UUID}"), "customer": re.compile(_UUID)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PotName:
    """A pot as people name it: a budget, whom it is for where it has a pot for each, and the first day of a period.

    ``period_key`` None is the present period.
    """

    budget: str
    subject: str | None = None
    period_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one pot is given, or what is taken from it: signed amounts by unit (``minor``, ``count``)."""

    wanted: Wanted
    kind: str
    amounts: Mapping[str, int]

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the audit trail keeps: enough to count the pot again."""
        amounts = {f"amount_{unit}": self.amounts.get(unit, 0) for unit in UNITS}
        return {"pot": list(self.wanted.pot), "kind": self.kind, **amounts, "currency": self.wanted.rule.currency}


def find(catalog: Catalog, name: PotName, now: datetime, *, field: str = "budget") -> Wanted:
    """Return the pot of a name. Raises ``BudgetNotFound``, ``BudgetPeriodOver`` and ``InputInvalid``."""
    found = catalog.budgets.get(name.budget)
    if found is None:
        raise BudgetNotFound(field=field)
    rule = budget_rule(found)
    subject = _subject(catalog, rule, name.subject, field)
    if name.period_key is None:
        return wanted_now(rule, subject, now)
    try:
        wanted = wanted_in(rule, subject, name.period_key)
    except ValueError:
        message = "No period of this budget begins on that day."
        raise InputInvalid(errors=[{"field": f"{field}_period", "message": message}]) from None
    refuse_over(wanted, now)
    if wanted.start_at is not None and wanted.start_at > now + FURTHEST:
        message = "This period is too far away: two years at most."
        raise InputInvalid(errors=[{"field": f"{field}_period", "message": message}])
    return wanted


def refuse_over(wanted: Wanted, now: datetime) -> None:
    """Refuse a pot whose period has ended, with ``BudgetPeriodOver``."""
    if wanted.end_at is not None and wanted.end_at <= now:
        raise BudgetPeriodOver(budget=wanted.pot.budget, period=wanted.pot.period_key)


def _subject(catalog: Catalog, rule: Rule, named: str | None, field: str) -> str:
    fixed = "organization" if rule.scope == "organization" else rule.of
    if fixed is not None:
        if named not in (None, fixed):
            raise BudgetNotFound(field=field)
        return fixed
    known: Mapping[str, Iterable[str]] = {
        "location": catalog.locations,
        "team": catalog.teams,
        "issue_tag": catalog.issue_tags,
        "incentive": catalog.incentives,
    }
    if named is None:
        raise BudgetNotFound("This budget has a pot for each: say for whom.", field=field)
    label = _LABELS.get(rule.scope)
    if not (label.fullmatch(named) if label else named in known[rule.scope]):
        raise BudgetNotFound(field=field)
    return named


def changes_of(kind: str, into: Wanted, out_of: Wanted | None, amounts: Mapping[str, int]) -> list[Change]:
    """Return what a request changes, a transfer two pots, after checking that it makes sense at all.

    Raises ``InputInvalid`` and ``BudgetCurrencyMismatch``.
    """
    pots = [into, *([out_of] if out_of else [])]
    _check_amounts(kind, pots, amounts)
    given = {unit: amount for unit, amount in amounts.items() if amount}
    if out_of is None:
        return [Change(wanted=into, kind=kind, amounts=given)]
    if out_of.pot == into.pot:
        raise InputInvalid(errors=[{"field": "from_budget", "message": "Choose another budget, or another period."}])
    if given.get("minor") and into.rule.currency != out_of.rule.currency:
        raise BudgetCurrencyMismatch(
            field="from_budget", currency=into.rule.currency, from_currency=out_of.rule.currency
        )
    taken = {unit: -amount for unit, amount in given.items()}
    return [
        Change(wanted=into, kind="transfer_in", amounts=given),
        Change(wanted=out_of, kind="transfer_out", amounts=taken),
    ]


def _check_amounts(kind: str, pots: Sequence[Wanted], amounts: Mapping[str, int]) -> None:
    mistakes = []
    for unit in UNITS:
        amount, field = amounts.get(unit, 0), f"amount_{unit}"
        if amount and any(_cap(each.rule, unit) is None for each in pots):
            said = "money" if unit == "minor" else "a number"
            mistakes.append({"field": field, "message": f"A budget that is named does not limit {said}."})
        elif abs(amount) > AMOUNT_MINOR_MAX or (amount < 0 and kind != "adjustment"):
            mistakes.append({"field": field, "message": "Only an adjustment can be below zero."})
    if not mistakes and not any(amounts.values()):
        mistakes.append({"field": "amount_minor", "message": "Say how much."})
    if mistakes:
        raise InputInvalid(errors=mistakes)


def _cap(rule: Rule, unit: str) -> int | None:
    return (rule.cap_minor if rule.currency is not None else None) if unit == "minor" else rule.cap_count


def free(rule: Rule, pot: Pot) -> dict[str, int]:
    """Return what is free in a pot by the rule in force, by unit; nothing where a unit is not limited."""
    caps = {unit: _cap(rule, unit) for unit in UNITS}
    return {unit: cap + pot.allowance(unit) - pot.used(unit, rule) for unit, cap in caps.items() if cap is not None}


def check_room(changes: Sequence[Change], pots: Mapping[PotKey, Pot]) -> None:
    """Refuse to take what is not free, and to add more than can be counted.

    Raises ``BudgetInUse``, which says how much is free, and ``InputInvalid``.
    """
    for each in changes:
        rule, pot = each.wanted.rule, pots[each.wanted.pot]
        is_free = free(rule, pot)
        if any(amount < 0 and -amount > is_free.get(unit, 0) for unit, amount in each.amounts.items()):
            raise BudgetInUse(
                f"The budget “{rule.name}” has less than that left.",
                budget=rule.key,
                currency=rule.currency,
                **{f"free_{unit}": max(0, number) for unit, number in is_free.items()},
            )
        for unit, amount in each.amounts.items():
            if (_cap(rule, unit) or 0) + pot.allowance(unit) + amount > AMOUNT_MINOR_MAX:
                raise InputInvalid(errors=[{"field": f"amount_{unit}", "message": "This is more than can be counted."}])


def check_glass(tx: Connection, catalog: Catalog, change: Change, pots: Mapping[PotKey, Pot]) -> None:
    """Refuse more than the rule allows to be added in an emergency, in sum, in one period.

    Raises ``BreakGlassLimitReached``.
    """
    rule, pot = change.wanted.rule, pots[change.wanted.pot]
    percent = catalog.budgets[rule.key].break_glass_percent
    table = budget_allocations.c
    sums = [sa.func.coalesce(sa.func.sum(table[f"amount_{unit}"]), 0) for unit in UNITS]
    so_far = tx.execute(sa.select(*sums).where(table.budget_period_id == pot.id, table.kind == "break_glass")).one()
    most = {
        unit: max(0, (_cap(rule, unit) or 0) * percent // _HUNDRED - int(added))
        for unit, added in zip(UNITS, so_far, strict=True)
    }
    if any(amount > most[unit] for unit, amount in change.amounts.items()):
        detail = (
            f"The budget “{rule.name}” may be passed by {percent} percent in a period."
            if percent
            else f"The budget “{rule.name}” may not be passed in an emergency."
        )
        raise BreakGlassLimitReached(
            detail, budget=rule.key, currency=rule.currency, **{f"most_{unit}": most[unit] for unit in UNITS}
        )


def settle(pot: Pot, rule: Rule) -> None:
    """Let a pot that was changed say what the rule in force says, where the database can agree to that.

    A cap that was lowered below what is promised stays what it was in the row, until what is promised fits under it.
    """
    if not pot.lacks(rule, 0, 0):
        pot.rule = rule


def allotments(
    changes: Iterable[Change],
    pots: Mapping[PotKey, Pot],
    *,
    core: Core,
    now: datetime,
    actor: str,
    approved_by: str | None,
    source_id: uuid.UUID,
    reason: str,
) -> list[dict[str, Any]]:
    """Change locked pots and return the allocations that explain it."""
    rows = []
    for each in changes:
        pot = pots[each.wanted.pot]
        rows.append(
            budgets.allotment(
                core=core,
                now=now,
                actor=actor,
                pot=pot,
                kind=each.kind,
                source_id=source_id,
                reason=reason,
                amounts=each.amounts,
                approved_by=approved_by,
            )
        )
        if each.wanted.end_at is None or each.wanted.end_at > now:
            settle(pot, each.wanted.rule)  # What is over keeps the terms that it had.
    return rows
