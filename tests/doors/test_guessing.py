"""Guessing codes at speed: five answers a minute for each device, an alarm, and no till that suffers for it."""

from tests.doors.guessing import flood


def test_a_flood_of_guesses_is_held_back_and_told_and_good_codes_work(database_url: str) -> None:
    """Thirty devices guess for six seconds, seventy times each: five of those are answered."""
    found = flood(database_url, count=3000, devices=30)
    assert found.answers == {404: 150, 429: 2850}
    assert found.most_in_a_minute == 5
    assert (found.alarms, found.alarm_after is not None) == (0, False)  # nobody swept within six seconds
    assert set(found.good) == {200, 201}
