"""Balanced entries. Debits are positive and credits negative; an entry that does not sum to zero cannot be made."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from incentives.books.tables import ledger_entries, ledger_postings
from incentives.kernel.core import Core
from incentives.kernel.many import Into, insert_many

# The chart of accounts. A voucher's promise is an expense at once and a liability until it is spent or expires.
EXPENSE = "recovery-expense"
LIABILITY = "voucher-liability"
SETTLEMENT = "redemption-settlement"
BREAKAGE = "breakage"

CHART: tuple[dict[str, str], ...] = (
    {"key": EXPENSE, "name": "Cost of service recovery", "kind": "expense"},
    {"key": LIABILITY, "name": "Vouchers issued and unspent", "kind": "liability"},
    {"key": SETTLEMENT, "name": "Vouchers honored at tills", "kind": "liability"},
    {"key": BREAKAGE, "name": "Promised value that lapsed unspent", "kind": "income"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A balanced whole: lines of account and signed minor units in one currency."""

    id: uuid.UUID
    kind: str
    source_id: uuid.UUID
    voucher_id: uuid.UUID
    currency: str
    lines: Mapping[str, int] = field(default_factory=dict)
    reason: str
    actor: str | None = None  # None: whoever posts it

    def __post_init__(self) -> None:
        """Refuse what does not balance: it is a bug, not a refusal."""
        if sum(self.lines.values()):
            message = f"the entry {self.kind} does not balance"
            raise ValueError(message)


def post(into: Into, *, core: Core, actor: str, now: datetime, entries: Sequence[Entry]) -> None:
    """Write entries with their postings; an entry of nothing but zeros has no postings and is left out."""
    rows: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for entry in entries:
        postings = [
            {
                "id": core.ids.beside(entry.id, now),  # PostgreSQL adds up an entry's lines within one month
                "entry_id": entry.id,
                "account": account,
                "amount_minor": amount,
                "currency": entry.currency,
            }
            for account, amount in entry.lines.items()
            if amount
        ]
        if postings:
            lines += postings
            rows.append(
                {
                    "id": entry.id,
                    "kind": entry.kind,
                    "source_id": entry.source_id,
                    "voucher_id": entry.voucher_id,
                    "at": now,
                    "actor": entry.actor or actor,
                    "reason": entry.reason,
                }
            )
    if rows:
        insert_many(into, ledger_entries, rows)
        insert_many(into, ledger_postings, lines)


def promised(core: Core, voucher: Mapping[str, Any], now: datetime, *, actor: str | None = None) -> Entry:
    """Return the entry of a voucher's issuing: its value is an expense at once, and owed."""
    amount = voucher["amount_minor"]
    return Entry(
        id=core.ids.new(now),
        kind="voucher-issued",
        source_id=voucher["id"],
        voucher_id=voucher["id"],
        currency=voucher["currency"],
        lines={EXPENSE: amount, LIABILITY: -amount},
        reason="A voucher was issued.",
        actor=actor,
    )


def honored(
    core: Core,
    *,
    redemption_id: uuid.UUID,
    voucher_id: uuid.UUID,
    currency: str,
    spent_minor: int,
    forfeited_minor: int,
    overestimated_minor: int,
    now: datetime,
    actor: str | None = None,
) -> Entry:
    """Return the entry of a redemption: what was owed is settled.

    What is left of a fixed value lapses and is breakage; what is left under a percentage's ceiling was never
    promised to be spent and takes the expense back.
    """
    return Entry(
        id=core.ids.new(now),
        kind="voucher-redeemed",
        source_id=redemption_id,
        voucher_id=voucher_id,
        currency=currency,
        lines={
            LIABILITY: spent_minor + forfeited_minor + overestimated_minor,
            SETTLEMENT: -spent_minor,
            BREAKAGE: -forfeited_minor,
            EXPENSE: -overestimated_minor,
        },
        reason="A voucher was redeemed.",
        actor=actor,
    )


def undone(
    core: Core,
    *,
    redemption_id: uuid.UUID,
    voucher_id: uuid.UUID,
    currency: str,
    owed_again_minor: int,
    spent_minor: int,
    unlapsed_minor: int,
    now: datetime,
) -> Entry:
    """Return the opposite of a redemption's entry: what was settled is taken back.

    ``owed_again_minor`` is what the customer has again, ``unlapsed_minor`` what is no breakage any more. The rest is
    the expense's: where nothing is owed again, what was not spent after all has cost nothing.
    """
    return Entry(
        id=core.ids.new(now),
        kind="redemption-reversed",
        source_id=redemption_id,
        voucher_id=voucher_id,
        currency=currency,
        lines={
            LIABILITY: -owed_again_minor,
            SETTLEMENT: spent_minor,
            BREAKAGE: unlapsed_minor,
            EXPENSE: owed_again_minor - spent_minor - unlapsed_minor,
        },
        reason="A redemption was undone.",
    )


def lapsed(
    core: Core, *, voucher_id: uuid.UUID, currency: str, amount_minor: int, expires_at: datetime, now: datetime
) -> Entry:
    """Return the entry of a voucher's expiry: what was owed lapses.

    Once for each end that it has: one that was redeemed, ended with uses left and came back may end a second time.
    """
    return Entry(
        id=core.ids.new(now),
        kind="voucher-expired",
        source_id=uuid.uuid5(voucher_id, expires_at.isoformat()),
        voucher_id=voucher_id,
        currency=currency,
        lines={LIABILITY: amount_minor, BREAKAGE: -amount_minor},
        reason="A voucher expired unspent.",
    )


def voided(core: Core, *, voucher_id: uuid.UUID, currency: str, amount_minor: int, now: datetime) -> Entry:
    """Return the entry of a voucher that was taken back: what was owed is owed no more, and cost nothing."""
    return Entry(
        id=core.ids.new(now),
        kind="voucher-voided",
        source_id=voucher_id,
        voucher_id=voucher_id,
        currency=currency,
        lines={LIABILITY: amount_minor, EXPENSE: -amount_minor},
        reason="A voucher was taken back.",
    )


def adjusted(
    core: Core, *, source_id: uuid.UUID, voucher_id: uuid.UUID, currency: str, delta_minor: int, now: datetime
) -> Entry:
    """Return the entry of a voucher that is worth more, or less: the promise and its cost change alike."""
    return Entry(
        id=core.ids.new(now),
        kind="voucher-adjusted",
        source_id=source_id,
        voucher_id=voucher_id,
        currency=currency,
        lines={EXPENSE: delta_minor, LIABILITY: -delta_minor},
        reason="A voucher's value was changed.",
    )
