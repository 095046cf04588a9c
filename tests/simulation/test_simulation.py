"""The whole engine under fire: 50 seeds find nothing, a seed replays exactly, and a planted bug is found."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.databases import PostgresDatabases, SqliteDatabases
from tests.simulation import planted
from tests.simulation.places import Place, PostgresPlace, SqlitePlace
from tests.simulation.play import FAULTS, Story, play
from tests.simulation.schedule import Found

SEEDS = {"sqlite": 50, "postgresql": 10}
AT_ONCE = 5
ROUNDS = [(backend, first) for backend, most in SEEDS.items() for first in range(0, most, AT_ONCE)]
_PLANTED = [*(("sqlite", bug) for bug in planted.ON_SQLITE), *(("postgresql", bug) for bug in planted.ON_POSTGRESQL)]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def places(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Place]]:
    """A place on each kind of database, opened when it is first wanted."""
    opened: dict[str, Place] = {}

    def place(backend: str) -> Place:
        if backend not in opened:
            databases = request.getfixturevalue("sqlite" if backend == "sqlite" else "postgres")
            opened[backend] = _open(databases)
        return opened[backend]

    yield place
    for each in opened.values():
        each.close()


def _open(databases: SqliteDatabases | PostgresDatabases) -> Place:
    return SqlitePlace(databases) if isinstance(databases, SqliteDatabases) else PostgresPlace(databases)


@pytest.mark.parametrize(("backend", "first"), ROUNDS)
def test_nothing_is_found(places: Callable[[str], Place], backend: str, first: int) -> None:
    stories = [_played(seed, places(backend)) for seed in range(first, first + AT_ONCE)]
    befell = sum((story.faults for story in stories), Counter())
    assert all(befell[fault] for fault in FAULTS if fault != "nothing"), befell
    assert sum(story.copies for story in stories)
    assert sum(story.compared for story in stories) > 100
    done = sum(count for story in stories for deed, count in story.deeds.items() if deed.endswith(": done"))
    assert done > 8 * AT_ONCE


def _played(seed: int, place: Place) -> Story:
    try:
        return play(seed, place)
    except Found as found:
        pytest.fail(str(found), pytrace=False)


@pytest.mark.parametrize("backend", SEEDS)
def test_a_seed_replays_exactly(places: Callable[[str], Place], backend: str) -> None:
    first, again = (_played(7, places(backend)) for _ in range(2))
    assert first == again


def test_it_replays_in_another_process(places: Callable[[str], Place]) -> None:
    story = _played(3, places("sqlite"))
    said = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", "3"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    ).stdout
    assert f"{story.steps} steps, told {story.told}, stored {story.stored}" in said


@pytest.mark.parametrize(("backend", "bug"), _PLANTED)
def test_a_planted_bug_is_found(
    places: Callable[[str], Place], backend: str, bug: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        assert any(_finds(seed, places(backend)) for seed in range(50))


def _finds(seed: int, place: Place) -> bool:
    try:
        play(seed, place)
    except Found:
        return True
    return False
