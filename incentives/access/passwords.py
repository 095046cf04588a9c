"""Passwords: argon2id with its library's own parameters, and a length that is worth hashing."""

from functools import cache
from typing import TYPE_CHECKING

from incentives.kernel.errors import PasswordUnfit

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LENGTH_MIN = 12
LENGTH_MAX = 128

# The commonest of those that are long enough, and what people make of this product's name. The length keeps the
# well-known short ones out by itself.
_WELL_KNOWN = frozenset(
    {
        "123456789012",
        "1234567890123",
        "password1234",
        "passwordpassword",
        "qwertyuiop123",
        "qwertyuiopasdf",
        "administrator",
        "letmeinletmein",
        "iloveyouiloveyou",
        "incentives123",
        "incentivesincentives",
        "welcomewelcome",
        "changemechangeme",
    }
)


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # noqa: PLC0415 - only where somebody signs in

    return PasswordHasher()


def check(password: str) -> None:
    """Refuse a password that is not worth hashing, with ``PasswordUnfit``."""
    fit = LENGTH_MIN <= len(password) <= LENGTH_MAX
    if not fit or password.casefold() in _WELL_KNOWN or len(set(password)) < LENGTH_MIN // 3:
        raise PasswordUnfit(field="password")


def hashed(password: str) -> str:
    """Return the argon2id hash of a password; a tenth of a second of work."""
    return _hasher().hash(password)


@cache
def _nobody() -> str:
    return hashed("nobody has this password")


def matches(password_hash: str | None, password: str) -> bool:
    """Return whether a password is the one; for nobody's hash it works as long, so that time tells nothing."""
    from argon2.exceptions import Argon2Error  # noqa: PLC0415 - only where somebody signs in

    if len(password) > LENGTH_MAX:
        return False
    try:
        _hasher().verify(password_hash or _nobody(), password)
    except Argon2Error:
        return False
    return password_hash is not None
