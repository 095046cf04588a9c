"""Tables for spreadsheets: CSV as RFC 4180 has it, in which no cell is a formula."""

import csv
import io
from collections.abc import Iterable, Sequence

# What a spreadsheet would calculate, or hide from the eye that checks it (OWASP, "CSV injection").
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV; None is an empty cell, and a text that a spreadsheet would calculate begins with ``'``."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(each) for each in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return f"'{value}"
    return "" if value is None else value
