"""Watch budgets: whoever minds the money is told when a budget is half used, and when little and when nothing is left.

The worker does it by itself. What a period leaves is carried over by ``carry_over.py``.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds.assessment import budget_rule
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.database import insert_new
from incentives.kernel.errors import NoCatalog
from incentives.messages import outbox
from incentives.spending import alerts
from incentives.spending.budgets import Rule, used_of
from incentives.spending.tables import budget_alerts, budget_periods

TOLD = ("finance", "manager")
"""The roles that are told by email; everybody who may read budgets sees the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A pot as it stands: what is used by its basis, and what it may hold, by unit."""

    row: Any
    rule: Rule
    used: Mapping[str, int]
    ceilings: Mapping[str, int]
    standing: Mapping[int, Any]

    @property
    def reached(self) -> int:
        """Return the highest threshold that is reached."""
        return alerts.reached(self.used, self.ceilings)

    @property
    def new(self) -> list[int]:
        """Return the thresholds to tell of."""
        return alerts.new(self.reached, self.standing)

    @property
    def raised(self) -> list[uuid.UUID]:
        """Return the alerts that a raise has made untrue."""
        return [
            each.id
            for threshold, each in self.standing.items()
            if alerts.rearmed(
                threshold, self.reached, {"minor": each.used_minor, "count": each.used_count}, self.ceilings
            )
        ]


def alert_due(*, core: Core) -> int:
    """Write down which budgets have passed a threshold, tell people of it, and return how many alerts that made.

    Two sweeps at once write each alert once: whoever writes it also tells.
    """
    now = core.clock.now()
    with core.database.read() as tx:
        if not any(each.new or each.raised for each in _seen(tx, core, now)):
            return 0
    with core.database.write() as tx:
        seen = _seen(tx, core, now)
        _rearm(tx, [alert_id for each in seen for alert_id in each.raised], now)
        return _raise(tx, core, seen, now)


def _seen(tx: Connection, core: Core, now: datetime) -> list[_Seen]:
    try:
        catalog = releases.cached_current(tx, core).catalog
    except NoCatalog:
        return []
    rules = {each.key: budget_rule(each) for each in catalog.budgets.values() if each.scope in alerts.SCOPES}
    pot = budget_periods.c
    present = sa.or_(pot.end_at.is_(None), sa.and_(pot.start_at <= now, pot.end_at > now))
    rows = tx.execute(sa.select(budget_periods).where(pot.budget.in_(list(rules)), present).order_by(pot.id)).all()
    standing: dict[uuid.UUID, dict[int, Any]] = {}
    table = budget_alerts.c
    told = sa.select(budget_alerts).join(budget_periods, pot.id == table.budget_period_id)
    for each in tx.execute(told.where(table.rearmed_at.is_(None), present)).all():
        standing.setdefault(each.budget_period_id, {})[each.threshold_percent] = each
    return [_one(row, rules[row.budget], standing.get(row.id, {})) for row in rows]


def _one(row: Any, rule: Rule, standing: Mapping[int, Any]) -> _Seen:
    caps = {"minor": rule.cap_minor if rule.currency is not None else None, "count": rule.cap_count}
    used = {
        unit: used_of(
            getattr(row, f"held_{unit}") + getattr(row, f"committed_{unit}"), getattr(row, f"spent_{unit}"), rule
        )
        for unit in caps
    }
    ceilings = {unit: cap + getattr(row, f"allotted_{unit}") for unit, cap in caps.items() if cap is not None}
    return _Seen(row=row, rule=rule, used=used, ceilings=ceilings, standing=standing)


def _rearm(tx: Connection, alert_ids: Sequence[uuid.UUID], now: datetime) -> None:
    table = budget_alerts.c
    if alert_ids:
        this = sa.and_(table.id.in_(alert_ids), table.rearmed_at.is_(None))
        tx.execute(budget_alerts.update().where(this).values(rearmed_at=now))


def _raise(tx: Connection, core: Core, seen: Iterable[_Seen], now: datetime) -> int:
    rows = {}
    for each in seen:
        raised = set(each.raised)
        standing = {threshold: alert for threshold, alert in each.standing.items() if alert.id not in raised}
        for threshold in alerts.new(each.reached, standing):
            row = _alert_row(core, each, threshold, now)
            rows[row["id"]] = (each, row)
    made = insert_new(
        tx,
        budget_alerts,
        ("budget_period_id", "threshold_percent"),
        [row for _, row in rows.values()],
        where="rearmed_at IS NULL",
    )
    fresh = [(each, row) for alert_id, (each, row) in rows.items() if alert_id in made]
    audit.record_all(tx, [_event(core, each, row, now) for each, row in fresh])
    # Of several thresholds passed at once, only the highest is told by email.
    highest = {each.row.id: (each, row) for each, row in sorted(fresh, key=lambda pair: pair[1]["threshold_percent"])}
    _tell(tx, core, now, list(highest.values()))
    return len(fresh)


def _alert_row(core: Core, each: _Seen, threshold: int, now: datetime) -> dict[str, Any]:
    return {
        "id": core.ids.new(now),
        "budget_period_id": each.row.id,
        "threshold_percent": threshold,
        "used_minor": each.used["minor"],
        "used_count": each.used["count"],
        "at": now,
    }


def _event(core: Core, each: _Seen, row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    facts = {
        "pot": [each.row.budget, each.row.subject, each.row.period_key],
        "threshold_percent": row["threshold_percent"],
        "used_minor": row["used_minor"],
        "used_count": row["used_count"],
        "currency": each.rule.currency,
    }
    return audit.event(
        core=core,
        actor=SYSTEM,
        now=now,
        action="budget.alerted",
        subject_kind="budget_period",
        subject_id=each.row.id,
        facts=facts,
    )


def _tell(tx: Connection, core: Core, now: datetime, fresh: Sequence[tuple[_Seen, Mapping[str, Any]]]) -> None:
    """Put emails into the outbox: to who minds all places, and to who minds the place that a budget is for."""
    if not fresh:
        return
    table = users.c
    people = tx.execute(
        sa.select(table.id, table.location).where(table.role.in_(TOLD), table.disabled_at.is_(None)).order_by(table.id)
    ).all()
    told, notices = outbox.told_lately(tx, now, (outbox.BUDGET_NOTICE,)), []
    for each, row in fresh:
        place = each.row.subject if each.rule.scope == "location" else None
        for person in (who for who in people if who.location in (None, place)):
            told[person.id] = told.get(person.id, 0) + 1
            if told[person.id] <= outbox.MOST_NOTICES:
                notices.append(
                    outbox.notice_about(
                        core=core,
                        now=now,
                        about="budget_alert",
                        about_id=row["id"],
                        user_id=person.id,
                        template=outbox.BUDGET_NOTICE,
                    )
                )
    outbox.enqueue(tx, notices)
