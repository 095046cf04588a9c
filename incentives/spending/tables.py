"""What was promised and spent from each budget, and the approvals that are waited for."""

import sqlalchemy as sa

from incentives.kernel.database import AmountMinor, JsonColumn, UtcDateTime, index_where_given, metadata

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
    # What was allotted on top of the cap (or taken from it): the sum of the pot's allocations.
    sa.Column("allotted_minor", AmountMinor(), nullable=False, server_default="0"),
    sa.Column("allotted_count", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("basis", sa.String(10), nullable=False, server_default="face"),
    sa.Column("expected_percent", sa.SmallInteger(), nullable=False, server_default="100"),
    sa.Column("rollover", sa.String(10), nullable=False, server_default="none"),
    sa.UniqueConstraint("budget", "subject", "period_key"),
    sa.CheckConstraint(" AND ".join(f"{name} >= 0" for name in COUNTERS), name="not_negative"),
    # A budget that is charged otherwise than by what is promised may be passed by what is redeemed: that was promised.
    sa.CheckConstraint(
        "basis <> 'face' OR held_minor + committed_minor + spent_minor <= cap_minor + allotted_minor",
        name="within_cap_minor",
    ),
    sa.CheckConstraint(
        "basis <> 'face' OR held_count + committed_count + spent_count <= cap_count + allotted_count",
        name="within_cap_count",
    ),
    sa.CheckConstraint("on_expiry IN ('release', 'keep')", name="on_expiry"),
    sa.CheckConstraint("basis IN ('face', 'expected', 'redemption')", name="basis"),
    sa.CheckConstraint("rollover IN ('none', 'carry_over')", name="rollover"),
    sa.Index("ix_budget_periods_end_at", "end_at"),
)

MOVEMENT_KINDS = ("hold", "commit", "grant", "release", "spend", "breakage", "restore", "adjust")

# Each change of a budget's counters, signed. Append-only: the counters are the sum of these rows.
budget_movements = sa.Table(
    "budget_movements",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("budget_period_id", sa.Uuid(), sa.ForeignKey("budget_periods.id"), nullable=False, index=True),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id")),
    sa.Column("job_id", sa.Uuid(), sa.ForeignKey("bulk_jobs.id")),  # what a whole job holds
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("source_id", sa.Uuid(), nullable=False),  # the deed that moved it: an approval, a redemption, a voucher
    *(sa.Column(name, AmountMinor(), nullable=False, server_default="0") for name in COUNTERS),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.UniqueConstraint("issuance_id", "budget_period_id", "kind", "source_id"),
    sa.CheckConstraint(sa.column("kind").in_(MOVEMENT_KINDS), name="kind"),
    sa.CheckConstraint("(issuance_id IS NULL) <> (job_id IS NULL)", name="of_one"),
    index_where_given(
        "uq_budget_movements_job_id_budget_period_id_kind_source_id",
        "job_id",
        "budget_period_id",
        "kind",
        "source_id",
        unique=True,
    ),
)

ALLOCATION_KINDS = (
    "top_up", "transfer_in", "transfer_out", "adjustment", "carry_in", "carry_out", "break_glass", "override",
    "restored",
)  # fmt: skip

