"""Switches that stop giving or redeeming, lists of who is trusted and who is not, and what waits for a second look."""

import sqlalchemy as sa

from incentives.kernel.database import JsonColumn, UtcDateTime, metadata

STOPS = ("issuing", "redeeming")
SWITCH_SCOPES = ("organization", "location", "incentive", "issue_tag", "team", "person", "api_key", "source")

# What is stopped now, and what was. In force while ``lifted_at`` is NULL.
switches = sa.Table(
    "switches",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("stops", sa.String(10), nullable=False),
    sa.Column("scope", sa.String(12), nullable=False),
    sa.Column("subject", sa.String(120), nullable=False),  # a key, an actor's label; "organization" for all of it
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("set_by", sa.String(64), nullable=False),
    sa.Column("set_by_name", sa.String(200), nullable=False),
    sa.Column("set_at", UtcDateTime(), nullable=False),
    sa.Column("lifted_by", sa.String(64)),
    sa.Column("lifted_by_name", sa.String(200)),
    sa.Column("lifted_at", UtcDateTime()),
    sa.Column("lift_reason", sa.String(500)),
    sa.CheckConstraint(sa.column("stops").in_(STOPS), name="stops"),
    sa.CheckConstraint(sa.column("scope").in_(SWITCH_SCOPES), name="scope"),
    sa.Index(
        "uq_switches_set",
        "stops",
        "scope",
        "subject",
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
        sqlite_where=sa.text("lifted_at IS NULL"),
    ),
)

LISTS = ("allow", "deny", "review")
LISTED_KINDS = ("email", "email_domain", "phone", "external_ref", "actor", "ip_block")

# Of a value only its keyed digest is kept, and a hint by which people know it again.
listed_values = sa.Table(
    "listed_values",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("list", sa.String(10), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("identity_digest", sa.String(64)),  # as customers go by it; NULL: it tells no customer apart
    sa.Column("hint", sa.String(80), nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("added_by", sa.String(64), nullable=False),
    sa.Column("added_by_name", sa.String(200), nullable=False),
    sa.Column("added_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", UtcDateTime()),
    sa.Column("removed_by", sa.String(64)),
    sa.Column("removed_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("list").in_(LISTS), name="list"),
    sa.CheckConstraint(sa.column("kind").in_(LISTED_KINDS), name="kind"),
    sa.Index("ix_listed_values_digest", "digest"),
    sa.Index("ix_listed_values_identity_digest", "identity_digest"),
    sa.Index(
        "uq_listed_values_standing",
        "list",
        "kind",
        "digest",
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
        sqlite_where=sa.text("removed_at IS NULL"),
    ),
)

REVIEW_KINDS = ("issuance", "redemption", "actor", "unknown_codes", "break_glass")
REVIEW_STATUSES = ("open", "released", "blocked", "noted")

# What somebody should look at: a voucher that waits frozen, a refused try, a person, a budget that was passed.
reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("subject_id", sa.String(120), nullable=False),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id"), index=True),
    sa.Column("signals", JsonColumn, nullable=False),
    sa.Column("action", sa.String(10), nullable=False),
    sa.Column("location", sa.String(64)),
    sa.Column("amount_minor", sa.BigInteger()),
    sa.Column("currency", sa.String(3)),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("opened_at", UtcDateTime(), nullable=False),
    sa.Column("due_at", UtcDateTime(), nullable=False),
    sa.Column("decided_by", sa.String(64)),
    sa.Column("decided_by_name", sa.String(200)),
    sa.Column("decided_at", UtcDateTime()),
    sa.Column("note", sa.Text()),  # encrypted
    sa.CheckConstraint(sa.column("kind").in_(REVIEW_KINDS), name="kind"),
    sa.CheckConstraint(sa.column("status").in_(REVIEW_STATUSES), name="status"),
    sa.CheckConstraint("action IN ('allow', 'step_up', 'hold', 'block')", name="action"),
    sa.CheckConstraint("(status = 'open') = (decided_at IS NULL)", name="decided"),
    sa.CheckConstraint("decided_by <> actor", name="four_eyes"),
    sa.Index("ix_reviews_status_due_at", "status", "due_at"),
    sa.Index(
        "uq_reviews_open_of_a_subject",
        "kind",
        "subject_id",
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
        sqlite_where=sa.text("status = 'open'"),
    ),
)

APPEND_ONLY: tuple[str, ...] = ()
