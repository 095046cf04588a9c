"""All tables of the house at once, and the draft of a migration to them: ``python -m tests.schema 0003 "why"``."""

import importlib
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from incentives.kernel.database import Database, metadata
from incentives.kernel.migrate import HOUSE, upgrade

ROOMS = ("catalog", "spending", "vouchers", "books", "messages", "recovery", "access", "safeguards")
MODULES = (
    *(f"incentives.{room}.tables" for room in ROOMS),
    "incentives.recovery.feedback_tables",
    "incentives.vouchers.bulk_tables",
)


def all_tables() -> sa.MetaData:
    """Return the metadata with every room's tables in it."""
    importlib.import_module("incentives.kernel.idempotency")
    for name in MODULES:
        importlib.import_module(name)
    return metadata


def append_only_tables() -> list[str]:
    """Return the tables that the rooms declare to be append-only."""
    rooms = [importlib.import_module(name) for name in MODULES]
    return [name for room in rooms for name in getattr(room, "APPEND_ONLY", ())]


def draft(number: str, message: str) -> None:
    """Write a migration from the newest revision to today's tables."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/draft.db"
        if any((HOUSE / "migrations" / "versions").glob("[0-9]*.py")):
            upgrade(url)
        database = Database(url)
        config = Config()
        config.set_main_option("script_location", str(Path(HOUSE) / "migrations"))
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        config.attributes |= {"database": database, "metadata": all_tables()}
        command.revision(config, message=message, autogenerate=True, rev_id=number)
        database.dispose()


if __name__ == "__main__":
    draft(sys.argv[1], sys.argv[2])
