"""Many rows at once: as long for a thousand as for twenty, by what each database does best.

What they mean is what a row by itself would: defaults, constraints and triggers hold. PostgreSQL takes rows as one JSON
text, which costs the client a third of COPY's time and a tenth of one statement a row; and it takes the rows of several
tables in one statement (``RowsTogether``), so that whoever writes to ten of them waits once. SQLite is in this very
process and takes them one by one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from types import TracebackType
from typing import Any, Self

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from incentives.kernel.database import UtcDateTime

Row = Mapping[str, Any]

_DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]  # to write names and types by


class RowsTogether:
    """Rows of several tables that are written when the block ends, as one statement where the database can.

    No table's rows are seen before; what they refer to may be among them, since references are checked at the end of
    a statement.
    """

    def __init__(self, tx: Connection) -> None:
        """Collect for a transaction."""
        self.tx = tx
        self._parts: list[str] = []
        self._rows: list[str] = []

    def __enter__(self) -> Self:
        """Begin to collect."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what was collected, unless something went wrong."""
        if kind is None:
            self.write()

    def add(self, part: str, rows: str) -> None:
        """Collect one statement (PostgreSQL's), whose one parameter is its rows."""
        self._parts.append(part)
        self._rows.append(rows)

    def write(self) -> None:
        """Write what was collected so far."""
        if self._parts:
            self.tx.exec_driver_sql(_chained(tuple(self._parts)), tuple(self._rows))
            self._parts, self._rows = [], []


Into = Connection | RowsTogether


@cache
def _chained(parts: tuple[str, ...]) -> str:
    """Return one statement that does what several do: all but the last stand in front of it."""
    *before, last = parts
    named = ", ".join(f"w{number} AS ({part})" for number, part in enumerate(before))
    return f"WITH {named} {last}" if named else last


def insert_many(into: Into, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows, those that name the same columns together; at once, or with whatever else is collected."""
    tx = into.tx if isinstance(into, RowsTogether) else into
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(tuple(row), []).append(row)
    for names, some in alike.items():
        if tx.dialect.name != "postgresql":
            tx.execute(table.insert(), [dict(row) for row in some])
            continue
        _send(into, _insert_all(table, names), _text(table, some))


def insert_absent(
    tx: Connection, table: sa.Table, unique: tuple[str, ...], rows: Sequence[Row]
) -> set[tuple[Any, ...]]:
    """Insert rows in their order, but for those whose unique columns are there; return these columns of the others."""
    if not rows:
        return set()
    if tx.dialect.name == "postgresql":
        named = ", ".join(unique)
        command = f"{_insert_all(table, tuple(rows[0]))} ON CONFLICT ({named}) DO NOTHING RETURNING {named}"
        return {tuple(row) for row in tx.exec_driver_sql(command, (_text(table, rows),))}
    found = tx.execute(_insert_absent(table, unique), [dict(row) for row in rows])
    return {tuple(row) for row in found}


@cache
def _insert_absent(table: sa.Table, unique: tuple[str, ...]) -> Any:
    """Return the statement of SQLite, made once."""
    insert = sqlite.insert(table).on_conflict_do_nothing(index_elements=unique)
    return insert.returning(*(table.c[name] for name in unique))


def update_many(
    into: Into,
    table: sa.Table,
    rows: Sequence[Row],
    *,
    by: Sequence[str],
    to: Sequence[str] = (),
    add: Sequence[str] = (),
) -> None:
    """Change rows that are found by some columns: set others (``to``), add to others (``add``)."""
    if not rows:
        return
    tx = into.tx if isinstance(into, RowsTogether) else into
    names = (*by, *to, *add)
    if tx.dialect.name == "postgresql":
        some = [{name: row[name] for name in names} for row in rows]
        _send(into, _update_all(table, tuple(by), tuple(to), tuple(add)), _text(table, some))
        return
    tx.execute(
        _update_each(table, tuple(by), tuple(to), tuple(add)),
        [{f"new_{name}": row[name] for name in names} for row in rows],
    )


def _send(into: Into, command: str, text: str) -> None:
    if isinstance(into, RowsTogether):
        into.add(command, text)
    else:
        into.exec_driver_sql(command, (text,))


@cache
def _insert_all(table: sa.Table, names: tuple[str, ...]) -> str:
    """Return PostgreSQL's statement that inserts rows of some columns."""
    columns = ", ".join(_quoted(names))
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {_rows(table, names)}"  # noqa: S608 - our names


@cache
def _update_all(table: sa.Table, by: tuple[str, ...], to: tuple[str, ...], add: tuple[str, ...]) -> str:
    """Return PostgreSQL's statement that changes rows."""
    changes = [f"{name} = v.{name}" for name in _quoted(to)] + [
        f"{name} = t.{name} + v.{name}" for name in _quoted(add)
    ]
    found = " AND ".join(f"t.{name} = v.{name}" for name in _quoted(by))
    rows = _rows(table, (*by, *to, *add))
    return f"UPDATE {table.name} AS t SET {', '.join(changes)} FROM {rows} WHERE {found}"  # noqa: S608 - our names


@cache
def _update_each(table: sa.Table, by: tuple[str, ...], to: tuple[str, ...], add: tuple[str, ...]) -> sa.Update:
    """Return SQLite's statement that changes one row."""
    new = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in (*by, *to, *add)}
    values = {**{name: new[name] for name in to}, **{name: table.c[name] + new[name] for name in add}}
    return table.update().where(*(table.c[name] == new[name] for name in by)).values(values)


def _rows(table: sa.Table, names: tuple[str, ...]) -> str:
    """Return a JSON text of rows (the one parameter) as a table, each column of the type that it is kept in."""
    kinds = [table.c[name].type.compile(_DIALECT) for name in names]
    typed = ", ".join(f"{name} {kind}" for name, kind in zip(_quoted(names), kinds, strict=True))
    return f"json_to_recordset(%s::json) AS v({typed})"


def _quoted(names: Sequence[str]) -> list[str]:
    return [_DIALECT.identifier_preparer.quote(name) for name in names]


def _text(table: sa.Table, rows: Sequence[Row]) -> str:
    """Return rows as JSON. Raises ``TypeError`` for an instant without a zone: it is a bug."""
    for name in _instants(table):
        for row in rows:
            instant: datetime | None = row.get(name)
            if instant is not None and instant.tzinfo is None:
                message = "a naive datetime cannot be stored"
                raise TypeError(message)
    return orjson.dumps(rows).decode()


@cache
def _instants(table: sa.Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.c if isinstance(column.type, UtcDateTime))
