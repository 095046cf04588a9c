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
_WEIGHT = {reason: weight for weight, reason in enumerate(HOLDS)}
_STANDS = "lifted_at IS NULL"
LAPSED = "Its time is over."


def ends_at(reason: str, since: datetime) -> datetime | None:
    """Return until when a reason holds; None: until it is lifted."""
    days = HOLDS[reason]
    return since + days if days else None


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


def history(tx: Connection, channel: str, digests: Collection[str]) -> Sequence[Any]:
    """Return all entries that an address ever had, the standing one locked."""
    table = suppressions.c
    query = sa.select(suppressions).where(table.channel == channel, table.digest.in_(sorted(digests)))
    return tx.execute(query.order_by(table.id).with_for_update()).all()


def add(tx: Connection, row: Mapping[str, Any]) -> bool:
    """Let nothing be sent to an address; False when something stands against it already."""
    return bool(insert_new(tx, suppressions, ("channel", "digest"), [row], where=_STANDS))


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
    """Let entries stand under other digests of their addresses; return how many. One that stands twice ends once."""
    table = suppressions.c
    found = tx.execute(sa.select(suppressions).where(table.digest.in_(sorted(respelled))).order_by(table.id)).all()
    for row in found:
        new = respelled[row.digest]
        twin = sa.select(table.id).where(table.channel == row.channel, table.digest == new, table.lifted_at.is_(None))
        if row.lifted_at is None and tx.execute(twin).first() is not None:
            lift(tx, row.id, ended)
        tx.execute(suppressions.update().where(table.id == row.id).values(digest=new))
    return len(found)
