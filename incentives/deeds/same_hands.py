"""Whether two actors are known to be one person: who acts by an API key of their own acts with the same hands.

Not a flow: it opens no transaction. Four eyes are two people's, whatever they sign in with.
"""

import uuid
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import api_keys
from incentives.kernel.actors import Actor
from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.queries import mailboxes
from incentives.spending import approving

_MAKERS = "same_hands.makers"  # in the core's cache: who made a key never changes
_EMAILS = "same_hands.emails"  # in the core's cache: what programs give is counted by the second
_FRESH_SECONDS = 0.5


def are_one(tx: Connection, core: Core, actor: Actor, label: str) -> bool:
    """Return whether an actor is whom a label names.

    That is who has the same mailbox, who made the API key that is named, an API key that the named one made, and
    another key of whoever made it, or of whoever shares a mailbox with them. Tills are not asked this: a shop's keys
    are made by somebody who gives there, too.
    """
    return is_any_of(tx, core, actor, [label])


def is_any_of(tx: Connection, core: Core, actor: Actor, labels: Iterable[str]) -> bool:
    """Return whether an actor is one of those that labels name, as ``are_one`` has it; by few statements."""
    one = hands_of(tx, core, actor.label)
    others = {hand for label in labels for hand in hands_of(tx, core, label)}
    if not one.isdisjoint(others):
        return True
    theirs = mailboxes.emails_of(tx, others)
    own = emails_of(tx, core, actor) if theirs else []
    return any(approving.same_mailbox(each, their) for each in own for their in theirs)


def hands_of(tx: Connection, core: Core, label: str) -> set[str]:
    """Return whom a label names, and who made them if they are an API key."""
    return {label, *_makers(tx, core, [label]).values()}


def all_of(tx: Connection, core: Core, actor: Actor) -> set[str]:
    """Return an actor with whoever made them and every API key that one of these has made."""
    hands = hands_of(tx, core, actor.label)
    made = tx.execute(sa.select(api_keys.c.id).where(api_keys.c.created_by.in_(sorted(hands)))).scalars()
    return hands | {f"key:{key_id}" for key_id in made}


def emails_of(tx: Connection, core: Core, actor: Actor) -> list[str]:
    """Return the addresses of an actor, and of whoever made them if they are an API key: an own address is either."""
    if actor.kind != "key":
        return [actor.email] if actor.email else []
    known: dict[str, tuple[float, list[str]]] = core.cache.setdefault(_EMAILS, {})
    asked_at = elapsed_seconds()
    read_at, emails = known.get(actor.label, (-_FRESH_SECONDS, []))
    if asked_at - read_at >= _FRESH_SECONDS:
        emails = mailboxes.emails_of(tx, hands_of(tx, core, actor.label))
        known[actor.label] = (asked_at, emails)
    return emails


def _makers(tx: Connection, core: Core, labels: Iterable[str]) -> dict[str, str]:
    """Return the people who made API keys, by the keys' labels; what the operator made is nobody's."""
    keys = {label for label in labels if label.startswith("key:")}
    known: dict[str, str] = core.cache.setdefault(_MAKERS, {})
    ids = [uuid.UUID(label.removeprefix("key:")) for label in keys - known.keys()]
    if ids:
        rows = tx.execute(sa.select(api_keys.c.id, api_keys.c.created_by).where(api_keys.c.id.in_(ids))).all()
        known.update({f"key:{row.id}": row.created_by for row in rows})
    return {label: known[label] for label in keys if known.get(label, "").startswith("person:")}
