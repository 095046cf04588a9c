"""Requests that share a transaction: an answer each, whatever becomes of the neighbors."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from incentives.kernel.errors import StorageUnavailable
from incentives.kernel.together import AGAIN, Again, Together

Run = Callable[[Sequence[str]], Sequence[str | Exception | Again]]


class At:
    """Lets items meet: the first waits until all others have come."""

    def __init__(self, run: Run, names: Callable[[str], list[str]] = lambda _: []) -> None:
        self.runs: list[list[str]] = []
        self._run, self._gate = run, threading.Event()
        self.together: Together[str, str] = Together(self._noted, names)

    def _noted(self, items: Sequence[str], _shared: bool) -> Sequence[str | Exception | Again]:
        if items == ["first"]:
            self._gate.wait(10)
            return ["first"]
        self.runs.append(list(items))
        return self._run(items)

    def answers(self, *items: str) -> list[str | BaseException]:
        with ThreadPoolExecutor(len(items) + 1) as pool:
            first = pool.submit(self.together.submit, "first")
            waiting = self.together._combiner._waiting
            while not self.together._combiner._running:
                threading.Event().wait(0.001)
            found = []
            for number, item in enumerate(items):
                found.append(pool.submit(self.together.submit, item))
                while len(waiting) < number + 1:
                    threading.Event().wait(0.001)
            self._gate.set()
            assert first.result(10) == "first"
            return [each.exception(10) or each.result() for each in found]


def upper(items: Sequence[str]) -> list[str | Exception | Again]:
    return [item.upper() for item in items]


def test_those_that_wait_go_together_and_each_has_its_own_answer() -> None:
    at = At(upper)
    assert at.answers("a", "b", "c") == ["A", "B", "C"]
    assert at.runs == [["a", "b", "c"]]


def test_of_those_that_share_a_name_the_second_waits_for_the_first() -> None:
    at = At(upper, names=lambda item: list(item[1:]))
    assert at.answers("a1", "b2", "c1", "d21", "e3") == ["A1", "B2", "C1", "D21", "E3"]
    assert at.runs == [["a1", "b2", "e3"], ["c1"], ["d21"]]


def test_a_refusal_is_raised_to_whom_it_is_about() -> None:
    at = At(lambda items: [ValueError(item) if item == "b" else item for item in items])
    one, other, third = at.answers("a", "b", "c")
    assert (one, third) == ("a", "c")
    assert isinstance(other, ValueError)
    assert at.runs == [["a", "b", "c"]]


def test_where_the_whole_fails_for_the_sake_of_one_the_others_go_through() -> None:
    def run(items: Sequence[str]) -> Sequence[str]:
        if "b" in items:
            raise ValueError("b")
        return items

    at = At(run)
    one, other, third = at.answers("a", "b", "c")
    assert (one, third) == ("a", "c")
    assert isinstance(other, ValueError)
    assert at.runs[0] == ["a", "b", "c"]
    assert sorted(at.runs[1:]) == [["a"], ["b"], ["c"]]


def test_what_nobody_can_do_is_not_tried_one_by_one() -> None:
    def run(_items: Sequence[str]) -> Sequence[str]:
        raise StorageUnavailable(retry_after_seconds=2)

    at = At(run)
    assert all(isinstance(each, StorageUnavailable) for each in at.answers("a", "b"))
    assert at.runs == [["a", "b"]]


def test_what_could_not_go_together_is_tried_by_itself() -> None:
    at = At(lambda items: [AGAIN if item == "b" and len(items) > 1 else item for item in items])
    assert at.answers("a", "b", "c") == ["a", "b", "c"]
    assert at.runs == [["a", "b", "c"], ["b"]]


def test_an_answer_too_few_is_a_bug_that_everybody_hears_of() -> None:
    together: Together[str, str] = Together(lambda _items, _shared: [], lambda _: [])
    with pytest.raises(AssertionError, match="an answer to each"):
        together.submit("a")
