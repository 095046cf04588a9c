"""Customers, what tells them apart, and the recovery of each one's trouble."""

import sqlalchemy as sa

from incentives.kernel.database import JsonColumn, UtcDateTime, index_where_given, metadata

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    # Two that an address has shown to be one person have the id of the oldest of them here.
    sa.Column("group_id", sa.Uuid(), nullable=False, index=True),
    sa.Column("profile", sa.Text(), nullable=False),  # encrypted: external_ref, name, email, phone as first given
    sa.Column("locale", sa.String(20)),
    sa.Column("created_at", UtcDateTime(), nullable=False),
)

# A keyed digest of each canonical email, number and reference: it finds the same customer again and says no more.
customer_identities = sa.Table(
    "customer_identities",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(12), nullable=False),
    # For when messages about vouchers were promised to it of late, each in milliseconds since 1970: the contact cap.
    # It stands on the row that is locked to count, so that the count is exact, and costs the same after ten million.
    sa.Column("promised_ms", JsonColumn),
    sa.CheckConstraint("kind IN ('email', 'phone', 'reference')", name="kind"),
)

CASE_STATUSES = ("open", "closed")
OUTCOMES = ("recovered", "not_recovered", "unsalvageable", "no_action", "merged")
EVIDENCE = ("score", "uplift", "purchase", "judgment")  # the strongest first

# Everything that people wrote down about a customer is encrypted; what reports count by is not.
recovery_cases = sa.Table(
    "recovery_cases",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), index=True),
    sa.Column("issue_tag", sa.String(64), nullable=False),
    sa.Column("severity", sa.SmallInteger(), nullable=False),
    sa.Column("location", sa.String(64), index=True),
    sa.Column("team", sa.String(64)),
    sa.Column("order_ref", sa.String(200)),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("opened_at", UtcDateTime(), nullable=False, index=True),
    sa.Column("opened_by", sa.String(64), nullable=False),
    sa.Column("source", sa.String(64), nullable=False, server_default="staff"),
    sa.Column("product", sa.String(64)),
    sa.Column("segment", sa.String(64)),
    sa.Column("locale", sa.String(20)),
    sa.Column("occurred_at", UtcDateTime()),
    sa.Column("contact", sa.Text()),  # encrypted, as ``issuances.contact``
    sa.Column("story", sa.Text()),  # encrypted JSON: what, who, when, differently
    sa.Column("responsible_kind", sa.String(10)),
    sa.Column("responsible", sa.Text()),  # encrypted; shown by role only
    sa.Column("salvageable", sa.Boolean(), nullable=False, server_default=sa.true()),
    sa.Column("owner", sa.String(64)),  # an actor's label; NULL is unowned
    sa.Column("owner_team", sa.String(64)),
    sa.Column("assigned_at", UtcDateTime()),
    sa.Column("unowned_told_at", UtcDateTime()),  # when the leaders were told that nobody has taken it on
    sa.Column("protocol_item_id", sa.Uuid(), sa.ForeignKey("catalog_items.id")),
    sa.Column("catalog_release_id", sa.Uuid(), sa.ForeignKey("catalog_releases.id")),
    sa.Column("round", sa.SmallInteger(), nullable=False, server_default="1"),  # grows with each reopening
    sa.Column("first_score_bp", sa.Integer()),  # 0 to 10000, of the feedback that opened it
    sa.Column("closed_at", UtcDateTime()),
    sa.Column("closed_by", sa.String(64)),
    sa.Column("outcome", sa.String(16)),
    sa.Column("closing_note", sa.Text()),  # encrypted
    sa.Column("recovered", sa.Boolean()),
    sa.Column("recovered_evidence", sa.String(10)),
    sa.Column("recovered_at", UtcDateTime()),
    sa.Column("merged_into_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id")),
    sa.Column("split_from_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id")),
    sa.Column("incident_id", sa.Uuid(), sa.ForeignKey("incidents.id")),
    sa.Column("held_out_of", sa.String(64)),  # the criterion whose holdout arm this case is in
    sa.Column("changed_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("status").in_(CASE_STATUSES), name="status"),
    sa.CheckConstraint(sa.column("outcome").in_(OUTCOMES), name="outcome"),
    sa.CheckConstraint(
        "(status = 'closed') = (outcome IS NOT NULL AND closed_at IS NOT NULL)", name="closed_documented"
    ),
    sa.CheckConstraint(sa.column("recovered_evidence").in_(EVIDENCE), name="recovered_evidence"),
    sa.CheckConstraint("(recovered IS NULL) = (recovered_evidence IS NULL)", name="recovered_says_how"),
    sa.Index("ix_recovery_cases_status_changed_at", "status", "changed_at"),
    index_where_given("ix_recovery_cases_owner", "owner"),
    index_where_given("ix_recovery_cases_incident_id", "incident_id"),
)

