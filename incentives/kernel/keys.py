"""Keys and what they make: derived codes, signed links, encrypted contacts, digests of secrets.

Every purpose has its own list of keys, so that one can be rotated without the others; the newest makes, all verify.
A key that is to come is known before it makes anything, so that no process meets what it cannot read; one that was
retired makes and verifies nothing any more, and what it made is recognized and refused by name.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from itsdangerous import BadSignature, Signer
from itsdangerous.signer import HMACAlgorithm

from incentives.kernel.errors import KeyRetired
from incentives.kernel.key_settings import KNOWN, RETIRED, Key
from incentives.kernel.settings import Settings

_LINK_SIGNATURE_BYTES = 16


class _ShortHmac(HMACAlgorithm):
    """HMAC-SHA-256 cut to 128 bits (RFC 2104 section 5), so that a link and its words fit one SMS."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, self.digest_method)[:_LINK_SIGNATURE_BYTES]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one purpose, oldest first; of ``known`` ids nothing is made yet, of ``retired`` ones all is refused.

    ``newest_id`` is the key that makes new things. ``ids`` are those that verify, the newest first, since it is the
    likeliest to match.
    """

    pairs: tuple[tuple[str, bytes], ...] = field(repr=False)
    known: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()
    newest_id: str = field(init=False, compare=False)
    ids: tuple[str, ...] = field(init=False, compare=False)
    _secrets: dict[str, bytes] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Work out once what is asked for each code."""
        newest = [key_id for key_id, _ in self.pairs if key_id not in self.known | self.retired][-1]
        others = [key_id for key_id, _ in reversed(self.pairs) if key_id not in self.retired | {newest}]
        object.__setattr__(self, "newest_id", newest)
        object.__setattr__(self, "ids", (newest, *others))
        object.__setattr__(self, "_secrets", dict(self.pairs))

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Return the ids of all keys, those that verify first: what was made under a retired one can be recognized."""
        return (*self.ids, *(key_id for key_id, _ in self.pairs if key_id in self.retired))

    @property
    def oldest_id(self) -> str:
        """Return the id of the first key, whatever has become of it: what must not change when a newer one comes."""
        return self.pairs[0][0]

    def gone(self) -> "KeyRing | None":
        """Return the retired keys as a ring of their own, or None: with it what they made is recognized."""
        pairs = tuple(pair for pair in self.pairs if pair[0] in self.retired)
        return KeyRing(pairs) if pairs else None

    def secret(self, key_id: str) -> bytes:
        """Return one key's secret; KeyError if it is not there."""
        return self._secrets[key_id]

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
            codes=_ring(settings.code_keys),
            links=_ring(settings.link_keys),
            sessions=_ring(settings.session_keys),
            contacts=_ring(settings.contact_keys),
            seals=_ring(settings.seal_keys),
        )


def _ring(keys: Sequence[Key]) -> KeyRing:
    return KeyRing(
        tuple((key.id, key.secret) for key in keys),
        known=frozenset(key.id for key in keys if key.state == KNOWN),
        retired=frozenset(key.id for key in keys if key.state == RETIRED),
    )


class _Signer(Signer):
    """Derives each key once, and not for every signature."""

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        secret = self.secret_keys[-1] if secret_key is None else secret_key
        if secret not in self._derived:
            self._derived[secret] = super().derive_key(secret)
        return self._derived[secret]

    @cached_property
    def _derived(self) -> dict[str | bytes, bytes]:
        return {}


@lru_cache(maxsize=64)
def signer(ring: KeyRing, salt: str, *, short: bool = False) -> Signer:
    """Return a signer for one purpose.

    itsdangerous signs with SHA-1 and a concatenating key derivation by default; both are set here. Its own expiry
    is never used: validity stands in the database, so that a node with a slow clock refuses no fresh link.
    """
    return _Signer(
        [ring.secret(key_id) for key_id in reversed(ring.ids)],  # the last one signs
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
        made = [Fernet(base64.urlsafe_b64encode(ring.mac(key_id, b"encrypt", b""))) for key_id in ring.ids]
        gone = [Fernet(base64.urlsafe_b64encode(ring.mac(key_id, b"encrypt", b""))) for key_id in ring.retired]
        self._newest, self._fernet, self._every = made[0], MultiFernet(made), MultiFernet([*made, *gone])

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

    def decrypt_old(self, token: str | None) -> str | None:
        """Return the text of a token, of a retired key too: for whoever makes things anew, and tells nobody of them."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - as above

        try:
            return None if token is None else self._every.decrypt(token.encode()).decode()
        except InvalidToken:
            raise KeyRetired from None

    def renewed(self, token: bytes) -> bytes | None:
        """Return a token made anew by the newest key, with the instant it was made at; None where that made it.

        A key that was retired too early still opens what it made here, so that it is not lost. Raises ``KeyRetired``
        when none of the ring's keys made it.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - as above

        try:
            self._newest.decrypt(token)
        except InvalidToken:
            try:
                return self._every.rotate(token)
            except InvalidToken:
                raise KeyRetired from None
        return None

    def key_of(self, token: bytes) -> str | None:
        """Return the id of the key that made a token, retired or not; None where that is not there any more."""
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415 - as above

        for key_id in self._ring.all_ids:
            try:
                Fernet(base64.urlsafe_b64encode(self._ring.mac(key_id, b"encrypt", b""))).decrypt(token)
            except InvalidToken:
                continue
            return key_id
        return None

    def spelled(self, kind: str, canonical: str) -> dict[str, str]:
        """Return the digests of one identity by the keys that make them, retired ones too."""
        text = f"{kind}:{canonical}".encode()
        return {key_id: self._ring.mac(key_id, b"identity", text).hex() for key_id in self._ring.all_ids}

    def respelled(self, kind: str, canonical: str) -> dict[str, str]:
        """Return what one identity's digests under older keys, retired ones too, become under the newest."""
        made, newest = self.spelled(kind, canonical), self._ring.newest_id
        return {digest: made[newest] for key_id, digest in made.items() if key_id != newest}

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
