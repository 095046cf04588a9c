"""How long requests wait for a decision, told as it was: the median, of how many, and how many nobody decided."""

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.queries.scope import seen_by
from incentives.queries.sealed_rows import floor_id
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances

WINDOW = timedelta(days=30)
MOST_COUNTED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTimes:
    """What became of the requests of the last thirty days that the actor sees.

    ``median_seconds`` is that of the ``decided`` latest decisions (None: there were none), from asking to the
    decision; ``lapsed`` is how many ran out of time instead. Of more than ``MOST_COUNTED`` only the latest count.
    """

    median_seconds: int | None
    decided: int
    lapsed: int


def decision_times(*, core: Core, actor: Actor) -> DecisionTimes:
    """Return how long decisions took, for whoever waits for them and whoever makes them."""
    permit(actor, "issuances:read")
    now = core.clock.now()
    with core.database.read() as tx:
        return _times(tx, actor, now)


def _times(tx: Connection, actor: Actor, now: datetime) -> DecisionTimes:
    table = approvals.c
    # What was asked for alone counts: a decision has no index of its own, and both are within the window then. Nor has
    # the asking, but it made the id, and by that the others need not be read.
    asked = sa.and_(table.id >= floor_id(now - WINDOW), table.requested_at > now - WINDOW)
    since = sa.and_(asked, seen_by(actor, issuances.c.location))
    joined: sa.Select[Any] = sa.select(table.requested_at, table.decided_at).join(
        issuances, issuances.c.id == table.issuance_id
    )
    decided = tx.execute(
        joined.where(since, table.status.in_(("granted", "declined"))).order_by(table.id.desc()).limit(MOST_COUNTED)
    ).all()
    over = sa.or_(table.status == "expired", sa.and_(table.status == "pending", table.expires_at <= now))
    lapsed = tx.execute(
        sa.select(sa.func.count())
        .select_from(approvals)
        .join(issuances, issuances.c.id == table.issuance_id)
        .where(since, over)
    ).scalar_one()
    waits = [int((row.decided_at - row.requested_at).total_seconds()) for row in decided]
    median = int(statistics.median(waits)) if waits else None
    return DecisionTimes(median_seconds=median, decided=len(waits), lapsed=int(lapsed))
