"""Books that are sealed: a chain of signed hashes over what is append-only, and what the worker found of the books."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Each with the columns of its keys, as in revision 0002.
APPEND_ONLY: dict[str, tuple[str, ...]] = {
    "seals": ("number",),
    "seal_parts": ("seal_number, book",),
}


def _guard(tables: dict[str, tuple[str, ...]]) -> None:
    """Let nobody change what is in some tables, nor remove it."""
    if op.get_bind().dialect.name == "postgresql":
        for table in tables:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    for table, keys in tables.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for deed in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{deed.lower()} BEFORE {deed} ON {table} {refuse}")
        there = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {_same(key)})" for key in keys)  # noqa: S608 - ours
        op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {there} {refuse}")


def _same(key: str) -> str:
    return " AND ".join(f"{column} = NEW.{column}" for column in key.split(", "))


def _add_seals() -> None:
    op.create_table(
        "seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("signature", sa.String(length=86), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_seals_number")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_seals")),
    )
    op.create_table(
        "seal_parts",
        sa.Column("seal_number", sa.BigInteger(), nullable=False),
        sa.Column("book", sa.String(length=40), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("last_id", sa.Uuid(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["seal_number"], ["seals.number"], name=op.f("fk_seal_parts_seal_number")),
        sa.PrimaryKeyConstraint("seal_number", "book", name=op.f("pk_seal_parts")),
    )
    op.create_index("ix_seal_parts_book_first_id", "seal_parts", ["book", "first_id"])
    op.create_index("ix_seal_parts_book_last_id", "seal_parts", ["book", "last_id"])
    if op.get_bind().dialect.name == "postgresql":
        # Digests cannot be made shorter; trying to would be most of what writing them costs.
        op.execute("ALTER TABLE seal_parts ALTER COLUMN content SET STORAGE EXTERNAL")


def _add_checks() -> None:
    op.create_table(
        "books_checks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=True),
        sa.Column("seal_number", sa.BigInteger(), nullable=True),
        sa.Column("seal_hash", sa.String(length=64), nullable=True),
        sa.Column("examined", sa.BigInteger(), nullable=True),
        sa.Column(
            "broken",
            sa.JSON(none_as_null=True).with_variant(
                postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
            ),
            nullable=True,
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (holds IS NULL)", name=op.f("ck_books_checks_ended")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_books_checks")),
        sa.UniqueConstraint("due_at", name=op.f("uq_books_checks_due_at")),
    )


def upgrade() -> None:
    """Add the tables."""
    _add_seals()
    _add_checks()
    # What stands is found by an index already; what was undone counts too when the next use is numbered.
    op.create_index("ix_redemptions_voucher_id", "redemptions", ["voucher_id"])
    _guard(APPEND_ONLY)


def downgrade() -> None:
    """Take the tables away, triggers and all. What was sealed is as it was, and is sealed anew after an upgrade."""
    op.drop_index("ix_redemptions_voucher_id", "redemptions")
    op.drop_table("books_checks")
    op.drop_table("seal_parts")
    op.drop_table("seals")
