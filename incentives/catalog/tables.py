"""What the catalog stores: every version of every item, and the releases that bind versions together.

An item is one thing of the catalog file (a location, an incentive, a budget …) in one version. Items and the
membership of releases are never changed or removed: vouchers pin an item, and auditors must be able to read
today what was approved then. Only a release's status moves.
"""

import sqlalchemy as sa

from incentives.kernel.database import JsonColumn, UtcDateTime, metadata

APPEND_ONLY = ("catalog_items", "catalog_release_items")

_ACTOR_LENGTH = 100
_DIGEST_LENGTH = 64
_KEY_LENGTH = 320  # an approval limit's key holds an address of up to 254 characters

catalog_items = sa.Table(
    "catalog_items",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("key", sa.String(_KEY_LENGTH), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("definition", JsonColumn, nullable=False),
    sa.Column("digest", sa.String(_DIGEST_LENGTH), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(_ACTOR_LENGTH), nullable=False),
    sa.UniqueConstraint("kind", "key", "version"),
    sa.UniqueConstraint("kind", "key", "digest"),
    sa.CheckConstraint("version >= 1", name="version_from_one"),
)

catalog_releases = sa.Table(
    "catalog_releases",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("based_on_number", sa.Integer, nullable=True),
    sa.Column("digest", sa.String(_DIGEST_LENGTH), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("proposed_at", UtcDateTime, nullable=False),
    sa.Column("proposed_by", sa.String(_ACTOR_LENGTH), nullable=False),
    sa.Column("approved_at", UtcDateTime, nullable=True),
    sa.Column("approved_by", sa.String(_ACTOR_LENGTH), nullable=True),
    # From when it is in force. One that is scheduled is in force from that instant, whoever notices.
    sa.Column("effective_at", UtcDateTime, nullable=True),
    sa.Column("rollback_of_number", sa.Integer, nullable=True),
    sa.Column("reason", sa.String(500), nullable=True),
    sa.CheckConstraint("number >= 1", name="number_from_one"),
    sa.CheckConstraint("status IN ('draft', 'scheduled', 'approved', 'superseded', 'withdrawn')", name="status_known"),
    sa.CheckConstraint("approved_by <> proposed_by", name="four_eyes"),
    sa.CheckConstraint(
        "(status IN ('draft', 'withdrawn') AND effective_at IS NULL) OR "
        "(approved_by IS NOT NULL AND approved_at IS NOT NULL AND effective_at IS NOT NULL)",
        name="approved_by_somebody",
    ),
)

# One release is in force, and a file proposed twice is one draft: the database says so, whoever races.
sa.Index(
    "uq_catalog_releases_one_approved",
    catalog_releases.c.status,
    unique=True,
    sqlite_where=catalog_releases.c.status == "approved",
    postgresql_where=catalog_releases.c.status == "approved",
)
sa.Index(
    "uq_catalog_releases_one_draft_of_a_digest",
    catalog_releases.c.digest,
    unique=True,
    sqlite_where=catalog_releases.c.status == "draft",
    postgresql_where=catalog_releases.c.status == "draft",
)

catalog_release_items = sa.Table(
    "catalog_release_items",
    metadata,
    sa.Column("release_id", sa.Uuid, sa.ForeignKey("catalog_releases.id"), primary_key=True),
    sa.Column("item_id", sa.Uuid, sa.ForeignKey("catalog_items.id"), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),  # the file's order, which the tablet shows
)
