"""Incidents: one trouble of many customers is named, its open cases are gathered, and it ends."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds.assessment import at_home
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import IncidentAlreadyOpen, IncidentNotFound, IncidentOver, InputInvalid
from incentives.queries.scope import seen_by
from incentives.recovery.tables import incidents, recovery_cases

_MANAGE = "incidents:manage"
_TITLE_LONGEST = 200
_LOOK_BACK = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    """One trouble of many: its issue tag (with all below it), the place (None: everywhere), and since when."""

    issue_tag: str
    title: str
    started_at: datetime
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentOpened:
    """The incident, and how many open cases belong to it."""

    id: uuid.UUID
    attached: int


def open_incident(*, core: Core, actor: Actor, command: OpenIncident) -> IncidentOpened:
    """Open an incident and gather the open cases that match it.

    Raises ``IncidentAlreadyOpen`` naming it, ``UnknownIssueTag``, ``UnknownLocation``, ``OtherLocation``,
    ``InputInvalid``, ``NotPermitted``.
    """
    permit(actor, _MANAGE)
    now = core.clock.now()
    # Whoever belongs to a place speaks for that place.
    location = command.location or actor.location
    at_home(actor, location)
    title = " ".join(command.title.split())
    _check(title, command.started_at, now)
    incident_id = core.ids.new(now)
    with core.database.write() as tx:
        catalog = releases.cached_current(tx, core).catalog
        tag = catalog.issue_tag(command.issue_tag).key
        if location:
            catalog.location(location)
        row = {
            "id": incident_id,
            "issue_tag": tag,
            "location": location,
            "title": title,
            "started_at": command.started_at,
            "opened_at": now,
            "opened_by": actor.label,
        }
        _insert(tx, row)
        _say(tx, core, actor, now, incident_id, "opened", {"issue_tag": tag, "location": location})
        attached = _attach(tx, core, actor, now, catalog, row)
    return IncidentOpened(id=incident_id, attached=attached)


def attach_cases(*, core: Core, actor: Actor, incident_id: uuid.UUID) -> int:
    """Gather the open cases that came in since, and return how many. Raises ``IncidentNotFound``, ``IncidentOver``."""
    permit(actor, _MANAGE)
    now = core.clock.now()
    with core.database.write() as tx:
        row = _locked(tx, actor, incident_id)
        return _attach(tx, core, actor, now, releases.cached_current(tx, core).catalog, row)


def close_incident(*, core: Core, actor: Actor, incident_id: uuid.UUID) -> None:
    """End an incident; its cases go on by themselves. Raises ``IncidentNotFound`` and ``IncidentOver``."""
    permit(actor, _MANAGE)
    now = core.clock.now()
    with core.database.write() as tx:
        _locked(tx, actor, incident_id)
        table = incidents.c
        ended = tx.execute(
            incidents.update()
            .where(table.id == incident_id, table.closed_at.is_(None))
            .values(closed_at=now, closed_by=actor.label)
        ).rowcount
        if not ended:
            raise IncidentOver
        _say(tx, core, actor, now, incident_id, "closed", {})


def _check(title: str, started_at: datetime, now: datetime) -> None:
    wrong = []
    if not 1 <= len(title) <= _TITLE_LONGEST or "\x00" in title:
        wrong.append({"field": "title", "message": f"Name it in 1 to {_TITLE_LONGEST} characters."})
    if not now - _LOOK_BACK <= started_at <= now:
        wrong.append({"field": "started_at", "message": f"It began within the last {_LOOK_BACK.days} days."})
    if wrong:
        raise InputInvalid(errors=wrong)


def _insert(tx: Connection, row: dict[str, Any]) -> None:
    """Insert an incident, unless one of the same tag and place is open: the database says so, whoever races."""
    make = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = make(incidents).on_conflict_do_nothing().returning(incidents.c.id)
    if tx.execute(statement, row).first() is not None:
        return
    table = incidents.c
    place = table.location.is_(None) if row["location"] is None else table.location == row["location"]
    known = sa.select(table.id).where(table.issue_tag == row["issue_tag"], place, table.closed_at.is_(None))
    raise IncidentAlreadyOpen(field="issue_tag", incident_id=str(tx.execute(known).scalar()))


def _locked(tx: Connection, actor: Actor, incident_id: uuid.UUID) -> dict[str, Any]:
    table = incidents.c
    row = (
        tx.execute(
            sa.select(incidents).where(table.id == incident_id, seen_by(actor, table.location)).with_for_update()
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise IncidentNotFound
    at_home(actor, row["location"])
    if row["closed_at"] is not None:
        raise IncidentOver
    return dict(row)


def _attach(tx: Connection, core: Core, actor: Actor, now: datetime, catalog: Catalog, incident: dict[str, Any]) -> int:
    """Give the matching open cases their incident, by one conditional update, and write it into each one's trail."""
    case = recovery_cases.c
    tags = [key for key in catalog.issue_tags if incident["issue_tag"] in catalog.lineage(key)]
    found = tx.execute(
        recovery_cases.update()
        .where(
            case.incident_id.is_(None),
            case.status == "open",
            case.issue_tag.in_(tags),
            case.opened_at >= incident["started_at"],
            *([case.location == incident["location"]] if incident["location"] else []),
        )
        .values(incident_id=incident["id"], changed_at=now)
        .returning(case.id)
    ).scalars()
    events = [
        audit.event(
            core=core,
            actor=actor,
            now=now,
            action="case.attached-to-incident",
            subject_kind="case",
            subject_id=case_id,
            case_id=case_id,
            facts={"incident_id": str(incident["id"])},
        )
        for case_id in found
    ]
    audit.record_all(tx, events)
    return len(events)


def _say(
    tx: Connection, core: Core, actor: Actor, now: datetime, incident_id: uuid.UUID, deed: str, facts: dict[str, Any]
) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=f"incident.{deed}",
        subject_kind="incident",
        subject_id=incident_id,
        facts=facts,
    )
