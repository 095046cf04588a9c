"""Requests that arrive together do their work together: one transaction for all that wait, instead of one each."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_PAUSE_SECONDS = 0.002
_JUST_NOW_SECONDS = 0.01


class Turn:
    """An event that one thread waits for, once.

    ``threading.Event``, with a lock and a condition of its own for any number who wait, would take several times as
    long to make and to wait for as all the rest of what a caller does here.
    """

    __slots__ = ("_door",)

    def __init__(self) -> None:
        """Not be there yet."""
        self._door = threading.Lock()
        self._door.acquire()  # whoever lets it come opens it

    def wait(self) -> None:
        """Wait until it has come."""
        self._door.acquire()

    def set(self) -> None:
        """Let it come."""
        self._door.release()


class _Place(Generic[Item, Result]):
    """Where one caller waits: for its result, for what went wrong, or for its turn to lead."""

    __slots__ = ("error", "item", "leads", "result", "turn")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.turn = Turn()
        self.result: list[Result] = []
        self.error: BaseException | None = None
        self.leads = False  # Its turn does not tell: of whoever is interrupted it has come, or not yet, or was taken.


class Combiner(Generic[Item, Result]):
    """Runs items in the callers' own threads, as many at once as have gathered while the ones before were running.

    Whoever finds nobody running begins at once, alone: so a single request is as fast as it was, and under load the
    cost of a transaction is shared by all that it carries. Who comes right after a larger crowd than has gathered
    since waits two milliseconds for it: those who were just answered are being told so, and mostly ask again. Without
    that, every second one would run nearly alone.
    """

    def __init__(self, run: Callable[[list[Item]], Sequence[Result]], *, most: int = 64) -> None:
        """Take what does the work: a result for each item, in order. At most ``most`` go at once."""
        self._run = run
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[_Place[Item, Result]] = deque()
        self._running = False
        self._crowd = 0  # how many went together the last time,
        self._ended_at = -math.inf  # and until when

    def submit(self, item: Item) -> Result:
        """Return what ``run`` makes of an item. Raises what it raises, to everybody whose item went along."""
        mine: _Place[Item, Result] = _Place(item)
        with self._lock:
            self._waiting.append(mine)
            leads, self._running = not self._running, True
        if not leads:
            self._wait(mine)
        if not mine.result and mine.error is None:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        return mine.result[0]

    def _wait(self, mine: _Place[Item, Result]) -> None:
        """Wait for a result or the lead. Whoever is interrupted steps out of the line, and lets the next one lead."""
        try:
            mine.turn.wait()
        except BaseException:
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                following = self._next() if mine.leads else None
            if following is not None:
                following.turn.set()
            raise

    def _lead(self, mine: _Place[Item, Result]) -> None:
        """Run everything that has gathered, the leader's own item first, and hand the lead to the next who waits.

        Whatever interrupts it, the lead is handed on: all who come later would wait for ever otherwise.
        """
        together = [mine]
        try:
            if len(self._waiting) < self._crowd and time.monotonic() - self._ended_at < _JUST_NOW_SECONDS:
                time.sleep(_PAUSE_SECONDS)
            with self._lock:
                together = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                self._crowd = len(together)
            results = self._run([each.item for each in together])
            for place, result in zip(together, results, strict=True):
                place.result.append(result)
        except BaseException as error:  # noqa: BLE001 - every caller hears of it, and nobody is left waiting
            for place in together:
                place.error = error
        finally:
            with self._lock:
                if mine in self._waiting:  # It was interrupted before it began.
                    self._waiting.remove(mine)
                following = self._next()
                self._ended_at = time.monotonic()
            for place in together:
                if place is not mine:
                    place.turn.set()
            if following is not None:
                following.turn.set()

    def _next(self) -> _Place[Item, Result] | None:
        """Let whoever has waited longest lead, and return its place; None where nobody waits."""
        following = self._waiting[0] if self._waiting else None
        self._running = following is not None
        if following is not None:
            following.leads = True
        return following
