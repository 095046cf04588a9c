"""People, their sessions, and API keys. Only digests of secrets are kept."""

import sqlalchemy as sa

from incentives.kernel.database import JsonColumn, UtcDateTime, metadata

ROLES = ("frontline", "supervisor", "manager", "finance", "auditor", "till", "integrator", "admin")

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("email", sa.String(320), nullable=False, unique=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("location", sa.String(64)),
    sa.Column("team", sa.String(64)),
    sa.Column("skills", JsonColumn, nullable=False, server_default="[]"),  # keys of issue tags; empty is every one
    sa.Column("password_hash", sa.String(200), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("disabled_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("role").in_(ROLES), name="role"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("token_digest", sa.String(64), nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("last_seen_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", UtcDateTime(), nullable=False),
    sa.Column("revoked_at", UtcDateTime()),
    sa.Column("user_agent", sa.String(300), nullable=False),
    sa.Column("ip", sa.String(64), nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("location", sa.String(64)),
    sa.Column("team", sa.String(64)),
    sa.Column("prefix", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("revoked_at", UtcDateTime()),
    sa.CheckConstraint(sa.column("role").in_(ROLES), name="role"),
)
