"""Spikes: what is found in made counts, and what is left alone."""

import math
import random

from incentives.queries.reports.spikes import LOOK_BACK_DAYS, Rhythm, whole_of

DAYS = LOOK_BACK_DAYS + 14
WEEK = (0.8, 0.8, 0.9, 1.0, 1.3, 1.5, 0.7)


def counts(dice: random.Random, mean: float) -> list[int]:
    return [poisson(dice, mean * WEEK[day % 7]) for day in range(DAYS)]


def poisson(dice: random.Random, mean: float) -> int:
    limit, product, number = math.exp(-mean), dice.random(), 0
    while product > limit:
        product *= dice.random()
        number += 1
    return number


def series(seed: int) -> dict[tuple[str, str], list[int]]:
    dice = random.Random(seed)
    return {(f"tag-{tag}", f"place-{place}"): counts(dice, 0.2 + tag / 2) for tag in range(5) for place in range(8)}


def test_a_rhythm_of_weeks_is_no_spike() -> None:
    made = series(1)
    whole = whole_of(made, DAYS)
    alarms = [spike for day in range(LOOK_BACK_DAYS, DAYS) for spike in Rhythm(made, whole, day).spikes()]
    assert alarms == []


def test_a_spike_is_found_on_its_first_day_at_its_place() -> None:
    made = series(2)
    made["tag-1", "place-3"][-1] += 12
    (spike,) = Rhythm(made, whole_of(made, DAYS), DAYS - 1).spikes()
    assert (spike.what, spike.where, spike.days) == ("tag-1", "place-3", 1)
    assert spike.count >= 12 > 2 * spike.expected


def test_what_rises_for_good_is_found_within_a_week() -> None:
    made = series(3)
    for day in range(DAYS - 7, DAYS):
        made["tag-4", "place-0"][day] += 4
    assert ("tag-4", "place-0", 7) in {
        (each.what, each.where, each.days) for each in Rhythm(made, whole_of(made, DAYS), DAYS - 1).spikes()
    }


def test_a_few_pieces_are_no_spike_however_rare_the_tag() -> None:
    made = series(4) | {("new", "place-1"): [0] * (DAYS - 1) + [4]}
    assert Rhythm(made, whole_of(made, DAYS), DAYS - 1).spikes() == []
    made["new", "place-1"][-1] = 8
    assert [each.what for each in Rhythm(made, whole_of(made, DAYS), DAYS - 1).spikes()] == ["new"]


def test_nothing_is_said_before_there_are_weeks_to_learn_from() -> None:
    made = {("tag", ""): [1] * 20 + [50]}
    assert not Rhythm(made, whole_of(made, 21), 20).known
    assert Rhythm(made, whole_of(made, 21), 20).spikes() == []
