"""Which program asks: the actor behind an API key. Doors may keep the answer in mind, for less than a second."""

import sqlalchemy as sa

from incentives.access.tables import api_keys
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.keys import digest_of_secret


def actor_of_api_key(*, core: Core, secret: str, request_id: str | None = None, ip: str | None = None) -> Actor | None:
    """Return the program behind an API key, or None if there is no such key or it was revoked."""
    table = api_keys.c
    query = sa.select(table.id, table.name, table.role, table.location, table.team)
    with core.database.read() as tx:
        row = tx.execute(
            query.where(table.digest == digest_of_secret(secret), table.revoked_at.is_(None))
        ).one_or_none()
    if row is None:
        return None
    return Actor(
        kind="key",
        id=row.id,
        name=row.name,
        role=row.role,
        location=row.location,
        team=row.team,
        request_id=request_id,
        ip=ip,
    )
