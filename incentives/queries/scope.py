"""What of the records somebody sees.

Who belongs to one location sees what happened there, or nowhere in particular; everybody else sees all of it. A case
is seen too by the team that it was given to, and by the teams that it is shared with.
"""

from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor
from incentives.recovery.tables import case_shares, recovery_cases


def seen_by(actor: Actor, location: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return the condition under which an actor sees a row that says its location."""
    return sa.true() if actor.location is None else sa.or_(location == actor.location, location.is_(None))


def case_seen_by(actor: Actor, *, to_edit: bool = False) -> sa.ColumnElement[bool]:
    """Return the condition under which an actor sees a recovery case, or may work on it."""
    case, share = recovery_cases.c, case_shares.c
    here = seen_by(actor, case.location)
    if actor.location is None or actor.team is None:
        return here
    shared = sa.select(share.id).where(
        share.case_id == case.id,
        share.team == actor.team,
        share.revoked_at.is_(None),
        *([share.may_edit.is_(True)] if to_edit else []),
    )
    return sa.or_(here, case.owner_team == actor.team, shared.exists())
