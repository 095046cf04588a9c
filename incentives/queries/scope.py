"""What of the records somebody sees.

Who belongs to one location sees what happened there, or nowhere in particular; everybody else sees all of it.
"""

from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor


def seen_by(actor: Actor, location: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return the condition under which an actor sees a row that says its location."""
    return sa.true() if actor.location is None else sa.or_(location == actor.location, location.is_(None))
