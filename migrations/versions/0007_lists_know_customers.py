"""What stands on a list is found by whom customers are known to be, not only by what somebody typed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of what was listed before the value is kept nowhere, so that only its own digest is known."""
    op.add_column("listed_values", sa.Column("identity_digest", sa.String(64), nullable=True))
    op.create_index("ix_listed_values_identity_digest", "listed_values", ["identity_digest"])


def downgrade() -> None:
    """Take the column away."""
    op.drop_index("ix_listed_values_identity_digest", "listed_values")
    op.drop_column("listed_values", "identity_digest")
