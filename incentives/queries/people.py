"""People and programs, as the operator names them. No secret, and nothing that one could be made from."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from incentives.access.tables import api_keys, users
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import UserNotFound
from incentives.queries.letters import actor_names


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    """A person; ``disabled_at`` is None for one who may come in. No ``skills`` (keys of issue tags) is every one."""

    id: uuid.UUID
    email: str
    name: str
    role: str
    location: str | None
    team: str | None
    skills: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRow:
    """An API key; ``prefix`` is how its secret begins, enough to tell which it is and too little to guess it."""

    id: uuid.UUID
    name: str
    role: str
    location: str | None
    team: str | None
    prefix: str
    created_at: datetime
    revoked_at: datetime | None


def person_by_email(*, core: Core, email: str) -> Actor:
    """Return a person who is not disabled, or raise ``UserNotFound``."""
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(users).where(users.c.email == email.strip().lower(), users.c.disabled_at.is_(None))
        ).one_or_none()
    if row is None:
        raise UserNotFound(f"There is nobody with the email {email}.", field="email")
    return Actor(
        kind="person", id=row.id, name=row.name, role=row.role, location=row.location, team=row.team, email=row.email
    )


def person_list(*, core: Core, actor: Actor) -> tuple[PersonRow, ...]:
    """Return everybody, disabled or not, by their email. Raises ``NotPermitted``."""
    permit(actor, "people:manage")
    names = PersonRow.__dataclass_fields__
    with core.database.read() as tx:
        rows = tx.execute(sa.select(*(users.c[name] for name in names)).order_by(users.c.email)).all()
    return tuple(PersonRow(**dict(zip(names, row, strict=True)) | {"skills": tuple(row.skills)}) for row in rows)


def api_key_list(*, core: Core, actor: Actor) -> tuple[ApiKeyRow, ...]:
    """Return every API key, revoked or not, the oldest first. Raises ``NotPermitted``."""
    permit(actor, "people:manage")
    names = ApiKeyRow.__dataclass_fields__
    order = (api_keys.c.created_at, api_keys.c.id)
    with core.database.read() as tx:
        rows = tx.execute(sa.select(*(api_keys.c[name] for name in names)).order_by(*order)).all()
    return tuple(ApiKeyRow(**dict(zip(names, row, strict=True))) for row in rows)


def names_of(*, core: Core, actor: Actor, labels: Iterable[str]) -> dict[str, str]:
    """Return what people, programs and rules are called, by their labels (``person:<id>``); not those that are gone.

    For whoever sees the budgets: a pot for each agent is known by its agent's label. Raises ``NotPermitted``.
    """
    permit(actor, "budgets:read")
    with core.database.read() as tx:
        return actor_names(tx, set(labels))
