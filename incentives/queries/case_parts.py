"""The parts of a case's screen: steps, clocks, causes, tasks, files, shares and the re-survey."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Protocol
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.queries.letters import actor_names
from incentives.recovery import shared_links
from incentives.recovery.tables import (
    case_causes,
    case_clocks,
    case_files,
    case_shares,
    case_steps,
    case_tasks,
    recovery_cases,
    surveys,
)

_SUGGESTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every part of a screen is made with."""

    tx: Connection
    core: Core
    actor: Actor
    catalog: Catalog
    case: Any
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShown:
    """A step of the protocol in this round; ``status`` is None for one that was not taken."""

    step: str
    required: bool
    status: str | None = None
    at: datetime | None = None
    actor_name: str | None = None
    channel: str | None = None
    note: str | None = None


def steps_shown(tools: Tools, protocol: Protocol | None) -> tuple[StepShown, ...]:
    """Return the protocol's steps in their order, and then those that were taken by an older protocol."""
    table = case_steps.c
    query = sa.select(case_steps).where(table.case_id == tools.case.id, table.round == tools.case.round)
    taken = {row.step: row for row in tools.tx.execute(query.order_by(table.at, table.id))}
    order = protocol.steps if protocol else ()
    optional = protocol.optional_steps if protocol else ()
    names = (*order, *(step for step in taken if step not in order))
    return tuple(
        _step(tools, taken[step], required=step not in optional)
        if step in taken
        else StepShown(step=step, required=step not in optional)
        for step in names
    )


