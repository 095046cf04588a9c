"""Processes that die at a named point, as the kernel kills when memory runs out: no farewell, nothing is flushed."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

from tests.crew import freeze, processes

DEAD = 137
_PATIENCE_SECONDS = 60


def die() -> None:
    """End this process at once."""
    os._exit(DEAD)


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
