"""The books cannot be altered: not by us, not by a statement typed by hand."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from incentives.books.tables import ledger_entries, ledger_postings
from incentives.kernel.database import Database
from incentives.kernel.ids import Ids
from tests.migrations.filled import fill
from tests.schema import all_tables, append_only_tables
from tests.world import START

TABLES = append_only_tables()


@pytest.fixture(scope="module")
def filled() -> dict[str, str]:
    return {}


@pytest.fixture
def books(backend: str, filled: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with rows in every table. Nothing can be changed in it, so all tests here share it."""
    databases = request.getfixturevalue("sqlite" if backend == "sqlite" else "postgres")
    if backend not in filled:
        filled[backend] = databases.new()
        fill(filled[backend])
    database = Database(filled[backend], pool_size=1)
    yield database
    database.dispose()


def table_of(name: str) -> sa.Table:
    return all_tables().tables[name]


def rows(database: Database, name: str) -> list[str]:
    with database.read() as tx:
        return sorted(map(repr, tx.execute(sa.select(table_of(name))).all()))


def refused(database: Database, name: str, statement: Callable[[sa.Table], sa.Executable]) -> None:
    before = rows(database, name)
    assert before, f"{name} has no rows to guard"
    with pytest.raises(DBAPIError, match=rf"{name}\w* is append-only"), database.engine.begin() as tx:
        tx.execute(statement(table_of(name)))
    assert rows(database, name) == before


@pytest.mark.parametrize("name", TABLES)
def test_no_row_is_changed(books: Database, name: str) -> None:
    refused(books, name, lambda table: table.update().values({column: column for column in table.primary_key}))
    refused(books, name, lambda table: table.update().values({list(table.c)[-1].name: None}))


@pytest.mark.parametrize("name", TABLES)
def test_no_row_is_removed(books: Database, name: str) -> None:
    refused(books, name, lambda table: table.delete())


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("name", TABLES)
def test_no_table_is_emptied(books: Database, name: str) -> None:
    refused(books, name, lambda table: sa.text(f"TRUNCATE {table.name} CASCADE"))


@pytest.mark.parametrize("name", TABLES)
def test_no_row_is_replaced(books: Database, name: str) -> None:
    """SQLite replaces a row without asking the triggers of its removal; PostgreSQL updates it."""
    table = table_of(name)
    before = rows(books, name)
    keys = [column.name for column in table.primary_key]
    names = ", ".join(column.name for column in table.c)
    if books.sqlite:
        statement = f"INSERT OR REPLACE INTO {name} ({names}) SELECT {names} FROM {name}"
    else:
        same = f"{keys[0]} = excluded.{keys[0]}"
        conflict = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {same}"
        statement = f"INSERT INTO {name} ({names}) SELECT {names} FROM {name} {conflict}"
    with pytest.raises(DBAPIError, match="append-only"), books.engine.begin() as tx:
        tx.exec_driver_sql(statement)
    assert rows(books, name) == before


def test_whatever_a_room_calls_append_only_is_guarded_and_nothing_else_pretends(books: Database) -> None:
    guarded = "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'"
    if not books.sqlite:
        # Those of a month are its table's, which brings them along.
        guarded = """
            SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger
            WHERE tgname LIKE '%%_append_only' AND tgparentid = 0"""
    with books.read() as tx:
        found = set(tx.exec_driver_sql(guarded).scalars())
    assert found == set(TABLES)


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize(
    "lines",
    [
        [("recovery-expense", 100, "USD"), ("voucher-liability", -99, "USD")],
        [("recovery-expense", 100, "USD")],
        [("recovery-expense", 100, "USD"), ("voucher-liability", -100, "EUR")],
    ],
)
def test_an_entry_that_does_not_balance_is_refused_at_commit(
    books: Database, lines: list[tuple[str, int, str]]
) -> None:
    before = rows(books, "ledger_postings")
    connection = books.engine.connect()
    transaction = connection.begin()
    write_entry(connection, lines)
    with pytest.raises(IntegrityError, match="does not balance"):
        transaction.commit()
    connection.close()
    assert rows(books, "ledger_postings") == before


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_line_added_later_does_not_unbalance_an_entry(books: Database) -> None:
    before = rows(books, "ledger_postings")
    connection = books.engine.connect()
    transaction = connection.begin()
    entry_id = connection.execute(sa.select(ledger_entries.c.id).limit(1)).scalar_one()
    line = {"entry_id": entry_id, "account": "breakage", "amount_minor": 1, "currency": "USD"}
    connection.execute(ledger_postings.insert(), {"id": Ids().new(START), **line})
    with pytest.raises(IntegrityError, match="does not balance"):
        transaction.commit()
    connection.close()
    assert rows(books, "ledger_postings") == before


def write_entry(tx: sa.Connection, lines: list[tuple[str, int, str]]) -> None:
    ids = Ids()
    entry_id = ids.new(START)
    voucher_id = tx.execute(sa.select(ledger_entries.c.voucher_id).limit(1)).scalar_one()
    entry = {"kind": "voucher-expired", "source_id": ids.new(START), "voucher_id": voucher_id}
    told = {"at": START, "actor": "system", "reason": "A test."}
    tx.execute(ledger_entries.insert(), {"id": entry_id, **entry, **told})
    for account, amount_minor, currency in lines:
        line = {"account": account, "amount_minor": amount_minor, "currency": currency}
        tx.execute(ledger_postings.insert(), {"id": ids.new(START), "entry_id": entry_id, **line})
