"""Ids that sort by their time of birth (UUID version 7, RFC 9562), so that indexes grow at one end."""

import os
import threading
import uuid
from datetime import datetime

_RANDOM_BITS = 74
_STEP_BYTES = 4
_TIME_BITS = 80  # what follows the milliseconds
_UNKNOWN = uuid.SafeUUID.unknown


class Ids:
    """Makes ids; a core carries one, so that nothing below draws randomness by itself.

    Within one process each id is greater than the one before, in the same millisecond too (RFC 9562 section 6.2,
    method 2): rows of one transaction keep the order in which they were made.
    """

    def __init__(self) -> None:
        """Begin with no id made."""
        self._last = 0
        self._lock = threading.Lock()

    def new(self, now: datetime) -> uuid.UUID:
        """Return a fresh id: the milliseconds of an instant (48 bits), then 74 bits that nobody can foretell."""
        milliseconds = int(now.timestamp() * 1000)
        with self._lock:
            if milliseconds <= self._last >> _RANDOM_BITS:
                fresh = self._last + 1 + int.from_bytes(os.urandom(_STEP_BYTES), "big")
            else:
                fresh = milliseconds << _RANDOM_BITS | int.from_bytes(os.urandom(10), "big") >> (80 - _RANDOM_BITS)
            self._last = fresh
        high, low = fresh >> 62, fresh & (1 << 62) - 1
        return _uuid((high >> 12) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0x2 << 62 | low)

    def beside(self, other: uuid.UUID, now: datetime) -> uuid.UUID:
        """Return a fresh id of the same milliseconds as another: what is kept by month keeps both in one.

        ``new`` alone does not: whatever else makes an id of a later instant in between takes all that follow along.
        """
        fresh = self.new(now)
        if fresh.int >> _TIME_BITS == other.int >> _TIME_BITS:
            return fresh
        return _uuid(other.int >> _TIME_BITS << _TIME_BITS | fresh.int & (1 << _TIME_BITS) - 1)


def _uuid(number: int) -> uuid.UUID:
    """Return a UUID of 128 bits as its class would make it, less the checks: a batch has thousands."""
    made = object.__new__(uuid.UUID)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made
