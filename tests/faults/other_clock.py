"""The application on a machine whose own clock is wrong: a factory to serve instead of ``wsgi:app``.

``MACHINE_CLOCK_OFF`` names a file with the seconds that the machine's clock is off by, read anew for each look at it,
so that a test can set the clock of a running process. Nothing else of the machine is changed: seconds pass as they do.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask

import wsgi
from incentives.kernel.clock import SystemClock

FILE = "MACHINE_CLOCK_OFF"


def app() -> Flask:
    """Return the application, after this machine's clock was set wrong."""
    set_wrong(Path(os.environ[FILE]))
    return wsgi.app()


def set_wrong(off: Path) -> None:
    """Let this process read its machine's clock as a file says."""

    def now(_clock: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(off.read_text()))

    pytest.MonkeyPatch().setattr(SystemClock, "now", now)  # the one place where the machine's clock is read
