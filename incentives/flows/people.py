"""People: who may come in. Secrets are shown once and kept as hashes or digests only."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection, Row

from incentives.access import passwords
from incentives.access.tables import ROLES, api_keys, sessions, users
from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.kernel.errors import ApiKeyNotFound, EmailTaken, InputInvalid, NoCatalog, UnknownLocation, UserNotFound
from incentives.kernel.keys import digest_of_secret, new_secret
from incentives.recovery.customers import checked_email

_KEY_PREFIX = "ik_"
_PREFIX_LENGTH = 10
_NAME_LENGTH = 200
_SKILLS_MOST = 50
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Let a person in. ``password`` None: one is made and returned.

    ``skills`` are keys of issue tags: of these, and of all below them, rules give the person cases. None is every one.
    """

    email: str
    role: str
    name: str | None = None
    location: str | None = None
    team: str | None = None
    skills: Sequence[str] = ()
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedUser:
    """A person and their first password, shown this once."""

    id: uuid.UUID
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeUser:
    """What to change of a person: None leaves a part as it is, an empty location, team or skills takes it away."""

    email: str
    role: str | None = None
    location: str | None = None
    team: str | None = None
    name: str | None = None
    skills: Sequence[str] | None = None


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
    secret: str = field(repr=False)


def create_user(*, core: Core, actor: Actor, command: CreateUser) -> CreatedUser:
    """Let a person in.

    Raises ``EmailInvalid``, ``EmailTaken``, ``PasswordUnfit``, ``InputInvalid``, ``UnknownLocation``, ``NotPermitted``.
    """
    permit(actor, "people:manage")
    now = core.clock.now()
    email = checked_email(command.email, field="email").lower()
    name = email.partition("@")[0] if command.name is None else _checked_name(command.name)
    password = command.password or new_secret(15)
    passwords.check(password)
    password_hash = passwords.hashed(password)
    with core.database.write() as tx:
        _check_place(tx, core, command.role, command.location, command.team)
        skills = _checked_skills(tx, core, command.skills)
        user_id = core.ids.new(now)
        row = {
            "id": user_id,
            "email": email,
            "name": name,
            "role": command.role,
            "location": command.location,
            "team": command.team,
            "skills": skills,
            "password_hash": password_hash,
            "created_at": now,
        }
        if not insert_unless_there(tx, users, ("email",), row):
            raise EmailTaken(field="email")
        _record(tx, core, actor, now, "user.created", user_id, {"role": command.role})
    return CreatedUser(id=user_id, email=email, password=password)


