"""Who decides in whose place, and until when."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.kernel.actors import Actor, may, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import DelegationNotFound
from incentives.queries.approval_policies import DECIDERS
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.spending.tables import delegations

_absent, _delegate = users.alias("absent"), users.alias("delegate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """One absence. ``status`` is ``planned``, ``active``, ``over`` or ``revoked``, at the instant of asking."""

    id: uuid.UUID
    absent: str
    absent_name: str
    absent_email: str
    delegate: str
    delegate_name: str
    delegate_email: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    status: str
    created_by_name: str
    created_at: datetime
    revoked_by_name: str | None
    revoked_at: datetime | None
    may_revoke: bool
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """Somebody who decides on requests."""

    label: str
    name: str
    email: str
    role: str


def standing_in_for(tx: Connection, actor: Actor, now: datetime) -> list[Actor]:
    """Return for whom an actor decides at an instant, each as they would decide themselves.

    Only those who handed the right to the actor directly, and have it still: what somebody holds for another they
    cannot hand on.
    """
    if actor.kind != "person":
        return []
    table = delegations.c
    rows = tx.execute(
        sa.select(users)
        .where(
            sa.select(table.id)
            .where(table.from_user_id == users.c.id, table.to_user_id == actor.id, active(now))
            .exists(),
            users.c.disabled_at.is_(None),
            users.c.role.in_(DECIDERS),
        )
        .order_by(users.c.id)
    ).all()
    return [person_of(row) for row in rows]


def person_of(row: Any) -> Actor:
    """Return a person as an actor, by their row."""
    return Actor(
        kind="person", id=row.id, name=row.name, role=row.role, location=row.location, team=row.team, email=row.email
    )


def active(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition under which a delegation holds at an instant."""
    table = delegations.c
    return sa.and_(table.starts_at <= now, table.ends_at > now, table.revoked_at.is_(None))


def list_delegations(
    *, core: Core, actor: Actor, active_only: bool = False, limit: int = 50, after: str | None = None
) -> Page[Delegation]:
    """Return the delegations that concern an actor, the newest first: their own, and those of whom they arrange."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    query = _QUERY.where(concerns(actor))
    if active_only:
        query = query.where(active(now))
    with core.database.read() as tx:
        found = page(tx, query, delegations.c.id, lambda row: row, limit=limit, after=after)
        labels = {label for row in found.items for label in (row.created_by, row.revoked_by) if label}
        names = actor_names(tx, labels)
    return Page(items=[_delegation(row, names, now) for row in found.items], next=found.next)


def one_delegation(*, core: Core, actor: Actor, delegation_id: uuid.UUID, replayed: bool = False) -> Delegation:
    """Return a delegation that concerns an actor, or raise ``DelegationNotFound``."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    with core.database.read() as tx:
        row = found(tx, actor, delegation_id)
        if row is None:
            raise DelegationNotFound
        names = actor_names(tx, {label for label in (row.created_by, row.revoked_by) if label})
    return replace(_delegation(row, names, now), replayed=replayed)


def approvers(*, core: Core, actor: Actor) -> tuple[Approver, ...]:
    """Return who could decide in somebody's place: everybody who decides, where the actor belongs or everywhere."""
    permit(actor, "approvals:read")
    with core.database.read() as tx:
        rows = tx.execute(
            sa.select(users)
            .where(users.c.role.in_(DECIDERS), users.c.disabled_at.is_(None), seen_by(actor, users.c.location))
            .order_by(users.c.name, users.c.email)
            .limit(500)
        ).all()
    return tuple(Approver(label=f"person:{row.id}", name=row.name, email=row.email, role=row.role) for row in rows)


def concerns(actor: Actor) -> sa.ColumnElement[bool]:
    """Return the condition under which a delegation concerns an actor; ``list_delegations`` joins both people."""
    mine = sa.or_(delegations.c.from_user_id == actor.id, delegations.c.to_user_id == actor.id)
    if not may(actor, "approvals:delegate"):
        return mine
    return sa.true() if actor.location is None else sa.or_(mine, _absent.c.location == actor.location)


_QUERY = (
    sa.select(
        delegations,
        _absent.c.name.label("absent_name"),
        _absent.c.email.label("absent_email"),
        _delegate.c.name.label("delegate_name"),
        _delegate.c.email.label("delegate_email"),
    )
    .join(_absent, _absent.c.id == delegations.c.from_user_id)
    .join(_delegate, _delegate.c.id == delegations.c.to_user_id)
)


def found(tx: Connection, actor: Actor, delegation_id: uuid.UUID, *, lock: bool = False) -> Any:
    """Return the row of a delegation that concerns an actor, or None."""
    query = _QUERY.where(delegations.c.id == delegation_id, concerns(actor))
    return tx.execute(query.with_for_update(of=delegations) if lock else query).one_or_none()


def _delegation(row: Any, names: Mapping[str, str], now: datetime) -> Delegation:
    status = status_of(row, now)
    return Delegation(
        id=row.id,
        absent=f"person:{row.from_user_id}",
        absent_name=row.absent_name,
        absent_email=row.absent_email,
        delegate=f"person:{row.to_user_id}",
        delegate_name=row.delegate_name,
        delegate_email=row.delegate_email,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        reason=row.reason,
        status=status,
        created_by_name=names.get(row.created_by, row.created_by),
        created_at=row.created_at,
        revoked_by_name=names.get(row.revoked_by, row.revoked_by) if row.revoked_by else None,
        revoked_at=row.revoked_at,
        may_revoke=status in ("planned", "active"),
    )


def status_of(row: Any, now: datetime) -> str:
    """Return how a delegation stands at an instant."""
    if row.revoked_at is not None:
        return "revoked"
    if row.ends_at <= now:
        return "over"
    return "active" if row.starts_at <= now else "planned"
