"""Scores are kept as given and made comparable: in order, onto the whole of 0 to 10000, rounded half up."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.kernel.errors import InputInvalid
from incentives.recovery.scales import BP_MAX, ENDS, Score, score_of, words_of

SCALES = st.sampled_from(sorted(ENDS))


@pytest.mark.parametrize(
    ("text", "scale", "bp"),
    [
        ("1", "stars_5", 0),
        ("2", "stars_5", 2500),
        ("4.5", "stars_5", 8750),
        ("5", "stars_5", 10_000),
        ("3", "csat", 5000),
        ("good", "csat", 10_000),
        ("Bad", "csat", 0),
        ("0", "nps", 0),
        ("7", "nps", 7000),
        ("2", "ces_7", 1667),
        ("7", "ces_7", 10_000),
        ("99.995", "percent", 10_000),  # Half a basis point goes up …
        ("99.994", "percent", 9999),  # … and less goes down.
    ],
)
def test_each_scale_by_hand(text: str, scale: str, bp: int) -> None:
    assert score_of(text, scale).bp == bp


@given(SCALES, st.data())
def test_every_score_on_a_scale_is_within_and_rounded_half_up(scale: str, data: st.DataObject) -> None:
    worst, best = ENDS[scale]
    number = data.draw(st.decimals(worst, best, places=4, allow_nan=False))
    exact = (Fraction(number) - worst) / (best - worst) * BP_MAX
    found = score_of(number, scale)
    assert 0 <= found.bp <= BP_MAX
    assert -Fraction(1, 2) < found.bp - exact <= Fraction(1, 2)
    assert Decimal(found.given) == number


@given(SCALES, st.data())
def test_a_better_score_is_never_worse(scale: str, data: st.DataObject) -> None:
    worst, best = ENDS[scale]
    numbers = data.draw(st.lists(st.decimals(worst, best, places=3), min_size=2, max_size=2))
    low, high = sorted(numbers)
    assert score_of(low, scale).bp <= score_of(high, scale).bp


@given(SCALES)
def test_the_ends_are_the_ends(scale: str) -> None:
    worst, best = ENDS[scale]
    assert (score_of(worst, scale).bp, score_of(best, scale).bp) == (0, BP_MAX)


@given(SCALES, st.one_of(st.text(max_size=30), st.integers(), st.decimals(), st.floats().map(repr)))
def test_anything_else_is_refused_by_its_field_and_never_breaks(scale: str, anything: object) -> None:
    fields: list[str] = []
    found = Score(scale, "", -1)
    try:
        found = score_of(anything, scale)  # type: ignore[arg-type]  # whatever comes
    except InputInvalid as refusal:
        fields = [each["field"] for each in refusal.facts["errors"]]
    assert fields == ["score"] or (0 <= found.bp <= BP_MAX and len(found.given) <= 20)


@pytest.mark.parametrize(
    "score", ["1_0", "٣", "1e999999999", "1e-999999999", "0e-999999999", "Infinity", "", "0x5", "5" * 21, "good"]
)
def test_what_is_no_number_is_refused(score: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        score_of(score, "nps")
    assert caught.value.facts["errors"][0]["field"] == "score"


@pytest.mark.parametrize("scale", [None, "", "stars_10"])
def test_a_score_needs_a_scale_that_there_is(scale: str | None) -> None:
    with pytest.raises(InputInvalid) as caught:
        score_of(3, scale)
    assert caught.value.facts["errors"][0]["field"] == "scale"


def test_it_is_said_in_percent() -> None:
    assert [words_of(bp) for bp in (0, 6250, 10_000)] == ["0", "62.5", "100"]
