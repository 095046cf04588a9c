"""Who the customer is: addresses made canonical, the same person found again behind any spelling of them."""

import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.kernel.errors import EmailInvalid, PhoneInvalid
from incentives.kernel.many import among, insert_absent, insert_many
from incentives.recovery import promised as promises
from incentives.recovery.tables import customer_identities, customers

_LINKS = 7_210_411_904  # an arbitrary number that only this application takes as an advisory lock


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerGiven:
    """A customer as a request names them; every part is optional."""

    external_ref: str | None = None
    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    locale: str | None = None
    segment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A customer's name and addresses, checked and fit to send to; the phone number is E.164."""

    external_ref: str | None = None
    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def to_text(self) -> str:
        """Return the form that is encrypted and kept."""
        named = (("external_ref", self.external_ref), ("name", self.name), ("email", self.email), ("phone", self.phone))
        return orjson.dumps({name: value for name, value in named if value}).decode()

    @classmethod
    def from_text(cls, text: str | None) -> "Contact":
        """Return the contact of a kept form; an empty one for None."""
        return cls(**orjson.loads(text)) if text else cls()


def checked(given: CustomerGiven, *, region: str | None) -> Contact:
    """Return the customer's contact, fit to send to; no name server is asked.

    ``region`` is the country (ISO 3166) whose national spelling of phone numbers is understood.
    Raises ``EmailInvalid`` and ``PhoneInvalid``, each naming the field.
    """
    return Contact(
        # Trimmed: a space more would make the same customer a stranger, whose limits begin anew.
        external_ref=(given.external_ref or "").strip() or None,
        name=(given.name or "").strip() or None,
        email=checked_email(given.email, field="customer.email") if given.email else None,
        phone=_phone(given.phone, region) if given.phone else None,
    )


def checked_email(text: str, *, field: str) -> str:
    """Return an email address with its host in small letters, or raise ``EmailInvalid`` naming the field."""
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - only where an address is given

    plain = _PLAIN_EMAIL.fullmatch(text)
    if plain and _is_plain_host(plain[1]):
        return text
    try:
        # Strict about form (a local part of over 64 octets too); whether the mailbox exists only the sending tells.
        found = validate_email(text.strip(), strict=True, check_deliverability=False, test_environment=False)
    except EmailNotValidError as error:
        raise EmailInvalid(str(error), field=field) from None
    return found.normalized


# Most addresses: what stands before the @ needs no looking into, and what stands behind it was seen before.
_PLAIN_EMAIL = re.compile(r"(?=.{1,64}@)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@([a-z0-9.-]{1,180})")


@lru_cache(maxsize=4096)
def _is_plain_host(host: str) -> bool:
    """Return whether every plain address at a host is as it should be already."""
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - as above

    try:
        found = validate_email(f"a@{host}", strict=True, check_deliverability=False, test_environment=False)
    except EmailNotValidError:
        return False
    return found.domain == host


def checked_phone(text: str, *, field: str) -> str:
    """Return a phone number that says its country as E.164, or raise ``PhoneInvalid`` naming the field."""
    return _phone(text, None, field)


def _phone(text: str, region: str | None, field: str = "customer.phone") -> str:
    import phonenumbers  # noqa: PLC0415 - only where a number is given

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise PhoneInvalid(field=field) from None
    if not phonenumbers.is_valid_number(number):
        raise PhoneInvalid(field=field)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def canonical_email(email: str) -> str:
    """Return the form under which spellings of one mailbox are recognized; it is never sent to.

    Case is folded, a ``+suffix`` dropped, and dots before the ``@`` dropped. Some hosts tell dots apart; two people
    whose addresses differ by dots alone are so rare that treating them as one costs less than a free second voucher.
    """
    local, _, host = email.casefold().rpartition("@")
    plain = local.partition("+")[0].replace(".", "")
    return f"{plain or local}@{'gmail.com' if host == 'googlemail.com' else host}"


