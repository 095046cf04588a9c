"""The contact cap: one address or number is promised so many messages about vouchers within 24 hours, and no more.

Not a flow: it opens no transaction. Whoever promises a message asks for room first, and holds the contact's identity
from then on until the transaction ends: after customers, cases and vouchers were locked, and before budgets, in the
order of the digests. What is shown on a screen or printed, and what staff are told, is no message to a customer.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.errors import ContactCap
from incentives.kernel.many import Into
from incentives.recovery import promised
from incentives.recovery.customers import Contact, Newcomers, identities

_CHANNELS = {"email": "email", "phone": "sms"}  # by the kind of identity that a channel reaches
_WORDS = {"email": ("address", "email"), "sms": ("number", "text message")}
_NOBODY = Newcomers(frozenset(), frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What of a contact is to be told: by channel the digests of its address, the newest first; and from when on."""

    reached: Sequence[tuple[str, Sequence[str]]]
    due_ms: int


def wish(core: Core, contact: Contact, channels: Collection[str], not_before: datetime | None, now: datetime) -> Wish:
    """Return what telling a contact by some channels asks for; ``not_before`` None: it is sent at once."""
    if not channels or not core.settings.contact_cap:
        return NOTHING
    reached = [
        (_CHANNELS[kind], core.contacts.digests(kind, text))
        for kind, text in identities(contact)
        if _CHANNELS.get(kind) in channels
    ]
    return Wish(reached=reached, due_ms=promised.stamp(max(now, not_before) if not_before else now))


NOTHING = Wish(reached=(), due_ms=0)


@dataclass(slots=True)
class Room:
    """What contacts may still be promised, while their identities are locked; ``take`` keeps it true."""

    most: int
    now_ms: int
    stood: dict[str, list[int]]  # what the rows of the identities say, by digest
    made: Collection[str] = ()  # those of our own making: what they say was foreseen, and nothing was promised yet
    taken: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)  # the messages, by digest

    def refusal(self, wished: Wish) -> ContactCap | None:
        """Return why a contact may not be told; where several channels are full, of the one that is so the longest."""
        found = []
        for channel, digests in wished.reached:
            stamps = [each for digest in digests for each in self._promised(digest)]
            waits_ms = promised.free_from(stamps, wished.due_ms, self.most) - wished.due_ms
            if waits_ms > 0:
                found.append((waits_ms, channel))
        return self._full(*max(found)) if found else None

    def take(self, wished: Wish, messages: Iterable[Mapping[str, Any]]) -> None:
        """Count messages (their rows) that were laid out. One that is suppressed before it is written counts not."""
        rows = {row["channel"]: row for row in messages}
        for channel, digests in wished.reached:
            there = next((digest for digest in digests if digest in self.stood), None)
            if there is not None and channel in rows:
                self.taken.setdefault(there, []).append(rows[channel])

    def foresee(self, wished: Wish) -> None:
        """Count what would be told, where nothing is written."""
        for _, digests in wished.reached:
            there = next((digest for digest in digests if digest in self.stood), digests[0])
            self.stood[there] = [*self.stood.get(there, ()), wished.due_ms]

    def write(self, into: Into) -> None:
        """Write what was promised to whom, where that is not what the rows say."""
        new = {digest: self._promised(digest) for digest in {*self.taken, *self.made}}
        promised.write(into, {digest: each for digest, each in new.items() if each != self.stood[digest]})

    def _promised(self, digest: str) -> list[int]:
        before = () if digest in self.made else promised.recent(self.stood.get(digest, ()), self.now_ms)
        now = (row for row in self.taken.get(digest, ()) if row["status"] != "suppressed")
        return [*before, *(promised.stamp(row["available_at"]) for row in now)]

    def _full(self, waits_ms: int, channel: str) -> ContactCap:
        one, message = _WORDS[channel]
        many = f"{self.most} {message}{'' if self.most == 1 else 's'}"
        return ContactCap(
            f"Within {promised.WINDOW_HOURS} hours one {one} gets at most {many}.",
            channel=channel,
            most=self.most,
            retry_after_seconds=math.ceil(waits_ms / 1000),
        )


def foreseen(core: Core, wishes: Iterable[Wish]) -> dict[str, list[int]]:
    """Return what contacts will have been promised, by their newest digests, where they are new and nothing is refused.

    It is written with a new identity, which costs nothing; where it comes otherwise, that is written in the end.
    """
    found: dict[str, list[int]] = {}
    for each in wishes:
        reached = [found.setdefault(digests[0], []) for _, digests in each.reached]
        if all(promised.free_from(one, each.due_ms, core.settings.contact_cap) == each.due_ms for one in reached):
            for one in reached:
                one.append(each.due_ms)
    return found


def hold(tx: Connection, core: Core, wishes: Iterable[Wish], now: datetime, fresh: Newcomers = _NOBODY) -> Room | None:
    """Lock the identities that messages go to and return what room they have; None where there is no cap.

    Those that this very transaction has made (``fresh``) are nobody else's to lock, and known to be as they were made.
    One that it has made under a newer key stands beside the older one, which has what was promised before.
    """
    if not core.settings.contact_cap:
        return None
    sought = [digests for each in wishes for _, digests in each.reached]
    made = {digest for digests in sought for digest in digests if digest in fresh.digests}
    made.update(fresh.promised)  # those of whom nothing is told any more too: their commands were refused meanwhile
    stood = _locked(tx, [digests if made.isdisjoint(digests) else _older(digests, made, fresh) for digests in sought])
    foreseen = {digest: fresh.promised.get(digest, []) for digest in made}
    return Room(core.settings.contact_cap, promised.stamp(now), stood | foreseen, made)


def _older(digests: Sequence[str], made: Collection[str], fresh: Newcomers) -> list[str]:
    return [digest for digest in digests if digest in fresh.known and digest not in made]


def look(tx: Connection, core: Core, wishes: Iterable[Wish], now: datetime) -> Room:
    """Return what room contacts have, without locking: for who looks ahead and promises nothing."""
    stood = promised.read(tx, {digest for each in wishes for _, digests in each.reached for digest in digests})
    return Room(core.settings.contact_cap, promised.stamp(now), stood)


def _locked(tx: Connection, sought: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Return identities by all the digests that they could have, locked.

    One that is respelled while it is waited for is gone then: it is found by its new digest at the second look.
    """
    stood = promised.lock(tx, sorted({digest for digests in sought for digest in digests}))
    missed = {digest for digests in sought if stood.keys().isdisjoint(digests) for digest in digests}
    return stood | promised.lock(tx, sorted(missed)) if missed else stood


def room_for(
    tx: Connection, core: Core, contact: Contact, messages: Sequence[Mapping[str, Any]], now: datetime
) -> Room | None:
    """Return the room of a contact with messages (their rows) taken from it; None where nothing is counted.

    Raises ``ContactCap``.
    """
    due_at = max((row["available_at"] for row in messages), default=None)
    wished = wish(core, contact, [row["channel"] for row in messages], due_at, now)
    room = hold(tx, core, [wished], now) if wished.reached else None
    if room is None:
        return None
    refusal = room.refusal(wished)
    if refusal:
        raise refusal
    room.take(wished, messages)
    return room


def room_of(
    tx: Connection, core: Core, contact_token: str | None, messages: Sequence[Mapping[str, Any]], now: datetime
) -> Room | None:
    """Return the same for a contact as it is kept. Raises ``ContactCap``."""
    contact = Contact.from_text(core.contacts.decrypt(contact_token)) if messages else Contact()
    return room_for(tx, core, contact, messages, now)