def create_api_key(*, core: Core, actor: Actor, command: CreateApiKey) -> CreatedApiKey:
    """Let a program in. Raises ``InputInvalid``, ``UnknownLocation`` and ``NotPermitted``."""
    permit(actor, "people:manage")
    now = core.clock.now()
    name = _checked_name(command.name)
    secret = _KEY_PREFIX + new_secret(32)
    with core.database.write() as tx:
        _check_place(tx, core, command.role, command.location, command.team)
        key_id = core.ids.new(now)
        tx.execute(
            api_keys.insert(),
            [
                {
                    "id": key_id,
                    "name": name,
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
        user = _person(tx, email, disabled=False)
        tx.execute(users.update().where(users.c.id == user.id).values(disabled_at=now))
        _end_sessions(tx, user.id, now)
        _record(tx, core, actor, now, "user.disabled", user.id)


def enable_user(*, core: Core, actor: Actor, email: str) -> None:
    """Let a person in again who was disabled, with the password they had; the sessions of then stay ended.

    Raises ``UserNotFound``, also for somebody who is not disabled, and ``NotPermitted``.
    """
    permit(actor, "people:manage")
    now = core.clock.now()
    with core.database.write() as tx:
        user = _person(tx, email, disabled=True)
        tx.execute(users.update().where(users.c.id == user.id).values(disabled_at=None))
        _record(tx, core, actor, now, "user.enabled", user.id)


def reset_password(*, core: Core, actor: Actor, email: str) -> CreatedUser:
    """Give a person who is not disabled a fresh password, shown this once, and end their sessions.

    Raises ``UserNotFound`` and ``NotPermitted``.
    """
    permit(actor, "people:manage")
    now = core.clock.now()
    password = new_secret(15)
    password_hash = passwords.hashed(password)
    with core.database.write() as tx:
        user = _person(tx, email, disabled=False)
        tx.execute(users.update().where(users.c.id == user.id).values(password_hash=password_hash))
        _end_sessions(tx, user.id, now)
        _record(tx, core, actor, now, "user.password-reset", user.id)
    return CreatedUser(id=user.id, email=user.email, password=password)


def change_user(*, core: Core, actor: Actor, command: ChangeUser) -> None:
    """Change a person's role, place, name or skills, from their next request on; disabled people can be changed, too.

    Sessions go on: each request reads the person's row. Raises ``UserNotFound``, ``InputInvalid``,
    ``UnknownLocation`` and ``NotPermitted``.
    """
    permit(actor, "people:manage")
    wanted = _wanted(command)
    now = core.clock.now()
    with core.database.write() as tx:
        user = _person(tx, command.email)
        values = {name: value for name, value in wanted.items() if value != getattr(user, name)}
        _check_place(tx, core, str(values.get("role", user.role)), values.get("location"), values.get("team"))
        if "skills" in values:
            values["skills"] = _checked_skills(tx, core, values["skills"])
        if not values:
            return
        tx.execute(users.update().where(users.c.id == user.id).values(values))
        # The trail never holds a person's name: that it changed is enough.
        facts = {name: [getattr(user, name), value] for name, value in values.items() if name != "name"}
        _record(tx, core, actor, now, "user.changed", user.id, facts | ({"renamed": True} if "name" in values else {}))


def _wanted(command: ChangeUser) -> dict[str, Any]:
    """Return what is to change, by column; an empty place is none any more."""
    wanted = {name: getattr(command, name) for name in ("role", "location", "team", "name", "skills")}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        message = "Say what to change: role, location, team, name or skills."
        raise InputInvalid(errors=[{"field": "role", "message": message}])
    if command.name is not None:
        given["name"] = _checked_name(command.name)
    if command.skills is not None:
        given["skills"] = list(dict.fromkeys(command.skills))
    return {name: (value or None) if name in ("location", "team") else value for name, value in given.items()}


def _checked_name(name: str) -> str:
    """Return a name without the space around it, or refuse one that no list could show."""
    name = name.strip()
    if not name or len(name) > _NAME_LENGTH or not name.isprintable():
        message = f"A name has 1 to {_NAME_LENGTH} characters, all of them printable."
        raise InputInvalid(errors=[{"field": "name", "message": message}])
    return name


def _person(tx: Connection, email: str, *, disabled: bool | None = None) -> Row[Any]:
    """Return a person's row, held until this transaction ends; ``disabled`` says which people are meant."""
    user = tx.execute(users.select().where(users.c.email == email.strip().lower()).with_for_update()).one_or_none()
    if user is None:
        raise UserNotFound(f"There is nobody with the email {email}.", field="email")
    if disabled is not None and disabled != (user.disabled_at is not None):
        how = "is disabled" if user.disabled_at else "is not disabled"
        raise UserNotFound(f"The person with the email {email} {how}.", field="email")
    return user


def _end_sessions(tx: Connection, user_id: uuid.UUID, now: datetime) -> None:
    open_ones = (sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None))
    tx.execute(sessions.update().where(*open_ones).values(revoked_at=now))


def _record(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    user_id: uuid.UUID,
    facts: dict[str, Any] | None = None,
) -> None:
    audit.record(
        tx, core=core, actor=actor, now=now, action=action, subject_kind="user", subject_id=user_id, facts=facts
    )


def _check_place(tx: Connection, core: Core, role: str, location: str | None, team: str | None) -> None:
    """Refuse a role, location or team that there is not; before the first catalog there are no places at all."""
    if role not in ROLES:
        raise InputInvalid(errors=[{"field": "role", "message": f"A role is one of {', '.join(ROLES)}."}])
    if location is None and team is None:
        return
    catalog = _catalog(tx, core)
    if location is not None and (catalog is None or location not in catalog.locations):
        raise UnknownLocation(field="location", location=location)
    if team is not None and (catalog is None or team not in catalog.teams):
        raise InputInvalid(errors=[{"field": "team", "message": "There is no such team in the approved catalog."}])


def _checked_skills(tx: Connection, core: Core, skills: Sequence[str]) -> list[str]:
    """Return each skill once; one that is no key, or no issue tag of the catalog in force, is refused."""
    found = list(dict.fromkeys(skills))
    catalog = _catalog(tx, core) if found else None
    wrong = [each for each in found if not _KEY.fullmatch(each) or (catalog and each not in catalog.issue_tags)]
    if wrong or len(found) > _SKILLS_MOST:
        message = f"A skill is the key of an issue tag, and nobody has more than {_SKILLS_MOST} of them."
        if wrong:
            message = f"There is no issue tag “{wrong[0][:100]}”. A skill is the key of an issue tag."
        raise InputInvalid(errors=[{"field": "skills", "message": message}])
    return found


def _catalog(tx: Connection, core: Core) -> Catalog | None:
    try:
        return releases.cached_current(tx, core).catalog
    except NoCatalog:
        return None
