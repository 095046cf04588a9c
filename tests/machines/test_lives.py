"""Whatever people do to vouchers and their money, in any order: nothing is spent twice, and a model beside agrees.

The machine has a rule for every verb. What is done, and to what, is drawn by hypothesis, which then looks for the
shortest way to what went wrong.
"""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from incentives.catalog.document import parse
from incentives.flows import publish
from tests.machines.lives import VERBS, Life, one_by_dice, opened

EXAMPLES, STEPS = {"sqlite": 18, "postgresql": 14}, 40
OPERATIONS = 1000


def _rule_of(verb: str) -> Callable[[Any, Random], None]:
    def do(self: Any, dice: Random) -> None:
        self.life.dice = dice
        getattr(self.life, verb)()

    do.__name__ = verb
    decorated: Callable[[Any, Random], None] = rule(dice=st.randoms(use_true_random=False))(do)
    return decorated


class _Lives(RuleBasedStateMachine):
    """A life; its rules are added by name."""

    new_database: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.life = opened(type(self).new_database())

    def teardown(self) -> None:
        self.life.core.database.dispose()

    @invariant()
    def everything_agrees(self) -> None:
        self.life.check()


# Where money is lost, the shortest way to lose it is looked for, and that takes longer than a test may otherwise.
@pytest.mark.timeout(900)
def test_money_survives_every_verb(
    new_database: Callable[[], str], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "parse", cache(parse))
    rules = {verb: _rule_of(verb) for verb in VERBS}
    # Without something given there is nothing that could become of it.
    rules |= {f"issue_{number}": _rule_of("issue") for number in range(6)}
    machine = type("Lives", (_Lives,), {"new_database": staticmethod(new_database), **rules})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[backend],
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )


@pytest.mark.timeout(600)
def test_a_thousand_deeds_by_dice_agree_to_the_cent(new_database: Callable[[], str], backend: str) -> None:
    life = opened(new_database(), count_one_in=4, dump_one_in=100)
    life.dice = Random(f"{backend} 2026")
    for number in range(OPERATIONS):
        one_by_dice(life)
        if number % 50 == 0:
            life.check()
    life.check()
    life.core.database.dispose()
    assert sum(life.done.values()) > OPERATIONS / 3
    assert life.repeated > OPERATIONS / 40


def test_every_verb_of_a_life_is_a_rule() -> None:
    deeds = {name for room in Life.__mro__[1:-2] for name in vars(room) if not name.startswith("_")}
    assert set(VERBS) == deeds
