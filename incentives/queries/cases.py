"""Recovery cases: the list with its filters, and one case with everything that was done for the customer, in order."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseNotFound
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.queries.scope import case_seen_by
from incentives.recovery import steps
from incentives.recovery.customers import Contact
from incentives.recovery.tables import case_clocks, case_steps, case_tags, recovery_cases
from incentives.vouchers.tables import issuances, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One customer's trouble being put right. ``state`` is that of the last step, or how it ended.

    ``next_clock`` is the one of its clocks that runs out next, at ``next_due_at``; ``overdue`` if it has already.
    ``first_score_bp`` is the score that opened it, 0 (worst) to 10000.
    """

    id: uuid.UUID
    issue_tag: str
    severity: int
    location: str | None
    team: str | None
    order_ref: str | None
    status: str
    opened_at: datetime
    opened_by_name: str
    source: str
    product: str | None
    customer_id: uuid.UUID | None
    customer_name: str | None
    owner: str | None
    owner_name: str | None
    owner_team: str | None
    state: str
    round: int
    salvageable: bool
    next_clock: str | None
    next_due_at: datetime | None
    overdue: bool
    outcome: str | None
    recovered: bool | None
    recovered_evidence: str | None
    closed_at: datetime | None
    changed_at: datetime
    incident_id: uuid.UUID | None
    merged_into_id: uuid.UUID | None
    first_score_bp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilters:
    """What cases somebody looks for; all of it must hold. ``q`` is a case's id or a part of its order reference.

    ``issue_tag`` finds what is below it too. ``changed_since`` finds what has changed after that instant, for those
    who ask again and again.
    """

    status: str | None = None
    mine: bool = False
    unowned: bool = False
    overdue: bool = False
    issue_tag: str | None = None
    location: str | None = None
    team: str | None = None
    customer_id: uuid.UUID | None = None
    incident_id: uuid.UUID | None = None
    q: str | None = None
    changed_since: datetime | None = None


EVERY_CASE = CaseFilters()

