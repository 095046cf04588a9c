"""The list of addresses that nothing is sent to, known by hints; the addresses themselves are kept nowhere."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.messages.tables import suppressions
from incentives.queries import came_back
from incentives.queries.paging import Page, page


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedContact:
    """An address that nothing is sent to, and why. It holds until ``ends_at``; None: until it is lifted.

    ``staff_name`` is whose of the staff it is, to whom notices may not come then; None where it is a customer's.
    """

    id: uuid.UUID
    channel: str
    hint: str
    reason: str
    source: str
    code: str | None
    since: datetime
    ends_at: datetime | None
    staff_name: str | None = None


def list_suppressed(
    *,
    core: Core,
    actor: Actor,
    channel: str | None = None,
    reason: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[SuppressedContact]:
    """Return what stands now, the newest first."""
    permit(actor, "suppressions:manage")
    table = suppressions.c
    holds = sa.or_(table.ends_at.is_(None), table.ends_at > core.clock.now())
    query = sa.select(suppressions).where(table.lifted_at.is_(None), holds)
    if channel is not None:
        query = query.where(table.channel == channel)
    if reason is not None:
        query = query.where(table.reason == reason)
    with core.database.read() as tx:
        staff = _staff(tx, core)
        return page(tx, query, table.id, lambda row: _shown(row, staff), limit=limit, after=after)


def _staff(tx: Connection, core: Core) -> dict[str, str]:
    """Return what the addresses of staff may stand on the list by, with their names."""
    people = tx.execute(sa.select(users.c.email, users.c.name).where(users.c.disabled_at.is_(None))).all()
    return {digest: name for email, name in people for digest in came_back.digests_of(core, "email", email)}


def _shown(row: Any, staff: Mapping[str, str]) -> SuppressedContact:
    return SuppressedContact(
        id=row.id,
        channel=row.channel,
        hint=row.hint,
        reason=row.reason,
        source=row.source,
        code=row.code,
        since=row.since,
        ends_at=row.ends_at,
        staff_name=staff.get(row.digest),
    )
