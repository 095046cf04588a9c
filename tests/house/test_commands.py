"""The commands that people and CI type exist."""

import os
import re
import stat
import subprocess

import pytest

from tests.house.texts import ROOT

_TARGETS = {"help", "demo", "test", "lint", "bench", "migration", "lock", "clean"}
# Without what an outer make says to inner ones: its -n, -B or -j is not meant for us.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def _make(*arguments: str) -> str:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=_ENVIRONMENT).stdout


def test_help_lists_every_command() -> None:
    assert set(re.findall(r"^make ([a-z-]+)  ", _make("help"), flags=re.MULTILINE)) == _TARGETS


@pytest.mark.parametrize("target", sorted(_TARGETS))
def test_make_knows_each_command(target: str) -> None:
    assert _make("--dry-run", target, "NAME=x")


def test_the_port_of_the_demo_can_be_chosen() -> None:
    assert "incentives demo --port 9123" in _make("--dry-run", "demo", "PORT=9123")
    assert "incentives demo --port 8000" in _make("--dry-run", "demo")


def test_ci_calls_the_same_commands() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert re.findall(r"^step (make \w+)$", script.read_text(), flags=re.MULTILINE) == [
        "make lint",
        "make test",
    ]
