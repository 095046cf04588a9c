"""The books: entries, balances, and the proof that they hold."""

import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.books.ledger import EXPENSE, LIABILITY, SETTLEMENT
from incentives.books.tables import ledger_accounts, ledger_entries, ledger_postings
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries.paging import Page, page
from incentives.spending.tables import COUNTERS, budget_movements, budget_periods
from incentives.vouchers.tables import issuances, redemptions, vouchers

STUCK_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One line on one account; a debit is positive, a credit negative."""

    account: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A balanced whole."""

    id: uuid.UUID
    kind: str
    voucher_id: uuid.UUID
    at: datetime
    actor: str
    reason: str
    postings: tuple[Posting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What stands on an account in one currency."""

    account: str
    name: str
    kind: str
    balance: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One proof about the books: what must hold, whether it does, and the first places where it does not."""

    name: str
    holds: bool
    examined: int
    broken: tuple[str, ...]


def list_entries(*, core: Core, actor: Actor, limit: int = 50, after: str | None = None) -> Page[LedgerEntry]:
    """Return ledger entries with their postings, the newest first."""
    permit(actor, "ledger:read")
    with core.database.read() as tx:
        rows = page(tx, sa.select(ledger_entries), ledger_entries.c.id, lambda row: row, limit=limit, after=after)
        lines = defaultdict(list)
        table = ledger_postings.c
        for row in tx.execute(
            sa.select(ledger_postings).where(table.entry_id.in_([row.id for row in rows.items])).order_by(table.id),
        ):
            lines[row.entry_id].append(Posting(account=row.account, amount=Money(row.amount_minor, row.currency)))
    return Page(
        items=[
            LedgerEntry(
                id=row.id,
                kind=row.kind,
                voucher_id=row.voucher_id,
                at=row.at,
                actor=row.actor,
                reason=row.reason,
                postings=tuple(lines[row.id]),
            )
            for row in rows.items
        ],
        next=rows.next,
    )


def list_balances(*, core: Core, actor: Actor, as_of: datetime | None = None) -> list[Balance]:
    """Return every account's balance in every currency, up to and including an instant (None: now)."""
    permit(actor, "ledger:read")
    line, entry, account = ledger_postings.c, ledger_entries.c, ledger_accounts.c
    query = (
        sa.select(account.key, account.name, account.kind, line.currency, sa.func.sum(line.amount_minor).label("total"))
        .select_from(ledger_postings)
        .join(ledger_entries, entry.id == line.entry_id)
        .join(ledger_accounts, account.key == line.account)
        .group_by(account.key, account.name, account.kind, line.currency)
        .order_by(line.currency, account.key)
    )
    if as_of is not None:
        query = query.where(entry.at <= as_of)
    with core.database.read() as tx:
        rows = tx.execute(query).all()
    return [
        Balance(account=row.key, name=row.name, kind=row.kind, balance=Money(int(row.total), row.currency))
        for row in rows
    ]


def check_books(*, core: Core, actor: Actor) -> list[Check]:
    """Prove the invariants; each check names what breaks it."""
    permit(actor, "books:check")
    now = core.clock.now()
    with core.database.read_snapshot() as tx:  # Proofs compare, so all must speak of the same instant.
        return [check(tx, now) for check in _CHECKS]


def _result(name: str, examined: int, broken: list[str]) -> Check:
    return Check(name=name, holds=not broken, examined=examined, broken=tuple(broken[:10]))


def _count(tx: sa.Connection, table: sa.Table) -> int:
    return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _entries_balance(tx: sa.Connection, _now: datetime) -> Check:
    line = ledger_postings.c
    rows = tx.execute(
        sa.select(line.entry_id, line.currency, sa.func.sum(line.amount_minor))
        .group_by(line.entry_id, line.currency)
        .having(sa.func.sum(line.amount_minor) != 0),
    ).all()
    return _result(
        "every ledger entry balances",
        _count(tx, ledger_entries),
        [f"entry {row[0]} is off by {row[2]} {row[1]}" for row in rows],
    )


def _liability_is_owed(tx: sa.Connection, _now: datetime) -> Check:
    line = ledger_postings.c
    booked = {
        row[0]: int(row[1])
        for row in tx.execute(
            sa.select(line.currency, sa.func.sum(line.amount_minor))
            .where(line.account == LIABILITY)
            .group_by(line.currency),
        )
    }
    owed = {
        row[0]: int(row[1])
        for row in tx.execute(
            sa.select(vouchers.c.currency, sa.func.sum(vouchers.c.amount_minor))
            .where(vouchers.c.status.in_(("issued", "reserved")))
            .group_by(vouchers.c.currency),
        )
    }
    broken = [
        f"{currency}: the ledger owes {-booked.get(currency, 0)}, vouchers are worth {owed.get(currency, 0)}"
        for currency in sorted({*booked, *owed})
        if -booked.get(currency, 0) != owed.get(currency, 0)
    ]
    return _result("liability is the value of outstanding vouchers", _count(tx, vouchers), broken)


def _counters_are_movements(tx: sa.Connection, _now: datetime) -> Check:
    pot, moved = budget_periods.c, budget_movements.c
    sums = (
        sa.select(
            moved.budget_period_id,
            *(sa.func.sum(moved[name]).label(name) for name in COUNTERS),
        )
        .group_by(moved.budget_period_id)
        .subquery()
    )
    off = [pot[name] != sa.func.coalesce(sums.c[name], 0) for name in COUNTERS]
    rows = tx.execute(
        sa.select(pot.budget, pot.subject, pot.period_key)
        .outerjoin(sums, sums.c.budget_period_id == pot.id)
        .where(sa.or_(*off)),
    ).all()
    return _result(
        "each budget's counters are the sum of its movements",
        _count(tx, budget_periods),
        [" ".join(row) for row in rows],
    )


def _budgets_within_caps(tx: sa.Connection, _now: datetime) -> Check:
    pot = budget_periods.c
    over = sa.or_(
        pot.held_minor + pot.committed_minor + pot.spent_minor > pot.cap_minor,
        pot.held_count + pot.committed_count + pot.spent_count > pot.cap_count,
    )
    rows = tx.execute(sa.select(pot.budget, pot.subject, pot.period_key).where(over)).all()
    return _result("no budget is over its cap", _count(tx, budget_periods), [" ".join(row) for row in rows])


def _vouchers_are_issued(tx: sa.Connection, _now: datetime) -> Check:
    # That an issuance has a case, and a voucher an issuance, is a constraint; that the issuance was issued is not.
    rows = tx.execute(
        sa.select(vouchers.c.id)
        .outerjoin(issuances, issuances.c.id == vouchers.c.issuance_id)
        .where(sa.or_(issuances.c.id.is_(None), issuances.c.case_id.is_(None), issuances.c.status != "issued")),
    ).scalars()
    return _result(
        "every voucher has a case and an issuance", _count(tx, vouchers), [f"voucher {each}" for each in rows]
    )


def _vouchers_are_posted(tx: sa.Connection, _now: datetime) -> Check:
    rows = tx.execute(
        sa.select(vouchers.c.id)
        .outerjoin(
            ledger_entries,
            sa.and_(ledger_entries.c.source_id == vouchers.c.id, ledger_entries.c.kind == "voucher-issued"),
        )
        .where(vouchers.c.number == 1, vouchers.c.amount_minor > 0, ledger_entries.c.id.is_(None)),
    ).scalars()
    return _result(
        "every voucher's promise is on the books", _count(tx, vouchers), [f"voucher {each}" for each in rows]
    )


def _redeemed_once(tx: sa.Connection, _now: datetime) -> Check:
    standing = sa.and_(redemptions.c.voucher_id == vouchers.c.id, redemptions.c.reversed_at.is_(None))
    rows = tx.execute(
        sa.select(vouchers.c.id)
        .outerjoin(redemptions, standing)
        .group_by(vouchers.c.id, vouchers.c.status)
        .having(sa.func.count(redemptions.c.id) != sa.case((vouchers.c.status == "redeemed", 1), else_=0)),
    ).scalars()
    return _result(
        "a voucher is redeemed exactly when it has its one redemption",
        _count(tx, redemptions),
        [f"voucher {each}" for each in rows],
    )


def _redemptions_are_settled(tx: sa.Connection, _now: datetime) -> Check:
    line, entry = ledger_postings.c, ledger_entries.c
    settled = (
        sa.select(entry.source_id, sa.func.sum(line.amount_minor).label("total"))
        .join(ledger_postings, line.entry_id == entry.id)
        .where(entry.kind == "voucher-redeemed", line.account == SETTLEMENT)
        .group_by(entry.source_id)
        .subquery()
    )
    rows = tx.execute(
        sa.select(redemptions.c.id)
        .outerjoin(settled, settled.c.source_id == redemptions.c.id)
        .where(redemptions.c.amount_minor != -sa.func.coalesce(settled.c.total, 0))
    ).scalars()
    return _result(
        "every redemption is settled as it was made", _count(tx, redemptions), [f"redemption {each}" for each in rows]
    )


def _promises_are_worth_what_was_booked(tx: sa.Connection, _now: datetime) -> Check:
    line, entry = ledger_postings.c, ledger_entries.c
    rows = tx.execute(
        sa.select(vouchers.c.id)
        .join(ledger_entries, sa.and_(entry.source_id == vouchers.c.id, entry.kind == "voucher-issued"))
        .join(ledger_postings, sa.and_(line.entry_id == entry.id, line.account == EXPENSE))
        .join(issuances, issuances.c.id == vouchers.c.issuance_id)
        .where(
            sa.or_(
                vouchers.c.amount_minor != line.amount_minor,
                issuances.c.amount_minor != line.amount_minor,
                vouchers.c.currency != line.currency,
            )
        )
    ).scalars()
    return _result("every voucher is worth what was booked", _count(tx, vouchers), [f"voucher {each}" for each in rows])


def _holds_wait_for_approval(tx: sa.Connection, _now: datetime) -> Check:
    moved: Any = budget_movements.c
    held = (
        sa.select(moved.issuance_id, sa.func.sum(moved.held_count).label("total"))
        .group_by(moved.issuance_id, moved.budget_period_id)
        .having(sa.func.sum(moved.held_count) != 0)
        .subquery()
    )
    rows = tx.execute(
        sa.select(issuances.c.id)
        .outerjoin(held, held.c.issuance_id == issuances.c.id)
        .where((issuances.c.status == "pending_approval") != held.c.issuance_id.is_not(None))
    ).scalars()
    return _result(
        "budgets hold exactly what waits for an approval", _count(tx, issuances), [f"issuance {each}" for each in rows]
    )


def _nothing_stuck(tx: sa.Connection, now: datetime) -> Check:
    table = outbox_messages.c
    waiting = sa.or_(
        sa.and_(table.status == "queued", table.available_at < now - STUCK_AFTER),
        sa.and_(table.status == "sending", table.lease_until_at < now - STUCK_AFTER),
    )
    rows = tx.execute(sa.select(table.id, table.status).where(waiting)).all()
    return _result(
        "nothing is stuck in the outbox",
        _count(tx, outbox_messages),
        [f"message {row.id} is {row.status}" for row in rows],
    )


def _vouchers_are_charged(tx: sa.Connection, _now: datetime) -> Check:
    moved: Any = budget_movements.c
    charged = sa.select(moved.issuance_id).where(moved.kind.in_(("commit", "grant")))
    rows = tx.execute(sa.select(vouchers.c.id).where(vouchers.c.issuance_id.not_in(charged))).scalars()
    return _result("every voucher was charged to a budget", _count(tx, vouchers), [f"voucher {each}" for each in rows])


_CHECKS: tuple[Callable[[sa.Connection, datetime], Check], ...] = (
    _entries_balance,
    _liability_is_owed,
    _vouchers_are_posted,
    _counters_are_movements,
    _budgets_within_caps,
    _vouchers_are_charged,
    _vouchers_are_issued,
    _redeemed_once,
    _redemptions_are_settled,
    _promises_are_worth_what_was_booked,
    _holds_wait_for_approval,
    _nothing_stuck,
)
