"""Readers: what the database keeps them from, and what they see while others write."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from incentives.access.tables import api_keys
from incentives.flows.people import CreateApiKey, create_api_key
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.kernel.errors import StorageUnavailable
from tests.world import make_core

_COUNT = sa.select(sa.func.count()).select_from(api_keys)


@pytest.fixture
def core(database_url: str) -> Core:
    return make_core(database_url, INCENTIVES_DATABASE_POOL_SIZE="1")


def _make_key(core: Core) -> None:
    create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name="till", role="till"))


@pytest.mark.parametrize("way", [Database.read, Database.read_snapshot])
@pytest.mark.parametrize("again", [1, 2])
def test_the_database_itself_refuses_what_a_reader_writes(core: Core, way: object, again: int) -> None:
    _make_key(core)
    for _ in range(again):  # With one connection: what a reader did before must not have made it a writer.
        with way(core.database) as tx:  # type: ignore[operator]  # one of two methods
            with pytest.raises((DBAPIError, StorageUnavailable)):
                tx.execute(api_keys.delete())
            tx.rollback()
    with core.database.read() as tx:
        assert tx.execute(_COUNT).scalar() == 1
    core.database.dispose()


def test_a_snapshot_does_not_see_what_is_committed_meanwhile(core: Core) -> None:
    with core.database.read_snapshot() as tx:
        assert tx.execute(_COUNT).scalar() == 0
        _make_key(core)
        assert tx.execute(_COUNT).scalar() == 0
    with core.database.read() as tx:
        assert tx.execute(_COUNT).scalar() == 1
    core.database.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_connection_that_gave_a_snapshot_gives_plain_reading_again(core: Core) -> None:
    with core.database.read_snapshot() as tx:
        assert tx.execute(_COUNT).scalar() == 0
    with core.database.read() as tx:
        assert tx.execute(_COUNT).scalar() == 0
        _make_key(core)
        assert tx.execute(_COUNT).scalar() == 1
    core.database.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
def test_readers_and_writers_have_their_time_limits(core: Core) -> None:
    for way in (core.database.read, core.database.read_snapshot, core.database.write):
        with way() as tx:
            limits = [tx.exec_driver_sql(f"SHOW {name}").scalar() for name in ("statement_timeout", "lock_timeout")]
        assert limits == ["30s", "10s"]
    core.database.dispose()
