"""The whole life of a voucher: held, frozen, extended, replaced, given back, in bulk; budgets and approvals that grow."""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Each with the columns of its keys, as in revision 0002.
APPEND_ONLY = {
    "redemption_reversals": ("id", "redemption_id"),
    "budget_allocations": ("id", "budget_period_id, kind, source_id"),
    "approval_votes": ("id", "approval_id, actor", "approval_id, on_behalf_of"),
}

# Append-only tables of before that SQLite remakes, which takes their triggers away.
REMADE = {
    "budget_movements": ("id", "issuance_id, budget_period_id, kind, source_id"),
    "redemption_attempts": ("id",),
    "ledger_entries": ("id", "kind, source_id"),
}
GROWN = REMADE | {"budget_movements": (*REMADE["budget_movements"], "job_id, budget_period_id, kind, source_id")}

ENTRY_KINDS_BEFORE = "kind IN ('voucher-issued', 'voucher-redeemed', 'voucher-expired')"
ENTRY_KINDS = (
    "kind IN ('voucher-issued', 'voucher-redeemed', 'voucher-expired', 'voucher-voided', 'voucher-adjusted', "
    "'voucher-replaced', 'redemption-reversed')"
)
MOVEMENT_KINDS_BEFORE = "kind IN ('hold', 'commit', 'grant', 'release', 'spend', 'breakage')"
MOVEMENT_KINDS = "kind IN ('hold', 'commit', 'grant', 'release', 'spend', 'breakage', 'restore', 'adjust')"

# Rules that stay under their names and say something else, each as it was and as it is.
CHANGED_CHECKS = {
    "ledger_entries": {"kind": (ENTRY_KINDS_BEFORE, ENTRY_KINDS)},
    "budget_movements": {"kind": (MOVEMENT_KINDS_BEFORE, MOVEMENT_KINDS)},
    "budget_periods": {
        "within_cap_minor": (
            "held_minor + committed_minor + spent_minor <= cap_minor",
            "basis <> 'face' OR held_minor + committed_minor + spent_minor <= cap_minor + allotted_minor",
        ),
        "within_cap_count": (
            "held_count + committed_count + spent_count <= cap_count",
            "basis <> 'face' OR held_count + committed_count + spent_count <= cap_count + allotted_count",
        ),
    },
    "approvals": {
        "four_eyes": ("decided_by <> requested_by", "status = 'withdrawn' OR decided_by <> requested_by"),
    },
    "outbox_messages": {
        "about_something": (
            "issuance_id IS NOT NULL OR case_id IS NOT NULL",
            "issuance_id IS NOT NULL OR case_id IS NOT NULL OR user_id IS NOT NULL",
        ),
    },
    "catalog_releases": {
        "status_known": (
            "status IN ('draft', 'approved', 'superseded', 'withdrawn')",
            "status IN ('draft', 'scheduled', 'approved', 'superseded', 'withdrawn')",
        ),
        "approved_by_somebody": (
            "(status IN ('approved', 'superseded')) = (approved_by IS NOT NULL AND approved_at IS NOT NULL)",
            (
                "(status IN ('draft', 'withdrawn') AND effective_at IS NULL) OR "
                "(approved_by IS NOT NULL AND approved_at IS NOT NULL AND effective_at IS NOT NULL)"
            ),
        ),
    },
}

NEW_CHECKS = {
    "budget_movements": {"of_one": "(issuance_id IS NULL) <> (job_id IS NULL)"},
    "budget_periods": {
        "basis": "basis IN ('face', 'expected', 'redemption')",
        "rollover": "rollover IN ('none', 'carry_over')",
    },
    "vouchers": {
        "redeemed_within": "redeemed_count BETWEEN 0 AND max_redemptions",
        "redeemed_is_used_up": "status <> 'redeemed' OR redeemed_count = max_redemptions",
        "reserved_by": "status <> 'reserved' OR (reservation_id IS NOT NULL AND reserved_until_at IS NOT NULL)",
        "held_while_good": "reserved_until_at <= expires_at",
    },
}

