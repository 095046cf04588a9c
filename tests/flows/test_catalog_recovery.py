"""What the catalog in force says of recoveries, as it comes back from the database, for whoever may read it."""

from collections.abc import Iterator

import pytest

from incentives.catalog import releases
from incentives.catalog.document import parse
from incentives.kernel.core import Core
from incentives.kernel.errors import NoCatalog, NotPermitted
from incentives.queries import catalog, catalog_recovery
from tests.unit.catalog_files import SMALL
from tests.unit.catalog_recovery import RECOVERY
from tests.world import actor, make_core, publish_catalog


@pytest.fixture
def core(database_url: str) -> Iterator[Core]:
    core = make_core(database_url)
    yield core
    core.database.dispose()


def test_a_catalog_with_recoveries_comes_back_as_it_was_written(core: Core) -> None:
    publish_catalog(core, RECOVERY)
    with core.database.read() as tx:
        assert releases.load_current(tx).catalog == parse(RECOVERY)


def test_causes_sources_and_the_policy_are_for_whoever_reads_the_catalog(core: Core) -> None:
    publish_catalog(core, RECOVERY)
    who = actor(core, "frontline")
    assert [each.path for each in catalog_recovery.root_causes(core=core, actor=who)] == [
        ("people",), ("too-few", "people"),
    ]  # fmt: skip
    (source,) = catalog_recovery.sources(core=core, actor=who)
    assert source.fields["comment"] == ("/question/comment", "/comment")
    assert catalog_recovery.policy(core=core, actor=who).settle_minutes == 10
    late = catalog.protocols(core=core, actor=who)[1]
    assert (late.clocks["fix"], late.optional_steps, late.resurvey_scale) == (480, ("review",), "nps")


def test_a_catalog_that_says_nothing_of_recoveries_has_the_defaults(core: Core) -> None:
    publish_catalog(core, SMALL)
    who = actor(core, "manager")
    assert catalog_recovery.root_causes(core=core, actor=who) == ()
    assert catalog_recovery.policy(core=core, actor=who).recovered_score_pct == 75


def test_a_till_does_not_read_why_things_go_wrong(core: Core) -> None:
    publish_catalog(core, RECOVERY)
    with pytest.raises(NotPermitted):
        catalog_recovery.root_causes(core=core, actor=actor(core, "till"))


def test_before_the_first_catalog_there_is_nothing_to_read(core: Core) -> None:
    with pytest.raises(NoCatalog):
        catalog_recovery.policy(core=core, actor=actor(core, "manager"))
