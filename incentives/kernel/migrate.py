"""Bringing a database to a revision of ``migrations/``; Alembic does the work and is imported only here."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, OperationalError

from incentives.kernel.database import Database, unavailable
from incentives.kernel.errors import InputInvalid, SettingsInvalid, StorageNotMigrated

HOUSE = Path(__file__).resolve().parents[2]

_BACKENDS = ("sqlite", "postgresql")
_REVISION: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(sa.table("alembic_version"))


def _config(database: Database):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Alembic is imported lazily
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HOUSE / "migrations"))
    config.attributes["database"] = database
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at an address up to a revision. Raises what ``downgrade`` raises."""
    _run("upgrade", url, revision)


def downgrade(url: str, revision: str) -> None:
    """Migrate the database at an address down to a revision.

    Raises ``InputInvalid`` for a revision that it cannot be brought to, ``SettingsInvalid`` for an address that no
    database can have, and ``StorageUnavailable``.
    """
    _run("downgrade", url, revision)


def _run(command: str, url: str, revision: str) -> None:
    from alembic import command as alembic  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    check_url(url)
    database = Database(url, pool_size=2)
    try:
        getattr(alembic, command)(_config(database), revision)
    except CommandError as error:
        detail = f"The database cannot be brought to revision {revision}: {str(error).removesuffix('.')}."
        raise InputInvalid(detail, field="revision") from error
    except (OperationalError, InterfaceError) as error:
        raise unavailable(error) from error
    except DatabaseError as error:
        raise _wrong_url("the database there does not let itself be migrated") from error
    finally:
        database.dispose()


def check_url(url: str) -> None:
    """Refuse, with ``SettingsInvalid``, an address that no database of ours can have; nothing is connected.

    The address itself is not repeated: it may hold a password.
    """
    fit = False
    try:
        database = Database(url, pool_size=1)
        fit = database.url.get_backend_name() in _BACKENDS
        database.dispose()
    except OSError as error:
        raise _wrong_url("the folder of the file cannot be made") from error
    except (ArgumentError, ImportError, ValueError) as error:
        raise _wrong_url("must be sqlite:///path or postgresql://user:password@host/name") from error
    if not fit:
        raise _wrong_url("must be sqlite:///path or postgresql://user:password@host/name")


def _wrong_url(message: str) -> SettingsInvalid:
    mistake = f"INCENTIVES_DATABASE_URL: {message}"
    return SettingsInvalid(mistake, errors=[mistake])


def check(database: Database) -> None:
    """Refuse a database that this program cannot work with, with ``StorageNotMigrated``.

    One that is newer than this program will do: a migration suits the code before it, too. Raises ``SettingsInvalid``
    where there is something else than a database, and ``StorageUnavailable``.
    """
    try:
        with database.read() as tx:
            migrated = sa.inspect(tx).has_table("alembic_version")
            revision = tx.execute(_REVISION).scalar_one_or_none() if migrated else None
    except DatabaseError as error:
        raise _wrong_url("there is nothing that can be read as a database") from error
    if revision is None or revision < head():
        where = f"is at revision {revision}" if revision else "has no tables yet"
        raise StorageNotMigrated(f"The database {where}; this program needs {head()}.", revision=revision, head=head())


def current(database: Database) -> str | None:
    """Return the revision that a database is at; None for an empty one."""
    from alembic.migration import MigrationContext  # noqa: PLC0415

    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """Return the newest revision of ``migrations/``."""
    versions = sorted(path.stem for path in (HOUSE / "migrations" / "versions").glob("[0-9]*.py"))
    return versions[-1].partition("_")[0]
