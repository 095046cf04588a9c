"""A customer's new address for what was given already: checked as at issuing, and their own caps charged.

Not a flow: it opens no transaction. Whoever could change the address for nothing would give to a stranger first. The
case goes along: what else is said of the trouble is for whoever has the voucher now.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds import assessment, casework, suspecting, unneeded
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import CustomerCapReached, InputInvalid, OverLimit
from incentives.messages import outbox
from incentives.messages.tables import outbox_messages
from incentives.recovery import customers
from incentives.recovery.customers import Contact, CustomerGiven
from incentives.recovery.tables import recovery_cases, surveys
from incentives.spending import budgets, limits
from incentives.spending.budgets import Charged, Pot
from incentives.spending.matching import Wanted, matching
from incentives.vouchers import aftercare
from incentives.vouchers.tables import issuances


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """What of an issuance that was made budgets and the limits of an actor match on."""

    location: str | None
    team: str | None
    issue_tags: tuple[str, ...]
    incentive: str
    currency: str
    agent_names: tuple[str, ...]
    customers: tuple[uuid.UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A contact as it is from now on, and the customers behind it; ``before`` are those behind the old one.

    ``old`` is the contact before, ``own`` are the customers that whoever changes it is known as.
    """

    contact: Contact
    old: Contact
    locale: str
    customers: tuple[uuid.UUID, ...]
    before: tuple[uuid.UUID, ...]
    own: tuple[uuid.UUID, ...] = ()


class AddressMoved(Exception):
    """Somebody else has changed the address or merged the case meanwhile: what was met is no more."""


def dimensions(catalog: Catalog, actor: Actor, row: Any, people: tuple[uuid.UUID, ...]) -> Dimensions:
    """Return what an issuance is matched by; ``row`` is as ``aftercare.take`` gives it."""
    return Dimensions(
        location=row.location,
        team=row.team,
        issue_tags=catalog.lineage(row.issue_tag),
        incentive=row.incentive,
        currency=row.currency,
        agent_names=tuple(name for name in (actor.label, actor.email) if name),
        customers=people,
    )


def hold_cases(tx: Connection, case_id: uuid.UUID) -> Sequence[Any]:
    """Return the case that something was given in and the one that it was merged into, locked in their ids' order.

    The voucher is locked before, as by whoever redeems it, and customers are met afterwards, as by whoever gives in the
    case: another order would let them wait for each other in a ring. Raises ``AddressMoved``.
    """
    table, this = recovery_cases.c, recovery_cases.alias().c
    into = sa.select(this.merged_into_id).where(this.id == case_id).scalar_subquery()
    query = sa.select(recovery_cases).where(sa.or_(table.id == case_id, table.id == into)).order_by(table.id)
    found = tx.execute(query.with_for_update(key_share=True)).all()
    if not {each.merged_into_id for each in found if each.merged_into_id} <= {each.id for each in found}:
        raise AddressMoved
    return found


def address(
    tx: Connection, core: Core, actor: Actor, row: Any, given: CustomerGiven | None, now: datetime
) -> Addressed:
    """Return the contact of an issuance with what is given in its place, and recognize the customer behind it.

    Raises ``EmailInvalid``, ``PhoneInvalid``, and ``InputInvalid`` where nothing would change.
    """
    old = Contact.from_text(core.contacts.decrypt(row.contact))
    before = customers.together(tx, [row.customer_id]) if row.customer_id else ()
    if given is None:
        return Addressed(contact=old, old=old, locale=row.locale, customers=before, before=before)
    catalog = releases.cached_current(tx, core).catalog
    place = catalog.locations.get(row.location or "")
    new = customers.checked(given, region=place.country if place else None)
    contact = Contact(
        external_ref=old.external_ref,
        name=new.name or old.name,
        email=new.email or old.email,
        phone=new.phone or old.phone,
    )
    if (contact.email, contact.phone) == (old.email, old.phone):
        raise InputInvalid(errors=[{"field": "customer.email", "message": "Send another email or phone number."}])
    locale, themselves = given.locale or row.locale, suspecting.own_contacts(tx, core, actor)
    (people,), fresh = customers.settle(tx, core, [(contact, locale)], now, beside=themselves)
    own = suspecting.own_customers(core, themselves, fresh.known)
    return Addressed(contact=contact, old=old, locale=locale, customers=people, before=before, own=own)


