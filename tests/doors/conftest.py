"""The staff, for tests of their pages."""

from collections.abc import Iterator

import pytest

from tests.databases import SqliteDatabases
from tests.doors.staff import Staff, staff_of
from tests.run_folder import RunFolder


@pytest.fixture
def staff(sqlite: SqliteDatabases, run: RunFolder) -> Iterator[Staff]:
    """An application on the demo catalog with a person of each role, all of them signed in."""
    with staff_of(sqlite, run) as made:
        yield made
