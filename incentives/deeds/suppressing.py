"""Suppressing: nothing is sent to an address that cannot be reached, or whose owner wants no more.

Not a flow: it opens no transaction. What a provider refuses, reports or passes on puts an address on the list; issuing
asks the list before it promises a message, and delivering before it sends one.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds.answers import Issued
from incentives.deeds.batch import Batch
from incentives.deeds.wanting import Draft
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.core import Core
from incentives.messages import suppression
from incentives.messages.port import AnyLetter, Letter, SurveyLetter
from incentives.queries.came_back import CameBack, came_back, digests_of
from incentives.recovery.customers import Contact

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwanted:
    """An address, and why nothing may be sent to it; ``source`` is who said so."""

    channel: str
    address: str
    reason: str
    source: str
    at: datetime
    code: str | None = None
    message_id: uuid.UUID | None = None

    def __repr__(self) -> str:
        """Say nothing of the address."""
        return f"Unwanted(channel={self.channel!r}, reason={self.reason!r})"


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A message was not sent, since nothing is sent to its address."""

    reason: str


def suppress(tx: Connection, core: Core, wanted: Iterable[Unwanted], now: datetime) -> int:
    """Put addresses on the list; return how many entries are new or stand for a weightier reason now."""
    named = [(digests_of(core, each.channel, each.address, each.reason), each) for each in wanted]
    # In one order, so that two who put the same addresses on the list cannot wait for each other in a ring.
    ordered = sorted(((digests, each) for digests, each in named if digests), key=lambda both: both[0][0])
    return sum(_suppress_one(tx, core, digests, each, now) for digests, each in ordered)


def _suppress_one(tx: Connection, core: Core, digests: Sequence[str], unwanted: Unwanted, now: datetime) -> bool:
    for _ in range(_TRIES):
        standing = next(iter(suppression.among(tx, unwanted.channel, digests, now)), None)
        if _lifted_since(tx, core, unwanted):
            return False  # it was known when somebody lifted it
        if standing is not None and standing.ends_at is not None and standing.ends_at <= now:
            suppression.lift(tx, standing.id, _lifted(SYSTEM, standing.ends_at, suppression.LAPSED))
            standing = None
        if standing is None:
            added = _add(tx, core, digests[0], unwanted, now)
            if added is not None:
                return not _taken_back_meanwhile(tx, core, unwanted, added, now)
        elif unwanted.reason == standing.reason == suppression.UNSUBSCRIBED:
            return _said_again(tx, core, standing, unwanted, now)
        elif not suppression.outweighs(unwanted.reason, standing.reason):
            return False
        elif suppression.weigh_more(tx, standing, _why(unwanted)):
            _note(tx, core, SYSTEM, now, "suppression.changed", standing.id, unwanted)
            return True
    return False  # others put it there, again and again: it stands


def _lifted_since(tx: Connection, core: Core, unwanted: Unwanted) -> bool:
    every = digests_of(core, unwanted.channel, unwanted.address)
    return suppression.lifted_since(
        tx, unwanted.channel, every, unwanted.at, reason=unwanted.reason, code=unwanted.code
    )


def _taken_back_meanwhile(tx: Connection, core: Core, unwanted: Unwanted, entry_id: uuid.UUID, now: datetime) -> bool:
    """Lift what was put on the list where its owner's later word committed while we did that."""
    if unwanted.reason != suppression.UNSUBSCRIBED or not _lifted_since(tx, core, unwanted):
        return False
    lift(tx, core, SYSTEM, entry_id, suppression.RESUBSCRIBED, now, at=unwanted.at)
    return True


def _said_again(tx: Connection, core: Core, standing: Any, unwanted: Unwanted, now: datetime) -> bool:
    """Keep when somebody said last that they want no more: only a later word takes it back."""
    if suppression.said_again(tx, standing, unwanted.at, unwanted.code):
        _note(tx, core, SYSTEM, now, "suppression.changed", standing.id, unwanted)
        return True
    return False


def want_again(tx: Connection, core: Core, wanted: Iterable[Unwanted], now: datetime) -> int:
    """Take off the list what its owner put there before and takes back; return how many entries are lifted.

    ``wanted`` names what is taken back, and when. The later word wins in whatever order both come: what was said
    before and comes afterwards is held against it by an entry that is lifted already. Nothing else is lifted by it: not
    what was found out of a mailbox, nor a complaint, nor a wish that was said of other messages too.
    """
    named = [(digests_of(core, each.channel, each.address, each.reason), each) for each in wanted]
    ordered = sorted(((digests, each) for digests, each in named if digests), key=lambda both: both[0][0])
    return sum(_want_again(tx, core, digests, each, now) for digests, each in ordered)


def _want_again(tx: Connection, core: Core, digests: Sequence[str], wanted: Unwanted, now: datetime) -> int:
    taken_back = _lifted(SYSTEM, wanted.at, suppression.RESUBSCRIBED)
    for _ in range(_TRIES):
        standing = suppression.among(tx, wanted.channel, digests, now)
        before = [each for each in standing if _takes_back(wanted, each)]
        for each in before:
            lift(tx, core, SYSTEM, each.id, suppression.RESUBSCRIBED, now, at=wanted.at)
        if before:
            return len(before)
        if standing:
            suppression.remember(tx, _entry(core, digests[0], wanted, now) | taken_back)
            return 0
        # It stands for a moment: whoever puts the address on the list just now waits for this, and looks once more.
        entry = _entry(core, digests[0], wanted, now)
        if suppression.add(tx, entry):
            suppression.lift(tx, entry["id"], taken_back)
            return 0
    return 0


