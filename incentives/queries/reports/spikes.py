"""Whether a series of daily counts has more than its rhythm explains: plain arithmetic on numbers.

What is expected of a day is the mean of the eight weeks that ended a week before it, with the weekday's share of the
whole; what a place should have of a tag that it hardly knows is what the tag and the place have elsewhere. Counts are
more uneven than chance alone would make them, so that their tail is that of a negative binomial distribution: its
shape holds both how little a thin series tells of its mean (the gamma of the mean) and how unruly it was itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incentives.queries.reports.statistics import negative_binomial_tail

BASE_DAYS = 56
GAP_DAYS = 7
LOOK_BACK_DAYS = BASE_DAYS + 2 * GAP_DAYS
FALSE_A_DAY = 0.002
"""How many false alarms a day one family of series may raise, by Bonferroni's inequality: far under one a month."""

_WEEK = 7
_PRIOR = 0.5  # so many pieces is what others say of a series worth
_UNRULY_LEAST, _UNRULY_MOST = 0.03, 1.0
# How many days are looked at together, how many pieces are the least, and how many times what was expected.
_WINDOWS = ((1, 5, 2.0), (_WEEK, 10, 1.5))

Series = Mapping[tuple[str, str], Sequence[int]]
"""Daily counts by (what, where); where is "" for everywhere. All have the same days."""


@dataclass(frozen=True, slots=True)
class Spike:
    """Too many on the ``days`` that end on a day; how likely so many or more are if nothing happened."""

    what: str
    where: str
    day: int
    days: int
    count: int
    expected: float
    chance: float


class Rhythm:
    """What to expect of a day, from the days before it."""

    def __init__(self, series: Series, whole: Sequence[int], day: int) -> None:
        """Look at the eight weeks that ended a week before a day; ``whole`` is the sum of all series by day."""
        self._series, self._day = series, day
        self._first = max(0, day - GAP_DAYS - BASE_DAYS + 1)
        self._after = max(0, day - GAP_DAYS + 1)
        self._length = self._after - self._first
        self._levels = self._weekday_levels(whole)
        self._sums = {key: sum(counts[self._first : self._after]) for key, counts in series.items()}
        self._whats: dict[str, int] = {}
        self._wheres: dict[str, int] = {}
        for (what, where), total in self._sums.items():
            self._whats[what] = self._whats.get(what, 0) + total
            self._wheres[where] = self._wheres.get(where, 0) + total
        self._total = sum(self._sums.values())

    @property
    def known(self) -> bool:
        """Return whether there were four weeks at least to learn from."""
        return self._length >= BASE_DAYS // 2 and self._total > 0

    def spikes(self) -> list[Spike]:
        """Return the series that have too many."""
        if not self.known:
            return []
        limit = FALSE_A_DAY / (len(self._series) * len(_WINDOWS))
        found = []
        for key in self._series:
            spike = min(filter(None, (self._tested(key, *each) for each in _WINDOWS)), key=_chance, default=None)
            if spike is not None and spike.chance < limit:
                found.append(spike)
        return sorted(found, key=_chance)

    def _tested(self, key: tuple[str, str], days: int, least: int, times: float) -> Spike | None:
        counts = self._series[key]
        count = sum(counts[self._day - days + 1 : self._day + 1])
        if count < least:
            return None
        mean, told = self._rate(key)
        level = sum(self._levels[(self._day - back) % _WEEK] for back in range(days))
        expected = mean * level
        if count < times * expected:
            return None
        shape = 1 / (1 / told + self._unruly(counts, mean) / days)
        chance = negative_binomial_tail(count, expected, shape)
        return Spike(key[0], key[1], self._day, days, count, expected, chance)

    def _rate(self, key: tuple[str, str]) -> tuple[float, float]:
        """Return the mean a day, and of how many pieces that is known: the gamma of what others and the series say."""
        total = self._sums[key]
        alike = max(self._whats[key[0]] * self._wheres[key[1]] / self._total, 0.1)
        told = _PRIOR + total
        return told / (_PRIOR / alike + 1) / self._length, told

    def _unruly(self, counts: Sequence[int], mean: float) -> float:
        """Return by how much more than chance the series varied, as a share of its mean squared."""
        expected = [mean * self._levels[day % _WEEK] for day in range(self._first, self._after)]
        off = sum((counts[self._first + at] - each) ** 2 - each for at, each in enumerate(expected))
        return min(max(off / sum(each * each for each in expected), _UNRULY_LEAST), _UNRULY_MOST)

    def _weekday_levels(self, whole: Sequence[int]) -> list[float]:
        """Return each weekday's share of an average day. Days are counted, so that day 0's weekday is number 0."""
        days = range(self._first, self._after)
        mean = sum(whole[day] for day in days) / max(1, self._length)
        levels = []
        for weekday in range(_WEEK):
            found = [whole[day] for day in days if day % _WEEK == weekday]
            levels.append(sum(found) / len(found) / mean if found and mean else 1.0)
        return levels


def whole_of(series: Series, days: int) -> list[int]:
    """Return the sum of all series by day."""
    return [sum(each) for each in zip(*series.values(), strict=True)] if series else [0] * days


def _chance(spike: Spike) -> float:
    return spike.chance
