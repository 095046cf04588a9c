"""What providers report of messages: every report is kept, and where a message stands follows from all of them.

Reports come late, twice and in any order. So none of them is applied to what the one before has left: the status is
worked out anew from everything that was ever reported, which is the same in whatever order it came.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.database import insert_new
from incentives.messages.outbox import UNCERTAIN
from incentives.messages.port import StatusReport
from incentives.messages.tables import delivery_events, outbox_messages

# Of one copy at one provider the last of these that was reported holds. A mailbox may take a message and send it back
# afterwards; what was opened has arrived, whatever else was said.
_RANKS = {"sent": 1, "delivered": 2, "suppressed": 3, "failed": 4, "bounced": 5, "opened": 6}
# Of several copies (the first seemed to be lost) the one that arrived counts, and what was refused before what is on
# its way yet.
_RANKS_OF_COPIES = {"sent": 1, "suppressed": 2, "failed": 3, "bounced": 4, "delivered": 5, "opened": 6}
_STATUSES = {"opened": "delivered"}
_UNDER_WAY = ("queued", "held", "sending")  # what is so has not been taken by anybody, as far as we know


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a message stands by what was reported of it, which report says so, and whose id it has there."""

    status: str
    at: datetime
    code: str | None
    provider: str
    provider_message_id: str | None


def lock(tx: Connection, reports: Iterable[StatusReport]) -> Sequence[Any]:
    """Return the messages that reports are about, locked in the order of their ids.

    Nobody who looks at what was reported of them can miss what another adds at this moment.
    """
    table = outbox_messages.c
    ids = {each.message_id for each in reports if each.message_id is not None}
    theirs = {each.provider_message_id for each in reports if each.message_id is None and each.provider_message_id}
    named = sa.or_(table.id.in_(sorted(ids, key=str)), table.provider_message_id.in_(sorted(theirs)))
    if not theirs:
        named = table.id.in_(sorted(ids, key=str))
    # Not its key: reports of other tables that refer to it need not wait.
    query = sa.select(outbox_messages).where(named).order_by(table.id).with_for_update(key_share=True)
    return tx.execute(query).all() if ids or theirs else ()


def keep(tx: Connection, core: Core, reports: Sequence[StatusReport], now: datetime) -> list[StatusReport]:
    """Keep reports, but for those that were kept before; return the new ones."""
    by_key = {(each.provider, each.event_key): each for each in reports}
    # Asked first: on SQLite the books' own guard would refuse a row that is there, before the database passes it over.
    known = _known(tx, by_key)
    rows = [_row(core, each, now) for key, each in by_key.items() if key not in known]
    kept = insert_new(tx, delivery_events, ("provider", "event_key"), rows)
    return [by_key[row["provider"], row["event_key"]] for row in rows if row["id"] in kept]