def mailbox(email: str) -> str:
    """Return the form that one mailbox has and no other, as far as anybody outside its host knows.

    Case is folded. At Gmail, as everybody there is told, neither dots nor a ``+suffix`` make another mailbox.
    """
    plain = canonical_email(email)
    return plain if plain.endswith("@gmail.com") else email.casefold()


def identities(contact: Contact) -> list[tuple[str, str]]:
    """Return what tells this customer apart, as (kind, canonical text)."""
    found = [("email", canonical_email(contact.email))] if contact.email else []
    found += [("phone", contact.phone)] if contact.phone else []
    found += [("reference", contact.external_ref)] if contact.external_ref else []
    return found


def known(tx: Connection, core: Core, contacts: Iterable[Contact]) -> dict[str, uuid.UUID]:
    """Return the customers that the contacts' identities belong to, by digest."""
    return _owners(tx, [digest for contact in contacts for digest in _digests(_names(core, contact))])


_Names = list[tuple[str, Sequence[str]]]
"""What tells a customer apart, as (kind, digests under every key, the newest first)."""


def _names(core: Core, contact: Contact) -> _Names:
    return [(kind, core.contacts.digests(kind, text)) for kind, text in identities(contact)]


def _digests(names: _Names) -> list[str]:
    return [digest for _, digests in names for digest in digests]


def _owners(tx: Connection, digests: Collection[str]) -> dict[str, uuid.UUID]:
    """Return the customers that digests belong to."""
    if not digests:
        return {}
    rows = tx.execute(_owned(tx.dialect.name), {"digests": list(digests)})
    return {row.digest: row.customer_id for row in rows}


@cache
def _owned(dialect: str) -> Any:
    """Return the statement that finds customers by their digests, made once."""
    table = customer_identities.c
    return sa.select(table.digest, table.customer_id).where(among(dialect, table.digest, "digests"))


def is_one_of(tx: Connection, core: Core, contacts: Iterable[Contact], customer_id: uuid.UUID) -> bool:
    """Return whether a customer, or anybody who is the same, goes by an identity of the contacts; by one statement."""
    named = [each for contact in contacts for each in identities(contact)]
    digests = [digest for kind, text in named for digest in core.contacts.digests(kind, text)]
    if not digests:
        return False
    table, known_by = customers.c, customer_identities.c
    theirs = sa.select(table.group_id).where(table.id == customer_id).scalar_subquery()
    query = sa.select(known_by.digest).join(customers, table.id == known_by.customer_id)
    return tx.execute(query.where(known_by.digest.in_(digests), table.group_id == theirs).limit(1)).first() is not None


def met(tx: Connection, digests: Collection[str]) -> set[str]:
    """Return which of some digests customers go by."""
    table = customer_identities.c
    found = tx.execute(sa.select(table.digest).where(table.digest.in_(sorted(digests)))) if digests else ()
    return {digest for (digest,) in found}


def digests_of(tx: Connection, ids: Collection[uuid.UUID]) -> set[str]:
    """Return the digests that some customers go by."""
    table = customer_identities.c
    found = tx.execute(sa.select(table.digest).where(table.customer_id.in_(sorted(ids, key=str)))) if ids else ()
    return {digest for (digest,) in found}


def matches(core: Core, contact: Contact, found: Mapping[str, uuid.UUID]) -> tuple[uuid.UUID, ...]:
    """Return the customers behind a contact, the oldest first: two addresses may have been two customers so far."""
    return _found(_names(core, contact), found)


def _found(names: _Names, found: Mapping[str, uuid.UUID]) -> tuple[uuid.UUID, ...]:
    ids = {found[digest] for digest in _digests(names) if digest in found}
    return tuple(sorted(ids, key=str)) if len(ids) > 1 else tuple(ids)


@dataclass(frozen=True, slots=True)
class Newcomers:
    """The customers, and the digests of identities, that one transaction has made; ``known`` are those it met."""

    customers: frozenset[uuid.UUID]
    digests: frozenset[str]
    known: Mapping[str, uuid.UUID] = field(default_factory=dict)
    linked: frozenset[uuid.UUID] = frozenset()  # customers who turned out to be the same people just now
    promised: Mapping[str, list[int]] = field(default_factory=dict)  # what new identities were inserted with