def _takes_back(wanted: Unwanted, standing: Any) -> bool:
    return bool(
        standing.reason == suppression.UNSUBSCRIBED and standing.code == wanted.code and standing.since < wanted.at
    )


def _add(tx: Connection, core: Core, digest: str, unwanted: Unwanted, now: datetime) -> uuid.UUID | None:
    row = _entry(core, digest, unwanted, now)
    if not suppression.add(tx, row):
        return None
    _note(tx, core, SYSTEM, now, "suppression.added", row["id"], unwanted)
    return uuid.UUID(str(row["id"]))


def _entry(core: Core, digest: str, unwanted: Unwanted, now: datetime) -> dict[str, Any]:
    return {
        "id": core.ids.new(now),
        "channel": unwanted.channel,
        "digest": digest,
        "hint": suppression.hint(unwanted.channel, unwanted.address),
        **_why(unwanted),
    }


def _why(unwanted: Unwanted) -> dict[str, Any]:
    return {
        "reason": unwanted.reason,
        "source": unwanted.source,
        "code": unwanted.code,
        "message_id": unwanted.message_id,
        "since": unwanted.at,
        "ends_at": suppression.ends_at(unwanted.reason, unwanted.at),
    }


def _note(
    tx: Connection, core: Core, actor: Actor, now: datetime, action: str, entry_id: uuid.UUID, unwanted: Unwanted
) -> None:
    """Tell the audit trail; not even the hint stands there, which would tell of a customer for ever."""
    facts = {"channel": unwanted.channel, "reason": unwanted.reason, "source": unwanted.source, "code": unwanted.code}
    _record(tx, core, actor, now, action, entry_id, None, facts)


def _record(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    entry_id: uuid.UUID,
    reason: str | None,
    facts: Mapping[str, Any],
) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=action,
        subject_kind="suppression",
        subject_id=entry_id,
        reason=reason,
        facts=facts,
    )


def lift(
    tx: Connection,
    core: Core,
    actor: Actor,
    entry_id: uuid.UUID,
    reason: str,
    now: datetime,
    *,
    at: datetime | None = None,
) -> Any:
    """Let an address be sent to again; return the entry, or None when nothing stands by that id.

    ``at`` is when that was said, where it was not now: what was said before then is held against nobody.
    """
    row = suppression.lift(tx, entry_id, _lifted(actor, at or now, reason))
    if row is not None:
        facts = {"channel": row.channel, "reason": row.reason}
        _record(tx, core, actor, now, "suppression.lifted", entry_id, reason, facts)
    return row


def _lifted(actor: Actor, at: datetime, reason: str) -> dict[str, Any]:
    return {"lifted_at": at, "lifted_by": actor.label, "lifted_by_name": actor.name, "lift_reason": reason}


def standing_ids(
    tx: Connection, core: Core, channel: str, address: str, reason: str, now: datetime
) -> Sequence[uuid.UUID]:
    """Return the entries that stand against an address for one reason: one, or while a key changes two."""
    sought = {(channel, digest) for digest in digests_of(core, channel, address, reason)}
    return [row.id for row in suppression.standing(tx, sought, now) if row.reason == reason]


def why_not(tx: Connection, core: Core, letter: AnyLetter, now: datetime) -> Suppressed | None:
    """Return why a letter must not be sent to its address; None where it may.

    A notice is sent to staff all the same who said that they want no more: one click must not keep from them that the
    books do not hold, or that nobody can be written to.
    """
    contact = Contact(email=letter.to) if letter.channel == "email" else Contact(phone=letter.to)
    only = suppression.HOLDS if isinstance(letter, Letter | SurveyLetter) else suppression.UNREACHABLE
    (found,) = came_back(tx, core, [contact], now, sure=True, only=only)
    return Suppressed(found[letter.channel].words) if letter.channel in found else None


def hold_back(tx: Connection, core: Core, drafts: Sequence[Draft], batch: Batch) -> None:
    """Let messages that were laid out be suppressed at once where nothing is sent to their address.

    The incentive is given all the same: what is owed can be handed over, and whoever gives it hears why no message
    goes out.
    """
    fresh = [
        (draft, draft.ground.contact, draft.result)
        for draft in drafts
        if draft.ground and isinstance(draft.result, Issued) and draft.result.deliveries and not draft.result.replayed
    ]
    found = came_back(tx, core, [contact for _, contact, _ in fresh], batch.now)
    for (draft, _, given), stopped in zip(fresh, found, strict=True):
        if stopped:
            draft.result = _held_back(given, stopped, batch.by(draft.actor))


def _held_back(given: Issued, stopped: Mapping[str, CameBack], batch: Batch) -> Issued:
    """Suppress the messages of one gift that are for an address that nothing is sent to; return the answer then."""
    told = {each.id: each for each in given.deliveries}
    for row in batch.messages:
        if row["issuance_id"] != given.id or row["channel"] not in stopped:
            continue
        why = stopped[row["channel"]].words
        row.update(status="suppressed", reason=why, ended_at=batch.now)
        told[row["id"]] = replace(told[row["id"]], status="suppressed", reason=why)
        facts = {"channel": row["channel"], "message_id": str(row["id"]), "attempts": 0}
        batch.note("message.suppressed", given.id, given.case_id, why, facts)
    return replace(given, deliveries=tuple(told.values()))
