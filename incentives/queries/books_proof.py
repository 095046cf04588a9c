"""The proof of the ledger and the vouchers: what must hold, asked of every row there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.books.ledger import EXPENSE, LIABILITY, SETTLEMENT
from incentives.books.tables import ledger_entries, ledger_postings
from incentives.messages.tables import outbox_messages
from incentives.vouchers.tables import issuances, redemption_reversals, redemptions, vouchers

STUCK_AFTER = timedelta(hours=1)
NOTHING_STUCK = "nothing is stuck in the outbox"
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One proof about the books: what must hold, whether it does, and the first places where it does not."""

    name: str
    holds: bool
    examined: int
    broken: tuple[str, ...]


Prove = Callable[[sa.Connection, datetime], Check]


def result(name: str, examined: int, broken: Sequence[str]) -> Check:
    """Return a proof by what breaks it."""
    return Check(name=name, holds=not broken, examined=examined, broken=tuple(broken[:_MOST_NAMED]))


def count(tx: sa.Connection, table: sa.Table) -> int:
    """Return how many rows a table has."""
    return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _entries_balance(tx: sa.Connection, _now: datetime) -> Check:
    line = ledger_postings.c
    rows = tx.execute(
        sa.select(line.entry_id, line.currency, sa.func.sum(line.amount_minor))
        .group_by(line.entry_id, line.currency)
        .having(sa.func.sum(line.amount_minor) != 0),
    ).all()
    return result(
        "every ledger entry balances",
        count(tx, ledger_entries),
        [f"entry {row[0]} is off by {row[2]} {row[1]}" for row in rows],
    )


def _left() -> sa.ColumnElement[int]:
    """Return what a voucher is still worth: nothing once it has ended, else its unspent uses.

    Parts that cannot be equal differ by one unit at most, as ``vouchers.shares`` divides them.
    """
    made = vouchers.c
    left = made.amount_minor - made.amount_minor * made.redeemed_count // made.max_redemptions
    return sa.case((made.status.in_(("issued", "reserved")), left), else_=0)


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
        for row in tx.execute(sa.select(vouchers.c.currency, sa.func.sum(_left())).group_by(vouchers.c.currency))
    }
    broken = [
        f"{currency}: the ledger owes {-booked.get(currency, 0)}, vouchers are worth {owed.get(currency, 0)}"
        for currency in sorted({*booked, *owed})
        if -booked.get(currency, 0) != owed.get(currency, 0)
    ]
    return result("liability is the value of outstanding vouchers", count(tx, vouchers), broken)


def _each_promise_is_owed(tx: sa.Connection, _now: datetime) -> Check:
    """Prove for each issuance, whatever vouchers took the place of one another, that what is owed is what is left."""
    line, entry, made = ledger_postings.c, ledger_entries.c, vouchers.c
    booked = (
        sa.select(made.issuance_id, line.currency, sa.func.sum(line.amount_minor).label("total"))
        .select_from(ledger_postings)
        .join(ledger_entries, line.entry_id == entry.id)
        .join(vouchers, made.id == entry.voucher_id)
        .where(line.account == LIABILITY)
        .group_by(made.issuance_id, line.currency)
        .subquery()
    )
    owed = (
        sa.select(made.issuance_id, made.currency, sa.func.sum(_left()).label("total"))
        .group_by(made.issuance_id, made.currency)
        .subquery()
    )
    same = sa.and_(booked.c.issuance_id == owed.c.issuance_id, booked.c.currency == owed.c.currency)
    rows = tx.execute(
        sa.select(owed.c.issuance_id, owed.c.total, sa.func.coalesce(booked.c.total, 0))
        .select_from(owed)
        .outerjoin(booked, same)
        .where(owed.c.total != -sa.func.coalesce(booked.c.total, 0))
    ).all()
    return result(
        "each issuance is owed what its vouchers are worth",
        count(tx, issuances),
        [f"issuance {row[0]}: its vouchers are worth {row[1]}, the ledger owes {-int(row[2])}" for row in rows],
    )


def _vouchers_are_issued(tx: sa.Connection, _now: datetime) -> Check:
    # That an issuance has a case, and a voucher an issuance, is a constraint; that the issuance was issued is not.
    rows = tx.execute(
        sa.select(vouchers.c.id)
        .outerjoin(issuances, issuances.c.id == vouchers.c.issuance_id)
        .where(sa.or_(issuances.c.id.is_(None), issuances.c.case_id.is_(None), issuances.c.status != "issued")),
    ).scalars()
    return result("every voucher has a case and an issuance", count(tx, vouchers), [f"voucher {each}" for each in rows])


def _vouchers_are_posted(tx: sa.Connection, _now: datetime) -> Check:
    rows = tx.execute(
        sa.select(vouchers.c.id)
        .outerjoin(
            ledger_entries,
            sa.and_(ledger_entries.c.source_id == vouchers.c.id, ledger_entries.c.kind == "voucher-issued"),
        )
        .where(vouchers.c.number == 1, vouchers.c.amount_minor > 0, ledger_entries.c.id.is_(None)),
    ).scalars()
    return result("every voucher's promise is on the books", count(tx, vouchers), [f"voucher {each}" for each in rows])


