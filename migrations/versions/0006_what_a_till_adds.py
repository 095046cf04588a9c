"""What a till adds to a redemption, as the catalog declares it, and to the hold before it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("redemptions", "reservations")


def upgrade() -> None:
    """Add the column; what was redeemed before has none."""
    told = sa.JSON(none_as_null=True).with_variant(
        postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
    )
    for table in TABLES:
        op.add_column(table, sa.Column("metadata", told, nullable=True))


def downgrade() -> None:
    """Take the column away, with what stands in it."""
    for table in TABLES:
        op.drop_column(table, "metadata")
