"""Within any 24 hours a contact is sent no more messages than the cap, and none is refused while there is room."""

import random

import pytest

from incentives.recovery.promised import free_from, recent

HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("stamps", "due", "most", "free"),
    [
        ([], 0, 1, 0),
        ([0], 0, 1, DAY),
        ([0], DAY - 1, 1, DAY),
        ([0], DAY, 1, DAY),
        ([0, HOUR], 2 * HOUR, 3, 2 * HOUR),
        ([0, HOUR, 2 * HOUR], 3 * HOUR, 3, DAY),
        ([2 * HOUR, 0, HOUR], 3 * HOUR, 3, DAY),  # in whatever order they stand
        ([0] * 5, HOUR, 3, DAY),  # there was no cap when these were promised, or a higher one
        ([0, HOUR, HOUR, HOUR], 2 * HOUR, 3, DAY + HOUR),
        ([5 * HOUR], 0, 1, DAY + 5 * HOUR),  # what is to be told later takes the day around it
        ([5 * HOUR, 5 * HOUR], 0, 3, 0),
        ([2 * DAY], 0, 1, 0),
        ([2 * DAY], DAY + 1, 1, 3 * DAY),
        ([0, 30 * HOUR], 15 * HOUR, 2, 15 * HOUR),  # two in each window, though three are near
    ],
)
def test_when_one_more_may_be_sent(stamps: list[int], due: int, most: int, free: int) -> None:
    assert free_from(stamps, due, most) == free


def test_what_is_a_day_old_counts_no_more() -> None:
    assert recent([0, 1, DAY, 3 * DAY], DAY) == [1, DAY, 3 * DAY]


def in_any_window(stamps: list[int]) -> int:
    return max(sum(begin <= each < begin + DAY for each in stamps) for begin in stamps)


def test_it_is_never_more_than_the_cap_and_never_less_than_there_is_room_for() -> None:
    dice = random.Random(7)
    for _ in range(300):
        most = dice.randint(1, 4)
        stamps: list[int] = []
        for _ in range(25):
            due = dice.randrange(4 * DAY)
            free = free_from(stamps, due, most)
            assert (free == due) == (in_any_window([*stamps, due]) <= most)
            assert in_any_window([*stamps, free]) <= most
            assert all(in_any_window([*stamps, at]) > most for at in (free - 1, (due + free) // 2) if due <= at < free)
            stamps.append(free)
