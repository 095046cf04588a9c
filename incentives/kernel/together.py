"""Requests that share a transaction: those that wait at the same moment go together, whoever sent them.

They wait for each other no more than for a busy row, which is taken once for all of them. Each has an answer of its
own, and one that is refused, or fails, disturbs no neighbor.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from incentives.kernel.combiner import Combiner
from incentives.kernel.database import is_of_one_deed

Item = TypeVar("Item")
Result = TypeVar("Result")


class Again:
    """What is answered to an item that could not go together with another: it is tried once more, by itself."""


AGAIN: Final = Again()


class Together(Generic[Item, Result]):
    """Runs items in one transaction where it can: ``run`` opens it, and answers each item, in order.

    ``names`` says what of an item no two that go together may share, such as an idempotency key: the second waits for
    the first to be committed.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result | Exception | Again]],
        names: Callable[[Item], Iterable[Hashable]],
    ) -> None:
        """Take what does the work, and what tells items apart."""
        self._run = run
        self._names = names
        self._combiner: Combiner[Item, Result | Exception] = Combiner(self._answer_all)

    def submit(self, item: Item) -> Result:
        """Return the answer to an item. Raises what it was refused for."""
        answer = self._combiner.submit(item)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer_all(self, items: Sequence[Item]) -> list[Result | Exception]:
        answers: dict[int, Result | Exception] = {}
        for places in self._rounds(items):
            answers.update(zip(places, self._answer([items[place] for place in places]), strict=True))
        return [answers[place] for place in range(len(items))]

    def _rounds(self, items: Sequence[Item]) -> list[list[int]]:
        """Return places in the order in which they can go together."""
        rounds: list[list[int]] = []
        last: dict[Hashable, int] = {}
        for place, item in enumerate(items):
            names = list(self._names(item))
            number = max((last[name] + 1 for name in names if name in last), default=0)
            last.update(dict.fromkeys(names, number))
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(place)
        return rounds

    def _answer(self, items: Sequence[Item]) -> list[Result | Exception]:
        """Answer items that go together. Where their transaction fails for the sake of one, each has its own."""
        try:
            answers = self._run(items)
        except Exception as error:  # noqa: BLE001 - each request hears what became of it
            if len(items) == 1 or not is_of_one_deed(error):
                return [error] * len(items)
            return [each for item in items for each in self._answer([item])]
        if len(answers) != len(items):
            raise AssertionError("there is an answer to each request")
        return [self._alone(item, answer) for item, answer in zip(items, answers, strict=True)]

    def _alone(self, item: Item, answer: Result | Exception | Again) -> Result | Exception:
        return self._answer([item])[0] if isinstance(answer, Again) else answer
