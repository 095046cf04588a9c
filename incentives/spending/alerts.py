"""When a budget is so far used that somebody should know: at each threshold once, and again once it was raised."""

from collections.abc import Collection, Mapping

THRESHOLDS = (50, 80, 95, 100)
"""Percent of what a budget may hold: its cap and what was allotted on top of it."""

SCOPES = ("organization", "location", "team", "issue_tag", "incentive")
"""Whose budgets are watched. What one agent or one customer has used up is refused to them, and told nobody else."""

_HUNDRED = 100


def reached(used: Mapping[str, int], ceilings: Mapping[str, int]) -> int:
    """Return the highest threshold that any unit has reached, 0 where none has.

    A budget that may hold nothing and holds nothing is closed, not used up.
    """
    highest = 0
    for unit, ceiling in ceilings.items():
        if used[unit] > 0:
            passed = [each for each in THRESHOLDS if used[unit] * _HUNDRED >= each * ceiling]
            highest = max([highest, *passed])
    return highest


def new(now_reached: int, standing: Collection[int]) -> list[int]:
    """Return the thresholds to tell of, the highest last: those reached of which nobody has been told."""
    return [each for each in THRESHOLDS if each <= now_reached and each not in standing]


def rearmed(threshold: int, now_reached: int, used_then: Mapping[str, int], ceilings: Mapping[str, int]) -> bool:
    """Return whether a budget was raised so far that a threshold is not reached any more.

    What counts is the raise: that something was released alone would tell the same people the same all day.
    """
    return now_reached < threshold and reached(used_then, ceilings) < threshold