def settle(
    tx: Connection,
    core: Core,
    contacts: Sequence[tuple[Contact, str | None]],
    now: datetime,
    *,
    beside: Sequence[Contact] = (),
    promised: Mapping[str, list[int]] | None = None,
) -> tuple[list[tuple[uuid.UUID, ...]], Newcomers]:
    """Return for each contact (with its locale) the customers it belongs to, and what was made just now.

    A new identity is inserted here, before anything is decided, so that two transactions that meet the same new
    customer wait for each other instead of each giving to a stranger. Digests go in sorted, so that they cannot
    wait for each other in a ring. ``beside`` are contacts that are looked up with them and never made customers.
    ``promised`` is what identities, by their newest digests, will have been promised where they are new: it is written
    with them, so that who is new to us costs no statement more.
    """
    named = [_names(core, contact) for contact, _ in contacts]
    others = [_names(core, contact) for contact in beside]
    found = _owners(tx, [digest for names in (*named, *others) for digest in _digests(names)])
    before = set(found.values())
    wanted: dict[str, tuple[uuid.UUID, str]] = {}
    made: list[dict[str, Any]] = []
    for (contact, locale), names in zip(contacts, named, strict=True):
        owner = _plan_new(core, names, now, found, wanted)
        if owner:
            profile = core.contacts.encrypt(contact.to_text())
            made.append({"id": owner, "group_id": owner, "profile": profile, "locale": locale, "created_at": now})
    insert_many(tx, customers, made)
    claimed = _claim_identities(tx, wanted, found, promised or {})
    owners = frozenset(owner for owner, _ in wanted.values())
    new, linked = owners - before, set[uuid.UUID]()
    direct = [_found(names, found) for names in named]
    people = [each if new.issuperset(each[:1]) and len(each) == 1 else _linked(tx, each, linked) for each in direct]
    told = {digest: stamps for digest, stamps in (promised or {}).items() if digest in claimed}
    return people, Newcomers(customers=new, digests=claimed, known=found, linked=frozenset(linked), promised=told)


def matched_by(core: Core, contact: Contact, fresh: Newcomers) -> tuple[str, ...]:
    """Return by which kinds of identity a contact was known before, for staff: who seems a stranger may be none."""
    known_before = fresh.known.keys() - fresh.digests
    return tuple(
        kind for kind, text in identities(contact) if not known_before.isdisjoint(core.contacts.digests(kind, text))
    )


def together(tx: Connection, ids: Collection[uuid.UUID]) -> tuple[uuid.UUID, ...]:
    """Return customers and all who were shown to be the same people, the oldest first."""
    return tuple(row.id for row in _groups(tx, ids))