# One trouble of many customers.
incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("issue_tag", sa.String(64), nullable=False),
    sa.Column("location", sa.String(64)),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("started_at", UtcDateTime(), nullable=False),
    sa.Column("opened_at", UtcDateTime(), nullable=False),
    sa.Column("opened_by", sa.String(64), nullable=False),
    sa.Column("closed_at", UtcDateTime()),
    sa.Column("closed_by", sa.String(64)),
    # One of a tag and place is open at a time, whoever races; a place that is NULL needs an index of its own.
    sa.Index(
        "uq_incidents_one_open_at_a_place",
        "issue_tag",
        "location",
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
        sqlite_where=sa.text("closed_at IS NULL"),
    ),
    sa.Index(
        "uq_incidents_one_open_everywhere",
        "issue_tag",
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL AND location IS NULL"),
        sqlite_where=sa.text("closed_at IS NULL AND location IS NULL"),
    ),
)

case_tags = sa.Table(
    "case_tags",
    metadata,
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), primary_key=True),
    sa.Column("issue_tag", sa.String(64), primary_key=True),
)

# A step of the protocol, done or skipped, once a round. Append-only.
case_steps = sa.Table(
    "case_steps",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False),
    sa.Column("round", sa.SmallInteger(), nullable=False),
    sa.Column("step", sa.String(20), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("channel", sa.String(20)),
    sa.Column("note", sa.Text()),  # encrypted
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.UniqueConstraint("case_id", "round", "step"),
    sa.CheckConstraint("status IN ('done', 'skipped')", name="status"),
)

APOLOGY_CHANNELS = ("email", "sms", "phone", "in_person", "chat", "letter")

# What was said to the customer, and how. Append-only.
case_apologies = sa.Table(
    "case_apologies",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False, index=True),
    sa.Column("script", sa.String(64)),  # the script's key; NULL for own words
    sa.Column("script_item_id", sa.Uuid(), sa.ForeignKey("catalog_items.id")),
    sa.Column("words", sa.Text(), nullable=False),  # encrypted: they name the customer
    sa.Column("language", sa.String(20), nullable=False),
    sa.Column("channel", sa.String(20), nullable=False),
    sa.Column("spoken", sa.Boolean(), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.CheckConstraint(sa.column("channel").in_(APOLOGY_CHANNELS), name="channel"),
)

case_causes = sa.Table(
    "case_causes",
    metadata,
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), primary_key=True),
    sa.Column("cause", sa.String(64), primary_key=True),
    sa.Column("weight", sa.SmallInteger(), nullable=False),  # percent of the trouble; those of a case sum to 100
    sa.Column("note", sa.Text()),  # encrypted
    sa.CheckConstraint("weight BETWEEN 1 AND 100", name="weight"),
)

TASK_KINDS = ("customer", "process", "employee")