# What the older tables cannot hold and nobody may remove or rewrite: it is money that moved, or a voucher that waits.
STANDS_IN_THE_WAY = {
    "entries of the ledger of newer kinds": f"SELECT 1 FROM ledger_entries WHERE NOT {ENTRY_KINDS_BEFORE}",  # noqa: S608 - ours
    "movements of budgets of newer kinds": f"SELECT 1 FROM budget_movements WHERE NOT {MOVEMENT_KINDS_BEFORE}",  # noqa: S608 - ours
    "movements of budgets that whole jobs made": "SELECT 1 FROM budget_movements WHERE job_id IS NOT NULL",
    "vouchers that may be redeemed several times, and were": (
        "SELECT 1 FROM redemptions JOIN vouchers ON vouchers.id = redemptions.voucher_id WHERE max_redemptions > 1"
    ),
    "vouchers that are frozen": (
        "SELECT 1 FROM vouchers WHERE frozen_at IS NOT NULL AND status IN ('issued', 'reserved')"
    ),
}

# In an order in which none is referred to by what comes after it.
TABLES = (
    "redemption_reversals", "reservations", "reviews", "switches", "listed_values", "approval_votes", "delegations",
    "bulk_rows", "bulk_jobs", "budget_alerts", "budget_allocations", "budget_requests",
)  # fmt: skip


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


def _unguard(tables: dict[str, tuple[str, ...]]) -> None:
    """Take the triggers of some tables away."""
    if op.get_bind().dialect.name == "postgresql":
        for table in tables:
            op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
            op.execute(f"DROP TRIGGER {table}_no_truncate ON {table}")
        return
    for table in tables:
        for deed in ("update", "delete", "replace"):
            op.execute(f"DROP TRIGGER {table}_no_{deed}")


def _drop_checks(table: str) -> None:
    """Take away what a table's rules said before and do not say any longer."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        for name in CHANGED_CHECKS.get(table, {}):
            batch_op.drop_constraint(op.f(f"ck_{table}_{name}"), type_="check")


def _add_checks(table: str) -> None:
    """Let a table's rules say what they say from now on."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        for name, (_, rule) in CHANGED_CHECKS.get(table, {}).items():
            batch_op.create_check_constraint(op.f(f"ck_{table}_{name}"), rule)
        for name, rule in NEW_CHECKS.get(table, {}).items():
            batch_op.create_check_constraint(op.f(f"ck_{table}_{name}"), rule)


def _drop_new_checks(table: str) -> None:
    """Take away what a table's rules say, so that its rows can become what they were."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        for name in (*CHANGED_CHECKS.get(table, {}), *NEW_CHECKS.get(table, {})):
            batch_op.drop_constraint(op.f(f"ck_{table}_{name}"), type_="check")


def _restore_checks(table: str) -> None:
    """Let a table's rules say again what they said before."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        for name, (rule, _) in CHANGED_CHECKS.get(table, {}).items():
            batch_op.create_check_constraint(op.f(f"ck_{table}_{name}"), rule)


def _fill() -> None:
    """Let what is there be true: what was redeemed is used up, a release is in force since somebody approved it."""
    op.execute("UPDATE vouchers SET redeemed_count = 1 WHERE status = 'redeemed'")
    op.execute("UPDATE catalog_releases SET effective_at = approved_at WHERE status IN ('approved', 'superseded')")
    op.execute("UPDATE approvals SET level_since_at = requested_at")
    worth = "SELECT amount_minor FROM vouchers WHERE vouchers.id = redemptions.voucher_id"
    # What was left of a voucher went on as the next one of the same issuance, or lapsed.
    left = (
        "SELECT after.amount_minor FROM vouchers AS used JOIN vouchers AS after "
        "ON after.issuance_id = used.issuance_id AND after.number = used.number + 1 "
        "WHERE used.id = redemptions.voucher_id"
    )
    op.execute(f"UPDATE redemptions SET settled_minor = ({worth}) - COALESCE(({left}), 0)")  # noqa: S608 - ours
    op.execute(f"UPDATE redemptions SET remainder_id = ({left.replace('after.amount_minor', 'after.id', 1)})")  # noqa: S608 - ours


