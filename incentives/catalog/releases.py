"""Releases of the catalog in the database: which is in force, and what the versions of its items say."""

import uuid
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.catalog import Catalog, Item, catalog_of, type_of_kind
from incentives.catalog.definitions import BudgetRule, Protocol
from incentives.catalog.incentive import Incentive
from incentives.catalog.tables import catalog_items, catalog_release_items, catalog_releases
from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.kernel.errors import NoCatalog, ReleaseNotFound

DRAFT = "draft"
SCHEDULED = "scheduled"
APPROVED = "approved"
SUPERSEDED = "superseded"
WITHDRAWN = "withdrawn"

_CURRENT = "catalog.current"
_RECENT = "catalog.recent"
_RECENT_SECONDS = 0.5
_INCENTIVE = "catalog.incentive"
_PROTOCOL = "catalog.protocol"

ItemName = tuple[str, str]
"""An item's kind and key, such as ``("incentive", "late-20")``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentCatalog:
    """The catalog in force, and the ids of the very versions it consists of: what a voucher pins."""

    release_id: uuid.UUID
    number: int
    catalog: Catalog
    item_ids: dict[ItemName, uuid.UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release as it stands, without its items. Who proposed and approved it are actors' labels."""

    id: uuid.UUID
    number: int
    based_on_number: int | None
    digest: str
    status: str
    proposed_at: datetime
    proposed_by: str
    approved_at: datetime | None
    approved_by: str | None
    effective_at: datetime | None = None
    rollback_of_number: int | None = None
    reason: str | None = None


_BOUND_NOW = sa.bindparam("now", type_=catalog_releases.c.effective_at.type)
_DUE = (catalog_releases.c.status == SCHEDULED) & (catalog_releases.c.effective_at <= _BOUND_NOW)
_IN_FORCE = (
    sa.select(catalog_releases.c.id, catalog_releases.c.number)
    # What was approved is in force by any clock: a machine's whose clock is behind must not be without a catalog.
    .where((catalog_releases.c.status == APPROVED) | _DUE)
    .order_by(sa.case((_DUE, 0), else_=1))
    .limit(1)
)
_RELEASE = sa.select(*(catalog_releases.c[name] for name in Release.__dataclass_fields__))


def current_number(tx: Connection, now: datetime | None = None) -> int | None:
    """Return the number of the release in force, or None before the first was approved."""
    found = current_release(tx, now)
    return found.number if found else None


def current_release(tx: Connection, now: datetime | None = None) -> Release | None:
    """Return the release in force, or None before the first was approved.

    ``now`` is asked by who only reads; who has settled (``settle``) leaves it out.
    """
    if now is None:
        row = tx.execute(_RELEASE.where(catalog_releases.c.status == APPROVED)).one_or_none()
        return _release(row) if row else None
    found = tx.execute(_IN_FORCE, {"now": now}).one_or_none()
    return release_by_number(tx, found.number) if found else None


def scheduled_release(tx: Connection) -> Release | None:
    """Return the release that is approved for later, if there is one; there is one at most."""
    row = tx.execute(_RELEASE.where(catalog_releases.c.status == SCHEDULED)).one_or_none()
    return _release(row) if row else None


def _release(row: sa.Row[Any]) -> Release:
    return Release(**dict(zip(Release.__dataclass_fields__, row, strict=True)))


def release_by_number(tx: Connection, number: int) -> Release:
    """Return a release, or raise ``ReleaseNotFound``."""
    row = tx.execute(_RELEASE.where(catalog_releases.c.number == number)).one_or_none()
    if row is None:
        raise ReleaseNotFound(f"There is no catalog release {number}.", number=number)
    return _release(row)


def releases(tx: Connection, *, limit: int) -> list[Release]:
    """Return the latest releases, newest first."""
    rows = tx.execute(_RELEASE.order_by(catalog_releases.c.number.desc()).limit(limit))
    return [_release(row) for row in rows]


def load_current(tx: Connection, now: datetime | None = None) -> CurrentCatalog:
    """Return the catalog in force, read whole. Raises ``NoCatalog`` before the first was approved."""
    release = current_release(tx, now)
    if release is None:
        raise NoCatalog
    return _load(tx, release.id, release.number)


def cached_current(tx: Connection, core: Core) -> CurrentCatalog:
    """Return the catalog in force with one small query: what a release consists of never changes.

    One that was scheduled is in force from its instant on, whether anybody settled that or not. Raises ``NoCatalog``.
    """
    row = tx.execute(_IN_FORCE, {"now": core.clock.now()}).one_or_none()
    if row is None:
        raise NoCatalog
    cache = core.cache
    known = cache.get(_CURRENT)
    if isinstance(known, CurrentCatalog) and known.release_id == row.id:
        return known
    current = _load(tx, row.id, row.number)
    cache[_CURRENT] = current
    return current


