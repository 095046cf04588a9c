"""Suspecting an address: which signals of abuse a customer's address shows after the gift, and what follows.

Not a flow: it opens no transaction. Whoever changes an address gives to somebody, and is asked the same as at issuing:
the lists, whether it is their own, and how often they gave to these people. How often somebody gives at all is no
question here. Whoever raises what was given, or grants it, is asked too. Everything is counted by one statement or
none.
"""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.safeguarding import AbusePolicy
from incentives.deeds import same_hands
from incentives.deeds.batch import Batch
from incentives.deeds.suspecting import HELD, by_list, counting, is_own, own_contacts, own_customers
from incentives.deeds.suspecting_lists import (
    LISTED,
    LISTED_PERSON,
    Part,
    digests_of,
    listed_part,
    listed_people,
    made_by,
    of_actor,
    of_contact,
)
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards
from incentives.kernel.money import Money
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.safeguards import lists, reviews, signals
from incentives.safeguards.signals import Rule, Suspicion
from incentives.safeguards.tables import LISTS
from incentives.vouchers.tables import issuances, vouchers

_LIST_OF = {f"{LISTED_PERSON}{name}": f"{LISTED}{name}" for name in LISTS}


def look(
    tx: Connection,
    core: Core,
    actor: Actor,
    row: Any,
    contact: Contact,
    people: Collection[uuid.UUID],
    own: Collection[uuid.UUID],
    policy: AbusePolicy,
    now: datetime,
) -> Suspicion:
    """Return what sending a voucher, whose row is as ``aftercare.take`` gives it, to a contact is suspected of.

    ``people`` are the customers behind the contact with all who are the same, ``own`` those that the actor is.
    """
    rules = signals.rules(policy.signals, signals.ISSUING)
    often = rules.get(signals.SAME_CUSTOMER) if actor.kind == "person" else None
    parts, makers = [_given_to(actor, row, people, often, now)] if often and people else [], []
    if lists.standing(tx, core):
        makers = made_by(tx, core, actor)
        values = digests_of(core, [*of_actor(actor), *of_contact(contact)])
        parts += [listed_part(now, {*makers, *values}), *listed_people(now, people)]
    rows = tx.execute(sa.union_all(*parts)).all() if parts else ()
    counts = {_LIST_OF.get(each.name, each.name): each.number for each in rows if not _trusts(each, makers)}
    if f"{LISTED}deny" in counts:
        return signals.suspicion([(by_list(signals.DENIED, signals.BLOCK), 1)])
    if f"{LISTED}allow" in counts:
        return signals.NOTHING
    found = [(by_list(signals.REVIEWED, signals.HOLD), 1)] if f"{LISTED}review" in counts else []
    itself = rules.get(signals.SELF_DEALING)
    if itself and (is_own(same_hands.emails_of(tx, core, actor), contact) or not set(own).isdisjoint(people)):
        found.append((itself, 1))
    if often and counts.get(signals.SAME_CUSTOMER, 0) >= often.count:
        found.append((often, counts[signals.SAME_CUSTOMER] + 1))
    return signals.suspicion(found)


def look_at_present(
    tx: Connection, core: Core, actor: Actor, row: Any, policy: AbusePolicy, now: datetime
) -> tuple[Contact, Suspicion]:
    """Return whom a voucher was given to, and what giving them more by it is suspected of."""
    contact = Contact.from_text(core.contacts.decrypt(row.contact))
    people = customers.together(tx, [row.customer_id]) if row.customer_id else ()
    own = known_as(tx, core, actor)
    return contact, look(tx, core, actor, row, contact, people, own, policy, now)


def known_as(tx: Connection, core: Core, actor: Actor) -> tuple[uuid.UUID, ...]:
    """Return the customers that an actor is known as."""
    themselves = own_contacts(tx, core, actor)
    return own_customers(core, themselves, customers.known(tx, core, themselves)) if themselves else ()


def is_themselves(tx: Connection, core: Core, actor: Actor, asked: Any) -> bool:
    """Return whether what somebody asked for, as an approval's row says it, would go to an actor."""
    themselves = own_contacts(tx, core, actor)
    emails = [each.email for each in themselves if each.email]
    if is_own(emails, Contact.from_text(core.contacts.decrypt(asked.contact))):
        return True
    return asked.customer_id is not None and customers.is_one_of(tx, core, themselves, asked.customer_id)