def _add_budget_tables() -> None:
    """Add what budgets are given on top of their caps, who asks for that, and who was told."""
    op.create_table(
        "budget_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("budget", sa.String(length=340), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("period_key", sa.String(length=10), nullable=False),
        sa.Column("from_budget", sa.String(length=340), nullable=True),
        sa.Column("from_subject", sa.String(length=120), nullable=True),
        sa.Column("from_period_key", sa.String(length=10), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("amount_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("requested_by_name", sa.String(length=200), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("comment", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "(kind = 'transfer') = (from_budget IS NOT NULL)", name=op.f("ck_budget_requests_transfer_from")
        ),
        sa.CheckConstraint(
            "kind IN ('top_up', 'transfer', 'adjustment', 'break_glass')", name=op.f("ck_budget_requests_kind")
        ),
        sa.CheckConstraint(
            "status = 'withdrawn' OR decided_by <> requested_by", name=op.f("ck_budget_requests_four_eyes")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'declined', 'withdrawn')", name=op.f("ck_budget_requests_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_requests")),
    )
    with op.batch_alter_table("budget_requests", schema=None) as batch_op:
        batch_op.create_index("ix_budget_requests_status", ["status"], unique=False)
    op.create_table(
        "budget_alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("budget_period_id", sa.Uuid(), nullable=False),
        sa.Column("threshold_percent", sa.SmallInteger(), nullable=False),
        sa.Column("used_minor", sa.BigInteger(), nullable=False),
        sa.Column("used_count", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rearmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["budget_period_id"], ["budget_periods.id"], name=op.f("fk_budget_alerts_budget_period_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_alerts")),
    )
    with op.batch_alter_table("budget_alerts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_budget_alerts_budget_period_id"), ["budget_period_id"], unique=False)
        batch_op.create_index(
            "uq_budget_alerts_standing",
            ["budget_period_id", "threshold_percent"],
            unique=True,
            postgresql_where=sa.text("rearmed_at IS NULL"),
            sqlite_where=sa.text("rearmed_at IS NULL"),
        )
    op.create_table(
        "budget_allocations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("budget_period_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("amount_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("approved_by", sa.String(length=64), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('top_up', 'transfer_in', 'transfer_out', 'adjustment', 'carry_in', 'carry_out', 'break_glass', 'override', 'restored')",
            name=op.f("ck_budget_allocations_kind"),
        ),
        sa.CheckConstraint("approved_by <> actor", name=op.f("ck_budget_allocations_four_eyes")),
        sa.ForeignKeyConstraint(
            ["budget_period_id"], ["budget_periods.id"], name=op.f("fk_budget_allocations_budget_period_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_allocations")),
        sa.UniqueConstraint(
            "budget_period_id", "kind", "source_id", name=op.f("uq_budget_allocations_budget_period_id_kind_source_id")
        ),
    )


def _add_jobs() -> None:
    """Add the jobs that give to many, and their rows."""
    op.create_table(
        "bulk_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=True),
        sa.Column("file_digest", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=10), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=True),
        sa.Column("retry_of_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("rows_total", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_checked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_refused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_issued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_pending", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "totals",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_by", sa.String(length=64), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("format IN ('csv', 'ndjson')", name=op.f("ck_bulk_jobs_format")),
        sa.CheckConstraint("mode IN ('best_effort', 'all_or_nothing')", name=op.f("ck_bulk_jobs_mode")),
        sa.CheckConstraint(
            "status IN ('loading', 'checking', 'checked', 'running', 'stopping', 'stopped', 'done', 'refused')",
            name=op.f("ck_bulk_jobs_status"),
        ),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_bulk_jobs_incident_id")),
        sa.ForeignKeyConstraint(["retry_of_id"], ["bulk_jobs.id"], name=op.f("fk_bulk_jobs_retry_of_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_jobs")),
    )
    with op.batch_alter_table("bulk_jobs", schema=None) as batch_op:
        batch_op.create_index("ix_bulk_jobs_status", ["status"], unique=False)
        batch_op.create_index(
            "uq_bulk_jobs_actor_file_digest",
            ["actor", "file_digest"],
            unique=True,
            postgresql_where=sa.text("retry_of_id IS NULL"),
            sqlite_where=sa.text("retry_of_id IS NULL"),
        )
    op.create_table(
        "bulk_rows",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column(
            "verdict",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "problem",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=True,
        ),
        sa.Column("issuance_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "status IN ('waiting', 'issued', 'pending_approval', 'refused')", name=op.f("ck_bulk_rows_status")
        ),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_bulk_rows_issuance_id")),
        sa.ForeignKeyConstraint(["job_id"], ["bulk_jobs.id"], name=op.f("fk_bulk_rows_job_id")),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("pk_bulk_rows")),
    )
    with op.batch_alter_table("bulk_rows", schema=None) as batch_op:
        batch_op.create_index("ix_bulk_rows_job_id_status_line", ["job_id", "status", "line"], unique=False)


