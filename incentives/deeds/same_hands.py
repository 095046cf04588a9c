"""Whether two actors are known to be one person: who acts by an API key of their own acts with the same hands.

Not a flow: it opens no transaction. Four eyes are two people's, whatever they sign in with.
"""

import uuid
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import api_keys, users
from incentives.deeds import owning
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.spending import approving

_MAKERS = "same_hands.makers"  # in the core's cache: who made a key never changes


def are_one(tx: Connection, core: Core, actor: Actor, label: str) -> bool:
    """Return whether an actor is whom a label names.

    That is who has the same mailbox, who made the API key that is named, an API key that the named one made, and
    another key of whoever made it. Tills are not asked this: a shop's keys are made by somebody who gives there, too.
    """
    if label == actor.label or approving.same_mailbox(_email_of(tx, label), actor.email):
        return True
    made_by = _makers(tx, core, (actor.label, label))
    maker = made_by.get(actor.label)
    return maker == label or made_by.get(label) in ({actor.label, maker} - {None})


def _makers(tx: Connection, core: Core, labels: Iterable[str]) -> dict[str, str]:
    """Return the people who made API keys, by the keys' labels; what the operator made is nobody's."""
    keys = {label for label in labels if label.startswith("key:")}
    known: dict[str, str] = core.cache.setdefault(_MAKERS, {})
    ids = [uuid.UUID(label.removeprefix("key:")) for label in keys - known.keys()]
    if ids:
        rows = tx.execute(sa.select(api_keys.c.id, api_keys.c.created_by).where(api_keys.c.id.in_(ids))).all()
        known.update({f"key:{row.id}": row.created_by for row in rows})
    return {label: known[label] for label in keys if known.get(label, "").startswith("person:")}


def _email_of(tx: Connection, label: str) -> str | None:
    user_id = owning.person_id(label)
    if user_id is None:
        return None
    return tx.execute(sa.select(users.c.email).where(users.c.id == user_id)).scalar_one_or_none()
