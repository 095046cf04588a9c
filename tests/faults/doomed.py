"""Processes that die at a named point, as the kernel kills when memory runs out: no farewell, nothing is flushed."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

import sqlalchemy as sa

from incentives.kernel.core import Core
from tests.crew import freeze, processes
from tests.schema import all_tables

DEAD = 137
_PATIENCE_SECONDS = 60


def die() -> None:
    """End this process at once."""
    os._exit(DEAD)


def die_before(engine: sa.Engine, statement: int) -> None:
    """Let this process die before a statement of a number, of which each COMMIT that is sent by itself is one."""
    done = 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        if done == statement:
            die()

    def commits(connection: sa.Connection) -> None:
        # Where COMMIT went along with the last statement it is done: there is nothing to die before.
        if not getattr(connection.connection.driver_connection, "is_over", False):
            count()

    sa.event.listen(engine, "before_cursor_execute", count)
    sa.event.listen(engine, "commit", commits)


def start(deed: Callable[..., Any], *args: Any) -> ForkServerProcess:
    """Start a process that does a deed."""
    process = processes.Process(target=_do, args=(deed, *args), daemon=True)
    process.start()
    return process


def exit_code(deed: Callable[..., Any], *args: Any) -> int | None:
    """Let a process do a deed and return how it ended."""
    process = start(deed, *args)
    process.join(_PATIENCE_SECONDS)
    process.kill()
    process.join()
    code = process.exitcode
    process.close()
    return code


def contents(core: Core) -> dict[str, int]:
    """Return how many rows each table has."""
    with core.database.read() as tx:
        return {
            table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in all_tables().sorted_tables
        }


def _do(deed: Callable[..., Any], *args: Any) -> None:
    freeze()
    threading.Thread(target=_outlive_nobody, daemon=True).start()
    deed(*args)


def _outlive_nobody() -> None:
    """End with the process of the test, however that ends."""
    test = multiprocessing.parent_process()
    if test is not None:
        test.join()
        die()
