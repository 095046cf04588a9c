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


def test_rows_survive_the_way_down_and_up(database_url: str) -> None:
    fill(database_url)
    before = everything(database_url)
    for revision in reversed(revisions()[:-1]):
        migrate.downgrade(database_url, revision)
    migrate.upgrade(database_url)
    assert everything(database_url) == before
    assert all(before.values()), [name for name, found in before.items() if not found]


def everything(url: str) -> dict[str, list[Any]]:
    """Return every row of every table."""
    database = Database(url, pool_size=1)
    with database.read() as tx:
        found = {
            table.name: sorted(map(repr, tx.execute(sa.select(table)).all())) for table in all_tables().sorted_tables
        }
    database.dispose()
    return found
