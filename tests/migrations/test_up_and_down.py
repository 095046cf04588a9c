"""Up, down and up again leads to the same schema, which is the one that the rooms describe, and keeps what is in it."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from incentives.kernel import migrate
from incentives.kernel.database import AmountMinor, Database, UtcDateTime
from tests.migrations.filled import fill
from tests.migrations.shape import shape, tables_part
from tests.schema import all_tables

NewDatabase = Callable[..., str]


def revisions() -> list[str]:
    return [f"{number:04d}" for number in range(1, int(migrate.head()) + 1)]


def test_up_down_and_up_again(blank_database_url: str) -> None:
    url = blank_database_url
    empty = shape(url)
    shapes = []
    for revision in revisions():
        migrate.upgrade(url, revision)
        shapes.append(shape(url))
    for before in reversed([empty, *shapes[:-1]]):
        migrate.downgrade(url, "-1")
        assert shape(url) == before
    migrate.upgrade(url)
    assert shape(url) == shapes[-1]


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = shape(database_url)
    migrate.upgrade(database_url)
    assert shape(database_url) == before


def test_the_schema_is_what_the_rooms_describe(new_database: NewDatabase) -> None:
    migrated, described = new_database(), new_database(migrated=False)
    database = Database(described)
    with database.write() as tx:
        all_tables().create_all(tx)
    database.dispose()
    ours, theirs = tables_part(shape(described)), tables_part(shape(migrated))
    for part, rows in ours.items():
        assert set(theirs[part]) ^ set(rows) == set()


def test_alembic_finds_nothing_to_migrate(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": same_type, "compare_server_default": True}
        )
        assert compare_metadata(context, all_tables()) == []


def same_type(_context: Any, _found_column: Any, _our_column: Any, found: Any, ours: Any) -> bool | None:
    """Return whether a type differs: ours are known to the database by what they are made of."""
    if isinstance(ours, UtcDateTime | AmountMinor):
        return not isinstance(found, type(ours.impl_instance))
    return None


def test_everything_happens_once(database_url: str) -> None:
    fill(database_url)
    empty = [name for name, found in everything(database_url).items() if not found]
    assert empty == []


def test_rows_survive_the_way_down_and_up(database_url: str) -> None:
    """Going down loses what only the newer tables and columns hold, and whatever tells of it; all else stays."""
    fill(database_url)
    full = everything(database_url)
    migrate.downgrade(database_url, "0002")
    old = columns(database_url)
    kept = only(without_what_is_newer(full), old)
    assert everything(database_url, old) == kept
    assert set(full) - set(old) == NEWER
    migrate.downgrade(database_url, "0001")
    assert everything(database_url, old) == kept
    migrate.upgrade(database_url)
    again = everything(database_url)
    assert only(again, old) == kept
    assert {name for name in NEWER if again[name]} == {"case_tags"}
    migrate.downgrade(database_url, "0002")
    migrate.upgrade(database_url)
    assert everything(database_url) == again


def test_cases_of_before_know_what_was_known_of_them(database_url: str) -> None:
    """A case of the older tables gets its tag, its customer's address, its protocol and its owner on the way up."""
    fill(database_url)
    ends = {row["id"]: row["closed_at"] for row in everything(database_url)["recovery_cases"]}
    assert None in ends.values()
    assert set(ends.values()) != {None}
    migrate.downgrade(database_url, "0002")
    migrate.upgrade(database_url)
    rows = everything(database_url)
    tags = {(row["case_id"], row["issue_tag"]) for row in rows["case_tags"]}
    assert tags == {(row["id"], row["issue_tag"]) for row in rows["recovery_cases"]}
    first = {row["case_id"]: row for row in sorted(rows["issuances"], key=lambda row: str(row["id"]), reverse=True)}
    assert first
    for row in rows["recovery_cases"]:
        given = first.get(row["id"], {})
        for name in ("protocol_item_id", "catalog_release_id", "contact", "locale", "segment"):
            assert row[name] == given.get(name)
        assert row["changed_at"] == row["opened_at"]
        assert row["owner"] == (row["opened_by"] if row["opened_by"].startswith("person:") else None)
        assert (row["closed_at"], row["outcome"]) == (ends[row["id"]], "no_action" if ends[row["id"]] else None)


Rows = dict[str, list[dict[str, Any]]]
Columns = dict[str, list[str]]

NEWER = {
    "case_apologies", "case_causes", "case_clocks", "case_files", "case_links", "case_notes", "case_shares",
    "case_steps", "case_tags", "case_tasks", "criteria_firings", "criteria_hours", "feedback", "feedback_forms",
    "feedback_inbox", "feedback_revisions", "feedback_tags", "feedback_unmapped", "incidents", "surveys",
}  # fmt: skip


def without_what_is_newer(full: Rows) -> Rows:
    """Return the rows without messages that are about no issuance, and without the tries to send those."""
    gone = {row["id"] for row in full["outbox_messages"] if row["issuance_id"] is None}
    assert {row["template"] for row in full["outbox_messages"] if row["id"] in gone} >= {"apology", "survey"}
    kept = {
        "outbox_messages": [row for row in full["outbox_messages"] if row["id"] not in gone],
        "delivery_attempts": [row for row in full["delivery_attempts"] if row["message_id"] not in gone],
    }
    assert all(kept.values())
    return full | kept


def only(rows: Rows, wanted: Columns) -> Rows:
    """Return the rows of some tables, in some of their columns."""
    return {
        table: in_order([{name: row[name] for name in names} for row in rows[table]]) for table, names in wanted.items()
    }


def columns(url: str) -> Columns:
    """Return the columns of each table that the database has now."""
    database = Database(url, pool_size=1)
    with database.read() as tx:
        inspector = sa.inspect(tx)
        names = set(inspector.get_table_names()) - {"alembic_version"}
        found = {name: [column["name"] for column in inspector.get_columns(name)] for name in names}
    database.dispose()
    return found


def everything(url: str, wanted: Columns | None = None) -> Rows:
    """Return every row of every table, or of some tables and columns."""
    tables = {table.name: table for table in all_tables().sorted_tables}
    chosen = wanted or {name: list(table.c.keys()) for name, table in tables.items()}
    database = Database(url, pool_size=1)
    with database.read() as tx:
        found = {
            table: [dict(row) for row in tx.execute(sa.select(*(tables[table].c[name] for name in names))).mappings()]
            for table, names in chosen.items()
        }
    database.dispose()
    return {table: in_order(rows) for table, rows in found.items()}


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=repr)
