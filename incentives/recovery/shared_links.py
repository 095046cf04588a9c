"""The signed links by which somebody outside looks at a case for a while."""

import uuid

from incentives.kernel.keys import KeyRing, sign, unsign

# A salt of its own: such a link opens no voucher and no form, and theirs open no case.
_SALT = "case-share"
_LENGTH = 16


def token_of(ring: KeyRing, share_id: uuid.UUID) -> str:
    """Return the signed token of a share."""
    return sign(ring, _SALT, share_id.bytes)


def share_of(ring: KeyRing, token: str) -> uuid.UUID | None:
    """Return the share that a token was signed for, or None if we did not sign it for this."""
    value = unsign(ring, _SALT, token)
    return uuid.UUID(bytes=value) if value is not None and len(value) == _LENGTH else None


def url_of(public_url: str, ring: KeyRing, share_id: uuid.UUID) -> str:
    """Return the address of the page."""
    return f"{public_url}/shared/{token_of(ring, share_id)}"
