"""Sign in: a person proves who they are and gets a session that can be revoked at any instant."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from incentives.access import passwords
from incentives.access.tables import sessions, users
from incentives.books import audit
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import SessionNotFound, SignInFailed
from incentives.kernel.keys import digest_of_secret, new_secret

ABSOLUTE_LIFETIME = timedelta(hours=12)
_TOUCH_AFTER = timedelta(minutes=1)
_AGENT_LENGTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Prove who you are."""

    email: str
    password: str = field(repr=False)
    user_agent: str = ""
    ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session; its token is a secret that only the cookie holds."""

    session_token: str = field(repr=False)
    actor: Actor


def sign_in(*, core: Core, command: SignIn) -> SignedIn:
    """Open a session.

    Raises ``SignInFailed``, alike and after the same work for an unknown address, a wrong password and a disabled
    person. The hash is compared outside any transaction: it takes a tenth of a second.
    """
    now = core.clock.now()
    # PostgreSQL cannot even be asked for a text with the character NUL; nobody's address has one.
    email = command.email.strip().lower().replace("\0", " ")
    with core.database.read() as tx:
        user = tx.execute(sa.select(users).where(users.c.email == email)).one_or_none()
    if (
        not passwords.matches(user.password_hash if user else None, command.password)
        or user is None
        or user.disabled_at
    ):
        raise SignInFailed(field="email")
    actor = Actor(
        kind="person",
        id=user.id,
        name=user.name,
        role=user.role,
        location=user.location,
        team=user.team,
        email=user.email,
    )
    token = new_secret(32)
    with core.database.write() as tx:
        # The hash took a while: who was disabled or got a new password meanwhile does not come in by the old one.
        same = (users.c.id == user.id, users.c.password_hash == user.password_hash, users.c.disabled_at.is_(None))
        if tx.execute(sa.select(users.c.id).where(*same)).one_or_none() is None:
            raise SignInFailed(field="email")
        session_id = core.ids.new(now)
        tx.execute(
            sessions.insert(),
            [
                {
                    "id": session_id,
                    "user_id": user.id,
                    "token_digest": digest_of_secret(token),
                    "created_at": now,
                    "last_seen_at": now,
                    "expires_at": now + ABSOLUTE_LIFETIME,
                    "user_agent": command.user_agent[:_AGENT_LENGTH],
                    "ip": command.ip[:64],
                }
            ],
        )
        audit.record(
            tx, core=core, actor=actor, now=now, action="session.opened", subject_kind="session", subject_id=session_id
        )
    return SignedIn(session_token=token, actor=actor)


def sign_out(*, core: Core, session_token: str) -> None:
    """End the session of a token; one that has ended already stays so."""
    now = core.clock.now()
    with core.database.write() as tx:
        tx.execute(
            sessions.update()
            .where(sessions.c.token_digest == digest_of_secret(session_token), sessions.c.revoked_at.is_(None))
            .values(revoked_at=now),
        )


def revoke_session(*, core: Core, actor: Actor, session_id: uuid.UUID) -> None:
    """End one of one's own sessions, on whatever machine it is. Raises ``SessionNotFound``."""
    now = core.clock.now()
    with core.database.write() as tx:
        revoked = tx.execute(
            sessions.update()
            .where(sessions.c.id == session_id, sessions.c.user_id == actor.id, sessions.c.revoked_at.is_(None))
            .values(revoked_at=now),
        )
        if revoked.rowcount != 1:
            raise SessionNotFound
        audit.record(
            tx, core=core, actor=actor, now=now, action="session.revoked", subject_kind="session", subject_id=session_id
        )


def touch_session(*, core: Core, session_id: uuid.UUID, last_seen_at: datetime) -> None:
    """Note that a session is in use, at most once a minute, so that looking at pages hardly writes."""
    now = core.clock.now()
    if now - last_seen_at < _TOUCH_AFTER:
        return
    with core.database.write() as tx:
        tx.execute(
            sessions.update().where(sessions.c.id == session_id, sessions.c.last_seen_at < now).values(last_seen_at=now)
        )
