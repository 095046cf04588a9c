"""What a customer is told: composed anew whenever it is sent or looked at, so that no message text is ever stored."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import api_keys, users
from incentives.catalog import redeeming, releases, scripts
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Criterion, Protocol
from incentives.catalog.incentive import IncentiveKind
from incentives.catalog.tables import catalog_items
from incentives.kernel.actors import rule
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.messages import outbox
from incentives.messages.port import AnyLetter, Letter
from incentives.queries import books_letters, budget_alerts, case_letters, provider_letters, safety_letters
from incentives.recovery.customers import Contact
from incentives.vouchers import codes, lifecycle
from incentives.vouchers.tables import issuances, vouchers

_NO_VOUCHER = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Waits:
    """Why a message is not sent now, and from when it may be; None is not before somebody says so."""

    reason: str
    until_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Everything about an issuance and its voucher that a customer may see."""

    brand: str
    locale: str
    contact: Contact
    apology: str
    title: str
    terms: str
    kind: str
    amount: Money | None
    percent: int | None
    points: int | None
    item: str | None
    voucher_id: uuid.UUID | None
    status: str
    code: str | None
    url: str | None
    expires_at: datetime | None
    time_zone: str
    where_to_use: tuple[str, ...]
    personal_note: str | None = None
    waits: Waits | None = None


def waits(row: Any, now: datetime) -> Waits | None:
    """Return why a voucher, as its row says, is not told of now: it is frozen, or a till holds it."""
    if lifecycle.is_frozen(row, now) and lifecycle.status_now(row, now) in ("issued", "reserved"):
        return Waits(outbox.HELD, row.frozen_until_at)
    if lifecycle.status_now(row, now) == "reserved":
        # It is held in that last instant too: due at once, the message would be claimed again and again within it.
        return Waits("A till holds the voucher.", row.reserved_until_at + timedelta(microseconds=1))
    return None


def told(tx: Connection, core: Core, issuance_id: uuid.UUID, voucher_id: uuid.UUID | None, now: datetime) -> Told:
    """Return what the customer of an issuance may see, in their language, from the versions that were approved then."""
    row = _row(tx, issuance_id, voucher_id)
    catalog = _catalog(tx, core, row.catalog_release_id)
    incentive = releases.incentive_of(tx, row.incentive_item_id, core.cache)
    contact = Contact.from_text(core.contacts.decrypt(row.contact))
    title = catalog.words(incentive.title, row.locale)
    where = redeeming.usable_locations(incentive)
    secrets = lifecycle.secrets_of(core, row.voucher_id, row.code_key_id) if row.voucher_id else None
    return Told(
        brand=catalog.brand.name,
        locale=row.locale,
        contact=contact,
        apology=_apology(tx, catalog, row, contact, title),
        title=title,
        terms=catalog.words(incentive.terms, row.locale) if incentive.terms else "",
        kind=incentive.kind,
        amount=Money(row.voucher_amount_minor, row.currency) if row.voucher_id else None,
        percent=incentive.percent,
        points=incentive.points,
        item=catalog.words(incentive.item, row.locale) if incentive.item else None,
        voucher_id=row.voucher_id,
        status=lifecycle.status_now(row, now) if row.voucher_id else row.issuance_status,
        code=secrets[0] if secrets else None,
        url=f"{core.settings.public_url}/v/{secrets[1]}" if secrets else None,
        expires_at=row.expires_at,
        time_zone=row.time_zone or catalog.brand.time_zone,
        where_to_use=tuple(catalog.locations[key].name for key in where if key in catalog.locations),
        personal_note=core.contacts.decrypt(row.message),
        waits=waits(row, now) if row.voucher_id else None,
    )


def _row(tx: Connection, issuance_id: uuid.UUID, voucher_id: uuid.UUID | None) -> Any:
    given, made = issuances.c, vouchers.c
    return tx.execute(
        sa.select(
            given.contact,
            given.message,
            given.locale,
            given.catalog_release_id,
            given.incentive_item_id,
            given.protocol_item_id,
            given.location,
            given.order_ref,
            given.actor,
            given.currency,
            given.status.label("issuance_status"),
            made.id.label("voucher_id"),
            made.status,
            made.code_key_id,
            made.amount_minor.label("voucher_amount_minor"),
            made.expires_at,
            made.time_zone,
            made.reserved_until_at,
            made.frozen_at,
            made.frozen_until_at,
        )
        .outerjoin(vouchers, sa.and_(made.issuance_id == given.id, made.id == voucher_id))
        .where(given.id == issuance_id),
    ).one()


def _catalog(tx: Connection, core: Core, release_id: uuid.UUID) -> Catalog:
    """Return the catalog of a release, kept once read: releases never change."""
    key = f"letters.catalog:{release_id}"
    if key not in core.cache:
        core.cache[key] = releases.catalog_of_release(tx, release_id)
    catalog: Catalog = core.cache[key]
    return catalog


def _apology(tx: Connection, catalog: Catalog, row: Any, contact: Contact, title: str) -> str:
    definition = tx.execute(
        sa.select(catalog_items.c.definition).where(catalog_items.c.id == row.protocol_item_id)
    ).scalar_one()
    script = catalog.scripts[Protocol.from_definition(definition).script]
    location = catalog.locations.get(row.location or "")
    return scripts.fill(
        catalog.words(script.text, row.locale),
        brand=catalog.brand.name,
        incentive=title,
        customer_name=contact.name,
        location=location.name if location else None,
        agent_name=_agent_name(tx, row.actor),
        order_ref=row.order_ref,
    )


