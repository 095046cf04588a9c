"""Codes that a person can read out: Crockford base32, twelve symbols and a check symbol, ``XXXX-XXXX-XXXX-X``.

A code is derived from its voucher's id with a key that the database does not hold, so it can be made again for a
message or a replay and needs to be stored nowhere. The database keeps a keyed digest of it, and the last four.
"""

import re
import uuid

from incentives.kernel.errors import CodeMalformed, CodeRetired
from incentives.kernel.keys import KeyRing, sign, unsign

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U
SYMBOLS = 12  # sixty bits
_BITS = 5
_VALUE = {symbol: value for value, symbol in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_FORGIVEN = str.maketrans("OIL", "011")
_SPACING = re.compile(r"[\s\-_.·‐-―−]+")
_LINK_SALT = "voucher-link"


# Each element of GF(32) = GF(2)[x] / (x^5 + x^2 + 1), multiplied by x.
_TIMES_X = tuple(value << 1 ^ (0b100101 if value & 0b10000 else 0) for value in range(32))


def check_symbol(symbols: str) -> str:
    """Return the symbol that checks the others.

    A weighted sum over GF(32) with a different weight for each place: it notices every wrong symbol and every
    swap of two, and unlike Crockford's own modulo 37 it needs no symbols outside the alphabet.
    """
    total = 0
    for symbol in symbols:
        total = _TIMES_X[total ^ _VALUE[symbol]]
    return ALPHABET[total]


def code_of(ring: KeyRing, key_id: str, voucher_id: uuid.UUID) -> str:
    """Return the code of a voucher, thirteen symbols without dashes."""
    number = int.from_bytes(ring.mac(key_id, b"voucher-code", voucher_id.bytes)[:8], "big") >> (64 - SYMBOLS * _BITS)
    symbols = "".join(ALPHABET[number >> shift & 31] for shift in range((SYMBOLS - 1) * _BITS, -1, -_BITS))
    return symbols + check_symbol(symbols)


def printed(code: str) -> str:
    """Return a code as people see it: ``XXXX-XXXX-XXXX-X``."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def normalized(text: str) -> str:
    """Return the thirteen symbols of a code as somebody typed it.

    Case, spaces, dashes and dots are forgiven, and O for 0, I and L for 1.
    Raises ``CodeMalformed`` when it cannot be a code: no database is asked.
    """
    symbols = _SPACING.sub("", text).upper().translate(_FORGIVEN)
    if len(symbols) != SYMBOLS + 1 or not _VALUE.keys() >= set(symbols):
        raise CodeMalformed(f"A code has {SYMBOLS + 1} letters and digits.", field="code")
    if check_symbol(symbols[:-1]) != symbols[-1]:
        raise CodeMalformed(field="code")
    return symbols


def digest(ring: KeyRing, key_id: str, code: str) -> str:
    """Return the keyed digest under which a code is found."""
    return ring.mac(key_id, b"voucher-code-digest", code.encode()).hex()


def digests(ring: KeyRing, code: str) -> list[str]:
    """Return a code's digests under every key, retired ones too: what is typed does not say which key made it."""
    return [digest(ring, key_id, code) for key_id in ring.all_ids]


def last4(code: str) -> str:
    """Return the four symbols that lists may show."""
    return code[-4:]


def token_of(ring: KeyRing, voucher_id: uuid.UUID) -> str:
    """Return the signed token of a voucher's link (45 characters, 128 bits of signature)."""
    return sign(ring, _LINK_SALT, voucher_id.bytes, short=True)


def voucher_of_token(ring: KeyRing, token: str) -> uuid.UUID | None:
    """Return the voucher that a token was signed for, or None if we did not sign it for a voucher."""
    value = unsign(ring, _LINK_SALT, token, short=True)
    return uuid.UUID(bytes=value) if value is not None and len(value) == len(uuid.UUID(int=0).bytes) else None


def voucher_of_known_token(ring: KeyRing, token: str) -> uuid.UUID | None:
    """Return the voucher that a token was signed for, or None. Raises ``CodeRetired`` for one of a retired key."""
    found = voucher_of_token(ring, token)
    gone = ring.gone() if found is None and ring.retired else None
    if gone is not None and voucher_of_token(gone, token) is not None:
        raise CodeRetired
    return found


def token_in(text: str) -> str:
    """Return the token in what a scanner types, which may be the whole address of the customer's page."""
    return text.strip().rpartition("/v/")[2].partition("?")[0].strip("/")
