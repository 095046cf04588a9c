"""No index entries for what most rows do not have: a gift makes fifteen fewer, of some seventy, a redemption seven.

Each table is read once for each of its new indexes, while nobody writes to it: a quiet hour is best where there are
millions. Two indexes go altogether, since a unique one of the same table begins with their column.
"""

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Name, table and columns: of the rows whose first column has a value.
INDEXES = (
    ("ix_recovery_cases_owner", "recovery_cases", ("owner",)),
    ("ix_recovery_cases_incident_id", "recovery_cases", ("incident_id",)),
    ("ix_issuances_job_id", "issuances", ("job_id",)),
    ("ix_outbox_messages_case_id", "outbox_messages", ("case_id",)),
    ("ix_outbox_messages_provider_message_id", "outbox_messages", ("provider_message_id",)),
    ("ix_redemptions_order_ref", "redemptions", ("order_ref",)),
)
# Likewise; these were constraints.
UNIQUE = (
    ("uq_vouchers_replaces_id", "vouchers", ("replaces_id",)),
    ("uq_outbox_messages_apology_id_channel", "outbox_messages", ("apology_id", "channel")),
    ("uq_outbox_messages_survey_id_channel", "outbox_messages", ("survey_id", "channel")),
    (
        "uq_budget_movements_job_id_budget_period_id_kind_source_id",
        "budget_movements",
        ("job_id", "budget_period_id", "kind", "source_id"),
    ),
)
TABLES = ("vouchers", "outbox_messages", "budget_movements")
NEEDLESS = (
    ("ix_outbox_messages_issuance_id", "outbox_messages", ("issuance_id",)),
    ("ix_budget_movements_job_id", "budget_movements", ("job_id",)),
)


def upgrade() -> None:
    """Make the narrow indexes, then drop the wide ones: nobody who reads waits for more than that."""
    if op.get_bind().dialect.name != "postgresql":
        _upgrade_sqlite()
        return
    for name, table, columns in (*INDEXES, *UNIQUE):
        _create(f"{name}_new", table, columns, unique=name.startswith("uq"))
    for name, table, _ in UNIQUE:
        op.drop_constraint(name, table)
    for name, table, _ in (*INDEXES, *NEEDLESS):
        op.drop_index(name, table)
    for name, _, _ in (*INDEXES, *UNIQUE):
        op.execute(f"ALTER INDEX {name}_new RENAME TO {name}")


def _upgrade_sqlite() -> None:
    for name, table, _ in (*INDEXES, *NEEDLESS):
        op.drop_index(name, table)
    _change_constraints(lambda batch_op, name, _: batch_op.drop_constraint(name, type_="unique"))
    for name, table, columns in (*INDEXES, *UNIQUE):
        _create(name, table, columns, unique=name.startswith("uq"))


def downgrade() -> None:
    """Make the wide indexes again."""
    for name, table, _ in (*INDEXES, *UNIQUE):
        op.drop_index(name, table)
    _change_constraints(lambda batch_op, name, columns: batch_op.create_unique_constraint(name, list(columns)))
    for name, table, columns in (*INDEXES, *NEEDLESS):
        op.create_index(name, table, list(columns))


def _create(name: str, table: str, columns: tuple[str, ...], *, unique: bool) -> None:
    given = sa.text(f"{columns[0]} IS NOT NULL")
    op.create_index(name, table, list(columns), unique=unique, postgresql_where=given, sqlite_where=given)


def _change_constraints(change: Callable[[BatchOperations, str, tuple[str, ...]], None]) -> None:
    """Change each constraint. SQLite remakes a table for that, and its triggers go with the old one: they come back."""
    triggers = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    remade = op.get_bind().dialect.name == "sqlite"
    for table in TABLES:
        kept = op.get_bind().execute(triggers, {"table": table}).scalars().all() if remade else ()
        with op.batch_alter_table(table) as batch_op:
            for name, _, columns in (each for each in UNIQUE if each[1] == table):
                change(batch_op, name, columns)
        for each in kept:
            op.execute(each)
