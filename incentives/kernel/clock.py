"""Time comes in by the front door: one clock a core, read once a flow, always an aware UTC instant."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the present instant."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC)


class FixedClock:
    """A clock that moves only when told to; tests and simulations tell the time with it."""

    def __init__(self, at: datetime) -> None:
        """Start at an aware instant."""
        if at.tzinfo is None:
            message = "a clock needs an aware instant"
            raise ValueError(message)
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        """Return the instant that was last set."""
        return self._at

    def advance(self, step: timedelta) -> None:
        """Move the clock by a step."""
        self._at += step


def elapsed_seconds() -> float:
    """Return the seconds of a clock that never goes back, for how long something took."""
    return time.monotonic()
