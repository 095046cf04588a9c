"""Deliver: claim one message (transaction), send it (no transaction), record what became of it (transaction).

The row is the truth. A process that dies in between leaves a lease, which ends; then another sends the message again:
at least once, seldom twice, and never more than three times. A copy is harmless: the same words, the same single-use
code. What one provider may have taken is not handed to another before the first was asked, or its callbacks had their
time; what may have been taken three times is for a person to ask about.
"""

import logging
import traceback
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds import carrying, hearing, suppressing
from incentives.deeds.suppressing import Suppressed, Unwanted
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import StorageUnavailable
from incentives.messages import outbox, providers, reports, tables
from incentives.messages.port import (
    OURS,
    Accepted,
    AnyLetter,
    Captured,
    Informant,
    NotWritten,
    Outcome,
    Sender,
    TryLater,
    Unsure,
    WillNeverWork,
)
from incentives.queries import came_back, letters
from incentives.queries.letters import Waits
from incentives.vouchers import lifecycle

log = logging.getLogger("incentives.deliver")

CHANNELS = tables.CHANNELS
GIVE_UP_AFTER = timedelta(hours=24)
UNSURE_SECONDS = 30.0
"""So long at least after a line broke: the provider's callback may say meanwhile that it has the message."""
_REASON_LENGTH = 300
_SPREAD_STEPS = 1000
_NOT_NEEDED_ABOUT = {
    "issuance": "The voucher is no longer good, or there is no address to tell of it at.",
    "case": "It was taken back, or is for somebody who may not sign in any more, or has no address.",
}
_KEPT = "The provider that was asked first may have it; the other one is not asked yet."
_TOO_LATE = "It was not handed over in time; it is written anew."
_SENT_ENOUGH = "No answer came when it was sent; whether it arrived is still waited for."
_ASKED_MOST = 2
"""A channel has so many providers at the most, and each is asked whether it has what may have been taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of one message."""

    message_id: uuid.UUID
    status: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """The message is not sent now, for another provider may have it."""

    until_at: datetime
    reason: str = _KEPT


@dataclass(frozen=True, slots=True)
class _Uncertain:
    """The message was sent as often as it may be, and nobody says whether it was taken."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of a message, and by whom. ``sent`` is whether that one was asked to take it, and this is its doing.

    ``refuted`` is whether every provider said that it had taken none of the tries before.
    """

    outcome: Outcome | Waits | Suppressed | _Kept | _Uncertain | None
    sender: Sender | None = None
    sent: bool = False
    refuted: bool = False
    to: str = field(default="", repr=False)


def deliver_next(*, core: Core, channel: str | None = None) -> Delivered | None:
    """Send the message of a channel (None: of any) that has waited longest; None when nothing is due.

    The lease outlasts the sender's time-out, so that no second process sends while this one still may.
    """
    lease_id = core.ids.new(core.clock.now())
    claim = _claim(core, lease_id, channel)
    return None if claim is None else _record(core, claim, lease_id, _send(core, claim.message))


def _claim(core: Core, lease_id: uuid.UUID, channel: str | None) -> carrying.Claim | None:
    now, timeout_seconds = core.clock.now(), core.settings.provider_timeout_seconds
    with core.database.write() as tx:
        routes = carrying.routes(tx, core, CHANNELS if channel is None else (channel,), now)
        message = routes.carriers and outbox.claim_next(
            tx,
            lease_id=lease_id,
            now=now,
            lease_seconds=timeout_seconds + outbox.LEASE_MARGIN_SECONDS,
            asking_seconds=_ASKED_MOST * timeout_seconds,
            carriers=routes.carriers,
        )
        return carrying.claimed(tx, routes, message or None, now)


