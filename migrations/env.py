"""Run migrations over the engine that was handed in. Only ``make migration`` compares with today's tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import context

_LOCK = 7_210_411_903  # an arbitrary number that only this application takes as an advisory lock

config = context.config


def render_item(kind: str, item: Any, autogen_context: Any) -> Any:
    """Write our own column types into history as plain ones: history must not import what may change."""
    if kind != "type":
        return False
    name = type(item).__name__
    if name == "UtcDateTime":
        return "sa.DateTime(timezone=True)"
    if name == "AmountMinor":
        return "sa.BigInteger()"
    if name == "JSON":
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), 'postgresql')"
    return False


@contextmanager
def _tables_remade(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite remake a table that others refer to: it checks what refers to what at the end, not at each step."""
    if connection.dialect.name != "sqlite":
        yield
        return
    plain = connection.connection.driver_connection
    if plain is None:
        raise AssertionError("a connection without its driver")
    plain.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        plain.execute("PRAGMA foreign_keys=ON")


def run() -> None:
    """Migrate inside one transaction; two machines that start at once take turns."""
    engine: sa.Engine = config.attributes["database"].engine
    with engine.connect() as connection, _tables_remade(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = '5min'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            # A migration that has to wait for a table fails soon and can be run again: whoever comes after it waits too.
            connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
            # Who writes goes by keys; who migrates goes through all of a table.
            for way in ("seqscan", "hashjoin", "mergejoin"):
                connection.exec_driver_sql(f"SET LOCAL enable_{way} = on")
        context.configure(
            connection=connection,
            target_metadata=config.attributes.get("metadata"),
            render_item=render_item,
            render_as_batch=connection.dialect.name == "sqlite",
            transactional_ddl=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        if connection.dialect.name == "sqlite":
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if dangling:
                raise AssertionError(f"a migration left rows that refer to nothing: {dangling[:5]}")


run()
