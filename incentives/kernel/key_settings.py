"""Keys as settings say them: ``id:base64``, comma separated, oldest first, each in use, ``:known`` or ``:retired``."""

import base64
import re
from typing import NamedTuple

KNOWN, RETIRED = "known", "retired"
_KEY_BYTES_MIN = 32


class Key(NamedTuple):
    """One key of a list: ``known`` makes nothing yet, of a ``retired`` one what it made is recognized and refused."""

    id: str
    secret: bytes
    state: str = ""

    def __repr__(self) -> str:
        """Name the key; its secret does not show."""
        return f"Key(id={self.id!r}, state={self.state!r})"


def read_keys(text: str) -> tuple[Key, ...]:
    """Return the keys of one setting. Raises ``ValueError`` in words that do not show them."""
    found = tuple(_key(part.strip()) for part in text.split(",") if part.strip())
    if not found:
        message = "is missing; `incentives keys new` prints fresh ones"
        raise ValueError(message)
    if len({key.id for key in found}) < len(found):
        # What the first of the two has made could never be found again.
        message = "a key id stands there twice"
        raise ValueError(message)
    if all(key.state for key in found):
        message = f"no key is left that makes anything: each is {KNOWN} or {RETIRED}"
        raise ValueError(message)
    return found


def _key(text: str) -> Key:
    key_id, _, rest = text.partition(":")
    encoded, _, state = rest.partition(":")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except ValueError:
        secret = b""
    if not re.fullmatch(r"[a-z0-9-]{1,16}", key_id) or len(secret) < _KEY_BYTES_MIN:
        message = f"each key is `id:base64` of at least {_KEY_BYTES_MIN} bytes"
        raise ValueError(message)
    if state not in ("", KNOWN, RETIRED):
        message = f"behind a key may stand `:{KNOWN}` or `:{RETIRED}`"
        raise ValueError(message)
    return Key(key_id, secret, state)
