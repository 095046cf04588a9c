"""Whether what was last sent to an address came back: known before somebody promises to send to it again.

Addresses stand nowhere in clear, so the messages of the customers behind one are looked at, and their contacts are
compared as customers are recognized. Each message went to the contact of what it tells of; where that was given to
another address afterwards, the voucher of the old one was replaced, and its message says nothing of the new one.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.messages.tables import delivery_attempts, outbox_messages
from incentives.recovery.customers import Contact, identities
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances, vouchers

WINDOW = timedelta(days=90)
"""How long it is held against an address: mailboxes are mended, and numbers are switched on again."""

_LATEST = 60
_ARRIVED = ("sent", "delivered", "captured")
_CAME_BACK = ("bounced", "suppressed")
_IDENTITY_OF = {"email": "email", "sms": "phone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameBack:
    """The last message by a channel to the customer's address there did not arrive.

    ``status`` is ``bounced``, ``suppressed`` (they want no more of them) or ``failed`` (it was refused for good).
    """

    channel: str
    status: str
    at: datetime


def came_back(
    tx: Connection, core: Core, contact: Contact, people: Collection[uuid.UUID], now: datetime
) -> tuple[CameBack, ...]:
    """Return for which of a contact's addresses the last message did not arrive, of the last ninety days.

    ``people`` are the customers behind the contact. One that a provider could not be reached for says nothing.
    """
    wanted = dict(identities(contact))
    if not people or not wanted.keys() & set(_IDENTITY_OF.values()):
        return ()
    last: dict[str, CameBack] = {}
    for row in tx.execute(_ended(people, now)):
        kind = _IDENTITY_OF[row.channel]
        if row.channel in last or kind not in wanted:
            continue
        sent_to = dict(identities(Contact.from_text(core.contacts.decrypt(row.contact))))
        if sent_to.get(kind) == wanted[kind]:
            last[row.channel] = CameBack(channel=row.channel, status=row.status, at=row.ended_at)
    return tuple(each for each in last.values() if each.status not in _ARRIVED)


def _ended(people: Collection[uuid.UUID], now: datetime) -> sa.Select[Any]:
    """Return the messages to customers whose end says something of the address, the latest first."""
    sent, made, case = outbox_messages.c, vouchers.c, recovery_cases.c
    told = sa.and_(sent.ended_at > now - WINDOW, sa.or_(sent.status.in_((*_ARRIVED, *_CAME_BACK)), _refused()))
    columns = (sent.id, sent.channel, sent.status, sent.ended_at)
    given = (
        sa.select(*columns, issuances.c.contact)
        .join(issuances, issuances.c.id == sent.issuance_id)
        .outerjoin(vouchers, made.id == sent.voucher_id)
        .where(issuances.c.customer_id.in_(people), told, sa.or_(made.id.is_(None), made.status != "replaced"))
    )
    of_cases = (
        sa.select(*columns, case.contact)
        .join(recovery_cases, case.id == sent.case_id)
        .where(case.customer_id.in_(people), told, sent.issuance_id.is_(None), sent.user_id.is_(None))
    )
    both = sa.union_all(given, of_cases).subquery()
    return sa.select(both).order_by(both.c.ended_at.desc(), both.c.id.desc()).limit(_LATEST)


def _refused() -> sa.ColumnElement[bool]:
    """Return the condition under which the provider said that it will never work."""
    attempt = delivery_attempts.c
    never = sa.select(attempt.id).where(
        attempt.message_id == outbox_messages.c.id, attempt.outcome == "will-never-work"
    )
    return sa.and_(outbox_messages.c.status == "failed", never.exists())
