"""What is encrypted, and which key made what: whether one can be taken out of the settings without losing anything."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from incentives.access.tables import users
from incentives.books.tables import audit_events, seals
from incentives.kernel.core import Core
from incentives.kernel.errors import KeyRetired
from incentives.kernel.keys import KeyRing
from incentives.messages.tables import suppressions
from incentives.queries import came_back
from incentives.recovery import customers as people
from incentives.recovery.customers import Contact
from incentives.recovery.feedback_tables import feedback, feedback_inbox, feedback_revisions
from incentives.recovery.tables import (
    case_apologies,
    case_causes,
    case_files,
    case_notes,
    case_steps,
    case_tasks,
    customers,
    recovery_cases,
)
from incentives.safeguards import lists
from incentives.safeguards.tables import listed_values, reviews
from incentives.vouchers.bulk_tables import bulk_rows
from incentives.vouchers.tables import issuances, vouchers

VALUES, WRITTEN, DIGESTS, STOPPED = (
    "values",
    "values that nothing may rewrite",
    "digests",
    "addresses that nothing is sent to and no contact spells",
)
SEALS = "seals"
_RENEWABLE = (VALUES, DIGESTS)

_FEW, _MANY = 10, 200
_LISTED_AS = {"reference": "external_ref"}


class Place(NamedTuple):
    """Columns of a table that are encrypted; ``contact`` is the one that names a customer's addresses."""

    table: sa.Table
    columns: tuple[str, ...]
    contact: str | None = None
    at_once: int = _MANY


PLACES = (
    Place(customers, ("profile",), "profile"),
    Place(issuances, ("contact", "message", "note"), "contact"),
    Place(recovery_cases, ("contact", "story", "responsible", "closing_note"), "contact"),
    Place(feedback, ("contact", "comment", "story"), "contact"),
    Place(feedback_inbox, ("body", "headers")),
    Place(case_causes, ("note",)),
    Place(case_tasks, ("title", "result")),
    Place(case_notes, ("body",)),
    Place(case_files, ("name", "content"), at_once=_FEW),
    Place(reviews, ("note",)),
    Place(bulk_rows, ("request", "verdict", "problem")),
)

WRITTEN_ONCE = (
    Place(case_steps, ("note",)),
    Place(case_apologies, ("words",)),
    Place(feedback_revisions, ("comment",)),
)
"""What nothing may rewrite, the seals of the books included: it can be read for as long as its key is kept."""

Key = tuple[Any, ...]


def row_id(place: Place, row: Any) -> Key:
    """Return the id of a row that ``rows_after`` has read."""
    return tuple(row[: len(place.table.primary_key.columns)])


def rows_after(core: Core, place: Place, after: Key | None) -> Sequence[Any]:
    """Return some rows behind one, in the order of their ids: the ids first, then the encrypted columns."""
    ids = list(place.table.primary_key.columns)
    query = sa.select(*ids, *(place.table.c[name] for name in place.columns)).order_by(*ids).limit(place.at_once)
    if after is not None:
        bounds = [sa.literal(value, column.type) for value, column in zip(after, ids, strict=True)]
        query = query.where(sa.tuple_(*ids) > sa.tuple_(*bounds))
    with core.database.read() as tx:
        return tx.execute(query).all()


def contacts_of(core: Core, place: Place, rows: Sequence[Any]) -> Iterator[Contact]:
    """Return the contacts that stand in rows, but for those that no key opens."""
    for row in rows if place.contact else ():
        try:
            yield Contact.from_text(core.contacts.decrypt_old(getattr(row, place.contact or "")))
        except KeyRetired:
            continue


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """How much there is that one key has made, and what that is; ``state`` is empty for a key in use.

    A key that is ``missing`` stands in the settings no more, and what it made is lost as long as it does not.
    """

    purpose: str
    key_id: str
    state: str
    count: int
    what: str

    @property
    def is_missed(self) -> bool:
        """Return whether something is lost while the key stands there like this, or once it does not any more.

        Vouchers of a retired key are refused and given anew, and what nothing may rewrite is known to go with its key.
        A seal is made once, and its key verifies it for ever.
        """
        retired_too_early = self.state == "retired" and self.what in (*_RENEWABLE, STOPPED, SEALS)
        return bool(self.count) and (self.state == "missing" or retired_too_early)