def _send(core: Core, message: Any) -> _Tried:
    """Write the letter and send it. There is no outcome where it need not be told any more.

    A message that cannot be written must not hold up those behind it: it is tried again like any other, and given
    up in the end with a reason that people see.
    """
    enough = _sent_enough(core, message)
    if enough is not None:
        return enough
    sender: Sender | None = None
    try:
        with core.database.read() as tx:
            letter = letters.compose(tx, core, message, core.clock.now())
            unwanted = _unwanted(tx, core, letter)
        if letter is None or isinstance(letter, Waits):
            return _Tried(letter)
        if unwanted is not None:
            return _Tried(unwanted)
        sender = _carrier(core, message.channel, message.provider)
        return _hand_over(core, message, letter, sender)
    except StorageUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this one message
        reason = f"It could not be written or handed over ({_met(message, error)})."
        return _Tried(TryLater(reason, None, OURS), sender)


def _met(message: Any, error: Exception) -> str:
    """Log a bug that a message met, and return its name: where, but not what, for its text may hold a code."""
    cause = error.__cause__ if isinstance(error, NotWritten) else None
    bug = cause if cause is not None else error
    where = "".join(traceback.format_tb(bug.__traceback__))
    log.error("message %s met a bug, %s:\n%s", message.id, type(bug).__name__, where)
    return type(bug).__name__


def _sent_by(sender: Sender, message: Any, letter: AnyLetter) -> tuple[Outcome, bool]:
    """Send a letter; return what came of it, and whether that is the provider's doing.

    Where a bug of ours ends it, the provider may have the letter by then: it counts as any answer that was lost.
    """
    try:
        return sender.send(letter), True
    except NotWritten:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the letter may be under way
        return Unsure(f"It met a bug of ours while it was handed over ({_met(message, error)})."), False


def _unwanted(tx: Connection, core: Core, letter: AnyLetter | Waits | None) -> Suppressed | None:
    """Return why nothing is sent to a letter's address: what was not known yet, or not asked, when it was promised."""
    if letter is None or isinstance(letter, Waits):
        return None
    return suppressing.why_not(tx, core, letter, core.clock.now())


def _carrier(core: Core, channel: str, provider: str) -> Sender:
    sender: Sender = next(each for each in core.carriers(channel) if each.provider == provider)
    return sender


def _sent_enough(core: Core, message: Any) -> _Tried | None:
    """Return what becomes of a message that may have been taken as often as it may be; None where it may go on.

    It is kept for as long as callbacks take, and then asked about once. Whoever asks may die of the very message: the
    next one ends it without a look at it.
    """
    if message.unsure_tries < outbox.UNSURE_MOST:
        return None
    if message.unsure_tries > outbox.UNSURE_MOST:
        return _Tried(_Uncertain())
    until_at = message.unsure_since_at + providers.HOLD
    return _Tried(_Kept(until_at, _SENT_ENOUGH)) if core.clock.now() < until_at else None


def _hand_over(core: Core, message: Any, letter: AnyLetter, sender: Sender) -> _Tried:
    """Send a letter, unless it is known to have been taken, or may have been by somebody whose word is waited for.

    The same provider is asked again where it cannot tell, for it may know a copy; another one only after a while.
    """
    refuted = False
    if message.unsure_of is not None:
        taken, without = _asked_about(core, message, letter)
        if taken is not None:
            return taken
        refuted = without >= {each.provider for each in core.carriers(message.channel)}
        if message.unsure_tries >= outbox.UNSURE_MOST and not refuted:
            return _Tried(_Uncertain())
        until_at = message.unsure_since_at + providers.HOLD
        if message.unsure_of not in {sender.provider, *without} and core.clock.now() < until_at:
            return _Tried(_Kept(until_at))
    now = core.clock.now()
    if now + timedelta(seconds=core.settings.provider_timeout_seconds) > message.lease_until_at:
        return _Tried(_Kept(now, _TOO_LATE))  # Whoever stood still may be about to send what is no more so.
    outcome, answered = _sent_by(sender, message, letter)
    return _Tried(
        outcome,
        sender,
        sent=answered,
        refuted=refuted and message.unsure_tries >= outbox.UNSURE_MOST,
        to=letter.to,
    )


