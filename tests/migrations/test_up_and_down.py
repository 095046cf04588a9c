"""Up, down and up again leads to the same schema, which is the one that the rooms describe, and keeps what is in it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from incentives.kernel import migrate
from incentives.kernel.database import AmountMinor, Database, UtcDateTime
from incentives.kernel.errors import InputInvalid
from tests.migrations.filled import fill, fill_for_the_way_down
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


def test_every_column_of_a_voucher_s_life_is_filled_once(database_url: str, new_database: NewDatabase) -> None:
    before = new_database(migrated=False)
    migrate.upgrade(before, "0003")
    old = columns(before)
    fill(database_url)
    empty = [
        f"{table}.{name}"
        for table, rows in everything(database_url).items()
        for name in set(rows[0]) - set(old.get(table, ()))
        if all(row[name] is None for row in rows)
    ]
    assert empty == []


def test_rows_survive_the_way_down_and_up(database_url: str) -> None:
    """Going down loses what only the newer tables and columns hold, and whatever tells of it; all else stays."""
    fill_for_the_way_down(database_url)
    full = everything(database_url)
    migrate.downgrade(database_url, "0002")
    old = columns(database_url)
    kept = only(as_older_tables_say_it(without_what_is_newer(full)), old)
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
    fill_for_the_way_down(database_url)
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


def test_vouchers_of_before_know_how_far_they_are_used(database_url: str) -> None:
    """What was redeemed is used up, by its worth but for what went on as the next voucher; releases know since when."""
    fill_for_the_way_down(database_url)
    worth = {row["voucher_id"]: row["settled_minor"] for row in everything(database_url)["redemptions"]}
    migrate.downgrade(database_url, "0003")
    migrate.upgrade(database_url)
    rows = everything(database_url)
    statuses = {row["status"]: row["redeemed_count"] for row in rows["vouchers"]}
    assert statuses == {"redeemed": 1, "issued": 0, "expired": 0}
    assert {row["voucher_id"]: row["settled_minor"] for row in rows["redemptions"]} == worth
    assert set(worth.values()) == {70}
    in_force = {row["status"]: row["effective_at"] == row["approved_at"] for row in rows["catalog_releases"]}
    assert in_force["approved"] is in_force["superseded"] is True
    assert {row["effective_at"] for row in rows["catalog_releases"] if row["status"] == "withdrawn"} == {None}
    assert all(row["level_since_at"] == row["requested_at"] for row in rows["approvals"])


def test_what_the_books_tell_of_is_not_taken_down(database_url: str) -> None:
    """The way down ends where older tables cannot hold what happened, and everything is as it was."""
    fill(database_url, heard=False)
    before, full = shape(database_url), everything(database_url)
    with pytest.raises(InputInvalid) as refused:
        migrate.downgrade(database_url, "0003")
    for what in ("entries of the ledger", "of newer kinds", "that whole jobs made", "several times", "that are frozen"):
        assert what in str(refused.value)
    assert (shape(database_url), everything(database_url)) == (before, full)


def test_what_is_sealed_is_not_taken_down(database_url: str) -> None:
    """Reports of providers that seals cover would be gone for good, and the books would never hold again."""
    fill(database_url)
    before, full = shape(database_url), everything(database_url)
    with pytest.raises(InputInvalid, match="what providers reported"):
        migrate.downgrade(database_url, "0007")
    assert (shape(database_url), everything(database_url)) == (before, full)


Rows = dict[str, list[dict[str, Any]]]
Columns = dict[str, list[str]]

NEWER = {
    "case_apologies", "case_causes", "case_clocks", "case_files", "case_links", "case_notes", "case_shares",
    "case_steps", "case_tags", "case_tasks", "criteria_firings", "criteria_hours", "feedback", "feedback_forms",
    "feedback_inbox", "feedback_revisions", "feedback_tags", "feedback_unmapped", "incidents", "surveys",
    "approval_votes", "budget_alerts", "budget_allocations", "budget_requests", "bulk_jobs", "bulk_rows",
    "books_checks", "delegations", "listed_values", "redemption_reversals", "reservations", "reviews",
    "delivery_events", "message_providers", "seal_parts", "seals", "suppressions", "switches",
}  # fmt: skip


def without_what_is_newer(full: Rows) -> Rows:
    """Return the rows without messages about no issuance or sent again, and without the tries to send those."""
    gone = {row["id"] for row in full["outbox_messages"] if row["issuance_id"] is None or row["copy"]}
    templates = {row["template"] for row in full["outbox_messages"] if row["id"] in gone}
    assert templates >= {"apology", "survey", "notice-budget", "voucher"}
    kept = {
        "outbox_messages": [row for row in full["outbox_messages"] if row["id"] not in gone],
        "delivery_attempts": [row for row in full["delivery_attempts"] if row["message_id"] not in gone],
    }
    assert all(kept.values())
    return full | kept


def as_older_tables_say_it(full: Rows) -> Rows:
    """Return the rows as they are where nobody holds, allots, schedules, or takes back what they asked for."""
    changed = {
        "vouchers": [row | ({"status": "issued"} if row["status"] == "reserved" else {}) for row in full["vouchers"]],
        "approvals": [row | unless_withdrawn(row) for row in full["approvals"]],
        "budget_periods": [row | dict(caps(row)) for row in full["budget_periods"]],
        "catalog_releases": [row | RELEASES.get(row["number"], {}) for row in full["catalog_releases"]],
    }
    assert all(changed[table] != full[table] for table in changed)
    return full | changed


# The one that came into force by its day, the one before it, and the one whose day has not come.
RELEASES: dict[int, dict[str, Any]] = {
    1: {"status": "superseded"},
    101: {"status": "approved"},
    102: {"status": "withdrawn", "approved_at": None, "approved_by": None},
}


def unless_withdrawn(approval: dict[str, Any]) -> dict[str, Any]:
    taken_back = approval["status"] == "withdrawn" and approval["decided_by"] == approval["requested_by"]
    return {"decided_by": None} if taken_back else {}


def caps(pot: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield what a pot may hold, allotments included, and in any case what it holds."""
    for unit in ("minor", "count"):
        if pot[f"cap_{unit}"] is not None:
            used = sum(int(pot[f"{name}_{unit}"]) for name in ("held", "committed", "spent"))
            yield f"cap_{unit}", max(pot[f"cap_{unit}"] + pot[f"allotted_{unit}"], used)


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
