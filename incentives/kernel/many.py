"""Many rows at once: as long for a thousand as for twenty, by what each database does best.

What they mean is what a row by itself would: defaults, constraints and triggers hold. PostgreSQL takes rows as one JSON
text, which costs the client a third of COPY's time and a tenth of one statement a row; and it takes the rows of several
tables in one statement (``RowsTogether``), so that whoever writes to ten of them waits once. What all of many rows have
in common, three columns of four in a batch, is told once. SQLite is in this very process and takes rows one by one.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, Self

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from incentives.kernel.database import UtcDateTime

Row = Mapping[str, Any]
Keeping = Callable[[Any], Any]
"""Makes of a value what SQLite keeps of it."""

_DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]  # to write names and types by
_SQLITE: Any = sqlite.dialect()
_MANY = 50  # From so many rows on it pays to look for what they have in common, and to plan a statement that says so.


class RowsTogether:
    """Rows of several tables that are written when the block ends, as one statement where the database can.

    No table's rows are seen before; what they refer to may be among them, since references are checked at the end of
    a statement.
    """

    def __init__(self, tx: Connection, *, last: bool = False) -> None:
        """Collect for a transaction; ``last`` where nothing comes after it but the commit, which goes along then."""
        self.tx = tx
        self._last = last
        self._parts: list[str] = []
        self._rows: list[str] = []

    def __enter__(self) -> Self:
        """Begin to collect."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what was collected, unless something went wrong."""
        if kind is None and self._last and self._parts:
            from incentives.kernel import postgres  # noqa: PLC0415 - its driver is there for who has a PostgreSQL

            with postgres.ending(self.tx):
                self.write()
        elif kind is None:
            self.write()

    def add(self, part: str, rows: Sequence[str]) -> None:
        """Collect one statement (PostgreSQL's), whose parameters are its rows."""
        self._parts.append(part)
        self._rows += rows

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
            command, kept_as = _insert_each(table, names)
            tx.exec_driver_sql(command, [tuple(map(_kept, kept_as, row.values())) for row in some])
            continue
        same, texts = _texts(table, names, some)
        _send(into, _insert_all(table, names, same), texts)


def insert_absent(
    tx: Connection, table: sa.Table, unique: tuple[str, ...], rows: Sequence[Row]
) -> set[tuple[Any, ...]]:
    """Insert rows in their order, but for those whose unique columns are there; return these columns of the others."""
    if not rows:
        return set()
    if tx.dialect.name == "postgresql":
        named, names = ", ".join(unique), tuple(rows[0])
        same, texts = _texts(table, names, rows)
        command = f"{_insert_all(table, names, same)} ON CONFLICT ({named}) DO NOTHING RETURNING {named}"
        return {tuple(row) for row in tx.exec_driver_sql(command, texts)}
    found = tx.execute(_insert_absent(table, unique), [dict(row) for row in rows])
    return {tuple(row) for row in found}


@cache
def _insert_each(table: sa.Table, names: tuple[str, ...]) -> tuple[str, tuple[Keeping | None, ...]]:
    """Return SQLite's statement that inserts a row of some columns, and how each value is kept (None: as it is).

    To be told row by row what it knows of each column takes SQLAlchemy several times as long as SQLite the rows.
    """
    columns = ", ".join(_quoted(names))
    command = f"INSERT INTO {table.name} ({columns}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - our names
    types = [table.c[name].type.dialect_impl(_SQLITE) for name in names]
    return command, tuple(each.bind_processor(_SQLITE) for each in types)


def _kept(keeping: Keeping | None, value: Any) -> Any:
    return value if keeping is None else keeping(value)


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
        same, texts = _texts(table, names, [{name: row[name] for name in names} for row in rows], keys=by)
        _send(into, _update_all(table, tuple(by), tuple(to), tuple(add), same), texts)
        return
    tx.execute(
        _update_each(table, tuple(by), tuple(to), tuple(add)),
        [{f"new_{name}": row[name] for name in names} for row in rows],
    )


def _send(into: Into, command: str, texts: tuple[str, ...]) -> None:
    if isinstance(into, RowsTogether):
        into.add(command, texts)
    else:
        into.exec_driver_sql(command, texts)


