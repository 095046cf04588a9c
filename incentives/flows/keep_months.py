"""Keep months: on PostgreSQL, what grows without end is kept by month, and the months to come are made ahead.

Should nobody come by here for months, nothing is refused: what follows the last month has a part of its own, which
becomes a month like the others as soon as somebody does. SQLite keeps each table as one.
"""

from datetime import timedelta

import sqlalchemy as sa

from incentives.kernel.core import Core
from incentives.kernel.database import is_for_want_of_a_lock
from incentives.kernel.errors import StorageUnavailable

AHEAD = timedelta(days=62)
"""So far ahead there is a month for whatever is written."""

_LOCK = 7_210_411_905  # an arbitrary number that only this application takes as an advisory lock
# Somebody who makes a part waits for those who write, and others wait behind; it can be tried again.
_PATIENCE = "SET LOCAL lock_timeout = '500ms'"
# Whoever may only read and write rows makes no tables: where the worker is such a one, its operator does.
_MAY = sa.text("SELECT has_schema_privilege('months', 'CREATE') AND pg_try_advisory_xact_lock(:lock)")
_ADD = sa.text("SELECT months.add_all(:until)")


def keep_months(*, core: Core) -> int:
    """Make the months that are missing, and return how many that were; none where somebody else is at it, or in use."""
    if core.database.sqlite:
        return 0
    try:
        with core.database.write() as tx:
            tx.exec_driver_sql(_PATIENCE)
            if not tx.execute(_MAY, {"lock": _LOCK}).scalar_one():
                return 0
            made: int = tx.execute(_ADD, {"until": core.clock.now() + AHEAD}).scalar_one()
            return made
    except StorageUnavailable as refusal:
        if is_for_want_of_a_lock(refusal):
            return 0
        raise
