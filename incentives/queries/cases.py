"""Recovery cases: the list, and one case with everything that was done for the customer, in order."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseNotFound
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.recovery.customers import Contact
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One customer's trouble being put right."""

    id: uuid.UUID
    issue_tag: str
    severity: int
    location: str | None
    team: str | None
    order_ref: str | None
    status: str
    opened_at: datetime
    opened_by_name: str


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


def list_cases(*, core: Core, actor: Actor, limit: int = 50, after: str | None = None) -> Page[Case]:
    """Return cases, the newest first."""
    permit(actor, "cases:read")
    with core.database.read() as tx:
        found = page(
            tx,
            sa.select(recovery_cases).where(seen_by(actor, recovery_cases.c.location)),
            recovery_cases.c.id,
            lambda row: row,
            limit=limit,
            after=after,
        )
        return Page(items=_cases(tx, found.items), next=found.next)


def one_case(*, core: Core, actor: Actor, case_id: uuid.UUID) -> CaseWithDeeds:
    """Return a case with its timeline, or raise ``CaseNotFound``."""
    permit(actor, "cases:read")
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(recovery_cases).where(recovery_cases.c.id == case_id, seen_by(actor, recovery_cases.c.location))
        ).one_or_none()
        if row is None:
            raise CaseNotFound
        given = tx.execute(sa.select(issuances.c.id, issuances.c.contact).where(issuances.c.case_id == case_id)).all()
        names = [Contact.from_text(core.contacts.decrypt(each.contact)).name for each in given]
        return CaseWithDeeds(
            case=_cases(tx, [row])[0],
            customer_name=next((name for name in names if name), None),
            deeds=tuple(_deeds(tx, case_id, [each.id for each in given])),
        )


def _cases(tx: sa.Connection, rows: Sequence[Any]) -> list[Case]:
    """Return rows as cases; the names of all who opened them are read at once."""
    names = actor_names(tx, {row.opened_by for row in rows})
    return [_case(row, names) for row in rows]


def _case(row: Any, names: Mapping[str, str]) -> Case:
    return Case(
        id=row.id,
        issue_tag=row.issue_tag,
        severity=row.severity,
        location=row.location,
        team=row.team,
        order_ref=row.order_ref,
        status=row.status,
        opened_at=row.opened_at,
        opened_by_name=names.get(row.opened_by, row.opened_by),
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
