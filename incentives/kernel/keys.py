"""Keys and what they make: derived codes, signed links, encrypted contacts, digests of secrets.

Every purpose has its own list of keys, so that one can be rotated without the others; the newest makes, all verify.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from itsdangerous import BadSignature, Signer
from itsdangerous.signer import HMACAlgorithm

from incentives.kernel.errors import KeyRetired
from incentives.kernel.settings import Settings

_LINK_SIGNATURE_BYTES = 16


class _ShortHmac(HMACAlgorithm):
    """HMAC-SHA-256 cut to 128 bits (RFC 2104 section 5), so that a link and its words fit one SMS."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return super().get_signature(key, value)[:_LINK_SIGNATURE_BYTES]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one purpose, oldest first."""

    pairs: tuple[tuple[str, bytes], ...]

    @property
    def newest_id(self) -> str:
        """Return the id of the key that makes new things."""
        return self.pairs[-1][0]

    @property
    def ids(self) -> tuple[str, ...]:
        """Return all key ids, the newest first: the likeliest to match is tried first."""
        return tuple(key_id for key_id, _ in reversed(self.pairs))

    def secret(self, key_id: str) -> bytes:
        """Return one key's secret; KeyError if it was retired."""
        return dict(self.pairs)[key_id]

    def mac(self, key_id: str, purpose: bytes, message: bytes) -> bytes:
        """Return the HMAC-SHA-256 of a message for one purpose (32 bytes)."""
        return hmac.digest(self.secret(key_id), purpose + b"\x00" + message, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Keys:
    """All key rings of a core."""

    codes: KeyRing
    links: KeyRing
    sessions: KeyRing
    contacts: KeyRing
    seals: KeyRing

    @classmethod
    def from_settings(cls, settings: Settings) -> "Keys":
        """Return the rings that the settings name."""
        return cls(
            codes=KeyRing(settings.code_keys),
            links=KeyRing(settings.link_keys),
            sessions=KeyRing(settings.session_keys),
            contacts=KeyRing(settings.contact_keys),
            seals=KeyRing(settings.seal_keys),
        )


@lru_cache(maxsize=64)
def signer(ring: KeyRing, salt: str, *, short: bool = False) -> Signer:
    """Return a signer for one purpose.

    itsdangerous signs with SHA-1 and a concatenating key derivation by default; both are set here. Its own expiry
    is never used: validity stands in the database, so that a node with a slow clock refuses no fresh link.
    """
    return Signer(
        [secret for _, secret in ring.pairs],
        salt=salt.encode(),
        key_derivation="hmac",
        digest_method=hashlib.sha256,
        algorithm=_ShortHmac(hashlib.sha256) if short else HMACAlgorithm(hashlib.sha256),
    )


def sign(ring: KeyRing, salt: str, value: bytes, *, short: bool = False) -> str:
    """Return a value (urlsafe base64 of the bytes) with its signature behind a dot."""
    return signer(ring, salt, short=short).sign(encode(value)).decode("ascii")


def unsign(ring: KeyRing, salt: str, token: str, *, short: bool = False) -> bytes | None:
    """Return the signed bytes, or None if no key of the ring signed exactly this spelling."""
    try:
        value = signer(ring, salt, short=short).unsign(token.encode("ascii"))
        # Base64 lets the last character vary without changing the bytes: only the canonical spelling is a token.
        canonical = b".".join(encode(decode(part)) for part in token.encode("ascii").split(b"."))
    except (BadSignature, ValueError):
        return None
    return decode(value) if canonical == token.encode("ascii") else None


def encode(value: bytes) -> bytes:
    """Return urlsafe base64 without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def decode(value: bytes) -> bytes:
    """Return the bytes of urlsafe base64 without padding; ValueError if it is none."""
    return base64.b64decode(value + b"=" * (-len(value) % 4), altchars=b"-_", validate=True)


def new_secret(random_bytes: int) -> str:
    """Return a fresh secret of so many random bytes, in letters, digits, dashes and underscores."""
    return secrets.token_urlsafe(random_bytes)


def digest_of_secret(secret: str) -> str:
    """Return the SHA-256 of a secret that has at least 128 random bits (API keys, session tokens), in hex.

    Such secrets need no slow hash: there is nothing to guess.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


class ContactCipher:
    """Encrypts what tells who a customer is, and makes the keyed digests that find the same customer again."""

    def __init__(self, ring: KeyRing) -> None:
        """Prepare ciphers for all keys; the newest encrypts."""
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - a tenth of a second that only writers need

        self._ring = ring
        self._fernet = MultiFernet(
            [Fernet(base64.urlsafe_b64encode(ring.mac(key_id, b"encrypt", b""))) for key_id in ring.ids]
        )

    def encrypt(self, text: str | None) -> str | None:
        """Return the text as a token that only the ring's keys open; None stays None."""
        return None if text is None else self._fernet.encrypt(text.encode()).decode("ascii")

    def decrypt(self, token: str | None) -> str | None:
        """Return the text of a token; None stays None. Raises ``KeyRetired`` when none of the ring's keys made it."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - as above

        try:
            return None if token is None else self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise KeyRetired from None

    def seal(self, content: bytes) -> bytes:
        """Return bytes as a token that only the ring's keys open."""
        return self._fernet.encrypt(content)

    def open(self, token: bytes) -> bytes:
        """Return the bytes of a token. Raises ``KeyRetired`` when none of the ring's keys made it."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - as above

        try:
            return self._fernet.decrypt(token)
        except InvalidToken:
            raise KeyRetired from None

    def digests(self, kind: str, canonical: str) -> Sequence[str]:
        """Return the keyed digests of one identity under every key, the newest first."""
        return [self._ring.mac(key_id, b"identity", f"{kind}:{canonical}".encode()).hex() for key_id in self._ring.ids]
