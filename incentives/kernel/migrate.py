"""Bring a database to a revision of ``migrations/``; Alembic does the work and is imported only here."""

from pathlib import Path

from incentives.kernel.database import Database

HOUSE = Path(__file__).resolve().parents[2]


def _config(database: Database):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Alembic is imported lazily
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HOUSE / "migrations"))
    config.attributes["database"] = database
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at an address up to a revision."""
    _run("upgrade", url, revision)


def downgrade(url: str, revision: str) -> None:
    """Migrate the database at an address down to a revision."""
    _run("downgrade", url, revision)


def _run(command: str, url: str, revision: str) -> None:
    from alembic import command as alembic  # noqa: PLC0415

    database = Database(url, pool_size=2)
    try:
        getattr(alembic, command)(_config(database), revision)
    finally:
        database.dispose()


def current(database: Database) -> str | None:
    """Return the revision that a database is at; None for an empty one."""
    from alembic.migration import MigrationContext  # noqa: PLC0415

    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """Return the newest revision of ``migrations/``."""
    versions = sorted(path.stem for path in (HOUSE / "migrations" / "versions").glob("[0-9]*.py"))
    return versions[-1].partition("_")[0]
