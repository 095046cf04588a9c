"""Bulk jobs: a file of many rows, each to be given by itself, once, and what came of it."""

import sqlalchemy as sa

from incentives.kernel.database import JsonColumn, UtcDateTime, metadata

JOB_STATUSES = ("loading", "checking", "checked", "running", "stopping", "stopped", "done", "refused")
ROW_STATUSES = ("waiting", "issued", "pending_approval", "refused")

bulk_jobs = sa.Table(
    "bulk_jobs",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("dry_run", sa.Boolean(), nullable=False),
    sa.Column("file_name", sa.String(200)),
    sa.Column("file_digest", sa.String(64), nullable=False),
    sa.Column("format", sa.String(10), nullable=False),
    sa.Column("incident_id", sa.Uuid(), sa.ForeignKey("incidents.id")),
    sa.Column("retry_of_id", sa.Uuid(), sa.ForeignKey("bulk_jobs.id")),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("location", sa.String(64)),  # the place that its maker belongs to: who else may see it
    *(
        sa.Column(name, sa.Integer(), nullable=False, server_default="0")
        for name in ("rows_total", "rows_checked", "rows_refused", "rows_issued", "rows_pending")
    ),
    sa.Column("totals", JsonColumn, nullable=False),  # by currency, and the refusals by kind
    sa.Column("reason", sa.String(500)),  # in words, why it was refused or stopped
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("checked_at", UtcDateTime()),
    sa.Column("started_at", UtcDateTime()),
    sa.Column("ended_at", UtcDateTime()),
    sa.Column("stopped_by", sa.String(64)),
    sa.Column("lease_id", sa.Uuid()),
    sa.Column("lease_until_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("status").in_(JOB_STATUSES), name="status"),
    sa.CheckConstraint("mode IN ('best_effort', 'all_or_nothing')", name="mode"),
    sa.CheckConstraint("format IN ('csv', 'ndjson')", name="format"),
    sa.Index("ix_bulk_jobs_status", "status"),
    # The same file of the same person is one job, however often it is sent and whoever races.
    sa.Index(
        "uq_bulk_jobs_actor_file_digest",
        "actor",
        "file_digest",
        unique=True,
        postgresql_where=sa.text("retry_of_id IS NULL"),
        sqlite_where=sa.text("retry_of_id IS NULL"),
    ),
)

bulk_rows = sa.Table(
    "bulk_rows",
    metadata,
    sa.Column("job_id", sa.Uuid(), sa.ForeignKey("bulk_jobs.id"), primary_key=True),
    sa.Column("line", sa.Integer(), primary_key=True),  # of the file, from 1; a header counts
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("request", sa.Text(), nullable=False),  # encrypted: whom it names
    sa.Column("verdict", JsonColumn),  # of the dry run: would be issued, would wait, would be refused for
    sa.Column("problem", JsonColumn),  # what it was refused for; what that says is encrypted
    sa.Column("issuance_id", sa.Uuid(), sa.ForeignKey("issuances.id")),
    sa.CheckConstraint(sa.column("status").in_(ROW_STATUSES), name="status"),
    sa.Index("ix_bulk_rows_job_id_status_line", "job_id", "status", "line"),
)
