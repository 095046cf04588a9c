"""For when messages about vouchers were promised to an address or a number: no contact is flooded."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was promised before is not counted."""
    promised = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    op.add_column("customer_identities", sa.Column("promised_ms", promised, nullable=True))


def downgrade() -> None:
    """Take the column away."""
    op.drop_column("customer_identities", "promised_ms")
