"""Salvage: what was promised to be told and has no message, or one that nobody could ever claim, is found and mended.

A message commits with its voucher, and a lease ends by itself. So nothing is found, unless a program was wrong, a part
of a database was restored, or somebody changed rows by hand: then a customer who was promised something hears nothing,
and nobody knows. The voucher is locked while it is mended, and looked at again: what was taken back, used or told of
meanwhile is let be. Should two mend the same at once, the outbox takes one message for each voucher and channel.

Vouchers are looked at once, some minutes after they were made, a few thousand at a time by their ids; once a day, and
when a worker starts, those of a week are looked at again.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds import wording
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import StorageUnavailable
from incentives.messages import outbox
from incentives.queries import stranded
from incentives.recovery.customers import Contact
from incentives.vouchers import finding, lifecycle

SETTLED = timedelta(minutes=5)
"""So old a voucher must be: whoever made it has committed all of it by then, or nothing."""
WINDOW = timedelta(days=7)
WHOLE_EVERY = timedelta(hours=24)
LATE = timedelta(hours=24)
"""So long after its day a message goes out by itself; later a person says whether it still should."""
LEASE_LONGEST = timedelta(hours=1)
"""No lease is so long: one that is was written by a clock that was wrong, or by hand."""
MOST = 5000
_FREED_MOST = 500
_PLACE = "salvage.place"  # in the core's cache: how far this process has looked

TOO_LATE = "It was never laid out to be sent, and found too late to go out by itself: send it again, or hand it over."
NO_ADDRESS = "It was never laid out to be sent, and there is no address for it: hand the voucher over."
NOBODY = "It was never laid out to be sent, and nobody is left to tell."

log = logging.getLogger("incentives.salvage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What one sweep mended; ``more`` is whether there are older vouchers to be looked at."""

    queued: int = 0
    failed: int = 0
    withdrawn: int = 0
    freed: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """From which voucher on nothing was looked at yet, and when looking at all of the window last began."""

    after: uuid.UUID
    whole_at: datetime


def salvage_due(*, core: Core) -> Salvaged:
    """Look at the next vouchers, and at the messages in hand; mend what is stranded, and tell the audit trail."""
    now = core.clock.now()
    place, end = _place(core, now), _first_id(now - SETTLED)
    with core.database.read() as tx:
        upto = stranded.part_ends_at(tx, place.after, end, MOST)
        untold = stranded.untold(tx, place.after, end, MOST, now)
    became = Counter(status for voucher_id in untold for status in _mend(core, voucher_id))
    became["freed"] = _free(core)
    if became.total():
        log.error("messages were stranded: %s", dict(became))
    core.cache[_PLACE] = _Place(upto or max(place.after, end), place.whole_at)
    return Salvaged(**{name: became[name] for name in _COUNTED}, more=upto is not None)


_COUNTED = ("queued", "failed", "withdrawn", "freed")


def _place(core: Core, now: datetime) -> _Place:
    place: _Place | None = core.cache.get(_PLACE)
    if place is None or not timedelta() <= now - place.whole_at < WHOLE_EVERY:
        return _Place(_first_id(now - WINDOW), now)
    return place


def _first_id(at: datetime) -> uuid.UUID:
    """Return the least id that could have been made at an instant."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def _mend(core: Core, voucher_id: uuid.UUID) -> list[str]:
    """Lay out what is missing of one voucher; return what became of that. One that cannot be holds up no other."""
    now = core.clock.now()
    try:
        with core.database.write() as tx:
            lifecycle.lock(tx, voucher_id)
            row = finding.found(tx, voucher_id)  # as it is now that nobody else can change it
            missing = _missing(tx, core, row, now)
            new = outbox.lay_out(tx, missing)
            laid_out = [message for message in missing if message["id"] in new]
            for message in laid_out:
                _note(tx, core, now, message | {"case_id": row.case_id})
    except StorageUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this one voucher
        log.error("voucher %s is stranded, and cannot be mended: %s", voucher_id, type(error).__name__)  # noqa: TRY400
        return []
    return [message["status"] for message in laid_out]


def _missing(tx: Connection, core: Core, row: Any, now: datetime) -> list[dict[str, Any]]:
    """Return the messages that a locked voucher wants and has not."""
    if lifecycle.status_now(row, now) not in ("issued", "reserved") or row.redeemed_count or row.shown_to:
        return []
    told = {each.channel for each in outbox.about_voucher(tx, row.issuance_id, row.id)}
    if told and row.number > 1:
        return []
    contact = Contact.from_text(core.contacts.decrypt(row.contact))
    return [_message(core, row, channel, contact, now) for channel in row.channels if channel not in told]


def _message(core: Core, row: Any, channel: str, contact: Contact, now: datetime) -> dict[str, Any]:
    due_at = wording.not_before(row)
    message = outbox.message(
        core=core,
        now=now,
        issuance_id=row.issuance_id,
        voucher_id=row.id,
        channel=channel,
        template="voucher",
        available_at=due_at,
    )
    status, reason = _outcome(row, channel, contact, max(each for each in (row.issued_at, due_at) if each), now)
    return message | {"status": status, "reason": reason, "ended_at": None if status == "queued" else now}


def _outcome(row: Any, channel: str, contact: Contact, due_at: datetime, now: datetime) -> tuple[str, str | None]:
    """Return what is to become of a message that was missing, and why."""
    if row.contact is None or contact == Contact():
        return "withdrawn", NOBODY
    if not (contact.email if channel == "email" else contact.phone):
        return "failed", NO_ADDRESS
    return ("queued", None) if now - due_at <= LATE else ("failed", TOO_LATE)


def _free(core: Core) -> int:
    """Let messages be claimed again whose lease would never end; each may have been sent, and counts so."""
    now = core.clock.now()
    with core.database.write() as tx:
        freed = outbox.free_stuck(tx, now=now, longest=LEASE_LONGEST, most=_FREED_MOST)
        for message in freed:
            _note(tx, core, now, {**message, "status": "freed", "reason": None})
    return len(freed)


def _note(tx: Connection, core: Core, now: datetime, message: Mapping[str, Any]) -> None:
    """Tell the audit trail, by which the health check and the page know of it too."""
    about = {name: str(message[name]) for name in ("issuance_id", "voucher_id") if message[name]}
    audit.record(
        tx,
        core=core,
        actor=SYSTEM,
        now=now,
        action="message.salvaged" if message["status"] != "freed" else "message.freed",
        subject_kind=stranded.SUBJECT_KIND,
        subject_id=stranded.SUBJECT_ID,
        case_id=message["case_id"],
        reason=message["reason"],
        facts={
            "channel": message["channel"],
            "status": message["status"],
            "message_id": str(message["id"]),
            **about,
        },
    )
