"""What was promised and spent from each budget, and the approvals that are waited for."""

import sqlalchemy as sa

from incentives.kernel.database import AmountMinor, JsonColumn, UtcDateTime, metadata

COUNTERS = ("held_minor", "committed_minor", "spent_minor", "held_count", "committed_count", "spent_count")

# One row per budget, per one that it is for (a location, an agent, a customer), per period. The approved catalog
# says how much it may hold; cap_* is what it said at the latest charge, so that the database refuses more by itself.
budget_periods = sa.Table(
    "budget_periods",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("budget", sa.String(340), nullable=False),
    sa.Column("subject", sa.String(120), nullable=False),
    sa.Column("period_key", sa.String(10), nullable=False),
    sa.Column("start_at", UtcDateTime()),
    sa.Column("end_at", UtcDateTime()),
    sa.Column("currency", sa.String(3)),
    sa.Column("on_expiry", sa.String(10), nullable=False),
    sa.Column("cap_minor", AmountMinor()),
    sa.Column("cap_count", sa.BigInteger()),
    *(sa.Column(name, AmountMinor(), nullable=False, server_default="0") for name in COUNTERS),
    sa.UniqueConstraint("budget", "subject", "period_key"),
    sa.CheckConstraint(" AND ".join(f"{name} >= 0" for name in COUNTERS), name="not_negative"),
    sa.CheckConstraint("held_minor + committed_minor + spent_minor <= cap_minor", name="within_cap_minor"),
    sa.CheckConstraint("held_count + committed_count + spent_count <= cap_count", name="within_cap_count"),
    sa.CheckConstraint("on_expiry IN ('release', 'keep')", name="on_expiry"),
)

MOVEMENT_KINDS = ("hold", "commit", "grant", "release", "spend", "breakage")

# Each change of a budget's counters, signed. Append-only: the counters are the sum of these rows.
budget_movements = sa.Table(
    "budget_movements",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("budget_period_id", sa.Uuid(), sa.ForeignKey("budget_periods.id"), nullable=False, index=True),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id"), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("source_id", sa.Uuid(), nullable=False),  # the deed that moved it: an approval, a redemption, a voucher
    *(sa.Column(name, AmountMinor(), nullable=False, server_default="0") for name in COUNTERS),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.UniqueConstraint("issuance_id", "budget_period_id", "kind", "source_id"),
    sa.CheckConstraint(sa.column("kind").in_(MOVEMENT_KINDS), name="kind"),
)

APPROVAL_STATUSES = ("pending", "granted", "declined", "withdrawn", "expired")

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id"), nullable=False, unique=True),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("reasons", JsonColumn, nullable=False),
    sa.Column("requested_amount_minor", AmountMinor(), nullable=False),
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("requested_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", UtcDateTime(), nullable=False),
    sa.Column("granted_amount_minor", AmountMinor()),
    sa.Column("decided_by", sa.String(64)),
    sa.Column("decided_at", UtcDateTime()),
    sa.Column("comment", sa.Text()),
    sa.CheckConstraint(sa.column("status").in_(APPROVAL_STATUSES), name="status"),
    sa.CheckConstraint("decided_by <> requested_by", name="four_eyes"),
    sa.CheckConstraint("granted_amount_minor <= requested_amount_minor", name="never_raised"),
    sa.Index("ix_approvals_status_expires_at", "status", "expires_at"),
)

APPEND_ONLY = ("budget_movements",)