def _add_approvers() -> None:
    """Add what each approver said, and who stands in for whom."""
    op.create_table(
        "approval_votes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("approval_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("decision", sa.String(length=10), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("on_behalf_of", sa.String(length=64), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("incentive", sa.String(length=64), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("decision IN ('grant', 'decline')", name=op.f("ck_approval_votes_decision")),
        sa.CheckConstraint("on_behalf_of <> actor", name=op.f("ck_approval_votes_of_another")),
        sa.ForeignKeyConstraint(["approval_id"], ["approvals.id"], name=op.f("fk_approval_votes_approval_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_votes")),
        sa.UniqueConstraint("approval_id", "actor", name=op.f("uq_approval_votes_approval_id_actor")),
        sa.UniqueConstraint("approval_id", "on_behalf_of", name=op.f("uq_approval_votes_approval_id_on_behalf_of")),
    )
    op.create_table(
        "delegations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("from_user_id", sa.Uuid(), nullable=False),
        sa.Column("to_user_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_by", sa.String(length=64), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("from_user_id <> to_user_id", name=op.f("ck_delegations_of_another")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_delegations_in_order")),
        sa.ForeignKeyConstraint(["from_user_id"], ["users.id"], name=op.f("fk_delegations_from_user_id")),
        sa.ForeignKeyConstraint(["to_user_id"], ["users.id"], name=op.f("fk_delegations_to_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delegations")),
    )
    with op.batch_alter_table("delegations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delegations_from_user_id"), ["from_user_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_delegations_to_user_id"), ["to_user_id"], unique=False)


def _add_safeguards() -> None:
    """Add switches, lists, and what waits for a second look."""
    op.create_table(
        "switches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("stops", sa.String(length=10), nullable=False),
        sa.Column("scope", sa.String(length=12), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("set_by", sa.String(length=64), nullable=False),
        sa.Column("set_by_name", sa.String(length=200), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_by", sa.String(length=64), nullable=True),
        sa.Column("lifted_by_name", sa.String(length=200), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lift_reason", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "scope IN ('organization', 'location', 'incentive', 'issue_tag', 'team', 'person', 'api_key', 'source')",
            name=op.f("ck_switches_scope"),
        ),
        sa.CheckConstraint("stops IN ('issuing', 'redeeming')", name=op.f("ck_switches_stops")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_switches")),
    )
    with op.batch_alter_table("switches", schema=None) as batch_op:
        batch_op.create_index(
            "uq_switches_set",
            ["stops", "scope", "subject"],
            unique=True,
            postgresql_where=sa.text("lifted_at IS NULL"),
            sqlite_where=sa.text("lifted_at IS NULL"),
        )
    op.create_table(
        "listed_values",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("list", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("hint", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.Column("added_by_name", sa.String(length=200), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_by", sa.String(length=64), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('email', 'email_domain', 'phone', 'external_ref', 'actor', 'ip_block')",
            name=op.f("ck_listed_values_kind"),
        ),
        sa.CheckConstraint("list IN ('allow', 'deny', 'review')", name=op.f("ck_listed_values_list")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listed_values")),
    )
    with op.batch_alter_table("listed_values", schema=None) as batch_op:
        batch_op.create_index("ix_listed_values_digest", ["digest"], unique=False)
        batch_op.create_index(
            "uq_listed_values_standing",
            ["list", "kind", "digest"],
            unique=True,
            postgresql_where=sa.text("removed_at IS NULL"),
            sqlite_where=sa.text("removed_at IS NULL"),
        )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("subject_id", sa.String(length=120), nullable=False),
        sa.Column("issuance_id", sa.Uuid(), nullable=True),
        sa.Column(
            "signals",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.Column("decided_by_name", sa.String(length=200), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("(status = 'open') = (decided_at IS NULL)", name=op.f("ck_reviews_decided")),
        sa.CheckConstraint("action IN ('allow', 'step_up', 'hold', 'block')", name=op.f("ck_reviews_action")),
        sa.CheckConstraint(
            "kind IN ('issuance', 'redemption', 'actor', 'unknown_codes', 'break_glass')", name=op.f("ck_reviews_kind")
        ),
        sa.CheckConstraint("status IN ('open', 'released', 'blocked', 'noted')", name=op.f("ck_reviews_status")),
        sa.CheckConstraint("decided_by <> actor", name=op.f("ck_reviews_four_eyes")),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_reviews_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reviews_issuance_id"), ["issuance_id"], unique=False)
        batch_op.create_index("ix_reviews_status_due_at", ["status", "due_at"], unique=False)
        batch_op.create_index(
            "uq_reviews_open_of_a_subject",
            ["kind", "subject_id"],
            unique=True,
            postgresql_where=sa.text("status = 'open'"),
            sqlite_where=sa.text("status = 'open'"),
        )


def _add_redeeming() -> None:
    """Add what a till holds while a sale is paid, and what undid a redemption."""
    op.create_table(
        "reservations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("order_ref", sa.String(length=200), nullable=True),
        sa.Column("order_total_minor", sa.BigInteger(), nullable=True),
        sa.Column("order_initial_minor", sa.BigInteger(), nullable=True),
        sa.Column(
            "order_items",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=True,
        ),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.String(length=64), nullable=True),
        sa.Column("end_reason", sa.String(length=500), nullable=True),
        sa.Column("redemption_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(status = 'held') = (ended_at IS NULL)", name=op.f("ck_reservations_ended")),
        sa.CheckConstraint(
            "status IN ('held', 'committed', 'released', 'lapsed')", name=op.f("ck_reservations_status")
        ),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_reservations_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    with op.batch_alter_table("reservations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reservations_voucher_id"), ["voucher_id"], unique=False)
        batch_op.create_index(
            "uq_reservations_one_held",
            ["voucher_id"],
            unique=True,
            postgresql_where=sa.text("status = 'held'"),
            sqlite_where=sa.text("status = 'held'"),
        )
    op.create_table(
        "redemption_reversals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("redemption_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("restore", sa.String(length=10), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('reversal', 'annulment')", name=op.f("ck_redemption_reversals_kind")),
        sa.CheckConstraint(
            "restore IN ('same_code', 'new_code', 'none')", name=op.f("ck_redemption_reversals_restore")
        ),
        sa.ForeignKeyConstraint(
            ["redemption_id"], ["redemptions.id"], name=op.f("fk_redemption_reversals_redemption_id")
        ),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_redemption_reversals_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemption_reversals")),
        sa.UniqueConstraint("redemption_id", name=op.f("uq_redemption_reversals_redemption_id")),
    )


def _widen_spending() -> None:
    """Let budgets, their movements and approvals carry more."""
    with op.batch_alter_table("budget_periods", schema=None) as batch_op:
        batch_op.add_column(sa.Column("allotted_minor", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("allotted_count", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("basis", sa.String(length=10), server_default="face", nullable=False))
        batch_op.add_column(sa.Column("expected_percent", sa.SmallInteger(), server_default="100", nullable=False))
        batch_op.add_column(sa.Column("rollover", sa.String(length=10), server_default="none", nullable=False))
        batch_op.create_index("ix_budget_periods_end_at", ["end_at"], unique=False)
    with op.batch_alter_table("budget_movements", schema=None) as batch_op:
        batch_op.add_column(sa.Column("job_id", sa.Uuid(), nullable=True))
        batch_op.alter_column("issuance_id", existing_type=sa.Uuid(), nullable=True)
        batch_op.create_index(batch_op.f("ix_budget_movements_job_id"), ["job_id"], unique=False)
        batch_op.create_unique_constraint(
            batch_op.f("uq_budget_movements_job_id_budget_period_id_kind_source_id"),
            ["job_id", "budget_period_id", "kind", "source_id"],
        )
        batch_op.create_foreign_key(batch_op.f("fk_budget_movements_job_id"), "bulk_jobs", ["job_id"], ["id"])
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.add_column(sa.Column("policy_item_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("level", sa.SmallInteger(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("level_since_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("escalates_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("granted_incentive", sa.String(length=64), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_approvals_policy_item_id"), "catalog_items", ["policy_item_id"], ["id"]
        )
        batch_op.create_index("ix_approvals_status_escalates_at", ["status", "escalates_at"])


def _widen_vouchers() -> None:
    """Let issuances, vouchers, redemptions and the tries to redeem carry more."""
    with op.batch_alter_table("issuances", schema=None) as batch_op:
        batch_op.add_column(sa.Column("message", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("source", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("job_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("ip_block", sa.String(length=45), nullable=True))
        batch_op.add_column(sa.Column("undo_until_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("deliver_after_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index("ix_issuances_actor_requested_at", ["actor", "requested_at"], unique=False)
        batch_op.create_index("ix_issuances_ip_block_requested_at", ["ip_block", "requested_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_issuances_job_id"), ["job_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_issuances_job_id"), "bulk_jobs", ["job_id"], ["id"])
    with op.batch_alter_table("vouchers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("replaces_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("max_redemptions", sa.SmallInteger(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("redeemed_count", sa.SmallInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("reservation_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("reserved_until_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("frozen_until_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("extended_days", sa.SmallInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("shown_to", sa.String(length=64), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_vouchers_replaces_id"), ["replaces_id"])
        batch_op.create_foreign_key(batch_op.f("fk_vouchers_replaces_id"), "vouchers", ["replaces_id"], ["id"])
    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("use_number", sa.SmallInteger(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("settled_minor", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("order_initial_minor", sa.BigInteger(), nullable=True))
        batch_op.add_column(
            sa.Column(
                "order_items",
                sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("reservation_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("remainder_id", sa.Uuid(), nullable=True))
        batch_op.create_index("ix_redemptions_order_ref", ["order_ref"], unique=False)
        batch_op.drop_index(
            batch_op.f("uq_redemptions_voucher_id_standing"), sqlite_where=sa.text("reversed_at IS NULL")
        )
        batch_op.create_index(batch_op.f("ix_redemptions_redeemed_at"), ["redeemed_at"], unique=False)
        batch_op.create_index(
            "uq_redemptions_voucher_id_use_number_standing",
            ["voucher_id", "use_number"],
            unique=True,
            postgresql_where=sa.text("reversed_at IS NULL"),
            sqlite_where=sa.text("reversed_at IS NULL"),
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_redemptions_reservation_id"), "reservations", ["reservation_id"], ["id"]
        )
        batch_op.create_foreign_key(batch_op.f("fk_redemptions_remainder_id"), "vouchers", ["remainder_id"], ["id"])
    with op.batch_alter_table("redemption_attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ip_block", sa.String(length=45), nullable=True))
        batch_op.create_index("ix_redemption_attempts_actor_at", ["actor", "at"], unique=False)
        batch_op.create_index("ix_redemption_attempts_ip_block_at", ["ip_block", "at"], unique=False)
        batch_op.create_index("ix_redemption_attempts_at", ["at"], unique=False)


def _widen_the_rest() -> None:
    """Let releases and messages carry more."""
    with op.batch_alter_table("catalog_releases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("effective_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("rollback_of_number", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("reason", sa.String(length=500), nullable=True))
    with op.batch_alter_table("outbox_messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("about", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("about_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("copy", sa.SmallInteger(), server_default="0", nullable=False))
        batch_op.drop_constraint(
            batch_op.f("uq_outbox_messages_issuance_id_voucher_id_channel_template"), type_="unique"
        )
        batch_op.create_unique_constraint(
            batch_op.f("uq_outbox_messages_issuance_id_voucher_id_channel_template_copy"),
            ["issuance_id", "voucher_id", "channel", "template", "copy"],
        )


def upgrade() -> None:
    """Add the tables, and let what is there carry more; what is there stays true."""
    if op.get_bind().dialect.name == "sqlite":
        _unguard(REMADE)
    _add_budget_tables()
    _add_jobs()
    _add_approvers()
    _add_safeguards()
    _add_redeeming()
    for table in CHANGED_CHECKS:
        _drop_checks(table)
    _widen_spending()
    _widen_vouchers()
    _widen_the_rest()
    _fill()
    for table in CHANGED_CHECKS | NEW_CHECKS:
        _add_checks(table)
    _guard(APPEND_ONLY)
    if op.get_bind().dialect.name == "sqlite":
        _guard(GROWN)


def _refuse() -> None:
    """Go no further where the older tables cannot hold what the books say: what is in the books stays there."""
    there = [what for what, query in STANDS_IN_THE_WAY.items() if op.get_bind().execute(sa.text(query)).first()]
    if there:
        raise CommandError(f"the older tables cannot hold {', '.join(there)}")


def _settle() -> None:
    """Let what only the newer tables know of be as true as the older ones can say it."""
    op.execute("UPDATE vouchers SET status = 'issued' WHERE status = 'reserved'")
    op.execute("UPDATE approvals SET decided_by = NULL WHERE status = 'withdrawn' AND decided_by = requested_by")
    # What a budget may hold, allotments included, is its cap; where it is charged otherwise, it is what it holds.
    for unit in ("minor", "count"):
        used, room = f"held_{unit} + committed_{unit} + spent_{unit}", f"cap_{unit} + allotted_{unit}"
        most = f"CASE WHEN {used} > {room} THEN {used} ELSE {room} END"
        op.execute(f"UPDATE budget_periods SET cap_{unit} = {most}, allotted_{unit} = 0 WHERE cap_{unit} IS NOT NULL")  # noqa: S608 - ours
    _settle_releases()


def _settle_releases() -> None:
    """Let the release that is in force be the approved one; one that waits for its day has to be proposed again."""
    due = "(status = 'approved' OR (status = 'scheduled' AND effective_at <= CURRENT_TIMESTAMP))"
    newest = f"SELECT id FROM catalog_releases WHERE {due} ORDER BY effective_at DESC, number DESC LIMIT 1"  # noqa: S608 - ours
    found = op.get_bind().execute(sa.text(newest)).scalar()
    if found is not None:
        for status, which in (("superseded", "<>"), ("approved", "=")):
            op.execute(
                sa.text(f"UPDATE catalog_releases SET status = :status WHERE {due} AND id {which} :id").bindparams(  # noqa: S608 - ours
                    status=status, id=found
                )
            )
    op.execute("UPDATE catalog_releases SET status = 'withdrawn' WHERE status = 'scheduled'")
    op.execute(
        "UPDATE catalog_releases SET approved_by = NULL, approved_at = NULL WHERE status IN ('draft', 'withdrawn')"
    )


def _forget_messages() -> None:
    """Remove the messages that the older tables cannot hold, with the tries to send them, which a trigger guards."""
    gone = "SELECT id FROM outbox_messages WHERE copy > 0 OR (issuance_id IS NULL AND case_id IS NULL)"
    tried = f"DELETE FROM delivery_attempts WHERE message_id IN ({gone})"  # noqa: S608 - ours
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE delivery_attempts DISABLE TRIGGER delivery_attempts_append_only")
        op.execute(tried)
        op.execute("ALTER TABLE delivery_attempts ENABLE TRIGGER delivery_attempts_append_only")
    else:
        op.execute("DROP TRIGGER delivery_attempts_no_delete")
        op.execute(tried)
        op.execute(
            "CREATE TRIGGER delivery_attempts_no_delete BEFORE DELETE ON delivery_attempts "
            "BEGIN SELECT RAISE(ABORT, 'delivery_attempts is append-only'); END"
        )
    op.execute(f"DELETE FROM outbox_messages WHERE id IN ({gone})")  # noqa: S608 - ours


def _narrow_spending() -> None:
    """Let budgets, their movements and approvals carry what they did."""
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.drop_index("ix_approvals_status_escalates_at")
        batch_op.drop_constraint(batch_op.f("fk_approvals_policy_item_id"), type_="foreignkey")
        batch_op.drop_column("granted_incentive")
        batch_op.drop_column("escalates_at")
        batch_op.drop_column("level_since_at")
        batch_op.drop_column("level")
        batch_op.drop_column("policy_item_id")
    with op.batch_alter_table("budget_movements", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_budget_movements_job_id"), type_="foreignkey")
        batch_op.drop_constraint(
            batch_op.f("uq_budget_movements_job_id_budget_period_id_kind_source_id"), type_="unique"
        )
        batch_op.drop_index(batch_op.f("ix_budget_movements_job_id"))
        batch_op.alter_column("issuance_id", existing_type=sa.Uuid(), nullable=False)
        batch_op.drop_column("job_id")
    with op.batch_alter_table("budget_periods", schema=None) as batch_op:
        batch_op.drop_index("ix_budget_periods_end_at")
        batch_op.drop_column("rollover")
        batch_op.drop_column("expected_percent")
        batch_op.drop_column("basis")
        batch_op.drop_column("allotted_count")
        batch_op.drop_column("allotted_minor")


def _narrow_vouchers() -> None:
    """Let issuances, vouchers, redemptions and the tries to redeem carry what they did."""
    with op.batch_alter_table("redemption_attempts", schema=None) as batch_op:
        batch_op.drop_index("ix_redemption_attempts_at")
        batch_op.drop_index("ix_redemption_attempts_ip_block_at")
        batch_op.drop_index("ix_redemption_attempts_actor_at")
        batch_op.drop_column("ip_block")
    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_redemptions_remainder_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_redemptions_reservation_id"), type_="foreignkey")
        batch_op.drop_index("ix_redemptions_order_ref")
        batch_op.drop_index(
            "uq_redemptions_voucher_id_use_number_standing",
            postgresql_where=sa.text("reversed_at IS NULL"),
            sqlite_where=sa.text("reversed_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_redemptions_redeemed_at"))
        batch_op.create_index(
            batch_op.f("uq_redemptions_voucher_id_standing"),
            ["voucher_id"],
            unique=True,
            postgresql_where=sa.text("reversed_at IS NULL"),
            sqlite_where=sa.text("reversed_at IS NULL"),
        )
        batch_op.drop_column("remainder_id")
        batch_op.drop_column("reservation_id")
        batch_op.drop_column("order_items")
        batch_op.drop_column("order_initial_minor")
        batch_op.drop_column("settled_minor")
        batch_op.drop_column("use_number")
    with op.batch_alter_table("vouchers", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_vouchers_replaces_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("uq_vouchers_replaces_id"), type_="unique")
        batch_op.drop_column("shown_to")
        batch_op.drop_column("extended_days")
        batch_op.drop_column("frozen_until_at")
        batch_op.drop_column("frozen_at")
        batch_op.drop_column("reserved_until_at")
        batch_op.drop_column("reservation_id")
        batch_op.drop_column("redeemed_count")
        batch_op.drop_column("max_redemptions")
        batch_op.drop_column("replaces_id")
    with op.batch_alter_table("issuances", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_issuances_job_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_issuances_job_id"))
        batch_op.drop_index("ix_issuances_ip_block_requested_at")
        batch_op.drop_index("ix_issuances_actor_requested_at")
        batch_op.drop_column("deliver_after_at")
        batch_op.drop_column("undo_until_at")
        batch_op.drop_column("ip_block")
        batch_op.drop_column("job_id")
        batch_op.drop_column("source")
        batch_op.drop_column("message")


def _narrow_the_rest() -> None:
    """Let releases and messages carry what they did."""
    with op.batch_alter_table("outbox_messages", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("uq_outbox_messages_issuance_id_voucher_id_channel_template_copy"), type_="unique"
        )
        batch_op.create_unique_constraint(
            batch_op.f("uq_outbox_messages_issuance_id_voucher_id_channel_template"),
            ["issuance_id", "voucher_id", "channel", "template"],
        )
        batch_op.drop_column("copy")
        batch_op.drop_column("about_id")
        batch_op.drop_column("about")
    with op.batch_alter_table("catalog_releases", schema=None) as batch_op:
        batch_op.drop_column("reason")
        batch_op.drop_column("rollback_of_number")
        batch_op.drop_column("effective_at")


def downgrade() -> None:
    """Take them away again, unless the books tell of what the older tables cannot hold."""
    _refuse()
    _unguard(APPEND_ONLY)
    if op.get_bind().dialect.name == "sqlite":
        _unguard(GROWN)
    _forget_messages()
    for table in CHANGED_CHECKS | NEW_CHECKS:
        _drop_new_checks(table)
    _settle()
    _narrow_the_rest()
    _narrow_vouchers()
    _narrow_spending()
    for table in TABLES:
        op.drop_table(table)
    for table in CHANGED_CHECKS:
        _restore_checks(table)
    if op.get_bind().dialect.name == "sqlite":
        _guard(REMADE)
