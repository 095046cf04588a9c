"""How a case begins and what moves in it, for every flow that begins or moves one.

Not a flow: it opens no transaction. A case is laid out in memory and written with a statement a table, and only to
those tables that it has rows for. Who locks a case does so before customers, people and budgets, so that no two wait
for each other.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import definitions
from incentives.catalog.catalog import Catalog
from incentives.catalog.releases import CurrentCatalog
from incentives.deeds.owning import best_owner
from incentives.kernel.actors import Actor
from incentives.kernel.business_hours import due_at
from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.kernel.many import Into, insert_many
from incentives.queries.case_facts import protocol_of, steps_taken, story_of
from incentives.recovery import steps, surveys
from incentives.recovery.customers import Contact
from incentives.recovery.tables import case_clocks, case_steps, case_tags, case_tasks, recovery_cases

__all__ = [
    "CaseRows",
    "NewCase",
    "best_owner",
    "clock_rows",
    "encrypted_story",
    "lay_out",
    "meet",
    "met_already",
    "protocol_of",
    "reopen",
    "steps_taken",
    "story_of",
    "take_step",
    "touch",
    "write",
]

# What reopening takes back: how it ended, and that the leaders know of nobody having it.
_BEGINS_ANEW = (
    "closed_at",
    "closed_by",
    "outcome",
    "closing_note",
    "recovered",
    "recovered_evidence",
    "recovered_at",
    "unowned_told_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """A trouble that is going to be put right. ``protocol`` is what the catalog resolved for it.

    ``issue_tags`` may name more than the first one. ``story`` answers the protocol's questions by name. ``owner`` is an
    actor's label.
    """

    issue_tag: str
    severity: int
    protocol: definitions.Protocol
    id: uuid.UUID | None = None
    issue_tags: tuple[str, ...] = ()
    customer_id: uuid.UUID | None = None
    contact: Contact = field(default_factory=Contact)
    contact_token: str | None = None  # the contact as it is kept, where somebody has encrypted it already
    locale: str | None = None
    segment: str | None = None
    location: str | None = None
    team: str | None = None
    order_ref: str | None = None
    product: str | None = None
    source: str = "staff"
    occurred_at: datetime | None = None
    first_score_bp: int | None = None
    story: Mapping[str, str] = field(default_factory=dict)
    salvageable: bool = True
    owner: str | None = None
    owner_team: str | None = None
    incident_id: uuid.UUID | None = None
    split_from_id: uuid.UUID | None = None
    held_out_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRows:
    """A case that is laid out: the rows of each of its tables."""

    case: dict[str, Any]
    tags: list[dict[str, Any]]
    clocks: list[dict[str, Any]]
    tasks: list[dict[str, Any]]

    @property
    def id(self) -> uuid.UUID:
        """Return the case's id."""
        found: uuid.UUID = self.case["id"]
        return found

    @property
    def source(self) -> str:
        """Return where the case came from."""
        found: str = self.case["source"]
        return found


def lay_out(core: Core, actor: Actor, now: datetime, current: CurrentCatalog, new: NewCase) -> CaseRows:
    """Return the rows of a new case with its clocks running and the protocol's tasks waiting."""
    case_id = new.id or core.ids.new(now)
    return CaseRows(
        case=_case_row(core, actor, now, current, new, case_id),
        tags=[{"case_id": case_id, "issue_tag": tag} for tag in dict.fromkeys((new.issue_tag, *new.issue_tags))],
        clocks=clock_rows(current.catalog, new.protocol, case_id, new.location, now),
        tasks=_task_rows(core, actor, now, new, case_id),
    )


def _case_row(
    core: Core, actor: Actor, now: datetime, current: CurrentCatalog, new: NewCase, case_id: uuid.UUID
) -> dict[str, Any]:
    return {
        "id": case_id,
        "customer_id": new.customer_id,
        "issue_tag": new.issue_tag,
        "severity": new.severity,
        "location": new.location,
        "team": new.team,
        "order_ref": new.order_ref,
        "status": "open",
        "opened_at": now,
        "opened_by": actor.label,
        "source": new.source,
        "product": new.product,
        "segment": new.segment,
        "locale": new.locale,
        "occurred_at": new.occurred_at,
        "contact": _kept_contact(core, new),
        "story": encrypted_story(core, new.story),
        "salvageable": new.salvageable,
        "owner": new.owner,
        "owner_team": new.owner_team,
        "assigned_at": now if new.owner else None,
        "protocol_item_id": current.item_ids["protocol", new.protocol.key],
        "catalog_release_id": current.release_id,
        "first_score_bp": new.first_score_bp,
        "split_from_id": new.split_from_id,
        "incident_id": new.incident_id,
        "held_out_of": new.held_out_of,
        "changed_at": now,
    }


def _kept_contact(core: Core, new: NewCase) -> str | None:
    if new.contact == Contact():
        return None
    return new.contact_token or core.contacts.encrypt(new.contact.to_text())


def encrypted_story(core: Core, story: Mapping[str, str]) -> str | None:
    """Return the form in which answers to the protocol's questions are kept; None where there are none."""
    return core.contacts.encrypt(json.dumps(dict(story), ensure_ascii=False)) if story else None


