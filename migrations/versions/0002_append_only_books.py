"""Books that cannot be altered: append-only tables, balanced entries, and the chart of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "budget_movements",
    "redemption_attempts",
    "ledger_accounts",
    "ledger_entries",
    "ledger_postings",
    "audit_events",
    "delivery_attempts",
    "catalog_items",
    "catalog_release_items",
)

CHART = (
    {"key": "recovery-expense", "name": "Cost of service recovery", "kind": "expense"},
    {"key": "voucher-liability", "name": "Vouchers issued and unspent", "kind": "liability"},
    {"key": "redemption-settlement", "name": "Vouchers honored at tills", "kind": "liability"},
    {"key": "breakage", "name": "Promised value that lapsed unspent", "kind": "income"},
)

_POSTGRES = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION ledger_entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount_minor) FROM ledger_postings WHERE entry_id = NEW.entry_id) <> 0
       OR (SELECT count(DISTINCT currency) FROM ledger_postings WHERE entry_id = NEW.entry_id) <> 1 THEN
        RAISE EXCEPTION 'ledger entry % does not balance', NEW.entry_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
-- At commit, when all lines of the entry are there.
CREATE CONSTRAINT TRIGGER ledger_entry_balances AFTER INSERT ON ledger_postings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_balances();
"""


def upgrade() -> None:
    """Put the triggers and the chart in place."""
    op.bulk_insert(
        sa.table(
            "ledger_accounts", sa.column("key", sa.String), sa.column("name", sa.String), sa.column("kind", sa.String)
        ),
        list(CHART),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRES)
        for table in APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    for table in APPEND_ONLY:
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{deed.lower()} BEFORE {deed} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def downgrade() -> None:
    """Take the triggers and the chart away; the tables go with the revision before."""
    if op.get_bind().dialect.name == "postgresql":
        for table in APPEND_ONLY:
            op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
            op.execute(f"DROP TRIGGER {table}_no_truncate ON {table}")
        op.execute("DROP TRIGGER ledger_entry_balances ON ledger_postings")
        op.execute("DROP FUNCTION refuse_change()")
        op.execute("DROP FUNCTION ledger_entry_balances()")
    else:
        for table in APPEND_ONLY:
            op.execute(f"DROP TRIGGER {table}_no_update")
            op.execute(f"DROP TRIGGER {table}_no_delete")
    op.execute("DELETE FROM ledger_accounts")