@cache
def _insert_all(table: sa.Table, names: tuple[str, ...], same: tuple[str, ...]) -> str:
    """Return PostgreSQL's statement that inserts rows of some columns, of which some are the ``same`` in all rows."""
    columns = ", ".join(_quoted(names))
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {_rows(table, names, same)}"  # noqa: S608 - our names


@cache
def _update_all(
    table: sa.Table, by: tuple[str, ...], to: tuple[str, ...], add: tuple[str, ...], same: tuple[str, ...]
) -> str:
    """Return PostgreSQL's statement that changes rows; that each is looked for by its key is a setting of writers."""
    changes = [f"{name} = v.{name}" for name in _quoted(to)] + [
        f"{name} = t.{name} + v.{name}" for name in _quoted(add)
    ]
    found = " AND ".join(f"t.{name} = v.{name}" for name in _quoted(by))
    rows = _rows(table, (*by, *to, *add), same)
    return f"UPDATE {table.name} AS t SET {', '.join(changes)} FROM {rows} WHERE {found}"  # noqa: S608 - our names


@cache
def _update_each(table: sa.Table, by: tuple[str, ...], to: tuple[str, ...], add: tuple[str, ...]) -> sa.Update:
    """Return SQLite's statement that changes one row."""
    new = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in (*by, *to, *add)}
    values = {**{name: new[name] for name in to}, **{name: table.c[name] + new[name] for name in add}}
    return table.update().where(*(table.c[name] == new[name] for name in by)).values(values)


def _rows(table: sa.Table, names: tuple[str, ...], same: tuple[str, ...]) -> str:
    """Return JSON texts as a table: one of the rows, and one of what is the same in all of them, if anything is."""
    rows = f"json_to_recordset(%s::json) AS v({_typed(table, [name for name in names if name not in same])})"
    if not same:
        return rows
    return f"(SELECT * FROM {rows}, json_to_record(%s::json) AS s({_typed(table, same)})) AS v"  # noqa: S608 - our names


def _typed(table: sa.Table, names: Sequence[str]) -> str:
    """Return columns, each of the type that it is kept in."""
    kinds = [table.c[name].type.compile(_DIALECT) for name in names]
    return ", ".join(f"{name} {kind}" for name, kind in zip(_quoted(names), kinds, strict=True))


def _quoted(names: Sequence[str]) -> list[str]:
    return [_DIALECT.identifier_preparer.quote(name) for name in names]


def _texts(
    table: sa.Table, names: tuple[str, ...], rows: Sequence[Row], *, keys: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which columns are the same in all rows, and the rows as JSON: what differs, and what does not, if any.

    ``keys``, by which each row is found, stay together in it: PostgreSQL would look for the part of a key that is the
    same in all and compare the rest, such as every line of a job with every line of a batch. Raises ``TypeError`` for
    an instant without a zone: it is a bug.
    """
    same = _same(table, [name for name in names if name not in keys], rows) if len(rows) >= _MANY else {}
    instants = [name for name in _of_type(table, UtcDateTime) if name in names]
    found = [row[name] for name in instants for row in ([same] if name in same else rows)]
    if any(at is not None and at.tzinfo is None for at in found):
        message = "a naive datetime cannot be stored"
        raise TypeError(message)
    if not same:
        return (), (orjson.dumps(rows).decode(),)
    different = [name for name in names if name not in same]
    apart = [{name: row[name] for name in different} for row in rows]
    return tuple(same), (orjson.dumps(apart).decode(), orjson.dumps(same).decode())


def _same(table: sa.Table, names: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Return which of some columns are the same in all rows, with their values; never all columns of the rows."""
    # Of objects equal ones may be written differently: {"a": 1} equals {"a": true}.
    plain = [name for name in names if name not in _of_type(table, sa.JSON)]
    first, last = rows[0], rows[-1]
    perhaps = [name for name in plain if first[name] == last[name]]
    same = {name: first[name] for name in perhaps if [row[name] for row in rows].count(first[name]) == len(rows)}
    return same if len(same) < len(first) else {}


@cache
def _of_type(table: sa.Table, kind: type[Any]) -> tuple[str, ...]:
    return tuple(column.name for column in table.c if isinstance(column.type, kind))


def among(dialect: str, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column is one of a list that is told when the statement runs.

    To PostgreSQL the list is one value, so that a statement is spelled, and planned, alike for one and for a hundred.
    """
    if dialect == "postgresql":
        return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(column.type)))
    return column.in_(sa.bindparam(name, expanding=True))
