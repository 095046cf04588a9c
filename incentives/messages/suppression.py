"""The addresses that nothing is sent to, and why. Of an address only its keyed digest is kept, and a hint."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.database import insert_new
from incentives.messages.tables import suppressions

# The longer a reason holds, the further back it stands; one that holds longer takes the place of another. Mailboxes
# are mended and numbers are given to somebody else, so that it is tried again some day; who said that they want no
# more is heard until they, or a person with them, say otherwise.
HOLDS: Mapping[str, timedelta | None] = {
    "blocked": timedelta(days=7),
    "invalid": timedelta(days=90),
    "bounced": timedelta(days=90),
    "complained": None,
    "unsubscribed": None,
}
UNSUBSCRIBED = "unsubscribed"
WISHES = frozenset({"complained", UNSUBSCRIBED})
"""What somebody said. The others were found out: of one mailbox or number, whoever has it."""

UNREACHABLE = frozenset({"invalid", "bounced"})
"""Where nobody would hear anything. What staff must know of is sent to them in spite of all other reasons."""

_WEIGHT = {reason: weight for weight, reason in enumerate(HOLDS)}
_STANDS = "lifted_at IS NULL"
LAPSED = "Its time is over."
TWICE = "It stood there twice, under two keys."
RESUBSCRIBED = "The customer asked for these messages again."
"""Lifted at the instant at which they said so: what they had said before then holds no more, whenever it comes."""
_BY_ITSELF = (LAPSED, TWICE, RESUBSCRIBED)


def ends_at(reason: str, since: datetime) -> datetime | None:
    """Return until when a reason holds; None: until it is lifted."""
    days = HOLDS[reason]
    return since + days if days else None


def weight(reason: str) -> int:
    """Return how much a reason weighs beside others."""
    return _WEIGHT[reason]


def outweighs(reason: str, other: str) -> bool:
    """Return whether a reason takes the place of another."""
    return _WEIGHT[reason] > _WEIGHT[other]


def hint(channel: str, address: str) -> str:
    """Return by what people know an address again, without telling it: ``a…@example.com``, ``…0018``."""
    if channel == "sms":
        return f"…{address[-4:]}"
    local, _, host = address.rpartition("@")
    return f"{local[:1]}…@{host}"[:80]


def standing(tx: Connection, digests: Collection[tuple[str, str]], now: datetime) -> Sequence[Any]:
    """Return what stands against addresses now, given as (channel, digest)."""
    if not digests:
        return ()
    table = suppressions.c
    holds = sa.and_(table.lifted_at.is_(None), sa.or_(table.ends_at.is_(None), table.ends_at > now))
    query = sa.select(suppressions).where(table.digest.in_(sorted({digest for _, digest in digests})), holds)
    return [row for row in tx.execute(query) if (row.channel, row.digest) in digests]


def among(tx: Connection, channel: str, digests: Collection[str], now: datetime) -> Sequence[Any]:
    """Return the entries of an address that were not lifted, locked; the weightiest first, and last whose time is over.

    While a key changes one address can have two, one under each.
    """
    table = suppressions.c
    stands = (table.channel == channel, table.digest.in_(sorted(digests)), table.lifted_at.is_(None))
    found = tx.execute(sa.select(suppressions).where(*stands).order_by(table.id).with_for_update()).all()
    return sorted(found, key=lambda row: _rank(row, now), reverse=True)


def _rank(row: Any, now: datetime) -> tuple[bool, int, datetime]:
    return row.ends_at is None or row.ends_at > now, _WEIGHT[row.reason], row.since


def lifted_since(
    tx: Connection, channel: str, digests: Collection[str], at: datetime, *, reason: str, code: str | None
) -> bool:
    """Return whether somebody let an address be sent to again after an instant, whatever stood against it.

    What its owner took back by asking for the same messages again (the ``code`` says for which) is that alone.
    """
    table = suppressions.c
    lifted = (table.channel == channel, table.digest.in_(sorted(digests)), table.lifted_at > at)
    by_somebody: sa.ColumnElement[bool] = table.lift_reason.not_in(_BY_ITSELF)
    if reason == UNSUBSCRIBED and code is not None:
        by_somebody = sa.or_(by_somebody, sa.and_(table.lift_reason == RESUBSCRIBED, table.code == code))
    return tx.execute(sa.select(table.id).where(*lifted, by_somebody).limit(1)).first() is not None


def said_again(tx: Connection, row: Any, at: datetime, code: str | None) -> bool:
    """Let a standing wish not to be written to be as late as it was last said; False when it was said later before.

    One that was said of several groups of messages is of no group alone any more; SMS know no groups.
    """
    of_one = row.code == code or row.channel == "sms"
    values = {"since": max(at, row.since), "code": row.code if of_one else None}
    if values == {"since": row.since, "code": row.code}:
        return False
    table = suppressions.c
    same = (table.id == row.id, table.lifted_at.is_(None), table.reason == row.reason)
    return tx.execute(suppressions.update().where(*same).values(**values)).rowcount == 1


def add(tx: Connection, row: Mapping[str, Any]) -> bool:
    """Let nothing be sent to an address; False when something stands against it already."""
    return bool(insert_new(tx, suppressions, ("channel", "digest"), [row], where=_STANDS))


def remember(tx: Connection, row: Mapping[str, Any]) -> None:
    """Write an entry that was lifted before it stood: what comes late is held against it."""
    tx.execute(suppressions.insert().values(**row))


def weigh_more(tx: Connection, row: Any, values: Mapping[str, Any]) -> bool:
    """Let a standing entry stand for another reason; False when it has changed meanwhile."""
    table = suppressions.c
    same = (table.id == row.id, table.lifted_at.is_(None), table.reason == row.reason)
    return tx.execute(suppressions.update().where(*same).values(**values)).rowcount == 1


def lift(tx: Connection, suppression_id: uuid.UUID, values: Mapping[str, Any]) -> Any:
    """Let an address be sent to again; return the entry, or None when nothing stands by that id."""
    table = suppressions.c
    stands = (table.id == suppression_id, table.lifted_at.is_(None))
    return tx.execute(suppressions.update().where(*stands).values(**values).returning(*table)).one_or_none()


def respell(tx: Connection, respelled: Mapping[str, str], ended: Mapping[str, Any]) -> int:
    """Let entries stand under other digests of their addresses; return how many.

    Of one that stands twice the weightier one stays: what is found out of a number ends, and its owner's STOP does not.
    """
    table = suppressions.c
    found = tx.execute(sa.select(suppressions).where(table.digest.in_(sorted(respelled))).order_by(table.id)).all()
    for row in found:
        new = respelled[row.digest]
        if row.lifted_at is None:
            for twin in among(tx, row.channel, (row.digest, new), ended["lifted_at"])[1:]:
                lift(tx, twin.id, ended)
        tx.execute(suppressions.update().where(table.id == row.id).values(digest=new))
    return len(found)