def check_unchanged(tx: Connection, row: Any, met: Any) -> None:
    """Lock an issuance, and look that its address is still the one that customers were met by (``met`` is its row).

    Raises ``AddressMoved``.
    """
    given = issuances.c
    query = sa.select(given.contact, given.customer_id).where(given.id == row.issuance_id)
    now = tx.execute(query.with_for_update(key_share=True)).one()
    if (now.contact, now.customer_id) != (met.contact, met.customer_id):
        raise AddressMoved


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a new address charges, and what it frees of those who have it no more."""

    charged: Sequence[Wanted]
    released: Sequence[Charged]
    allocations: list[dict[str, Any]]
    pots: Collection[Pot]

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the audit trail keeps: enough to count the pots again."""
        released = {"released": [list(each.pot) for each in self.released]} if self.released else {}
        taken_back = {"allocations": self.allocations} if self.allocations else {}
        return {"charged": [list(each.pot) for each in self.charged], **released, **taken_back}


def charge(tx: Connection, batch: Batch, row: Any, voucher: Mapping[str, Any], address: Addressed) -> Moved:
    """Charge the caps and limits of customers who were not charged for this before; free those of who has it no more.

    An issuance has one address: what goes to a stranger is not this voucher alone, but all that is open beside it. Who
    had it before goes on being charged where they have something of it: a part that was spent, or another voucher.
    ``voucher`` is the new one's row. Raises ``CustomerCapReached`` and ``OverLimit``.
    """
    beside = aftercare.open_beside(tx, row.issuance_id, row.id)
    charged = budgets.charges_of(tx, [row.issuance_id])
    wanted = _wanted(tx, batch, row, address, charged)
    released = [] if beside else _former(charged, address)
    pots = budgets.lock(tx, batch.core, wanted, batch.now, also=[each.pot for each in released])
    for each in released:
        freed = {name: -each.sums[name] for name in ("committed_minor", "committed_count")}
        batch.move(pots[each.pot], row.issuance_id, row.id, "release", freed)
    theirs = {each.pot_id: pots[each.pot] for each in released}
    allocations = unneeded.take_back(tx, batch, {row.issuance_id: row.id}, theirs)
    minor = voucher["amount_minor"] + sum(beside)
    for one in wanted:
        _take(batch, row, voucher["id"], one, pots[one.pot], minor)
    return Moved(charged=wanted, released=released, allocations=allocations, pots=pots.values())


def _wanted(tx: Connection, batch: Batch, row: Any, address: Addressed, charged: Sequence[Charged]) -> list[Wanted]:
    """Return the caps and limits of customers who were not charged for this before, or are no more.

    Where an address changes back, pots that still have it from the first time are not charged again: nothing is
    promised twice.
    """
    strangers = tuple(each for each in address.customers if each not in address.before)
    catalog = releases.cached_current(tx, batch.core).catalog
    limit = assessment.limit_of(catalog, batch.actor, row.currency)
    rules = [
        *(assessment.budget_rule(each) for each in catalog.budgets.values()),
        *limits.rules(limit, catalog.brand.time_zone),
    ]
    dims = dimensions(catalog, batch.actor, row, strangers)
    counted = ("committed_minor", "committed_count", "spent_count")
    theirs = {each.pot for each in charged if any(each.sums[name] > 0 for name in counted)}
    found = matching([rule for rule in rules if rule.scope == "customer"], dims, batch.now)
    return [each for each in found if each.pot not in theirs]


