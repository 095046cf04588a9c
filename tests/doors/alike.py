"""Whether answers can be told apart by how long they take: ranks of many that were asked in no order.

What is timed is the processor, since on a machine that others use nothing else has a time of its own; what is waited
for is the database, and which statements it is asked is counted elsewhere. What tells two kinds apart is how often one
takes longer than the other (the probability of superiority, by Mann and Whitney): whatever delays one delays all alike.
"""

import gc
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

WITHIN = 0.12
"""So far from a half the probability may be, of three hundred of each kind."""
PLANTED = 0.75


@dataclass(frozen=True, slots=True)
class Told:
    """How often one kind takes longer than the others (a half: it says nothing), and how likely that is by chance."""

    kind: str
    longer: float
    chance: float

    def __str__(self) -> str:
        return f"{self.kind}: longer than others in {self.longer:.1%} of pairs, p = {self.chance:.3f}"


def timed(ways: Mapping[str, Sequence[Callable[[], object]]], count: int, seed: int) -> dict[str, list[float]]:
    """Ask so many times in all, in no order, and return how long each kind took the processor, in seconds."""
    dice = random.Random(seed)
    kinds = [kind for kind in ways for _ in range(math.ceil(count / len(ways)))]
    dice.shuffle(kinds)
    took: dict[str, list[float]] = {kind: [] for kind in ways}
    for ask in (each for some in ways.values() for each in some):
        ask()  # whatever is made at first use is made
    with _no_collector():
        for kind in kinds:
            ask = dice.choice(ways[kind])
            began = time.thread_time()
            ask()
            took[kind].append(time.thread_time() - began)
    return took


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def work(ask: Callable[[], object]) -> int:
    """Return how many functions are called to answer: the same number each time, whoever else uses the machine."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        ask()
    finally:
        sys.setprofile(None)
    return count


def told_apart(took: Mapping[str, Sequence[float]]) -> list[Told]:
    """Return what each kind's times tell of it beside all others'."""
    return [
        _mann_whitney(kind, took[kind], [t for other in took if other != kind for t in took[other]]) for kind in took
    ]


def _mann_whitney(kind: str, one: Sequence[float], other: Sequence[float]) -> Told:
    """Compare by the normal approximation; two times are never the same to the nanosecond often enough to matter."""
    ranked = sorted((each, number < len(one)) for number, each in enumerate((*one, *other)))
    ranks = sum(rank for rank, (_, is_one) in enumerate(ranked, start=1) if is_one)
    wins = ranks - len(one) * (len(one) + 1) / 2
    pairs = len(one) * len(other)
    spread = math.sqrt(pairs * (len(one) + len(other) + 1) / 12)
    return Told(kind, wins / pairs, math.erfc(abs(wins - pairs / 2) / spread / math.sqrt(2)))
