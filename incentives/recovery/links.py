"""The signed links to the page where customers say how it was: for a table, for a voucher, for a re-survey."""

import uuid

from incentives.kernel.keys import KeyRing, sign, unsign

FORM, VOUCHER, SURVEY = "form", "voucher", "survey"

# A salt of its own: a voucher's link says nothing here, and one of here opens no voucher.
_SALT = "feedback-link"
_LETTERS = {FORM: b"f", VOUCHER: b"v", SURVEY: b"s"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}
_LENGTH = 17


def token_of(ring: KeyRing, kind: str, subject_id: uuid.UUID) -> str:
    """Return the signed token of a form's, a voucher's or a survey's link (46 characters, 128 bits of signature)."""
    return sign(ring, _SALT, _LETTERS[kind] + subject_id.bytes, short=True)


def subject_of(ring: KeyRing, token: str) -> tuple[str, uuid.UUID] | None:
    """Return what a token was signed for, as its kind and id, or None if we did not sign it for this page."""
    value = unsign(ring, _SALT, token, short=True)
    if value is None or len(value) != _LENGTH or value[:1] not in _KINDS:
        return None
    return _KINDS[value[:1]], uuid.UUID(bytes=value[1:])


def url_of(public_url: str, ring: KeyRing, kind: str, subject_id: uuid.UUID) -> str:
    """Return the address of the page."""
    return f"{public_url}/f/{token_of(ring, kind, subject_id)}"
