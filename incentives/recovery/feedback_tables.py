"""What was reported: the raw request as it came, what was understood of it, and which criteria it fired.

In a file of its own beside ``tables``, which a screen could not hold any more.
"""

import sqlalchemy as sa

from incentives.kernel.database import AmountMinor, JsonColumn, UtcDateTime, metadata

INBOX_STATUSES = ("received", "understood", "waiting", "ignored")
KINDS = ("survey", "complaint", "employee_report", "event")
EVENTS = ("order_late", "canceled", "refunded", "outage", "rage_click", "abandoned", "purchase", "other")
SCALES = ("stars_5", "csat", "nps", "ces_7", "percent")

# Every request as it came, before anything of it was understood. What cannot be understood waits for a person.
feedback_inbox = sa.Table(
    "feedback_inbox",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("dedupe_key", sa.String(300), nullable=False),
    sa.Column("body", sa.LargeBinary(), nullable=False),  # encrypted bytes
    sa.Column("headers", sa.Text(), nullable=False),  # encrypted JSON, without credentials
    sa.Column("media_type", sa.String(100), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("received_at", UtcDateTime(), nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("reason", sa.String(500)),  # in words, why it waits or was ignored
    sa.Column("feedback_id", sa.Uuid(), index=True),
    sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("changed_at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("source", "dedupe_key"),
    sa.CheckConstraint(sa.column("status").in_(INBOX_STATUSES), name="status"),
    sa.Index("ix_feedback_inbox_status_received_at", "status", "received_at"),
)

feedback_forms = sa.Table(
    "feedback_forms",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("issue_tag", sa.String(64)),
    sa.Column("location", sa.String(64)),
    sa.Column("scale", sa.String(10), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("closed_at", UtcDateTime()),
)

TAGGED_BY = ("source", "words", "person")
FEEDBACK_STATUSES = ("settling", "acted", "waiting", "ignored")

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("inbox_id", sa.Uuid(), sa.ForeignKey("feedback_inbox.id")),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("external_id", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("event", sa.String(20)),
    sa.Column("scale", sa.String(10)),
    sa.Column("score_given", sa.String(20)),  # as it came, a decimal number on its scale
    sa.Column("score_bp", sa.Integer()),  # comparable: 0 (worst) to 10000 (best) on every scale
    sa.Column("comment", sa.Text()),  # encrypted
    sa.Column("choices", JsonColumn),
    sa.Column("consent", sa.Boolean()),
    sa.Column("customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), index=True),
    sa.Column("contact", sa.Text()),  # encrypted
    sa.Column("locale", sa.String(20)),
    sa.Column("segment", sa.String(64)),
    sa.Column("customer_value_minor", AmountMinor()),
    sa.Column("amount_minor", AmountMinor()),  # of an order or a purchase
    sa.Column("currency", sa.String(3)),
    sa.Column("agent", sa.String(200)),  # who served, as the source names them
    sa.Column("order_ref", sa.String(200)),
    sa.Column("product", sa.String(64)),
    sa.Column("location", sa.String(64)),
    sa.Column("issue_tag", sa.String(64)),  # the first of its tags; NULL is untagged
    sa.Column("tagged_by", sa.String(10)),  # the source, words of the comment, or a person; NULL is untagged
    sa.Column("severity", sa.SmallInteger()),
    sa.Column("story", sa.Text()),  # encrypted JSON, as ``recovery_cases.story``: what a colleague reported
    sa.Column("open_case", sa.Boolean(), nullable=False, server_default=sa.false()),  # whoever reported it asks for one
    sa.Column("occurred_at", UtcDateTime(), nullable=False),
    sa.Column("received_at", UtcDateTime(), nullable=False, index=True),
    sa.Column("revision", sa.Integer(), nullable=False, server_default="1"),
    sa.Column("source_order", sa.BigInteger()),  # how the source counts its versions: a lower one never overwrites
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("reason", sa.String(500)),
    sa.Column("act_at", UtcDateTime(), nullable=False),  # when its settle window ends
    sa.Column("acted_at", UtcDateTime()),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), index=True),
    sa.Column("survey_id", sa.Uuid(), sa.ForeignKey("surveys.id"), index=True),
    sa.Column("form_id", sa.Uuid(), sa.ForeignKey("feedback_forms.id")),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id")),
    sa.UniqueConstraint("source", "external_id"),
    sa.CheckConstraint(sa.column("kind").in_(KINDS), name="kind"),
    sa.CheckConstraint(sa.column("event").in_(EVENTS), name="event"),
    sa.CheckConstraint(sa.column("scale").in_(SCALES), name="scale"),
    sa.CheckConstraint(sa.column("tagged_by").in_(TAGGED_BY), name="tagged_by"),
    sa.CheckConstraint(sa.column("status").in_(FEEDBACK_STATUSES), name="status"),
    sa.CheckConstraint("score_bp BETWEEN 0 AND 10000", name="score_bp"),
    sa.CheckConstraint("(score_given IS NULL) = (score_bp IS NULL)", name="score_made_comparable"),
    sa.Index("ix_feedback_status_act_at", "status", "act_at"),
    sa.Index("ix_feedback_occurred_at_issue_tag_location", "occurred_at", "issue_tag", "location"),
    # Who bought again: every report of recoveries asks, and few of the pieces are purchases.
    sa.Index(
        "ix_feedback_purchases",
        "customer_id",
        "occurred_at",
        postgresql_where=sa.text("event = 'purchase'"),
        sqlite_where=sa.text("event = 'purchase'"),
    ),
)

feedback_tags = sa.Table(
    "feedback_tags",
    metadata,
    sa.Column("feedback_id", sa.Uuid(), sa.ForeignKey("feedback.id"), primary_key=True),
    sa.Column("issue_tag", sa.String(64), primary_key=True),
)

# Every score and comment of a piece of feedback that changed, its first ones included. Append-only.
feedback_revisions = sa.Table(
    "feedback_revisions",
    metadata,
    sa.Column("feedback_id", sa.Uuid(), sa.ForeignKey("feedback.id"), primary_key=True),
    sa.Column("revision", sa.Integer(), primary_key=True),
    sa.Column("inbox_id", sa.Uuid(), sa.ForeignKey("feedback_inbox.id")),
    sa.Column("score_given", sa.String(20)),
    sa.Column("score_bp", sa.Integer()),
    sa.Column("comment", sa.Text()),  # encrypted
    sa.Column("at", UtcDateTime(), nullable=False),
)

# What a source said that no issue tag, location … is named by.
feedback_unmapped = sa.Table(
    "feedback_unmapped",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("feedback_id", sa.Uuid(), sa.ForeignKey("feedback.id"), nullable=False, index=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("field", sa.String(20), nullable=False),
    sa.Column("value", sa.String(200), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False, index=True),
)

FIRING_MODES = ("live", "shadow", "held_out")
FIRING_OUTCOMES = ("acted", "asked", "refused", "tripped", "outranked", "already", "would_have", "held_out")

# Each time that a criterion held: its version, the facts it matched, and what came of it. Append-only.
criteria_firings = sa.Table(
    "criteria_firings",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("criterion", sa.String(64), nullable=False),
    sa.Column("criterion_item_id", sa.Uuid(), sa.ForeignKey("catalog_items.id"), nullable=False),
    sa.Column("feedback_id", sa.Uuid(), sa.ForeignKey("feedback.id"), nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), index=True),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id")),
    sa.Column("mode", sa.String(10), nullable=False),
    sa.Column("outcome", sa.String(12), nullable=False),
    sa.Column("facts", JsonColumn, nullable=False),
    sa.Column("actions", JsonColumn, nullable=False),
    sa.Column("cost_minor", AmountMinor()),
    sa.Column("currency", sa.String(3)),
    sa.Column("at", UtcDateTime(), nullable=False, index=True),
    sa.UniqueConstraint("feedback_id", "criterion"),
    sa.CheckConstraint(sa.column("mode").in_(FIRING_MODES), name="mode"),
    sa.CheckConstraint(sa.column("outcome").in_(FIRING_OUTCOMES), name="outcome"),
    sa.Index("ix_criteria_firings_criterion_id", "criterion", "id"),
    # A criterion gives once in a case, whatever keeps coming in about it: nothing can feed itself.
    sa.Index(
        "uq_criteria_firings_gives_once_a_case",
        "criterion",
        "case_id",
        unique=True,
        postgresql_where=sa.text("issuance_id IS NOT NULL"),
        sqlite_where=sa.text("issuance_id IS NOT NULL"),
    ),
)

# What a criterion gave within an hour for one source: the row that its breaker locks.
criteria_hours = sa.Table(
    "criteria_hours",
    metadata,
    sa.Column("criterion", sa.String(64), primary_key=True),
    sa.Column("source", sa.String(64), primary_key=True),
    sa.Column("hour_start_at", UtcDateTime(), primary_key=True),
    sa.Column("currency", sa.String(3), primary_key=True),
    sa.Column("count", sa.Integer(), nullable=False),
    sa.Column("amount_minor", AmountMinor(), nullable=False),
)

APPEND_ONLY = ("feedback_revisions", "criteria_firings")
