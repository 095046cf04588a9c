"""The audit trail, searched: who did what to which thing, when and why, and on whose behalf."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.queries.paging import Page, page


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One row of the audit trail. ``on_behalf_of`` is whom the actor stood in for; ``means`` how they had come in.

    ``means`` is ``session`` for a person, ``api-key`` for a program, ``rule`` for a criterion and ``system``.
    """

    id: uuid.UUID
    at: datetime
    actor: str
    actor_name: str
    means: str
    on_behalf_of: str | None
    action: str
    subject_kind: str
    subject_id: str
    case_id: uuid.UUID | None
    reason: str | None
    facts: Mapping[str, Any]
    request_id: str | None
    ip: str | None


_MEANS = {"person": "session", "key": "api-key", "rule": "rule", "system": "system"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWanted:
    """What is looked for; what is None does not matter.

    ``actor`` is a label, or a part of a name. ``action`` is one, or all below a prefix that ends with a dot.
    ``subject`` is an id, of the thing or of its case. From an instant (included) until another (not included).
    """

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


def search_audit(
    *, core: Core, actor: Actor, wanted: AuditWanted, limit: int = 50, after: str | None = None
) -> Page[AuditEvent]:
    """Return what was done, the latest first. Raises ``InputInvalid`` for a foreign cursor, and ``NotPermitted``."""
    permit(actor, "audit:read")
    query = sa.select(audit_events).where(*_conditions(wanted))
    with core.database.read() as tx:
        return page(tx, query, audit_events.c.id, _event, limit=limit, after=after)


def _conditions(wanted: AuditWanted) -> list[sa.ColumnElement[bool]]:
    table, found = audit_events.c, []
    if wanted.actor:
        by_label = table.actor == wanted.actor
        found.append(by_label if ":" in wanted.actor else table.actor_name.icontains(wanted.actor, autoescape=True))
    if wanted.action:
        exact = table.action == wanted.action
        found.append(table.action.startswith(wanted.action, autoescape=True) if wanted.action.endswith(".") else exact)
    if wanted.subject:
        of_case = _uuid(wanted.subject)
        subject = table.subject_id == (str(of_case) if of_case else wanted.subject)
        found.append(subject if of_case is None else sa.or_(subject, table.case_id == of_case))
    if wanted.from_at:
        found.append(table.at >= wanted.from_at)
    if wanted.to_at:
        found.append(table.at < wanted.to_at)
    return found


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _event(row: Any) -> AuditEvent:
    named = {name: getattr(row, name) for name in AuditEvent.__dataclass_fields__ if name in row._fields}
    means = _MEANS.get(row.actor.partition(":")[0], "other")
    return AuditEvent(**named, means=means, on_behalf_of=row.facts.get("on_behalf_of"))
