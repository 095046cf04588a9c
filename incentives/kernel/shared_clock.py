"""The clock that all machines of a house share: the database's, carried on between two looks by one that never jumps.

Vouchers end, holds lapse and leases run out by an instant that every process must agree on, and machines' own clocks
do not: one that is two minutes behind would refuse what another has just given. The database is asked every few
seconds, by one request for all of its process; in between its instant is carried on by the seconds that have passed,
so that setting a machine's own clock changes nothing.
"""

import logging
import math
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from incentives.kernel.clock import Clock, SystemClock, elapsed_seconds
from incentives.kernel.database import Database, UtcDateTime
from incentives.kernel.errors import StorageUnavailable

ASK_EVERY_SECONDS = 5.0
JUMP_SECONDS = 1.0
"""So far a machine's own clock may get from the seconds that passed before somebody looks what has happened."""

_AGAIN_AFTER_SECONDS = 1.0
_WORTH_TELLING = timedelta(seconds=5)
_NOW = sa.select(sa.func.clock_timestamp(type_=UtcDateTime()))

log = logging.getLogger("incentives.clock")


def clock_of(database: Database) -> Clock:
    """Return the clock that decides: the database's, or the machine's own where the database is a file on it."""
    return SystemClock() if database.sqlite else SharedClock(database, SystemClock())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the database said: its instant, and the machine's two clocks at that moment."""

    at: datetime
    own: datetime
    elapsed: float

    def carried_on(self, elapsed: float) -> datetime:
        return self.at + timedelta(seconds=elapsed - self.elapsed)

    def has_jumped(self, own: datetime, elapsed: float) -> bool:
        """Return whether the two clocks tell of different spans: one was set, or the machine was asleep."""
        return abs((own - self.own).total_seconds() - (elapsed - self.elapsed)) > JUMP_SECONDS


class SharedClock:
    """The database's clock, good to the time that one small question to it takes.

    As long as the database cannot be asked, what it said last is carried on; before it was ever asked, the machine's
    own clock is all there is.
    """

    def __init__(self, database: Database, own: Clock) -> None:
        """Know nothing yet; the first who wants to know the time asks."""
        self._database, self._own = database, own
        self._known: _Known | None = None
        self._asking = threading.Lock()
        self._not_before = -math.inf
        self._told_off = timedelta(0)

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        own, elapsed = self._own.now(), elapsed_seconds()
        known = self._known
        if elapsed >= self._not_before:
            if known is None or known.has_jumped(own, elapsed):
                known = self._ask(known, wait=True)  # Nobody may go on with what is not true.
            elif elapsed - known.elapsed >= ASK_EVERY_SECONDS:
                known = self._ask(known, wait=False)
        # Whoever had to wait is told the time after that.
        return self._own.now() if known is None else known.carried_on(elapsed_seconds())

    def _ask(self, known: _Known | None, *, wait: bool) -> _Known | None:
        """Ask the database, unless somebody is at it; return what is known then."""
        if not self._asking.acquire(blocking=wait):
            return known
        try:
            if self._known is known and elapsed_seconds() >= self._not_before:
                self._known = self._asked(known)
        except StorageUnavailable:
            self._not_before = elapsed_seconds() + _AGAIN_AFTER_SECONDS
        finally:
            self._asking.release()
        return self._known

    def _asked(self, known: _Known | None) -> _Known:
        with self._database.read() as tx:
            before = elapsed_seconds()
            said: datetime = tx.execute(_NOW).scalar_one()
            own, elapsed = self._own.now(), elapsed_seconds()
        # The instant was told some time between question and answer. What was known stays as it is within that span, so
        # that a slow answer does not push the time to and fro.
        thought = own if known is None else known.carried_on(elapsed)
        at = min(max(thought, said), said + timedelta(seconds=elapsed - before))
        self._tell_off(own - at)
        return _Known(at=at, own=own, elapsed=elapsed)

    def _tell_off(self, off: timedelta) -> None:
        """Log that this machine's clock is wrong, once, and again when it is wrong by another span."""
        if abs(off - self._told_off) >= _WORTH_TELLING:
            self._told_off = off
            log.warning("this machine's clock is %+.0f s off the database's, which decides", off.total_seconds())