def _former(charged: Sequence[Charged], address: Addressed) -> list[Charged]:
    """Return the pots of customers who have it no more, where nothing of it was spent."""
    former = {str(each) for each in address.before} - {str(each) for each in address.customers}
    return [
        each
        for each in charged
        if each.pot.subject in former
        and (each.sums["committed_minor"] > 0 or each.sums["committed_count"] > 0)
        and not (each.sums["spent_minor"] or each.sums["spent_count"])
    ]


def _take(batch: Batch, row: Any, voucher_id: uuid.UUID, one: Wanted, pot: Pot, amount_minor: int) -> None:
    if not pot.has_room(one.rule, amount_minor):
        if one.rule.asks_approval:
            raise OverLimit(reasons=[one.rule.name])
        raise CustomerCapReached(
            f"The budget “{one.rule.name}” has no room for this.", budget=one.rule.key, scope=one.rule.scope
        )
    pot.rule = one.rule
    changes = budgets.in_unit(one.rule.currency, {"committed_minor": amount_minor, "committed_count": 1})
    batch.move(pot, row.issuance_id, voucher_id, "commit", changes)


def write(
    tx: Connection, batch: Batch, row: Any, address: Addressed, channels: Sequence[str], cases: Sequence[Any]
) -> None:
    """Write a new address down, in the place of the old one; ``cases`` are as ``hold_cases`` gives them."""
    values: dict[str, Any] = {
        "contact": batch.core.contacts.encrypt(address.contact.to_text()),
        "locale": address.locale,
        "channels": list(channels),
    }
    if row.customer_id not in address.customers and address.customers:
        values["customer_id"] = address.customers[0]
    tx.execute(issuances.update().where(issuances.c.id == row.issuance_id).values(**values))
    for case in cases:
        _take_along(tx, batch, case, row, address)


def _take_along(tx: Connection, batch: Batch, case: Any, row: Any, address: Addressed) -> None:
    """Let a case that was to reach its customer at the old address reach them at the new one.

    An apology or a survey would go to the stranger else, with a link by which they could answer. A case that knows
    another address is about somebody whom nobody mistook, and keeps it. What is composed when it is sent follows.
    """
    kept = Contact.from_text(batch.core.contacts.decrypt(case.contact))
    has_address = bool(kept.email or kept.phone)  # else it is the issuance's that counts, or the customer's own
    if not (_shares_address(kept, address.old) if has_address else case.customer_id in address.before):
        return
    values: dict[str, Any] = {}
    contact = _in_place_of(address, kept) if has_address else kept
    if contact != kept:
        values["contact"] = batch.core.contacts.encrypt(contact.to_text())
    if address.locale != row.locale:
        values["locale"] = address.locale
    if address.customers and case.customer_id in set(address.before) - set(address.customers):
        values["customer_id"] = address.customers[0]
        _ask_instead(tx, case.id, address.customers[0])
    if values:
        casework.change(tx, case.id, batch.now, **values)


def _ask_instead(tx: Connection, case_id: uuid.UUID, customer_id: uuid.UUID) -> None:
    """Let what a case has yet to ask be asked of somebody else: whether that nags, and who answers, is looked up so."""
    table, message = surveys.c, outbox_messages.c
    waits = sa.exists().where(message.survey_id == table.id, message.status.in_(outbox.WITHDRAWABLE))
    unasked = sa.or_(table.status == "planned", (table.status == "sent") & waits)
    tx.execute(surveys.update().where(table.case_id == case_id, unasked).values(customer_id=customer_id))


def _shares_address(kept: Contact, old: Contact) -> bool:
    return bool((kept.email and _same("email", kept, old)) or (kept.phone and _same("phone", kept, old)))


def _same(part: str, one: Contact, other: Contact) -> bool:
    this, that = getattr(one, part), getattr(other, part)
    if part == "email" and this and that:
        return customers.mailbox(this) == customers.mailbox(that)
    return bool(this == that)


def _in_place_of(address: Addressed, kept: Contact) -> Contact:
    """Return a kept contact with what is new in the place of what it had in common with the old one."""
    changed = {
        part: getattr(address.contact, part) for part in ("name", "email", "phone") if _same(part, kept, address.old)
    }
    return replace(kept, **changed)
