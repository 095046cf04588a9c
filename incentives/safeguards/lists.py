"""Lists: who is trusted, who is refused, and whom somebody looks at. Of a value only its keyed digest is kept."""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.kernel.database import insert_new
from incentives.safeguards.tables import listed_values

FRESH_SECONDS = 0.5
_ANY = "safeguards.lists"  # in the core's cache: whether anything stands on any list

Value = tuple[str, str]
"""A kind and its canonical text: ``("email", "ana@example.com")``."""

HINTED = ("email_domain", "ip_block", "actor")
"""Kinds of values that are no secret: the hint is the value itself, unless it is too long."""


def standing(tx: Connection, core: Core, seconds: Callable[[], float] = elapsed_seconds) -> bool:
    """Return whether anything stands on any list, as of at most ``FRESH_SECONDS`` ago: most houses have none."""
    known = core.cache.get(_ANY)
    asked_at = seconds()
    if known is not None and 0 <= asked_at - known[0] < FRESH_SECONDS:
        return bool(known[1])
    query = sa.select(listed_values.c.id).where(listed_values.c.removed_at.is_(None)).limit(1)
    found = tx.execute(query).first() is not None
    core.cache[_ANY] = (asked_at, found)
    return found


def forget(core: Core) -> None:
    """Forget what was read: called by whoever has changed the lists, once that is committed."""
    core.cache.pop(_ANY, None)


def digests(core: Core, value: Value) -> Sequence[str]:
    """Return a value's keyed digests under every key, the newest first; other than those that customers go by."""
    return core.contacts.digests(*named(value))


def respelled(core: Core, value: Value) -> dict[str, str]:
    """Return what a value's digests under older keys become under the newest."""
    return core.contacts.respelled(*named(value))


def named(value: Value) -> tuple[str, str]:
    """Return a value as its digest is made: of a purpose of its own, and a host in the alphabet of names on the net."""
    kind, text = value
    if kind == "email":
        local, _, host = text.rpartition("@")
        text = f"{local}@{_spelled(host)}"
    return f"listed-{kind}", text


def matching(now: datetime, sought: Iterable[str]) -> sa.Select[Any]:
    """Return a query of the lists (``list``, ``digest``) that any of the digests stands on now."""
    table = listed_values.c
    holds = table.removed_at.is_(None) & (table.expires_at.is_(None) | (table.expires_at > now))
    return sa.select(table.list, table.digest).where(table.digest.in_(sorted(sought)), holds)


def matching_identities(now: datetime) -> sa.Select[Any]:
    """Return a query of what stands on the lists now and tells customers apart (``list``, ``identity_digest``)."""
    table = listed_values.c
    holds = table.removed_at.is_(None) & (table.expires_at.is_(None) | (table.expires_at > now))
    return sa.select(table.list, table.identity_digest).where(table.identity_digest.is_not(None), holds)


def hint(value: Value) -> str:
    """Return by what people know a value again, without telling it: ``a…z@example.com``, ``…0018``."""
    kind, text = value
    if kind == "email":
        local, _, host = text.rpartition("@")
        return f"{local[:1]}…@{host}"[:80]
    if kind in ("phone", "external_ref"):
        return f"…{text[-4:]}" if len(text) > 4 else "…"  # noqa: PLR2004 - as many as the printed last four
    return text[:80]  # a domain, a network and one of the staff are no secret


def domain_of(email: str) -> str:
    """Return the host of an address, as it is listed: the one in the alphabet of names on the net."""
    return _spelled(email.casefold().rpartition("@")[2])


def _spelled(host: str) -> str:
    """Return a host as it is looked up: bücher.example and xn--bcher-kva.example are one."""
    try:
        return host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:  # no host at all; it is refused where it is listed, and reaches nobody where it is given to
        return host


def is_domain(text: str) -> bool:
    """Return whether a text could be a host of addresses."""
    return len(text) <= 253 and bool(re.fullmatch(r"(?=.*\.)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", text))  # noqa: PLR2004


def add(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> set[uuid.UUID]:
    """Put values on lists, but for those that stand there; return the ids of the new entries."""
    return insert_new(tx, listed_values, ("list", "kind", "digest"), rows, where="removed_at IS NULL")


def remove(tx: Connection, listed_id: uuid.UUID, values: Mapping[str, Any]) -> bool:
    """Take an entry off its list; False when that was done before."""
    this = (listed_values.c.id == listed_id) & listed_values.c.removed_at.is_(None)
    return tx.execute(listed_values.update().where(this).values(**values)).rowcount == 1


def free_lapsed(tx: Connection, now: datetime, sought: Iterable[str], by: str) -> None:
    """Take entries off whose time is over, so that the same values may be listed again."""
    table = listed_values.c
    lapsed = table.digest.in_(sorted(sought)) & table.removed_at.is_(None) & (table.expires_at <= now)
    tx.execute(listed_values.update().where(lapsed).values(removed_at=now, removed_by=by))


def respell(tx: Connection, respelled: Mapping[str, str], now: datetime, by: str) -> int:
    """Let entries stand under other digests of their values; return how many. One that stands there twice ends once."""
    table = listed_values.c
    sought = sorted(respelled)
    found = tx.execute(sa.select(listed_values).where(table.digest.in_(sought)).order_by(table.id)).all()
    for row in found:
        new = respelled[row.digest]
        if row.removed_at is None and standing_id(tx, row.list, row.kind, new) is not None:
            remove(tx, row.id, {"removed_at": now, "removed_by": by})
        tx.execute(listed_values.update().where(table.id == row.id).values(digest=new))
    known = tx.execute(sa.select(table.id, table.identity_digest).where(table.identity_digest.in_(sought))).all()
    for each in known:
        new = respelled[each.identity_digest]
        tx.execute(listed_values.update().where(table.id == each.id).values(identity_digest=new))
    return len(found)


def standing_id(tx: Connection, list_name: str, kind: str, digest: str) -> uuid.UUID | None:
    """Return the entry that stands for a value on a list, or None."""
    table = listed_values.c
    this = (table.list == list_name, table.kind == kind, table.digest == digest, table.removed_at.is_(None))
    found: uuid.UUID | None = tx.execute(sa.select(table.id).where(*this)).scalar_one_or_none()
    return found


def by_id(tx: Connection, listed_id: uuid.UUID) -> Any:
    """Return an entry, standing or not, or None."""
    return tx.execute(sa.select(listed_values).where(listed_values.c.id == listed_id)).one_or_none()
