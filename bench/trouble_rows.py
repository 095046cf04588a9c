"""Writes the year of trouble straight into a migrated database: COPY on PostgreSQL, plain inserts on SQLite."""

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from bench.trouble import Maker, Plan
from bench.trouble_catalog import catalog
from incentives.kernel.core import Core
from tests.schema import all_tables
from tests.world import publish_catalog

# In an order in which whatever is pointed to is there.
TABLES = (
    "users", "customers", "recovery_cases", "case_tags", "case_clocks", "case_steps", "case_apologies", "case_causes",
    "issuances", "vouchers", "redemptions", "outbox_messages", "surveys", "feedback", "feedback_tags",
)  # fmt: skip


def fill(core: Core, plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """Publish the catalog and write a plan's trouble; return the rows by table."""
    publish_catalog(core, catalog(plan.places, plan.tags))
    items, release_id = _catalog_ids(core)
    rows = Maker(plan, items, release_id).make()
    nobody, sorry = core.contacts.encrypt("{}"), core.contacts.encrypt("We are sorry.")
    for each in rows["customers"]:
        each["profile"] = nobody  # without any address
    for each in rows["case_apologies"]:
        each["words"] = sorry
    write(core, rows)
    return rows


def write(core: Core, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Write rows by table, in one transaction, and let the database look at how they are spread."""
    into = _sqlite if core.database.sqlite else _postgres
    core.database.dispose()  # SQLite has one writer, and statistics are for connections that come after.
    into(core.database.url, [(all_tables().tables[name], rows[name]) for name in TABLES if rows[name]])


def _catalog_ids(core: Core) -> tuple[dict[tuple[str, str], uuid.UUID], uuid.UUID]:
    with core.database.read() as tx:
        items, releases = all_tables().tables["catalog_items"], all_tables().tables["catalog_releases"]
        found = {(row.kind, row.key): row.id for row in tx.execute(sa.select(items))}
        return found, tx.execute(sa.select(releases.c.id).where(releases.c.status == "approved")).scalar_one()


def _postgres(url: sa.URL, tables: Iterable[tuple[sa.Table, list[dict[str, Any]]]]) -> None:
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        for table, rows in tables:
            names = _columns(rows)
            into = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, names))
            )
            with connection.cursor().copy(into) as copy:
                for row in rows:
                    copy.write_row([_plain(row.get(name)) for name in names])
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _sqlite(url: sa.URL, tables: Iterable[tuple[sa.Table, list[dict[str, Any]]]]) -> None:
    connection = sqlite3.connect(str(url.database))
    connection.execute("PRAGMA synchronous=OFF")
    for table, rows in tables:
        names = _columns(rows)
        marks = ", ".join("?" * len(names))
        columns = ", ".join(f'"{name}"' for name in names)
        into = f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"  # noqa: S608 - names of our own tables
        connection.executemany(into, ([_lite(row.get(name)) for name in names] for row in rows))
    connection.commit()
    connection.execute("ANALYZE")
    connection.close()


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return list(names)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _lite(value: Any) -> Any:
    convert: Callable[[Any], Any] | None = _LITE.get(type(value))
    return convert(value) if convert else value


_LITE: dict[type, Callable[[Any], Any]] = {
    uuid.UUID: lambda value: value.hex,
    datetime: lambda value: value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    dict: json.dumps,
    list: json.dumps,
}
