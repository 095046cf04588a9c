"""Alerts: which budgets have passed a threshold, as a list, and as the letter that tells of one."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.catalog import releases
from incentives.catalog.definitions import BudgetRule
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.messages.port import BudgetLetter
from incentives.queries.budgets import Budget, pot_of
from incentives.queries.paging import Page, page
from incentives.spending.tables import budget_alerts, budget_periods

ABOUT = "budget_alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A budget that has passed a threshold. ``standing`` is whether that still is news: nothing has raised it since.

    ``used_minor`` and ``used_count`` are what was used when it was noticed.
    """

    id: uuid.UUID
    budget_id: str
    name: str
    scope: str
    subject: str
    period_key: str
    threshold_percent: int
    used_minor: int
    used_count: int
    currency: str | None
    at: datetime
    standing: bool


_QUERY = sa.select(
    budget_alerts,
    budget_periods.c.budget,
    budget_periods.c.subject,
    budget_periods.c.period_key,
    budget_periods.c.currency,
    budget_periods.c.end_at,
).join(budget_periods, budget_periods.c.id == budget_alerts.c.budget_period_id)


def list_alerts(
    *, core: Core, actor: Actor, limit: int = 50, after: str | None = None, standing: bool = False
) -> Page[Alert]:
    """Return alerts, the newest first; with ``standing`` those of periods that last, which nothing has raised since."""
    permit(actor, "budgets:read")
    now = core.clock.now()
    query = _QUERY
    if standing:
        end = budget_periods.c.end_at
        query = query.where(budget_alerts.c.rearmed_at.is_(None), sa.or_(end.is_(None), end > now))
    with core.database.read() as tx:
        rules = releases.cached_current(tx, core).catalog.budgets
        found = page(tx, query, budget_alerts.c.id, lambda row: row, limit=limit, after=after)
        return Page(items=[_alert(rules, row, now) for row in found.items], next=found.next)


def worst(alerts: list[Alert]) -> list[Alert]:
    """Return of each pot the alert with the highest threshold: a budget that is used up is half used as well."""
    by_pot: dict[tuple[str, str], Alert] = {}
    for each in alerts:
        known = by_pot.get((each.budget_id, each.period_key))
        if known is None or each.threshold_percent > known.threshold_percent:
            by_pot[each.budget_id, each.period_key] = each
    return sorted(by_pot.values(), key=lambda each: -each.threshold_percent)


def _alert(rules: Mapping[str, BudgetRule], row: Any, now: datetime) -> Alert:
    rule = rules.get(row.budget)
    for_each = rule is not None and rule.of is None and rule.scope != "organization"
    return Alert(
        id=row.id,
        budget_id=f"{row.budget}:{row.subject}" if for_each else row.budget,
        name=rule.name if rule else row.budget,
        scope=rule.scope if rule else "",
        subject=row.subject,
        period_key=row.period_key,
        threshold_percent=row.threshold_percent,
        used_minor=row.used_minor,
        used_count=row.used_count,
        currency=row.currency,
        at=row.at,
        standing=row.rearmed_at is None and (row.end_at is None or row.end_at > now),
    )


def compose(tx: Connection, core: Core, message: Any, now: datetime, *, whatever: bool = False) -> BudgetLetter | None:
    """Return the letter of an alert.

    None for whoever may not sign in any more, and, unless ``whatever`` became of it since is told, for an alert that a
    raise has made untrue.
    """
    row = tx.execute(_QUERY.where(budget_alerts.c.id == message.about_id)).one()
    person = tx.execute(sa.select(users).where(users.c.id == message.user_id)).one()
    catalog = releases.cached_current(tx, core).catalog
    rule = catalog.budgets.get(row.budget)
    if person.disabled_at is not None or rule is None or (row.rearmed_at is not None and not whatever):
        return None
    alert = _alert(catalog.budgets, row, now)
    budget, _ = pot_of(tx, core, alert.budget_id, row.period_key, now)
    return BudgetLetter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=catalog.brand.default_language,
        to=person.email,
        staff_name=person.name,
        brand=catalog.brand.name,
        budget=rule.name,
        subject=_whom_for(catalog, budget),
        threshold_percent=row.threshold_percent,
        used=_money(budget, budget.money.used),
        ceiling=_money(budget, budget.money.ceiling),
        used_count=budget.count.used,
        ceiling_count=budget.count.ceiling,
        ends_at=budget.end_at,
        time_zone=budget.time_zone,
        url=f"{core.settings.public_url}/finance/budgets/{alert.budget_id}?period={row.period_key}",
    )


def _money(budget: Budget, amount_minor: int | None) -> Money | None:
    return Money(amount_minor, budget.currency) if budget.currency and amount_minor is not None else None


def _whom_for(catalog: Any, budget: Budget) -> str | None:
    """Return what the one is called that a budget is for; None for the whole organization."""
    if budget.scope == "organization" or budget.subject is None:
        return None
    if budget.scope == "issue_tag" and budget.subject in catalog.issue_tags:
        return str(catalog.words(catalog.issue_tags[budget.subject].label, None))
    if budget.scope == "incentive" and budget.subject in catalog.incentives:
        return str(catalog.words(catalog.incentives[budget.subject].title, None))
    named = {"location": catalog.locations, "team": catalog.teams}.get(budget.scope, {}).get(budget.subject)
    return named.name if named else budget.subject