def _known(tx: Connection, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    table = delivery_events.c
    found: set[tuple[str, str]] = set()
    for provider in {provider for provider, _ in keys}:
        named = sorted(key for name, key in keys if name == provider)
        query = sa.select(table.event_key).where(table.provider == provider, table.event_key.in_(named))
        found |= {(provider, key) for key in tx.execute(query).scalars()}
    return found


def _row(core: Core, report: StatusReport, now: datetime) -> dict[str, Any]:
    return {
        "id": core.ids.new(now),
        "provider": report.provider,
        "event_key": report.event_key,
        "message_id": report.message_id,
        "provider_message_id": report.provider_message_id,
        "status": report.status,
        "code": report.code,
        "means": report.means,
        "suppresses": report.suppresses,
        "occurred_at": report.occurred_at,
        "received_at": now,
    }


def standings(tx: Connection, messages: Sequence[Any]) -> dict[uuid.UUID, Standing]:
    """Return where messages stand by all that was ever reported of them; those that nothing was, are left out."""
    ours = {each.id for each in messages}
    by_their_id = {each.provider_message_id: each.id for each in messages if each.provider_message_id}
    table = delivery_events.c
    about = sa.or_(
        table.message_id.in_(sorted(ours, key=str)),
        sa.and_(table.message_id.is_(None), table.provider_message_id.in_(sorted(by_their_id))),
    )
    query = sa.select(delivery_events).where(about, table.means.is_not(None)).order_by(table.occurred_at, table.id)
    reported: dict[uuid.UUID, list[Any]] = {}
    for row in tx.execute(query) if messages else ():
        reported.setdefault(row.message_id or by_their_id[row.provider_message_id], []).append(row)
    return {message_id: standing(rows) for message_id, rows in reported.items()}


def standing(reported: Sequence[Any]) -> Standing:
    """Return where a message stands by what was reported of it, in any order."""
    copies: dict[tuple[str, str], Any] = {}
    for row in reported:
        copy = (row.provider, row.provider_message_id or "")
        copies[copy] = max(copies.get(copy, row), row, key=lambda each: (_RANKS[each.means], *_earlier(each)))
    last = max(copies.values(), key=lambda each: (_RANKS_OF_COPIES[each.means], *_earlier(each)))
    return Standing(
        status=_STATUSES.get(last.means, last.means),
        at=last.occurred_at,
        code=last.code,
        provider=last.provider,
        provider_message_id=last.provider_message_id,
    )


def _earlier(row: Any) -> tuple[float, str]:
    """Return what is greater the earlier something was: of two reports that say the same the first is shown."""
    return -row.occurred_at.timestamp(), row.event_key


def moves(message: Any, to: Standing) -> bool:
    """Return whether a message goes on to where the reports say that it stands.

    What we found out by ourselves (it was given up, nobody needs to hear it any more) is overruled by a report of how
    it ended, for it had been taken after all; not by one that it is on its way.
    """
    return message.status != to.status and (to.status != "sent" or _is_open(message))


def _is_open(message: Any) -> bool:
    """Return whether nobody is known to have taken a message, which says nothing against it."""
    return message.status in _UNDER_WAY or (message.status == "failed" and message.reason == UNCERTAIN)


def write(tx: Connection, message: Any, to: Standing, reason: str | None) -> None:
    """Write where a locked message stands now. Whoever still has it leased has nothing to send or to say any more."""
    values: dict[str, Any] = {"status": to.status, "ended_at": to.at, "reason": reason}
    values |= {"lease_id": None, "lease_until_at": None, "provider": to.provider}
    values["provider_message_id"] = to.provider_message_id or message.provider_message_id
    tx.execute(outbox_messages.update().where(outbox_messages.c.id == message.id).values(**values))


def again(tx: Connection, ids: Collection[uuid.UUID]) -> Sequence[Any]:
    """Return messages as they are after what this transaction wrote."""
    return tx.execute(sa.select(outbox_messages).where(outbox_messages.c.id.in_(sorted(ids, key=str)))).all()


def accepted_late(
    tx: Connection, *, message_id: uuid.UUID, provider: str, provider_message_id: str | None, now: datetime
) -> tuple[bool, Any]:
    """Record that a provider took a message, by whoever lost its lease; return whether it is sent by that, and its row.

    What is final stays what it is, and so does an id that stands there.
    """
    table = outbox_messages.c
    row = tx.execute(sa.select(outbox_messages).where(table.id == message_id).with_for_update(key_share=True)).one()
    values: dict[str, Any] = {}
    if row.provider_message_id is None and provider_message_id is not None:
        values |= {"provider": provider, "provider_message_id": provider_message_id}
    is_news = _is_open(row)
    if is_news:
        values |= {"status": "sent", "ended_at": now, "reason": None, "lease_id": None, "lease_until_at": None}
        values["provider"] = provider
    if values:
        tx.execute(outbox_messages.update().where(table.id == message_id).values(**values))
    return is_news, row
