"""How each provider does, and which messages one may have taken without our knowing."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_UNTOLD = sa.text("status = 'sent' AND settled_at IS NULL")


def upgrade() -> None:
    """Add the columns and the table: what was sent before is asked about as what is sent from now on."""
    op.add_column("outbox_messages", sa.Column("unsure_of", sa.String(length=20), nullable=True))
    op.add_column("outbox_messages", sa.Column("unsure_since_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox_messages", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox_messages", sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_outbox_messages_untold",
        "outbox_messages",
        ["ended_at"],
        postgresql_where=_UNTOLD,
        sqlite_where=_UNTOLD,
    )
    op.create_table(
        "message_providers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rests", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("paused_until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("score", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("to_mend", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("status IN ('working', 'resting')", name=op.f("ck_message_providers_status")),
        sa.CheckConstraint("channel IN ('email', 'sms')", name=op.f("ck_message_providers_channel")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_providers")),
        sa.UniqueConstraint("provider", name=op.f("uq_message_providers_provider")),
    )


def downgrade() -> None:
    """Take the table and the columns away."""
    op.drop_table("message_providers")
    op.drop_index("ix_outbox_messages_untold", "outbox_messages")
    op.drop_column("outbox_messages", "settled_at")
    op.drop_column("outbox_messages", "asked_at")
    op.drop_column("outbox_messages", "unsure_since_at")
    op.drop_column("outbox_messages", "unsure_of")
