"""What if: what was given lately is decided once more under another catalog, in a session that cannot write."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import api_keys, users
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.document import parse
from incentives.catalog.releases import CurrentCatalog
from incentives.deeds.replaying import Example, Past, Replay, Sum, Tally, chosen_minor
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid
from incentives.recovery.tables import customers
from incentives.spending.budgets import PotKey
from incentives.spending.tables import approvals, budget_movements, budget_periods
from incentives.vouchers.tables import issuances, redemptions, vouchers

__all__ = ["Example", "Sum", "WhatIf", "WhatIfReport", "what_if"]

DAYS_MOST = 366
_PAGE = 1000
_PROMISES = ("hold", "commit", "grant", "adjust")


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Which catalog: a release by its number, or else the text of a file; and over how many days until now."""

    number: int | None = None
    text: str | bytes | None = None
    days: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """One budget: what was promised out of it in these days, and what would have been; ``bursts`` refused so many.

    Without a currency it counts and holds no money.
    """

    key: str
    name: str
    currency: str | None
    was_minor: int
    would_minor: int
    was_count: int
    would_count: int
    bursts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalLine:
    """What was and would be given for one issue tag, at one location or of one incentive, in one currency."""

    what: str
    key: str
    currency: str
    sums: Sum


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfReport:
    """What another catalog would have made of what was given. ``reasons`` count what would have been refused by reason.

    One may be refused for several reasons. ``not_known`` let pass: their condition rests on what nobody wrote down.
    ``not_replayed`` names incentives of which the catalog lets a case or a customer have only so many open at once:
    that is not counted here, and issuing may refuse more of them.
    """

    number: int | None
    from_at: datetime
    until_at: datetime
    replayed: int
    refused: int
    reasons: Mapping[str, int]
    asked_then: int
    asked_now: int
    not_known: int
    not_replayed: tuple[str, ...]
    budgets: tuple[BudgetLine, ...]
    totals: tuple[TotalLine, ...]
    examples: tuple[Example, ...]


def what_if(*, core: Core, actor: Actor, command: WhatIf) -> WhatIfReport:
    """Return what would have been refused, asked and spent under another catalog.

    Raises ``NotPermitted``, ``ReleaseNotFound``, ``CatalogInvalid`` and ``InputInvalid``.
    """
    permit(actor, "catalog:approve")
    if not 1 <= command.days <= DAYS_MOST:
        message = f"Give a number of days from 1 to {DAYS_MOST}."
        raise InputInvalid(message, errors=[{"field": "days", "message": message}])
    now = core.clock.now()
    from_at = now - timedelta(days=command.days)
    proposed = parse(command.text) if command.text is not None else None
    with core.database.read_snapshot() as tx:
        catalog = proposed or _catalog(tx, command.number)
        replay = Replay(_paper(catalog), _allotted(tx))
        for past in _pasts(tx, core, from_at, now):
            replay.decide(past)
        before = _promised(tx, from_at, now)
        old = releases.current_release(tx, now)
        known = releases.catalog_of_release(tx, old.id) if old else catalog
    return _report(command.number, from_at, now, replay.tally, before, (catalog, known))


def _catalog(tx: Connection, number: int | None) -> Catalog:
    if number is None:
        message = "Name a release, or give a catalog file."
        raise InputInvalid(message, errors=[{"field": "number", "message": message}])
    return releases.catalog_of_release(tx, releases.release_by_number(tx, number).id)


def _paper(catalog: Catalog) -> CurrentCatalog:
    """Return a catalog as if it were in force; nothing is issued under it, so its versions need no ids."""
    return CurrentCatalog(release_id=uuid.UUID(int=0), number=0, catalog=catalog, item_ids={})


def _allotted(tx: Connection) -> dict[PotKey, tuple[int, int]]:
    pots = budget_periods.c
    query = sa.select(pots.budget, pots.subject, pots.period_key, pots.allotted_minor, pots.allotted_count).where(
        (pots.allotted_minor != 0) | (pots.allotted_count != 0)
    )
    return {PotKey(*row[:3]): (row[3], row[4]) for row in tx.execute(query)}


def _window(from_at: datetime, until_at: datetime) -> list[sa.ColumnElement[bool]]:
    """Return the condition for what is replayed: what was given or is asked for, and was not taken back since."""
    of_it = vouchers.c.issuance_id == issuances.c.id
    voided = sa.exists().where(of_it, vouchers.c.status == "voided")
    others = sa.exists().where(of_it, vouchers.c.status.not_in(("voided", "replaced")))
    return [
        issuances.c.requested_at >= from_at,
        issuances.c.requested_at <= until_at,
        issuances.c.status.in_(("issued", "pending_approval")),
        sa.not_(voided) | others,
    ]


_ROW = (
    "id", "issue_tag", "severity", "segment", "incentive", "incentive_item_id", "amount_minor", "currency", "location",
    "team", "order_ref", "locale", "actor", "customer_id", "requested_at",
)  # fmt: skip