def clock_rows(
    catalog: Catalog,
    protocol: definitions.Protocol,
    case_id: uuid.UUID,
    location: str | None,
    now: datetime,
    round_number: int = 1,
) -> list[dict[str, Any]]:
    """Return the protocol's clocks, started now; they stand still while the location is closed."""
    place = catalog.locations.get(location or "")
    hours = (place.hours if place else None) or catalog.brand.hours
    zone = place.time_zone if place else catalog.brand.time_zone
    return [
        {
            "case_id": case_id,
            "round": round_number,
            "clock": clock,
            "started_at": now,
            "due_at": due_at(now, minutes, hours, zone),
            "met_at": None,
        }
        for clock, minutes in protocol.clocks.items()
    ]


def met_already(rows: CaseRows, clocks: Collection[str], now: datetime) -> None:
    """Stop clocks of a case that is laid out, before it is written: what they wait for happens with the opening."""
    for row in rows.clocks:
        if row["clock"] in clocks:
            row["met_at"] = now


def _task_rows(core: Core, actor: Actor, now: datetime, new: NewCase, case_id: uuid.UUID) -> list[dict[str, Any]]:
    return [
        {
            "id": core.ids.new(now),
            "case_id": case_id,
            "kind": task["kind"],
            "title": core.contacts.encrypt(task["title"]),
            "owner": new.owner,
            "owner_team": new.owner_team,
            "due_at": now + timedelta(hours=task["due_hours"]),
            "created_at": now,
            "created_by": actor.label,
        }
        for task in new.protocol.tasks
    ]


def write(into: Into, rows: Iterable[CaseRows]) -> None:
    """Write cases that were laid out."""
    made = list(rows)
    for table, found in (
        (recovery_cases, [each.case for each in made]),
        (case_tags, [row for each in made for row in each.tags]),
        (case_clocks, [row for each in made for row in each.clocks]),
        (case_tasks, [row for each in made for row in each.tasks]),
    ):
        insert_many(into, table, found)


def meet(tx: Connection, case_ids: Collection[uuid.UUID], clocks: str | Collection[str], now: datetime) -> int:
    """Stop clocks of this round of some cases, where they run; return how many did. Late is met too, and shows."""
    table = case_clocks.c
    names = [clocks] if isinstance(clocks, str) else list(clocks)
    if not case_ids or not names:
        return 0
    this_round = sa.select(recovery_cases.c.round).where(recovery_cases.c.id == table.case_id).scalar_subquery()
    return tx.execute(
        case_clocks.update()
        .where(
            table.case_id.in_(list(case_ids)),
            table.clock.in_(names),
            table.met_at.is_(None),
            table.round == this_round,
        )
        .values(met_at=now)
    ).rowcount


def touch(tx: Connection, case_ids: Collection[uuid.UUID], now: datetime) -> None:
    """Say that something about open cases has changed, for whoever looks for changes."""
    if case_ids:
        table = recovery_cases.c
        tx.execute(recovery_cases.update().where(table.id.in_(list(case_ids))).values(changed_at=now))


def take_step(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    case: Any,
    step: str,
    *,
    status: str = steps.DONE,
    channel: str | None = None,
    note: str | None = None,
) -> bool:
    """Write down a step of a case that is locked, and stop the clocks that it stops; False when it was taken before."""
    row = {
        "id": core.ids.new(now),
        "case_id": case.id,
        "round": case.round,
        "step": step,
        "status": status,
        "channel": channel,
        "note": core.contacts.encrypt(note),
        "at": now,
        "actor": actor.label,
        "actor_name": actor.name,
    }
    if not insert_unless_there(tx, case_steps, ("case_id", "round", "step"), row):
        return False
    if status == steps.DONE:
        stopped = {"first_contact", steps.CLOCK_OF_STEP.get(step, "first_contact")}
        meet(tx, [case.id], stopped, now)
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=f"case.step-{status}",
        subject_kind="case",
        subject_id=case.id,
        case_id=case.id,
        facts={"step": step, "round": case.round, "channel": channel},
    )
    touch(tx, [case.id], now)
    return True


def reopen(
    tx: Connection, core: Core, actor: Actor, now: datetime, current: CurrentCatalog, case: Any, *, why: str
) -> bool:
    """Open a closed case again for another round, with its clocks started anew; False when it is open or was merged.

    ``why`` goes into the audit trail, so it holds nothing that people wrote. Everything that was done stays.
    """
    table = recovery_cases.c
    moved = tx.execute(
        recovery_cases.update()
        .where(table.id == case.id, table.status == "closed", table.outcome != "merged")
        .values(status="open", round=table.round + 1, changed_at=now, **dict.fromkeys(_BEGINS_ANEW))
        .returning(table.round)
    ).one_or_none()
    if moved is None:
        return False
    surveys.withdraw(tx, case.id, "The case is open again.")
    protocol = protocol_of(tx, core, current.catalog, case)
    clocks = clock_rows(current.catalog, protocol, case.id, case.location, now, moved.round) if protocol else []
    if clocks:
        tx.execute(case_clocks.insert(), clocks)
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action="case.reopened",
        subject_kind="case",
        subject_id=case.id,
        case_id=case.id,
        reason=why,
        facts={"round": moved.round, "outcome": case.outcome},
    )
    return True