def _asked_about(core: Core, message: Any, letter: AnyLetter) -> tuple[_Tried | None, set[str]]:
    """Return whether one of the channel's providers has a message, and which of them say that they do not.

    Each is asked: more than one may have it. What they took for another message, a copy that staff asked for or the
    one before it, is not this one.
    """
    without: set[str] = set()
    for each in core.carriers(message.channel):
        ids = each.look_for(letter, message.created_at) if isinstance(each, Informant) else None
        if ids is None:
            continue
        with core.database.read() as tx:
            others = outbox.others(tx, message.id, ids)
        found = next((one for one in ids if one not in others), None)
        if found is not None:
            return _Tried(Accepted(found), each), without
        without.add(each.provider)
    return None, without


def _record(core: Core, claim: carrying.Claim, lease_id: uuid.UUID, tried: _Tried) -> Delivered:
    now = core.clock.now()
    message = claim.message
    subject_kind, subject_id = _about(message)
    with core.database.write() as tx:
        tried = replace(tried, outcome=providers.judged(tx, message, tried.outcome))
        values, named = _became(tx, core, message, tried, now)
        outbox.attempt(
            tx,
            id=core.ids.new(now),
            message_id=message.id,
            number=message.attempts,
            provider=_whom(message, tried),
            started_at=claim.at,
            ended_at=now,
            outcome=named,
            reason=values.get("reason"),
        )
        ended = outbox.end(tx, message_id=message.id, lease_id=lease_id, **values)
        # An outcome that comes after its lease has ended is still written down as an attempt, and decides nothing but
        # that a message was taken.
        if not ended and isinstance(tried.outcome, Accepted):
            ended = _taken_late(tx, message, tried, now)
        if ended and values["status"] != "queued":
            audit.record(
                tx,
                core=core,
                actor=SYSTEM,
                now=now,
                action=f"message.{values['status']}",
                subject_kind=subject_kind,
                subject_id=subject_id,
                case_id=message.case_id,
                reason=values.get("reason"),
                facts={"channel": message.channel, "message_id": str(message.id), "attempts": message.attempts},
            )
        _follow(tx, core, message, tried, now)
        if tried.sent:
            carrying.learn(tx, core, claim, tried.outcome, now)
    if isinstance(tried.outcome, WillNeverWork):
        came_back.forget(core)
    return Delivered(message_id=message.id, status=values["status"])


def _whom(message: Any, tried: _Tried) -> str:
    """Return whom an attempt names: who was asked, or would have been had it not met a bug of ours."""
    if tried.sender is not None:
        return tried.sender.provider
    return (message.provider or "nobody-yet") if isinstance(tried.outcome, TryLater) else outbox.NOBODY


def _follow(tx: Connection, core: Core, message: Any, tried: _Tried, now: datetime) -> None:
    """Do what follows: what is refused for the address is not sent there again, and what is taken may be there by now.

    A provider may have reported of it before we knew its id; where it was given our own, it was heard at once.
    """
    if isinstance(tried.outcome, Accepted) and tried.outcome.provider_message_id:
        hearing.go_on(tx, core, reports.again(tx, [message.id]), now)
    elif isinstance(tried.outcome, WillNeverWork) and tried.outcome.suppresses and tried.sender:
        unwanted = Unwanted(
            channel=message.channel,
            address=tried.to,
            reason=tried.outcome.suppresses,
            source=tried.sender.provider,
            at=now,
            message_id=message.id,
        )
        suppressing.suppress(tx, core, [unwanted], now)


def _taken_late(tx: Connection, message: Any, tried: _Tried, now: datetime) -> bool:
    """Return whether a message that nobody knew to be taken is sent by that."""
    assert isinstance(tried.outcome, Accepted) and tried.sender is not None  # noqa: S101, PT018 - its caller looked
    taken, _ = reports.accepted_late(
        tx,
        message_id=message.id,
        provider=tried.sender.provider,
        provider_message_id=tried.outcome.provider_message_id,
        now=now,
    )
    return taken


