"""Finds a Chromium on this machine, else installs one; browser tests without a browser fail, never skip."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright

LAUNCH_ARGUMENTS = (
    "--no-sandbox",  # Root has no sandbox, and nothing is opened but our own pages.
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = (
    "There is no Chromium here and none could be installed. Install one (Debian: apt-get install chromium; "
    "or .venv/bin/playwright install --with-deps chromium), or name one in TEST_CHROMIUM."
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_INSTALL_SECONDS = 900
_PLAYWRIGHT = ((str(Path(sys.executable).with_name("playwright")), "install", "chromium"),)
_DEBIAN = (
    ("apt-get", "update"),
    ("apt-get", "install", "--yes", "--no-install-recommends", "chromium"),
)


def find() -> str | None:
    """Return a Chromium that runs: the one that was named, the machine's own, or Playwright's."""
    named = os.environ.get("TEST_CHROMIUM")
    if named:
        return named if _runs(named) else None
    return next((path for path in _installed() if _runs(path)), None)


def install() -> str | None:
    """Install one the way that this machine allows, and return it if it runs."""
    if os.environ.get("TEST_CHROMIUM"):
        return None  # Whoever names one wants that one.
    for commands in (_PLAYWRIGHT, _DEBIAN if os.geteuid() == 0 else ()):
        if commands and all(_succeeds(command) for command in commands) and (found := find()):
            return found
    return None


def _installed() -> Iterator[str]:
    yield from filter(None, map(shutil.which, _NAMES))
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).exists():
        yield own


def _runs(path: str) -> bool:
    """Return whether a browser starts: one whose libraries are missing is there and no use."""
    return _succeeds([path, "--version"], seconds=60)


def _succeeds(command: Sequence[str], *, seconds: float = _INSTALL_SECONDS) -> bool:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