def recent_current(tx: Connection, core: Core, seconds: Callable[[], float] = elapsed_seconds) -> CurrentCatalog:
    """Return the catalog that was in force half a second ago at most: for who needs its words, and decides nothing.

    Raises ``NoCatalog``.
    """
    known: tuple[float, CurrentCatalog] | None = core.cache.get(_RECENT)
    asked_at = seconds()
    if known is not None and 0 <= asked_at - known[0] < _RECENT_SECONDS:
        return known[1]
    current = cached_current(tx, core)
    core.cache[_RECENT] = (asked_at, current)
    return current


def catalog_of_release(tx: Connection, release_id: uuid.UUID) -> Catalog:
    """Return the catalog of any release, such as a draft that somebody is to approve."""
    return _load(tx, release_id, 0).catalog


def _stood() -> list[sa.ColumnElement[bool]]:
    """Return what finds the releases that were in force, are, or will be by themselves.

    One that was approved for later and withdrawn before was never in force: what it defined, nobody was promised.
    """
    release = catalog_releases.c
    return [release.approved_at.is_not(None), release.status != WITHDRAWN]


def definition_before(tx: Connection, kind: str, key: str) -> Mapping[str, Any] | None:
    """Return what an item was when it was last in force, or is; None if it never was.

    What has left the catalog still stands on vouchers.
    """
    item, release = catalog_items.c, catalog_releases.c
    query = (
        sa.select(item.definition)
        .join(catalog_release_items, catalog_release_items.c.item_id == item.id)
        .join(catalog_releases, release.id == catalog_release_items.c.release_id)
        .where(item.kind == kind, item.key == key, *_stood())
        .order_by(release.number.desc())
        .limit(1)
    )
    found: Mapping[str, Any] | None = tx.execute(query).scalar_one_or_none()
    return found


def budgets_before(tx: Connection, keys: Collection[str]) -> dict[str, BudgetRule]:
    """Return what budgets of some keys were when they were last in force, or are: their pots are there yet."""
    item, release = catalog_items.c, catalog_releases.c
    rows = tx.execute(
        sa.select(item.key, item.definition)
        .join(catalog_release_items, catalog_release_items.c.item_id == item.id)
        .join(catalog_releases, release.id == catalog_release_items.c.release_id)
        .where(item.kind == BudgetRule.item_kind, item.key.in_(keys), *_stood())
        .order_by(release.number),
    ).all()
    return {row.key: BudgetRule.from_definition(row.definition) for row in rows}


def _load(tx: Connection, release_id: uuid.UUID, number: int) -> CurrentCatalog:
    rows = tx.execute(
        sa.select(catalog_items.c.id, catalog_items.c.kind, catalog_items.c.key, catalog_items.c.definition)
        .join(catalog_release_items, catalog_release_items.c.item_id == catalog_items.c.id)
        .where(catalog_release_items.c.release_id == release_id)
        .order_by(catalog_release_items.c.position),
    ).all()
    items = [type_of_kind[row.kind].from_definition(row.definition) for row in rows]
    item_ids = {(row.kind, row.key): row.id for row in rows}
    return CurrentCatalog(release_id=release_id, number=number, catalog=catalog_of(items), item_ids=item_ids)


def incentive_of(tx: Connection, item_id: uuid.UUID, cache: MutableMapping[str, Any]) -> Incentive:
    """Return the very version of an incentive that a voucher pins, whatever the catalog says today.

    Versions never change, so each is read once; there are as many as people wrote, so none is ever forgotten.
    """
    known = cache.get(f"{_INCENTIVE}:{item_id}")
    if isinstance(known, Incentive):
        return known
    incentive = incentives_of(tx, {item_id})[item_id]
    cache[f"{_INCENTIVE}:{item_id}"] = incentive
    return incentive


def protocol_of(tx: Connection, item_id: uuid.UUID, cache: MutableMapping[str, Any]) -> Protocol:
    """Return the very version of a protocol that a case is worked by, whatever the catalog says today."""
    known = cache.get(f"{_PROTOCOL}:{item_id}")
    if isinstance(known, Protocol):
        return known
    query = sa.select(catalog_items.c.definition).where(catalog_items.c.id == item_id)
    protocol = Protocol.from_definition(tx.execute(query).scalar_one())
    cache[f"{_PROTOCOL}:{item_id}"] = protocol
    return protocol


def incentives_of(tx: Connection, item_ids: set[uuid.UUID]) -> dict[uuid.UUID, Incentive]:
    """Return versions of incentives by the ids of their items."""
    query = sa.select(catalog_items.c.id, catalog_items.c.definition).where(
        catalog_items.c.id.in_(item_ids),
        catalog_items.c.kind == Incentive.item_kind,
    )
    return {row.id: Incentive.from_definition(row.definition) for row in tx.execute(query)}


def lock(tx: Connection) -> None:
    """Keep every other proposal and approval waiting until this transaction ends; readers go on.

    Who publishes decides from what is in force and what is proposed, so both must stand still. On SQLite the
    transaction itself is that lock. Keys that point at a release or an item are not held up by this one.
    """
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql("LOCK TABLE catalog_releases IN SHARE ROW EXCLUSIVE MODE")


