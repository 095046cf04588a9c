"""PostgreSQL crashes under real servers: programs hear nothing but to ask again, and all is done once."""

import pytest

from tests.faults import restarts
from tests.run_folder import RunFolder

SECONDS = 6


@pytest.mark.timeout(300)
def test_three_crashes_are_hiccups(run: RunFolder) -> None:
    story = restarts.play(run, SECONDS)
    assert story.faults() == []
    assert len(story.crashes) == 3
    assert story.keys > restarts.THREADS