def groups(tx: Connection, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return customers and all who were shown to be the same people, each with what they have in common."""
    return {row.id: row.group_id for row in _groups(tx, ids)}


def _groups(tx: Connection, ids: Collection[uuid.UUID]) -> Sequence[Any]:
    if not ids:
        return []
    table = customers.c
    theirs = sa.select(table.group_id).where(table.id.in_(ids))
    return tx.execute(sa.select(table.id, table.group_id).where(table.group_id.in_(theirs)).order_by(table.id)).all()


def _linked(tx: Connection, ids: Collection[uuid.UUID], linked: set[uuid.UUID]) -> tuple[uuid.UUID, ...]:
    """Return customers with all who are the same people; those that one contact names become the same from here on.

    ``linked`` notes whom that changed.
    Nothing is merged: each keeps its records and its pots, and from here on all their pots are charged together.
    """
    rows = _groups(tx, ids)
    if len({row.group_id for row in rows}) > 1:
        _lock_links(tx)
        rows = _groups(tx, ids)
        members = [row.id for row in rows]
        linked.update(members)
        tx.execute(customers.update().where(customers.c.id.in_(members)).values(group_id=members[0]))
    return tuple(row.id for row in rows)


def respell(tx: Connection, respelled: Mapping[str, str]) -> int:
    """Let customers go by other digests of what they go by; return how many that were.

    Two who turn out to go by the same are the same from here on: while a key changes, one and the same stranger can be
    met under either.
    """
    table = customer_identities.c
    found = tx.execute(sa.select(customer_identities).where(table.digest.in_(sorted(respelled)))).all()
    named = {row.digest: respelled[row.digest] for row in found}
    new = {named[row.digest]: {"customer_id": row.customer_id, "kind": row.kind} for row in found}
    # In the order of who gives: first what is new, then who is the same, the locks last. Or they would wait in a ring.
    insert_absent(tx, customer_identities, ("digest",), [{"digest": each, **new[each]} for each in sorted(new)])
    owners = _owners(tx, new)
    for ids in {frozenset((row.customer_id, owners[named[row.digest]])) for row in found}:
        if len(ids) > 1:
            _linked(tx, ids, set())
    gone = promises.move(tx, named)
    tx.execute(customer_identities.delete().where(table.digest.in_(gone)))
    return len(gone)


def _lock_links(tx: Connection) -> None:
    """Let nobody else link customers until this transaction ends.

    Two who each learn half of who somebody is would undo each other's half, or wait for each other in a ring. It is
    seldom that two customers turn out to be one. On SQLite the transaction itself is that lock.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LINKS)))


def forget(tx: Connection, core: Core, fresh: Newcomers, kept: Sequence[tuple[Contact, tuple[uuid.UUID, ...]]]) -> None:
    """Take back what this very transaction has made, but for the contacts that are kept, with their customers."""
    stay = {
        digest
        for contact, _ in kept
        for kind, text in identities(contact)
        for digest in core.contacts.digests(kind, text)
    }
    digests = fresh.digests - stay
    ids = fresh.customers.difference(*(owners for _, owners in kept))
    if digests:
        tx.execute(customer_identities.delete().where(customer_identities.c.digest.in_(digests)))
    if ids:
        tx.execute(customers.delete().where(customers.c.id.in_(ids)))


def _plan_new(
    core: Core, names: _Names, now: datetime, found: Mapping[str, uuid.UUID], wanted: dict[str, tuple[uuid.UUID, str]]
) -> uuid.UUID | None:
    """Lay out the identities that are new; return the id of the customer to be made where none of them is known."""
    newest = {digests[0]: kind for kind, digests in names}
    unknown = {digest: kind for digest, kind in newest.items() if digest not in found and digest not in wanted}
    if not unknown:
        return None
    owners = _found(names, found) or tuple(wanted[digest][0] for digest in newest if digest in wanted)
    owner = owners[0] if owners else core.ids.new(now)
    wanted.update({digest: (owner, kind) for digest, kind in unknown.items()})
    return None if owners else owner


def _claim_identities(
    tx: Connection,
    wanted: Mapping[str, tuple[uuid.UUID, str]],
    found: dict[str, uuid.UUID],
    promised: Mapping[str, list[int]],
) -> frozenset[str]:
    """Give identities to their owners, unless they are somebody's by now; note whose each is, return the new ones."""
    rows: list[dict[str, Any]] = [
        {
            "digest": digest,
            "customer_id": wanted[digest][0],
            "kind": wanted[digest][1],
            "promised_ms": promised.get(digest),
        }
        for digest in sorted(wanted)
    ]
    if len(rows) == 1:
        claimed = {rows[0]["digest"]} if insert_unless_there(tx, customer_identities, ("digest",), rows[0]) else set()
    else:
        claimed = {digest for (digest,) in insert_absent(tx, customer_identities, ("digest",), rows)}
    found.update({digest: wanted[digest][0] for digest in claimed})
    others = wanted.keys() - claimed
    if others:
        table = customer_identities.c
        found.update(
            {
                row[0]: row[1]
                for row in tx.execute(sa.select(table.digest, table.customer_id).where(table.digest.in_(others)))
            }
        )
    return frozenset(claimed)
