"""Scores of every kind: kept as they were given, and made comparable in basis points, 0 (worst) to 10000 (best).

Whole numbers throughout: a score is a fraction of its scale, rounded half up. No float ever stands for one.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from incentives.kernel.errors import InputInvalid

BP_MAX = 10_000
GIVEN_LENGTH_MAX = 20

ENDS = {"stars_5": (1, 5), "csat": (1, 5), "nps": (0, 10), "ces_7": (1, 7), "percent": (0, 100)}
"""The worst and the best score of each scale. Of ``ces_7`` 7 is the least effort, so the best."""

WORDS = {"csat": {"good": BP_MAX, "bad": 0}}
"""Scales whose sources may say a word instead of a number."""


@dataclass(frozen=True, slots=True)
class Score:
    """A score on its scale: as given, and comparable with those of every other scale."""

    scale: str
    given: str
    bp: int


def score_of(given: Decimal | int | str, scale: str | None) -> Score:
    """Return a score made comparable.

    Raises ``InputInvalid`` that names ``scale`` (unknown, or none was said) or ``score`` (not a number, or outside).
    """
    if scale not in ENDS:
        known = ", ".join(ENDS)
        raise _wrong(
            "scale", f"A score needs its scale, one of {known}." if not scale else f"A scale is one of {known}."
        )
    text = str(given).strip()
    word = WORDS.get(scale, {}).get(text.casefold())
    if word is not None:
        return Score(scale, text.casefold(), word)
    return Score(scale, text, _bp(text, scale))


def words_of(score_bp: int) -> str:
    """Return a comparable score as percent: ``62.5``."""
    return f"{Decimal(score_bp).scaleb(-2).normalize():f}"


def _bp(text: str, scale: str) -> int:
    worst, best = ENDS[scale]
    try:
        number = Decimal(text) if len(text) <= GIVEN_LENGTH_MAX and text.isascii() and "_" not in text else None
    except InvalidOperation:
        number = None
    if number is None or not _is_plain(number):
        raise _wrong("score", "A score is a number of at most 20 characters.")
    if not worst <= number <= best:
        raise _wrong("score", f"On the scale {scale} a score is {worst} to {best}.")
    part = (Fraction(number) - worst) / (best - worst)
    return int(part * BP_MAX + Fraction(1, 2))  # Never negative, so that cutting it off is rounding half up.


def _is_plain(number: Decimal) -> bool:
    """Return whether a number has no more digits than fit: ``1E-999999999`` is short, and its fraction fills memory."""
    exponent = number.as_tuple().exponent  # A letter stands there for what is no number.
    return isinstance(exponent, int) and abs(exponent) <= GIVEN_LENGTH_MAX


def _wrong(field: str, message: str) -> InputInvalid:
    return InputInvalid(message, errors=[{"field": field, "message": message}])
