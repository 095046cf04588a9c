"""How many tries to send a message may have been taken without our knowing: it is sent three times at the most."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the tries before are not counted."""
    tries = sa.Column("unsure_tries", sa.SmallInteger(), server_default="0", nullable=False)
    op.add_column("outbox_messages", tries)


def downgrade() -> None:
    """Take the column away."""
    op.drop_column("outbox_messages", "unsure_tries")
