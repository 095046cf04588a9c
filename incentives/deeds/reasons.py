"""Why somebody does something, in their words: what all deeds ask of a reason and of a comment."""

import unicodedata

from incentives.kernel.errors import InputInvalid

REASON_LONGEST = 500


def reason(text: str | None, field: str = "reason", *, longest: int = REASON_LONGEST) -> str:
    """Return a reason without the space around it. Raises ``InputInvalid`` where there is none, or too much of it."""
    found = comment(text, field, longest=longest)
    if found is None:
        raise InputInvalid(errors=[{"field": field, "message": "Say why, in a few words."}])
    return found


def comment(text: str | None, field: str = "comment", *, longest: int) -> str | None:
    """Return a text without the space around it, None for an empty one.

    Raises ``InputInvalid`` for one that is too long, or that has characters nobody can see or a database cannot keep.
    """
    kept = (text or "").strip()
    if len(kept) > longest:
        raise InputInvalid(errors=[{"field": field, "message": f"Use at most {longest} characters."}])
    if any(unicodedata.category(each) in ("Cc", "Cs") and each not in "\r\n\t" for each in kept):
        raise InputInvalid(errors=[{"field": field, "message": "This has characters that cannot stand here."}])
    return kept or None
