"""The years that somebody can mean. Who sends the first or the last that a calendar has means "never", or nothing.

An instant of its first or last day cannot be told in every time zone: it would break each page that shows it.
"""

from datetime import date

_FIRST_YEAR, _LAST_YEAR = 1900, 9998

OUTSIDE = f"Outside of the calendar: use a year from {_FIRST_YEAR} to {_LAST_YEAR}."


def within_years(day: date) -> bool:
    """Return whether a day, or an instant by its own day, is of a year that can be meant and told everywhere."""
    return _FIRST_YEAR <= day.year <= _LAST_YEAR
