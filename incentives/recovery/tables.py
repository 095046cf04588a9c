"""Customers, what tells them apart, and the recovery of each one's trouble."""

import sqlalchemy as sa

from incentives.kernel.database import UtcDateTime, metadata

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    # Two that an address has shown to be one person have the id of the oldest of them here.
    sa.Column("group_id", sa.Uuid(), nullable=False, index=True),
    sa.Column("profile", sa.Text(), nullable=False),  # encrypted: external_ref, name, email, phone as first given
    sa.Column("locale", sa.String(20)),
    sa.Column("created_at", UtcDateTime(), nullable=False),
)

# A keyed digest of each canonical email, number and reference: it finds the same customer again and says no more.
customer_identities = sa.Table(
    "customer_identities",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.CheckConstraint("kind IN ('email', 'phone', 'reference')", name="kind"),
)

CASE_STATUSES = ("open", "closed")

recovery_cases = sa.Table(
    "recovery_cases",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), index=True),
    sa.Column("issue_tag", sa.String(64), nullable=False),
    sa.Column("severity", sa.SmallInteger(), nullable=False),
    sa.Column("location", sa.String(64), index=True),
    sa.Column("team", sa.String(64)),
    sa.Column("order_ref", sa.String(200)),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("opened_at", UtcDateTime(), nullable=False, index=True),
    sa.Column("opened_by", sa.String(64), nullable=False),
    sa.CheckConstraint(sa.column("status").in_(CASE_STATUSES), name="status"),
)
