"""A voucher's whole life, for staff: found by what they have in hand, and told from the audit trail; never its code."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CodeMalformed, EmailInvalid, InputInvalid, Refusal, VoucherNotFound
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries.letters import actor_names
from incentives.queries.scope import seen_by
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.vouchers import aftercare, codes, lifecycle
from incentives.vouchers.shares import left_minor
from incentives.vouchers.tables import issuances, vouchers

FOUND_MOST = 50
TEXT_LONGEST = 500
_LAST4 = 4
_LOOK_ALIKES = str.maketrans("OIL", "011")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherEvent:
    """One thing that happened to a voucher or its issuance. ``action`` is a key; ``reason`` is what somebody wrote."""

    id: uuid.UUID
    at: datetime
    action: str
    actor: str
    actor_name: str
    reason: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedVoucher:
    """One voucher of an issuance: in the place of which other it came, and how it stands."""

    id: uuid.UUID
    number: int
    last4: str
    status: str
    amount: Money
    left: Money
    issued_at: datetime
    expires_at: datetime
    replaces_id: uuid.UUID | None
    frozen: bool
    frozen_until_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherMessage:
    """One message about a voucher: which copy of it, when it is due, and how far it has come."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    channel: str
    copy: int
    status: str
    reason: str | None
    available_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherLife:
    """A voucher with all that is known of it, but for its secrets; ``contact`` is for pages and nobody else.

    ``amount_bounds`` are those of one use, where the incentive lets it be chosen. ``chain`` are all vouchers of the
    issuance, the first one first; ``events`` are those of all of them, the latest first.
    """

    id: uuid.UUID
    issuance_id: uuid.UUID
    case_id: uuid.UUID
    last4: str
    status: str
    incentive: str
    title: Mapping[str, str]
    kind: str
    amount: Money
    left: Money
    max_redemptions: int
    redeemed_count: int
    issued_at: datetime
    issued_by: str
    issued_by_name: str
    expires_at: datetime
    time_zone: str
    extended_days: int
    most_extend_days: int
    amount_bounds: tuple[int, int] | None
    location: str | None
    frozen: bool
    frozen_until_at: datetime | None
    reserved_until_at: datetime | None
    replaces_id: uuid.UUID | None
    replaced_by_id: uuid.UUID | None
    channels: tuple[str, ...]
    contact: Contact
    chain: tuple[ChainedVoucher, ...]
    messages: tuple[VoucherMessage, ...]
    events: tuple[VoucherEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVoucher:
    """A voucher in the list of those that were found."""

    id: uuid.UUID
    issuance_id: uuid.UUID
    case_id: uuid.UUID
    last4: str
    status: str
    frozen: bool
    incentive: str
    amount: Money
    issued_at: datetime
    expires_at: datetime
    location: str | None


def one_voucher(*, core: Core, actor: Actor, voucher_id: uuid.UUID) -> VoucherLife:
    """Return a voucher's life. Raises ``VoucherNotFound`` for one that the actor does not see, and ``NotPermitted``."""
    permit(actor, "issuances:read")
    now = core.clock.now()
    with core.database.read() as tx:
        seen = (vouchers.c.id == voucher_id, seen_by(actor, issuances.c.location))
        row = tx.execute(aftercare.selected().where(*seen)).one_or_none()
        if row is None:
            raise VoucherNotFound
        incentive = releases.incentive_of(tx, row.incentive_item_id, core.cache)
        chain = chain_of(tx, row.issuance_id, now)
        messages = _messages(tx, row.issuance_id)
        events = _events(tx, row.issuance_id, [each.id for each in chain])
        names = actor_names(tx, {row.issued_by})
    held = lifecycle.status_now(row, now) == "reserved"
    frozen = lifecycle.is_frozen(row, now)
    return VoucherLife(
        id=row.id,
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        last4=row.last4,
        status=lifecycle.status_now(row, now),
        incentive=row.incentive,
        title=incentive.title,
        kind=incentive.kind,
        amount=Money(row.amount_minor, row.currency),
        left=_left(row, now),
        max_redemptions=row.max_redemptions,
        redeemed_count=row.redeemed_count,
        issued_at=row.issued_at,
        issued_by=row.issued_by,
        issued_by_name=names.get(row.issued_by, row.issued_by),
        expires_at=row.expires_at,
        time_zone=row.time_zone,
        extended_days=row.extended_days,
        most_extend_days=incentive.most_extend_days,
        amount_bounds=incentive.amount_bounds,
        location=row.location,
        frozen=frozen,
        frozen_until_at=row.frozen_until_at if frozen else None,
        reserved_until_at=row.reserved_until_at if held else None,
        replaces_id=row.replaces_id,
        replaced_by_id=next((each.id for each in chain if each.replaces_id == row.id), None),
        channels=tuple(row.channels),
        contact=Contact.from_text(core.contacts.decrypt(row.contact)),
        chain=chain,
        messages=messages,
        events=events,
    )


def chain_of(tx: Connection, issuance_id: uuid.UUID, now: datetime) -> tuple[ChainedVoucher, ...]:
    """Return all vouchers of an issuance, the first one first."""
    query = sa.select(vouchers).where(vouchers.c.issuance_id == issuance_id).order_by(vouchers.c.number)
    return tuple(_chained(row, now) for row in tx.execute(query))


def _chained(row: Any, now: datetime) -> ChainedVoucher:
    frozen = lifecycle.is_frozen(row, now)
    return ChainedVoucher(
        id=row.id,
        number=row.number,
        last4=row.last4,
        status=lifecycle.status_now(row, now),
        amount=Money(row.amount_minor, row.currency),
        left=_left(row, now),
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        replaces_id=row.replaces_id,
        frozen=frozen,
        frozen_until_at=row.frozen_until_at if frozen else None,
    )


def _left(row: Any, now: datetime) -> Money:
    """Return what of a voucher can still be spent."""
    is_open = lifecycle.status_now(row, now) in aftercare.OPEN
    minor = left_minor(row.amount_minor, row.max_redemptions, row.redeemed_count) if is_open else 0
    return Money(minor, row.currency)


def _messages(tx: Connection, issuance_id: uuid.UUID) -> tuple[VoucherMessage, ...]:
    table = outbox_messages.c
    names = ("id", "voucher_id", "channel", "copy", "status", "reason", "available_at", "ended_at")
    query = sa.select(*(table[name] for name in names)).where(
        table.issuance_id == issuance_id, table.voucher_id.is_not(None)
    )
    rows = tx.execute(query.order_by(table.created_at, table.channel, table.id))
    return tuple(VoucherMessage(**dict(zip(names, row, strict=True))) for row in rows)


def _events(tx: Connection, issuance_id: uuid.UUID, voucher_ids: Sequence[uuid.UUID]) -> tuple[VoucherEvent, ...]:
    """Return what the audit trail says of an issuance and its vouchers, the latest first."""
    table = audit_events.c
    names = ("id", "at", "action", "actor", "actor_name", "reason", "facts")
    subjects = [str(each) for each in (issuance_id, *voucher_ids)]
    query = sa.select(*(table[name] for name in names)).where(table.subject_id.in_(subjects))
    rows = tx.execute(query.order_by(table.at.desc(), table.id.desc()))
    return tuple(VoucherEvent(**dict(zip(names, row, strict=True))) for row in rows)


def find_vouchers(*, core: Core, actor: Actor, text: str) -> tuple[FoundVoucher, ...]:
    """Return the vouchers that a text means, the newest first: at most ``FOUND_MOST``.

    It may be a code or a customer's link, its last four symbols, the id of a voucher, issuance, case or customer, or a
    customer's email or phone number. Raises ``InputInvalid`` for what could be none of these, and ``NotPermitted``.
    """
    permit(actor, "issuances:read")
    now, wanted = core.clock.now(), text.strip()
    with core.database.read() as tx:
        condition = _meant(tx, core, actor, wanted)
        if condition is None:
            message = "Type a code, its last four, an email, a phone number, or the number of a case or voucher."
            raise InputInvalid(errors=[{"field": "q", "message": message}])
        query = aftercare.selected().where(condition, seen_by(actor, issuances.c.location))
        rows = tx.execute(query.order_by(vouchers.c.id.desc()).limit(FOUND_MOST)).all()
    return tuple(
        FoundVoucher(
            id=row.id,
            issuance_id=row.issuance_id,
            case_id=row.case_id,
            last4=row.last4,
            status=lifecycle.status_now(row, now),
            frozen=lifecycle.is_frozen(row, now),
            incentive=row.incentive,
            amount=Money(row.amount_minor, row.currency),
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            location=row.location,
        )
        for row in rows
    )


def _meant(tx: Connection, core: Core, actor: Actor, text: str) -> sa.ColumnElement[bool] | None:
    """Return the condition that a text means; None where it could mean nothing."""
    if not text or len(text) > TEXT_LONGEST:
        return None
    try:
        number = uuid.UUID(text)
    except ValueError:
        pass
    else:
        given = issuances.c
        return sa.or_(vouchers.c.id == number, given.id == number, given.case_id == number, given.customer_id == number)
    if len(text) == _LAST4 and text.isalnum():
        return vouchers.c.last4 == text.upper().translate(_LOOK_ALIKES)
    person = _person(tx, core, actor, text)
    return _secret(core, text) if person is None else person


def _person(tx: Connection, core: Core, actor: Actor, text: str) -> sa.ColumnElement[bool] | None:
    """Return the condition that a voucher was given to whom an address belongs; None where it is no address."""
    is_email = "@" in text
    catalog = releases.cached_current(tx, core).catalog
    place = catalog.locations.get(actor.location or "")
    given = customers.CustomerGiven(email=text) if is_email else customers.CustomerGiven(phone=text)
    try:
        contact = customers.checked(given, region=place.country if place else None)
    except EmailInvalid:
        return sa.false()
    except Refusal:
        return None
    found = customers.matches(core, contact, customers.known(tx, core, [contact]))
    return issuances.c.customer_id.in_(customers.together(tx, found))


def _secret(core: Core, text: str) -> sa.ColumnElement[bool] | None:
    if "/v/" in text or "." in text:
        return vouchers.c.id == (codes.voucher_of_token(core.keys.links, codes.token_in(text)) or uuid.UUID(int=0))
    try:
        return vouchers.c.code_digest.in_(codes.digests(core.keys.codes, codes.normalized(text)))
    except CodeMalformed:
        return None
