"""Requests that share a transaction: those that wait at the same moment go together, whoever sent them.

They wait for each other no more than for a busy row, which is taken once for all of them. Each has an answer of its
own, and one that is refused, or fails, disturbs no neighbor: what cannot go together goes alone, each in the thread of
who asked.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar, cast

from incentives.kernel.combiner import Combiner
from incentives.kernel.database import is_for_want_of_a_lock, is_of_one_deed

Item = TypeVar("Item")
Result = TypeVar("Result")


class Again:
    """What is answered to an item that could not go together with another: it is tried once more, by itself."""


AGAIN: Final = Again()


class NotTogetherError(Exception):
    """Raised in a transaction whose items turn out to be each other's business: each is tried by itself."""


class Together(Generic[Item, Result]):
    """Runs items in one transaction where it can: ``run`` opens it, and answers each item, in order.

    It is told whether the transaction is ``shared``: then others wait behind it, and it waits for no lock for long. Who
    is tried alone, in a thread of their own, has all the time there is.

    ``names`` says what of an item no two that go together may share, such as an idempotency key: the second waits for
    the first to be committed.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item], bool], Sequence[Result | Exception | Again]],
        names: Callable[[Item], Iterable[Hashable]],
    ) -> None:
        """Take what does the work, and what tells items apart."""
        self._run = run
        self._names = names
        self._combiner: Combiner[Item, Result | Exception | Again] = Combiner(self._answer_all)

    def submit(self, item: Item) -> Result:
        """Return the answer to an item. Raises what it was refused for."""
        answer = self._combiner.submit(item)
        if isinstance(answer, Again):
            (answer,) = self._run([item], False)  # noqa: FBT003 - a callable has no names
        if isinstance(answer, Exception):
            raise answer
        return cast("Result", answer)  # Whoever is alone is in nobody's way.

    def _answer_all(self, items: Sequence[Item]) -> list[Result | Exception | Again]:
        answers: dict[int, Result | Exception | Again] = {}
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

    def _answer(self, items: Sequence[Item]) -> Sequence[Result | Exception | Again]:
        """Answer items that go together. Where their transaction fails for the sake of one, each goes alone."""
        try:
            answers = self._run(items, True)  # noqa: FBT003 - a callable has no names
        except Exception as error:  # noqa: BLE001 - each request hears what became of it
            alone = is_of_one_deed(error) if len(items) > 1 else is_for_want_of_a_lock(error)
            return [AGAIN if alone else error] * len(items)
        if len(answers) != len(items):
            raise AssertionError("there is an answer to each request")
        return answers
