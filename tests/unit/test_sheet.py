"""A cell is never a formula."""

import csv
import io

import pytest

from incentives.kernel.sheet import csv_text


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_what_a_spreadsheet_would_calculate_is_text(evil: str) -> None:
    assert next(csv.reader(io.StringIO(csv_text(["a"], [[evil]]), newline=""))) == ["a"]
    (_, (cell,)) = csv.reader(io.StringIO(csv_text(["a"], [[evil]]), newline=""))
    assert cell == f"'{evil}"


def test_numbers_stay_numbers_and_nothing_is_empty() -> None:
    assert csv_text(["a", "b", "c"], [[-5, None, 'say "hi", Ana']]) == 'a,b,c\r\n-5,,"say ""hi"", Ana"\r\n'
