"""Books that cannot be altered: append-only tables, balanced entries, and the chart of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Each with the columns of its keys: SQLite replaces a row that has the same key without asking the triggers of its
# removal, so that the insertion of such a row must be refused too.
APPEND_ONLY = {
    "budget_movements": ("id", "issuance_id, budget_period_id, kind, source_id"),
    "redemption_attempts": ("id",),
    "ledger_accounts": ("key",),
    "ledger_entries": ("id", "kind, source_id"),
    "ledger_postings": ("id",),
    "audit_events": ("id",),
    "delivery_attempts": ("id",),
    "catalog_items": ("id", "kind, key, version", "kind, key, digest"),
    "catalog_release_items": ("release_id, item_id",),
}

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
    for account in CHART:
        # Those that were posted to outlive a downgrade.
        op.execute(
            sa.text(
                "INSERT INTO ledger_accounts (key, name, kind) SELECT :key, :name, :kind "
                "WHERE NOT EXISTS (SELECT 1 FROM ledger_accounts WHERE key = :key)"
            ).bindparams(**account)
        )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRES)
        for table in APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    for table, keys in APPEND_ONLY.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for deed in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{deed.lower()} BEFORE {deed} ON {table} {refuse}")
        there = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {_same(key)})" for key in keys)  # noqa: S608 - ours
        op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {there} {refuse}")


def _same(key: str) -> str:
    return " AND ".join(f"{column} = NEW.{column}" for column in key.split(", "))


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
            for deed in ("update", "delete", "replace"):
                op.execute(f"DROP TRIGGER {table}_no_{deed}")
    op.execute("DELETE FROM ledger_accounts WHERE key NOT IN (SELECT account FROM ledger_postings)")
