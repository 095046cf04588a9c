"""Time, randomness, keys and settings come in by the front door: the core asks nobody else for them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.texts import ROOT, python_files

_CALLS = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
    ("time", "time"), ("time", "time_ns"), ("time", "monotonic"), ("time", "sleep"),
    ("uuid", "uuid1"), ("uuid", "uuid4"), ("uuid", "uuid6"), ("uuid", "uuid7"),
    ("os", "environ"), ("os", "getenv"), ("os", "urandom"), ("os", "putenv"),
}  # fmt: skip
_MODULES = {"secrets", "random"}


def test_the_core_takes_nothing_by_the_back_door() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in python_files("incentives")
        if "kernel" not in path.parts
        for line, what in _taken(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\nnow = datetime.now(UTC)",
        "import datetime\nnow = datetime.datetime.now()",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid4",
        "import secrets",
        "from random import choice",
        "import os\nos.environ['X']",
    ],
)
def test_the_search_finds_back_doors(source: str) -> None:
    assert list(_taken(source))


def test_the_search_passes_over_talk_about_them() -> None:
    assert list(_taken('"""Never datetime.now."""\nnow = core.clock.now()\nids.new()')) == []


def _taken(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and (_last_name(node.value), node.attr) in _CALLS:
            yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in _MODULES)
        if isinstance(node, ast.ImportFrom) and _forbidden(node):
            yield node.lineno, ast.unparse(node)


def _forbidden(node: ast.ImportFrom) -> bool:
    module = str(node.module)
    return module in _MODULES or any((module, alias.name) in _CALLS for alias in node.names)


def _last_name(node: ast.expr) -> str:
    """Return ``datetime`` of both ``datetime`` and ``datetime.datetime``."""
    return ast.unparse(node).rpartition(".")[2]


def test_the_kernel_is_where_it_looks() -> None:
    assert (ROOT / "incentives" / "kernel" / "clock.py") in map(Path, python_files("incentives"))
