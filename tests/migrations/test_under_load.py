"""Who migrates holds nobody up: not by what it does, and not by what it waits for."""

import time

import psycopg
import pytest

from incentives.kernel import migrate
from incentives.kernel.errors import StorageUnavailable
from tests.migrations import under_load
from tests.migrations.under_load import WAIT_SECONDS_MAX, Writers, revision
from tests.run_folder import RunFolder
from tests.servers import Postgres


@pytest.mark.timeout(300)
def test_each_revision_holds_up_nobody_for_long_and_changes_no_data(run: RunFolder) -> None:
    story = under_load.play(run, vouchers=300)
    assert story.same
    assert [each.revision for each in story.waited][-1] == migrate.head()
    slow = [each for each in story.waited if each.seconds > WAIT_SECONDS_MAX + 10 * story.quiet_seconds]
    assert slow == []


def test_a_migration_that_must_wait_gives_up_before_others_wait_for_it(own_postgres: Postgres) -> None:
    url = own_postgres.url()
    while revision(url) != "0005":
        migrate.downgrade(url, "-1")
    with psycopg.connect(url) as reader, Writers(url).at_work() as writers:
        reader.execute("SELECT count(*) FROM redemptions")  # and its transaction goes on: a report, a backup
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            migrate.upgrade(url, "+1")
        seconds, table = writers.longest_since(began)
        assert table == "redemptions"
        assert 0.5 < seconds < WAIT_SECONDS_MAX
        reader.rollback()
        migrate.upgrade(url, "+1")
    assert revision(url) == "0006"