def _step(tools: Tools, row: Any, *, required: bool) -> StepShown:
    return StepShown(
        step=row.step,
        required=required,
        status=row.status,
        at=row.at,
        actor_name=row.actor_name,
        channel=row.channel,
        note=tools.core.contacts.decrypt(row.note),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """By when something must have happened in this round; ``overdue`` where it did not, or did too late."""

    clock: str
    started_at: datetime
    due_at: datetime
    met_at: datetime | None
    escalated_at: datetime | None
    overdue: bool


def clocks(tools: Tools) -> tuple[Clock, ...]:
    """Return the clocks of this round, the one that runs out first at first."""
    table = case_clocks.c
    query = sa.select(case_clocks).where(table.case_id == tools.case.id, table.round == tools.case.round)
    return tuple(
        Clock(
            clock=row.clock,
            started_at=row.started_at,
            due_at=row.due_at,
            met_at=row.met_at,
            escalated_at=row.escalated_at,
            overdue=(row.met_at or tools.now) > row.due_at,
        )
        for row in tools.tx.execute(query.order_by(table.due_at))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseShown:
    """A root cause that was named, with its share in percent."""

    cause: str
    label: str
    weight: int
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseSuggested:
    """A root cause that this issue tag had before, in how many cases."""

    cause: str
    label: str
    cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseChoice:
    """A root cause of the catalog; the label says the whole way down to it."""

    key: str
    label: str


def causes(tools: Tools) -> tuple[CauseShown, ...]:
    """Return the root causes that were named, the heaviest first."""
    table = case_causes.c
    query = sa.select(case_causes).where(table.case_id == tools.case.id).order_by(table.weight.desc(), table.cause)
    return tuple(
        CauseShown(
            cause=row.cause,
            label=_label(tools.catalog, row.cause),
            weight=row.weight,
            note=tools.core.contacts.decrypt(row.note),
        )
        for row in tools.tx.execute(query)
    )


def suggested(tools: Tools) -> tuple[CauseSuggested, ...]:
    """Return the causes that cases with the same issue tag had most often."""
    table, case = case_causes.c, recovery_cases.c
    often = sa.func.count().label("often")
    query = (
        sa.select(table.cause, often)
        .join(recovery_cases, case.id == table.case_id)
        .where(case.issue_tag == tools.case.issue_tag, case.id != tools.case.id)
        .group_by(table.cause)
        .order_by(often.desc(), table.cause)
        .limit(_SUGGESTED)
    )
    return tuple(
        CauseSuggested(cause=row.cause, label=_label(tools.catalog, row.cause), cases=row.often)
        for row in tools.tx.execute(query)
        if row.cause in tools.catalog.root_causes
    )


def choices(catalog: Catalog) -> tuple[CauseChoice, ...]:
    """Return every root cause of the catalog, in its order."""
    return tuple(CauseChoice(key=key, label=_label(catalog, key)) for key in catalog.root_causes)


def _label(catalog: Catalog, key: str) -> str:
    """Return a cause's label behind those of the causes above it; one that has left the catalog is its key."""
    words: list[str] = []
    each: str | None = key
    while each is not None and each in catalog.root_causes:
        words.insert(0, catalog.words(catalog.root_causes[each].label, None))
        each = catalog.root_causes[each].parent
    return " / ".join(words) or key


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to be done."""

    id: uuid.UUID
    case_id: uuid.UUID
    kind: str
    title: str
    owner: str | None
    owner_name: str | None
    owner_team: str | None
    due_at: datetime
    done_at: datetime | None
    done_by_name: str | None
    result: str | None
    overdue: bool


def tasks(tools: Tools) -> tuple[Task, ...]:
    """Return the tasks of a case, those to be done first."""
    table = case_tasks.c
    query = sa.select(case_tasks).where(table.case_id == tools.case.id)
    rows = tools.tx.execute(query.order_by(table.done_at.is_not(None), table.due_at, table.id)).all()
    return tasks_of(tools.tx, tools.core, rows, tools.now)


def tasks_of(tx: Connection, core: Core, rows: Iterable[Any], now: datetime) -> tuple[Task, ...]:
    """Return rows as tasks, with the names of all their people read at once."""
    found = list(rows)
    names = actor_names(tx, {label for row in found for label in (row.owner, row.done_by) if label})
    return tuple(
        Task(
            id=row.id,
            case_id=row.case_id,
            kind=row.kind,
            title=core.contacts.decrypt(row.title) or "",
            owner=row.owner,
            owner_name=names.get(row.owner, row.owner) if row.owner else None,
            owner_team=row.owner_team,
            due_at=row.due_at,
            done_at=row.done_at,
            done_by_name=names.get(row.done_by, row.done_by) if row.done_by else None,
            result=core.contacts.decrypt(row.result),
            overdue=row.done_at is None and row.due_at <= now,
        )
        for row in found
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShown:
    """A file that can be downloaded."""

    id: uuid.UUID
    name: str
    media_type: str
    size_bytes: int
    at: datetime
    actor_name: str


def files(tools: Tools) -> tuple[FileShown, ...]:
    """Return the files of a case that were not removed, without their content."""
    table = case_files.c
    query = sa.select(table.id, table.name, table.media_type, table.size_bytes, table.at, table.actor)
    rows = tools.tx.execute(
        query.where(table.case_id == tools.case.id, table.removed_at.is_(None)).order_by(table.at, table.id)
    ).all()
    names = actor_names(tools.tx, {row.actor for row in rows})
    return tuple(
        FileShown(
            id=row.id,
            name=tools.core.contacts.decrypt(row.name) or "",
            media_type=row.media_type,
            size_bytes=row.size_bytes,
            at=row.at,
            actor_name=names.get(row.actor, row.actor),
        )
        for row in rows
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareShown:
    """Whom the case is shared with: a team, or whoever has a link, whose address only those see who may make one."""

    id: uuid.UUID
    team: str | None
    may_edit: bool
    created_at: datetime
    expires_at: datetime | None
    ended: bool
    url: str | None


def shares(tools: Tools) -> tuple[ShareShown, ...]:
    """Return the shares of a case, the newest first."""
    table = case_shares.c
    query = sa.select(case_shares).where(table.case_id == tools.case.id).order_by(table.id.desc())
    return tuple(_share(tools, row) for row in tools.tx.execute(query))


def _share(tools: Tools, row: Any) -> ShareShown:
    ended = row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= tools.now)
    shows_link = row.team is None and not ended and may(tools.actor, "cases:manage")
    settings, ring = tools.core.settings, tools.core.keys.links
    return ShareShown(
        id=row.id,
        team=row.team,
        may_edit=row.may_edit,
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended=ended,
        url=shared_links.url_of(settings.public_url, ring, row.id) if shows_link else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyShown:
    """How the customer is asked again in this round."""

    id: uuid.UUID
    status: str
    reason: str | None
    after: str
    channel: str
    scale: str
    due_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    first_score_bp: int | None
    answer_score_bp: int | None


def survey(tools: Tools) -> SurveyShown | None:
    """Return the latest re-survey of a case, or None."""
    table = surveys.c
    query = sa.select(surveys).where(table.case_id == tools.case.id).order_by(table.round.desc()).limit(1)
    row = tools.tx.execute(query).one_or_none()
    return SurveyShown(**{name: getattr(row, name) for name in SurveyShown.__dataclass_fields__}) if row else None
