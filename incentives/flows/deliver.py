"""Deliver: claim one message (transaction), send it (no transaction), record what became of it (transaction).

The row is the truth. A process that dies in between leaves a lease, which ends; then another sends the message again:
at least once, and seldom twice. A copy is harmless: the same words, the same single-use code.
"""

import logging
import traceback
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import StorageUnavailable
from incentives.messages import outbox, tables
from incentives.messages.port import Accepted, Captured, Outcome, Sender, TryLater, WillNeverWork
from incentives.queries import letters
from incentives.queries.letters import Waits
from incentives.vouchers import lifecycle

log = logging.getLogger("incentives.deliver")

CHANNELS = tables.CHANNELS
GIVE_UP_AFTER = timedelta(hours=24)
_REASON_LENGTH = 300
_SPREAD_STEPS = 1000
_NOT_NEEDED_ABOUT = {
    "issuance": "The voucher is no longer good.",
    "case": "It was taken back, or is for somebody who may not sign in any more.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of one message."""

    message_id: uuid.UUID
    status: str


def deliver_next(*, core: Core, channel: str | None = None) -> Delivered | None:
    """Send the message of a channel (None: of any) that has waited longest; None when nothing is due.

    The lease outlasts the sender's time-out, so that no second process sends while this one still may.
    """
    lease_id = core.ids.new(core.clock.now())
    message = _claim(core, lease_id, channel)
    if message is None:
        return None
    sender, outcome = _send(core, message)
    return _record(core, message, lease_id, sender, outcome)


def _claim(core: Core, lease_id: uuid.UUID, channel: str | None) -> Any:
    now = core.clock.now()
    lease_seconds = core.settings.provider_timeout_seconds + outbox.LEASE_MARGIN_SECONDS
    with core.database.write() as tx:
        return outbox.claim_next(tx, lease_id=lease_id, now=now, lease_seconds=lease_seconds, channel=channel)


def _send(core: Core, message: Any) -> tuple[Sender | None, Outcome | Waits | None]:
    """Write the letter and send it. There is no outcome where it need not be told any more.

    A message that cannot be written must not hold up those behind it: it is tried again like any other, and given
    up in the end with a reason that people see.
    """
    sender: Sender | None = None
    try:
        with core.database.read() as tx:
            letter = letters.compose(tx, core, message, core.clock.now())
        if letter is None or isinstance(letter, Waits):
            return None, letter
        sender = core.senders[message.channel]
        return sender, sender.send(letter)
    except StorageUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this one message
        # Where, but not what: the text of an error may hold an address or a code.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("message %s met a bug, %s:\n%s", message.id, type(error).__name__, where)  # noqa: TRY400 - the same
        return sender, TryLater(f"It could not be written or handed over ({type(error).__name__}).", None)


def _record(
    core: Core, message: Any, lease_id: uuid.UUID, sender: Sender | None, outcome: Outcome | Waits | None
) -> Delivered:
    now = core.clock.now()
    subject_kind, subject_id = _about(message)
    with core.database.write() as tx:
        values, named = _became(tx, message, sender, outcome, now)
        outbox.attempt(
            tx,
            id=core.ids.new(now),
            message_id=message.id,
            number=message.attempts,
            provider=sender.provider if sender else "none",
            started_at=message.lease_until_at
            - timedelta(seconds=core.settings.provider_timeout_seconds + outbox.LEASE_MARGIN_SECONDS),
            ended_at=now,
            outcome=named,
            reason=values.get("reason"),
        )
        # An outcome that comes after its lease has ended is still written down as an attempt, but decides nothing.
        if outbox.end(tx, message_id=message.id, lease_id=lease_id, **values) and values["status"] != "queued":
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
    return Delivered(message_id=message.id, status=values["status"])


def _about(message: Any) -> tuple[str, uuid.UUID]:
    """Return what a message tells of: an issuance, a case, or what a notice to staff is about."""
    if message.issuance_id is not None:
        return "issuance", message.issuance_id
    return ("case", message.case_id) if message.case_id is not None else (message.about, message.about_id)


def _became(
    tx: Connection, message: Any, sender: Sender | None, outcome: Outcome | Waits | None, now: datetime
) -> tuple[dict[str, Any], str]:
    """Return the message's new values and the attempt's outcome."""
    provider = sender.provider if sender else None
    if isinstance(outcome, Waits):
        return _waits(tx, message, now), "try-later"
    if isinstance(outcome, Accepted):
        return {
            "status": "sent",
            "ended_at": now,
            "provider": provider,
            "provider_message_id": outcome.provider_message_id,
        }, "accepted"
    if isinstance(outcome, Captured):
        return {"status": "captured", "ended_at": now, "provider": provider}, "captured"
    if isinstance(outcome, WillNeverWork):
        reason = outcome.reason[:_REASON_LENGTH]
        return {"status": "failed", "ended_at": now, "provider": provider, "reason": reason}, "will-never-work"
    if isinstance(outcome, TryLater):
        return _later(tx, message, outcome, provider, now), "try-later"
    reason = _NOT_NEEDED_ABOUT["issuance" if message.issuance_id else "case"]
    return {"status": "withdrawn", "ended_at": now, "reason": reason}, "withdrawn"


def _waits(tx: Connection, message: Any, now: datetime) -> dict[str, Any]:
    """Return how a message waits for its voucher, which is locked: whoever unfreezes it finds what is held."""
    waits = letters.waits(lifecycle.lock(tx, message.voucher_id), now)
    if waits is None:
        return {"status": "queued", "available_at": now, "reason": None}
    if waits.until_at is None:
        return {"status": "held", "reason": waits.reason}
    return {"status": "queued", "available_at": waits.until_at, "reason": waits.reason}


def _later(tx: Connection, message: Any, outcome: TryLater, provider: str | None, now: datetime) -> dict[str, Any]:
    reason = outcome.reason[:_REASON_LENGTH]
    # From its first try on: what was to be told later, or waited for its voucher, has its day too.
    given_up_at = (outbox.first_tried_at(tx, message.id) or now) + GIVE_UP_AFTER
    if now >= given_up_at:
        return {"status": "failed", "ended_at": now, "provider": provider, "reason": reason}
    spread = (message.id.int + message.attempts * 7919) % _SPREAD_STEPS / _SPREAD_STEPS
    # The last try comes when the time is up, so that people hear of it then and not a long pause later.
    available_at = outbox.retry_at(now, message.attempts, outcome.after_seconds, spread, given_up_at)
    return {"status": "queued", "available_at": available_at, "provider": provider, "reason": reason}
