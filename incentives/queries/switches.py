"""Switches: what is stopped, what was, and what each caught in flight."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import api_keys, users
from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import NoCatalog, SwitchNotFound
from incentives.kernel.money import Money
from incentives.messages.outbox import WAITING
from incentives.messages.tables import outbox_messages
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.safeguards.tables import switches
from incentives.spending.tables import approvals
from incentives.vouchers.bulk_tables import bulk_jobs
from incentives.vouchers.tables import issuances, reservations, vouchers

JUST_BEFORE = timedelta(seconds=60)
JUST_AFTER = timedelta(seconds=1)
"""What was given from so long before a switch was set until the second in which it took effect everywhere."""

SHOWN_MOST = 100
_RUNNING = ("running", "stopping")
_STAFF = ("person", "api_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A switch. ``subject_name`` says whom or what it stops in words, where the records know any."""

    id: uuid.UUID
    stops: str
    scope: str
    subject: str
    subject_name: str
    reason: str
    set_by_name: str
    set_at: datetime
    lifted_by_name: str | None
    lifted_at: datetime | None
    lift_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppableKey:
    """An API key that may be stopped; ``prefix`` is how its secret begins, and ``location`` where it is for."""

    id: uuid.UUID
    name: str
    prefix: str
    location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtItem:
    """One thing in flight: its own id, the case it is about where there is one, its money, since when, and a word.

    ``voucher_id`` and ``job_id`` are the voucher that it is or is about, and the bulk job that it is or came from.
    """

    id: uuid.UUID
    case_id: uuid.UUID | None
    voucher_id: uuid.UUID | None
    job_id: uuid.UUID | None
    amount: Money | None
    at: datetime
    location: str | None
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtKind:
    """All of one kind that were in flight: how many, and the newest of them."""

    kind: str
    count: int
    items: Sequence[CaughtItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """What a switch caught in flight: requests, held vouchers, jobs, messages, and what was given just before it.

    What was sent to another address just before is a kind by itself, for that is how vouchers are led astray.
    """

    switch: Switch
    kinds: Sequence[CaughtKind]


def stoppable_keys(*, core: Core, actor: Actor) -> tuple[StoppableKey, ...]:
    """Return the API keys that an actor may stop, by name: those of their own place, or all. Revoked ones do nothing.

    Raises ``NotPermitted``.
    """
    permit(actor, "switches:manage")
    table = api_keys.c
    query = sa.select(table.id, table.name, table.prefix, table.location).where(table.revoked_at.is_(None))
    if actor.location is not None:
        query = query.where(table.location == actor.location)
    with core.database.read() as tx:
        rows = tx.execute(query.order_by(table.name, table.created_at, table.id)).all()
    return tuple(StoppableKey(id=row.id, name=row.name, prefix=row.prefix, location=row.location) for row in rows)


def list_switches(
    *, core: Core, actor: Actor, standing: bool | None = True, limit: int = 50, after: str | None = None
) -> Page[Switch]:
    """Return switches, the newest first: those that are set, those that were lifted (False), or all (None).

    Whoever belongs to a place sees those that stop it, or more than one place.
    """
    permit(actor, "switches:read")
    query = sa.select(switches)
    if standing is not None:
        query = query.where(switches.c.lifted_at.is_(None) if standing else switches.c.lifted_at.is_not(None))
    with core.database.read() as tx:
        query = query.where(_of_place(tx, core, actor))
        found = page(tx, query, switches.c.id, lambda row: row, limit=limit, after=after)
        names = actor_names(tx, {row.subject for row in found.items if row.scope in _STAFF})
        return Page(items=[_switch(row, names) for row in found.items], next=found.next)


def count_standing(*, core: Core, actor: Actor) -> int:
    """Return how many switches are set that an actor sees."""
    permit(actor, "switches:read")
    with core.database.read() as tx:
        standing = (switches.c.lifted_at.is_(None), _of_place(tx, core, actor))
        query = sa.select(sa.func.count()).select_from(switches).where(*standing)
        return int(tx.execute(query).scalar_one())


def _of_place(tx: Connection, core: Core, actor: Actor) -> sa.ColumnElement[bool]:
    """Return what finds the switches that somebody of one place sees: not those of other places alone."""
    if actor.location is None:
        return sa.true()
    table = switches.c
    mine = ("organization", "incentive", "issue_tag", "source")
    found = [table.scope.in_(mine), (table.scope == "location") & (table.subject == actor.location)]
    found.append((table.scope == "team") & table.subject.not_in(_teams_elsewhere(tx, core, actor)))
    for scope, label, people in (("person", "person", users), ("api_key", "key", api_keys)):
        ids = tx.execute(sa.select(people.c.id).where(seen_by(actor, people.c.location))).scalars()
        found.append((table.scope == scope) & table.subject.in_([f"{label}:{each}" for each in ids]))
    return sa.or_(*found)


def _teams_elsewhere(tx: Connection, core: Core, actor: Actor) -> list[str]:
    try:
        teams = releases.cached_current(tx, core).catalog.teams
    except NoCatalog:
        return []
    return [key for key, team in teams.items() if team.location not in (None, actor.location)]


def _switch(row: Any, names: Mapping[str, str]) -> Switch:
    return Switch(
        id=row.id,
        stops=row.stops,
        scope=row.scope,
        subject=row.subject,
        subject_name=names.get(row.subject, row.subject),
        reason=row.reason,
        set_by_name=row.set_by_name,
        set_at=row.set_at,
        lifted_by_name=row.lifted_by_name,
        lifted_at=row.lifted_at,
        lift_reason=row.lift_reason,
    )


def caught(*, core: Core, actor: Actor, switch_id: uuid.UUID) -> Caught:
    """Return what a switch caught in flight, within its scope and where the actor may look.

    Raises ``SwitchNotFound``.
    """
    permit(actor, "switches:read")
    now = core.clock.now()
    with core.database.read() as tx:
        this = (switches.c.id == switch_id, _of_place(tx, core, actor))
        row = tx.execute(sa.select(switches).where(*this)).one_or_none()
        if row is None:
            raise SwitchNotFound
        within = _Scope(row.scope, row.subject, _below(tx, core, row))
        elsewhere = _readdressed(tx, row.set_at)
        kinds = (
            _requests(tx, actor, within, now),
            _holds(tx, actor, within, now),
            _jobs(tx, actor, within),
            _messages(tx, actor, within),
            _given(tx, actor, within, row.set_at, "given", vouchers.c.id.not_in(elsewhere)),
            _given(tx, actor, within, row.set_at, "addresses", vouchers.c.id.in_(elsewhere)),
        )
        names = actor_names(tx, {row.subject} if row.scope in _STAFF else set())
        return Caught(switch=_switch(row, names), kinds=kinds)


@dataclass(frozen=True, slots=True)
class _Scope:
    scope: str
    subject: str
    tags: tuple[str, ...]

    def of_issuance(self) -> sa.ColumnElement[bool]:
        """Return the condition that an issuance is in a switch's scope."""
        if self.scope == "organization":
            return sa.true()
        if self.scope == "issue_tag":
            return issuances.c.issue_tag.in_(self.tags)
        return issuances.c["actor" if self.scope in _STAFF else self.scope] == self.subject

    def of_hold(self) -> sa.ColumnElement[bool]:
        """Return the condition that a hold is: by where and who holds it too."""
        if self.scope == "location":
            return reservations.c.location == self.subject
        if self.scope in ("person", "api_key"):
            return sa.or_(reservations.c.actor == self.subject, self.of_issuance())
        return self.of_issuance()

    def of_job(self) -> sa.ColumnElement[bool]:
        """Return the condition that a bulk job is: by its maker and place, else by what it has given so far."""
        own = {
            "organization": sa.true(),
            "location": bulk_jobs.c.location == self.subject,
            "person": bulk_jobs.c.actor == self.subject,
            "api_key": bulk_jobs.c.actor == self.subject,
        }
        gave = sa.select(issuances.c.id).where(issuances.c.job_id == bulk_jobs.c.id, self.of_issuance()).exists()
        return own.get(self.scope, gave)


def _below(tx: Connection, core: Core, row: Any) -> tuple[str, ...]:
    """Return an issue tag and all below it."""
    if row.scope != "issue_tag":
        return ()
    try:
        catalog = releases.cached_current(tx, core).catalog
    except NoCatalog:
        return (row.subject,)
    return tuple(key for key in catalog.issue_tags if row.subject in catalog.lineage(key)) or (row.subject,)


_OF_ISSUANCE = (
    issuances.c.case_id,
    issuances.c.amount_minor,
    issuances.c.currency,
    issuances.c.location,
    issuances.c.job_id,
)


def _kind(tx: Connection, kind: str, query: sa.Select[Any], at: sa.ColumnElement[Any], word: Any) -> CaughtKind:
    """Return how many rows a query finds, and the newest of them; ``word`` says of a row what it is."""
    count = tx.execute(query.with_only_columns(sa.func.count(), maintain_column_froms=True)).scalar_one()
    rows = tx.execute(query.order_by(at.desc()).limit(SHOWN_MOST)).all() if count else []
    items = [
        CaughtItem(
            id=row.id,
            case_id=row.case_id,
            voucher_id=row.voucher_id,
            job_id=row.job_id,
            amount=None if row.amount_minor is None else Money(row.amount_minor, row.currency),
            at=row.at,
            location=row.location,
            word=word(row),
        )
        for row in rows
    ]
    return CaughtKind(kind=kind, count=int(count), items=items)


def _requests(tx: Connection, actor: Actor, within: _Scope, now: datetime) -> CaughtKind:
    table = approvals.c
    query = (
        sa.select(
            table.id,
            table.requested_at.label("at"),
            sa.null().label("voucher_id"),
            *_OF_ISSUANCE,
            issuances.c.incentive,
        )
        .join(issuances, issuances.c.id == table.issuance_id)
        .where(table.status == "pending", table.expires_at > now, within.of_issuance())
        .where(seen_by(actor, issuances.c.location))
    )
    return _kind(tx, "requests", query, table.requested_at, lambda row: row.incentive)


def _holds(tx: Connection, actor: Actor, within: _Scope, now: datetime) -> CaughtKind:
    table = reservations.c
    query = (
        sa.select(
            table.id,
            table.reserved_at.label("at"),
            table.voucher_id,
            issuances.c.job_id,
            issuances.c.case_id,
            table.amount_minor,
            table.currency,
            table.location,
            table.actor_name,
            vouchers.c.last4,
        )
        .join(vouchers, vouchers.c.id == table.voucher_id)
        .join(issuances, issuances.c.id == vouchers.c.issuance_id)
        .where(table.status == "held", table.expires_at >= now, within.of_hold())
        .where(seen_by(actor, table.location))
    )
    return _kind(tx, "holds", query, table.reserved_at, lambda row: f"…{row.last4}, {row.actor_name}")


def _jobs(tx: Connection, actor: Actor, within: _Scope) -> CaughtKind:
    table = bulk_jobs.c
    query = sa.select(
        table.id,
        table.created_at.label("at"),
        sa.null().label("case_id"),
        sa.null().label("voucher_id"),
        table.id.label("job_id"),
        sa.null().label("amount_minor"),
        sa.null().label("currency"),
        table.location,
        table.file_name,
        table.actor_name,
    ).where(table.status.in_(_RUNNING), within.of_job(), seen_by(actor, table.location))
    return _kind(tx, "jobs", query, table.created_at, lambda row: row.file_name or row.actor_name)


def _messages(tx: Connection, actor: Actor, within: _Scope) -> CaughtKind:
    table = outbox_messages.c
    query = (
        sa.select(table.id, table.created_at.label("at"), table.voucher_id, *_OF_ISSUANCE, table.channel)
        .join(issuances, issuances.c.id == table.issuance_id)
        .where(table.status.in_(WAITING), within.of_issuance(), seen_by(actor, issuances.c.location))
    )
    return _kind(tx, "messages", query, table.created_at, lambda row: row.channel)


def _given(
    tx: Connection, actor: Actor, within: _Scope, set_at: datetime, kind: str, which: sa.ColumnElement[bool]
) -> CaughtKind:
    table = vouchers.c
    query = (
        sa.select(
            table.id, table.issued_at.label("at"), table.id.label("voucher_id"), issuances.c.job_id,
            issuances.c.case_id, table.amount_minor, table.currency, issuances.c.location, issuances.c.incentive,
            table.last4,
        )
        .join(issuances, issuances.c.id == table.issuance_id)
        .where(_just_before(table.issued_at, set_at), within.of_issuance(), which)
        .where(seen_by(actor, issuances.c.location))
    )  # fmt: skip
    return _kind(tx, kind, query, table.issued_at, lambda row: f"{row.incentive} …{row.last4}")


def _just_before(at: sa.ColumnElement[Any], set_at: datetime) -> sa.ColumnElement[bool]:
    return at.between(set_at - JUST_BEFORE, set_at + JUST_AFTER)


def _readdressed(tx: Connection, set_at: datetime) -> list[uuid.UUID]:
    """Return the vouchers that went to another address just before: what the trail says of what was reissued."""
    table = audit_events.c
    query = sa.select(table.facts).where(table.action == "voucher.reissued", _just_before(table.at, set_at))
    return [uuid.UUID(facts["voucher_id"]) for facts in tx.execute(query).scalars() if facts["address_changed"]]
