"""The recovery case: every issuance belongs to one, opened with it or before it."""

import uuid
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.recovery.tables import recovery_cases


def existing(tx: Connection, ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of the ids are recovery cases."""
    wanted = set(ids)
    if not wanted:
        return set()
    return set(tx.execute(sa.select(recovery_cases.c.id).where(recovery_cases.c.id.in_(wanted))).scalars())
