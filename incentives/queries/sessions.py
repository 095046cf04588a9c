"""Staff sessions: whose a cookie is, looked up anew at each request, so that a revocation holds at once."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.access.tables import sessions, users
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.keys import digest_of_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session of a person."""

    id: uuid.UUID
    actor: Actor
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    user_agent: str
    ip: str


_SESSION = (
    sa.select(
        sessions,
        users.c.email,
        users.c.name,
        users.c.role,
        users.c.location,
        users.c.team,
    )
    .join(users, users.c.id == sessions.c.user_id)
    .where(sessions.c.revoked_at.is_(None), users.c.disabled_at.is_(None))
)


def _session(row: Any) -> Session:
    actor = Actor(
        kind="person",
        id=row.user_id,
        name=row.name,
        role=row.role,
        location=row.location,
        team=row.team,
        email=row.email,
    )
    return Session(
        id=row.id,
        actor=actor,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        user_agent=row.user_agent,
        ip=row.ip,
    )


def session_of_token(
    *, core: Core, session_token: str, request_id: str | None = None, ip: str | None = None
) -> Session | None:
    """Return the session of a cookie; None if it was revoked, rested too long, is too old, or its person disabled."""
    query = _SESSION.where(sessions.c.token_digest == digest_of_secret(session_token), *_not_ended(core))
    with core.database.read() as tx:
        row = tx.execute(query).one_or_none()
    if row is None:
        return None
    session = _session(row)
    return replace(session, actor=replace(session.actor, request_id=request_id, ip=ip))


def sessions_of(*, core: Core, actor: Actor) -> list[Session]:
    """Return a person's own sessions that have not ended, the latest used first."""
    query = _SESSION.where(sessions.c.user_id == actor.id, *_not_ended(core)).order_by(sessions.c.last_seen_at.desc())
    with core.database.read() as tx:
        return [_session(row) for row in tx.execute(query).all()]


def _not_ended(core: Core) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions under which a session goes on: it is not too old, and has not rested too long."""
    now = core.clock.now()
    rested = now - timedelta(minutes=core.settings.session_idle_minutes)
    return (sessions.c.expires_at > now, sessions.c.last_seen_at > rested)


def actor_of_session(
    *, core: Core, session_token: str, request_id: str | None = None, ip: str | None = None
) -> Actor | None:
    """Return the person behind a cookie, or None."""
    session = session_of_token(core=core, session_token=session_token, request_id=request_id, ip=ip)
    return session.actor if session else None
