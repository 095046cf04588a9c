"""Whose turn it is: many players, each in a thread of its own, of which one goes on at a time; dice say which.

A player gives up its turn before each statement, before each commit and whenever it talks to the outside. So the
dice decide how their deeds interleave, and the same dice decide the same again.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from tests.simulation.chance import Truth

STEP_SECONDS = 0.02  # a statement and its way there and back
_PATIENCE_SECONDS = 0.002
_LOST_SECONDS = 30.0


class Crashed(BaseException):
    """The process that a player was in has died: nothing of it runs any more, no ``except Exception`` either."""


class Found(BaseException):
    """What must never happen has happened; the engine, which goes on after many a bug, cannot swallow it."""


class Player:
    """A thread that goes on only when it is its turn."""

    def __init__(self, name: str, live: Callable[["Player"], None]) -> None:
        """Have a name and a life; nothing runs yet."""
        self.name = name
        self.over = self.busy = self.doomed = self.blocked = False
        self.parked = False  # it waits for its turn, and the schedule knows
        self.follows = False  # another player of its process does its work along with its own
        self.trouble: BaseException | None = None
        self.wakes_at = 0.0
        self.dice = Random(name)  # says what befalls its next deed
        self.connection: Any = None  # of the driver, in which its statement runs
        self._ready: Callable[[], bool] = bool
        self._gate, self._here = threading.Lock(), threading.Lock()
        self._gate.acquire()
        self._thread = threading.Thread(target=self._run, args=(live,), name=name, daemon=True)

    def begin(self) -> None:
        """Start, and wait for the first turn at once."""
        self._here.acquire()
        self._thread.start()
        self.awaited(_LOST_SECONDS)

    def _run(self, live: Callable[["Player"], None]) -> None:
        _here.player = self
        try:
            self.pause()
            live(self)
        except BaseException as trouble:  # noqa: BLE001 - whoever holds the schedule raises it
            self.trouble = trouble
        self.over = True
        self._here.release()

    def pause(self, ready: Callable[[], bool] = lambda: True) -> None:
        """Give up the turn, and wait for the next one, which does not come before it is ready. Raises ``Crashed``."""
        self._ready = ready
        self._here.release()
        self._gate.acquire()
        if self.doomed:
            raise Crashed

    def is_ready(self) -> bool:
        """Return whether it could go on."""
        return not self.over and not self.blocked and (self.doomed or self._ready())

    def go(self) -> None:
        """Let it go on."""
        self.parked = False
        self._gate.release()

    def awaited(self, seconds: float) -> bool:
        """Wait so long until it waits for its turn, or is over; return whether it does."""
        self.parked = self._here.acquire(timeout=seconds)
        return self.parked


_here = threading.local()


def current() -> Player | None:
    """Return the player whose thread this is; None in the thread that holds the schedule."""
    return getattr(_here, "player", None)


@contextmanager
def aside() -> Iterator[None]:
    """Look at something from a player's thread as if it were none: nothing befalls, and nobody else goes on."""
    player, _here.player = current(), None
    try:
        yield
    finally:
        _here.player = player


class Turn:
    """Stands for the combiner's own, by which the engine's threads wait for each other: others go on meanwhile."""

    def __init__(self) -> None:
        """Not be there yet."""
        self._come = False

    def wait(self) -> None:
        """Wait until it has come. Raises ``Crashed``."""
        player = current()
        if player is None:
            raise Found("somebody waits for a player who has gone")
        player.follows = True
        try:
            player.pause(lambda: self._come)
        finally:
            player.follows = False

    def is_set(self) -> bool:
        """Return whether it has come."""
        return self._come

    def set(self) -> None:
        """Let it come."""
        self._come = True


class Schedule:
    """Holds the players' turns."""

    def __init__(self, dice: Random, truth: Truth, stuck: Callable[[Player], bool] | None = None) -> None:
        """Take the dice; ``stuck`` tells whether a player's statement waits for a lock, where one can."""
        self.dice, self.truth, self._stuck = dice, truth, stuck
        self.players: list[Player] = []
        self.steps = self.waits = 0
        self.ended = False

    def add(self, name: str, live: Callable[[Player], None]) -> Player:
        """Let somebody play."""
        player = Player(name, live)
        self.players.append(player)
        player.begin()
        return player

    def sleep(self, player: Player, seconds: float) -> None:
        """Let a player wait until so much time has passed."""
        player.wakes_at = self.truth.seconds() + seconds
        player.pause(lambda: self.ended or self.truth.seconds() >= player.wakes_at)

    def step(self) -> Player | None:
        """Let one player go on, and return it; None where nobody could, so that time passed instead."""
        self.steps += 1
        ready = [player for player in self.players if player.is_ready()]
        if not ready:
            self._pass_time()
            return None
        player = self.dice.choice(ready)
        self.truth.passes(STEP_SECONDS)
        self.let(player)
        return player

    def _pass_time(self) -> None:
        asleep = [player.wakes_at for player in self.players if not player.over and not player.blocked]
        until = min((each for each in asleep if each > self.truth.seconds()), default=None)
        if until is None:
            waiting = ", ".join(player.name for player in self.players if not player.over)
            raise Found(f"nobody can go on: {waiting}")
        self.truth.passes(until - self.truth.seconds() + 0.001)

    def let(self, player: Player) -> None:
        """Let a player go on until it waits for its next turn, or for a lock that another one holds."""
        player.go()
        self._await(player)
        for other in self.players:
            if other.blocked and other is not player:
                self._await(other)

    def _await(self, player: Player) -> None:
        waited = 0
        while not player.awaited(_PATIENCE_SECONDS if self._stuck else _LOST_SECONDS):
            waited += 1
            if self._stuck and self._stuck(player):
                player.blocked = True
                self.waits += 1
                return
            if not self._stuck or waited * _PATIENCE_SECONDS > _LOST_SECONDS:
                raise Found(f"{player.name} does not come back")
        player.blocked = False
        if player.trouble is not None:
            trouble, player.trouble = player.trouble, None
            raise trouble

    def crash(self, players: Sequence[Player], cut: Callable[[Player], None]) -> None:
        """Let players die where they stand: each unwinds at once, and nobody else goes on before."""
        for player in players:
            player.doomed = True
        for player in players:
            if player.blocked:
                cut(player)
                self._await(player)
        for player in players:
            while player.doomed and not player.over:
                self.let(player)

    def end(self) -> None:
        """Let every player end, however it stands."""
        self.ended = True
        for player in self.players:
            player.doomed = True
        for player in self.players:
            for _ in range(1000):
                if player.over or not player.parked:
                    break
                player.go()
                player.awaited(_LOST_SECONDS)
