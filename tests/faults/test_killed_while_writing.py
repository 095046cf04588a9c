"""A process is killed before each statement of a deed: nothing of it stays, and the same request then succeeds."""

import os
from typing import Any

import pytest

from incentives.kernel.core import Core
from tests import dump
from tests.faults.deeds import DEEDS, OFTEN, Deed, text_of_catalog
from tests.faults.doomed import DEAD, die_before, exit_code
from tests.races.deeds import broken, rows
from tests.world import make_core, publish_catalog


def do_until(database_url: str, name: str, prepared: Any, statement: int) -> None:
    """Do a deed; die before its statement of a number, of which the commit is the last."""
    core = make_core(database_url)
    die_before(core.database.engine, statement)
    DEEDS[name].do(core, prepared)
    os._exit(0)


# On SQLite a killed writer leaves what was never in the file, whatever it was: what is done most stands for all.
@pytest.mark.parametrize(
    ("backend", "name"),
    [*(("postgresql", name) for name in DEEDS), *(("sqlite", name) for name in OFTEN)],
)
def test_nothing_stays_of_a_deed_whose_process_was_killed(database_url: str, name: str) -> None:
    core = make_core(database_url)
    publish_catalog(core, text_of_catalog())
    deed = DEEDS[name]
    prepared = deed.prepare(core)
    before = dump.of(core)
    statement = 1
    while exit_code(do_until, database_url, name, prepared, statement) == DEAD:
        assert dump.differences(before, dump.of(core)) == {}, f"killed before statement {statement}"
        assert statement < 100
        statement += 1
    assert statement > deed.statements_min
    after = dump.of(core)
    assert dump.differences(before, after) != {}
    # The last process was killed by nobody, but nobody heard its answer either.
    do_again(core, deed, prepared)
    assert dump.differences(after, dump.of(core)) == {}
    assert {table.name: rows(core, table) for table in deed.leaves} == {
        table.name: number for table, number in deed.leaves.items()
    }
    assert broken(core) == []
    core.database.dispose()


def do_again(core: Core, deed: Deed, prepared: Any) -> None:
    """Do what was done: it is a replay, or is refused by the name of what it has led to."""
    if deed.said is None:
        assert deed.do(core, prepared).replayed
    else:
        with pytest.raises(deed.said):
            deed.do(core, prepared)