def _about(message: Any) -> tuple[str, uuid.UUID]:
    """Return what a message tells of: an issuance, a case, or what a notice to staff is about."""
    if message.issuance_id is not None:
        return "issuance", message.issuance_id
    return ("case", message.case_id) if message.case_id is not None else (message.about, message.about_id)


def _became(tx: Connection, core: Core, message: Any, tried: _Tried, now: datetime) -> tuple[dict[str, Any], str]:
    """Return the message's new values and the attempt's outcome."""
    outcome, provider = tried.outcome, tried.sender.provider if tried.sender else None
    if isinstance(outcome, Waits):
        return _waits(tx, message, now), "try-later"
    if isinstance(outcome, _Kept):
        return {"status": "queued", "available_at": outcome.until_at, "reason": outcome.reason}, "try-later"
    if isinstance(outcome, TryLater | Unsure):
        return _later(tx, core, message, tried, outcome, now), "try-later"
    if isinstance(outcome, Suppressed | _Uncertain | None):
        return {"ended_at": now, **_not_sent(message, outcome)}, "withdrawn"
    values, named = _ended(outcome)
    return {"ended_at": now, "provider": provider, "unsure_of": None, "unsure_since_at": None, **values}, named


def _not_sent(message: Any, outcome: Suppressed | _Uncertain | None) -> dict[str, Any]:
    if isinstance(outcome, Suppressed):
        return {"status": "suppressed", "reason": outcome.reason}
    if isinstance(outcome, _Uncertain):
        return {"status": "failed", "reason": outbox.UNCERTAIN}
    return {"status": "withdrawn", "reason": _NOT_NEEDED_ABOUT["issuance" if message.issuance_id else "case"]}


def _ended(outcome: Accepted | Captured | WillNeverWork) -> tuple[dict[str, Any], str]:
    if isinstance(outcome, Accepted):
        return {"status": "sent", "provider_message_id": outcome.provider_message_id}, "accepted"
    if isinstance(outcome, Captured):
        return {"status": "captured"}, "captured"
    return {"status": "failed", "reason": outcome.reason[:_REASON_LENGTH]}, "will-never-work"


def _waits(tx: Connection, message: Any, now: datetime) -> dict[str, Any]:
    """Return how a message waits for its voucher, which is locked: whoever unfreezes it finds what is held."""
    waits = letters.waits(lifecycle.lock(tx, message.voucher_id), now)
    if waits is None:
        return {"status": "queued", "available_at": now, "reason": None}
    if waits.until_at is None:
        return {"status": "held", "reason": waits.reason}
    return {"status": "queued", "available_at": waits.until_at, "reason": waits.reason}


def _later(
    tx: Connection, core: Core, message: Any, tried: _Tried, outcome: TryLater | Unsure, now: datetime
) -> dict[str, Any]:
    provider, unsure = tried.sender.provider if tried.sender else None, isinstance(outcome, Unsure)
    unsure_tries = (0 if tried.refuted else message.unsure_tries) + unsure
    said = {"provider": provider, "reason": outcome.reason[:_REASON_LENGTH], "unsure_tries": unsure_tries}
    said |= {"unsure_of": provider, "unsure_since_at": now} if unsure else {}
    # From its first try on: what was to be told later, or waited for its voucher, has its day too.
    given_up_at = (outbox.first_tried_at(tx, message.id) or now) + GIVE_UP_AFTER
    if now >= given_up_at:
        return {"status": "failed", "ended_at": now, **said, **({"reason": outbox.UNCERTAIN} if unsure_tries else {})}
    spread = (message.id.int + message.attempts * 7919) % _SPREAD_STEPS / _SPREAD_STEPS
    # The last try comes when the time is up, so that people hear of it then and not a long pause later.
    names = [each.provider for each in core.carriers(message.channel)]
    asked = UNSURE_SECONDS if isinstance(outcome, Unsure) else providers.asked_seconds(tx, outcome, provider, names)
    available_at = outbox.retry_at(now, message.attempts, asked, spread, given_up_at)
    return {"status": "queued", "available_at": available_at, **said}
