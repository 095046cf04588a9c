"""What is refused leaves every table as it was: a whole dump before and after is compared, for each verb there is.

What a try at a till leaves, and what somebody is to look at, is said in the table. A verb that stands in no table fails
here, so that none is forgotten.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from incentives import flows
from incentives.catalog.document import parse
from incentives.flows import publish
from incentives.kernel.errors import Refusal
from tests import dump
from tests.databases import BACKENDS, Databases
from tests.flows.refusal_world import World
from tests.flows.refusals_of_care import CARE
from tests.flows.refusals_of_control import CONTROL
from tests.flows.refusals_of_vouchers import VOUCHERS
from tests.flows.refusing import Table, Try

REFUSALS: Table = {**VOUCHERS, **CONTROL, **CARE}
TRIES = [
    pytest.param(flow, each, id=f"{flow.__name__}-{number}-{each.refused.__name__}")
    for flow, tries in REFUSALS.items()
    for number, each in enumerate(tries, start=1)
]


def verbs() -> dict[str, Callable[..., Any]]:
    """Return the flows that write in somebody's name, by file and name."""
    found: dict[str, Callable[..., Any]] = {}
    for path in sorted(Path(flows.__file__).parent.glob("[!_]*.py")):
        module = importlib.import_module(f"incentives.flows.{path.stem}")
        if "database.write(" not in inspect.getsource(module):
            continue
        for name, flow in inspect.getmembers(module, inspect.isfunction):
            takes = set(inspect.signature(flow).parameters)
            own = flow.__module__ == module.__name__ and not name.startswith("_")
            if own and "core" in takes and takes & {"actor", "command", "commands"}:
                found[f"{path.name}: {name}"] = flow
    return found


def test_every_verb_is_refused_in_at_least_two_ways() -> None:
    assert {name for name, flow in verbs().items() if len(REFUSALS.get(flow, ())) < 2} == set()
    assert set(REFUSALS) <= set(verbs().values())


@pytest.fixture(scope="module", params=BACKENDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The shop that all tries share on one database: they leave it as it is."""
    databases: Databases = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")
    url = databases.new()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publish, "parse", cache(parse))
        opened = World(url)
        yield opened
    opened.core.database.dispose()
    databases.drop(url)


@pytest.mark.parametrize(("flow", "each"), TRIES)
def test_a_refusal_leaves_every_table_as_it_was(world: World, flow: Callable[..., Any], each: Try) -> None:
    given = each.given(world)
    said = given if isinstance(given, dict) else {"command": given}
    by = {"actor": world.people[each.who]} if each.who else {}
    before = world.dump or dump.of(world.core)
    refusals = _refusals(flow, core=world.core, **by, **said)
    world.dump = dump.of(world.core)  # the next try begins with it
    assert refusals
    assert {type(refusal) for refusal in refusals} == {each.refused}
    assert set(dump.differences(before, world.dump)) <= set(each.leaves)


def _refusals(flow: Callable[..., Any], **said: Any) -> list[Refusal]:
    """Return what is raised, or the answers of a flow that answers many commands one by one."""
    try:
        answers = flow(**said)
    except Refusal as refusal:
        return [refusal]
    assert isinstance(answers, list), answers
    return answers
