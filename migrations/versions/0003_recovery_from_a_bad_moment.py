"""From a bad moment to a documented recovery: what was reported, criteria, the work on cases, asking again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPEND_ONLY = {
    "case_steps": ("id", "case_id, round, step"),
    "case_apologies": ("id",),
    "feedback_revisions": ("feedback_id, revision",),
    "criteria_firings": ("id", "feedback_id, criterion"),
}

CASE_CHECKS = {
    "outcome": "outcome IN ('recovered', 'not_recovered', 'unsalvageable', 'no_action', 'merged')",
    "closed_documented": "(status = 'closed') = (outcome IS NOT NULL AND closed_at IS NOT NULL)",
    "recovered_evidence": "recovered_evidence IN ('score', 'uplift', 'purchase', 'judgment')",
    "recovered_says_how": "(recovered IS NULL) = (recovered_evidence IS NULL)",
}


def _guard() -> None:
    """Let nobody change what was done and said, what was scored, and what a criterion did."""
    if op.get_bind().dialect.name == "postgresql":
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


def _fill_cases() -> None:
    """Let the cases that are there know what their first issuance knew of them, their tag and their owner."""
    known = {
        name: f"SELECT {name} FROM issuances WHERE case_id = recovery_cases.id ORDER BY id LIMIT 1"  # noqa: S608 - ours
        for name in ("protocol_item_id", "catalog_release_id", "contact", "locale", "segment")
    }
    copied = ", ".join(f"{name} = ({query})" for name, query in known.items())
    owner = "CASE WHEN opened_by LIKE 'person:%' THEN opened_by END"
    assigned_at = "CASE WHEN opened_by LIKE 'person:%' THEN opened_at END"
    op.execute(
        f"UPDATE recovery_cases SET changed_at = opened_at, owner = {owner}, assigned_at = {assigned_at}, {copied}"  # noqa: S608 - ours
    )
    op.execute("INSERT INTO case_tags (case_id, issue_tag) SELECT id, issue_tag FROM recovery_cases")


def _end_cases() -> None:
    """Let cases that are closed already say so as they must: when that was told, and that no more is known of it."""
    ends = "action IN ('case.closed', 'case.merged')"
    told = f"SELECT max(at) FROM audit_events WHERE case_id = recovery_cases.id AND {ends}"  # noqa: S608 - ours
    ended = f"closed_at = COALESCE(({told}), opened_at), outcome = 'no_action'"
    op.execute(f"UPDATE recovery_cases SET {ended} WHERE status = 'closed'")  # noqa: S608 - ours


def _unguard() -> None:
    """Take the triggers away, also of the attempts, so that what the older tables cannot hold can go."""
    if op.get_bind().dialect.name == "postgresql":
        for table in APPEND_ONLY:
            op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
            op.execute(f"DROP TRIGGER {table}_no_truncate ON {table}")
        return
    for table in APPEND_ONLY:
        for deed in ("update", "delete", "replace"):
            op.execute(f"DROP TRIGGER {table}_no_{deed}")


def _forget_attempts() -> None:
    """Remove the attempts of messages that the older tables cannot hold; no trigger may stand in the way of that."""
    gone = (
        "DELETE FROM delivery_attempts WHERE message_id IN (SELECT id FROM outbox_messages WHERE issuance_id IS NULL)"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE delivery_attempts DISABLE TRIGGER delivery_attempts_append_only")
        op.execute(gone)
        op.execute("ALTER TABLE delivery_attempts ENABLE TRIGGER delivery_attempts_append_only")
        return
    op.execute("DROP TRIGGER delivery_attempts_no_delete")
    op.execute(gone)
    op.execute(
        "CREATE TRIGGER delivery_attempts_no_delete BEFORE DELETE ON delivery_attempts "
        "BEGIN SELECT RAISE(ABORT, 'delivery_attempts is append-only'); END"
    )


def upgrade() -> None:
    """Add the tables, and let cases, messages and people carry more."""
    op.create_table(
        "criteria_hours",
        sa.Column("criterion", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("hour_start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("criterion", "source", "hour_start_at", "currency", name=op.f("pk_criteria_hours")),
    )
    op.create_table(
        "feedback_forms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("issue_tag", sa.String(length=64), nullable=True),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("scale", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback_forms")),
    )
    op.create_table(
        "feedback_inbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("dedupe_key", sa.String(length=300), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("feedback_id", sa.Uuid(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('received', 'understood', 'waiting', 'ignored')", name=op.f("ck_feedback_inbox_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback_inbox")),
        sa.UniqueConstraint("source", "dedupe_key", name=op.f("uq_feedback_inbox_source_dedupe_key")),
    )
    with op.batch_alter_table("feedback_inbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feedback_inbox_feedback_id"), ["feedback_id"], unique=False)
        batch_op.create_index("ix_feedback_inbox_status_received_at", ["status", "received_at"], unique=False)

    op.create_table(
        "incidents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issue_tag", sa.String(length=64), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by", sa.String(length=64), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    with op.batch_alter_table("incidents", schema=None) as batch_op:
        batch_op.create_index(
            "uq_incidents_one_open_at_a_place",
            ["issue_tag", "location"],
            unique=True,
            postgresql_where=sa.text("closed_at IS NULL"),
            sqlite_where=sa.text("closed_at IS NULL"),
        )
        batch_op.create_index(
            "uq_incidents_one_open_everywhere",
            ["issue_tag"],
            unique=True,
            postgresql_where=sa.text("closed_at IS NULL AND location IS NULL"),
            sqlite_where=sa.text("closed_at IS NULL AND location IS NULL"),
        )
    op.create_table(
        "case_apologies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("script", sa.String(length=64), nullable=True),
        sa.Column("script_item_id", sa.Uuid(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=20), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("spoken", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'phone', 'in_person', 'chat', 'letter')",
            name=op.f("ck_case_apologies_channel"),
        ),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_apologies_case_id")),
        sa.ForeignKeyConstraint(
            ["script_item_id"], ["catalog_items.id"], name=op.f("fk_case_apologies_script_item_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_apologies")),
    )
    with op.batch_alter_table("case_apologies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_apologies_case_id"), ["case_id"], unique=False)

    op.create_table(
        "case_causes",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("weight", sa.SmallInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("weight BETWEEN 1 AND 100", name=op.f("ck_case_causes_weight")),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_causes_case_id")),
        sa.PrimaryKeyConstraint("case_id", "cause", name=op.f("pk_case_causes")),
    )
    op.create_table(
        "case_clocks",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("clock", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("met_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "clock IN ('first_contact', 'apology', 'incentive', 'fix', 'close')", name=op.f("ck_case_clocks_clock")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_clocks_case_id")),
        sa.PrimaryKeyConstraint("case_id", "round", "clock", name=op.f("pk_case_clocks")),
    )
    with op.batch_alter_table("case_clocks", schema=None) as batch_op:
        batch_op.create_index(
            "ix_case_clocks_running",
            ["due_at"],
            unique=False,
            postgresql_where=sa.text("met_at IS NULL AND escalated_at IS NULL"),
            sqlite_where=sa.text("met_at IS NULL AND escalated_at IS NULL"),
        )

    op.create_table(
        "case_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(length=60), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_files_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_files")),
        sa.UniqueConstraint("case_id", "sha256", name=op.f("uq_case_files_case_id_sha256")),
    )
    with op.batch_alter_table("case_files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_files_case_id"), ["case_id"], unique=False)

    op.create_table(
        "case_links",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.CheckConstraint("kind IN ('related', 'merged', 'split')", name=op.f("ck_case_links_kind")),
        sa.CheckConstraint("case_id <> other_id", name=op.f("ck_case_links_not_itself")),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_links_case_id")),
        sa.ForeignKeyConstraint(["other_id"], ["recovery_cases.id"], name=op.f("fk_case_links_other_id")),
        sa.PrimaryKeyConstraint("case_id", "other_id", name=op.f("pk_case_links")),
    )
    with op.batch_alter_table("case_links", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_links_other_id"), ["other_id"], unique=False)

    op.create_table(
        "case_notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_notes_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_notes")),
    )
    with op.batch_alter_table("case_notes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_notes_case_id"), ["case_id"], unique=False)

    op.create_table(
        "case_shares",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("team", sa.String(length=64), nullable=True),
        sa.Column("may_edit", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "team IS NOT NULL OR (expires_at IS NOT NULL AND NOT may_edit)",
            name=op.f("ck_case_shares_links_end_and_only_show"),
        ),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_shares_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_shares")),
    )
    with op.batch_alter_table("case_shares", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_shares_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_case_shares_team"), ["team"], unique=False)

    op.create_table(
        "case_steps",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.CheckConstraint("status IN ('done', 'skipped')", name=op.f("ck_case_steps_status")),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_steps_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_steps")),
        sa.UniqueConstraint("case_id", "round", "step", name=op.f("uq_case_steps_case_id_round_step")),
    )
    op.create_table(
        "case_tags",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("issue_tag", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_tags_case_id")),
        sa.PrimaryKeyConstraint("case_id", "issue_tag", name=op.f("pk_case_tags")),
    )
    op.create_table(
        "case_tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("owner_team", sa.String(length=64), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_by", sa.String(length=64), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('customer', 'process', 'employee')", name=op.f("ck_case_tasks_kind")),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_tasks_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_tasks")),
    )
    with op.batch_alter_table("case_tasks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_tasks_case_id"), ["case_id"], unique=False)
        batch_op.create_index("ix_case_tasks_done_at_due_at", ["done_at", "due_at"], unique=False)

    op.create_table(
        "surveys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("after", sa.String(length=12), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("scale", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_score_bp", sa.Integer(), nullable=True),
        sa.Column("answer_score_bp", sa.Integer(), nullable=True),
        sa.CheckConstraint("after IN ('close', 'redemption', 'issue')", name=op.f("ck_surveys_after")),
        sa.CheckConstraint("channel IN ('email', 'sms')", name=op.f("ck_surveys_channel")),
        sa.CheckConstraint(
            "status IN ('planned', 'sent', 'answered', 'suppressed', 'withdrawn')", name=op.f("ck_surveys_status")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_surveys_case_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_surveys_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_surveys")),
        sa.UniqueConstraint("case_id", "round", name=op.f("uq_surveys_case_id_round")),
    )
    with op.batch_alter_table("surveys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_surveys_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index("ix_surveys_status_due_at", ["status", "due_at"], unique=False)

    op.create_table(
        "feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("inbox_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=True),
        sa.Column("scale", sa.String(length=10), nullable=True),
        sa.Column("score_given", sa.String(length=20), nullable=True),
        sa.Column("score_bp", sa.Integer(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column(
            "choices",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=True,
        ),
        sa.Column("consent", sa.Boolean(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("locale", sa.String(length=20), nullable=True),
        sa.Column("segment", sa.String(length=64), nullable=True),
        sa.Column("customer_value_minor", sa.BigInteger(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("agent", sa.String(length=200), nullable=True),
        sa.Column("order_ref", sa.String(length=200), nullable=True),
        sa.Column("product", sa.String(length=64), nullable=True),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("issue_tag", sa.String(length=64), nullable=True),
        sa.Column("tagged_by", sa.String(length=10), nullable=True),
        sa.Column("severity", sa.SmallInteger(), nullable=True),
        sa.Column("story", sa.Text(), nullable=True),
        sa.Column("open_case", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("source_order", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("act_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("survey_id", sa.Uuid(), nullable=True),
        sa.Column("form_id", sa.Uuid(), nullable=True),
        sa.Column("voucher_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "event IN ('order_late', 'canceled', 'refunded', 'outage', 'rage_click', 'abandoned', 'purchase', 'other')",
            name=op.f("ck_feedback_event"),
        ),
        sa.CheckConstraint(
            "kind IN ('survey', 'complaint', 'employee_report', 'event')", name=op.f("ck_feedback_kind")
        ),
        sa.CheckConstraint("scale IN ('stars_5', 'csat', 'nps', 'ces_7', 'percent')", name=op.f("ck_feedback_scale")),
        sa.CheckConstraint("tagged_by IN ('source', 'words', 'person')", name=op.f("ck_feedback_tagged_by")),
        sa.CheckConstraint("status IN ('settling', 'acted', 'waiting', 'ignored')", name=op.f("ck_feedback_status")),
        sa.CheckConstraint(
            "(score_given IS NULL) = (score_bp IS NULL)", name=op.f("ck_feedback_score_made_comparable")
        ),
        sa.CheckConstraint("score_bp BETWEEN 0 AND 10000", name=op.f("ck_feedback_score_bp")),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_feedback_case_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_feedback_customer_id")),
        sa.ForeignKeyConstraint(["form_id"], ["feedback_forms.id"], name=op.f("fk_feedback_form_id")),
        sa.ForeignKeyConstraint(["inbox_id"], ["feedback_inbox.id"], name=op.f("fk_feedback_inbox_id")),
        sa.ForeignKeyConstraint(["survey_id"], ["surveys.id"], name=op.f("fk_feedback_survey_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_feedback_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_feedback_source_external_id")),
    )
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feedback_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_feedback_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(
            "ix_feedback_occurred_at_issue_tag_location", ["occurred_at", "issue_tag", "location"], unique=False
        )
        batch_op.create_index(
            "ix_feedback_purchases",
            ["customer_id", "occurred_at"],
            unique=False,
            postgresql_where=sa.text("event = 'purchase'"),
            sqlite_where=sa.text("event = 'purchase'"),
        )
        batch_op.create_index(batch_op.f("ix_feedback_received_at"), ["received_at"], unique=False)
        batch_op.create_index("ix_feedback_status_act_at", ["status", "act_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_feedback_survey_id"), ["survey_id"], unique=False)

    op.create_table(
        "criteria_firings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("criterion", sa.String(length=64), nullable=False),
        sa.Column("criterion_item_id", sa.Uuid(), nullable=False),
        sa.Column("feedback_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("issuance_id", sa.Uuid(), nullable=True),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column(
            "facts",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "actions",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("cost_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("mode IN ('live', 'shadow', 'held_out')", name=op.f("ck_criteria_firings_mode")),
        sa.CheckConstraint(
            "outcome IN ('acted', 'asked', 'refused', 'tripped', 'outranked', 'already', 'would_have', 'held_out')",
            name=op.f("ck_criteria_firings_outcome"),
        ),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_criteria_firings_case_id")),
        sa.ForeignKeyConstraint(
            ["criterion_item_id"], ["catalog_items.id"], name=op.f("fk_criteria_firings_criterion_item_id")
        ),
        sa.ForeignKeyConstraint(["feedback_id"], ["feedback.id"], name=op.f("fk_criteria_firings_feedback_id")),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_criteria_firings_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_criteria_firings")),
        sa.UniqueConstraint("feedback_id", "criterion", name=op.f("uq_criteria_firings_feedback_id_criterion")),
    )
    with op.batch_alter_table("criteria_firings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_criteria_firings_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_criteria_firings_case_id"), ["case_id"], unique=False)
        batch_op.create_index("ix_criteria_firings_criterion_id", ["criterion", "id"], unique=False)
        batch_op.create_index(
            "uq_criteria_firings_gives_once_a_case",
            ["criterion", "case_id"],
            unique=True,
            postgresql_where=sa.text("issuance_id IS NOT NULL"),
            sqlite_where=sa.text("issuance_id IS NOT NULL"),
        )

    op.create_table(
        "feedback_revisions",
        sa.Column("feedback_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("inbox_id", sa.Uuid(), nullable=True),
        sa.Column("score_given", sa.String(length=20), nullable=True),
        sa.Column("score_bp", sa.Integer(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["feedback_id"], ["feedback.id"], name=op.f("fk_feedback_revisions_feedback_id")),
        sa.ForeignKeyConstraint(["inbox_id"], ["feedback_inbox.id"], name=op.f("fk_feedback_revisions_inbox_id")),
        sa.PrimaryKeyConstraint("feedback_id", "revision", name=op.f("pk_feedback_revisions")),
    )
    op.create_table(
        "feedback_tags",
        sa.Column("feedback_id", sa.Uuid(), nullable=False),
        sa.Column("issue_tag", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["feedback_id"], ["feedback.id"], name=op.f("fk_feedback_tags_feedback_id")),
        sa.PrimaryKeyConstraint("feedback_id", "issue_tag", name=op.f("pk_feedback_tags")),
    )
    op.create_table(
        "feedback_unmapped",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("feedback_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("field", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["feedback_id"], ["feedback.id"], name=op.f("fk_feedback_unmapped_feedback_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback_unmapped")),
    )
    with op.batch_alter_table("feedback_unmapped", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feedback_unmapped_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_feedback_unmapped_feedback_id"), ["feedback_id"], unique=False)

    with op.batch_alter_table("outbox_messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("case_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("apology_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("survey_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("user_id", sa.Uuid(), nullable=True))
        batch_op.alter_column("issuance_id", existing_type=sa.Uuid(), nullable=True)
        batch_op.create_index(
            "ix_outbox_messages_notices",
            ["created_at"],
            unique=False,
            postgresql_where=sa.text("user_id IS NOT NULL"),
            sqlite_where=sa.text("user_id IS NOT NULL"),
        )
        batch_op.create_index(batch_op.f("ix_outbox_messages_case_id"), ["case_id"], unique=False)
        batch_op.create_check_constraint(
            op.f("ck_outbox_messages_about_something"), "issuance_id IS NOT NULL OR case_id IS NOT NULL"
        )
        batch_op.create_unique_constraint(
            batch_op.f("uq_outbox_messages_apology_id_channel"), ["apology_id", "channel"]
        )
        batch_op.create_unique_constraint(batch_op.f("uq_outbox_messages_survey_id_channel"), ["survey_id", "channel"])
        batch_op.create_foreign_key(batch_op.f("fk_outbox_messages_survey_id"), "surveys", ["survey_id"], ["id"])
        batch_op.create_foreign_key(
            batch_op.f("fk_outbox_messages_apology_id"), "case_apologies", ["apology_id"], ["id"]
        )
        batch_op.create_foreign_key(batch_op.f("fk_outbox_messages_user_id"), "users", ["user_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_outbox_messages_case_id"), "recovery_cases", ["case_id"], ["id"])

    with op.batch_alter_table("recovery_cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("outcome", sa.String(length=16), nullable=True))
    _end_cases()
    with op.batch_alter_table("recovery_cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source", sa.String(length=64), server_default="staff", nullable=False))
        batch_op.add_column(sa.Column("product", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("segment", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("locale", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("contact", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("story", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("responsible_kind", sa.String(length=10), nullable=True))
        batch_op.add_column(sa.Column("responsible", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("salvageable", sa.Boolean(), server_default=sa.true(), nullable=False))
        batch_op.add_column(sa.Column("owner", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("owner_team", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("unowned_told_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("protocol_item_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("catalog_release_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("round", sa.SmallInteger(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("first_score_bp", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("closed_by", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("closing_note", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("recovered", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("recovered_evidence", sa.String(length=10), nullable=True))
        batch_op.add_column(sa.Column("recovered_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("merged_into_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("split_from_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("incident_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("held_out_of", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(batch_op.f("ix_recovery_cases_incident_id"), ["incident_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_recovery_cases_owner"), ["owner"], unique=False)
        for name, rule in CASE_CHECKS.items():
            batch_op.create_check_constraint(op.f(f"ck_recovery_cases_{name}"), rule)
        batch_op.create_index("ix_recovery_cases_status_changed_at", ["status", "changed_at"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_recovery_cases_protocol_item_id"), "catalog_items", ["protocol_item_id"], ["id"]
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_recovery_cases_catalog_release_id"), "catalog_releases", ["catalog_release_id"], ["id"]
        )
        batch_op.create_foreign_key(batch_op.f("fk_recovery_cases_incident_id"), "incidents", ["incident_id"], ["id"])
        batch_op.create_foreign_key(
            batch_op.f("fk_recovery_cases_split_from_id"), "recovery_cases", ["split_from_id"], ["id"]
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_recovery_cases_merged_into_id"), "recovery_cases", ["merged_into_id"], ["id"]
        )

    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "skills",
                sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
                server_default="[]",
                nullable=False,
            )
        )
    _fill_cases()
    _guard()


def downgrade() -> None:
    """Take them away again; messages that are not about an issuance have no place in the older tables."""
    _unguard()
    _forget_attempts()
    op.execute("DELETE FROM outbox_messages WHERE issuance_id IS NULL")
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_column("skills")

    with op.batch_alter_table("recovery_cases", schema=None) as batch_op:
        for name in CASE_CHECKS:
            batch_op.drop_constraint(op.f(f"ck_recovery_cases_{name}"), type_="check")
        batch_op.drop_constraint(batch_op.f("fk_recovery_cases_merged_into_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_recovery_cases_split_from_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_recovery_cases_incident_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_recovery_cases_catalog_release_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_recovery_cases_protocol_item_id"), type_="foreignkey")
        batch_op.drop_index("ix_recovery_cases_status_changed_at")
        batch_op.drop_index(batch_op.f("ix_recovery_cases_owner"))
        batch_op.drop_index(batch_op.f("ix_recovery_cases_incident_id"))
        batch_op.drop_column("changed_at")
        batch_op.drop_column("held_out_of")
        batch_op.drop_column("incident_id")
        batch_op.drop_column("split_from_id")
        batch_op.drop_column("merged_into_id")
        batch_op.drop_column("recovered_at")
        batch_op.drop_column("recovered_evidence")
        batch_op.drop_column("recovered")
        batch_op.drop_column("closing_note")
        batch_op.drop_column("outcome")
        batch_op.drop_column("closed_by")
        batch_op.drop_column("closed_at")
        batch_op.drop_column("first_score_bp")
        batch_op.drop_column("round")
        batch_op.drop_column("catalog_release_id")
        batch_op.drop_column("protocol_item_id")
        batch_op.drop_column("unowned_told_at")
        batch_op.drop_column("assigned_at")
        batch_op.drop_column("owner_team")
        batch_op.drop_column("owner")
        batch_op.drop_column("salvageable")
        batch_op.drop_column("responsible")
        batch_op.drop_column("responsible_kind")
        batch_op.drop_column("story")
        batch_op.drop_column("contact")
        batch_op.drop_column("occurred_at")
        batch_op.drop_column("locale")
        batch_op.drop_column("segment")
        batch_op.drop_column("product")
        batch_op.drop_column("source")

    with op.batch_alter_table("outbox_messages", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_outbox_messages_about_something"), type_="check")
        batch_op.drop_constraint(batch_op.f("fk_outbox_messages_case_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_outbox_messages_user_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_outbox_messages_apology_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_outbox_messages_survey_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("uq_outbox_messages_survey_id_channel"), type_="unique")
        batch_op.drop_constraint(batch_op.f("uq_outbox_messages_apology_id_channel"), type_="unique")
        batch_op.drop_index("ix_outbox_messages_notices")
        batch_op.drop_index(batch_op.f("ix_outbox_messages_case_id"))
        batch_op.alter_column("issuance_id", existing_type=sa.Uuid(), nullable=False)
        batch_op.drop_column("user_id")
        batch_op.drop_column("survey_id")
        batch_op.drop_column("apology_id")
        batch_op.drop_column("case_id")

    with op.batch_alter_table("feedback_unmapped", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_feedback_unmapped_feedback_id"))
        batch_op.drop_index(batch_op.f("ix_feedback_unmapped_at"))

    op.drop_table("feedback_unmapped")
    op.drop_table("feedback_tags")
    op.drop_table("feedback_revisions")
    with op.batch_alter_table("criteria_firings", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_criteria_firings_gives_once_a_case",
            postgresql_where=sa.text("issuance_id IS NOT NULL"),
            sqlite_where=sa.text("issuance_id IS NOT NULL"),
        )
        batch_op.drop_index("ix_criteria_firings_criterion_id")
        batch_op.drop_index(batch_op.f("ix_criteria_firings_case_id"))
        batch_op.drop_index(batch_op.f("ix_criteria_firings_at"))

    op.drop_table("criteria_firings")
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_feedback_survey_id"))
        batch_op.drop_index("ix_feedback_status_act_at")
        batch_op.drop_index(batch_op.f("ix_feedback_received_at"))
        batch_op.drop_index(
            "ix_feedback_purchases",
            postgresql_where=sa.text("event = 'purchase'"),
            sqlite_where=sa.text("event = 'purchase'"),
        )
        batch_op.drop_index("ix_feedback_occurred_at_issue_tag_location")
        batch_op.drop_index(batch_op.f("ix_feedback_customer_id"))
        batch_op.drop_index(batch_op.f("ix_feedback_case_id"))

    op.drop_table("feedback")
    with op.batch_alter_table("surveys", schema=None) as batch_op:
        batch_op.drop_index("ix_surveys_status_due_at")
        batch_op.drop_index(batch_op.f("ix_surveys_customer_id"))

    op.drop_table("surveys")
    with op.batch_alter_table("case_tasks", schema=None) as batch_op:
        batch_op.drop_index("ix_case_tasks_done_at_due_at")
        batch_op.drop_index(batch_op.f("ix_case_tasks_case_id"))

    op.drop_table("case_tasks")
    op.drop_table("case_tags")
    op.drop_table("case_steps")
    with op.batch_alter_table("case_shares", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_shares_team"))
        batch_op.drop_index(batch_op.f("ix_case_shares_case_id"))

    op.drop_table("case_shares")
    with op.batch_alter_table("case_notes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_notes_case_id"))

    op.drop_table("case_notes")
    with op.batch_alter_table("case_links", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_links_other_id"))

    op.drop_table("case_links")
    with op.batch_alter_table("case_files", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_files_case_id"))

    op.drop_table("case_files")
    with op.batch_alter_table("case_clocks", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_case_clocks_running",
            postgresql_where=sa.text("met_at IS NULL AND escalated_at IS NULL"),
            sqlite_where=sa.text("met_at IS NULL AND escalated_at IS NULL"),
        )

    op.drop_table("case_clocks")
    op.drop_table("case_causes")
    with op.batch_alter_table("case_apologies", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_apologies_case_id"))

    op.drop_table("case_apologies")
    op.drop_table("incidents")
    with op.batch_alter_table("feedback_inbox", schema=None) as batch_op:
        batch_op.drop_index("ix_feedback_inbox_status_received_at")
        batch_op.drop_index(batch_op.f("ix_feedback_inbox_feedback_id"))

    op.drop_table("feedback_inbox")
    op.drop_table("feedback_forms")
    op.drop_table("criteria_hours")
