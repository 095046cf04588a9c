"""The statistics of the reports against values that are known from elsewhere."""

import math

import pytest

from incentives.queries.reports import statistics
from incentives.queries.reports.funnel import share_bp


def test_wilson_against_the_textbook() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), method 3: 81 of 263 is 0.2553 to 0.3662; 0 of 20 is 0 to 0.1611.
    found = statistics.wilson(81, 263)
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    nothing = statistics.wilson(0, 20)
    assert nothing is not None
    assert (nothing.low, round(nothing.high, 4)) == (0.0, 0.1611)
    assert statistics.wilson(0, 0) is None


def test_newcombe_against_the_textbook() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:873), method 10: 56/70 - 48/80 is 0.0524 to 0.3339.
    found = statistics.newcombe(56, 70, 48, 80)
    assert found is not None
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)
    assert statistics.newcombe(1, 2, 0, 0) is None


@pytest.mark.parametrize(
    ("hits", "of", "share", "expected"),
    [(7, 10, 0.5, 0.34375), (0, 10, 0.5, 0.001953125), (5, 10, 0.5, 1.0), (682, 925, 0.75, 0.3825)],
)
def test_the_binomial_test_is_that_of_r(hits: int, of: int, share: float, expected: float) -> None:
    assert statistics.binomial_two_sided(hits, of, share) == pytest.approx(expected, abs=5e-5)


def test_the_binomial_test_goes_on_beyond_where_it_is_exact() -> None:
    exact = statistics.binomial_two_sided(1040, 2000, 0.5)
    near = statistics.binomial_two_sided(1041, 2002, 0.5)
    assert near == pytest.approx(exact, rel=0.05)


def test_a_change_is_weighed_by_the_volume() -> None:
    assert statistics.change(20, 1000, 10, 500) > 0.9
    assert statistics.change(30, 1000, 10, 1000) < 0.01
    assert statistics.change(0, 0, 0, 0) == 1.0


def test_benjamini_hochberg_as_r_adjusts() -> None:
    # What R's p.adjust with "BH" gives for these four.
    assert statistics.benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert statistics.benjamini_hochberg([]) == []


def test_the_negative_binomial_tail() -> None:
    # R: pnbinom(9, size=2, mu=3, lower.tail=FALSE); with a great shape it is the Poisson distribution's tail.
    assert statistics.negative_binomial_tail(10, 3, 2) == pytest.approx(0.0302330, rel=1e-4)
    poisson = 1 - math.fsum(math.exp(-3) * 3**k / math.factorial(k) for k in range(10))
    assert statistics.negative_binomial_tail(10, 3, 1e9) == pytest.approx(poisson, rel=1e-4)
    assert statistics.negative_binomial_tail(0, 3, 2) == 1.0
    assert statistics.negative_binomial_tail(1, 0, 2) == 0.0
    assert 0 < statistics.negative_binomial_tail(400, 3, 20) < 1e-60


def test_percentiles_lie_between_two_numbers() -> None:
    assert statistics.percentile([], 50) is None
    assert statistics.percentile([7], 95) == 7
    assert statistics.percentile([10, 20, 30, 40], 50) == 25
    assert statistics.percentile(list(range(101)), 95) == 95


def test_shares_are_whole_ten_thousandths_rounded_half_up() -> None:
    assert share_bp(1, 3) == 3333
    assert share_bp(2, 3) == 6667
    assert share_bp(1, 20_000) == 1
    assert share_bp(1, 0) is None
