"""How the catalog's page says hours and lengths of time."""

import pytest

from admin.catalog_words import hours, span
from incentives.kernel.business_hours import WEEKDAYS


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (1, "1 minute"),
        (60, "60 minutes"),
        (90, "90 minutes"),
        (120, "2 hours"),
        (1440, "24 hours"),
        (1500, "25 hours"),
        (2880, "2 days"),
        (4321, "4321 minutes"),
    ],
)
def test_a_length_of_time_is_said_whole(minutes: int, said: str) -> None:
    assert span(minutes).replace(",", "") == said


def test_business_time_has_no_days() -> None:
    assert span(4320, most="hours") == "72 hours"


def test_days_that_are_alike_are_said_together() -> None:
    assert hours({}) == "always open"
    assert hours(dict.fromkeys(WEEKDAYS, ("00:00", "24:00"))) == "Mon to Sun all day"
    some = {"monday": ("09:00", "17:00"), "tuesday": ("09:00", "17:00"), "thursday": ("10:00", "12:00")}
    assert hours(some) == "Mon to Tue 09:00 to 17:00; Wed closed; Thu 10:00 to 12:00; Fri to Sun closed"
