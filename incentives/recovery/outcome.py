"""Whether a recovery worked, and by what we know it: a judgment is the weakest evidence, an answer the strongest."""

from typing import Protocol

from incentives.recovery.tables import EVIDENCE

WHOLE_BP = 10_000
BAD_BELOW_BP = WHOLE_BP // 2
"""An answer in the lower half of any scale says that nothing was put right."""

_BP_OF_PERCENT = 100
_OF_AN_ANSWER = ("score", "uplift")


class Policy(Protocol):
    """What of the catalog's recovery policy decides, in percent of the comparable scale."""

    @property
    def recovered_score_pct(self) -> int:
        """An answer at least this good is a recovery."""

    @property
    def recovered_uplift_pct(self) -> int:
        """… or one that is better than the first by so much."""


def decide(
    *,
    first_bp: int | None,
    answer_bp: int | None,
    policy: Policy,
    bought_again: bool = False,
    judgment: bool | None = None,
) -> tuple[bool | None, str | None]:
    """Return whether the customer was recovered and the evidence for it; (None, None) where nobody can say.

    Scores are basis points of the comparable scale. What the customer answered is asked first, for a yes and for a
    no: who answers badly and comes back all the same has told us that we failed. Then what they bought, which can
    only speak for a recovery; then what staff think.
    """
    if answer_bp is not None:
        if answer_bp >= policy.recovered_score_pct * _BP_OF_PERCENT:
            return True, "score"
        if first_bp is not None and answer_bp - first_bp >= policy.recovered_uplift_pct * _BP_OF_PERCENT:
            return True, "uplift"
        return False, "score"
    if bought_again:
        return True, "purchase"
    return (None, None) if judgment is None else (judgment, "judgment")


def reopens(*, first_bp: int | None, answer_bp: int | None, recovered: bool | None) -> bool:
    """Return whether an answer opens its case again: one that is bad, or worse than the first, and no recovery."""
    if answer_bp is None or recovered:
        return False
    return answer_bp < BAD_BELOW_BP or (first_bp is not None and answer_bp < first_bp)


def gives_way_to(evidence: str) -> tuple[str, ...]:
    """Return the levels of evidence that this one may replace: itself and the weaker ones.

    Score and uplift are two readings of one answer, so a changed answer replaces either.
    """
    if evidence in _OF_AN_ANSWER:
        return EVIDENCE
    return EVIDENCE[EVIDENCE.index(evidence) :]
