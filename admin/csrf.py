"""A form counts only if it came from our own page: a token bound to the session, and the browser's word for it.

The token alone would do against a foreign site; the second check also stops what a leaked page could be used for.
Browsers tell where a request comes from in ``Sec-Fetch-Site``, but only over https and on this very machine, so
``Origin`` is asked where it is missing (OWASP, Cross-Site Request Forgery Prevention).
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping

from incentives.kernel import keys
from incentives.kernel.errors import CsrfRejected
from incentives.kernel.keys import KeyRing

FIELD = "csrf_token"
_SALT = "staff-form"


def token_for(ring: KeyRing, secret: str) -> str:
    """Return the token that forms of one session carry; ``secret`` is what only its cookie holds."""
    return keys.sign(ring, _SALT, _digest(secret), short=True)


def check(
    ring: KeyRing,
    *,
    secret: str | None,
    token: str | None,
    headers: Mapping[str, str],
    own_origins: Collection[str],
) -> None:
    """Let a form pass that our own page sent from this session.

    Raises ``CsrfRejected``.
    """
    if not secret or not token or not _ours(ring, secret, token) or not _from_our_page(headers, own_origins):
        raise CsrfRejected


def _ours(ring: KeyRing, secret: str, token: str) -> bool:
    signed = keys.unsign(ring, _SALT, token, short=True) if token.isascii() else None
    return signed is not None and hmac.compare_digest(signed, _digest(secret))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _from_our_page(headers: Mapping[str, str], own_origins: Collection[str]) -> bool:
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        # "none" is the person themselves: a reload, or the history. A page cannot send it.
        return site in ("same-origin", "none")
    origin = headers.get("Origin")
    return origin is None or origin in own_origins
