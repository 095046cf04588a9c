"""A customer's new address for what was given already: checked as at issuing, and their own caps charged.

Not a flow: it opens no transaction. Whoever could change the address for nothing would give to a stranger first.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds import assessment, suspecting
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import CustomerCapReached, InputInvalid, OverLimit
from incentives.recovery import customers
from incentives.recovery.customers import Contact, CustomerGiven
from incentives.spending import budgets, limits
from incentives.spending.matching import Wanted, matching
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

    ``own`` are the customers that whoever changes it is known as.
    """

    contact: Contact
    locale: str
    customers: tuple[uuid.UUID, ...]
    before: tuple[uuid.UUID, ...]
    own: tuple[uuid.UUID, ...] = ()
    wanted: list[Wanted] = field(default_factory=list)


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


def address(
    tx: Connection, core: Core, actor: Actor, row: Any, given: CustomerGiven | None, now: datetime
) -> Addressed:
    """Return the contact of an issuance with what is given in its place, and recognize the customer behind it.

    Raises ``EmailInvalid``, ``PhoneInvalid``, and ``InputInvalid`` where nothing would change.
    """
    old = Contact.from_text(core.contacts.decrypt(row.contact))
    before = customers.together(tx, [row.customer_id]) if row.customer_id else ()
    if given is None:
        return Addressed(contact=old, locale=row.locale, customers=before, before=before)
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
    locale, themselves = given.locale or row.locale, suspecting.own_contacts(actor)
    (people,), fresh = customers.settle(tx, core, [(contact, locale)], now, beside=themselves)
    own = customers.matches(core, themselves[0], fresh.known) if themselves else ()
    return Addressed(contact=contact, locale=locale, customers=people, before=before, own=own)


def wanted(tx: Connection, batch: Batch, row: Any, address: Addressed) -> list[Wanted]:
    """Return the caps and limits of customers who were not charged for this before.

    Where an address changes back, the pots that it was charged to at first still have it: nothing is promised twice.
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
    charged = budgets.charges_of(tx, [row.issuance_id])
    theirs = {each.pot for each in charged if any(each.sums[name] > 0 for name in counted)}
    found = matching([rule for rule in rules if rule.scope == "customer"], dims, batch.now)
    return [each for each in found if each.pot not in theirs]


def charge(
    tx: Connection, batch: Batch, row: Any, voucher: Mapping[str, Any], wanted: Sequence[Wanted]
) -> Collection[budgets.Pot]:
    """Charge what a new voucher is worth to pots; return them. Raises ``CustomerCapReached`` and ``OverLimit``."""
    pots = budgets.lock(tx, batch.core, wanted, batch.now)
    amount_minor = voucher["amount_minor"]
    for each in wanted:
        pot = pots[each.pot]
        if not pot.has_room(each.rule, amount_minor):
            if each.rule.asks_approval:
                raise OverLimit(reasons=[each.rule.name])
            raise CustomerCapReached(
                f"The budget “{each.rule.name}” has no room for this.", budget=each.rule.key, scope=each.rule.scope
            )
        pot.rule = each.rule
        changes = budgets.in_unit(each.rule.currency, {"committed_minor": amount_minor, "committed_count": 1})
        batch.move(pot, row.issuance_id, voucher["id"], "commit", changes)
    return pots.values()


def write(tx: Connection, core: Core, row: Any, address: Addressed, channels: Sequence[str]) -> None:
    """Write a new address down, in the place of the old one."""
    values: dict[str, Any] = {
        "contact": core.contacts.encrypt(address.contact.to_text()),
        "locale": address.locale,
        "channels": list(channels),
    }
    if row.customer_id not in address.customers and address.customers:
        values["customer_id"] = address.customers[0]
    tx.execute(issuances.update().where(issuances.c.id == row.issuance_id).values(**values))
