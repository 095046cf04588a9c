"""Small rooms: nobody scrolls for a minute."""

import ast
from pathlib import Path

from tests.house.texts import ROOT, python_files

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def test_no_file_is_long() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in _files()}
    long = {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > FILE_LINES_MAX}
    # A list of all refusals, looked up in and never read through; it has no function to lose sight of.
    long.pop("incentives/kernel/errors.py", None)
    assert long == {}


def test_no_function_is_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {_lines(node)} lines"
        for path in _files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > FUNCTION_LINES_MAX
    ]
    assert long == []


def _files() -> list[Path]:
    """Return our files but for migrations, which are as long as what they make."""
    return [path for path in python_files() if path.parent.name != "versions"]


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1
