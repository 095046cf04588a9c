"""Incidents, and the log of whom we told of our own accord: when, how, and what they answered."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import IncidentNotFound
from incentives.queries.case_letters import reach
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import case_apologies, incidents, recovery_cases

_READ = "cases:read"
_ROWS_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One trouble of many customers, and how many of its cases were told of it, answered, and recovered."""

    id: uuid.UUID
    issue_tag: str
    location: str | None
    title: str
    started_at: datetime
    opened_at: datetime
    opened_by_name: str
    closed_at: datetime | None
    cases: int
    told: int
    answered: int
    recovered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outreach:
    """One case of an incident: when and by what its customer was first told, and when they answered."""

    case_id: uuid.UUID
    issue_tag: str
    location: str | None
    opened_at: datetime
    status: str
    told_at: datetime | None
    channel: str | None
    answered_at: datetime | None
    recovered: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentWithLog:
    """An incident with its cases, the newest first; of very many the first five hundred."""

    incident: Incident
    log: tuple[Outreach, ...]


def list_incidents(*, core: Core, actor: Actor, limit: int = 50, after: str | None = None) -> Page[Incident]:
    """Return incidents, the newest first. Raises ``NotPermitted`` and ``InputInvalid``."""
    permit(actor, _READ)
    with core.database.read() as tx:
        query = sa.select(incidents).where(seen_by(actor, incidents.c.location))
        found = page(tx, query, incidents.c.id, lambda row: row, limit=limit, after=after)
        return Page(items=_incidents(tx, actor, found.items), next=found.next)


def one_incident(*, core: Core, actor: Actor, incident_id: uuid.UUID) -> IncidentWithLog:
    """Return an incident with its log. Raises ``IncidentNotFound`` and ``NotPermitted``."""
    permit(actor, _READ)
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(incidents).where(incidents.c.id == incident_id, seen_by(actor, incidents.c.location))
        ).one_or_none()
        if row is None:
            raise IncidentNotFound
        log = tuple(Outreach(**each) for each in tx.execute(_log(actor, [incident_id], _ROWS_MOST)).mappings())
        return IncidentWithLog(incident=_incidents(tx, actor, [row])[0], log=log)


def untold(*, core: Core, actor: Actor, incident_id: uuid.UUID, limit: int) -> tuple[uuid.UUID, ...]:
    """Return open cases of an incident whose customers nobody has told yet, those who waited longest first.

    Who has no address for email or SMS comes after all who have: nobody waits behind those whom no message reaches.
    Raises ``IncidentNotFound`` and ``NotPermitted``.
    """
    one_incident(core=core, actor=actor, incident_id=incident_id)
    said, case = case_apologies.c, recovery_cases.c
    reachable: list[uuid.UUID] = []
    others: list[uuid.UUID] = []
    with core.database.read() as tx:
        waiting = tx.execute(
            sa.select(case.id, case.customer_id, case.contact)
            .where(
                case.incident_id == incident_id,
                case.status == "open",
                case.merged_into_id.is_(None),
                seen_by(actor, case.location),
                sa.not_(sa.exists().where(said.case_id == case.id)),
            )
            .order_by(case.opened_at, case.id)
        ).all()
        for each in waiting:
            contact = reach(tx, core, each)
            (reachable if contact.email or contact.phone else others).append(each.id)
            if len(reachable) == limit:
                break
    return tuple((reachable + others)[:limit])


def _incidents(tx: Connection, actor: Actor, rows: Any) -> list[Incident]:
    names = actor_names(tx, {row.opened_by for row in rows})
    log = _log(actor, [row.id for row in rows]).add_columns(recovery_cases.c.incident_id).subquery()
    counts = {
        row.incident_id: row
        for row in tx.execute(
            sa.select(
                log.c.incident_id,
                sa.func.count().label("cases"),
                sa.func.count(log.c.told_at).label("told"),
                sa.func.count(log.c.answered_at).label("answered"),
                sa.func.sum(sa.case((log.c.recovered, 1), else_=0)).label("recovered"),
            ).group_by(log.c.incident_id)
        )
    }
    return [_incident(row, counts.get(row.id), names.get(row.opened_by, row.opened_by)) for row in rows]


def _incident(row: Any, counts: Any, opened_by_name: str) -> Incident:
    return Incident(
        id=row.id,
        issue_tag=row.issue_tag,
        location=row.location,
        title=row.title,
        started_at=row.started_at,
        opened_at=row.opened_at,
        opened_by_name=opened_by_name,
        closed_at=row.closed_at,
        cases=counts.cases if counts else 0,
        told=counts.told if counts else 0,
        answered=counts.answered if counts else 0,
        recovered=int(counts.recovered) if counts else 0,
    )


def _log(actor: Actor, incident_ids: list[uuid.UUID], limit: int | None = None) -> sa.Select[Any]:
    """Return the query of cases with when each customer was first told, and when they reported anything after that."""
    case, said, back = recovery_cases.c, case_apologies.c, feedback.c
    first = sa.select(said.case_id, sa.func.min(said.at).label("at")).group_by(said.case_id).subquery()
    # Told at the very same instant by two channels is told by the first of them by name.
    channel = (
        sa.select(sa.func.min(said.channel)).where(said.case_id == case.id, said.at == first.c.at).scalar_subquery()
    )
    answered = (
        sa.select(sa.func.min(back.received_at))
        .where(back.case_id == case.id, back.received_at > first.c.at)
        .scalar_subquery()
    )
    return (
        sa.select(
            case.id.label("case_id"),
            case.issue_tag,
            case.location,
            case.opened_at,
            case.status,
            first.c.at.label("told_at"),
            channel.label("channel"),
            answered.label("answered_at"),
            case.recovered,
        )
        .select_from(recovery_cases)
        .outerjoin(first, first.c.case_id == case.id)
        .where(case.incident_id.in_(incident_ids), case.merged_into_id.is_(None), seen_by(actor, case.location))
        .order_by(case.opened_at.desc(), case.id.desc())
        .limit(limit)
    )
