"""The ledger and the audit trail. All of it is append-only in the database itself."""

import sqlalchemy as sa

from incentives.kernel.database import AmountMinor, JsonColumn, UtcDateTime, metadata

ledger_accounts = sa.Table(
    "ledger_accounts",
    metadata,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.CheckConstraint("kind IN ('asset', 'liability', 'income', 'expense')", name="kind"),
)

ENTRY_KINDS = (
    "voucher-issued",
    "voucher-redeemed",
    "voucher-expired",
    "voucher-voided",
    "voucher-adjusted",
    "voucher-replaced",
    "redemption-reversed",
)

ledger_entries = sa.Table(
    "ledger_entries",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("kind", sa.String(30), nullable=False),
    sa.Column("source_id", sa.Uuid(), nullable=False),  # the voucher or redemption that it is about
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id"), nullable=False, index=True),
    sa.Column("at", UtcDateTime(), nullable=False, index=True),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.String(300), nullable=False),
    sa.UniqueConstraint("kind", "source_id"),
    sa.CheckConstraint(sa.column("kind").in_(ENTRY_KINDS), name="kind"),
)

# One line on one account: debits are positive, credits negative, and each entry sums to zero.
ledger_postings = sa.Table(
    "ledger_postings",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("entry_id", sa.Uuid(), sa.ForeignKey("ledger_entries.id"), nullable=False, index=True),
    sa.Column("account", sa.String(40), sa.ForeignKey("ledger_accounts.key"), nullable=False, index=True),
    sa.Column("amount_minor", AmountMinor(), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.CheckConstraint("amount_minor <> 0", name="not_zero"),
)

audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("at", UtcDateTime(), nullable=False, index=True),
    sa.Column("actor", sa.String(64), nullable=False, index=True),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("action", sa.String(60), nullable=False),
    sa.Column("subject_kind", sa.String(30), nullable=False),
    sa.Column("subject_id", sa.String(64), nullable=False, index=True),
    sa.Column("case_id", sa.Uuid(), index=True),
    sa.Column("reason", sa.Text()),
    sa.Column("facts", JsonColumn, nullable=False),
    sa.Column("request_id", sa.String(64)),
    sa.Column("ip", sa.String(64)),
)

APPEND_ONLY = ("ledger_accounts", "ledger_entries", "ledger_postings", "audit_events")
