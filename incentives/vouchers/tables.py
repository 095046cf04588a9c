"""Issuances, the vouchers they made, and how each was spent. No code and no token stands here."""

import sqlalchemy as sa

from incentives.kernel.database import AmountMinor, JsonColumn, UtcDateTime, index_where_given, metadata

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
    sa.Column("message", sa.Text()),  # encrypted: a personal line that goes into the letter
    sa.Column("source", sa.String(64)),  # the feedback source that a rule gave for
    sa.Column("job_id", sa.Uuid(), sa.ForeignKey("bulk_jobs.id")),
    sa.Column("ip_block", sa.String(45)),  # the network it was asked from, never the whole address
    sa.Column("undo_until_at", UtcDateTime()),  # until then its giver may take it back, and nothing was sent yet
    sa.Column("deliver_after_at", UtcDateTime()),  # nothing about it is sent before
    sa.Column("metadata", JsonColumn, nullable=False),
    sa.Column("channels", JsonColumn, nullable=False),
    sa.Column("contact", sa.Text()),  # encrypted: the name and the addresses as they were given this time
    sa.Column("locale", sa.String(20), nullable=False),
    sa.Column("requested_at", UtcDateTime(), nullable=False, index=True),
    sa.Column("issued_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("status").in_(ISSUANCE_STATUSES), name="status"),
    sa.CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    sa.CheckConstraint("severity BETWEEN 1 AND 4", name="severity"),
    sa.Index("ix_issuances_actor_requested_at", "actor", "requested_at"),
    sa.Index("ix_issuances_ip_block_requested_at", "ip_block", "requested_at"),
    sa.Index("ix_issuances_issued_at", "issued_at"),  # reports of a period read that period
    index_where_given("ix_issuances_job_id", "job_id"),
)

vouchers = sa.Table(
    "vouchers",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id"), nullable=False),
    sa.Column("number", sa.SmallInteger(), nullable=False),  # 1, and 2 … for what came in the place of the one before
    sa.Column("replaces_id", sa.Uuid(), sa.ForeignKey("vouchers.id")),
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
    # It is worth ``amount_minor`` in all, an equal part of it at each of so many redemptions.
    sa.Column("max_redemptions", sa.SmallInteger(), nullable=False, server_default="1"),
    sa.Column("redeemed_count", sa.SmallInteger(), nullable=False, server_default="0"),
    # A hold that is over holds nothing, whether anybody swept it or not.
    sa.Column("reservation_id", sa.Uuid()),
    sa.Column("reserved_until_at", UtcDateTime()),
    sa.Column("frozen_at", UtcDateTime()),
    sa.Column("frozen_until_at", UtcDateTime()),  # NULL while frozen: until somebody unfreezes it
    sa.Column("extended_days", sa.SmallInteger(), nullable=False, server_default="0"),
    sa.Column("shown_to", sa.String(64)),  # whom its code was shown in the place of another's: who does not redeem it
    sa.UniqueConstraint("issuance_id", "number"),
    sa.CheckConstraint(sa.column("status").in_(VOUCHER_STATUSES), name="status"),
    sa.CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    sa.CheckConstraint("redeemed_count BETWEEN 0 AND max_redemptions", name="redeemed_within"),
    sa.CheckConstraint("status <> 'redeemed' OR redeemed_count = max_redemptions", name="redeemed_is_used_up"),
    sa.CheckConstraint(
        "status <> 'reserved' OR (reservation_id IS NOT NULL AND reserved_until_at IS NOT NULL)", name="reserved_by"
    ),
    sa.CheckConstraint("reserved_until_at <= expires_at", name="held_while_good"),
    sa.Index("ix_vouchers_status_expires_at", "status", "expires_at"),
    index_where_given("uq_vouchers_replaces_id", "replaces_id", unique=True),
)

redemptions = sa.Table(
    "redemptions",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id"), nullable=False, index=True),
    sa.Column("amount_minor", AmountMinor(), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("location", sa.String(64)),
    sa.Column("order_ref", sa.String(200)),
    sa.Column("order_total_minor", AmountMinor()),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("use_number", sa.SmallInteger(), nullable=False, server_default="1"),
    sa.Column("settled_minor", AmountMinor()),  # what of the voucher's worth it used up, the lapsed part included
    sa.Column("order_initial_minor", AmountMinor()),  # the order before any discount, where the till told it
    sa.Column("order_items", JsonColumn),
    sa.Column("metadata", JsonColumn),  # what the till adds to it
    sa.Column("reservation_id", sa.Uuid(), sa.ForeignKey("reservations.id")),
    sa.Column("remainder_id", sa.Uuid(), sa.ForeignKey("vouchers.id")),  # the voucher over what was left
    sa.Column("redeemed_at", UtcDateTime(), nullable=False, index=True),
    sa.Column("reversed_at", UtcDateTime()),
    sa.Index(
        "uq_redemptions_voucher_id_use_number_standing",
        "voucher_id",
        "use_number",
        unique=True,
        postgresql_where=sa.text("reversed_at IS NULL"),
        sqlite_where=sa.text("reversed_at IS NULL"),
    ),
    index_where_given("ix_redemptions_order_ref", "order_ref"),
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
    sa.Column("ip_block", sa.String(45)),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Index("ix_redemption_attempts_at", "at"),
    sa.Index("ix_redemption_attempts_actor_at", "actor", "at"),
    sa.Index("ix_redemption_attempts_ip_block_at", "ip_block", "at"),
)

# What undid a redemption: at most one, for ever. Append-only.
redemption_reversals = sa.Table(
    "redemption_reversals",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("redemption_id", sa.Uuid(), sa.ForeignKey("redemptions.id"), nullable=False, unique=True),
    sa.Column("kind", sa.String(10), nullable=False),  # an annulment is a till's own, within minutes
    sa.Column("restore", sa.String(10), nullable=False),
    sa.Column("amount_minor", AmountMinor(), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id")),  # what the customer has again
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.CheckConstraint("kind IN ('reversal', 'annulment')", name="kind"),
    sa.CheckConstraint("restore IN ('same_code', 'new_code', 'none')", name="restore"),
)

RESERVATION_STATUSES = ("held", "committed", "released", "lapsed")

# A till holds a voucher while a sale is paid. One that is held past ``expires_at`` has lapsed, swept or not.
reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id"), nullable=False, index=True),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("location", sa.String(64)),
    sa.Column("order_ref", sa.String(200)),
    sa.Column("order_total_minor", AmountMinor()),
    sa.Column("order_initial_minor", AmountMinor()),
    sa.Column("order_items", JsonColumn),
    sa.Column("metadata", JsonColumn),
    sa.Column("amount_minor", AmountMinor(), nullable=False),  # what committing it as it stands would take off
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("reserved_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", UtcDateTime(), nullable=False),
    sa.Column("ended_at", UtcDateTime()),
    sa.Column("ended_by", sa.String(64)),
    sa.Column("end_reason", sa.String(500)),
    sa.Column("redemption_id", sa.Uuid()),
    sa.CheckConstraint(sa.column("status").in_(RESERVATION_STATUSES), name="status"),
    sa.CheckConstraint("(status = 'held') = (ended_at IS NULL)", name="ended"),
    sa.Index(
        "uq_reservations_one_held",
        "voucher_id",
        unique=True,
        postgresql_where=sa.text("status = 'held'"),
        sqlite_where=sa.text("status = 'held'"),
    ),
)

APPEND_ONLY = ("redemption_attempts", "redemption_reversals")
