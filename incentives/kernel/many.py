"""Many rows at once: as long for a thousand as for twenty, by what each database does best.

What they mean is what a row by itself would: defaults, constraints and triggers hold, and each is one statement.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

COPY_ROWS_MIN = 20  # fewer are as quick one by one

Binder = Callable[[Any], Any]


def insert_absent(
    tx: Connection, table: sa.Table, unique: tuple[str, ...], rows: Sequence[Mapping[str, Any]]
) -> set[tuple[Any, ...]]:
    """Insert rows in their order, but for those whose unique columns are there; return these columns of the others."""
    if not rows:
        return set()
    if tx.dialect.name == "postgresql" and len(rows) >= COPY_ROWS_MIN:
        command, readers = _insert_all_absent(table, unique, tuple(rows[0]), tx.dialect)
        arrays = {name: [read(row[name]) for row in rows] for name, read in readers}
        return {tuple(row) for row in tx.exec_driver_sql(command, arrays)}
    found = tx.execute(_insert_absent(tx.dialect.name, table, unique), [dict(row) for row in rows])
    return {tuple(row) for row in found}


@cache
def _insert_absent(dialect: str, table: sa.Table, unique: tuple[str, ...]) -> Any:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing(index_elements=unique).returning(*(table.c[name] for name in unique))


@cache
def _insert_all_absent(
    table: sa.Table, unique: tuple[str, ...], names: tuple[str, ...], dialect: sa.Dialect
) -> tuple[str, list[tuple[str, Binder]]]:
    """Return the statement that takes its rows as one array a column, and what makes an array's items."""
    arrays, readers = _arrays(table, names, dialect)
    command = (
        f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays}) "  # noqa: S608 - names of our own
        f"ON CONFLICT ({', '.join(unique)}) DO NOTHING RETURNING {', '.join(unique)}"
    )
    return command, readers


def insert_many(tx: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, those that name the same columns together: by COPY where they are many and it is PostgreSQL.

    COPY is an INSERT in all but its cost, which is a fifth: defaults, constraints and triggers hold.
    """
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        alike.setdefault(tuple(row), []).append(row)
    for some in alike.values():
        _insert_alike(tx, table, some)


def _insert_alike(tx: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if tx.dialect.name != "postgresql" or len(rows) < COPY_ROWS_MIN:
        tx.execute(table.insert(), [dict(row) for row in rows])
        return
    names = tuple(rows[0])
    command, binders = _copy(table, names, tx.dialect)
    dbapi: Any = tx.dialect.dbapi
    try:
        driver: Any = tx.connection
        with driver.cursor() as cursor, cursor.copy(command) as copy:
            for row in rows:
                values = [row[name] for name in names]
                for place, bind in binders:
                    if values[place] is not None:
                        values[place] = bind(values[place])
                copy.write_row(values)
    except dbapi.Error as error:
        raise DBAPIError.instance(
            command, None, error, dbapi.Error, hide_parameters=True, dialect=tx.dialect
        ) from error


def update_many(
    tx: Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    by: Sequence[str],
    to: Sequence[str] = (),
    add: Sequence[str] = (),
) -> None:
    """Change rows that are found by some columns: set others (``to``), add to others (``add``).

    PostgreSQL takes many in one statement, which is as long for a thousand as for twenty.
    """
    if not rows:
        return
    if tx.dialect.name != "postgresql" or len(rows) < COPY_ROWS_MIN:
        tx.execute(
            _update_each(table, tuple(by), tuple(to), tuple(add)),
            [{f"new_{name}": row[name] for name in (*by, *to, *add)} for row in rows],
        )
        return
    command, readers = _update_all(table, tuple(by), tuple(to), tuple(add), tx.dialect)
    tx.exec_driver_sql(command, {name: [read(row[name]) for row in rows] for name, read in readers})


@cache
def _update_each(table: sa.Table, by: tuple[str, ...], to: tuple[str, ...], add: tuple[str, ...]) -> sa.Update:
    new = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in (*by, *to, *add)}
    values = {**{name: new[name] for name in to}, **{name: table.c[name] + new[name] for name in add}}
    return table.update().where(*(table.c[name] == new[name] for name in by)).values(values)


@cache
def _update_all(
    table: sa.Table, by: tuple[str, ...], to: tuple[str, ...], add: tuple[str, ...], dialect: sa.Dialect
) -> tuple[str, list[tuple[str, Binder]]]:
    """Return the statement that takes its rows as one array a column, and what makes an array's items."""
    names = (*by, *to, *add)
    arrays, readers = _arrays(table, names, dialect)
    changes = [f"{name} = v.{name}::{table.c[name].type.compile(dialect)}" for name in to]
    changes += [f"{name} = t.{name} + v.{name}" for name in add]
    found = " AND ".join(f"t.{name} = v.{name}" for name in by)
    command = (
        f"UPDATE {table.name} AS t SET {', '.join(changes)} "  # noqa: S608 - names of our own tables
        f"FROM unnest({arrays}) AS v({', '.join(names)}) WHERE {found}"
    )
    return command, readers


def _arrays(table: sa.Table, names: tuple[str, ...], dialect: sa.Dialect) -> tuple[str, list[tuple[str, Binder]]]:
    """Return columns as arrays that are bound by the columns' names, and what makes their items."""
    json_columns = {name for name in names if isinstance(table.c[name].type, sa.JSON)}
    kinds = {name: "text" if name in json_columns else table.c[name].type.compile(dialect) for name in names}
    arrays = ", ".join(f"%({name})s::{kinds[name]}[]" for name in names)
    return arrays, [(name, _json_text if name in json_columns else _as_it_is) for name in names]


def _json_text(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _as_it_is(value: Any) -> Any:
    return value


@cache
def _copy(table: sa.Table, names: tuple[str, ...], dialect: sa.Dialect) -> tuple[str, tuple[tuple[int, Binder], ...]]:
    """Return the COPY of some columns, and what turns a value of which of them into what the driver takes."""
    quote = dialect.identifier_preparer.quote
    command = f"COPY {quote(table.name)} ({', '.join(quote(name) for name in names)}) FROM STDIN"
    impls = [table.c[name].type.dialect_impl(dialect) for name in names]
    binders = [(place, impl.bind_processor(dialect)) for place, impl in enumerate(impls)]
    return command, tuple((place, bind) for place, bind in binders if bind is not None)
