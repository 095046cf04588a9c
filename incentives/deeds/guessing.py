"""Guessing: how many codes were tried that nobody was ever given, at all tills together, and when that is too many.

Not a flow: it opens no transaction. A look-up that finds nothing counts like a try to redeem: who guesses looks first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.kernel.core import Core
from incentives.kernel.errors import NoCatalog
from incentives.safeguards import signals
from incentives.safeguards.signals import Rule
from incentives.vouchers.tables import redemption_attempts

LOOKED_UP = "looked-up-unknown"
"""The outcome of a look-up that found nothing; one that found something leaves no trace."""

UNKNOWN = ("voucher-not-found", "code-malformed", LOOKED_UP)
"""Outcomes of a try whose code nobody was ever given."""

_HUNDRED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How many tries there were in a window, and how many of them had an unknown code."""

    tries: int
    unknown: int

    def alarms(self, rule: Rule) -> bool:
        """Return whether these are more than usual: by their number, and by their share of all tries."""
        return self.unknown > rule.count and self.unknown * _HUNDRED >= self.tries * signals.UNKNOWN_SHARE_PERCENT


def alarm(tx: Connection, core: Core) -> Rule | None:
    """Return how many unknown codes the catalog takes for usual; None where nobody is told of them."""
    try:
        policy = releases.cached_current(tx, core).catalog.abuse
    except NoCatalog:
        return None
    return signals.rules(policy.signals, signals.LOOKING_UP).get(signals.UNKNOWN_CODES)


def tried(tx: Connection, rule: Rule, now: datetime) -> Tried:
    """Return what was tried within the window of the alarm."""
    table = redemption_attempts.c
    unknown = sa.func.count().filter(table.outcome.in_(UNKNOWN))
    since = now - timedelta(minutes=rule.minutes)
    row = tx.execute(sa.select(sa.func.count(), unknown).where(table.at > since)).one()
    return Tried(tries=row[0], unknown=row[1])
