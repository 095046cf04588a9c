"""Listing: whom signals of abuse pass by, whom somebody looks at, and who is refused. Values are kept as digests."""

import csv
import io
import ipaddress
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds import reasons, same_hands
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    AlreadyListed,
    InputInvalid,
    ListedValueNotFound,
    OtherLocation,
    OwnListedValue,
    Refusal,
)
from incentives.kernel.throttle import block_of
from incentives.kernel.years import OUTSIDE, within_years
from incentives.recovery import customers
from incentives.safeguards import lists
from incentives.safeguards.lists import Value
from incentives.safeguards.tables import LISTED_KINDS, LISTS

_MANAGE = "lists:manage"
_REFERENCE_LONGEST = 200
_ACTOR = re.compile(r"(person|key):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
IMPORT_ROWS_MOST = 10_000
_MAPPED_BITS = 96
COLUMNS = ("kind", "value", "reason", "expires_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListValue:
    """Put a value on a list (``allow``, ``deny``, ``review``), until an instant or until it is removed.

    ``kind`` is ``email``, ``email_domain``, ``phone`` (E.164), ``external_ref``, ``actor`` (a label) or ``ip_block``
    (any address in it, or the network: an IPv4 /24, an IPv6 /48; a smaller one becomes that, and a larger one is
    listed network by network). Any spelling of an address is the same value.
    """

    list: str
    kind: str
    value: str
    reason: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An entry, known by its hint: the value itself is kept nowhere."""

    id: uuid.UUID
    list: str
    kind: str
    hint: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file added; ``known`` stood there before. ``mistakes`` are {"line", "message"}: with any, nothing was."""

    added: int
    known: int
    mistakes: tuple[dict[str, Any], ...]


def add_listed(*, core: Core, actor: Actor, command: ListValue) -> Listed:
    """Put a value on a list; nobody lets signals pass by themselves.

    Raises ``AlreadyListed``, ``OwnListedValue``, ``InputInvalid``, ``EmailInvalid``, ``PhoneInvalid``,
    ``OtherLocation`` and ``NotPermitted``.
    """
    _permit(actor)
    now = core.clock.now()
    value = _checked(command, now)
    row = _row(core, actor, command, value, now)
    with core.database.write() as tx:
        _identify(tx, [row])
        if command.list == "allow" and _is_own(row["digest"], row["identity_digest"], _own(tx, core, actor)):
            raise OwnListedValue(field="value")
        lists.free_lapsed(tx, now, [row["digest"]], actor.label)
        if not lists.add(tx, [row]):
            standing = lists.standing_id(tx, row["list"], row["kind"], row["digest"])
            raise AlreadyListed(field="value", listed_id=str(standing) if standing else None)
        _note(tx, core, actor, now, "list.added", row["id"], command.reason, _facts(row))
    lists.forget(core)
    return Listed(id=row["id"], list=command.list, kind=command.kind, hint=row["hint"], expires_at=command.expires_at)


def remove_listed(*, core: Core, actor: Actor, listed_id: uuid.UUID, reason: str) -> None:
    """Take an entry off its list; nobody takes themselves off one that has them looked at or refused.

    Raises ``ListedValueNotFound``, ``OwnListedValue``, ``InputInvalid`` and ``NotPermitted``.
    """
    _permit(actor)
    now = core.clock.now()
    why = reasons.reason(reason)
    with core.database.write() as tx:
        row = lists.by_id(tx, listed_id)
        if row is not None and row.list != "allow" and _is_own(row.digest, row.identity_digest, _own(tx, core, actor)):
            raise OwnListedValue
        if row is None or not lists.remove(tx, listed_id, {"removed_at": now, "removed_by": actor.label}):
            raise ListedValueNotFound
        _note(tx, core, actor, now, "list.removed", listed_id, why, {"list": row.list, "kind": row.kind})
    lists.forget(core)


def import_listed(*, core: Core, actor: Actor, list_name: str, text: str) -> Imported:
    """Put the values of a CSV file (columns kind, value, reason, and expires_at if they end) on a list, all or none.

    Lines count from 1, the header being the first. Raises ``InputInvalid`` for what is no such file, and
    ``NotPermitted``.
    """
    _permit(actor)
    now = core.clock.now()
    rows, mistakes = [], []
    for line, record in enumerate(_records(list_name, text), start=2):
        try:
            command = _command(list_name, record)
            rows.append(_row(core, actor, command, _checked(command, now), now))
        except Refusal as refusal:
            mistakes.append({"line": line, "message": _message(refusal)})
    if mistakes:
        return Imported(added=0, known=0, mistakes=tuple(mistakes))
    with core.database.write() as tx:
        _identify(tx, rows)
        own = _own(tx, core, actor) if list_name == "allow" else set()
        names = [(row["digest"], row["identity_digest"]) for row in rows]
        themselves = [line for line, (digest, known_by) in enumerate(names, start=2) if _is_own(digest, known_by, own)]
        if themselves:
            found = tuple({"line": line, "message": f"{OwnListedValue.title}."} for line in themselves)
            return Imported(added=0, known=0, mistakes=found)
        lists.free_lapsed(tx, now, [row["digest"] for row in rows], actor.label)
        added = lists.add(tx, list({(row["kind"], row["digest"]): row for row in rows}.values()))
        for row in rows:
            if row["id"] in added:
                _note(tx, core, actor, now, "list.added", row["id"], row["reason"], _facts(row))
    lists.forget(core)
    return Imported(added=len(added), known=len(rows) - len(added), mistakes=())


def _permit(actor: Actor) -> None:
    """Let whoever may manage lists pass, but nobody of a single place: lists are for all places."""
    permit(actor, _MANAGE)
    if actor.location is not None:
        raise OtherLocation("Lists hold for every place.", location=actor.location)


def _records(list_name: str, text: str) -> Sequence[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), restval="")
    try:
        names = tuple((name or "").strip() for name in reader.fieldnames or ())
        found = _cells(reader, names)
    except csv.Error as error:
        raise InputInvalid(errors=[{"field": "file", "message": f"This is no CSV file: {error}."}]) from None
    mistakes = []
    if list_name not in LISTS:
        mistakes.append({"field": "list", "message": f"Send one of {', '.join(LISTS)}."})
    if not {"kind", "value", "reason"} <= set(names) <= set(COLUMNS) or len(set(names)) < len(names):
        message = "The first line names the columns, each once: kind, value, reason, expires_at."
        mistakes.append({"field": "file", "message": message})
    if len(found) > IMPORT_ROWS_MOST:
        mistakes.append({"field": "file", "message": f"{IMPORT_ROWS_MOST} lines are the most."})
    if mistakes:
        raise InputInvalid(errors=mistakes)
    return found


def _cells(reader: "csv.DictReader[str]", names: Sequence[str]) -> list[dict[str, str]]:
    return [{name: (value or "").strip() for name, value in zip(names, row.values(), strict=False)} for row in reader]


def _command(list_name: str, record: dict[str, str]) -> ListValue:
    ends = record.get("expires_at") or None
    try:
        expires_at = datetime.fromisoformat(ends) if ends else None
    except ValueError:
        raise _wrong("expires_at", "Write an instant such as 2027-01-31T23:59:59Z.") from None
    if expires_at is not None and not within_years(expires_at):
        raise _wrong("expires_at", OUTSIDE)
    return ListValue(
        list=list_name, kind=record["kind"], value=record["value"], reason=record["reason"], expires_at=expires_at
    )


def _message(refusal: Refusal) -> str:
    errors = refusal.facts.get("errors")
    return str(errors[0]["message"]) if errors else f"{refusal.title}."


def _checked(command: ListValue, now: datetime) -> Value:
    """Return a value in the form in which it is listed. Raises ``InputInvalid``, ``EmailInvalid``, ``PhoneInvalid``."""
    if command.list not in LISTS:
        raise _wrong("list", f"Send one of {', '.join(LISTS)}.")
    if command.kind not in LISTED_KINDS:
        raise _wrong("kind", f"Send one of {', '.join(LISTED_KINDS)}.")
    reasons.reason(command.reason)
    if command.expires_at is not None and not _is_to_come(command.expires_at, now):
        raise _wrong("expires_at", "Choose an instant that is still to come, with its zone.")
    return command.kind, _canonical(command.kind, command.value.strip())


def _is_to_come(ends: datetime, now: datetime) -> bool:
    try:
        return ends.tzinfo is not None and ends.astimezone(UTC) > now
    except OverflowError:  # the last day of the last year, west of Greenwich
        return False


def _canonical(kind: str, text: str) -> str:
    if kind == "email":
        return customers.canonical_email(customers.checked_email(text, field="value"))
    if kind == "phone":
        return customers.checked_phone(text, field="value")
    if kind == "email_domain":
        return _fits(
            lists.domain_of(f"@{text.removeprefix('@')}"), lists.is_domain, "Write a host, such as example.com."
        )
    if kind == "ip_block":
        return _block(text)
    if kind == "actor":
        return _fits(text, lambda each: bool(_ACTOR.fullmatch(each)), "Write a label: person:<id> or key:<id>.")
    return _fits(text, lambda each: 0 < len(each) <= _REFERENCE_LONGEST, "Write the customer's reference.")


def _block(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _wrong("value", "Write an address or a network, such as 203.0.113.0/24.") from None
    address = str(network.network_address)
    block = ipaddress.ip_network(block_of(address) or address)
    mapped = _MAPPED_BITS if network.version > block.version else 0  # IPv4 within IPv6
    if network.prefixlen < block.prefixlen + mapped:
        message = f"This is wider than what is listed (IPv4 /24, IPv6 /48). List each part of it, such as {block}."
        raise _wrong("value", message)
    return str(block)


def _fits(text: str, test: Any, message: str) -> str:
    if not text.isprintable() or not test(text):
        raise _wrong("value", message)
    return text


def _wrong(field: str, message: str) -> InputInvalid:
    return InputInvalid(errors=[{"field": field, "message": message}])


def _identities(core: Core, value: Value) -> Sequence[str]:
    """Return the digests under which customers go by a value; of what tells no customer apart there are none."""
    names = {"email": "email", "phone": "phone", "external_ref": "reference"}
    kind, text = value
    return core.contacts.digests(names[kind], text) if kind in names else ()


def _row(core: Core, actor: Actor, command: ListValue, value: Value, now: datetime) -> dict[str, Any]:
    return {
        "id": core.ids.new(now),
        "list": command.list,
        "kind": command.kind,
        "digest": lists.digests(core, value)[0],
        "identity_digest": _identities(core, value),
        "hint": lists.hint(value),
        "reason": reasons.reason(command.reason),
        "added_by": actor.label,
        "added_by_name": actor.name,
        "added_at": now,
        "expires_at": command.expires_at,
    }


def _identify(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Let entries be found by the customers that are known by them, under whichever key those were met."""
    sought = {digest for row in rows for digest in row["identity_digest"]}
    met = customers.met(tx, sought)
    for row in rows:
        digests = row["identity_digest"]
        row["identity_digest"] = next((each for each in digests if each in met), digests[0] if digests else None)


def _own(tx: Connection, core: Core, actor: Actor) -> set[str]:
    """Return the digests under which an actor's own values stand: theirs, their keys', of whoever made their key."""
    emails = same_hands.emails_of(tx, core, actor)
    values = [("actor", label) for label in same_hands.all_of(tx, core, actor)]
    values += [("email", customers.canonical_email(email)) for email in emails]
    contacts = [customers.Contact(email=email) for email in emails]
    known_as = set(customers.known(tx, core, contacts).values())
    theirs = customers.digests_of(tx, customers.together(tx, known_as))
    return {digest for value in values for digest in lists.digests(core, value)} | theirs


def _is_own(digest: str, identity_digest: str | None, own: set[str]) -> bool:
    return digest in own or identity_digest in own


def _facts(row: Any) -> dict[str, Any]:
    """Return what the audit trail says of an entry: not even the hint, which would tell of a customer for ever."""
    return {"list": row["list"], "kind": row["kind"]}


def _note(
    tx: Connection, core: Core, actor: Actor, now: datetime, action: str, listed_id: uuid.UUID, reason: str, facts: Any
) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=action,
        subject_kind="listed_value",
        subject_id=listed_id,
        reason=reason,
        facts=facts,
    )