# What a pot may hold beyond its cap, or less, signed. Append-only: ``allotted_*`` is the sum of these rows.
budget_allocations = sa.Table(
    "budget_allocations",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("budget_period_id", sa.Uuid(), sa.ForeignKey("budget_periods.id"), nullable=False),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("source_id", sa.Uuid(), nullable=False),  # the request, issuance, redemption or pot it follows from
    sa.Column("amount_minor", AmountMinor(), nullable=False, server_default="0"),
    sa.Column("amount_count", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("approved_by", sa.String(64)),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("budget_period_id", "kind", "source_id"),
    sa.CheckConstraint(sa.column("kind").in_(ALLOCATION_KINDS), name="kind"),
    sa.CheckConstraint("approved_by <> actor", name="four_eyes"),
)

REQUEST_KINDS = ("top_up", "transfer", "adjustment", "break_glass")
REQUEST_STATUSES = ("pending", "approved", "declined", "withdrawn")

# Somebody wants a budget to hold more, less, or another's money; a second person agrees or does not.
budget_requests = sa.Table(
    "budget_requests",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("budget", sa.String(340), nullable=False),
    sa.Column("subject", sa.String(120), nullable=False),
    sa.Column("period_key", sa.String(10), nullable=False),
    sa.Column("from_budget", sa.String(340)),
    sa.Column("from_subject", sa.String(120)),
    sa.Column("from_period_key", sa.String(10)),
    sa.Column("amount_minor", AmountMinor(), nullable=False, server_default="0"),
    sa.Column("amount_count", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("currency", sa.String(3)),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("requested_by_name", sa.String(200), nullable=False),
    sa.Column("requested_at", UtcDateTime(), nullable=False),
    sa.Column("decided_by", sa.String(64)),
    sa.Column("decided_at", UtcDateTime()),
    sa.Column("comment", sa.String(500)),
    sa.CheckConstraint(sa.column("kind").in_(REQUEST_KINDS), name="kind"),
    sa.CheckConstraint(sa.column("status").in_(REQUEST_STATUSES), name="status"),
    sa.CheckConstraint("status = 'withdrawn' OR decided_by <> requested_by", name="four_eyes"),
    sa.CheckConstraint("(kind = 'transfer') = (from_budget IS NOT NULL)", name="transfer_from"),
    sa.Index("ix_budget_requests_status", "status"),
)

# Who was told that a budget is used so far: once, until it holds so much more that it is not any longer.
budget_alerts = sa.Table(
    "budget_alerts",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("budget_period_id", sa.Uuid(), sa.ForeignKey("budget_periods.id"), nullable=False, index=True),
    sa.Column("threshold_percent", sa.SmallInteger(), nullable=False),
    sa.Column("used_minor", AmountMinor(), nullable=False),
    sa.Column("used_count", sa.BigInteger(), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("rearmed_at", UtcDateTime()),
    sa.Index(
        "uq_budget_alerts_standing",
        "budget_period_id",
        "threshold_percent",
        unique=True,
        postgresql_where=sa.text("rearmed_at IS NULL"),
        sqlite_where=sa.text("rearmed_at IS NULL"),
    ),
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
    sa.Column("policy_item_id", sa.Uuid(), sa.ForeignKey("catalog_items.id")),  # NULL: one level, whoever may decide
    sa.Column("level", sa.SmallInteger(), nullable=False, server_default="1"),
    sa.Column("level_since_at", UtcDateTime()),
    sa.Column("escalates_at", UtcDateTime()),  # when the level passes it on; NULL: it does not
    sa.Column("granted_incentive", sa.String(64)),  # where the approver chose another one
    sa.CheckConstraint(sa.column("status").in_(APPROVAL_STATUSES), name="status"),
    sa.CheckConstraint("status = 'withdrawn' OR decided_by <> requested_by", name="four_eyes"),
    sa.CheckConstraint("granted_amount_minor <= requested_amount_minor", name="never_raised"),
    sa.Index("ix_approvals_status_expires_at", "status", "expires_at"),
    sa.Index("ix_approvals_status_escalates_at", "status", "escalates_at"),
)

# What each approver said; the last that is needed decides. Append-only.
approval_votes = sa.Table(
    "approval_votes",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("approval_id", sa.Uuid(), sa.ForeignKey("approvals.id"), nullable=False),
    sa.Column("level", sa.SmallInteger(), nullable=False),
    sa.Column("decision", sa.String(10), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("on_behalf_of", sa.String(64)),  # whom they stand in for
    sa.Column("amount_minor", AmountMinor()),
    sa.Column("incentive", sa.String(64)),
    sa.Column("comment", sa.Text()),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("approval_id", "actor"),
    sa.UniqueConstraint("approval_id", "on_behalf_of"),
    sa.CheckConstraint("decision IN ('grant', 'decline')", name="decision"),
    sa.CheckConstraint("on_behalf_of <> actor", name="of_another"),
)

# Who decides in whose place, and until when.
delegations = sa.Table(
    "delegations",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("from_user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("to_user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("starts_at", UtcDateTime(), nullable=False),
    sa.Column("ends_at", UtcDateTime(), nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("revoked_by", sa.String(64)),
    sa.Column("revoked_at", UtcDateTime()),
    sa.CheckConstraint("from_user_id <> to_user_id", name="of_another"),
    sa.CheckConstraint("starts_at < ends_at", name="in_order"),
)

APPEND_ONLY = ("budget_movements", "budget_allocations", "approval_votes")
