"""Whether a recovery worked, and by what that is known."""

import pytest

from incentives.catalog.definitions import RecoveryPolicy
from incentives.recovery.outcome import decide, gives_way_to, reopens

POLICY = RecoveryPolicy(recovered_score_pct=75, recovered_uplift_pct=40)
STARS = {1: 0, 2: 2500, 3: 5000, 4: 7500, 5: 10_000}


@pytest.mark.parametrize(
    ("first", "answer", "bought", "judgment", "decided"),
    [
        # The answer, by itself.
        (STARS[1], STARS[4], False, None, (True, "score")),
        (STARS[1], STARS[5], False, None, (True, "score")),
        (None, STARS[4], False, None, (True, "score")),
        (STARS[5], STARS[4], False, None, (True, "score")),
        # Better by so much, though not good.
        (STARS[1], STARS[3], False, None, (True, "uplift")),
        (1000, 5000, False, None, (True, "uplift")),
        (1001, 5000, False, None, (False, "score")),
        (STARS[2], STARS[3], False, None, (False, "score")),
        (None, STARS[3], False, None, (False, "score")),
        (STARS[3], STARS[1], False, None, (False, "score")),
        (None, 7499, False, None, (False, "score")),
        # What the customer says outweighs what they do, and what staff think.
        (STARS[1], STARS[1], True, True, (False, "score")),
        (STARS[1], STARS[5], False, False, (True, "score")),
        # What they do outweighs what staff think.
        (STARS[1], None, True, False, (True, "purchase")),
        (None, None, True, None, (True, "purchase")),
        # The judgment is the last word only where there is no other.
        (STARS[1], None, False, True, (True, "judgment")),
        (STARS[1], None, False, False, (False, "judgment")),
        # Nobody knows: that is no success.
        (STARS[1], None, False, None, (None, None)),
        (None, None, False, None, (None, None)),
    ],
)
def test_what_decides(
    first: int | None,
    answer: int | None,
    bought: bool,
    judgment: bool | None,
    decided: tuple[bool | None, str | None],
) -> None:
    found = decide(first_bp=first, answer_bp=answer, policy=POLICY, bought_again=bought, judgment=judgment)
    assert found == decided


def test_the_policy_s_numbers_decide() -> None:
    strict = RecoveryPolicy(recovered_score_pct=100, recovered_uplift_pct=100)
    assert decide(first_bp=0, answer_bp=9999, policy=strict) == (False, "score")
    assert decide(first_bp=0, answer_bp=10_000, policy=strict) == (True, "score")


@pytest.mark.parametrize(
    ("first", "answer", "recovered", "reopened"),
    [
        (STARS[1], STARS[1], False, True),  # bad, though no worse
        (STARS[1], STARS[2], False, True),  # a little better, and still bad
        (STARS[4], STARS[3], False, True),  # worse, though not bad
        (STARS[3], STARS[3], False, False),  # neither good nor bad, as before
        (STARS[2], STARS[3], False, False),
        (None, STARS[3], False, False),
        (None, 4999, False, True),
        (STARS[5], STARS[4], True, False),  # worse, but a recovery
        (STARS[1], None, None, False),
    ],
)
def test_what_reopens(first: int | None, answer: int | None, recovered: bool | None, reopened: bool) -> None:
    assert reopens(first_bp=first, answer_bp=answer, recovered=recovered) is reopened


def test_stronger_evidence_replaces_weaker_and_never_the_other_way() -> None:
    assert set(gives_way_to("judgment")) == {"judgment"}
    assert set(gives_way_to("purchase")) == {"purchase", "judgment"}
    # Two readings of one answer, which may be changed.
    assert set(gives_way_to("uplift")) == set(gives_way_to("score")) == {"score", "uplift", "purchase", "judgment"}