def _agent_name(tx: Connection, actor: str) -> str | None:
    """Return a person's name; a program signs with the brand's."""
    kind, _, actor_id = actor.partition(":")
    if kind != "person":
        return None
    return tx.execute(sa.select(users.c.name).where(users.c.id == uuid.UUID(actor_id))).scalar_one_or_none()


def actor_names(tx: Connection, labels: set[str]) -> dict[str, str]:
    """Return the names behind actors' labels."""
    names = {"system:" + str(uuid.UUID(int=0)): "the system"}
    for kind, table in (("person", users), ("key", api_keys)):
        ids = [uuid.UUID(label.partition(":")[2]) for label in labels if label.startswith(f"{kind}:")]
        if ids:
            rows = tx.execute(sa.select(table.c.id, table.c.name).where(table.c.id.in_(ids))).all()
            names |= {f"{kind}:{row.id}": row.name for row in rows}
    if any(label.startswith("rule:") for label in labels):
        names |= _rule_names(tx)
    return names


def _rule_names(tx: Connection) -> dict[str, str]:
    """Return what every criterion that there ever was is called, by its label: the newest name it had."""
    table = catalog_items.c
    query = sa.select(table.key, table.definition).where(table.kind == Criterion.item_kind).order_by(table.version)
    found = {row.key: Criterion.from_definition(row.definition).name for row in tx.execute(query)}
    return {rule(key, name).label: name for key, name in found.items()}


def compose(tx: Connection, core: Core, message: Any, now: datetime) -> AnyLetter | Waits | None:
    """Return the letter of an outbox message; None when what it tells of is no longer so, and need not be told.

    What cannot be used just now is told later. Where the address is gone by now there is nobody to tell: a provider
    might take what is for nobody all the same, and it would seem to be sent.
    """
    if message.about in _OF_STAFF:
        return _to_staff(tx, core, message, now, whatever=False)
    if message.issuance_id is None:
        return _to_somebody(case_letters.compose(tx, core, message)) if case_letters.still_wanted(tx, message) else None
    facts = told(tx, core, message.issuance_id, message.voucher_id, now)
    if facts.waits is not None:
        return facts.waits
    return _to_somebody(letter(facts, message)) if facts.status == "issued" else None


def _to_somebody(written: AnyLetter | None) -> AnyLetter | None:
    return written if written is not None and written.to else None


def composed(tx: Connection, core: Core, message: Any, now: datetime) -> AnyLetter | None:
    """Return what a message says, whatever became of what it tells since; None where nobody is left to tell."""
    if message.about in _OF_STAFF:
        return _to_staff(tx, core, message, now, whatever=True)
    if message.issuance_id is None:
        return case_letters.compose(tx, core, message)
    return letter(told(tx, core, message.issuance_id, message.voucher_id, now), message)


_OF_STAFF = (budget_alerts.ABOUT, safety_letters.ABOUT, books_letters.ABOUT, provider_letters.ABOUT)


def _to_staff(tx: Connection, core: Core, message: Any, now: datetime, *, whatever: bool) -> AnyLetter | None:
    """Return the letter of a notice that is about no case."""
    if message.about == budget_alerts.ABOUT:
        return budget_alerts.compose(tx, core, message, now, whatever=whatever)
    if message.about == safety_letters.ABOUT:
        return safety_letters.compose(tx, core, message, whatever=whatever)
    if message.about == books_letters.ABOUT:
        return books_letters.compose(tx, core, message)
    return provider_letters.compose(tx, core, message, whatever=whatever)


def letter(facts: Told, message: Any) -> Letter:
    """Return what a message says, whatever became of its voucher since."""
    to = facts.contact.email if message.channel == "email" else facts.contact.phone
    return Letter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=facts.locale,
        to=to or "",
        customer_name=facts.contact.name,
        brand=facts.brand,
        apology=facts.apology,
        title=facts.title,
        terms=facts.terms,
        kind=facts.kind,
        amount=None if facts.kind == IncentiveKind.APOLOGY_ONLY else facts.amount,
        percent=facts.percent,
        points=facts.points,
        item=facts.item,
        code=facts.code,
        url=facts.url,
        expires_at=facts.expires_at,
        time_zone=facts.time_zone,
        where_to_use=facts.where_to_use,
        personal_note=facts.personal_note,
    )


def voucher_of_link(tx: Connection, core: Core, token: str, now: datetime) -> Any:
    """Return the id, issuance and worth of the voucher that a link was signed for, if it can be used; else None.

    The database is asked whatever the link is, and says the same of one that nobody was given as of one that is spent:
    how long it takes tells neither from the other.
    """
    voucher_id = codes.voucher_of_token(core.keys.links, token) or _NO_VOUCHER
    made = vouchers.c
    worth = (made.amount_minor, made.currency, made.max_redemptions, made.redeemed_count)
    query = sa.select(made.id, made.issuance_id, *worth).where(made.id == voucher_id, lifecycle.good(now))
    return tx.execute(query).one_or_none()
