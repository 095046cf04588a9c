"""the first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The first tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("team", sa.String(length=64), nullable=True),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('frontline', 'supervisor', 'manager', 'finance', 'auditor', 'till', 'integrator', 'admin')",
            name=op.f("ck_api_keys_role"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject_kind", sa.String(length=30), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "facts",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("ip", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_events_actor"), ["actor"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_events_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_events_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_events_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "budget_periods",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("budget", sa.String(length=340), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("period_key", sa.String(length=10), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("on_expiry", sa.String(length=10), nullable=False),
        sa.Column("cap_minor", sa.BigInteger(), nullable=True),
        sa.Column("cap_count", sa.BigInteger(), nullable=True),
        sa.Column("held_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("committed_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("committed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("on_expiry IN ('release', 'keep')", name=op.f("ck_budget_periods_on_expiry")),
        sa.CheckConstraint(
            "held_count + committed_count + spent_count <= cap_count", name=op.f("ck_budget_periods_within_cap_count")
        ),
        sa.CheckConstraint(
            "held_minor + committed_minor + spent_minor <= cap_minor", name=op.f("ck_budget_periods_within_cap_minor")
        ),
        sa.CheckConstraint(
            "held_minor >= 0 AND committed_minor >= 0 AND spent_minor >= 0 AND held_count >= 0 AND committed_count >= 0 AND spent_count >= 0",
            name=op.f("ck_budget_periods_not_negative"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_periods")),
        sa.UniqueConstraint(
            "budget", "subject", "period_key", name=op.f("uq_budget_periods_budget_subject_period_key")
        ),
    )
    op.create_table(
        "catalog_items",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=320), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "definition",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_catalog_items_version_from_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_items")),
        sa.UniqueConstraint("kind", "key", "digest", name=op.f("uq_catalog_items_kind_key_digest")),
        sa.UniqueConstraint("kind", "key", "version", name=op.f("uq_catalog_items_kind_key_version")),
    )
    op.create_table(
        "catalog_releases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("based_on_number", sa.Integer(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proposed_by", sa.String(length=100), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by", sa.String(length=100), nullable=True),
        sa.CheckConstraint(
            "(status IN ('approved', 'superseded')) = (approved_by IS NOT NULL AND approved_at IS NOT NULL)",
            name=op.f("ck_catalog_releases_approved_by_somebody"),
        ),
        sa.CheckConstraint(
            "status IN ('draft', 'approved', 'superseded', 'withdrawn')", name=op.f("ck_catalog_releases_status_known")
        ),
        sa.CheckConstraint("approved_by <> proposed_by", name=op.f("ck_catalog_releases_four_eyes")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_catalog_releases_number_from_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_releases")),
        sa.UniqueConstraint("number", name=op.f("uq_catalog_releases_number")),
    )
    with op.batch_alter_table("catalog_releases", schema=None) as batch_op:
        batch_op.create_index(
            "uq_catalog_releases_one_approved",
            ["status"],
            unique=True,
            sqlite_where=sa.text("status = 'approved'"),
            postgresql_where=sa.text("status = 'approved'"),
        )
        batch_op.create_index(
            "uq_catalog_releases_one_draft_of_a_digest",
            ["digest"],
            unique=True,
            sqlite_where=sa.text("status = 'draft'"),
            postgresql_where=sa.text("status = 'draft'"),
        )

    op.create_table(
        "customers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("locale", sa.String(length=20), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_customers_group_id"), ["group_id"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.String(length=120), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("result_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_keys")),
    )
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_keys_created_at"), ["created_at"], unique=False)

    op.create_table(
        "ledger_accounts",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.CheckConstraint("kind IN ('asset', 'liability', 'income', 'expense')", name=op.f("ck_ledger_accounts_kind")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_ledger_accounts")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("team", sa.String(length=64), nullable=True),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('frontline', 'supervisor', 'manager', 'finance', 'auditor', 'till', 'integrator', 'admin')",
            name=op.f("ck_users_role"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "catalog_release_items",
        sa.Column("release_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["catalog_items.id"], name=op.f("fk_catalog_release_items_item_id")),
        sa.ForeignKeyConstraint(
            ["release_id"], ["catalog_releases.id"], name=op.f("fk_catalog_release_items_release_id")
        ),
        sa.PrimaryKeyConstraint("release_id", "item_id", name=op.f("pk_catalog_release_items")),
    )
    op.create_table(
        "customer_identities",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.CheckConstraint("kind IN ('email', 'phone', 'reference')", name=op.f("ck_customer_identities_kind")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_customer_identities_customer_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_customer_identities")),
    )
    with op.batch_alter_table("customer_identities", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_customer_identities_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "recovery_cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("issue_tag", sa.String(length=64), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("team", sa.String(length=64), nullable=True),
        sa.Column("order_ref", sa.String(length=200), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by", sa.String(length=64), nullable=False),
        sa.CheckConstraint("status IN ('open', 'closed')", name=op.f("ck_recovery_cases_status")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_recovery_cases_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_cases")),
    )
    with op.batch_alter_table("recovery_cases", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recovery_cases_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_recovery_cases_location"), ["location"], unique=False)
        batch_op.create_index(batch_op.f("ix_recovery_cases_opened_at"), ["opened_at"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("ip", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_sessions_token_digest")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_user_id"), ["user_id"], unique=False)

    op.create_table(
        "issuances",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("issue_tag", sa.String(length=64), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=True),
        sa.Column("incentive", sa.String(length=64), nullable=False),
        sa.Column("incentive_item_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_item_id", sa.Uuid(), nullable=False),
        sa.Column("catalog_release_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("team", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("order_ref", sa.String(length=200), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "metadata",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "channels",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("locale", sa.String(length=20), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending_approval', 'issued', 'declined', 'withdrawn', 'expired')",
            name=op.f("ck_issuances_status"),
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_issuances_amount_not_negative")),
        sa.CheckConstraint("severity BETWEEN 1 AND 4", name=op.f("ck_issuances_severity")),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_issuances_case_id")),
        sa.ForeignKeyConstraint(
            ["catalog_release_id"], ["catalog_releases.id"], name=op.f("fk_issuances_catalog_release_id")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_issuances_customer_id")),
        sa.ForeignKeyConstraint(
            ["incentive_item_id"], ["catalog_items.id"], name=op.f("fk_issuances_incentive_item_id")
        ),
        sa.ForeignKeyConstraint(["protocol_item_id"], ["catalog_items.id"], name=op.f("fk_issuances_protocol_item_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuances")),
    )
    with op.batch_alter_table("issuances", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_issuances_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_issuances_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_issuances_location"), ["location"], unique=False)
        batch_op.create_index(batch_op.f("ix_issuances_requested_at"), ["requested_at"], unique=False)

    op.create_table(
        "approvals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuance_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column(
            "reasons",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("requested_amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'granted', 'declined', 'withdrawn', 'expired')", name=op.f("ck_approvals_status")
        ),
        sa.CheckConstraint("decided_by <> requested_by", name=op.f("ck_approvals_four_eyes")),
        sa.CheckConstraint("granted_amount_minor <= requested_amount_minor", name=op.f("ck_approvals_never_raised")),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_approvals_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("issuance_id", name=op.f("uq_approvals_issuance_id")),
    )
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.create_index("ix_approvals_status_expires_at", ["status", "expires_at"], unique=False)

    op.create_table(
        "budget_movements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("budget_period_id", sa.Uuid(), nullable=False),
        sa.Column("issuance_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("held_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("committed_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("committed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "kind IN ('hold', 'commit', 'grant', 'release', 'spend', 'breakage')", name=op.f("ck_budget_movements_kind")
        ),
        sa.ForeignKeyConstraint(
            ["budget_period_id"], ["budget_periods.id"], name=op.f("fk_budget_movements_budget_period_id")
        ),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_budget_movements_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_movements")),
        sa.UniqueConstraint(
            "issuance_id",
            "budget_period_id",
            "kind",
            "source_id",
            name=op.f("uq_budget_movements_issuance_id_budget_period_id_kind_source_id"),
        ),
    )
    with op.batch_alter_table("budget_movements", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_budget_movements_budget_period_id"), ["budget_period_id"], unique=False)

    op.create_table(
        "vouchers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuance_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("incentive_item_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("code_key_id", sa.String(length=16), nullable=False),
        sa.Column("code_digest", sa.String(length=64), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "status IN ('issued', 'reserved', 'redeemed', 'voided', 'expired', 'replaced')",
            name=op.f("ck_vouchers_status"),
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_vouchers_amount_not_negative")),
        sa.ForeignKeyConstraint(
            ["incentive_item_id"], ["catalog_items.id"], name=op.f("fk_vouchers_incentive_item_id")
        ),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_vouchers_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vouchers")),
        sa.UniqueConstraint("code_digest", name=op.f("uq_vouchers_code_digest")),
        sa.UniqueConstraint("issuance_id", "number", name=op.f("uq_vouchers_issuance_id_number")),
    )
    with op.batch_alter_table("vouchers", schema=None) as batch_op:
        batch_op.create_index("ix_vouchers_status_expires_at", ["status", "expires_at"], unique=False)

    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.CheckConstraint(
            "kind IN ('voucher-issued', 'voucher-redeemed', 'voucher-expired')", name=op.f("ck_ledger_entries_kind")
        ),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_ledger_entries_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("kind", "source_id", name=op.f("uq_ledger_entries_kind_source_id")),
    )
    with op.batch_alter_table("ledger_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_entries_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_ledger_entries_voucher_id"), ["voucher_id"], unique=False)

    op.create_table(
        "outbox_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuance_id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=True),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("template", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider", sa.String(length=20), nullable=True),
        sa.Column("provider_message_id", sa.String(length=100), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("channel IN ('email', 'sms')", name=op.f("ck_outbox_messages_channel")),
        sa.CheckConstraint(
            "status IN ('queued', 'held', 'sending', 'captured', 'sent', 'delivered', 'bounced', 'failed', 'suppressed', 'withdrawn')",
            name=op.f("ck_outbox_messages_status"),
        ),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_outbox_messages_issuance_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_outbox_messages_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_messages")),
        sa.UniqueConstraint(
            "issuance_id",
            "voucher_id",
            "channel",
            "template",
            name=op.f("uq_outbox_messages_issuance_id_voucher_id_channel_template"),
        ),
    )
    with op.batch_alter_table("outbox_messages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_messages_issuance_id"), ["issuance_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_outbox_messages_provider_message_id"), ["provider_message_id"], unique=False
        )
        batch_op.create_index("ix_outbox_messages_status_available_at", ["status", "available_at"], unique=False)

    op.create_table(
        "redemption_attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=True),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_redemption_attempts_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemption_attempts")),
    )
    with op.batch_alter_table("redemption_attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_redemption_attempts_voucher_id"), ["voucher_id"], unique=False)

    op.create_table(
        "redemptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("order_ref", sa.String(length=200), nullable=True),
        sa.Column("order_total_minor", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_redemptions_amount_not_negative")),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_redemptions_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
    )
    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.create_index(
            "uq_redemptions_voucher_id_standing",
            ["voucher_id"],
            unique=True,
            postgresql_where=sa.text("reversed_at IS NULL"),
            sqlite_where=sa.text("reversed_at IS NULL"),
        )

    op.create_table(
        "delivery_attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'captured', 'try-later', 'will-never-work', 'withdrawn')",
            name=op.f("ck_delivery_attempts_outcome"),
        ),
        sa.ForeignKeyConstraint(["message_id"], ["outbox_messages.id"], name=op.f("fk_delivery_attempts_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempts")),
    )
    with op.batch_alter_table("delivery_attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delivery_attempts_message_id"), ["message_id"], unique=False)

    op.create_table(
        "ledger_postings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_ledger_postings_not_zero")),
        sa.ForeignKeyConstraint(["account"], ["ledger_accounts.key"], name=op.f("fk_ledger_postings_account")),
        sa.ForeignKeyConstraint(["entry_id"], ["ledger_entries.id"], name=op.f("fk_ledger_postings_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_postings")),
    )
    with op.batch_alter_table("ledger_postings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_postings_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_ledger_postings_entry_id"), ["entry_id"], unique=False)


def downgrade() -> None:
    """Undo it."""
    with op.batch_alter_table("ledger_postings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ledger_postings_entry_id"))
        batch_op.drop_index(batch_op.f("ix_ledger_postings_account"))

    op.drop_table("ledger_postings")
    with op.batch_alter_table("delivery_attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_attempts_message_id"))

    op.drop_table("delivery_attempts")
    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_redemptions_voucher_id_standing",
            postgresql_where=sa.text("reversed_at IS NULL"),
            sqlite_where=sa.text("reversed_at IS NULL"),
        )

    op.drop_table("redemptions")
    with op.batch_alter_table("redemption_attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_redemption_attempts_voucher_id"))

    op.drop_table("redemption_attempts")
    with op.batch_alter_table("outbox_messages", schema=None) as batch_op:
        batch_op.drop_index("ix_outbox_messages_status_available_at")
        batch_op.drop_index(batch_op.f("ix_outbox_messages_provider_message_id"))
        batch_op.drop_index(batch_op.f("ix_outbox_messages_issuance_id"))

    op.drop_table("outbox_messages")
    with op.batch_alter_table("ledger_entries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ledger_entries_voucher_id"))
        batch_op.drop_index(batch_op.f("ix_ledger_entries_at"))

    op.drop_table("ledger_entries")
    with op.batch_alter_table("vouchers", schema=None) as batch_op:
        batch_op.drop_index("ix_vouchers_status_expires_at")

    op.drop_table("vouchers")
    with op.batch_alter_table("budget_movements", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_budget_movements_budget_period_id"))

    op.drop_table("budget_movements")
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.drop_index("ix_approvals_status_expires_at")

    op.drop_table("approvals")
    with op.batch_alter_table("issuances", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_issuances_requested_at"))
        batch_op.drop_index(batch_op.f("ix_issuances_location"))
        batch_op.drop_index(batch_op.f("ix_issuances_customer_id"))
        batch_op.drop_index(batch_op.f("ix_issuances_case_id"))

    op.drop_table("issuances")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sessions_user_id"))

    op.drop_table("sessions")
    with op.batch_alter_table("recovery_cases", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recovery_cases_opened_at"))
        batch_op.drop_index(batch_op.f("ix_recovery_cases_location"))
        batch_op.drop_index(batch_op.f("ix_recovery_cases_customer_id"))

    op.drop_table("recovery_cases")
    with op.batch_alter_table("customer_identities", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_customer_identities_customer_id"))

    op.drop_table("customer_identities")
    op.drop_table("catalog_release_items")
    op.drop_table("users")
    op.drop_table("ledger_accounts")
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_keys_created_at"))

    op.drop_table("idempotency_keys")
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_customers_group_id"))

    op.drop_table("customers")
    with op.batch_alter_table("catalog_releases", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_catalog_releases_one_draft_of_a_digest",
            sqlite_where=sa.text("status = 'draft'"),
            postgresql_where=sa.text("status = 'draft'"),
        )
        batch_op.drop_index(
            "uq_catalog_releases_one_approved",
            sqlite_where=sa.text("status = 'approved'"),
            postgresql_where=sa.text("status = 'approved'"),
        )

    op.drop_table("catalog_releases")
    op.drop_table("catalog_items")
    op.drop_table("budget_periods")
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_events_subject_id"))
        batch_op.drop_index(batch_op.f("ix_audit_events_case_id"))
        batch_op.drop_index(batch_op.f("ix_audit_events_at"))
        batch_op.drop_index(batch_op.f("ix_audit_events_actor"))

    op.drop_table("audit_events")
    op.drop_table("api_keys")
