"""Switches: what is stopped now. Who issues or redeems asks here, and asks the database at most twice a second."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.kernel.database import insert_new
from incentives.safeguards.tables import switches

ISSUING = "issuing"
REDEEMING = "redeeming"
ORGANIZATION = "organization"

FRESH_SECONDS = 0.5
"""For how long a process may trust what it read: half of the second in which a switch must take effect everywhere."""

_IN_FORCE = "safeguards.switches"  # in the core's cache

Name = tuple[str, str, str]
"""What a switch stops, its scope and its subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One switch that is set. ``subject`` is a key, or an actor's label; ``organization`` for all of it."""

    id: uuid.UUID
    stops: str
    scope: str
    subject: str
    reason: str
    set_at: datetime


_SELECT = sa.select(*(switches.c[name] for name in Switch.__dataclass_fields__)).where(switches.c.lifted_at.is_(None))


def in_force(tx: Connection, core: Core, seconds: Callable[[], float] = elapsed_seconds) -> Mapping[Name, Switch]:
    """Return the switches that are set, as they were at most ``FRESH_SECONDS`` ago; one small query when older.

    ``seconds`` is a clock that never goes back: one that is set back would make what was read last for ever.
    """
    known = core.cache.get(_IN_FORCE)
    asked_at = seconds()
    if known is not None and 0 <= asked_at - known[0] < FRESH_SECONDS:
        found: Mapping[Name, Switch] = known[1]
        return found
    rows = tx.execute(_SELECT).all()
    found = {(row.stops, row.scope, row.subject): Switch(**row._asdict()) for row in rows}
    core.cache[_IN_FORCE] = (asked_at, found)  # as of before it was read, for that is how old it is
    return found


def forget(core: Core) -> None:
    """Forget what was read: called by whoever has set or lifted one, once that is committed."""
    core.cache.pop(_IN_FORCE, None)


def stopping(found: Mapping[Name, Switch], stops: str, names: Iterable[tuple[str, str]]) -> Switch | None:
    """Return the first switch that stops any of the scopes and subjects, or None."""
    return next((found[stops, *name] for name in names if (stops, *name) in found), None) if found else None


def add(tx: Connection, row: Mapping[str, Any]) -> bool:
    """Set a switch, unless the very same is set; return whether it was."""
    return bool(insert_new(tx, switches, ("stops", "scope", "subject"), [row], where="lifted_at IS NULL"))


def named(tx: Connection, name: Name) -> Any:
    """Return the switch that is set under a name, or None."""
    stops, scope, subject = name
    table = switches.c
    condition = (table.stops == stops, table.scope == scope, table.subject == subject, table.lifted_at.is_(None))
    return tx.execute(sa.select(switches).where(*condition)).one_or_none()


def by_id(tx: Connection, switch_id: uuid.UUID) -> Any:
    """Return a switch, set or lifted, or None."""
    return tx.execute(sa.select(switches).where(switches.c.id == switch_id)).one_or_none()


def lift(tx: Connection, switch_id: uuid.UUID, values: Mapping[str, Any]) -> bool:
    """Lift a switch; False when it was lifted before. ``values`` say by whom, when and why."""
    this = (switches.c.id == switch_id) & switches.c.lifted_at.is_(None)
    return tx.execute(switches.update().where(this).values(**values)).rowcount == 1
