"""What a contact was promised of late: for when messages about vouchers were promised to one address or number.

It stands on the row of the identity, by which any spelling of an address is the same one. Whoever promises one more
locks that row, reads what stands there, and writes it with whatever else the transaction writes. So no two who promise
at the same moment miss each other, what is rolled back was never counted, and nothing is read but that one row.

A message counts for the instant from which it may be sent, and for whatever becomes of it: within any 24 hours there
are no more than the cap. What is told later counts then, or a month of gifts for one day would all arrive on it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.many import Into, among, update_many
from incentives.recovery.tables import customer_identities

WINDOW_HOURS = 24
_WINDOW_MS = WINDOW_HOURS * 3_600_000


def stamp(at: datetime) -> int:
    """Return an instant in milliseconds since 1970."""
    return int(at.timestamp() * 1000)


def recent(stamps: Sequence[int], now_ms: int) -> list[int]:
    """Return what of some stamps still counts for what is promised from now on."""
    return [each for each in stamps if each > now_ms - _WINDOW_MS]


def free_from(stamps: Sequence[int], due_ms: int, most: int) -> int:
    """Return from when on one more message may be sent beside others, not before it is due: then, or later."""
    if len(stamps) < most:
        return due_ms
    ends = sorted(each + _WINDOW_MS for each in stamps if each + _WINDOW_MS > due_ms)
    return next(at for at in (due_ms, *ends) if _fits(stamps, at, most))


def _fits(stamps: Sequence[int], at: int, most: int) -> bool:
    """Return whether no window that holds an instant has more than so many stamps, with it."""
    near = sorted([*(each for each in stamps if abs(each - at) < _WINDOW_MS), at])
    return all(near[place + most] - near[place] >= _WINDOW_MS for place in range(len(near) - most))


def lock(tx: Connection, digests: Collection[str]) -> dict[str, list[int]]:
    """Return what identities were promised, by digest, locked in the order of their digests.

    It is as it is once the lock is held: PostgreSQL reads a row anew for which it had to wait.
    """
    rows = tx.execute(_locking(tx.dialect.name), {"digests": list(digests)}) if digests else ()
    return {row.digest: row.promised_ms or [] for row in rows}


def read(tx: Connection, digests: Collection[str]) -> dict[str, list[int]]:
    """Return what identities were promised, by digest, without locking."""
    rows = tx.execute(_reading(tx.dialect.name), {"digests": list(digests)}) if digests else ()
    return {row.digest: row.promised_ms or [] for row in rows}


@cache
def _reading(dialect: str) -> sa.Select[Any]:
    """Return the statement, made once."""
    table = customer_identities.c
    query = sa.select(table.digest, table.promised_ms).where(among(dialect, table.digest, "digests"))
    return query.order_by(table.digest)


@cache
def _locking(dialect: str) -> sa.Select[Any]:
    return _reading(dialect).with_for_update()


def write(into: Into, promised: Mapping[str, Sequence[int]]) -> None:
    """Write what identities, which are locked or our own, were promised by now."""
    rows = [{"digest": digest, "promised_ms": list(stamps)} for digest, stamps in promised.items()]
    update_many(into, customer_identities, rows, by=("digest",), to=("promised_ms",))


def move(tx: Connection, respelled: Mapping[str, str]) -> list[str]:
    """Let what was promised under some digests stand under others; return which of the first may go, locked."""
    stood = lock(tx, sorted({*respelled, *respelled.values()}))
    there = [old for old, new in respelled.items() if old in stood and new in stood]
    moved: dict[str, list[int]] = {}
    for old in there:
        if stood[old]:
            new = respelled[old]
            moved[new] = sorted([*stood[old], *moved.get(new, stood[new])])
    write(tx, moved)
    return there
