"""People, as the operator names them."""

import sqlalchemy as sa

from incentives.access.tables import users
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import UserNotFound


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
