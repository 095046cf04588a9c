"""A deadline for a whole call to a provider, however slowly its answer drips.

The clients' own time-outs start anew with each byte, so an answer of one byte at a time never ends. The call is made
in a thread of its own, and whoever waits for it goes on when the time is up, before the message's lease ends.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from incentives.messages.port import TryLater, Unsure

T = TypeVar("T")

# A call that ends by its own time-out says better what went wrong: it comes first.
MARGIN_SECONDS = 0.5
ABANDONED_MAX = 4
ABANDONED_AFTER_SECONDS = 60.0


class _TooLateError(BaseException):
    """Ends an abandoned call; no client takes it for a mistake of the network."""


class Deadline:
    """Waits so long for each call to one provider. Safe to use from several threads."""

    def __init__(self, provider: str, timeout_seconds: float) -> None:
        """Name the provider as its reasons do."""
        self._provider = provider
        self._seconds = timeout_seconds + MARGIN_SECONDS
        self._lock = threading.Lock()
        self._abandoned: list[threading.Thread] = []

    def within(self, work: Callable[[], T]) -> T | TryLater | Unsure:
        """Return what a call does (never None), or ``Unsure`` when the time is up. What the call raises is raised.

        Where earlier calls are abandoned and will not end, no further one is begun.
        """
        with self._lock:
            self._abandoned = [call for call in self._abandoned if call.is_alive()]
            full = len(self._abandoned) >= ABANDONED_MAX
        if full:
            return TryLater(f"{self._provider} keeps earlier calls hanging.", ABANDONED_AFTER_SECONDS)
        call = _Call(work)
        call.start()
        call.join(self._seconds)
        if call.outcome is None and call.error is None:
            with self._lock:
                self._abandoned.append(call)
            call.end_soon()
            return Unsure(f"{self._provider} did not answer in time.")
        return call.result()


class _Call(threading.Thread, Generic[T]):
    """One call, in a thread that no end of the process waits for."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="provider-call", daemon=True)
        self._work = work
        self._gate = threading.Lock()
        self._ended = False
        self.outcome: T | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        """Make the call."""
        try:
            self.outcome = self._work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where somebody waits
            self.error = error
        except _TooLateError:
            return
        with self._gate:
            self._ended = True

    def result(self) -> T:
        """Return or raise what came of it."""
        if self.error is not None:
            raise self.error
        assert self.outcome is not None  # noqa: S101 - one of both is there
        return self.outcome

    def end_soon(self) -> None:
        """Let the thread end itself with the next byte that it gets: each byte brings it back into Python.

        The gate keeps it from ending just now, or its number might already be another thread's.
        """
        with self._gate:
            if self._ended or self.ident is None:
                return
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(_TooLateError))
