"""The statistics behind the reports, in plain Python: intervals, tests, tails. Nothing here knows a record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z95 = 1.959963984540054
_EXACT_UP_TO = 2_000
_SURE = 1e-16


@dataclass(frozen=True, slots=True)
class Interval:
    """A share or a difference, and the bounds within which it lies in 95 of 100 such reports."""

    value: float
    low: float
    high: float


def wilson(hits: int, of: int) -> Interval | None:
    """Return a share with Wilson's score interval (1927); None of nothing."""
    if of == 0:
        return None
    share, z2 = hits / of, _Z95 * _Z95
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    reach = _Z95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))


def newcombe(hits: int, of: int, other_hits: int, other_of: int) -> Interval | None:
    """Return the difference of two shares with Newcombe's hybrid score interval (1998, method 10)."""
    one, two = wilson(hits, of), wilson(other_hits, other_of)
    if one is None or two is None:
        return None
    difference = one.value - two.value
    down = math.hypot(one.value - one.low, two.high - two.value)
    up = math.hypot(one.high - one.value, two.value - two.low)
    return Interval(difference, max(-1.0, difference - down), min(1.0, difference + up))


def binomial_two_sided(hits: int, of: int, share: float) -> float:
    """Return how likely a result at least as unlikely as this one is, if each of ``of`` hits with ``share``.

    Exact (as R's ``binom.test``) up to two thousand, beyond that the normal distribution with continuity.
    """
    if of == 0 or not 0 < share < 1:
        return 1.0
    if of > _EXACT_UP_TO:
        away = max(0.0, abs(hits - of * share) - 0.5) / math.sqrt(of * share * (1 - share))
        return math.erfc(away / math.sqrt(2))
    logs = [_log_binomial(k, of, share) for k in range(of + 1)]
    limit = logs[hits] + 1e-7
    return min(1.0, math.fsum(math.exp(each) for each in logs if each <= limit))


def change(now: int, now_volume: int, before: int, before_volume: int) -> float:
    """Return the p-value of "the rate did not change": two Poisson counts, each out of a volume, compared exactly.

    Given their sum, the later count is binomial with the share of its volume (Przyborowski and Wilenski, 1940).
    """
    volume = now_volume + before_volume
    return 1.0 if volume == 0 else binomial_two_sided(now, now + before, now_volume / volume)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return q-values: keeping those up to q lets a share of at most q of them be false (1995)."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at], reverse=True)
    found, least = [1.0] * len(p_values), 1.0
    for rank, at in zip(range(len(order), 0, -1), order, strict=True):
        least = min(least, p_values[at] * len(order) / rank)
        found[at] = least
    return found


def negative_binomial_tail(count: int, mean: float, shape: float) -> float:
    """Return the chance of ``count`` or more where counts have this mean and a variance of mean + mean²/shape."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    share = mean / (mean + shape)
    term = math.exp(-shape * math.log1p(mean / shape))
    # Far out the tail is summed itself, for what is left of one after the body would be noise.
    body, k = 0.0, 0
    while k < count:
        body += term
        term *= (k + shape) / (k + 1) * share
        k += 1
    if 1 - body > 1e-9:  # noqa: PLR2004 - what a float still tells apart from one
        return 1 - body
    tail = 0.0
    while term > tail * _SURE and term > 0:
        tail += term
        term *= (k + shape) / (k + 1) * share
        k += 1
    return tail


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """Return a percentile of sorted numbers, between two of them by the straight line; None of none."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return round(ordered[below] + (ordered[above] - ordered[below]) * (place - below))


def _log_binomial(k: int, of: int, share: float) -> float:
    ways = math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
    return ways + k * math.log(share) + (of - k) * math.log1p(-share)