def refuse_denied(tx: Connection, core: Core, actor: Actor, asked: Any, policy: AbusePolicy, now: datetime) -> None:
    """Refuse to grant what would be denied by now: to its customer, to whoever asked for it, or to who grants it.

    All else that signals want was put to whoever decides. Raises ``BlockedBySafeguards`` as at issuing.
    """
    if not lists.standing(tx, core):
        return
    contact = Contact.from_text(core.contacts.decrypt(asked.contact))
    people = customers.together(tx, [asked.customer_id]) if asked.customer_id else ()
    hands = same_hands.hands_of(tx, core, actor.label) | same_hands.hands_of(tx, core, asked.requested_by)
    values = [*of_actor(actor), *of_contact(contact), *(("actor", label) for label in sorted(hands))]
    parts = [listed_part(now, set(digests_of(core, values))), *listed_people(now, people)]
    on = {_LIST_OF.get(each.name, each.name) for each in tx.execute(sa.union_all(*parts))}
    if f"{LISTED}deny" in on:
        found = signals.suspicion([(by_list(signals.DENIED, signals.BLOCK), 1)])
        worth = Money(asked.requested_amount_minor, asked.currency)
        refuse(core, actor, asked, contact, worth, found, policy, now)


def _given_to(actor: Actor, row: Any, people: Collection[uuid.UUID], often: Rule, now: datetime) -> Part:
    """Return the query that counts what the actor gave to these people beside this."""
    table = issuances.c
    since = table.requested_at > now - timedelta(minutes=often.minutes)
    theirs = table.customer_id.in_(sorted(people, key=str)) & (table.id != row.issuance_id)
    return counting(signals.SAME_CUSTOMER, sa.null(), table.actor == actor.label, since, theirs)


def _trusts(row: Any, makers: Collection[str]) -> bool:
    """Return whether it is the allow list that whoever made an API key stands on: they are trusted in person."""
    return row.name == f"{LISTED}allow" and row.key in makers


def refuse(
    core: Core, actor: Actor, row: Any, contact: Contact, worth: Money, found: Suspicion, policy: AbusePolicy,
    now: datetime,
) -> None:  # fmt: skip
    """Refuse what signals block: ``BlockedBySafeguards`` with the review that is left of it, as at issuing."""
    if found.action != signals.BLOCK:
        return
    refusal = BlockedBySafeguards()
    known_by = customers.identities(contact)
    whose = core.contacts.digests(*known_by[0])[0][:32] if known_by else str(row.customer_id)
    subject = f"{actor.label}/{whose}/{found.names[0]}"
    refusal.review = {
        "stop_actor": found.stop_actor,
        **_review(core, actor, row, subject, signals.BLOCK, worth, found, policy, now),
    }
    raise refusal


def hold_back(batch: Batch, row: Any, voucher: dict[str, Any], found: Suspicion, policy: AbusePolicy) -> bool:
    """Freeze the voucher that goes to a new address, hold its messages and open a review; False where nothing wants it.

    What wants a second person at issuing waits for one here too: a review is the way to be asked.
    """
    if found.action not in (signals.HOLD, signals.STEP_UP):
        return False
    voucher["frozen_at"] = batch.now
    for message in batch.messages:
        message["status"] = HELD
    worth = Money(voucher["amount_minor"], voucher["currency"])
    batch.reviews.append(
        _review(batch.core, batch.actor, row, str(voucher["id"]), signals.HOLD, worth, found, policy, batch.now)
    )
    return True


def freeze(tx: Connection, batch: Batch, row: Any, total_minor: int, found: Suspicion, policy: AbusePolicy) -> bool:
    """Freeze a voucher that was raised, and open a review; False where nothing wants it. Its messages wait with it."""
    if found.action not in (signals.HOLD, signals.STEP_UP):
        return False
    tx.execute(vouchers.update().where(vouchers.c.id == row.id).values(frozen_at=batch.now, frozen_until_at=None))
    worth = Money(total_minor, row.currency)
    batch.reviews.append(
        _review(batch.core, batch.actor, row, str(row.id), signals.HOLD, worth, found, policy, batch.now)
    )
    return True


def _review(
    core: Core,
    actor: Actor,
    row: Any,
    subject: str,
    action: str,
    worth: Money,
    found: Suspicion,
    policy: AbusePolicy,
    now: datetime,
) -> dict[str, Any]:
    return reviews.opened(
        core=core,
        actor=actor,
        now=now,
        kind="issuance",
        subject_id=subject,
        issuance_id=row.issuance_id,
        action=action,
        signals=found.shown,
        location=row.location,
        amount=worth,
        hours=policy.review_hours,
    )
