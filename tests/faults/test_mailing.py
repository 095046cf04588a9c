"""Whatever dies while messages go out, each arrives, and seldom twice. The command says it of three thousand."""

import pytest

from incentives.kernel.migrate import upgrade
from tests.faults.mailing import play
from tests.servers import Postgres

MESSAGES = 300


@pytest.mark.parametrize("backend", ["postgresql"])
def test_messages_outlive_workers_that_are_killed_all_the_time(database_url: str) -> None:
    story = play(database_url, MESSAGES)
    assert story.faults() == [], str(story)
    assert story.kills >= 3
    assert story.refusals > 0


def test_messages_outlive_a_database_that_crashes_too(own_postgres: Postgres) -> None:
    upgrade(own_postgres.url())
    story = play(own_postgres.url(), MESSAGES // 2, server=own_postgres, seed=3)
    assert story.faults() == [], str(story)
    assert story.crashes >= 1