def draft_with(tx: Connection, digest: str) -> Release | None:
    """Return the open draft of the very same catalog, if there is one."""
    row = tx.execute(
        _RELEASE.where(catalog_releases.c.status == DRAFT, catalog_releases.c.digest == digest)
    ).one_or_none()
    return _release(row) if row else None


def add_draft(
    tx: Connection,
    *,
    core: Core,
    now: datetime,
    by: str,
    catalog: Catalog,
    based_on_number: int | None,
    rollback_of_number: int | None = None,
    reason: str | None = None,
) -> Release:
    """Write a new draft. An item that was ever defined alike is used again; what is new is a new version."""
    last = tx.execute(sa.select(sa.func.max(catalog_releases.c.number))).scalar() or 0
    release = Release(
        id=core.ids.new(now),
        number=last + 1,
        based_on_number=based_on_number,
        digest=catalog.digest,
        status=DRAFT,
        proposed_at=now,
        proposed_by=by,
        approved_at=None,
        approved_by=None,
        rollback_of_number=rollback_of_number,
        reason=reason,
    )
    item_ids = _item_ids(tx, core=core, now=now, by=by, catalog=catalog)
    tx.execute(catalog_releases.insert(), {name: getattr(release, name) for name in Release.__dataclass_fields__})
    members = [
        {"release_id": release.id, "item_id": item_id, "position": position}
        for position, item_id in enumerate(item_ids)
    ]
    tx.execute(catalog_release_items.insert(), members)
    return release


def _item_ids(tx: Connection, *, core: Core, now: datetime, by: str, catalog: Catalog) -> list[uuid.UUID]:
    columns = catalog_items.c
    known: dict[tuple[str, str, str], uuid.UUID] = {}
    versions: dict[ItemName, int] = {}
    for row in tx.execute(sa.select(columns.id, columns.kind, columns.key, columns.digest, columns.version)):
        known[row.kind, row.key, row.digest] = row.id
        versions[row.kind, row.key] = max(row.version, versions.get((row.kind, row.key), 0))
    rows, item_ids = [], []
    for item in catalog.items():
        name = (item.item_kind, item.key, item.digest)
        if name not in known:
            known[name] = core.ids.new(now)
            version = versions.get((item.item_kind, item.key), 0) + 1
            rows.append(_item_row(item, known[name], version) | {"created_at": now, "created_by": by})
        item_ids.append(known[name])
    if rows:
        tx.execute(catalog_items.insert(), rows)
    return item_ids


def _item_row(item: Item, item_id: uuid.UUID, version: int) -> dict[str, Any]:
    return {
        "id": item_id,
        "kind": item.item_kind,
        "key": item.key,
        "version": version,
        "definition": item.definition(),
        "digest": item.digest,
    }


def put_in_force(tx: Connection, *, number: int, by: str, now: datetime) -> bool:
    """Supersede the release in force and approve a draft in its place; False when it was no draft any more.

    Other drafts are withdrawn: what their approver would be shown is a difference from a catalog that is no
    longer the one in force.
    """
    status = catalog_releases.c.status
    tx.execute(catalog_releases.update().where(status == APPROVED).values(status=SUPERSEDED))
    this = (catalog_releases.c.number == number) & (status == DRAFT)
    approved = {"status": APPROVED, "approved_at": now, "approved_by": by, "effective_at": now}
    done = tx.execute(catalog_releases.update().where(this).values(**approved))
    tx.execute(catalog_releases.update().where(status == DRAFT).values(status=WITHDRAWN))
    return done.rowcount == 1


def schedule(tx: Connection, *, number: int, by: str, now: datetime, effective_at: datetime) -> bool:
    """Approve a draft for later; False when it was no draft any more. Other drafts stay until it is in force."""
    this = (catalog_releases.c.number == number) & (catalog_releases.c.status == DRAFT)
    values = {"status": SCHEDULED, "approved_at": now, "approved_by": by, "effective_at": effective_at}
    return tx.execute(catalog_releases.update().where(this).values(**values)).rowcount == 1


def settle(tx: Connection, now: datetime) -> Release | None:
    """Write down that a scheduled release is in force, once its instant has come; return it, if it was that.

    It is in force from its instant on, whether anybody settles that or not; who writes releases does so first. Drafts
    that were proposed before are withdrawn, for their approvers would be shown another difference.
    """
    due = scheduled_release(tx)
    if due is None or due.effective_at is None or due.effective_at > now:
        return None
    status = catalog_releases.c.status
    tx.execute(catalog_releases.update().where(status == APPROVED).values(status=SUPERSEDED))
    tx.execute(catalog_releases.update().where(catalog_releases.c.id == due.id).values(status=APPROVED))
    tx.execute(catalog_releases.update().where(status == DRAFT).values(status=WITHDRAWN))
    return replace(due, status=APPROVED)


def withdraw(tx: Connection, *, number: int) -> bool:
    """Withdraw a draft, or a release that is scheduled; False when it was neither any more."""
    open_to_it = catalog_releases.c.status.in_((DRAFT, SCHEDULED))
    this = (catalog_releases.c.number == number) & open_to_it
    return tx.execute(catalog_releases.update().where(this).values(status=WITHDRAWN)).rowcount == 1
