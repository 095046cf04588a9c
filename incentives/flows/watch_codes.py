"""Watch codes: whoever leads is told when many codes are tried that do not exist, at all tills together.

One till that guesses is slowed down by the throttle. Many that guess a little each are seen here only. The worker does
it by itself, once a window.
"""

import uuid
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.deeds import guessing, reviewing
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.messages import outbox
from incentives.safeguards import reviews, signals
from incentives.safeguards.signals import Rule
from incentives.safeguards.tables import reviews as reviews_table

TEMPLATE = outbox.UNKNOWN_CODES_NOTICE
KIND = "unknown_codes"
TOLD = ("supervisor", "manager", "admin")
_EVERYWHERE = "everywhere"


def watch_codes(*, core: Core) -> bool:
    """Open a review and tell whoever leads, if more unknown codes were tried than usual; return whether that was so.

    One window is told of once, decided or not. The next one is told of again: a review that nobody has looked at
    must not hide the flood that comes after it.
    """
    now = core.clock.now()
    with core.database.read() as tx:
        rule = guessing.alarm(tx, core)
        if rule is None or not guessing.tried(tx, rule, now).alarms(rule) or _told_lately(tx, core, rule):
            return False
    with core.database.write() as tx:
        found = guessing.tried(tx, rule, now)
        row = reviews.opened(
            core=core,
            actor=SYSTEM,
            now=now,
            kind=KIND,
            subject_id=f"{_EVERYWHERE}/{int(now.timestamp()) // (rule.minutes * 60)}",
            action=signals.ALLOW,
            signals=[rule.shown(found.unknown) | {"tries": found.tries}],
        )
        if _told_lately(tx, core, rule) or not reviews.write(tx, [row]):
            return False
        reviewing.note_opened(tx, core, SYSTEM, row, now)
        outbox.enqueue(
            tx,
            [
                outbox.notice_about(core=core, now=now, about=KIND, about_id=row["id"], user_id=each, template=TEMPLATE)
                for each in _leaders(tx)
            ],
        )
    return True


def _told_lately(tx: Connection, core: Core, rule: Rule) -> bool:
    """Return whether an alarm was told within the window."""
    table = reviews_table.c
    since = core.clock.now() - timedelta(minutes=rule.minutes)
    lately = (table.kind == KIND, table.opened_at > since)
    return tx.execute(sa.select(table.id).where(*lately).limit(1)).first() is not None


def _leaders(tx: Connection) -> list[uuid.UUID]:
    """Return whoever leads everywhere; where nobody does, whoever leads anywhere."""
    table = users.c
    found = tx.execute(
        sa.select(table.id, table.location).where(table.role.in_(TOLD), table.disabled_at.is_(None)).order_by(table.id)
    ).all()
    everywhere = [row.id for row in found if row.location is None]
    return everywhere or [row.id for row in found]
