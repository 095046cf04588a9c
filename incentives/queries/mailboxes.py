"""Whose mailbox is whose: somebody who signs in by two addresses that lead to one mailbox is one person."""

import uuid
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.kernel.actors import Actor
from incentives.spending.approving import same_mailbox

_PERSON = "person:"


def emails_of(tx: Connection, labels: Iterable[str]) -> list[str]:
    """Return the addresses of the people among those who are named."""
    ids = [uuid.UUID(label.removeprefix(_PERSON)) for label in sorted(labels) if label.startswith(_PERSON)]
    return list(tx.execute(sa.select(users.c.email).where(users.c.id.in_(ids))).scalars()) if ids else []


def shared(tx: Connection, actor: Actor, *labels: str | None) -> bool:
    """Return whether an actor who is a person has the mailbox of somebody who is named, under a sign-in of their own.

    Nobody is looked up for what is no person: at most tills that is an API key.
    """
    if actor.kind != "person" or not actor.email:
        return False
    others = {label for label in labels if label is not None and label != actor.label}
    return any(same_mailbox(actor.email, each) for each in emails_of(tx, others))