def _pasts(tx: Connection, core: Core, from_at: datetime, until_at: datetime) -> Iterator[Past]:
    """Return what was given, the oldest first, a page at a time: ids are in the order of time."""
    known: dict[str, tuple[str | None, str | None]] = {}
    asked = sa.exists().where(approvals.c.issuance_id == issuances.c.id).label("asked")
    columns = [issuances.c[name] for name in _ROW]
    last = _first_id(from_at)
    while True:
        query = sa.select(*columns, asked).where(issuances.c.id > last, *_window(from_at, until_at))
        rows = tx.execute(query.order_by(issuances.c.id).limit(_PAGE)).all()
        if not rows:
            return
        used = _uses(tx, [row.id for row in rows])
        linked = _linked(tx, {row.customer_id for row in rows if row.customer_id})
        _meet(tx, {row.actor for row in rows} - known.keys(), known)
        for row in rows:
            given = releases.incentive_of(tx, row.incentive_item_id, core.cache)
            role, email = known[row.actor]
            yield Past(
                issuance_id=row.id,
                issue_tag=row.issue_tag,
                severity=row.severity,
                segment=row.segment,
                incentive=row.incentive,
                amount_minor=row.amount_minor,
                chosen_minor=chosen_minor(row, given),
                currency=row.currency,
                location=row.location,
                team=row.team,
                order_ref=row.order_ref,
                locale=row.locale,
                actor=row.actor,
                actor_role=role,
                actor_email=email,
                customers=linked.get(row.customer_id, ()),
                asked=row.asked,
                at=row.requested_at,
                uses=tuple(used.get(row.id, ())),
            )
        last = rows[-1].id


def _uses(tx: Connection, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[tuple[datetime, int]]]:
    """Return what was redeemed of issuances when, and was not undone, by issuance."""
    table = redemptions.c
    query = (
        sa.select(vouchers.c.issuance_id, table.redeemed_at, table.amount_minor)
        .join(vouchers, vouchers.c.id == table.voucher_id)
        .where(vouchers.c.issuance_id.in_(ids), table.reversed_at.is_(None))
        .order_by(table.redeemed_at, table.id)
    )
    found: dict[uuid.UUID, list[tuple[datetime, int]]] = {}
    for row in tx.execute(query):
        found.setdefault(row.issuance_id, []).append((row.redeemed_at, row.amount_minor))
    return found


def _first_id(at: datetime) -> uuid.UUID:
    """Return an id before all that were made from an instant on (RFC 9562: an id begins with its milliseconds)."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def _linked(tx: Connection, ids: set[uuid.UUID]) -> dict[uuid.UUID | None, tuple[uuid.UUID, ...]]:
    """Return each customer with all who are the same people, the oldest first."""
    if not ids:
        return {}
    table = customers.c
    theirs = sa.select(table.group_id).where(table.id.in_(ids))
    rows = tx.execute(sa.select(table.id, table.group_id).where(table.group_id.in_(theirs)).order_by(table.id)).all()
    groups: dict[uuid.UUID, tuple[uuid.UUID, ...]] = {}
    for row in rows:
        groups[row.group_id] = (*groups.get(row.group_id, ()), row.id)
    return {row.id: groups[row.group_id] for row in rows}


def _meet(tx: Connection, labels: set[str], known: dict[str, tuple[str | None, str | None]]) -> None:
    """Find out the roles and emails of those who gave; whoever is gone has neither."""
    for table, kind in ((users, "person"), (api_keys, "key")):
        ids = [uuid.UUID(label.partition(":")[2]) for label in labels if label.startswith(f"{kind}:")]
        email = table.c.email if "email" in table.c else sa.null()
        query = sa.select(table.c.id, table.c.role, email.label("email")).where(table.c.id.in_(ids))
        known |= {f"{kind}:{row.id}": (row.role, row.email) for row in tx.execute(query)}
    for label in labels:
        known.setdefault(label, (None, None))


def _promised(tx: Connection, from_at: datetime, until_at: datetime) -> dict[str, tuple[int, int]]:
    """Return what was promised out of each budget for what is replayed, as money and as a number."""
    moved, pots = budget_movements.c, budget_periods.c
    let_go = (moved.kind == "release") & moved.source_id.in_(sa.select(approvals.c.id))
    query = (
        sa.select(
            pots.budget,
            sa.func.sum(moved.held_minor + moved.committed_minor + moved.spent_minor),
            sa.func.sum(moved.held_count + moved.committed_count + moved.spent_count),
        )
        .join(budget_periods, pots.id == moved.budget_period_id)
        .join(issuances, issuances.c.id == moved.issuance_id)
        .where(moved.kind.in_(_PROMISES) | let_go, *_window(from_at, until_at))
        .group_by(pots.budget)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in tx.execute(query)}


def _report(
    number: int | None,
    from_at: datetime,
    until_at: datetime,
    tally: Tally,
    before: Mapping[str, tuple[int, int]],
    catalogs: Sequence[Catalog],
) -> WhatIfReport:
    return WhatIfReport(
        number=number,
        from_at=from_at,
        until_at=until_at,
        replayed=tally.replayed,
        refused=tally.refused,
        reasons=dict(tally.reasons.most_common()),
        asked_then=tally.asked_then,
        asked_now=tally.asked_now,
        not_known=tally.not_known,
        not_replayed=tuple(
            key
            for key, each in catalogs[0].incentives.items()
            if each.exclusive_group is not None or each.most_open_per_customer is not None
        ),
        budgets=tuple(_budget_lines(tally, before, catalogs)),
        totals=tuple(
            TotalLine(what=what, key=key, currency=currency, sums=sums)
            for (what, key, currency), sums in sorted(tally.totals.items(), key=lambda each: each[0])
        ),
        examples=tuple(tally.examples),
    )


def _budget_lines(
    tally: Tally, before: Mapping[str, tuple[int, int]], catalogs: Sequence[Catalog]
) -> Iterator[BudgetLine]:
    """Return each budget of both catalogs, those of the proposed one first."""
    rules: dict[str, Any] = {}
    for catalog in catalogs:
        rules = {**catalog.budgets, **rules} if rules else dict(catalog.budgets)
    for key, rule in rules.items():
        was = before.get(key, (0, 0))
        would = tally.budgets.get(key, Sum())
        yield BudgetLine(
            key=key,
            name=rule.name,
            currency=rule.currency,
            was_minor=was[0] if rule.currency else 0,
            would_minor=would.would_minor,
            was_count=was[1],
            would_count=would.would_count,
            bursts=tally.burst[key],
        )