# What is still to be done, and for whom: the customer, the process that failed, the employee who can learn from it.
case_tasks = sa.Table(
    "case_tasks",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("title", sa.Text(), nullable=False),  # encrypted
    sa.Column("owner", sa.String(64)),
    sa.Column("owner_team", sa.String(64)),
    sa.Column("due_at", UtcDateTime(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("done_at", UtcDateTime()),
    sa.Column("done_by", sa.String(64)),
    sa.Column("result", sa.Text()),  # encrypted
    sa.Column("reminded_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("kind").in_(TASK_KINDS), name="kind"),
    sa.Index("ix_case_tasks_done_at_due_at", "done_at", "due_at"),
)

case_notes = sa.Table(
    "case_notes",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False, index=True),
    sa.Column("body", sa.Text(), nullable=False),  # encrypted
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
)

case_files = sa.Table(
    "case_files",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False, index=True),
    sa.Column("name", sa.Text(), nullable=False),  # encrypted
    sa.Column("media_type", sa.String(60), nullable=False),
    sa.Column("size_bytes", sa.BigInteger(), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary(), nullable=False),  # encrypted
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("removed_at", UtcDateTime()),
    sa.UniqueConstraint("case_id", "sha256"),
)

# Who else may see a case: a team, or whoever holds a link that ends.
case_shares = sa.Table(
    "case_shares",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False, index=True),
    sa.Column("team", sa.String(64), index=True),  # NULL is a link
    sa.Column("may_edit", sa.Boolean(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("expires_at", UtcDateTime()),
    sa.Column("revoked_at", UtcDateTime()),
    sa.CheckConstraint("team IS NOT NULL OR (expires_at IS NOT NULL AND NOT may_edit)", name="links_end_and_only_show"),
)

case_links = sa.Table(
    "case_links",
    metadata,
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), primary_key=True),
    sa.Column("other_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), primary_key=True, index=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.CheckConstraint("kind IN ('related', 'merged', 'split')", name="kind"),
    sa.CheckConstraint("case_id <> other_id", name="not_itself"),
)

CLOCKS = ("first_contact", "apology", "incentive", "fix", "close")

# By when something must have happened, in business hours; a clock is met once and escalated once.
case_clocks = sa.Table(
    "case_clocks",
    metadata,
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), primary_key=True),
    sa.Column("round", sa.SmallInteger(), primary_key=True),
    sa.Column("clock", sa.String(16), primary_key=True),
    sa.Column("started_at", UtcDateTime(), nullable=False),
    sa.Column("due_at", UtcDateTime(), nullable=False),
    sa.Column("met_at", UtcDateTime()),
    sa.Column("escalated_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("clock").in_(CLOCKS), name="clock"),
    sa.Index(
        "ix_case_clocks_running",
        "due_at",
        postgresql_where=sa.text("met_at IS NULL AND escalated_at IS NULL"),
        sqlite_where=sa.text("met_at IS NULL AND escalated_at IS NULL"),
    ),
)

# A re-survey: once a round of a case.
SURVEY_STATUSES = ("planned", "sent", "answered", "suppressed", "withdrawn")
surveys = sa.Table(
    "surveys",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), nullable=False),
    sa.Column("round", sa.SmallInteger(), nullable=False),
    sa.Column("customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), index=True),
    sa.Column("after", sa.String(12), nullable=False),
    sa.Column("channel", sa.String(10), nullable=False),
    sa.Column("scale", sa.String(10), nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("reason", sa.String(300)),  # why it was suppressed or withdrawn
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("due_at", UtcDateTime(), nullable=False),
    sa.Column("sent_at", UtcDateTime()),
    sa.Column("answered_at", UtcDateTime()),
    sa.Column("first_score_bp", sa.Integer()),
    sa.Column("answer_score_bp", sa.Integer()),
    sa.UniqueConstraint("case_id", "round"),
    sa.CheckConstraint("after IN ('close', 'redemption', 'issue')", name="after"),
    sa.CheckConstraint("channel IN ('email', 'sms')", name="channel"),
    sa.CheckConstraint(sa.column("status").in_(SURVEY_STATUSES), name="status"),
    sa.Index("ix_surveys_status_due_at", "status", "due_at"),
)

APPEND_ONLY = ("case_steps", "case_apologies")
