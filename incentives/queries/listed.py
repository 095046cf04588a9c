"""Lists: who is trusted, refused or looked at, known by hints; the values themselves are kept nowhere."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.queries.paging import Page, page
from incentives.safeguards.tables import listed_values


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedValue:
    """An entry of a list, known by its hint; ``stands`` says whether it holds now."""

    id: uuid.UUID
    list: str
    kind: str
    hint: str
    reason: str
    added_by_name: str
    added_at: datetime
    expires_at: datetime | None
    removed_at: datetime | None
    stands: bool


def list_listed(
    *,
    core: Core,
    actor: Actor,
    list_name: str | None = None,
    kind: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[ListedValue]:
    """Return the entries of a list (None: of all), the newest first, without those that were removed."""
    permit(actor, "lists:manage")
    now = core.clock.now()
    query = sa.select(listed_values).where(listed_values.c.removed_at.is_(None))
    if list_name is not None:
        query = query.where(listed_values.c.list == list_name)
    if kind is not None:
        query = query.where(listed_values.c.kind == kind)
    with core.database.read() as tx:
        return page(tx, query, listed_values.c.id, lambda row: _listed(row, now), limit=limit, after=after)


def _listed(row: Any, now: datetime) -> ListedValue:
    return ListedValue(
        id=row.id,
        list=row.list,
        kind=row.kind,
        hint=row.hint,
        reason=row.reason,
        added_by_name=row.added_by_name,
        added_at=row.added_at,
        expires_at=row.expires_at,
        removed_at=row.removed_at,
        stands=row.removed_at is None and (row.expires_at is None or row.expires_at > now),
    )