def _uses_are_redemptions(tx: sa.Connection, _now: datetime) -> Check:
    """Prove that a voucher's uses are its redemptions.

    One that was reversed counts all the same, unless the use came back under the same code: its worth went on to
    another voucher, or to nobody.
    """
    done, undone = redemptions.c, redemption_reversals.c
    stands = sa.and_(done.id.is_not(None), sa.or_(done.reversed_at.is_(None), undone.restore != "same_code"))
    uses = sa.func.coalesce(sa.func.sum(sa.case((stands, 1), else_=0)), 0)
    made = vouchers.c
    open_and_used_up = sa.and_(made.status.in_(("issued", "reserved")), made.redeemed_count >= made.max_redemptions)
    rows = tx.execute(
        sa.select(made.id)
        .outerjoin(redemptions, done.voucher_id == made.id)
        .outerjoin(redemption_reversals, undone.redemption_id == done.id)
        .group_by(made.id, made.status, made.redeemed_count, made.max_redemptions)
        .having(sa.or_(uses != made.redeemed_count, open_and_used_up)),
    ).scalars()
    return result(
        "a voucher is used exactly as often as it was redeemed",
        count(tx, redemptions),
        [f"voucher {each}" for each in rows],
    )


def _settled(kind: str) -> sa.Subquery:
    """Return what entries of a kind say of the tills' account, by what they are about."""
    line, entry = ledger_postings.c, ledger_entries.c
    return (
        sa.select(entry.source_id, sa.func.sum(line.amount_minor).label("total"))
        .join(ledger_postings, line.entry_id == entry.id)
        .where(entry.kind == kind, line.account == SETTLEMENT)
        .group_by(entry.source_id)
        .subquery(kind.replace("-", "_"))
    )


def _redemptions_are_settled(tx: sa.Connection, _now: datetime) -> Check:
    done, settled, taken_back = redemptions.c, _settled("voucher-redeemed"), _settled("redemption-reversed")
    reversed_minor = sa.case((done.reversed_at.is_(None), 0), else_=done.amount_minor)
    rows = tx.execute(
        sa.select(done.id)
        .outerjoin(settled, settled.c.source_id == done.id)
        .outerjoin(taken_back, taken_back.c.source_id == done.id)
        .where(
            sa.or_(
                done.amount_minor != -sa.func.coalesce(settled.c.total, 0),
                reversed_minor != sa.func.coalesce(taken_back.c.total, 0),
            )
        )
    ).scalars()
    return result(
        "every redemption is settled as it was made, and taken back where it was reversed",
        count(tx, redemptions),
        [f"redemption {each}" for each in rows],
    )


def _reversals_are_told(tx: sa.Connection, _now: datetime) -> Check:
    done, undone = redemptions.c, redemption_reversals.c
    rows = tx.execute(
        sa.select(done.id)
        .outerjoin(redemption_reversals, undone.redemption_id == done.id)
        .where(done.reversed_at.is_(None) != undone.id.is_(None))
    ).scalars()
    return result(
        "what is reversed has its reversal", count(tx, redemption_reversals), [f"redemption {each}" for each in rows]
    )


def _promises_are_worth_what_was_booked(tx: sa.Connection, _now: datetime) -> Check:
    """Prove that an issuance's amount is what was booked when it was given, with what was adjusted since."""
    line, entry, made, given = ledger_postings.c, ledger_entries.c, vouchers.c, issuances.c
    booked = (
        sa.select(made.issuance_id, line.currency, sa.func.sum(line.amount_minor).label("total"))
        .select_from(ledger_postings)
        .join(ledger_entries, line.entry_id == entry.id)
        .join(vouchers, made.id == entry.voucher_id)
        .where(entry.kind.in_(("voucher-issued", "voucher-adjusted")), line.account == EXPENSE)
        .group_by(made.issuance_id, line.currency)
        .subquery()
    )
    rows = tx.execute(
        sa.select(given.id)
        .join(booked, booked.c.issuance_id == given.id)
        .where(sa.or_(given.amount_minor != booked.c.total, given.currency != booked.c.currency))
    ).scalars()
    return result(
        "every issuance is worth what was booked", count(tx, issuances), [f"issuance {each}" for each in rows]
    )


def _no_voucher_is_worth_more(tx: sa.Connection, _now: datetime) -> Check:
    made, given = vouchers.c, issuances.c
    rows = tx.execute(
        sa.select(made.id)
        .join(issuances, given.id == made.issuance_id)
        .where(
            made.status.in_(("issued", "reserved", "redeemed")),  # What ended is no part of what was adjusted since.
            sa.or_(
                made.amount_minor > given.amount_minor,
                sa.and_(made.number == 1, made.amount_minor != given.amount_minor),
                made.currency != given.currency,
            ),
        )
    ).scalars()
    return result("no voucher is worth more than was given", count(tx, vouchers), [f"voucher {each}" for each in rows])


def _nothing_stuck(tx: sa.Connection, now: datetime) -> Check:
    table: Any = outbox_messages.c
    waiting = sa.or_(
        sa.and_(table.status == "queued", table.available_at < now - STUCK_AFTER),
        sa.and_(table.status == "sending", table.lease_until_at < now - STUCK_AFTER),
    )
    rows = tx.execute(sa.select(table.id, table.status).where(waiting)).all()
    return result(
        NOTHING_STUCK,
        count(tx, outbox_messages),
        [f"message {row.id} is {row.status}" for row in rows],
    )


CHECKS: tuple[Prove, ...] = (
    _entries_balance,
    _liability_is_owed,
    _each_promise_is_owed,
    _vouchers_are_posted,
    _vouchers_are_issued,
    _uses_are_redemptions,
    _redemptions_are_settled,
    _reversals_are_told,
    _promises_are_worth_what_was_booked,
    _no_voucher_is_worth_more,
    _nothing_stuck,
)
