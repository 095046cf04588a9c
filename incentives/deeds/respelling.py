"""Respelling: what is found by a keyed digest of an address, a name or a network is found by the newest key's.

Not a flow: it opens no transaction. A digest does not tell what it was made of, so that it is made anew wherever what
it was made of is met: in a contact that is kept, or in the hint of an entry that is no secret.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.engine import Connection

from incentives.deeds import suspecting_lists
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.messages import suppression
from incentives.queries import came_back
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.safeguards import lists
from incentives.safeguards.lists import Value


def of_contacts(core: Core, contacts: Iterable[Contact]) -> dict[str, str]:
    """Return what digests of contacts under older keys become under the newest."""
    found: dict[str, str] = {}
    for contact in contacts:
        for kind, text in customers.identities(contact):
            found |= core.contacts.respelled(kind, text)
        for _, kind, text in came_back.spelled(contact):
            found |= core.contacts.respelled(kind, text)
        for value in suspecting_lists.of_contact(contact):
            found |= lists.respelled(core, value)
    return found


def of_values(core: Core, values: Iterable[Value]) -> dict[str, str]:
    """Return what digests of listed values under older keys become under the newest."""
    found: dict[str, str] = {}
    for value in values:
        found |= lists.respelled(core, value)
    return found


def respell(tx: Connection, respelled: dict[str, str], now: datetime) -> int:
    """Make digests anew wherever they stand; return how many those were."""
    if not respelled:
        return 0
    by = {"lifted_by": SYSTEM.label, "lifted_by_name": SYSTEM.name, "lifted_at": now, "lift_reason": suppression.TWICE}
    return (
        customers.respell(tx, respelled)
        + lists.respell(tx, respelled, now, SYSTEM.label)
        + suppression.respell(tx, respelled, by)
    )
