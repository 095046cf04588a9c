"""The method: every capability has a place that is there, and a test that is there."""

import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
LINES = [
    line
    for line in (HOUSE / "docs" / "method.md").read_text().splitlines()
    if line.startswith("| ") and "---" not in line
]
CAPABILITIES = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]
CAPABILITIES = [row for row in CAPABILITIES if row[0] != "capability"]


def test_the_table_is_whole() -> None:
    assert len(CAPABILITIES) > 90
    assert all(len(row) == 3 and all(row) for row in CAPABILITIES)


@pytest.mark.parametrize("row", CAPABILITIES, ids=lambda row: row[0][:40])
def test_what_a_line_names_is_there(row: list[str]) -> None:
    for path in re.findall(r"`((?:incentives|api|admin|channels)/[\w/]+\.py)`", row[1]):
        assert (HOUSE / path).is_file(), path
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row[2])
    assert named, "no test is named"
    for path, test in named:
        assert f"def {test or 'test_'}" in (HOUSE / path).read_text(), f"{path}::{test}"
