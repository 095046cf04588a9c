"""Fresh databases for tests, made by copying a migrated one: on SQLite a file, on PostgreSQL a template."""

import os
import shutil
import sqlite3
import uuid
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from incentives.kernel.migrate import upgrade
from tests.run_folder import RunFolder
from tests.servers import Postgres

BACKENDS = ("sqlite", "postgresql")


class Databases(Protocol):
    """Gives databases of one kind, and takes them back."""

    def new(self, *, migrated: bool = True) -> str:
        """Return the address of a new database: migrated and empty, or without any table."""
        ...

    def drop(self, url: str) -> None:
        """Remove one, whoever may still be connected."""
        ...

    def close(self) -> None:
        """Let go of the server."""
        ...


class SqliteDatabases:
    """Databases that are files."""

    def __init__(self, run: RunFolder) -> None:
        """Keep the files in the run's folder."""
        self._run = run
        self._folder = run.path / "sqlite"
        self._folder.mkdir(exist_ok=True)

    def new(self, *, migrated: bool = True) -> str:
        """Return the address of a new database."""
        path = self._folder / f"{uuid.uuid4().hex}.db"
        if migrated:
            shutil.copyfile(self._template(), path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        """Remove the file and its log."""
        path = Path(url.removeprefix("sqlite:///"))
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held."""

    def _template(self) -> str:
        return self._run.once("sqlite-template", self._make_template)["path"]

    def _make_template(self) -> dict[str, str]:
        path = self._folder / "template.db"
        upgrade(f"sqlite:///{path}")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # So that the file alone is the database.
        connection.close()
        return {"path": str(path)}


class PostgresDatabases:
    """Databases of the one PostgreSQL server of the run, ours or the one of ``TEST_DATABASE_URL``."""

    def __init__(self, run: RunFolder) -> None:
        """Start the server if nobody did, and connect to it."""
        self._run = run
        self._prefix = f"incentives_test_{run.path.name[-8:].lower()}_"
        server = run.once("postgres", self._given if os.environ.get("TEST_DATABASE_URL") else self._started)
        self.server_url = server["url"]
        self._copying = sql.SQL(server["strategy"])
        self._connection = psycopg.connect(self.server_url, autocommit=True)

    def new(self, *, migrated: bool = True) -> str:
        """Return the address of a new database."""
        template = self._template() if migrated else "template0"
        return self._create(self._prefix + uuid.uuid4().hex[:12], template)

    def drop(self, url: str) -> None:
        """Remove one, whoever may still be connected."""
        name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
        self._connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def close(self) -> None:
        """Disconnect; the server goes on for the others of the run."""
        self._connection.close()

    def _create(self, name: str, template: str) -> str:
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template), "copying": self._copying}
        self._connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template} {copying}").format(**names))
        return database_url(self.server_url, name)

    def _template(self) -> str:
        return self._run.once("postgres-template", self._make_template)["name"]

    def _make_template(self) -> dict[str, str]:
        name = self._prefix + "template"
        upgrade(self._create(name, "template0"))
        # A template that anybody is connected to cannot be copied.
        self._connection.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name)),
        )
        self._connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        return {"name": name}

    def _started(self) -> dict[str, str]:
        server = Postgres(self._run)
        server.start()
        server.leave_running()
        # Copying files takes half the time of copying through the log, where nothing is ever synced.
        return {"url": server.url(), "strategy": "STRATEGY file_copy"}

    def _given(self) -> dict[str, str]:
        url = os.environ["TEST_DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://")
        self._run.to_stop("databases", {"server_url": url, "drop": self._prefix})
        return {"url": url, "strategy": ""}


def database_url(server_url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    address, _, query = server_url.partition("?")
    scheme, _, rest = address.partition("://")
    host = rest.partition("/")[0]
    return f"{scheme}://{host}/{name}" + (f"?{query}" if query else "")
