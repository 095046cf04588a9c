"""People: who may come in. Secrets are shown once and kept as hashes or digests only."""

import uuid
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from incentives.access import passwords
from incentives.access.tables import ROLES, api_keys, sessions, users
from incentives.books import audit
from incentives.catalog import releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.kernel.errors import ApiKeyNotFound, EmailTaken, InputInvalid, NoCatalog, UnknownLocation, UserNotFound
from incentives.kernel.keys import digest_of_secret, new_secret
from incentives.recovery.customers import checked_email

_KEY_PREFIX = "ik_"
_PREFIX_LENGTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Let a person in. ``password`` None: one is made and returned."""

    email: str
    role: str
    name: str | None = None
    location: str | None = None
    team: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedUser:
    """A person and their first password, shown this once."""

    id: uuid.UUID
    email: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """Let a program in."""

    name: str
    role: str
    location: str | None = None
    team: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey:
    """An API key, shown this once."""

    id: uuid.UUID
    secret: str


def create_user(*, core: Core, actor: Actor, command: CreateUser) -> CreatedUser:
    """Let a person in.

    Raises ``EmailInvalid``, ``EmailTaken``, ``PasswordUnfit``, ``InputInvalid``, ``UnknownLocation``, ``NotPermitted``.
    """
    permit(actor, "people:manage")
    now = core.clock.now()
    email = checked_email(command.email, field="email").lower()
    password = command.password or new_secret(15)
    passwords.check(password)
    password_hash = passwords.hashed(password)
    with core.database.write() as tx:
        _check_place(tx, core, command.role, command.location, command.team)
        user_id = core.ids.new(now)
        row = {
            "id": user_id,
            "email": email,
            "name": command.name or email.partition("@")[0],
            "role": command.role,
            "location": command.location,
            "team": command.team,
            "password_hash": password_hash,
            "created_at": now,
        }
        if not insert_unless_there(tx, users, ("email",), row):
            raise EmailTaken(field="email")
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="user.created",
            subject_kind="user",
            subject_id=user_id,
            facts={"role": command.role},
        )
    return CreatedUser(id=user_id, email=email, password=password)


def create_api_key(*, core: Core, actor: Actor, command: CreateApiKey) -> CreatedApiKey:
    """Let a program in. Raises ``InputInvalid``, ``UnknownLocation`` and ``NotPermitted``."""
    permit(actor, "people:manage")
    now = core.clock.now()
    secret = _KEY_PREFIX + new_secret(32)
    with core.database.write() as tx:
        _check_place(tx, core, command.role, command.location, command.team)
        key_id = core.ids.new(now)
        tx.execute(
            api_keys.insert(),
            [
                {
                    "id": key_id,
                    "name": command.name,
                    "role": command.role,
                    "location": command.location,
                    "team": command.team,
                    "prefix": secret[:_PREFIX_LENGTH],
                    "digest": digest_of_secret(secret),
                    "created_at": now,
                    "created_by": actor.label,
                }
            ],
        )
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="api-key.created",
            subject_kind="api-key",
            subject_id=key_id,
            facts={"role": command.role},
        )
    return CreatedApiKey(id=key_id, secret=secret)


def revoke_api_key(*, core: Core, actor: Actor, key_id: uuid.UUID) -> None:
    """Shut a program out, from its next request on. Raises ``ApiKeyNotFound`` and ``NotPermitted``."""
    permit(actor, "people:manage")
    now = core.clock.now()
    with core.database.write() as tx:
        table = api_keys.c
        revoked = tx.execute(
            api_keys.update().where(table.id == key_id, table.revoked_at.is_(None)).values(revoked_at=now)
        )
        if revoked.rowcount != 1:
            raise ApiKeyNotFound
        audit.record(
            tx, core=core, actor=actor, now=now, action="api-key.revoked", subject_kind="api-key", subject_id=key_id
        )


def disable_user(*, core: Core, actor: Actor, email: str) -> None:
    """Shut a person out, from their next request on. Raises ``UserNotFound`` and ``NotPermitted``."""
    permit(actor, "people:manage")
    now = core.clock.now()
    with core.database.write() as tx:
        user = tx.execute(
            users.update()
            .where(users.c.email == email.strip().lower(), users.c.disabled_at.is_(None))
            .values(disabled_at=now)
            .returning(users.c.id),
        ).one_or_none()
        if user is None:
            raise UserNotFound(field="email")
        tx.execute(
            sessions.update()
            .where(sessions.c.user_id == user.id, sessions.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        audit.record(
            tx, core=core, actor=actor, now=now, action="user.disabled", subject_kind="user", subject_id=user.id
        )


def _check_place(tx: Connection, core: Core, role: str, location: str | None, team: str | None) -> None:
    """Refuse a role, location or team that there is not; before the first catalog there are no places at all."""
    if role not in ROLES:
        raise InputInvalid(errors=[{"field": "role", "message": f"A role is one of {', '.join(ROLES)}."}])
    if location is None and team is None:
        return
    try:
        catalog = releases.cached_current(tx, core.cache).catalog
    except NoCatalog:
        catalog = None
    if location is not None and (catalog is None or location not in catalog.locations):
        raise UnknownLocation(field="location", location=location)
    if team is not None and (catalog is None or team not in catalog.teams):
        raise InputInvalid(errors=[{"field": "team", "message": "There is no such team in the approved catalog."}])