_AS_THEY_ARE = (
    "id", "issue_tag", "severity", "location", "team", "order_ref", "status", "opened_at", "source", "product",
    "customer_id", "owner", "owner_team", "round", "salvageable", "outcome", "recovered", "recovered_evidence",
    "closed_at", "incident_id", "merged_into_id", "first_score_bp",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCounts:
    """How many open cases there are for an actor."""

    open: int
    mine: int
    unowned: int
    overdue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that was done, from the audit trail."""

    at: datetime
    actor_name: str
    action: str
    reason: str | None
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseWithDeeds:
    """A case, the customer's name as it was given, and its timeline, the oldest deed first."""

    case: Case
    customer_name: str | None
    deeds: tuple[Deed, ...]


def list_cases(
    *, core: Core, actor: Actor, limit: int = 50, after: str | None = None, wanted: CaseFilters = EVERY_CASE
) -> Page[Case]:
    """Return cases, the newest first."""
    permit(actor, "cases:read")
    now = core.clock.now()
    with core.database.read() as tx:
        query = sa.select(recovery_cases).where(case_seen_by(actor), *_conditions(tx, core, actor, wanted, now))
        found = page(tx, query, recovery_cases.c.id, lambda row: row, limit=limit, after=after)
        return Page(items=shown(tx, core, found.items, now), next=found.next)


def count_cases(*, core: Core, actor: Actor) -> CaseCounts:
    """Return how many open cases there are: all, the actor's own, nobody's, and late ones."""
    permit(actor, "cases:read")
    table = recovery_cases.c
    late = _late(core.clock.now())
    query = sa.select(
        sa.func.count(),
        sa.func.count().filter(table.owner == actor.label),
        sa.func.count().filter(table.owner.is_(None)),
        sa.func.count().filter(late),
    ).where(table.status == "open", case_seen_by(actor))
    with core.database.read() as tx:
        everything, mine, unowned, overdue = tx.execute(query).one()
    return CaseCounts(open=everything, mine=mine, unowned=unowned, overdue=overdue)


def _late(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a clock of a case's round has run out."""
    clock, case = case_clocks.c, recovery_cases.c
    this_round = sa.and_(clock.case_id == case.id, clock.round == case.round)
    return sa.select(clock.case_id).where(this_round, clock.met_at.is_(None), clock.due_at <= now).exists()


def _conditions(
    tx: sa.Connection, core: Core, actor: Actor, wanted: CaseFilters, now: datetime
) -> list[sa.ColumnElement[bool]]:
    table = recovery_cases.c
    equal = {
        table.status: wanted.status,
        table.owner: actor.label if wanted.mine else None,
        table.location: wanted.location,
        table.customer_id: wanted.customer_id,
        table.incident_id: wanted.incident_id,
    }
    found = [column == value for column, value in equal.items() if value is not None]
    if wanted.unowned or wanted.overdue:
        found.append(table.status == "open")
    if wanted.unowned:
        found.append(table.owner.is_(None))
    if wanted.overdue:
        found.append(_late(now))
    if wanted.team:
        found.append(sa.or_(table.owner_team == wanted.team, table.team == wanted.team))
    if wanted.issue_tag:
        found.append(_tagged(tx, core, wanted.issue_tag))
    if wanted.changed_since:
        found.append(sa.func.coalesce(table.changed_at, table.opened_at) > wanted.changed_since)
    if wanted.q:
        found.append(_about(wanted.q.strip()))
    return found


def _tagged(tx: sa.Connection, core: Core, issue_tag: str) -> sa.ColumnElement[bool]:
    catalog = releases.cached_current(tx, core).catalog
    below = [key for key in catalog.issue_tags if issue_tag in catalog.lineage(key)] or [issue_tag]
    table = case_tags.c
    return sa.select(table.case_id).where(table.case_id == recovery_cases.c.id, table.issue_tag.in_(below)).exists()


def _about(q: str) -> sa.ColumnElement[bool]:
    try:
        return recovery_cases.c.id == uuid.UUID(q)
    except ValueError:
        return recovery_cases.c.order_ref.icontains(q, autoescape=True)


def one_case(*, core: Core, actor: Actor, case_id: uuid.UUID) -> CaseWithDeeds:
    """Return a case with its timeline, or raise ``CaseNotFound``."""
    permit(actor, "cases:read")
    with core.database.read() as tx:
        row = seen(tx, actor, case_id)
        given = tx.execute(sa.select(issuances.c.id, issuances.c.contact).where(issuances.c.case_id == case_id)).all()
        case = shown(tx, core, [row], core.clock.now())[0]
        names = [Contact.from_text(core.contacts.decrypt(each.contact)).name for each in given]
        return CaseWithDeeds(
            case=case,
            customer_name=case.customer_name or next((name for name in names if name), None),
            deeds=tuple(_deeds(tx, case_id, [each.id for each in given])),
        )


def seen(tx: sa.Connection, actor: Actor, case_id: uuid.UUID) -> Any:
    """Return the row of a case that the actor sees, or raise ``CaseNotFound``."""
    row = tx.execute(sa.select(recovery_cases).where(recovery_cases.c.id == case_id, case_seen_by(actor))).one_or_none()
    if row is None:
        raise CaseNotFound
    return row


def shown(tx: sa.Connection, core: Core, rows: Sequence[Any], now: datetime) -> list[Case]:
    """Return rows as cases, with three statements however many there are."""
    ids = [row.id for row in rows]
    names = actor_names(tx, {label for row in rows for label in (row.opened_by, row.owner) if label})
    clocks, taken = _clocks(tx, ids), _taken(tx, ids)
    return [_case(core, row, names, clocks.get(row.id), taken.get(row.id, {}), now) for row in rows]


def _clocks(tx: sa.Connection, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Any]:
    """Return the clock of each open case that runs out first."""
    if not ids:
        return {}
    clock, case = case_clocks.c, recovery_cases.c
    running = (
        sa.select(clock.case_id, clock.clock, clock.due_at)
        .join(recovery_cases, sa.and_(case.id == clock.case_id, case.round == clock.round))
        .where(clock.case_id.in_(ids), clock.met_at.is_(None), case.status == "open")
        .order_by(clock.due_at.desc())
    )
    return {row.case_id: row for row in tx.execute(running)}


def _taken(tx: sa.Connection, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[str, str]]:
    """Return the steps of each case's round, in the order in which they were taken."""
    if not ids:
        return {}
    step, case = case_steps.c, recovery_cases.c
    query = (
        sa.select(step.case_id, step.step, step.status)
        .join(recovery_cases, sa.and_(case.id == step.case_id, case.round == step.round))
        .where(step.case_id.in_(ids))
        .order_by(step.at, step.id)
    )
    found: dict[uuid.UUID, dict[str, str]] = {}
    for row in tx.execute(query):
        found.setdefault(row.case_id, {})[row.step] = row.status
    return found


def _case(core: Core, row: Any, names: Mapping[str, str], clock: Any, taken: Mapping[str, str], now: datetime) -> Case:
    return Case(
        **{name: getattr(row, name) for name in _AS_THEY_ARE},
        opened_by_name=names.get(row.opened_by, row.opened_by),
        customer_name=Contact.from_text(core.contacts.decrypt(row.contact)).name,
        owner_name=names.get(row.owner, row.owner) if row.owner else None,
        state=steps.state(status=row.status, outcome=row.outcome, round_number=row.round, steps=(), taken=taken),
        next_clock=clock.clock if clock else None,
        next_due_at=clock.due_at if clock else None,
        overdue=bool(clock and clock.due_at <= now),
        changed_at=row.changed_at or row.opened_at,
    )


def _deeds(tx: sa.Connection, case_id: uuid.UUID, issuance_ids: list[uuid.UUID]) -> list[Deed]:
    made = tx.execute(sa.select(vouchers.c.id).where(vouchers.c.issuance_id.in_(issuance_ids))).scalars()
    subjects = [str(each) for each in (*issuance_ids, *made)]
    table = audit_events.c
    rows = tx.execute(
        sa.select(audit_events)
        .where(sa.or_(table.case_id == case_id, table.subject_id.in_(subjects)))
        .order_by(table.at, table.id),
    ).all()
    return [
        Deed(at=row.at, actor_name=row.actor_name, action=row.action, reason=row.reason, facts=row.facts)
        for row in rows
    ]
