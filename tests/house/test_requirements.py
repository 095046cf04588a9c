"""The lock files pin, with hashes, what ``pyproject.toml`` asks for, and name no address."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.texts import ROOT

_ASKED: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
_PROJECT = _ASKED["project"]
_GROUPS = _ASKED["dependency-groups"]
_LOCKED = {
    "app.txt": _PROJECT["dependencies"],
    "dev.txt": _PROJECT["dependencies"] + _PROJECT["optional-dependencies"]["dev"],
    "celery.txt": _PROJECT["dependencies"] + _PROJECT["optional-dependencies"]["celery"],
    "build.txt": _GROUPS["build"] + _ASKED["build-system"]["requires"],
    "redis-server.txt": _GROUPS["redis-server"],
}

_PIN = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+")


@pytest.mark.parametrize("name", _LOCKED)
def test_everything_asked_for_is_pinned(name: str) -> None:
    asked = {canonicalize_name(Requirement(line).name) for line in _LOCKED[name]}
    assert asked - _pins(name).keys() == set()


@pytest.mark.parametrize("name", _LOCKED)
def test_every_pin_has_a_hash_and_no_address(name: str) -> None:
    assert [entry for entry in _entries(name) if not _PIN.fullmatch(entry)] == []


@pytest.mark.parametrize("name", ["dev.txt", "celery.txt", "build.txt"])
def test_tests_run_on_the_versions_that_are_installed(name: str) -> None:
    installed, tested = _pins("app.txt"), _pins(name)
    shared = installed.keys() & tested.keys()
    assert {key: installed[key] for key in shared} == {key: tested[key] for key in shared}


def test_tests_run_with_every_extra_and_its_versions() -> None:
    extras = {line for lines in _PROJECT["optional-dependencies"].values() for line in lines}
    assert extras == set(_PROJECT["optional-dependencies"]["dev"])
    extra, tested = _pins("celery.txt"), _pins("dev.txt")
    assert {key: tested.get(key) for key in extra} == extra


def test_every_file_of_requirements_is_known() -> None:
    assert {path.name for path in (ROOT / "requirements").iterdir()} == set(_LOCKED)


def _entries(name: str) -> list[str]:
    text = Path(ROOT, "requirements", name).read_text()
    return [re.sub(r"\s+", " ", entry).strip() for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " "))]


def _pins(name: str) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for entry in _entries(name):
        package, _, version = entry.partition("==")
        key = canonicalize_name(package.partition("[")[0])
        pins.setdefault(key, set()).add(version.partition(" --hash")[0])
    return pins
