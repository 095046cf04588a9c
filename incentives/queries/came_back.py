"""Which addresses nothing is sent to: known before somebody promises to send to one of them.

The list (``messages/suppression.py``) is the one truth of it. What somebody said stands there by the digest by which
customers are recognized, so that it holds for any spelling of their address. What was found out of a mailbox stands by
the digest of that very address: at most hosts ``ceo+x`` and ``c.eo`` are no other spellings of ``ceo``.

Both are looked up by all keys, retired ones too: nobody who wants no more hears of us because a key has changed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.messages import suppression
from incentives.messages.tables import suppressions
from incentives.recovery.customers import Contact, identities, mailbox

FRESH_SECONDS = 0.5
_ANY = "messages.suppressions"  # in the core's cache: whether anything stands on the list
_CHANNELS = {"email": "email", "phone": "sms"}  # by the kind of identity that a channel reaches
_MAILBOX = "mailbox"  # the kind of digest that one address has and no other spelling of it

# What the contract calls it, and what staff are told.
_STATUSES = {
    "blocked": ("failed", "Not sent: a message to this address was refused lately."),
    "invalid": ("failed", "Not sent: nobody can be reached at this address."),
    "bounced": ("bounced", "Not sent: the last message to this address came back."),
    "complained": ("suppressed", "Not sent: the customer reported an earlier message as unwanted."),
    "unsubscribed": ("suppressed", "Not sent: the customer asked for no more messages at this address."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameBack:
    """Nothing is sent by a channel to the customer's address there.

    ``status`` is ``bounced``, ``suppressed`` (they want no more of them) or ``failed`` (it was refused for good);
    ``reason`` is the list's own, ``words`` say it.
    """

    channel: str
    status: str
    reason: str
    words: str
    at: datetime


def came_back(
    tx: Connection,
    core: Core,
    contacts: Sequence[Contact],
    now: datetime,
    *,
    sure: bool = False,
    only: Collection[str] = suppression.HOLDS,
) -> list[Mapping[str, CameBack]]:
    """Return for each contact what stands against its addresses, by channel; of several things the weightiest.

    Whether anything stands at all is known for half a second, unless it must be ``sure``. ``only`` are the reasons that
    matter.
    """
    if not any(each.email or each.phone for each in contacts) or not (sure or any_stands(tx, core)):
        return [{} for _ in contacts]
    sought = [_sought(core, contact) for contact in contacts]
    named = {each for one in sought for each in one}
    found = {
        (row.channel, row.digest): _said(row) for row in suppression.standing(tx, named, now) if row.reason in only
    }
    return [_weightiest([found[each] for each in one if each in found]) for one in sought]


def _weightiest(found: Sequence[CameBack]) -> dict[str, CameBack]:
    return {each.channel: each for each in sorted(found, key=lambda each: suppression.weight(each.reason))}


def spelled(contact: Contact) -> list[tuple[str, str, str]]:
    """Return what a contact's addresses stand on the list by, as (channel, kind, text)."""
    found = [(_CHANNELS[kind], kind, text) for kind, text in identities(contact) if kind in _CHANNELS]
    return [*found, ("email", _MAILBOX, mailbox(contact.email))] if contact.email else found


def digests_of(core: Core, channel: str, address: str, reason: str | None = None) -> Sequence[str]:
    """Return an address's digests under every key, the newest first; of what is no address there are none.

    With a ``reason`` they are those that an entry of that reason stands by.
    """
    contact = Contact(email=address) if channel == "email" and "@" in address else Contact(phone=address)
    by = {"phone", "email" if reason in suppression.WISHES else _MAILBOX}
    return [
        digest
        for reached, kind, text in spelled(contact)
        if reached == channel and (reason is None or kind in by)
        for digest in core.contacts.spelled(kind, text).values()
    ]


def _sought(core: Core, contact: Contact) -> list[tuple[str, str]]:
    return [
        (channel, digest)
        for channel, kind, text in spelled(contact)
        for digest in core.contacts.spelled(kind, text).values()
    ]


def _said(row: sa.Row[tuple[object, ...]]) -> CameBack:
    status, words = _STATUSES[row.reason]
    return CameBack(channel=row.channel, status=status, reason=row.reason, words=words, at=row.since)


def any_stands(tx: Connection, core: Core, seconds: Callable[[], float] = elapsed_seconds) -> bool:
    """Return whether anything stands on the list, as of at most ``FRESH_SECONDS`` ago."""
    known = core.cache.get(_ANY)
    asked_at = seconds()
    if known is not None and 0 <= asked_at - known[0] < FRESH_SECONDS:
        return bool(known[1])
    query = sa.select(suppressions.c.id).where(suppressions.c.lifted_at.is_(None)).limit(1)
    found = tx.execute(query).first() is not None
    core.cache[_ANY] = (asked_at, found)
    return found


def forget(core: Core) -> None:
    """Forget what was read: called by whoever has changed the list, once that is committed."""
    core.cache.pop(_ANY, None)
