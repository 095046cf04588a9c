"""What must be told to someone, and each try to tell it. No message text stands here: it is made when it is sent."""

import sqlalchemy as sa

from incentives.kernel.database import UtcDateTime, metadata

STATUSES = (
    "queued",
    "held",
    "sending",
    "captured",
    "sent",
    "delivered",
    "bounced",
    "failed",
    "suppressed",
    "withdrawn",
)
CHANNELS = ("email", "sms")

outbox_messages = sa.Table(
    "outbox_messages",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id"), index=True),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id")),
    # What a message is about, where it is not about an issuance: an apology, a re-survey, or a notice to staff.
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id"), index=True),
    sa.Column("apology_id", sa.Uuid(), sa.ForeignKey("case_apologies.id")),
    sa.Column("survey_id", sa.Uuid(), sa.ForeignKey("surveys.id")),
    sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id")),
    sa.Column("about", sa.String(40)),  # of a notice about neither: its subject, such as a budget's alert
    sa.Column("about_id", sa.Uuid()),
    sa.Column("channel", sa.String(10), nullable=False),
    sa.Column("template", sa.String(40), nullable=False),
    sa.Column("copy", sa.SmallInteger(), nullable=False, server_default="0"),  # 1 … when it was sent again
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("available_at", UtcDateTime(), nullable=False),
    sa.Column("lease_id", sa.Uuid()),
    sa.Column("lease_until_at", UtcDateTime()),
    sa.Column("provider", sa.String(20)),
    sa.Column("provider_message_id", sa.String(100), index=True),
    sa.Column("reason", sa.String(300)),  # in words, why it waits or failed
    sa.Column("ended_at", UtcDateTime()),
    sa.UniqueConstraint("issuance_id", "voucher_id", "channel", "template", "copy"),
    sa.UniqueConstraint("apology_id", "channel"),
    sa.UniqueConstraint("survey_id", "channel"),
    sa.CheckConstraint("issuance_id IS NOT NULL OR case_id IS NOT NULL OR user_id IS NOT NULL", name="about_something"),
    sa.CheckConstraint(sa.column("status").in_(STATUSES), name="status"),
    sa.CheckConstraint(sa.column("channel").in_(CHANNELS), name="channel"),
    sa.Index("ix_outbox_messages_status_available_at", "status", "available_at"),
    sa.Index(
        "ix_outbox_messages_notices",
        "created_at",
        postgresql_where=sa.text("user_id IS NOT NULL"),
        sqlite_where=sa.text("user_id IS NOT NULL"),
    ),
)

delivery_attempts = sa.Table(
    "delivery_attempts",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("message_id", sa.Uuid(), sa.ForeignKey("outbox_messages.id"), nullable=False, index=True),
    sa.Column("number", sa.Integer(), nullable=False),
    sa.Column("provider", sa.String(20), nullable=False),
    sa.Column("started_at", UtcDateTime(), nullable=False),
    sa.Column("ended_at", UtcDateTime(), nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("reason", sa.String(300)),
    sa.CheckConstraint(
        "outcome IN ('accepted', 'captured', 'try-later', 'will-never-work', 'withdrawn')", name="outcome"
    ),
)

APPEND_ONLY = ("delivery_attempts",)
