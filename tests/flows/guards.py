"""What somebody does first who owns the database and means to alter what is written once."""

from incentives.kernel.core import Core


def take_away(core: Core, *tables: str) -> None:
    """Take the triggers and conditions of some tables away, and what keeps rows in other tables' company."""
    with core.database.write() as tx:
        if core.database.sqlite:
            for table in tables:
                found = tx.exec_driver_sql(
                    f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"
                )
                for name in found.scalars().all():
                    tx.exec_driver_sql(f"DROP TRIGGER {name}")
            return
        for table in tables:
            tx.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            found = tx.exec_driver_sql(
                f"SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype IN ('c', 'u', 'f')"
            )
            for name in found.scalars().all():
                tx.exec_driver_sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
