"""All that a database holds, to compare before and after: a refusal leaves every table as it was.

before = dump.of(core)
…what must be refused…
assert dump.differences(before, dump.of(core)) == {}
"""

from collections.abc import Collection, Mapping
from typing import Any

from incentives.kernel.core import Core
from tests.schema import all_tables

Dump = Mapping[str, list[tuple[Any, ...]]]

TRIED = ("redemption_attempts",)
"""What a refused try at a till leaves all the same."""

_QUERIES = {table.name: f"SELECT * FROM {table.name}" for table in all_tables().sorted_tables}


def of(core: Core, *, without: Collection[str] = ()) -> Dump:
    """Return every row of every table but some, in an order that does not depend on how they lie in the database."""
    with core.database.read() as tx:
        # Asked in plain SQL, which need not be compiled anew for each engine.
        return {
            name: sorted((tuple(row) for row in tx.exec_driver_sql(query)), key=repr)
            for name, query in _QUERIES.items()
            if name not in without
        }


def differences(before: Dump, after: Dump) -> dict[str, dict[str, list[tuple[Any, ...]]]]:
    """Return what is gone and what is new, by table; nothing where two dumps are the same."""
    found = {}
    for name in before.keys() | after.keys():
        gone = [row for row in before.get(name, []) if row not in after.get(name, [])]
        new = [row for row in after.get(name, []) if row not in before.get(name, [])]
        if gone or new or len(before.get(name, [])) != len(after.get(name, [])):
            found[name] = {"gone": gone, "new": new}
    return found


def changed_tables(before: Dump, after: Dump) -> set[str]:
    """Return the names of the tables in which anything is otherwise."""
    return set(differences(before, after))
