"""What arrives together is done together: each gets its own answer, nobody is left waiting, whatever goes wrong."""

import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from incentives.kernel.combiner import Combiner, Turn


def test_one_by_itself_waits_for_nobody() -> None:
    together: list[int] = []

    def run(items: list[int]) -> list[int]:
        together.append(len(items))
        return [item * 2 for item in items]

    combiner = Combiner(run)
    assert [combiner.submit(each) for each in range(3)] == [0, 2, 4]
    assert together == [1, 1, 1]


def test_those_who_come_meanwhile_go_together_and_each_gets_its_own_answer() -> None:
    gate, sizes = threading.Event(), []

    def run(items: list[int]) -> list[int]:
        gate.wait(10)
        sizes.append(len(items))
        return [item * 2 for item in items]

    combiner = Combiner(run, most=16)
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(combiner.submit, each) for each in range(40)]
        while len(combiner._waiting) < 39:  # The first is running, all others have come.
            time.sleep(0.001)
        gate.set()
        assert [each.result(10) for each in answers] == [each * 2 for each in range(40)]
    assert sizes == [1, 16, 16, 7]


def test_what_goes_wrong_is_heard_by_those_who_went_along_and_by_nobody_else() -> None:
    def run(items: list[int]) -> Sequence[int]:
        if 13 in items:
            raise ValueError("thirteen")
        return items

    combiner = Combiner(run)
    with pytest.raises(ValueError, match="thirteen"):
        combiner.submit(13)
    assert combiner.submit(14) == 14


def test_an_answer_too_few_is_a_bug_that_leaves_nobody_waiting() -> None:
    combiner: Combiner[int, int] = Combiner(lambda _: [])
    with pytest.raises(ValueError, match="shorter"):
        combiner.submit(1)
    combiner_again: Combiner[int, int] = Combiner(lambda items: items)
    assert combiner_again.submit(2) == 2


def test_many_threads_over_and_over_get_every_answer() -> None:
    combiner: Combiner[int, int] = Combiner(lambda items: [-item for item in items], most=5)
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(combiner.submit, range(3000))) == [-each for each in range(3000)]


def test_who_is_interrupted_steps_out_of_the_line() -> None:
    gate = threading.Event()

    def run(items: list[str]) -> list[str]:
        if items == ["first"]:
            gate.wait(10)
        return items

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    combiner = Combiner(run)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(combiner.submit, "first")
        while not combiner._running:
            time.sleep(0.001)
        before = signal.signal(signal.SIGUSR1, interrupt)
        ident = threading.main_thread().ident  # who hears signals, which this test runs in
        assert ident == threading.get_ident()
        try:
            threading.Timer(0.2, signal.pthread_kill, (ident, signal.SIGUSR1)).start()
            with pytest.raises(KeyboardInterrupt):
                combiner.submit("gone")
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert not combiner._waiting
        second = pool.submit(combiner.submit, "second")
        gate.set()
        assert [first.result(10), second.result(10)] == ["first", "second"]
    assert not combiner._running


class InterruptedAsItComes(Turn):
    """A turn whose owner is interrupted once it has come: a signal is heard as the wait for it ends."""

    def wait(self) -> None:
        super().wait()
        if threading.current_thread().name == "gone":
            raise KeyboardInterrupt


class InterruptedBeforeItComes(Turn):
    """A turn whose owner is interrupted once it was decided whose it is, before it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.owner, self.left = threading.current_thread(), threading.Event()

    def wait(self) -> None:
        if threading.current_thread().name != "gone":
            return super().wait()
        self.left.wait(10)
        raise KeyboardInterrupt

    def set(self) -> None:
        if self.owner.name == "gone":
            self.left.set()
            self.owner.join(10)
        super().set()


@pytest.mark.parametrize("turn", [InterruptedAsItComes, InterruptedBeforeItComes])
def test_who_is_interrupted_just_when_they_are_to_lead_hands_the_lead_on(
    turn: type[Turn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incentives.kernel.combiner.Turn", turn)
    gate, ended = threading.Event(), dict[str, str]()

    def run(items: list[str]) -> list[str]:
        if items == ["first"]:
            gate.wait(10)
        return items

    def submit(name: str) -> None:
        try:
            ended[name] = combiner.submit(name)
        except KeyboardInterrupt:
            ended[name] = "interrupted"

    combiner = Combiner(run)
    callers = [threading.Thread(target=submit, args=(name,), name=name, daemon=True) for name in ("first", "gone", "b")]
    for place, caller in enumerate(callers):
        caller.start()
        while place and len(combiner._waiting) < place:
            time.sleep(0.001)
        while not combiner._crowd:
            time.sleep(0.001)
    gate.set()
    for caller in callers:
        caller.join(10)
    assert ended == {"first": "first", "gone": "interrupted", "b": "b"}
    assert not combiner._running
    assert not combiner._waiting


def test_a_leader_who_is_interrupted_while_others_gather_hands_the_lead_on(monkeypatch: pytest.MonkeyPatch) -> None:
    combiner: Combiner[int, int] = Combiner(lambda items: items)
    combiner._crowd, combiner._ended_at = 9, time.monotonic() + 60  # a larger crowd than has gathered, just now

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            combiner.submit(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(combiner.submit, 2).result(timeout=10) == 2
