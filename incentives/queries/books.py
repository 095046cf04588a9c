"""The books: entries, balances, and the proof that they hold."""

import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from incentives.books.tables import ledger_accounts, ledger_entries, ledger_postings
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.queries import books_budgets, books_proof
from incentives.queries.books_proof import Check
from incentives.queries.paging import Page, page

__all__ = ["Balance", "Check", "LedgerEntry", "Posting", "check_books", "list_balances", "list_entries"]


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
        return [check(tx, now) for check in (*books_proof.CHECKS, *books_budgets.CHECKS)]
