"""Our rooms' names are ours: no library brings one of the same name, as Django Channels would."""

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

from tests.house.texts import ROOT

NAMES = ("incentives", "api", "admin", "channels", "migrations", "wsgi", "worker", "tests", "bench")


@pytest.mark.parametrize("name", NAMES)
def test_each_top_level_name_is_ours(name: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(name, ()))
    assert owners <= {"incentives"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bench"])
def test_importing_a_name_gives_ours(name: str) -> None:
    found = importlib.util.find_spec(name)
    assert found is not None
    places = [found.origin] if found.origin else list(found.submodule_search_locations or ())
    assert all(Path(place).is_relative_to(ROOT) for place in places if place)
