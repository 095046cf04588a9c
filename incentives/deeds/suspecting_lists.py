"""Which lists somebody stands on: by what was said, by whom the customer is known to be, and by who gives.

Not a flow: it opens no transaction.
"""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds import same_hands
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.throttle import block_of
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.recovery.tables import customer_identities
from incentives.safeguards import lists
from incentives.safeguards.lists import Value

LISTED = "list:"
LISTED_PERSON = "list-person:"

Part = sa.Select[str, str, int]
"""A query of what is counted (``name``), for whom (``key``), and how many there are (``number``)."""


def listed_part(now: datetime, sought: set[str]) -> Part:
    """Return a query of the lists that any of the digests stands on, in the form of a count."""
    on = lists.matching(now, sought).subquery()
    name = sa.literal(LISTED, sa.String(40)) + sa.cast(on.c.list, sa.String(40))
    return sa.select(
        name.label("name"), sa.cast(on.c.digest, sa.String(64)).label("key"), sa.literal(1).label("number")
    )


def listed_people(now: datetime, people: Collection[uuid.UUID]) -> list[Part]:
    """Return the query of the lists that anything stands on by which customers are known, named again or not."""
    if not people:
        return []
    on = lists.matching_identities(now).subquery()
    known = customer_identities.c
    name = sa.literal(LISTED_PERSON, sa.String(40)) + sa.cast(on.c.list, sa.String(40))
    key = sa.cast(known.customer_id, sa.String(64)).label("key")
    query = sa.select(name.label("name"), key, sa.literal(1).label("number"))
    query = query.join_from(customer_identities, on, on.c.identity_digest == known.digest)
    return [query.where(known.customer_id.in_(sorted(people, key=str)))]


def made_by(tx: Connection, core: Core, actor: Actor) -> list[str]:
    """Return the digests under which whoever made an API key could be listed; of a person there are none."""
    makers = same_hands.hands_of(tx, core, actor.label) - {actor.label}
    return digests_of(core, [("actor", label) for label in sorted(makers)])


def digests_of(core: Core, values: Sequence[Value]) -> list[str]:
    """Return every digest under which values could be listed."""
    return [digest for value in values for digest in lists.digests(core, value)]


def of_actor(actor: Actor) -> list[Value]:
    """Return what of whoever does it could be listed."""
    block = block_of(actor.ip)
    return [("actor", actor.label), *([("ip_block", block)] if block else [])]


def of_contact(contact: Contact) -> list[Value]:
    """Return what of a customer could be listed, in the form in which it is."""
    names = {"reference": "external_ref"}
    found = [(names.get(kind, kind), text) for kind, text in customers.identities(contact)]
    return [*found, *([("email_domain", lists.domain_of(contact.email))] if contact.email else [])]
