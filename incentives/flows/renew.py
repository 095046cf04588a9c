"""Renew: what an older contact key encrypted, or is found by, is made anew by the newest, so that the older can go.

It goes table by table, a few rows at a time, beside everybody who writes: a row that somebody is at is passed over and
found in the next round, and one that was changed meanwhile is left, for whoever changed it used the newest key. Nothing
is lost when it is broken off; begun anew it passes over what is done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.deeds import respelling
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import KeyRetired
from incentives.queries.encrypted import (
    PLACES,
    Key,
    Place,
    contacts_of,
    renewed_about,
    row_id,
    rows_after,
    staff_of,
)
from incentives.safeguards import lists
from incentives.safeguards.tables import listed_values

ACTION = "keys.renewed"
_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What became of some rows: how many values there were, how many were made anew, and how many no key opens.

    ``passed`` counts rows that somebody else was at or has changed meanwhile.
    """

    table: str
    values: int = 0
    renewed: int = 0
    digests: int = 0
    passed: int = 0
    lost: int = 0


def renew_all(*, core: Core) -> Iterator[Renewed]:
    """Make everything anew that can be, and tell of each few rows; again where somebody was at a row.

    It is written down at the end.
    """
    done = []
    for place in PLACES:
        for _ in range(_ROUNDS):
            passed = 0
            for each in _renew_place(core, place):
                done.append(each)
                passed += each.passed
                yield each
            if not passed:
                break
    for each in (_renew_staff(core), _renew_hinted(core)):
        done.append(each)
        yield each
    _note(core, done)


def _renew_place(core: Core, place: Place) -> Iterator[Renewed]:
    after: Key | None = None
    while rows := rows_after(core, place, after):
        after = row_id(place, rows[-1])
        yield _renew_rows(core, place, rows)


def _renew_rows(core: Core, place: Place, rows: Sequence[Any]) -> Renewed:
    """Make rows anew: all that takes time is done before anything is locked."""
    wanted, lost = {}, 0
    for row in rows:
        try:
            anew = {name: _anew(core, getattr(row, name)) for name in place.columns}
        except KeyRetired:
            lost += 1
            continue
        if changed := {name: value for name, value in anew.items() if value is not None}:
            wanted[row_id(place, row)] = (row, changed)
    respelled = respelling.of_contacts(core, contacts_of(core, place, rows))
    written = digests = 0
    if wanted or respelled:
        with core.database.write() as tx:
            written = sum(_write(tx, place, *each) for each in _still_so(tx, place, wanted))
            digests = respelling.respell(tx, respelled, core.clock.now())
    return Renewed(
        table=place.table.name,
        values=sum(value is not None for row in rows for value in row[len(place.table.primary_key.columns) :]),
        renewed=sum(len(changed) for _, changed in wanted.values()),
        digests=digests,
        passed=len(wanted) - written,
        lost=lost,
    )


def _anew(core: Core, value: Any) -> Any:
    """Return an encrypted value made anew; None where the newest key has made it. Raises ``KeyRetired``."""
    if value is None:
        return None
    if isinstance(value, Mapping):  # a problem or a verdict: what it says is encrypted
        said = _anew(core, value.get("said"))
        return None if said is None else {**value, "said": said}
    made = core.contacts.renewed(value if isinstance(value, bytes) else value.encode())
    return made if made is None or isinstance(value, bytes) else made.decode()


def _still_so(
    tx: Connection, place: Place, wanted: Mapping[Key, tuple[Any, dict[str, Any]]]
) -> list[tuple[Key, dict[str, Any]]]:
    """Lock the rows that are as they were read, in one order, but for those that somebody is at."""
    if not wanted:
        return []
    ids = list(place.table.primary_key.columns)
    query = sa.select(*ids, *(place.table.c[name] for name in place.columns)).order_by(*ids)
    # Not their keys: who gives to a customer refers to them, and may be who we wait for next.
    query = query.where(sa.tuple_(*ids).in_(list(wanted))).with_for_update(skip_locked=True, key_share=True)
    return [
        (row_id(place, row), wanted[row_id(place, row)][1])
        for row in tx.execute(query)
        if tuple(row) == tuple(wanted[row_id(place, row)][0])
    ]


def _write(tx: Connection, place: Place, this_id: Key, changed: Mapping[str, Any]) -> int:
    this = [column == value for column, value in zip(place.table.primary_key.columns, this_id, strict=True)]
    return tx.execute(place.table.update().where(*this).values(**changed)).rowcount


def _renew_staff(core: Core) -> Renewed:
    """Make the digests of addresses anew that nothing is sent to and that are staff's."""
    respelled = respelling.of_contacts(core, staff_of(core))
    with core.database.write() as tx:
        digests = respelling.respell(tx, respelled, core.clock.now())
    return Renewed(table=users.name, digests=digests)


def _renew_hinted(core: Core) -> Renewed:
    """Make the digests of listed values anew whose hint is the value itself."""
    table = listed_values.c
    query = sa.select(table.kind, table.hint).where(table.kind.in_(lists.HINTED))
    with core.database.read() as tx:
        respelled = respelling.of_values(core, [(row.kind, row.hint) for row in tx.execute(query)])
    with core.database.write() as tx:
        digests = respelling.respell(tx, respelled, core.clock.now())
    return Renewed(table=listed_values.name, digests=digests)


def _note(core: Core, done: Sequence[Renewed]) -> None:
    key_id = core.keys.contacts.newest_id
    facts = {name: sum(getattr(each, name) for each in done) for name in ("renewed", "digests", "lost")}
    now = core.clock.now()
    with core.database.write() as tx:
        audit.record(
            tx,
            core=core,
            actor=SYSTEM,
            now=now,
            action=ACTION,
            subject_kind="keys",
            subject_id=renewed_about(key_id),
            facts={"purpose": "contact", "key": key_id, **facts},
        )
