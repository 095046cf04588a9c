"""What must be told to someone, and each try to tell it. No message text stands here: it is made when it is sent."""

import sqlalchemy as sa

from incentives.kernel.database import UtcDateTime, index_where_given, metadata

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
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id")),
    sa.Column("voucher_id", sa.Uuid(), sa.ForeignKey("vouchers.id")),
    # What a message is about, where it is not about an issuance: an apology, a re-survey, or a notice to staff.
    sa.Column("case_id", sa.Uuid(), sa.ForeignKey("recovery_cases.id")),
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
    sa.Column("provider_message_id", sa.String(100)),
    sa.Column("reason", sa.String(300)),  # in words, why it waits or failed
    sa.Column("ended_at", UtcDateTime()),
    # Who may have taken it without our knowing, and since when: whoever died while sending, or a line that broke.
    sa.Column("unsure_of", sa.String(20)),
    sa.Column("unsure_since_at", UtcDateTime()),
    sa.Column("unsure_tries", sa.SmallInteger(), nullable=False, server_default="0"),  # so many were such
    sa.Column("asked_at", UtcDateTime()),  # when its provider was last asked what became of it
    sa.Column("settled_at", UtcDateTime()),  # when we ceased to wait for word of it
    sa.UniqueConstraint("issuance_id", "voucher_id", "channel", "template", "copy"),
    sa.CheckConstraint("issuance_id IS NOT NULL OR case_id IS NOT NULL OR user_id IS NOT NULL", name="about_something"),
    sa.CheckConstraint(sa.column("status").in_(STATUSES), name="status"),
    sa.CheckConstraint(sa.column("channel").in_(CHANNELS), name="channel"),
    sa.Index("ix_outbox_messages_status_available_at", "status", "available_at"),
    index_where_given("ix_outbox_messages_case_id", "case_id"),
    index_where_given("ix_outbox_messages_provider_message_id", "provider_message_id"),
    index_where_given("uq_outbox_messages_apology_id_channel", "apology_id", "channel", unique=True),
    index_where_given("uq_outbox_messages_survey_id_channel", "survey_id", "channel", unique=True),
    sa.Index(
        "ix_outbox_messages_untold",
        "ended_at",
        postgresql_where=sa.text("status = 'sent' AND settled_at IS NULL"),
        sqlite_where=sa.text("status = 'sent' AND settled_at IS NULL"),
    ),
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
    postgresql_partition_by="RANGE (id)",  # by month: migration 0010, flow keep_months
)

MEANINGS = ("sent", "delivered", "failed", "bounced", "suppressed", "opened")
SUPPRESSION_REASONS = ("blocked", "invalid", "bounced", "complained", "unsubscribed")

# What providers said became of messages, each saying once, in the order in which it came. No address stands here.
# ``message_id`` is what the provider was given along; it names no row of another installation that shares the account.
delivery_events = sa.Table(
    "delivery_events",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("provider", sa.String(20), nullable=False),
    sa.Column("event_key", sa.String(100), nullable=False),  # by which the same saying is known when it comes again
    sa.Column("message_id", sa.Uuid(), index=True),
    sa.Column("provider_message_id", sa.String(100), index=True),
    sa.Column("status", sa.String(40), nullable=False),  # the provider's own word
    sa.Column("code", sa.String(40)),  # the provider's own
    sa.Column("means", sa.String(12)),  # NULL: nothing of the message
    sa.Column("suppresses", sa.String(12)),
    sa.Column("occurred_at", UtcDateTime(), nullable=False),
    sa.Column("received_at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("provider", "event_key"),
    sa.CheckConstraint(sa.column("means").in_(MEANINGS), name="means"),
)

# Addresses that nothing is sent to, by their keyed digests; in force until lifted, or until ``ends_at``.
suppressions = sa.Table(
    "suppressions",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("channel", sa.String(10), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("hint", sa.String(80), nullable=False),
    sa.Column("reason", sa.String(12), nullable=False),
    sa.Column("source", sa.String(20), nullable=False),  # the provider that told it
    sa.Column("code", sa.String(40)),
    sa.Column("message_id", sa.Uuid()),  # by which it was found out
    sa.Column("since", UtcDateTime(), nullable=False),
    sa.Column("ends_at", UtcDateTime()),
    sa.Column("lifted_at", UtcDateTime()),
    sa.Column("lifted_by", sa.String(64)),
    sa.Column("lifted_by_name", sa.String(200)),
    sa.Column("lift_reason", sa.String(500)),
    sa.CheckConstraint(sa.column("channel").in_(CHANNELS), name="channel"),
    sa.CheckConstraint(sa.column("reason").in_(SUPPRESSION_REASONS), name="reason"),
    sa.Index(
        "uq_suppressions_standing",
        "channel",
        "digest",
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
        sqlite_where=sa.text("lifted_at IS NULL"),
    ),
)

PROVIDER_STATUSES = ("working", "resting")

message_providers = sa.Table(
    "message_providers",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("provider", sa.String(20), nullable=False, unique=True),
    sa.Column("channel", sa.String(10), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("changed_at", UtcDateTime()),  # when it last began to rest, or to work again
    sa.Column("probe_at", UtcDateTime()),  # from when one message may find out whether it works again
    sa.Column("rests", sa.SmallInteger(), nullable=False, server_default="0"),  # in succession, each longer
    sa.Column("paused_until_at", UtcDateTime()),  # it asked us to send more slowly
    sa.Column("score", sa.Integer(), nullable=False, server_default="0"),  # failures less successes of late
    sa.Column("scored_at", UtcDateTime()),
    sa.Column("reason", sa.String(300)),  # in words, why it rests
    sa.Column("to_mend", sa.Boolean(), nullable=False, server_default=sa.false()),  # it refuses our settings
    sa.CheckConstraint(sa.column("status").in_(PROVIDER_STATUSES), name="status"),
    sa.CheckConstraint(sa.column("channel").in_(CHANNELS), name="channel"),
)

APPEND_ONLY = ("delivery_attempts", "delivery_events")