def renewed_about(key_id: str) -> uuid.UUID:
    """Return what the audit trail says that renewing by a contact key is about."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"contact:{key_id}")


def staff_of(core: Core) -> list[Contact]:
    """Return the addresses of staff, to whom notices are sent: they stand nowhere else."""
    with core.database.read() as tx:
        return [Contact(email=email) for email in tx.execute(sa.select(users.c.email)).scalars()]


def keys_in_use(*, core: Core) -> list[KeyUse]:
    """Return what each key has made that is still needed. Everything that is encrypted is opened for it."""
    older, listed, stopped = _digests(core)
    ring = core.keys.contacts
    nobody = KeyUse(
        purpose="contact", key_id="?", state="", count=listed, what="entries of lists that no contact spells"
    )
    unheard = KeyUse(
        purpose="contact", key_id="?", state="retired" if ring.retired else "", count=stopped, what=STOPPED
    )
    return [
        *_counted("code", core.keys.codes, _vouchers(core), "vouchers that can be used"),
        *_counted("contact", ring, _values(core, PLACES), VALUES),
        *_counted("contact", ring, _values(core, WRITTEN_ONCE), WRITTEN),
        *_counted("contact", ring, older, DIGESTS),
        *_counted("seal", core.keys.seals, _seals(core), SEALS),
        *(each for each in (nobody, unheard) if each.count),
    ]


def _counted(purpose: str, ring: KeyRing, found: Mapping[str | None, int], what: str) -> list[KeyUse]:
    ids = [key_id for key_id, _ in ring.pairs]
    every = [*ids, *sorted(str(key_id) for key_id in found if key_id not in ids)]
    return [
        KeyUse(purpose=purpose, key_id=key_id, state=_state(ring, key_id), count=count, what=what)
        for key_id in every
        if (count := found.get(None if key_id == "None" else key_id, 0)) or key_id in ids
    ]


def _state(ring: KeyRing, key_id: str) -> str:
    if key_id not in ring.all_ids:
        return "missing"
    return "retired" if key_id in ring.retired else "known" if key_id in ring.known else ""


def _vouchers(core: Core) -> dict[str | None, int]:
    table, now = vouchers.c, core.clock.now()
    wanted = table.status.in_(("issued", "reserved")) & (table.expires_at >= now)
    query = sa.select(table.code_key_id, sa.func.count()).where(wanted).group_by(table.code_key_id)
    with core.database.read() as tx:
        return {row[0]: row[1] for row in tx.execute(query)}


def _seals(core: Core) -> dict[str | None, int]:
    query = sa.select(seals.c.key_id, sa.func.count()).group_by(seals.c.key_id)
    with core.database.read() as tx:
        return {row[0]: row[1] for row in tx.execute(query)}


def _values(core: Core, places: Sequence[Place]) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    for place in places:
        for rows in _all_rows(core, place):
            found.update(core.contacts.key_of(token) for row in rows for token in _tokens(place, row))
    return found


def _all_rows(core: Core, place: Place) -> Iterator[Sequence[Any]]:
    after: Key | None = None
    while rows := rows_after(core, place, after):
        yield rows
        after = row_id(place, rows[-1])


def _tokens(place: Place, row: Any) -> Iterator[bytes]:
    for value in row[len(place.table.primary_key.columns) :]:
        text = value.get("said") if isinstance(value, Mapping) else value
        if text is not None:
            yield text if isinstance(text, bytes) else text.encode()


def _listed(tx: sa.Connection) -> set[str]:
    """Return the digests that stand on a list and whose hint does not tell the value."""
    stands = listed_values.c.removed_at.is_(None) & listed_values.c.kind.not_in(lists.HINTED)
    return set(tx.execute(sa.select(listed_values.c.digest).where(stands)).scalars())


def _stopped(tx: sa.Connection) -> dict[str, uuid.UUID]:
    """Return the digests of addresses that nothing is sent to, each with its entry."""
    table = suppressions.c
    found = tx.execute(sa.select(table.digest, table.id).where(table.lifted_at.is_(None)))
    return {row.digest: row.id for row in found}


def _digests(core: Core) -> tuple[Counter[str | None], int, int]:
    """Return how many digests stand that older keys made of what a contact tells, and how many nobody can spell.

    Those are entries of lists, and addresses that nothing is sent to of which an older key may have been made.
    """
    with core.database.read() as tx:
        listed, stopped = _listed(tx), _stopped(tx)
        since = _renewed_at(tx, core.keys.contacts)
    older: dict[str, str] = {}
    for contacts in _every_contact(core):
        made = _spelled(core, contacts)
        older |= {digest: key_id for digest, key_id in made.items() if digest in listed or digest in stopped}
        with core.database.read() as tx:
            older |= {digest: made[digest] for digest in people.met(tx, made)}
    newest = core.keys.contacts.newest_id
    unheard = [each for digest, each in stopped.items() if digest not in older and since is not None and each < since]
    return Counter(key_id for key_id in older.values() if key_id != newest), len(listed - older.keys()), len(unheard)


def _every_contact(core: Core) -> Iterator[Iterable[Contact]]:
    yield staff_of(core)
    for place in PLACES:
        for rows in _all_rows(core, place) if place.contact else ():
            yield contacts_of(core, place, rows)


def _renewed_at(tx: sa.Connection, ring: KeyRing) -> uuid.UUID | None:
    """Return the id below which entries may be of an older key; None where there is no older one.

    A digest does not say which key made it. What came after the first time that all was made anew by the newest key is
    of that key: everybody knew it by then.
    """
    if len(ring.all_ids) == 1:
        return None
    table = audit_events.c
    about = (table.subject_kind == "keys", table.subject_id == str(renewed_about(ring.newest_id)))
    first: uuid.UUID | None = tx.execute(
        sa.select(table.id).where(*about).order_by(table.id).limit(1)
    ).scalar_one_or_none()
    return first or uuid.UUID(int=2**128 - 1)


def _spelled(core: Core, contacts: Iterable[Contact]) -> dict[str, str]:
    """Return the digests of contacts under every key, with that key."""
    known = list(contacts)
    values = [value for contact in known for value in people.identities(contact)]
    named = [*values, *(lists.named((_LISTED_AS.get(kind, kind), text)) for kind, text in values)]
    named += [(kind, text) for contact in known for _, kind, text in came_back.spelled(contact)]
    return {digest: key_id for each in named for key_id, digest in core.contacts.spelled(*each).items()}
