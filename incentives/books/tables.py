"""The ledger and the audit trail, and what seals them: append-only in the database itself, but for the checks' rows."""

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
    postgresql_partition_by="RANGE (id)",  # by month: migration 0013, flow keep_months
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
    postgresql_partition_by="RANGE (id)",  # by month: migration 0010, flow keep_months
)

# A link of the chain: its hash is over the hash before it and over what its parts say. Each is signed.
seals = sa.Table(
    "seals",
    metadata,
    sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("row_count", sa.BigInteger(), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("key_id", sa.String(16), nullable=False),
    sa.Column("signature", sa.String(86), nullable=False),
    sa.CheckConstraint("number > 0", name="number"),
)

# What one seal covers of one book: the id and the SHA-256 of each of its rows, 48 bytes a row, by id.
seal_parts = sa.Table(
    "seal_parts",
    metadata,
    sa.Column("seal_number", sa.BigInteger(), sa.ForeignKey("seals.number"), primary_key=True),
    sa.Column("book", sa.String(40), primary_key=True),
    sa.Column("columns", sa.Text(), nullable=False),  # the columns that were hashed, as a JSON array
    sa.Column("row_count", sa.BigInteger(), nullable=False),
    sa.Column("first_id", sa.Uuid(), nullable=False),
    sa.Column("last_id", sa.Uuid(), nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary(), nullable=False),
    sa.Index("ix_seal_parts_book_first_id", "book", "first_id"),
    sa.Index("ix_seal_parts_book_last_id", "book", "last_id"),
)

# What the worker found when it last proved the books. ``due_at`` is unique: of several workers one proves.
books_checks = sa.Table(
    "books_checks",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("due_at", UtcDateTime(), nullable=False, unique=True),
    sa.Column("started_at", UtcDateTime(), nullable=False),
    sa.Column("ended_at", UtcDateTime()),
    sa.Column("whole", sa.Boolean(), nullable=False),  # every seal was verified, not only the new ones
    sa.Column("holds", sa.Boolean()),
    sa.Column("seal_number", sa.BigInteger()),  # the last seal that was verified
    sa.Column("seal_hash", sa.String(64)),
    sa.Column("examined", sa.BigInteger()),
    sa.Column("broken", JsonColumn),
    sa.CheckConstraint("(ended_at IS NULL) = (holds IS NULL)", name="ended"),
)

APPEND_ONLY = ("ledger_accounts", "ledger_entries", "ledger_postings", "audit_events", "seals", "seal_parts")
