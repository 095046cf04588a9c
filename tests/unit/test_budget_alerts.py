"""When somebody should know of a budget: each threshold once, and again once it was raised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.spending.alerts import THRESHOLDS, new, reached, rearmed


@pytest.mark.parametrize(
    ("used", "ceiling", "highest"),
    [
        (0, 100, 0),
        (49, 100, 0),
        (50, 100, 50),
        (79, 100, 50),
        (80, 100, 80),
        (95, 100, 95),
        (99, 100, 95),
        (100, 100, 100),
        (130, 100, 100),
        (1, 3, 0),
        (2, 3, 50),
        (0, 0, 0),
        (1, 0, 100),
        (5, -5, 100),
    ],
)
def test_how_far_a_budget_is_used(used: int, ceiling: int, highest: int) -> None:
    assert reached({"minor": used}, {"minor": ceiling}) == highest


def test_whichever_unit_is_further_counts() -> None:
    used = {"minor": 10, "count": 9}
    assert reached(used, {"minor": 100, "count": 10}) == 80
    assert reached(used, {"minor": 100}) == 0
    assert reached(used, {}) == 0


def test_only_what_nobody_was_told_of_is_new() -> None:
    assert new(95, ()) == [50, 80, 95]
    assert new(95, (50, 95)) == [80]
    assert new(0, ()) == []


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from(THRESHOLDS))
def test_a_threshold_is_rearmed_by_a_raise_and_never_by_a_release(
    used_then: int, ceiling: int, more: int, threshold: int
) -> None:
    then = {"minor": used_then}
    told = reached(then, {"minor": ceiling}) >= threshold
    # The same ceiling: whatever was released meanwhile, who was told is not told again.
    assert not (told and rearmed(threshold, 0, then, {"minor": ceiling}))
    raised = {"minor": ceiling + more}
    assert rearmed(threshold, reached(then, raised), then, raised) is (used_then * 100 < threshold * (ceiling + more))
