"""Issuances, the vouchers they made, and how each was spent. No code and no token stands here."""

import sqlalchemy as sa

from incentives.kernel.database import AmountMinor, JsonColumn, UtcDateTime, metadata

ISSUANCE_STATUSES = ("pending_approval", "issued", "declined", "withdrawn", "expired")
VOUCHER_STATUSES = ("issued", "reserved", "redeemed", "voided", "expired", "replaced")

issuances = sa.Table(
    "issuances",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False, index=True),
    sa.Column("customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), index=True),
    sa.Column("issue_tag", sa.String(64), nullable=False),
    sa.Column("severity", sa.SmallInteger(), nullable=False),
    sa.Column("segment", sa.String(64)),
    sa.Column("incentive", sa.String(64), nullable=False),
    sa.Column("incentive_item_id", sa.Uuid(), sa.ForeignKey("catalog_items.id"), nullable=False),
    sa.Column("protocol_item_id", sa.Uuid(), sa.ForeignKey("catalog_items.id"), nullable=False),
    sa.Column("catalog_release_id", sa.Uuid(), sa.ForeignKey("catalog_releases.id"), nullable=False),
    # What the customer is given at most, as the books see it: face value, ceiling, or accounting cost.
    sa.Column("amount_minor", AmountMinor(), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("location", sa.String(64), index=True),
    sa.Column("team", sa.String(64)),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("order_ref", sa.String(200)),
    sa.Column("note", sa.Text()),  # encrypted: staff write down what customers tell them
    sa.Column("metadata", JsonColumn, nullable=False),
    sa.Column("channels", JsonColumn, nullable=False),
    sa.Column("contact", sa.Text()),  # encrypted: the name and the addresses as they were given this time
    sa.Column("locale", sa.String(20), nullable=False),
    sa.Column("requested_at", UtcDateTime(), nullable=False, index=True),
    sa.Column("issued_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("status").in_(ISSUANCE_STATUSES), name="status"),
    sa.CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    sa.CheckConstraint("severity BETWEEN 1 AND 4", name="severity"),
)

vouchers = sa.Table(
    "vouchers",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id"), nullable=False),
    sa.Column("number", sa.SmallInteger(), nullable=False),  # 1, and 2 … for what was left of the one before
    sa.Column("incentive_item_id", sa.Uuid(), sa.ForeignKey("catalog_items.id"), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("amount_minor", AmountMinor(), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("code_key_id", sa.String(16), nullable=False),
    sa.Column("code_digest", sa.String(64), nullable=False, unique=True),
    sa.Column("last4", sa.String(4), nullable=False),
    sa.Column("issued_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", UtcDateTime(), nullable=False),  # the last instant at which it is good
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.UniqueConstraint("issuance_id", "number"),
    sa.CheckConstraint(sa.column("status").in_(VOUCHER_STATUSES), name="status"),
    sa.CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    sa.Index("ix_vouchers_status_expires_at", "status", "expires_at"),
)

redemptions = sa.Table(
    "redemptions",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id"), nullable=False),
    sa.Column("amount_minor", AmountMinor(), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("location", sa.String(64)),
    sa.Column("order_ref", sa.String(200)),
    sa.Column("order_total_minor", AmountMinor()),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("redeemed_at", UtcDateTime(), nullable=False),
    sa.Column("reversed_at", UtcDateTime()),
    sa.Index(
        "uq_redemptions_voucher_id_standing",
        "voucher_id",
        unique=True,
        postgresql_where=sa.text("reversed_at IS NULL"),
        sqlite_where=sa.text("reversed_at IS NULL"),
    ),
    sa.CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
)

# Every try to redeem, with what came of it; of the code only the last four symbols. Append-only.
redemption_attempts = sa.Table(
    "redemption_attempts",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id"), index=True),
    sa.Column("outcome", sa.String(40), nullable=False),
    sa.Column("last4", sa.String(4)),
    sa.Column("location", sa.String(64)),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False),
)

APPEND_ONLY = ("redemption_attempts",)
