"""Time and chance of a simulated world: both come from the seed, and nothing from the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace

import pytest
from cryptography import fernet

from incentives.kernel import clock, ids
from incentives.kernel.clock import FixedClock
from tests.world import START


class Truth:
    """What time it is in truth, which no process knows; it never goes back."""

    def __init__(self) -> None:
        """Begin at the tests' beginning."""
        self.at = START

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)

    def seconds(self) -> float:
        """Return the seconds since the beginning."""
        return (self.at - START).total_seconds()


class OwnClock(FixedClock):
    """The clock of one process: off by as much as it is set wrong."""

    def __init__(self, truth: Truth, off: timedelta) -> None:
        """Be off by so much."""
        super().__init__(START)
        self._truth = truth
        self.off = off

    def now(self) -> datetime:
        """Return what this process takes for the time."""
        return self._truth.at + self.off


@contextmanager
def seeded(seed: str, truth: Truth) -> Iterator[None]:
    """Let all that the engine takes from the machine come from a seed: randomness, and the clock that measures."""
    dice = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "os", SimpleNamespace(urandom=dice.randbytes))
        patch.setattr(fernet, "os", SimpleNamespace(urandom=dice.randbytes))
        patch.setattr(fernet, "time", SimpleNamespace(time=truth.seconds))
        patch.setattr(clock, "time", SimpleNamespace(monotonic=truth.seconds))
        yield
