"""What a database looks like, as the database itself tells it."""

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.database import Database

Shape = dict[str, Any]

_POSTGRES = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 't'""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "functions": "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
}


def shape(url: str) -> Shape:
    """Return every table, column, constraint, index, trigger and function, but for Alembic's own table."""
    database = Database(url, pool_size=1)
    try:
        with database.read() as tx:
            found = _of_postgres(tx) if tx.dialect.name == "postgresql" else _of_sqlite(tx)
    finally:
        database.dispose()
    return {part: sorted(row for row in rows if row[0] != "alembic_version") for part, rows in found.items()}


def tables_part(whole: Shape) -> Shape:
    """Return the part of a shape that the tables of our rooms describe: no triggers and no functions."""
    return {part: rows for part, rows in whole.items() if part not in ("triggers", "functions")}


def _of_postgres(tx: Connection) -> Shape:
    return {part: [tuple(map(str, row)) for row in tx.exec_driver_sql(query)] for part, query in _POSTGRES.items()}


def _of_sqlite(tx: Connection) -> Shape:
    found: Shape = {"columns": [], "constraints": [], "indexes": [], "triggers": []}
    for kind, name, table, text in tx.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all():
        if kind == "trigger":
            found["triggers"].append((table, name, _plain(text)))
        if kind == "index" and text:
            found["indexes"].append((table, name, _plain(text)))
        if kind == "table":
            found["constraints"] += [(name, *each) for each in _named_constraints(text)]
    inspector = sa.inspect(tx)
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            parts = (column["name"], str(column["type"]), str(column["nullable"]), str(column["default"]))
            found["columns"].append((table, *parts))
    return found


def _named_constraints(table: str) -> list[tuple[str, str]]:
    """Return the name and text of each constraint in a CREATE TABLE, spelled alike whoever wrote it."""
    parts = re.split(r"\bCONSTRAINT\b", _plain(table))[1:]
    return [(name, rest.strip().rstrip(",) ")) for part in parts for name, _, rest in [part.strip().partition(" ")]]


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace('"', "")).strip()
